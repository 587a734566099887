/*
 * How long an edit takes: from a client to another one (y-protocols over WebSocket), and until a JSON
 * client's edit is acknowledged, which is when it is stored. Starts a server of its own. Prints
 * figures and judges none.
 *
 *     ./dev bench latency [--edits 2000] [--rate 100]
 */
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import WebSocket from 'ws';
import * as Y from 'yjs';
import { inDirectory, machine, withServer } from './lib/server.mjs';
import { figures } from './lib/times.mjs';
import { STEP_1, UPDATE, frame, opened, readSync } from './lib/yjs.mjs';

const { values } = parseArgs({
  options: {
    edits: { type: 'string', default: '2000' },
    rate: { type: 'string', default: '100' }, // edits a second
  },
});
const EDITS = Number(values.edits);
const RATE = Number(values.rate);
const WARM_UP = Math.min(50, EDITS);
const DEADLINE_MS = 15_000;

/* A client whose document is in step with the room. */
const joinYjs = async (address, room, onUpdate) => {
  const doc = new Y.Doc();
  const socket = new WebSocket(`ws://${address}/yjs/${room}`);
  const synced = new Promise((done) => {
    socket.on('message', (data) => {
      for (const { kind, bytes } of readSync(data)) {
        if (kind === STEP_1) continue;
        const at = performance.now();
        Y.applyUpdate(doc, bytes, socket);
        if (kind === UPDATE) onUpdate?.(doc, at);
        else done();
      }
    });
  });
  await opened(socket);
  socket.send(frame(STEP_1, Y.encodeStateVector(doc)));
  await synced;
  doc.on('update', (update, origin) => origin !== socket && socket.send(frame(UPDATE, update)));
  return { doc, socket };
};

/* ---- measuring ---- */

/* Calls `edit(i)` EDITS times at RATE a second, on the schedule and not after each other. */
const atRate = (edit) =>
  new Promise((done) => {
    const start = performance.now();
    let i = 0;
    const turn = () => {
      while (i < EDITS && performance.now() >= start + (i * 1000) / RATE) edit(i++);
      if (i < EDITS) setTimeout(turn, 1);
      else done();
    };
    turn();
  });

const within = (promise, what) => {
  let timer;
  const late = new Promise((_, failed) => {
    timer = setTimeout(() => failed(new Error(`${what}: not in time`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

/* The times between the two ends of each edit, in ms; `end(i)` resolves the promise by the last. */
const stopwatch = () => {
  const starts = [];
  const times = [];
  let finish;
  const all = new Promise((done) => (finish = done));
  return {
    all,
    times,
    start: (i) => (starts[i] = performance.now()),
    end: (i, at = performance.now()) => {
      times[i] ??= at - starts[i];
      if (i === EDITS - 1) finish();
    },
  };
};

const measureClients = async (address) => {
  const watch = stopwatch();
  let seen = 0;
  const reader = await joinYjs(address, 'bench-clients', (doc, at) => {
    for (const { length } = doc.getText('body'); seen < length; seen++) watch.end(seen, at);
  });
  const writer = await joinYjs(address, 'bench-clients');
  await atRate((i) => {
    watch.start(i);
    writer.doc.getText('body').insert(i, 'x');
  });
  await within(watch.all, 'edit to other client');
  reader.socket.close();
  writer.socket.close();
  return watch.times;
};

const measureStored = async (address) => {
  const watch = stopwatch();
  const doc = new Y.Doc();
  const socket = new WebSocket(`ws://${address}/rooms/bench-stored/ws`, 'concord.v1');
  const synced = new Promise((done, failed) => {
    socket.on('message', (data) => {
      const at = performance.now();
      const message = JSON.parse(data.toString());
      if (message.t === 'sync') done();
      else if (message.t === 'ack') watch.end(message.seq - 1, at);
      else if (message.t === 'error') failed(new Error(message.message));
    });
  });
  await opened(socket);
  await within(synced, 'sync');
  let i = 0;
  doc.on('updateV2', (update) => {
    const data = { update: Buffer.from(update).toString('base64') };
    socket.send(JSON.stringify({ t: 'op', seq: i + 1, data }));
  });
  await atRate((n) => {
    i = n;
    watch.start(n);
    doc.getText('body').insert(n, 'x');
  });
  await within(watch.all, 'edit to ack');
  socket.close();
  return watch.times;
};

/* ---- report ---- */

const print = (what, all) => {
  const times = all.slice(all.length > 2 * WARM_UP ? WARM_UP : 0);
  console.log(`${what.padEnd(24)} ${figures(times)}  (${times.length} edits)`);
};

await inDirectory((directory) =>
  withServer(directory, [], async ({ address }) => {
    console.log(`${EDITS} edits at ${RATE}/s, ${machine()}`);
    print('edit to other client', await measureClients(address));
    print('edit to ack (stored)', await measureStored(address));
  }));
