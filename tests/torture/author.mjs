/* Clients that know what was acknowledged to them, and what of it is lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { JsonClient } from '../lib/json-client.mjs';
import { poll } from '../lib/wait.mjs';
import Y from '../lib/yjs.mjs';

/* One edit that depends on no other: the key `mark` of the map. */
const MARKS = 'marks';
const updateOf = (mark) => {
  const doc = new Y.Doc();
  doc.getMap(MARKS).set(mark, true);
  const update = Y.encodeStateAsUpdateV2(doc);
  doc.destroy();
  return update;
};

const PAUSE_MS = 10; /* between edits, and before the next attempt to connect */

/*
 * Writes marks into a room over the JSON socket and remembers those that were acknowledged. It
 * keeps no document and sends nothing twice, so nothing that the server loses is ever healed by it.
 */
export class Author {
  constructor(server, room, name) {
    this.server = server;
    this.room = room;
    this.name = name;
    this.count = 0;
    this.acked = [];
    this.isTyping = true;
    this.losses = 0;
    this.done = this.run();
  }

  async run() {
    while (this.isTyping) {
      await this.session();
      await sleep(PAUSE_MS);
    }
  }

  /* Types over one socket until it closes. */
  async session() {
    const path = `/rooms/${encodeURIComponent(this.room)}/ws`;
    const client = new JsonClient(this.server.ws(path));
    const sent = new Map();
    let isOpen = false;
    const ended = new Promise((resolve) => {
      client.on('close', resolve);
    });
    client.on('frame', ({ t, seq }) => {
      if (t === 'sync') isOpen = true;
      if (t === 'ack') this.acked.push(sent.get(seq));
    });
    while (this.isTyping && !client.closed) {
      if (isOpen) {
        const mark = `${this.name}.${this.count}`;
        this.count += 1;
        sent.set(client.seq + 1, mark);
        client.op(updateOf(mark));
      }
      await sleep(PAUSE_MS);
    }
    if (client.closed) {
      this.losses += 1;
      return;
    }
    const isAnswered = () => client.closed || client.acked.size === sent.size;
    await poll(isAnswered, `the acks of ${this.name}`, 60000);
    client.close();
    await ended;
  }

  async stop() {
    this.isTyping = false;
    await this.done;
  }
}

/* The marks that a client which joins now finds in the room. */
export const marksOf = async (server, room) => {
  const doc = new Y.Doc();
  const joined = async () => {
    const client = new JsonClient(server.ws(`/rooms/${encodeURIComponent(room)}/ws`));
    client.bind(Y, doc);
    const isSynced = () => client.type('sync').length > 0 || client.closed;
    await poll(isSynced, `sync of ${room}`);
    client.socket.terminate();
    return client.type('sync').length > 0;
  };
  await poll(joined, `a client joins ${room}`);
  return new Set(doc.getMap(MARKS).keys());
};

/* What was acknowledged and is not there: of all authors, by room. */
export const lostMarks = async (server, authors) => {
  const lost = [];
  for (const { room, acked } of authors) {
    const found = await marksOf(server, room);
    lost.push(...acked.filter((mark) => !found.has(mark)).map((mark) => `${room}: ${mark}`));
  }
  return lost;
};
