/*
 * The engine behind a pipe: one crdt_peer process, asked one thing after the other. Its path comes
 * from CRDT_PEER. Commands and frames are described in tests/crdt_peer/main.c.
 */
import { spawn } from 'node:child_process';
import * as encoding from 'lib0/encoding';

export const HEAD_BYTES = 4;
export const REFUSED = 1;

/* The engine answered, and its answer was no. */
export class Refused extends Error {}

export const sized = (bytes) => {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32LE(bytes.length);
  return Buffer.concat([head, bytes]);
};

/* The parts of a list of sized ones. */
const unsized = (bytes) => {
  const parts = [];
  for (let at = 0; at < bytes.length; ) {
    const start = at + HEAD_BYTES;
    at = start + bytes.readUInt32LE(at);
    parts.push(bytes.subarray(start, at));
  }
  return parts;
};

export class Peer {
  #process;
  #waiting = [];
  #chunks = [];
  #received = 0;
  #ended;
  #reason = null;

  constructor(path = process.env.CRDT_PEER) {
    if (!path) throw new Error('CRDT_PEER must name the crdt_peer program');
    this.#process = spawn(path, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process.stdout.on('data', (chunk) => this.#receive(chunk));
    this.#process.stdin.on('error', () => {});
    this.#ended = new Promise((resolve) => {
      const end = (reason) => {
        this.#reason ??= `crdt_peer: ${reason}`;
        for (const { reject } of this.#waiting.splice(0)) reject(new Error(this.#reason));
        resolve(reason);
      };
      this.#process.on('error', (error) => end(error.message));
      this.#process.on('close', (code, signal) => end(signal ?? code));
    });
  }

  /* Sends a command; resolves to the result or rejects, with Refused if the engine refused. */
  ask(command, payload = new Uint8Array()) {
    if (this.#reason !== null) return Promise.reject(new Error(this.#reason));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#process.stdin.write(sized(Buffer.concat([Buffer.from(command), payload])));
    });
  }

  /* Ends the process; resolves to its exit status. */
  close() {
    this.#process.stdin.end();
    return this.#ended;
  }

  reset() {
    return this.ask('N');
  }

  apply(update, version = 1) {
    return this.ask(version === 2 ? 'A' : 'a', update);
  }

  /* Applies v1 updates, one after the other. */
  applyAll(updates) {
    return this.ask('b', Buffer.concat(updates.map(sized)));
  }

  /*
   * Makes edits of a root text as `client`, each [index, deleted, inserted] with only one of the
   * last two; resolves to their v1 updates.
   */
  async editText(client, root, edits) {
    const encoder = encoding.createEncoder();
    encoding.writeVarUint(encoder, client);
    encoding.writeVarString(encoder, root);
    for (const [index, deleted, inserted] of edits) {
      encoding.writeVarUint(encoder, index);
      encoding.writeVarUint(encoder, deleted);
      encoding.writeVarString(encoder, inserted);
    }
    return unsized(await this.ask('B', encoding.toUint8Array(encoder)));
  }

  /*
   * Makes one edit, described by its letter in tests/crdt_peer/edit.h, of the type at `path`: a
   * root's name, then keys and indices. Resolves to its v1 update.
   */
  edit(letter, client, [root, ...steps], ...args) {
    const encoder = encoding.createEncoder();
    const write = (arg) => {
      if (typeof arg === 'number') encoding.writeVarUint(encoder, arg);
      else encoding.writeVarString(encoder, arg);
    };
    encoding.writeUint8(encoder, letter.charCodeAt(0));
    [client, root, steps.length].forEach(write);
    for (const step of steps) {
      encoding.writeUint8(encoder, typeof step === 'string' ? 1 : 0);
      write(step);
    }
    args.forEach(write);
    return this.ask('e', encoding.toUint8Array(encoder));
  }

  stateVector() {
    return this.ask('v');
  }

  /* The document as an update from the state vector on. */
  encode(stateVector, version = 1) {
    return this.ask(version === 2 ? 'S' : 's', stateVector);
  }

  /* The whole document in both formats, in hex. */
  async states() {
    const [v1, v2] = await Promise.all([this.encode(), this.encode(new Uint8Array(), 2)]);
    return { v1: v1.toString('hex'), v2: v2.toString('hex') };
  }

  async hasPending() {
    return (await this.ask('p')).toString() === '1';
  }

  /* Reads roots: { name: kind } with kinds text, delta, map, array and xml. */
  async read(roots) {
    const lines = Object.entries(roots).map(([name, kind]) => `${kind} ${name}`);
    return JSON.parse(await this.ask('j', Buffer.from(lines.join('\n'))));
  }

  merge(updates, version = 1) {
    return this.ask(version === 2 ? 'M' : 'm', Buffer.concat(updates.map(sized)));
  }

  diff(update, stateVector, version = 1) {
    return this.ask(version === 2 ? 'D' : 'd', Buffer.concat([sized(update), stateVector]));
  }

  stateVectorOf(update, version = 1) {
    return this.ask(version === 2 ? 'U' : 'u', update);
  }

  toV2(update) {
    return this.ask('c', update);
  }

  toV1(update) {
    return this.ask('C', update);
  }

  snapshot(version = 1) {
    return this.ask(version === 2 ? 'W' : 'w');
  }

  /* The document as of a v1 snapshot, as a v1 update. */
  documentAt(snapshot) {
    return this.ask('t', snapshot);
  }

  /* The version of a v2 update as of a v2 snapshot, as a v2 update. */
  updateAt(update, snapshot) {
    return this.ask('T', Buffer.concat([sized(snapshot), update]));
  }

  /* The relative position of an index in a root: `head` is the index and the association. */
  positionAt(head, root) {
    return this.ask('i', Buffer.concat([head, Buffer.from(root)]));
  }

  /* { index, type } or null. */
  async resolvePosition(position) {
    return JSON.parse(await this.ask('q', position));
  }

  rewriteAwareness(update) {
    return this.ask('x', update);
  }

  #receive(chunk) {
    this.#chunks.push(chunk);
    this.#received += chunk.length;
    while (this.#received >= HEAD_BYTES) {
      let bytes = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
      const end = HEAD_BYTES + bytes.readUInt32LE();
      this.#chunks = [bytes];
      if (bytes.length < end) return;
      this.#chunks = [bytes.subarray(end)];
      this.#received = bytes.length - end;
      this.#answer(bytes.subarray(HEAD_BYTES, end));
    }
  }

  #answer(answer) {
    const { resolve, reject } = this.#waiting.shift();
    const result = answer.subarray(1);
    if (answer[0] === REFUSED) reject(new Refused(result.toString()));
    else resolve(result);
  }
}
