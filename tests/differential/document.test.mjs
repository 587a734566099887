/*
 * Documents against npm yjs: a replica of each gets the same updates of a random history in the
 * same order (shuffled a little or wholly, some twice, some late or never), in either format, and
 * must then hold the same document to the byte.
 *
 * The Yjs replica is a pure one: it does not clean up marks, which a server must not do either.
 * Neighbouring GC structs are joined on its side, because Yjs leaves some of them apart.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as Y from 'yjs';
import { makeHistory, ROOTS } from './history.mjs';
import { Peer } from './peer.mjs';
import { Random, settings } from './random.mjs';
import { joinGarbage, newReplica } from './replica.mjs';

const { seed, runs } = settings(400);

/* JSON has no form for BigInts; crdt_peer prints their digits, which JSON.parse takes for a Number. */
Object.defineProperty(BigInt.prototype, 'toJSON', {
  value() {
    return Number(this);
  },
});

const hex = (bytes) => Buffer.from(bytes).toString('hex');

const readers = {
  text: (doc, name) => doc.getText(name).toString(),
  delta: (doc, name) => doc.getText(name).toDelta(),
  map: (doc, name) => doc.getMap(name).toJSON(),
  array: (doc, name) => doc.getArray(name).toJSON(),
  xml: (doc, name) => doc.getXmlFragment(name).toString(),
};

const read = (doc, roots) =>
  Object.fromEntries(Object.entries(roots).map(([name, kind]) => [name, readers[kind](doc, name)]));

/* Strings are UTF-8 in the engine: half of a surrogate pair, as a loop over a string has it, is U+FFFD. */
const wellFormed = (text) => Buffer.from(text, 'utf8').toString('utf8');
const print = (value) =>
  JSON.stringify(value, (_key, inner) => (typeof inner === 'string' ? wellFormed(inner) : inner));

/* Moves some updates a little back or forward. */
const jostle = (random, list) => {
  const copy = [...list];
  for (let i = 0; i + 1 < copy.length; i++) {
    if (random.chance(0.3)) [copy[i], copy[i + 1]] = [copy[i + 1], copy[i]];
  }
  return copy;
};

const delivery = (random, updates) => {
  let list = random.chance(0.15) ? random.shuffle(updates) : updates;
  if (random.chance(0.5)) list = jostle(random, list);
  if (random.chance(0.3)) list = list.concat(random.some(list, 0.3));
  if (random.chance(0.2)) list = random.some(list, 0.9);
  if (random.chance(0.2)) {
    const at = random.below(list.length + 1);
    const batch = list.splice(at, 1 + random.below(8));
    if (batch.length > 0) {
      list.splice(at, 0, { v1: Y.mergeUpdates(batch.map(({ v1 }) => v1)), v2: Y.mergeUpdatesV2(batch.map(({ v2 }) => v2)) });
    }
  }
  return list;
};

const smallerStateVector = (random, doc) => {
  const state = Y.decodeStateVector(Y.encodeStateVector(doc));
  const lowered = new Map();
  for (const [client, clock] of state) {
    if (random.chance(0.8)) lowered.set(client, random.below(clock + 2));
  }
  return Y.encodeStateVector(lowered);
};

const compare = async (random, peer, doc) => {
  joinGarbage(doc);
  assert.equal(hex(await peer.stateVector()), hex(Y.encodeStateVector(doc)), 'state vector');
  assert.equal(hex(await peer.encode()), hex(Y.encodeStateAsUpdate(doc)), 'v1');
  assert.equal(hex(await peer.encode(new Uint8Array(), 2)), hex(Y.encodeStateAsUpdateV2(doc)), 'v2');
  const from = smallerStateVector(random, doc);
  assert.equal(hex(await peer.encode(from)), hex(Y.encodeStateAsUpdate(doc, from)), 'v1 from a state vector');
  const isPending = doc.store.pendingStructs !== null || doc.store.pendingDs !== null;
  assert.equal(await peer.hasPending(), isPending, 'pending');
};

const run = async (peer, caseSeed) => {
  const random = new Random(caseSeed);
  const { updates } = makeHistory(random);
  const doc = newReplica();
  await peer.reset();
  for (const { v1, v2 } of delivery(random, updates)) {
    if (random.chance(0.6)) {
      Y.applyUpdate(doc, v1);
      await peer.apply(v1);
    } else {
      Y.applyUpdateV2(doc, v2);
      await peer.apply(v2, 2);
    }
    if (random.chance(0.1)) await compare(random, peer, doc);
  }
  await compare(random, peer, doc);
  assert.equal(print(await peer.read(ROOTS)), print(read(doc, ROOTS)), 'JSON');
};

let peer;

before(() => {
  peer = new Peer();
});

after(async () => {
  assert.equal(await peer.close(), 0);
});

test(`${runs} random histories`, async () => {
  for (let i = 0; i < runs; i++) {
    try {
      await run(peer, seed + i);
    } catch (error) {
      error.message = `SEED=${seed + i} RUNS=1: ${error.message}`;
      throw error;
    }
  }
});
