/* A client of `/yjs/{room}` that does what y-protocols asks for and nothing of its own accord: it
 * never reconnects, and no silence is too long for it. */
import { EventEmitter } from 'node:events';
import * as decoding from 'lib0/decoding';
import * as encoding from 'lib0/encoding';
import WebSocket from 'ws';
import { until } from './wait.mjs';
import Y from './yjs.mjs';

export const SYNC = 0;
export const [STEP_1, STEP_2, UPDATE] = [0, 1, 2];

/* A sync message as it is sent. */
export const syncMessage = (kind, bytes) =>
  encoding.encode((encoder) => {
    encoding.writeVarUint(encoder, SYNC);
    encoding.writeVarUint(encoder, kind);
    encoding.writeVarUint8Array(encoder, bytes);
  });

/* The sync messages of a frame; what else is in it has the same shape. */
const readSync = function* (data) {
  const decoder = decoding.createDecoder(new Uint8Array(data));
  while (decoding.hasContent(decoder)) {
    const type = decoding.readVarUint(decoder);
    const kind = type === SYNC ? decoding.readVarUint(decoder) : null;
    const bytes = decoding.readVarUint8Array(decoder);
    if (type === SYNC) yield { kind, bytes };
  }
};

/*
 * `doc` is what it edits; `received` holds what the server has sent, after a while its own
 * edits too, which is their acknowledgement. Events: `received` for each message, `close`.
 */
export class RawYjs extends EventEmitter {
  constructor(url) {
    super();
    this.doc = new Y.Doc();
    this.received = new Y.Doc();
    this.isSynced = false;
    this.closed = null;
    this.socket = new WebSocket(url, { perMessageDeflate: false });
    this.socket.on('open', () =>
      this.send(STEP_1, Y.encodeStateVector(this.received)));
    this.socket.on('message', (data) => this.receive(data));
    this.socket.on('error', () => {});
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.emit('close');
    });
    this.doc.on('update', (update) => this.send(UPDATE, update));
  }

  send(kind, bytes) {
    this.socket.send(syncMessage(kind, bytes));
  }

  receive(data) {
    for (const { kind, bytes } of readSync(data)) {
      if (kind === STEP_1) continue;
      Y.applyUpdate(this.received, bytes);
      this.isSynced ||= kind === STEP_2;
    }
    this.emit('received');
  }

  /* Resolves when `condition()` holds, which is asked after everything that comes. */
  holds(condition, what, deadlineMs) {
    const subscribe = (check) => {
      this.on('received', check).on('close', check);
      return () => this.off('received', check).off('close', check);
    };
    const answer = () => {
      if (this.closed) throw new Error(`closed with ${this.closed.code} ${this.closed.reason}`);
      return condition();
    };
    return until(subscribe, answer, what, deadlineMs);
  }
}

/* One that is in step with the room of that name; it ends with the test. */
export const joinRaw = async (t, server, room) => {
  const client = new RawYjs(server.ws(`/yjs/${room}`));
  t.after(() => client.socket.terminate());
  await client.holds(() => client.isSynced, 'sync');
  return client;
};

export const areSame = (a, b) => Y.equalSnapshots(Y.snapshot(a), Y.snapshot(b));
