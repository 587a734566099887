/*
 * The engine behind a pipe for callers that cannot wait for a promise: as peer.mjs, but every
 * method returns its result. Node's own pipes to a child are of no use for that, for they never
 * block; so these are two FIFOs, which do.
 */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HEAD_BYTES, REFUSED, Refused, sized } from './peer.mjs';

/* Both ends of a new FIFO; none of them is open anywhere else, so that its end can be seen. */
const openPipe = (path) => {
  execFileSync('mkfifo', [path]);
  /* Opening one end waits for the other, but for this one, which is both. */
  const both = openSync(path, 'r+');
  const ends = { reader: openSync(path, 'r'), writer: openSync(path, 'w') };
  closeSync(both);
  return ends;
};

const openPipes = () => {
  const directory = mkdtempSync(join(tmpdir(), 'concord-peer-'));
  try {
    return ['requests', 'answers'].map((name) => openPipe(join(directory, name)));
  } finally {
    rmSync(directory, { recursive: true });
  }
};

export class SyncPeer {
  #requests;
  #answers;
  #ended;

  constructor(path = process.env.CRDT_PEER) {
    if (!path) throw new Error('CRDT_PEER must name the crdt_peer program');
    const [requests, answers] = openPipes();
    const child = spawn(path, { stdio: [requests.reader, answers.writer, 'inherit'] });
    closeSync(requests.reader);
    closeSync(answers.writer);
    this.#requests = requests.writer;
    this.#answers = answers.reader;
    this.#ended = new Promise((resolve) => {
      child.on('error', (error) => resolve(error.message));
      child.on('close', (code, signal) => resolve(signal ?? code));
    });
  }

  /* Returns the result of a command; throws Refused if the engine refused it. */
  ask(command, payload = new Uint8Array()) {
    this.#write(sized(Buffer.concat([Buffer.from(command), payload])));
    const answer = this.#read(this.#read(HEAD_BYTES).readUInt32LE());
    const result = answer.subarray(1);
    if (answer[0] === REFUSED) throw new Refused(result.toString());
    return result;
  }

  /* Ends the process; resolves to its exit status. */
  close() {
    closeSync(this.#requests);
    closeSync(this.#answers);
    return this.#ended;
  }

  reset() {
    this.ask('N');
  }

  apply(update, version = 1) {
    this.ask(version === 2 ? 'A' : 'a', update);
  }

  stateVector() {
    return this.ask('v');
  }

  /* The document as an update from the state vector on. */
  encode(stateVector, version = 1) {
    return this.ask(version === 2 ? 'S' : 's', stateVector);
  }

  hasPending() {
    return this.ask('p').toString() === '1';
  }

  snapshot() {
    return this.ask('w');
  }

  /* Reads roots: { name: kind } with kinds text, delta, map, array and xml. */
  read(roots) {
    const lines = Object.entries(roots).map(([name, kind]) => `${kind} ${name}`);
    return JSON.parse(this.ask('j', Buffer.from(lines.join('\n'))));
  }

  merge(updates, version = 1) {
    return this.ask(version === 2 ? 'M' : 'm', Buffer.concat(updates.map(sized)));
  }

  #write(bytes) {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#requests, bytes, at);
  }

  #read(length) {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; ) {
      const count = readSync(this.#answers, bytes, at, length - at, null);
      if (count === 0) throw new Error('crdt_peer: ended');
      at += count;
    }
    return bytes;
  }
}
