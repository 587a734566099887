/*
 * Snapshots, relative positions and awareness updates against npm yjs and y-protocols, over random
 * histories: the snapshot of each moment, the document as it was then, positions made at one moment
 * and resolved at all later ones.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as encoding from 'lib0/encoding';
import { Awareness, encodeAwarenessUpdate } from 'y-protocols/awareness';
import * as Y from 'yjs';
import { jsonValue, makeHistory } from './history.mjs';
import { Peer, Refused } from './peer.mjs';
import { Random, settings } from './random.mjs';
import { joinGarbage, newReplica } from './replica.mjs';

const { seed, runs } = settings(150);

const hex = (bytes) => Buffer.from(bytes).toString('hex');

let peer;

before(() => {
  peer = new Peer();
});
after(async () => assert.equal(await peer.close(), 0));

/* Runs `f` for every seed; a failure names its own. */
const forSeeds = async (f) => {
  for (let i = 0; i < runs; i++) {
    try {
      await f(new Random(seed + i));
    } catch (error) {
      error.message = `SEED=${seed + i} RUNS=1: ${error.message}`;
      throw error;
    }
  }
};

const encodeJoined = (doc) => {
  joinGarbage(doc);
  return hex(Y.encodeStateAsUpdate(doc));
};

/* ---- snapshots ---- */

const REPLACEMENT = 'efbfbd';

/* A new document each time, for restoring from one may cut surrogate pairs in it. (And so do later
 * edits: what Yjs then gives is not what was there at the time.) */
const restoreByYjs = (log, snapshot) => {
  const origin = newReplica({ gc: false });
  for (const { v2 } of log) Y.applyUpdateV2(origin, v2);
  return encodeJoined(Y.createDocFromSnapshot(origin, Y.decodeSnapshotV2(snapshot), newReplica()));
};

const restoreByPeer = async (log, snapshot) => {
  const update = await peer.updateAt(await peer.merge(log.map(({ v2 }) => v2), 2), snapshot);
  await peer.reset();
  await peer.apply(update, 2);
  return hex(await peer.encode());
};

test(`snapshots of ${runs} random histories`, async () => {
  await forSeeds(async (random) => {
    const { updates } = makeHistory(random, { edits: 5 + random.below(25) });
    const doc = newReplica();
    const snapshots = [];
    await peer.reset();
    for (const [i, { v1 }] of updates.entries()) {
      Y.applyUpdate(doc, v1);
      await peer.apply(v1);
      const snapshot = Y.encodeSnapshotV2(Y.snapshot(doc));
      assert.equal(hex(await peer.snapshot()), hex(Y.encodeSnapshot(Y.snapshot(doc))), 'v1');
      assert.equal(hex(await peer.snapshot(2)), hex(snapshot), 'v2');
      if (random.chance(0.3)) snapshots.push({ snapshot, seen: updates.slice(0, i + 1) });
    }
    for (const { snapshot, seen } of snapshots) {
      const restored = await restoreByPeer(updates, snapshot);
      assert.equal(restored, restoreByYjs(seen, snapshot), 'restored, of what was there then');
      const later = restoreByYjs(updates, snapshot);
      if (!later.includes(REPLACEMENT)) assert.equal(restored, later, 'restored, of all');
    }
  });
});

test('a version of which nothing was deleted since, from a document', async () => {
  const doc = newReplica({ gc: false });
  const write = (f) => {
    const list = [];
    const origin = new Y.Doc();
    origin.clientID = 1;
    Y.applyUpdate(origin, Y.encodeStateAsUpdate(doc));
    origin.on('update', (update) => list.push(update));
    f(origin.getText('t'));
    for (const update of list) Y.applyUpdate(doc, update);
    return Promise.all(list.map((update) => peer.apply(update)));
  };
  await peer.reset();
  await write((text) => text.insert(0, 'a😀bc'));
  await write((text) => text.delete(3, 1));
  const snapshot = Y.snapshot(doc);
  const encoded = Y.encodeSnapshot(snapshot);
  await write((text) => text.insert(3, 'later'));
  const update = await peer.documentAt(encoded);
  const restored = newReplica();
  Y.applyUpdate(restored, update);
  assert.equal(restored.getText('t').toString(), 'a😀c');
  assert.equal(encodeJoined(restored), encodeJoined(Y.createDocFromSnapshot(doc, snapshot, newReplica())));

  await write((text) => text.delete(0, 1));
  await assert.rejects(peer.documentAt(encoded), new Refused('collected'));
  const ahead = Y.encodeSnapshot(new Y.Snapshot(Y.createDeleteSet(), new Map([[2, 99]])));
  await assert.rejects(peer.documentAt(ahead), new Refused('outside'));
});

