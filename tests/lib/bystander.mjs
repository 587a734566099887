/*
 * Two clients in a room of their own who want nothing but to work on. One writes an edit every 10
 * ms, whether the last has arrived or not, so that no delay makes the next one start later.
 */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { areSame, joinRaw } from './raw-yjs.mjs';

const ROOM = 'bystanders';
const ROOT = 'body';
const EDIT_MS = 10;
export const ASKED_MS = 50;

const lengthOf = (doc) => doc.getText(ROOT).length;

/* For the n-th unit of the text the time from `starts[n]` until `client` has received it. */
const stopwatch = (client, starts) => {
  const times = [];
  client.on('received', () => {
    const now = performance.now();
    while (times.length < lengthOf(client.received)) times.push(now - starts[times.length]);
  });
  return times;
};

/* Times in ms: { count, p50, p99, max }. */
const figures = (times) => {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
};

export const told = ({ count, p50, p99, max }) =>
  `${count} edits, p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(1)} ms`;

export class Bystander {
  constructor(writer, reader) {
    this.writer = writer;
    this.reader = reader;
    this.starts = [];
    this.arrivals = stopwatch(reader, this.starts);
    this.acks = stopwatch(writer, this.starts);
  }

  start() {
    this.begin = performance.now();
    this.timer = setInterval(() => this.work(), EDIT_MS);
  }

  /* Writes the edits that are due. */
  work() {
    const due = Math.floor((performance.now() - this.begin) / EDIT_MS);
    while (this.starts.length < due && !this.writer.closed) {
      this.starts.push(performance.now());
      this.writer.doc.getText(ROOT).insert(lengthOf(this.writer.doc), 'x');
    }
  }

  /* Ends the work; resolves with the figures of { arrival, ack } when everything is there and
   * acknowledged, and rejects if one of the clients was disconnected. */
  async finish() {
    clearInterval(this.timer);
    const count = this.starts.length;
    await this.reader.holds(() => this.arrivals.length === count, 'every edit arrives');
    await this.writer.holds(() => this.acks.length === count, 'every edit is acknowledged');
    assert.ok(areSame(this.writer.doc, this.reader.received), 'the documents are the same');
    return { arrival: figures(this.arrivals), ack: figures(this.acks) };
  }
}

/* One that is in its room and has not started yet; it ends with the test. */
export const joinBystander = async (t, server) => {
  const writer = await joinRaw(t, server, ROOM);
  const reader = await joinRaw(t, server, ROOM);
  const bystander = new Bystander(writer, reader);
  t.after(() => clearInterval(bystander.timer));
  return bystander;
};
