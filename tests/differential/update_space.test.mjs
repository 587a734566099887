/*
 * The update space against npm yjs, byte for byte: merge, diff, state vector and conversion of
 * updates from random histories, with updates missing (Skips), repeated, overlapping and merged
 * before.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as Y from 'yjs';
import { makeHistory } from './history.mjs';
import { Peer } from './peer.mjs';
import { Random, settings } from './random.mjs';

const { seed, runs } = settings(600);

const FORMATS = {
  1: {
    merge: Y.mergeUpdates,
    diff: Y.diffUpdate,
    stateVectorOf: Y.encodeStateVectorFromUpdate,
    encode: Y.encodeStateAsUpdate,
  },
  2: {
    merge: Y.mergeUpdatesV2,
    diff: Y.diffUpdateV2,
    stateVectorOf: (update) => Y.encodeStateVectorFromUpdateV2(update),
    encode: Y.encodeStateAsUpdateV2,
  },
};

const hex = (bytes) => Buffer.from(bytes).toString('hex');

/* BigInts are nothing that JSON.stringify takes, and v1 has no other form for them in marks. */
const orNull = (f) => {
  try {
    return f();
  } catch {
    return null;
  }
};

let peer;

before(() => {
  peer = new Peer();
});
after(async () => assert.equal(await peer.close(), 0));

/* A state vector that cuts into the history: of a replica, with some clocks lowered. */
const cutStateVector = (random, docs) => {
  const states = Y.decodeStateVector(Y.encodeStateVector(random.pick(docs)));
  const cut = new Map();
  for (const [client, clock] of states) {
    if (random.chance(0.8)) cut.set(client, random.chance(0.5) ? clock : random.below(clock + 1));
  }
  return Y.encodeStateVector(cut);
};

/* Updates to be merged: some of what was sent, some states, some merged before. */
const pickUpdates = (random, { docs, updates }, version) => {
  const { merge, encode } = FORMATS[version];
  const sent = updates.map((update) => update[`v${version}`]);
  const picked = random.some(sent, random.pick([0.2, 0.5, 0.9, 1]));
  for (const doc of random.some(docs, 0.4)) picked.push(encode(doc, cutStateVector(random, docs)));
  if (random.chance(0.4)) picked.push(merge(random.some(sent, 0.5)));
  return random.chance(0.5) ? random.shuffle(picked) : picked;
};

const compare = async (random, history, version) => {
  const yjs = FORMATS[version];
  const picked = pickUpdates(random, history, version);
  const merged = yjs.merge(picked);
  assert.equal(hex(await peer.merge(picked, version)), hex(merged), `merge v${version}`);

  const pair = picked.slice(0, 2);
  if (pair.length === 2) {
    assert.equal(
      hex(await peer.merge(pair, version)),
      hex(yjs.merge(pair)),
      `merge two v${version}`,
    );
  }

  const sv = cutStateVector(random, history.docs);
  assert.equal(
    hex(await peer.diff(merged, sv, version)),
    hex(yjs.diff(merged, sv)),
    `diff v${version}`,
  );

  for (const update of [merged, ...picked.slice(0, 3)]) {
    assert.equal(
      hex(await peer.stateVectorOf(update, version)),
      hex(yjs.stateVectorOf(update)),
      `state vector v${version}`,
    );
  }
  return merged;
};

const compareConversion = async (v1, v2) => {
  const toV2 = orNull(() => Y.convertUpdateFormatV1ToV2(v1));
  if (toV2) assert.equal(hex(await peer.toV2(v1)), hex(toV2), 'v1 to v2');
  const toV1 = orNull(() => Y.convertUpdateFormatV2ToV1(v2));
  if (toV1) assert.equal(hex(await peer.toV1(v2)), hex(toV1), 'v2 to v1');
};

test(`${runs} random histories from seed ${seed}`, async () => {
  for (let run = 0; run < runs; run++) {
    const random = new Random(seed * 1_000_003 + run);
    const history = makeHistory(random);
    try {
      const v1 = await compare(random, history, 1);
      const v2 = await compare(random, history, 2);
      await compareConversion(v1, v2);
    } catch (error) {
      error.message = `SEED=${seed}, run ${run}: ${error.message}`;
      throw error;
    }
  }
});

test('updates without structs, without deletes, without both', async () => {
  const empty = new Y.Doc();
  assert.equal(hex(await peer.merge([])), hex(Y.mergeUpdates([])));
  assert.equal(hex(await peer.merge([], 2)), hex(Y.mergeUpdatesV2([])));
  for (const version of [1, 2]) {
    const update = FORMATS[version].encode(empty);
    assert.equal(hex(await peer.merge([update, update], version)), hex(update));
    assert.equal(hex(await peer.diff(update, Y.encodeStateVector(empty), version)), hex(update));
    assert.equal(hex(await peer.stateVectorOf(update, version)), '00');
  }
});
