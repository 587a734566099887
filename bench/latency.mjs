/*
 * How long an edit takes: from a client to another one (y-protocols over WebSocket), and until a JSON
 * client's edit is acknowledged, which is when it is stored. Starts a server of its own. Prints
 * figures and judges none.
 *
 *     ./dev bench latency [--edits 2000] [--rate 100]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import WebSocket from 'ws';
import * as Y from 'yjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const build = resolve(root, process.env.CONCORD_BUILD ?? 'build');
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

/* ---- server ---- */

const startServer = (directory) =>
  new Promise((done, failed) => {
    const args = ['--port', '0', '--data', join(directory, 'data'), '--run', join(directory, 'run')];
    const launcher = spawn(join(build, 'ctl/concord'), [...args, '--log-level', 'warn'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    launcher.on('error', failed);
    launcher.on('exit', (code) => failed(new Error(`concord ended with ${code}`)));
    launcher.stdout.setEncoding('utf8').on('data', (chunk) => {
      output += chunk;
      const ready = /^ready http:\/\/(\S+)$/m.exec(output);
      if (ready) done({ launcher, address: ready[1] });
    });
  });

const stopServer = ({ launcher }) =>
  new Promise((done) => {
    launcher.removeAllListeners('exit').on('exit', done);
    launcher.kill('SIGTERM');
  });

/* ---- y-protocols (sync): a frame is [0, kind, length, bytes] ---- */

const STEP_1 = 0;
const UPDATE = 2;

const frame = (kind, bytes) => {
  const length = [];
  for (let n = bytes.length; ; n >>>= 7) {
    length.push(n < 128 ? n : (n & 127) | 128);
    if (n < 128) break;
  }
  return Buffer.concat([Buffer.from([0, kind, ...length]), bytes]);
};

/* The sync messages of a frame, which may hold several messages. */
const readSync = function* (data) {
  let at = 0;
  const readUint = () => {
    let n = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = data[at++];
      n += (byte & 127) * shift;
      if (byte < 128) return n;
    }
  };
  const readBytes = () => {
    const length = readUint();
    at += length;
    return data.subarray(at - length, at);
  };
  while (at < data.length) {
    const type = readUint();
    if (type > 1) return;
    const kind = type === 0 ? readUint() : -1;
    const bytes = readBytes();
    if (type === 0) yield { kind, bytes };
  }
};

const opened = (socket) =>
  new Promise((done, failed) => socket.on('open', done).on('error', failed));

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
  const times = all.slice(all.length > 2 * WARM_UP ? WARM_UP : 0).sort((a, b) => a - b);
  const p = (q) => times[Math.min(times.length - 1, Math.floor(times.length * q))].toFixed(2);
  const figures = `p50 ${p(0.5)}  p90 ${p(0.9)}  p99 ${p(0.99)}  max ${p(1)} ms`;
  console.log(`${what.padEnd(24)} ${figures}  (${times.length} edits)`);
};

const directory = mkdtempSync(join(tmpdir(), 'concord-bench-'));
try {
  const server = await startServer(directory);
  console.log(`${EDITS} edits at ${RATE}/s, ${cpus().length} cores, ${cpus()[0].model}`);
  try {
    print('edit to other client', await measureClients(server.address));
    print('edit to ack (stored)', await measureStored(server.address));
  } finally {
    await stopServer(server);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
