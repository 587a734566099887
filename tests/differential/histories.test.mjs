/*
 * The random histories of y-crdt, if the data folder is at hand: each is a list of v1 updates and
 * what a root text, map and array must be after them.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as decoding from 'lib0/decoding';
import { dataFile } from './data.mjs';
import { Peer } from './peer.mjs';
import { Random, settings } from './random.mjs';

const { seed } = settings(0);
const { path, skip } = dataFile('histories.bin');

const ROOTS = { text: 'text', map: 'map', array: 'array' };

/* The expected values have their keys in any order. */
const canonical = (value) =>
  JSON.stringify(value, (_key, inner) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );

function* histories(bytes) {
  const decoder = decoding.createDecoder(bytes);
  const count = decoding.readVarUint(decoder);
  for (let i = 0; i < count; i++) {
    const updates = Array.from({ length: decoding.readVarUint(decoder) }, () =>
      decoding.readVarUint8Array(decoder),
    );
    const text = decoding.readVarString(decoder);
    const map = decoding.readAny(decoder);
    const array = decoding.readAny(decoder);
    yield { updates, expected: canonical({ text, map, array }) };
  }
}

test('recorded histories, in order and shuffled', { skip }, async () => {
  const peer = new Peer();
  const random = new Random(seed);
  let index = 0;
  for (const { updates, expected } of histories(readFileSync(path))) {
    for (const order of [updates, random.shuffle(updates)]) {
      await peer.reset();
      await Promise.all(order.map((update) => peer.apply(update)));
      assert.equal(await peer.hasPending(), false, `history ${index}`);
      assert.equal(canonical(await peer.read(ROOTS)), expected, `history ${index}`);
    }
    index++;
  }
  assert.ok(index > 0);
  assert.equal(await peer.close(), 0);
});
