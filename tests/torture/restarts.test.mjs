/*
 * Documents that the server is given once and then only keeps: after a hundred restarts, orderly
 * and by SIGKILL, with and without the run directory, each is the same to the byte.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import * as Y from 'yjs';
import { dataFile } from '../differential/data.mjs';
import { newReplica, statesOf } from '../differential/replica.mjs';
import { fromBase64, joinJson } from '../lib/json-client.mjs';
import { startServer } from '../lib/server.mjs';
import { seed, seeded, untilOver } from './rounds.mjs';

const RESTARTS = 100;
const FILES = [
  'S1.v2',
  'S2.v2',
  'C1.v2',
  'b4-update.v1',
  'affine-basic.v1',
  'affine-database.v1',
  'affine-large.v1',
];

const readUpdate = (path) => {
  const bytes = readFileSync(path);
  return path.endsWith('v1') ? Y.convertUpdateFormatV1ToV2(bytes) : new Uint8Array(bytes);
};

const docOf = (update) => {
  const doc = newReplica();
  Y.applyUpdateV2(doc, update);
  return doc;
};

const store = async (t, server, room, update) => {
  const client = await joinJson(t, server, room);
  await client.ackOf(client.op(update));
  client.close();
};

/* What the server gives to a client that has nothing. */
const loaded = async (t, server, room) => {
  const client = await joinJson(t, server, room);
  client.close();
  return docOf(fromBase64(client.type('sync')[0].state));
};

const restart = async (server, { random }) => {
  const way = random();
  if (way < 0.2) await server.stop();
  else await server.killAll();
  if (way > 0.5) server.wipeRun();
  await server.start();
};

describe('restarts', () => {
  const documents = FILES.map((name) => ({ name, ...dataFile(name) }));
  const skip = documents.find((document) => document.skip)?.skip ?? false;

  test('documents are the same to the byte', { skip }, async (t) => {
    const server = await startServer(t);
    const dice = seeded(seed);
    t.diagnostic(`seed ${seed}`);
    const expected = new Map();
    for (const { name, path } of documents) {
      const update = readUpdate(path);
      expected.set(name, statesOf(docOf(update)));
      await store(t, server, name, update);
    }
    const goesOn = untilOver(RESTARTS);
    while (goesOn()) {
      await restart(server, dice);
      const { name } = dice.pick(documents);
      await loaded(t, server, name);
    }
    for (const { name } of documents)
      assert.deepEqual(statesOf(await loaded(t, server, name)), expected.get(name), name);
  });
});
