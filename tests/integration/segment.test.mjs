/*
 * Segments of real rooms: they stay small however much is written, and are replaced while clients
 * write, whoever is killed and whatever fails at whichever moment. Nothing that was acknowledged is
 * lost, and service goes on by itself.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { canPreload, faulty } from '../lib/fault.mjs';
import { joinJson } from '../lib/json-client.mjs';
import { gone, kill } from '../lib/processes.mjs';
import { startServer } from '../lib/server.mjs';
import { assertHolds, jsonTypist, textOf, typeUntil, yjsTypist } from '../lib/typists.mjs';
import { once, poll, turn } from '../lib/wait.mjs';
import { converged, docHolds, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const KIB = 1024;
/* What a log may grow to beside a small document, what is reserved ahead, what comes while the next
 * segment is made on a busy machine, and that one. Twice as much is written. */
const BOUND = 6144 * KIB;
const VALUE = 'x'.repeat(8 * KIB);

const roomsOf = (server) => join(server.run, 'rooms');

/* { name, size } of each file of the rooms directory. */
const segments = (server) =>
  readdirSync(roomsOf(server)).flatMap((name) => {
    const stat = statSync(join(roomsOf(server), name), { throwIfNoEntry: false });
    return stat ? [{ name, size: stat.size }] : [];
  });

/* The random number of a room's only segment: proto/segment.md. */
const fileId = (server) => {
  const { name } = segments(server).find((found) => !found.name.includes('.'));
  return readFileSync(join(roomsOf(server), name)).readBigUInt64LE(32);
};

/* Files without a name that a process still holds: their space is not free. */
const deletedOf = (pid) =>
  readdirSync(`/proc/${pid}/fd`)
    .map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch {
        return ''; /* closed meanwhile */
      }
    })
    .filter((path) => path.includes('/rooms/') && path.endsWith('(deleted)'));

const bytesOf = (server) => segments(server).reduce((sum, { size }) => sum + size, 0);

/* A client that overwrites one entry of a map again and again: much is written, little is kept. */
const overwriter = async (t, server, room) => {
  const client = await joinJson(t, server, room);
  const doc = client.bind(Y, new Y.Doc());
  let count = 0;
  const type = () => {
    count += 1;
    doc.getMap('map').set('entry', `${count}${VALUE}`);
    return client.seq;
  };
  return { client, doc, type, count: () => count };
};

/* Writes until the segment was replaced `times` times, and returns the most bytes that there were. A
 * reader sets the pace: what is still on its way is little. */
const writeThrough = async (t, server, room, writer, times) => {
  const reader = await joinYjs(t, server, room);
  const entryOf = (doc) => doc.getMap('map').get('entry');
  const files = new Set();
  let most = 0;
  while (files.size <= times || writer.count() * VALUE.length < 2 * BOUND) {
    for (let i = 0; i < 8; i += 1) writer.type();
    await docHolds(reader.doc, (doc) => entryOf(doc) === entryOf(writer.doc), 'the latest entry');
    most = Math.max(most, bytesOf(server));
    files.add(fileId(server));
    assert.ok(writer.count() < 4000, 'the segment is replaced');
  }
  return most;
};

const assertSame = async (t, server, room, doc) => {
  const reader = await joinYjs(t, server, room);
  await converged([doc, reader.doc]);
};

describe('a segment stays small', () => {
  test('while a client writes far more than the document has', async (t) => {
    const server = await startServer(t);
    const writer = await overwriter(t, server, 'bounded');
    const most = await writeThrough(t, server, 'bounded', writer, 20);
    assert.ok(most < BOUND, `${most} bytes`);
    await writer.client.ackOf(writer.client.seq);
    await poll(() => deletedOf(server.pid('snapshotd')).length === 0, 'old segments are let go');
    await assertSame(t, server, 'bounded', writer.doc);
  });

  test('while the store does not answer', async (t) => {
    const server = await startServer(t);
    const writer = await overwriter(t, server, 'unstored');
    await writer.client.ackOf(writer.type());
    const acked = writer.client.acked.size;
    const snapshotd = server.pid('snapshotd');
    kill(snapshotd, 'SIGSTOP');
    t.after(() => kill(snapshotd, 'SIGCONT'));
    const most = await writeThrough(t, server, 'unstored', writer, 20);
    assert.ok(most < BOUND, `${most} bytes`);
    await assertSame(t, server, 'unstored', writer.doc);
    assert.equal(writer.client.acked.size, acked, 'nothing is acknowledged that is not stored');
    kill(snapshotd, 'SIGCONT');
    await writer.client.ackOf(writer.client.seq);
    await server.killAll();
    server.wipeRun();
    await server.start();
    await assertSame(t, server, 'unstored', writer.doc);
  });
});

