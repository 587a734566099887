/* A client of the JSON socket that knows bytes only: frames in, frames out. */
import { EventEmitter } from 'node:events';
import WebSocket from 'ws';
import { once, until } from './wait.mjs';

export const toBase64 = (bytes) => Buffer.from(bytes).toString('base64');
export const fromBase64 = (text) => new Uint8Array(Buffer.from(text, 'base64'));

/* Events: `frame` (object) for each message, `close` ({ code, reason }). */
export class JsonClient extends EventEmitter {
  constructor(url, options = {}) {
    super();
    this.setMaxListeners(0);
    this.frames = [];
    this.acked = new Set();
    this.seq = 0;
    this.closed = null;
    this.socket = new WebSocket(url, 'concord.v1', options);
    this.socket.on('message', (data) => this.receive(JSON.parse(data.toString())));
    this.socket.on('error', () => {});
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.emit('close', this.closed);
    });
  }

  receive(frame) {
    this.frames.push(frame);
    if (frame.t === 'ack') this.acked.add(frame.seq);
    this.emit('frame', frame);
  }

  /* Resolves with the first frame, past or future, for which `predicate` holds. */
  async frame(predicate, what = 'a frame') {
    return this.frames.find(predicate) ?? once(this, 'frame', predicate, what);
  }

  type(t) {
    return this.frames.filter((frame) => frame.t === t);
  }

  send(frame) {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  /* Sends one edit and returns its number. */
  op(update, { seq = this.seq + 1, ...data } = {}) {
    this.seq = Math.max(this.seq, seq);
    this.send({ t: 'op', seq, data: { update: toBase64(update), ...data } });
    return seq;
  }

  ackOf(seq) {
    const subscribe = (check) => {
      this.on('frame', check);
      return () => this.off('frame', check);
    };
    return until(subscribe, () => this.acked.has(seq), `the ack of ${seq}`);
  }

  /* Keeps `doc` (of the module `Y`) in step with what arrives and sends what it edits. */
  bind(Y, doc) {
    const apply = (frame) => {
      if (frame.t === 'sync') Y.applyUpdateV2(doc, fromBase64(frame.state), this);
      if (frame.t === 'op') Y.applyUpdateV2(doc, fromBase64(frame.data.update), this);
    };
    this.frames.forEach(apply);
    this.on('frame', apply);
    doc.on('updateV2', (update, origin) => origin !== this && this.op(update));
    return doc;
  }

  close() {
    this.socket.close();
  }
}

/* A client that has received `hello` and `sync`; it closes with the test. `options` are those of
 * `ws`. */
export const joinJson = async (t, server, room, { query = '', options } = {}) => {
  const path = `/rooms/${encodeURIComponent(room)}/ws${query}`;
  const client = new JsonClient(server.ws(path), options);
  t.after(() => client.socket.terminate());
  await client.frame(({ t: type }) => type === 'sync', 'sync');
  return client;
};
