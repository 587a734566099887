/*
 * What durable rooms cost. Each section starts a server of its own, and prints its figures beside
 * what is asked; it judges none.
 *
 *     ./dev bench durable [join] [open] [idle] [ack] [rate]
 *
 * join  150 clients join a document of 20 MB at once while somebody edits it
 * open  the first client of a stored room of 100 KB
 * idle  what a room costs that nobody uses, and to start it
 * ack   edits until they are stored: 1,000 a second over 100 rooms
 * rate  20,000 edits a second over 500 rooms
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import WebSocket from 'ws';
import * as Y from 'yjs';
import {
  build, cpuOf, inDirectory, machine, memoryOf, pidOf, pidsOf, programOf, roomPids, runOf, segments,
  withServer,
} from './lib/server.mjs';
import { figures, quantile } from './lib/times.mjs';
import { STEP_1, STEP_2, UPDATE, frame, opened, readSync } from './lib/yjs.mjs';

const run = promisify(execFile);
const MB = 2 ** 20;

const print = (what, figure, asked = '') =>
  console.log(`  ${what.padEnd(44)} ${figure.padEnd(52)} ${asked}`);
const ms = (n) => `${n.toFixed(n < 10 ? 2 : 0)} ms`;
const megabytes = (bytes) => `${(bytes / MB).toFixed(1)} MB`;

/* What bench/load.c prints; times in microseconds. */
const load = async (...args) => JSON.parse((await run(join(build, 'bench/load'), args)).stdout);

/* ---- clients ---- */

const NOTHING = Uint8Array.of(0); /* a state vector */

/* Joins a room without reading its document into one; { socket, ms } until step 2. */
const joinRaw = async ({ address }, room) => {
  const start = performance.now();
  const socket = new WebSocket(`ws://${address}/yjs/${room}`, { maxPayload: 0 });
  const synced = new Promise((done) => {
    socket.on('message', (data) => {
      for (const { kind } of readSync(data)) if (kind === STEP_2) done(performance.now() - start);
    });
  });
  await opened(socket);
  socket.send(frame(STEP_1, NOTHING));
  return { socket, ms: await synced };
};

/* The times of the first client of each room, which starts it, and of a second one. */
const joinTwice = async (server, rooms) => {
  const times = { first: [], second: [] };
  for (const room of rooms) {
    const one = await joinRaw(server, room);
    const two = await joinRaw(server, room);
    times.first.push(one.ms);
    times.second.push(two.ms);
    one.socket.close();
    two.socket.close();
  }
  return times;
};

/* Sends updates, each when the one before has come back, which is when it is stored. */
const store = async (server, room, updates) => {
  const { socket } = await joinRaw(server, room);
  let onEcho;
  socket.on('message', (data) => {
    for (const { kind } of readSync(data)) if (kind === UPDATE) onEcho();
  });
  for (const update of updates) {
    const stored = new Promise((done) => (onEcho = done));
    socket.send(frame(UPDATE, update));
    await stored;
  }
  socket.close();
};

/* Updates of a text of so many bytes, in pieces that no two of which become one struct. */
const textUpdates = (bytes, piece = 200, perUpdate = 2000) => {
  const doc = new Y.Doc();
  const updates = [];
  doc.on('update', (update) => updates.push(update));
  const text = doc.getText('body');
  for (let left = Math.ceil(bytes / piece); left > 0; left -= perUpdate)
    doc.transact(() => {
      for (let i = 0; i < Math.min(left, perUpdate); i += 1) text.insert(0, 'x'.repeat(piece));
    });
  return updates;
};

/* An editor and a reader in one room; neither holds its document. */
class Latency {
  constructor() {
    this.times = [];
    this.doc = new Y.Doc();
    this.sent = [];
    this.seen = 0;
  }

  static async start(server, room) {
    const latency = new Latency();
    const writer = new WebSocket(`ws://${server.address}/yjs/${room}`);
    const reader = new WebSocket(`ws://${server.address}/yjs/${room}`);
    await Promise.all([opened(writer), opened(reader)]);
    latency.sockets = [writer, reader];
    reader.on('message', (data) => {
      const at = performance.now();
      for (const { kind } of readSync(data))
        if (kind === UPDATE) latency.times.push(at - latency.sent[latency.seen++]);
    });
    latency.doc.on('update', (update) => {
      latency.sent.push(performance.now());
      writer.send(frame(UPDATE, update));
    });
    latency.timer = setInterval(() => latency.doc.getText('other').insert(0, 'x'), 5);
    return latency;
  }