/* ---- relative positions ---- */

const ROOTS = ['text', 'rich', 'list', 'xml', 'none'];

const rootOf = (doc, name) => {
  if (name === 'list') return doc.getArray(name);
  return name === 'xml' ? doc.getXmlFragment(name) : doc.getText(name);
};

const headOf = (index, assoc) => {
  const encoder = encoding.createEncoder();
  encoding.writeVarUint(encoder, index);
  encoding.writeVarInt(encoder, assoc);
  return encoding.toUint8Array(encoder);
};

/* A position at any clock, known or not, be there an item, a type or neither. */
const anyPosition = (random, doc) => {
  const clients = [...doc.store.clients.keys(), 4711];
  const client = random.pick(clients);
  const id = Y.createID(client, random.below(Y.getState(doc.store, client) + 2));
  const isType = random.chance(0.3);
  return new Y.RelativePosition(isType ? id : null, null, isType ? null : id, random.pick([-1, 0, 1]));
};

const resolveByYjs = (doc, encoded) => {
  const position = Y.createAbsolutePositionFromRelativePosition(Y.decodeRelativePosition(encoded), doc, false);
  if (position === null) return null;
  const item = position.type._item;
  const type = item === null ? Y.findRootTypeKey(position.type) : [item.id.client, item.id.clock];
  return { index: position.index, type };
};

test(`positions in ${runs} random histories`, async () => {
  await forSeeds(async (random) => {
    const { updates } = makeHistory(random);
    const doc = newReplica();
    const positions = [];
    for (const name of ROOTS) rootOf(doc, name);
    await peer.reset();
    for (const { v1 } of updates) {
      Y.applyUpdate(doc, v1);
      await peer.apply(v1);
      if (random.chance(0.6)) continue;
      const name = random.pick(ROOTS);
      const type = rootOf(doc, name);
      const [index, assoc] = [random.below(type.length + 3), random.pick([-1, 0, 1, -64])];
      const made = Y.encodeRelativePosition(Y.createRelativePositionFromTypeIndex(type, index, assoc));
      assert.equal(hex(await peer.positionAt(headOf(index, assoc), name)), hex(made), `made in ${name}`);
      positions.push(made, Y.encodeRelativePosition(anyPosition(random, doc)));
      for (const position of positions)
        assert.deepEqual(await peer.resolvePosition(position), resolveByYjs(doc, position), hex(position));
    }
  });
});

test('positions that are none', async () => {
  for (const bytes of ['', '03', '0001', '0105', '000101bf', '02 01'])
    await assert.rejects(peer.resolvePosition(Buffer.from(bytes.replace(' ', ''), 'hex')), Refused);
});

/* ---- awareness ---- */

test(`${runs} awareness updates`, async () => {
  await forSeeds(async (random) => {
    const doc = new Y.Doc();
    const awareness = new Awareness(doc);
    const clients = [doc.clientID];
    for (let i = random.below(4); i > 0; i--) {
      const client = random.below(2 ** 53);
      clients.push(client);
      awareness.states.set(client, jsonValue(random));
      awareness.meta.set(client, { clock: random.below(2 ** 32), lastUpdated: 0 });
    }
    awareness.setLocalState(random.chance(0.3) ? null : jsonValue(random));
    const update = encodeAwarenessUpdate(awareness, clients);
    awareness.destroy();
    assert.equal(hex(await peer.rewriteAwareness(update)), hex(update));
  });
});