/* Typists and one who makes the segment grow; all of them go on until `isEnough()`. */
const crowd = async (t, server, room) => {
  const json = await jsonTypist(t, server, room);
  const yjs = await yjsTypist(t, server, room);
  const writer = await overwriter(t, server, room);
  return { json, yjs, writer, all: [json, yjs, writer] };
};

const assertNothingLost = async (t, server, room, { json, yjs }) => {
  await json.client.ackOf(json.type());
  await converged([json.doc, yjs.doc]);
  await server.killAll();
  const { marks } = yjs;
  const acked = json.ackedMarks();
  await server.start();
  const reader = await joinYjs(t, server, room);
  assertHolds(textOf(reader.doc), acked);
  await converged([yjs.doc, reader.doc]);
  assertHolds(textOf(reader.doc), marks);
};

describe('SIGKILL while the segment is replaced', { skip: !canPreload() }, () => {
  /* Each call that makes the next segment, in the room and in its supervisor. */
  for (const [what, rule] of [
    ['the room, when it begins', 'ftruncate:.next:1:KILL:once'],
    ['the room, when it reserves space', 'fallocate:.next:1:KILL:once'],
    ['the room, when it writes the checkpoint', 'pwritev:.next:1:KILL:once'],
    ['the supervisor, when it gives the name', 'rename:.next:1:KILL:once'],
  ]) {
    test(what, async (t) => {
      const server = await startServer(t, { prepare: faulty });
      const people = await crowd(t, server, 'crowd');
      server.fault.set(rule);
      await typeUntil(people.all, () => server.fault.hits().length > 0);
      server.fault.clear();
      const { seq } = people.json.client;
      await typeUntil(people.all, () => people.json.client.acked.has(seq + 10));
      const replaced = fileId(server);
      await typeUntil(people.all, () => fileId(server) !== replaced);
      assert.equal(people.json.client.closed, null, 'the JSON socket stays open');
      assert.equal(people.yjs.closes(), 0, 'the y-websocket socket stays open');
      await assertNothingLost(t, server, 'crowd', people);
    });
  }
});

test('SIGKILL of a room at many moments of a replacement', async (t) => {
  const server = await startServer(t);
  const people = await crowd(t, server, 'crowd');
  const pids = new Set();
  for (let round = 0; round < 12; round += 1) {
    const { pid } = await poll(async () => {
      const line = await server.room('crowd');
      people.all.forEach(({ type }) => type());
      return line && line.state === 'open' && !pids.has(line.pid) && line;
    }, 'a new process of the room');
    pids.add(pid);
    const next = () => segments(server).some(({ name }) => name.endsWith('.next'));
    let seen = 0;
    await typeUntil(people.all, () => {
      seen += next() ? 1 : 0;
      return seen > 0 || people.writer.count() % 400 === 399;
    });
    for (let i = 0; i < round % 4; i += 1) await turn();
    kill(pid);
    await gone([pid]);
    /* Five crashes in a minute would be a quarantine. */
    if (round % 4 === 3) {
      await people.json.client.ackOf(people.json.type());
      await server.killAll();
      await server.start();
      people.json = await jsonTypist(t, server, 'crowd');
      people.writer = await overwriter(t, server, 'crowd');
      people.all = [people.json, people.yjs, people.writer];
      await poll(() => people.yjs.provider.synced, 'the y-websocket client is back');
    }
  }
  await assertNothingLost(t, server, 'crowd', people);
});

/* What was refused, as clients send it again after a while: here all that the client has. */
const sendAgain = ({ client, doc }) =>
  client.ackOf(client.op(Y.encodeStateAsUpdateV2(doc)));

