/* Real HocuspocusProviders of three generations, and the frames that they send and get. */
import { createRequire } from 'node:module';
import * as decoding from 'lib0/decoding';
import WebSocket from 'ws';
import { until } from './wait.mjs';
import Y from './yjs.mjs';

/* As CommonJS, like the other providers: they share one Yjs. */
const require = createRequire(import.meta.url);
const MODULES = {
  '2.x': require('hocuspocus-provider-2'),
  '3.x': require('hocuspocus-provider-3'),
  '4.x': require('@hocuspocus/provider'),
};

export const VERSIONS = Object.keys(MODULES);

const SYNC = 0;
const STATUS = 8;

/* { key, type, kind, bytes }: `kind` is the number behind the type. The pings and pongs of a
 * connection have no key. */
export const readFrame = (data) => {
  const bytes = new Uint8Array(data);
  if (bytes.length === 1) return { key: null, type: bytes[0], bytes };
  const decoder = decoding.createDecoder(bytes);
  const key = decoding.readVarString(decoder);
  const type = decoding.readVarUint(decoder);
  return { key, type, kind: decoding.hasContent(decoder) ? decoding.readVarUint(decoder) : null, bytes };
};

/* A WebSocket as providers take it, which keeps what goes over it. */
const recordingSocket = (network) =>
  class extends WebSocket {
    constructor(url) {
      super(network.isDown ? 'ws://127.0.0.1:1' : url);
      network.sent = [];
      network.received = [];
      network.opened += 1;
      this.on('message', (data) => network.received.push(readFrame(data)));
      this.on('close', (code) => network.closes.push(code));
      this.on('error', () => {});
    }

    send(data) {
      network.sent.push(readFrame(data));
      super.send(data);
    }
  };

/*
 * { version, websocket, network }: a connection for any number of documents, which ends with the
 * test. `network` has the frames of the present connection (`sent`, `received`), how often one was
 * `opened` and the codes of those that ended (`closes`); while `isDown` none is made.
 */
export const openSocket = (t, server, { version = '4.x', query = '', isDown = false } = {}) => {
  const network = { isDown, sent: [], received: [], opened: 0, closes: [] };
  const websocket = new MODULES[version].HocuspocusProviderWebsocket({
    url: server.ws(`/hocuspocus${query}`),
    WebSocketPolyfill: recordingSocket(network),
    delay: 20,
    minDelay: 0,
    maxDelay: 100,
  });
  t.after(() => {
    websocket.connect = async () => {}; /* a connect() that it has put off would bring it back */
    websocket.shouldConnect = false;
    websocket.destroy();
  });
  return { version, websocket, network };
};

/* { doc, provider, text, network, failures, scopes, end() }: a document on a connection. */
export const openDocument = (t, socket, name, { doc = new Y.Doc(), ...options } = {}) => {
  const failures = [];
  const provider = new MODULES[socket.version].HocuspocusProvider({
    websocketProvider: socket.websocket,
    name,
    document: doc,
    broadcast: false,
    onAuthenticationFailed: ({ reason }) => failures.push(reason),
    ...options,
  });
  provider.attach?.();
  let hasEnded = false;
  const end = () => {
    if (!hasEnded) provider.destroy();
    hasEnded = true;
  };
  t.after(() => {
    end();
    doc.destroy();
  });
  return { ...socket, doc, provider, text: doc.getText('body'), failures, end };
};

/* A document on a connection of its own, in step with its room. */
export const joinHocuspocus = async (t, server, name, { version, query, ...options } = {}) => {
  const client = openDocument(t, openSocket(t, server, { version, query }), name, options);
  await synced(client);
  return client;
};

const providerHolds = ({ provider }, event, condition, what) =>
  until(
    (check) => {
      provider.on(event, check);
      return () => provider.off(event, check);
    },
    condition,
    what,
  );

export const synced = (client) =>
  providerHolds(client, 'synced', () => client.provider.isSynced, 'in step');

/* The server has said that all of the client's edits are stored. */
export const saved = (client) =>
  providerHolds(
    client, 'unsyncedChanges',
    () => client.provider.isSynced && !client.provider.hasUnsyncedChanges, 'saved',
  );

/* It was told that it may not; resolves with the reason. */
export const denied = (client) =>
  providerHolds(client, 'authenticationFailed', () => client.failures[0], 'denied');

/* Resolves when `condition(frames)` holds for what was received on the present connection. */
export const received = (client, condition, what) =>
  until(
    (check) => {
      client.websocket.on('message', check);
      return () => client.websocket.off('message', check);
    },
    () => condition(client.network.received),
    what,
  );

/* How many edits (step 2 and updates) a client has sent, and how many it was told of. */
export const edits = ({ network }, key) =>
  network.sent.filter((frame) => frame.key === key && frame.type === SYNC && frame.kind > 0).length;
export const statuses = ({ network }, key) =>
  network.received.filter((frame) => frame.key === key && frame.type === STATUS)
    .map(({ kind }) => kind);
