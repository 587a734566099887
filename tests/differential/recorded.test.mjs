/*
 * Long and real documents, if the data folder is at hand: what one update holds must read and be
 * written as npm yjs has it.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import * as Y from 'yjs';
import { dataFile } from './data.mjs';
import { Peer } from './peer.mjs';
import { newReplica, statesOf } from './replica.mjs';

const TEXT = { text: 'text' };
const AFFINE = { 'space:meta': 'map', 'space:page0': 'map' };

const DOCUMENTS = {
  'S1.v2': TEXT,
  'S2.v2': TEXT,
  'C1.v2': TEXT,
  'b4-update.v1': TEXT,
  'affine-basic.v1': AFFINE,
  'affine-database.v1': AFFINE,
  'affine-large.v1': AFFINE,
};

const hex = (bytes) => Buffer.from(bytes).toString('hex');

let peer;

before(() => {
  peer = new Peer();
});
after(async () => assert.equal(await peer.close(), 0));

const readInYjs = (doc, roots) =>
  Object.fromEntries(
    Object.entries(roots).map(([name, kind]) => [
      name,
      kind === 'text' ? doc.getText(name).toString() : doc.getMap(name).toJSON(),
    ]),
  );

/* What a replica knows that has seen a half of every client's clocks. */
const halfStateVector = (doc) => {
  const clocks = Y.decodeStateVector(Y.encodeStateVector(doc));
  return Y.encodeStateVector(new Map([...clocks].map(([id, clock]) => [id, clock >> 1])));
};

const assertSame = async (doc, roots) => {
  assert.equal(await peer.hasPending(), false);
  assert.deepEqual(await peer.states(), statesOf(doc));
  assert.equal(hex(await peer.stateVector()), hex(Y.encodeStateVector(doc)));
  const half = halfStateVector(doc);
  assert.equal(hex(await peer.encode(half)), hex(Y.encodeStateAsUpdate(doc, half)));
  const json = JSON.stringify(await peer.read(roots));
  assert.equal(json, JSON.stringify(readInYjs(doc, roots)));
  assert.ok(json.length > 1000, 'there is something in it');
};

for (const [name, roots] of Object.entries(DOCUMENTS)) {
  const { path, skip } = dataFile(name);

  test(name, { skip }, async () => {
    const update = readFileSync(path);
    const isV1 = name.endsWith('v1');
    const v1 = isV1 ? update : Y.convertUpdateFormatV2ToV1(update);
    const v2 = isV1 ? Y.convertUpdateFormatV1ToV2(update) : update;
    if (isV1) assert.equal(hex(await peer.toV2(v1)), hex(v2));
    else assert.equal(hex(await peer.toV1(v2)), hex(v1));

    const doc = newReplica();
    Y.applyUpdate(doc, v1);
    for (const [format, bytes] of Object.entries({ 1: v1, 2: v2 })) {
      await peer.reset();
      await peer.apply(bytes, Number(format));
      await assertSame(doc, roots);
    }

    /* What was written of it says the same. */
    for (const format of [1, 2]) {
      const state = await peer.encode(new Uint8Array(), format);
      await peer.reset();
      await peer.apply(state, format);
      await assertSame(doc, roots);
    }
  });
}
