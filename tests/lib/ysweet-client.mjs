/* Real y-sweet clients, and document tokens made as gateway/doc_token.h says. */
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import WebSocket from 'ws';
import { until } from './wait.mjs';
import Y from './yjs.mjs';

/* As CommonJS, like the other providers: they share one Yjs. */
const require = createRequire(import.meta.url);
const { createYjsProvider } = require('@y-sweet/client');
export const { DocumentManager, DocConnection } = require('@y-sweet/sdk');

/* An application's access to the server; `token` is its own. */
export const manager = (server, token = '') =>
  new DocumentManager(`ys://${token && `${encodeURIComponent(token)}@`}127.0.0.1:${server.port}`);

/* What the server would say of a document, with a token of our own. */
export const clientToken = (server, docId, token) => ({
  url: server.ws(`/d/${docId}/ws`),
  baseUrl: server.http(`/d/${docId}`),
  docId,
  authorization: 'full',
  ...(token && { token }),
});

/* The client has no end: after disconnect() and destroy() it connects again. */
const end = (provider) => {
  provider.connect = async () => {};
  provider.attemptToConnect = async () => true;
  const socket = provider.websocket;
  if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
  provider.disconnect();
  provider.destroy();
  provider.online(); /* ends a pause */
  provider.clearHeartbeat();
  provider.clearConnectionTimeout();
};

/* What a browser has and its store for edits made offline needs; goes with the test. */
export const installOfflineStore = async (t) => {
  const { indexedDB, IDBKeyRange } = await import('fake-indexeddb');
  Object.assign(globalThis, { indexedDB, IDBKeyRange, document: { cookie: '' } });
  t.after(() => ['indexedDB', 'IDBKeyRange', 'document'].forEach((name) => {
    delete globalThis[name];
  }));
};

/* { doc, provider, text, network, end() } with the tokens that `authenticate` gives; ends with the
 * test. While `network.isDown` no connection is made. */
export const connectYSweet = (t, docId, authenticate, options = {}) => {
  const network = { isDown: false, closes: [] };
  const doc = new Y.Doc();
  const provider = createYjsProvider(doc, docId, authenticate, {
    WebSocketPolyfill: class extends WebSocket {
      constructor(url) {
        super(network.isDown ? 'ws://127.0.0.1:1' : url);
      }
    },
    showDebuggerLink: false,
    ...options,
  });
  provider.on('connection-close', ({ code }) => network.closes.push(code));
  let hasEnded = false;
  const endOnce = () => {
    if (!hasEnded) end(provider);
    hasEnded = true;
    doc.destroy();
  };
  t.after(endOnce);
  return { doc, provider, network, text: doc.getText('body'), end: endOnce };
};

/* The same, in step with a room of a server without keys. */
export const joinYSweet = async (t, server, docId) => {
  const client = connectYSweet(t, docId, async () => clientToken(server, docId));
  await connected(client);
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

export const connected = (client) =>
  providerHolds(
    client, 'connection-status', () => client.provider.status === 'connected', 'connected',
  );

/* The server has said that it has all of the client's edits. */
export const saved = (client) =>
  providerHolds(client, 'local-changes', () => !client.provider.hasLocalChanges, 'saved');

const named = (text) => {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
};

/* A document's token by the key of the server. */
export const docToken = (
  server, doc,
  { access = 'write', tenant = 'default', user = '', issued, expires, key } = {},
) => {
  const now = Math.floor(Date.now() / 1000);
  const times = Buffer.alloc(17);
  times.writeBigUInt64BE(BigInt(issued ?? now), 0);
  times.writeBigUInt64BE(BigInt(expires ?? now + 600), 8);
  times[16] = access === 'write' ? 2 : 1;
  const payload = Buffer.concat([times, named(tenant), named(doc), named(user)]);
  const secret = key ?? readFileSync(join(server.run, 'token.key'));
  const mac = createHmac('sha256', secret).update('d1.').update(payload).digest();
  return `d1.${Buffer.concat([payload, mac]).toString('base64url')}`;
};
