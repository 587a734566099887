/*
 * The store is away for a while, under load: rooms go on, nothing is acknowledged, what they keep
 * meanwhile stays bounded; and when it is back everything that waited is stored, in order. Two
 * minutes: ./dev torture store_down --minutes 2
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { joinJson } from '../lib/json-client.mjs';
import { scrape } from '../lib/metrics.mjs';
import { startPostgres } from '../lib/postgres.mjs';
import { startServer } from '../lib/server.mjs';
import { poll } from '../lib/wait.mjs';
import Y from '../lib/yjs.mjs';
import { Author, lostMarks } from './author.mjs';
import { MINUTES } from './rounds.mjs';

const AWAY_MS = Math.max(5000, MINUTES * 60000);
const ROOMS = 8;
const VALUE_BYTES = 32768;
/* Of all segments: the documents are small, however much was written. */
const SEGMENTS_MAX = 16 << 20;
const GROWTH_MAX = 128 << 20;

const store = (process) => (name) => `concord_store_${name}{process="${process}"}`;
const figure = store('snapshotd-0');

/* Overwrites one value again and again: it writes much into a document that stays small. */
const startScribbler = async (t, server, room) => {
  const client = await joinJson(t, server, room);
  const doc = client.bind(Y, new Y.Doc());
  const state = { written: 0, isOver: false };
  const run = async () => {
    while (!state.isOver) {
      doc.getMap('scribble').set('value', randomBytes(VALUE_BYTES / 2).toString('hex'));
      state.written += VALUE_BYTES;
      await sleep(10);
    }
    await client.ackOf(client.seq);
  };
  state.done = run();
  return state;
};

const segmentBytes = ({ run }) =>
  readdirSync(join(run, 'rooms'))
    .map((name) => statSync(join(run, 'rooms', name), { throwIfNoEntry: false }))
    .reduce((sum, found) => sum + (found?.size ?? 0), 0);

const memoryBytes = (server) =>
  server
    .processes()
    .map(({ pid }) => /^Pss_Anon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')))
    .reduce((sum, found) => sum + Number(found?.[1] ?? 0) * 1024, 0);

const writeWhileAway = async (server) => {
  const end = Date.now() + AWAY_MS;
  const most = { segments: 0, memory: 0 };
  while (Date.now() < end) {
    await sleep(200);
    most.segments = Math.max(most.segments, segmentBytes(server));
    most.memory = Math.max(most.memory, memoryBytes(server));
  }
  return most;
};

describe('the store is away', () => {
  test('nothing is lost, and what waits is bounded', async (t) => {
    const postgres = await startPostgres(t);
    const server = await startServer(t, {
      prepare: (one) => {
        one.env = { DATABASE_URL: postgres.url };
      },
    });
    const authors = Array.from({ length: ROOMS }, (_, i) => new Author(server, `room ${i}`, `a${i}`));
    const scribbler = await startScribbler(t, server, 'scribbled');
    const count = () => authors.reduce((sum, { acked }) => sum + acked.length, 0);
    await poll(() => authors.every(({ acked }) => acked.length > 10), 'all are acknowledged');
    const memoryBefore = memoryBytes(server);
    const writtenBefore = scribbler.written;

    await postgres.kill();
    const isDown = async () => (await scrape(server)).get(figure('up')) === 0;
    await poll(isDown, 'the server knows that the store is away');
    const ackedBefore = count();
    const sentBefore = authors.reduce((sum, author) => sum + author.count, 0);
    const most = await writeWhileAway(server);
    assert.equal(count(), ackedBefore, 'nothing is acknowledged meanwhile');
    const waiting = authors.reduce((sum, author) => sum + author.count, 0) - sentBefore;
    assert.ok(waiting > ROOMS * 100, 'the rooms went on');
    assert.ok((await scrape(server)).get(figure('lag_seconds')) >= AWAY_MS / 1000 - 1);

    await postgres.start();
    const back = Date.now();
    const goals = authors.map((author) => author.count);
    const isStored = () => authors.every(({ acked }, i) => acked.length >= goals[i]);
    await poll(isStored, 'what waited is stored', 60000);
    const tookMs = Date.now() - back;
    scribbler.isOver = true;
    await Promise.all([scribbler.done, ...authors.map((author) => author.stop())]);
    const written = scribbler.written - writtenBefore;
    t.diagnostic(
      `away ${AWAY_MS} ms: ${waiting} edits waited and were stored ${tookMs} ms after its return; ` +
        `${written >> 20} MB were overwritten, segments took at most ${most.segments >> 10} KB, ` +
        `memory grew by ${(most.memory - memoryBefore) >> 10} KB`,
    );
    assert.ok(most.segments < SEGMENTS_MAX, 'segments stay small');
    assert.ok(most.memory - memoryBefore < GROWTH_MAX, 'memory is bounded');
    assert.ok(authors.every(({ losses }) => losses === 0), 'no client has noticed');

    const isDrained = async () => (await scrape(server)).get(figure('lag_seconds')) === 0;
    await poll(isDrained, 'nothing waits any more');
    assert.deepEqual(await lostMarks(server, authors), []);
    await server.killAll();
    server.wipeRun();
    await server.start();
    assert.deepEqual(await lostMarks(server, authors), [], 'in the store');
  });
});