describe('a disk that fails', { skip: !canPreload() }, () => {
  /* One call of each kind after the other fails once, under load. */
  for (const [name, error] of [
    ['pwritev', 'ENOSPC'], ['pwritev', 'EIO'], ['fallocate', 'ENOSPC'], ['ftruncate', 'EIO'],
    ['rename', 'EIO'],
  ]) {
    test(`${name}: ${error}`, async (t) => {
      const server = await startServer(t, { prepare: faulty });
      const people = await crowd(t, server, 'faulty');
      const before = server.processes().map(({ pid }) => pid);
      for (let n = 1; n <= 4; n += 1) {
        server.fault.set(`${name}:/rooms/:${n}:${error}:once`);
        await typeUntil(people.all, () => server.fault.hits().length > 0);
        server.fault.clear();
        await sendAgain(people.writer);
        await sendAgain(people.json);
      }
      assert.deepEqual(server.processes().map(({ pid }) => pid), before, 'nobody died');
      await poll(() => people.yjs.provider.synced, 'the y-websocket client is there');
      const { json, yjs } = people;
      const acked = json.ackedMarks().filter((mark) => mark); /* the rest was sent again */
      await converged([json.doc, yjs.doc]);
      await server.killAll();
      await server.start();
      const reader = await joinYjs(t, server, 'faulty');
      assertHolds(textOf(reader.doc), [...acked, ...yjs.marks]);
    });
  }
});

/* A file system of `mib`, or null where none may be mounted. */
const mountTmpfs = (t, mib) => {
  const directory = mkdtempSync(join(tmpdir(), 'concord-mount-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', directory]);
  t.after(() => {
    spawnSync('umount', ['--lazy', directory]);
    rmSync(directory, { recursive: true, force: true });
  });
  return mounted.status === 0 ? directory : null;
};

test('a full file system refuses edits, and service resumes when there is space', async (t) => {
  const directory = mountTmpfs(t, 2);
  if (!directory) {
    t.skip('a file system has to be mounted, which needs root');
    return;
  }
  const server = await startServer(t, {
    prepare: (it) => {
      it.run = join(directory, 'run');
    },
  });
  const writer = await joinJson(t, server, 'full');
  const doc = writer.bind(Y, new Y.Doc());
  const before = server.processes().map(({ pid }) => pid);
  const isRefused = ({ t: type, code }) => type === 'error' && code === 'storage_full';
  const sent = new Map();
  while (!writer.frames.some(isRefused)) {
    doc.getArray('list').push([`${sent.size}${VALUE}`]); /* kept, all of it */
    sent.set(writer.seq, sent.size);
    assert.ok(sent.size < 1000, 'the file system is full in time');
    await turn();
  }
  const refused = writer.frames.find(isRefused);
  assert.ok(!writer.acked.has(refused.seq));

  /* Who comes now sees what there is, and everybody sees who is there. */
  const other = await joinJson(t, server, 'full');
  const copy = other.bind(Y, new Y.Doc());
  assert.ok(copy.getArray('list').length > 50);
  other.send({ t: 'presence', state: { name: 'other' } });
  await writer.frame(({ t: type }) => type === 'presence', 'presence');

  const grown = spawnSync('mount', ['-o', 'remount,size=16m', directory]);
  assert.equal(grown.status, 0);
  /* What was refused is sent again, as clients do after a while. */
  await sendAgain({ client: writer, doc });
  assert.deepEqual(server.processes().map(({ pid }) => pid), before, 'nobody died');
  await assertSame(t, server, 'full', doc);
});

/* The worst that can become of a segment: it is gone, and then all who had it open are. What was
 * stored is there, and what the clients hold they bring back. */
test('the run directory is wiped, and the room dies: no client misses anything', async (t) => {
  const server = await startServer(t);
  const json = await jsonTypist(t, server, 'wiped');
  const a = await yjsTypist(t, server, 'wiped', 'a');
  const b = await yjsTypist(t, server, 'wiped', 'b');
  await typeUntil([json, a, b], () => json.client.acked.size >= 20);
  const { pid } = await server.room('wiped');
  const snapshotd = server.pid('snapshotd');
  kill(snapshotd, 'SIGSTOP'); /* so that something is not stored */
  const { seq } = json.client;
  await typeUntil([a, b], () => textOf(b.doc).includes('«a10»'));
  assert.ok(!json.client.acked.has(seq + 1));
  rmSync(roomsOf(server), { recursive: true, force: true });
  const closed = once(json.client, 'close');
  kill(snapshotd);
  kill(pid);
  assert.equal((await closed).code, 1013);
  await poll(() => a.closes() > 0 && b.closes() > 0, 'everybody is sent away');
  await poll(() => a.provider.synced && b.provider.synced, 'and comes back');
  await typeUntil([a, b], () => textOf(b.doc).includes(a.marks.at(-1)));
  await converged([a.doc, b.doc]);
  await poll(async () => (await server.room('wiped'))?.lag === 0, 'all is stored');
  await server.killAll();
  await server.start();
  const reader = await joinYjs(t, server, 'wiped');
  assertHolds(textOf(reader.doc), [...json.ackedMarks(), ...a.marks, ...b.marks]);
});
