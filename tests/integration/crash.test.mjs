/*
 * SIGKILL. Whatever is killed while clients type: every edit that was acknowledged is there
 * afterwards, and where one process dies the others and the clients carry on.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gone, kill } from '../lib/processes.mjs';
import { startServer } from '../lib/server.mjs';
import {
  ROOT, acksReach, assertHolds, jsonTypist, textOf, typeUntil, yjsTypist,
} from '../lib/typists.mjs';
import { poll } from '../lib/wait.mjs';
import { converged, joinYjs } from '../lib/yjs-client.mjs';

const ACKS_BEFORE_KILL = 40;

const killEverythingWhileTyping = async (t, betweenRuns) => {
  const server = await startServer(t);
  const typists = await Promise.all(
    ['one', 'two', 'three'].map((room) => jsonTypist(t, server, room)),
  );
  const isEnough = () => typists.every(({ client }) => client.acked.size >= ACKS_BEFORE_KILL);
  await typeUntil(typists, isEnough);
  await server.killAll();
  const acked = typists.map(({ ackedMarks }) => ackedMarks());
  betweenRuns(server);
  await server.start();
  for (const [i, room] of ['one', 'two', 'three'].entries()) {
    const reader = await joinYjs(t, server, room);
    assertHolds(textOf(reader.doc), acked[i]);
    const again = await jsonTypist(t, server, room);
    await again.client.ackOf(again.type());
  }
};

describe('after SIGKILL of every process', () => {
  test('acknowledged edits are there', (t) => killEverythingWhileTyping(t, () => {}));

  test('acknowledged edits are there without the run directory', (t) =>
    killEverythingWhileTyping(t, (server) => server.wipeRun()));

  test('again and again, over one store', async (t) => {
    const server = await startServer(t);
    const expected = [];
    for (let round = 0; round < 3; round += 1) {
      const typist = await jsonTypist(t, server, 'rounds');
      const mark = `round ${round};`;
      typist.doc.getText(ROOT).insert(0, mark);
      await typist.client.ackOf(typist.client.seq);
      expected.push(mark);
      await server.killAll();
      if (round % 2) server.wipeRun();
      await server.start();
    }
    const reader = await joinYjs(t, server, 'rounds');
    assertHolds(textOf(reader.doc), expected);
  });
});

/* Kills `victim(server)` in the middle of typing; the clients' sockets must survive it. */
const killUnderTyping = async (t, victim) => {
  const room = 'typing';
  const server = await startServer(t);
  const json = await jsonTypist(t, server, room);
  const yjs = await yjsTypist(t, server, room);
  const bystander = await yjsTypist(t, server, 'elsewhere');
  const typists = [json, yjs, bystander];
  await typeUntil(typists, () => json.client.acked.size >= 10);

  const pid = await victim(server, room);
  const { seq } = json.client;
  kill(pid);
  await typeUntil(typists, () => json.client.acked.has(seq + 10));
  await gone([pid]);

  await acksReach(json, json.client.seq);
  await converged([json.doc, yjs.doc]);
  const late = await joinYjs(t, server, room);
  await converged([yjs.doc, late.doc]);
  assertHolds(textOf(late.doc), [...json.ackedMarks(), ...yjs.marks]);
  const elsewhere = await joinYjs(t, server, 'elsewhere');
  await converged([bystander.doc, elsewhere.doc]);
  assert.equal(json.client.closed, null, 'the JSON socket stays open');
  assert.equal(yjs.closes(), 0, 'the y-websocket socket stays open');
  assert.equal(bystander.closes(), 0, 'other rooms do not notice');
  assert.ok(!server.processes().some((process) => process.pid === pid));
};

describe('SIGKILL of one process while clients type', () => {
  test('a room', (t) =>
    killUnderTyping(t, async (server, room) => (await server.room(room)).pid));

  test('a room, three times', async (t) => {
    const server = await startServer(t);
    const json = await jsonTypist(t, server, 'thrice');
    const pids = new Set();
    for (let round = 0; round < 3; round += 1) {
      await json.client.ackOf(json.type());
      const { pid } = await poll(async () => {
        const line = await server.room('thrice');
        return line && !pids.has(line.pid) && line;
      }, 'a new process of the room');
      pids.add(pid);
      kill(pid);
      json.type();
    }
    await json.client.ackOf(json.client.seq);
    assert.equal(json.client.closed, null);
  });

  test('snapshotd', (t) => killUnderTyping(t, (server) => server.pid('snapshotd')));

  test('roomd', (t) => killUnderTyping(t, (server) => server.pid('roomd')));

  test('a gateway: y-websocket clients come back on their own', async (t) => {
    const server = await startServer(t);
    const [a, b] = await Promise.all(
      ['a', 'b'].map((name) => yjsTypist(t, server, 'gateway', name)),
    );
    await typeUntil([a, b], () => b.doc.getText(ROOT).toString().includes('«a20»'));
    kill(server.pid('gateway'));
    await typeUntil([a, b], () => a.closes() > 0 && b.closes() > 0);
    await typeUntil([a, b], () => a.provider.synced && b.provider.synced);
    await converged([a.doc, b.doc]);
    assertHolds(textOf(a.doc), [...a.marks, ...b.marks]);
    const late = await joinYjs(t, server, 'gateway');
    await converged([a.doc, late.doc]);
  });
});