  /* The times since the last call. */
  take() {
    const { times } = this;
    this.times = [];
    return times;
  }

  stop() {
    clearInterval(this.timer);
    this.sockets.forEach((socket) => socket.close());
  }
}

/* ---- join ---- */

const CLIENTS = 150;
const DOCUMENT = 20 * MB;

/* The most that processes hold from now on, looked at every 20 ms. */
const watchMemory = (pids) => {
  const sum = () => pids.map(memoryOf).reduce((a, b) => a + b);
  const before = sum();
  let most = before;
  const timer = setInterval(() => (most = Math.max(most, sum())), 20);
  return () => {
    clearInterval(timer);
    return Math.max(most, sum()) - before;
  };
};

const measureJoin = (directory) => {
  const options = ['--gateways', '1', '--message-bytes', String(64 * MB)];
  const room = 'large';
  return withServer(directory, options, (server) => store(server, room, textUpdates(DOCUMENT)))
    .then(() => rmSync(runOf(directory), { recursive: true }))
    .then(() =>
      withServer(directory, options, async (server) => {
        const latency = await Latency.start(server, room);
        await sleep(2000); /* the room is loaded */
        latency.take();
        await sleep(2000);
        const before = latency.take();
        const gateway = pidOf(server, 'gateway');
        const growth = watchMemory([gateway, ...roomPids(server)]);
        const cpu = cpuOf(gateway);
        const joined = await load('join', server.port, room, String(CLIENTS));
        const size = joined.bytes / CLIENTS;
        print('all synced', `${ms(joined.total / 1000)} (median ${ms(joined.p50 / 1000)})`,
          '<= 3000 ms');
        print('transferred', `${CLIENTS} x ${megabytes(size)}`);
        print('processor time of the gateway', `${(cpuOf(gateway) - cpu).toFixed(2)} s`);
        const grown = growth();
        print('memory of gateway and room grew by',
          `${megabytes(grown)}, ${(grown / size).toFixed(2)} documents`, '<= 2');
        print('edit to other client, before', figures(before, [0.5, 0.99]));
        print('edit to other client, meanwhile', figures(latency.take(), [0.5, 0.99]));
        latency.stop();
      }));
};

/* ---- open ---- */

const STORED_ROOMS = 50;

const measureOpen = async (directory) => {
  const rooms = Array.from({ length: STORED_ROOMS }, (_, i) => `stored-${i}`);
  await withServer(directory, [], async (server) => {
    for (const room of rooms) await store(server, room, textUpdates(100_000, 50, 100));
  });
  rmSync(runOf(directory), { recursive: true });
  await withServer(directory, [], async (server) => {
    const { first, second } = await joinTwice(server, rooms);
    print('first client, connected to synced', figures(first, [0.5, 0.99]));
    print('second client', figures(second, [0.5, 0.99]));
    print('the difference: starting and loading', ms(quantile(first, 0.5) - quantile(second, 0.5)),
      'p50 <= 3 ms');
  });
};

/* ---- idle ---- */

/* The median of a histogram of /metrics, in milliseconds: between the bounds of its bucket as far
 * up as the median is among those in it. */
const medianOf = async ({ address }, name) => {
  const text = await (await fetch(`http://${address}/metrics`)).text();
  const buckets = [...text.matchAll(new RegExp(`^${name}_bucket{.*le="(.*)"} (.*)$`, 'gm'))]
    .map(([, bound, count]) => ({ bound: 1000 * Number(bound), count: Number(count) }));
  const half = buckets.at(-1).count / 2;
  const at = buckets.findIndex(({ count }) => count >= half);
  const below = buckets[at - 1] ?? { bound: 0, count: 0 };
  const share = (half - below.count) / (buckets[at].count - below.count);
  return below.bound + share * (buckets[at].bound - below.bound);
};

const IDLE_ROOMS = 200;

const measureIdle = (directory) =>
  withServer(directory, ['--room-idle-ms', '3600000'], async (server) => {
    const rooms = Array.from({ length: IDLE_ROOMS }, (_, i) => `idle-${i}`);
    const { first, second } = await joinTwice(server, rooms);
    const start = await medianOf(server, 'concord_room_start_seconds');
    await sleep(7000); /* what gateways keep for the next joiner is given back */
    const pids = roomPids(server);
    const processes = pids.map(memoryOf).reduce((a, b) => a + b) / pids.length;
    const files = segments(server).map((path) => statSync(path).blocks * 512);
    const file = files.reduce((a, b) => a + b) / files.length;
    print('a room process', `${(processes / 1000).toFixed(0)} KB`);
    print('its segment', `${(file / 1000).toFixed(0)} KB`);
    print('together', `${((processes + file) / 1000).toFixed(0)} KB`, '<= 150 KB');
    print('from its start until it is ready, p50', ms(start), 'spawn <= 1 ms');
    print('first client less second: open, start and load',
      ms(quantile(first, 0.5) - quantile(second, 0.5)));
  });

/* ---- ack and rate ---- */

/* Counts the calls of fsync and fdatasync of a process while `during` runs, where strace is. */
const countSyncs = async (pid, during) => {
  const directory = mkdtempSync(join(tmpdir(), 'concord-strace-'));
  const file = join(directory, 'calls');
  const tracer = spawn('strace', ['-f', '-qq', '-e', 'trace=fsync,fdatasync', '-o', file, '-p', pid],
    { stdio: 'ignore' });
  const ended = new Promise((done) => tracer.on('exit', done).on('error', () => done(null)));
  try {
    await sleep(500);
    await during();
    tracer.kill('SIGINT');
    if ((await ended) === null && tracer.exitCode === null && tracer.signalCode === null) return null;
    return readFileSync(file, 'utf8').split('\n').filter((line) => /sync\(/.test(line)).length;
  } catch {
    return null;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

const printEdits = (edits, rate, asked) => {
  const seconds = edits.total / 1e6;
  print('acknowledged', `${edits.acknowledged} of ${edits.sent}, ` +
    `${(edits.acknowledged / seconds).toFixed(0)} a second`, `${rate} a second`);
  print('edit to acknowledgement (stored)',
    `p50 ${ms(edits.p50 / 1000)}  p99 ${ms(edits.p99 / 1000)}  max ${ms(edits.max / 1000)}`, asked);
  print('the load generator was late by at most', ms(edits.late / 1000));
};

const PROCESSES = ['gateway', 'snapshotd', 'roomd'];

const measureEdits = async (server, rooms, rate, seconds, asked) => {
  const pids = PROCESSES.flatMap((role) => pidsOf(server, role));
  const before = pids.map(cpuOf);
  const edits = await load('edit', server.port, 'room-', String(rooms), String(rate), String(seconds));
  const roomsCpu = roomPids(server).map(cpuOf).reduce((a, b) => a + b, 0);
  printEdits(edits, rate, asked);
  const used = pids.map((pid, i) => `${programOf(pid)} ${(cpuOf(pid) - before[i]).toFixed(1)} s`);
  print('processor time', `${used.join(', ')}, rooms ${roomsCpu.toFixed(1)} s`);
};

const measureAck = (directory) =>
  withServer(directory, ['--gateways', '1'], async (server) => {
    const [rooms, rate, seconds] = [100, 1000, 10];
    await measureEdits(server, rooms, rate, seconds, 'p50 <= 5 ms, p99 <= 25 ms');
    const counted = 5;
    const syncs = await countSyncs(pidOf(server, 'snapshotd'), () =>
      load('edit', server.port, 'traced-', String(rooms), String(rate), String(counted)));
    print('fsyncs, traced', syncs === null ? 'not counted: no strace'
      : `${syncs}, ${(syncs / counted).toFixed(0)} a second for ${rate} edits in ${rooms} rooms`,
    'one a tick');
  });

const measureRate = (directory) =>
  withServer(directory, [], (server) =>
    measureEdits(server, 500, 20_000, 20, 'not falling behind'));

/* ---- the whole ---- */

const SECTIONS = {
  join: [measureJoin, `${CLIENTS} clients join a document of ${DOCUMENT / MB} MB at once`],
  open: [measureOpen, `${STORED_ROOMS} stored rooms of 100 KB are opened`],
  idle: [measureIdle, `${IDLE_ROOMS} rooms that nobody uses`],
  ack: [measureAck, '1,000 edits a second over 100 rooms'],
  rate: [measureRate, '20,000 edits a second over 500 rooms'],
};

const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !SECTIONS[name]);
if (unknown.length > 0) {
  console.error(`no section ${unknown.join(', ')}; there are: ${Object.keys(SECTIONS).join(' ')}`);
  process.exit(2);
}
console.log(machine());
for (const [name, [measure, title]] of Object.entries(SECTIONS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  console.log(`${name}: ${title}`);
  await inDirectory(measure);
}
