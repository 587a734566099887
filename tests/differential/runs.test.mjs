/*
 * Who puts one thing after another at the same place, like lines at the head of a list, while
 * others do the same and nobody hears of the others: the engine must order them as Yjs does. Some
 * runs are broken: by something deleted, something put into the middle, or news of others.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as Y from 'yjs';
import { Peer } from './peer.mjs';
import { Random, settings } from './random.mjs';

const { seed, runs } = settings(100);
const LISTS = ['a', 'b'];

const burst = (random, doc) => {
  const list = doc.getArray(random.pick(LISTS));
  const other = doc.getArray(random.pick(LISTS));
  const at = random.below(Math.min(3, list.length + 1));
  for (let i = random.below(12); i > 0; i--) {
    list.insert(at, [i]);
    if (random.chance(0.1)) other.insert(random.below(other.length + 1), ['x']);
    if (random.chance(0.1) && list.length > at + 1) list.delete(at + random.below(2), 1);
    if (random.chance(0.05)) list.insert(random.below(list.length + 1), ['mid']);
  }
};

/* What one replica sends: each of its transactions, or all of some together. */
const replica = (random, clientID) => {
  const doc = new Y.Doc({ gc: true });
  doc.clientID = clientID;
  const sent = [];
  doc.on('update', (update, origin) => origin !== 'remote' && sent.push(update));
  return { doc, sent };
};

const exchange = (random, replicas) => {
  const [from, to] = random.shuffle(replicas);
  Y.applyUpdate(to.doc, Y.encodeStateAsUpdate(from.doc, Y.encodeStateVector(to.doc)), 'remote');
};

test(`runs at one place, ${runs} histories from seed ${seed}`, async (t) => {
  const peer = new Peer();
  t.after(() => peer.close()); /* also of a test that fails */
  for (let round = 0; round < runs; round++) {
    const random = new Random(seed + round);
    const replicas = random.shuffle([1, 2, 3, 4]).map((id) => replica(random, id * 1000));
    for (let i = 0; i < 30; i++) {
      burst(random, random.pick(replicas).doc);
      if (random.chance(0.2)) exchange(random, replicas);
    }
    const updates = random.chance(0.5)
      ? random.shuffle(replicas.flatMap(({ sent }) => sent))
      : random.shuffle(replicas.map(({ doc }) => Y.encodeStateAsUpdate(doc)));
    const yjs = new Y.Doc();
    await peer.reset();
    for (const update of updates) {
      Y.applyUpdate(yjs, update);
      await peer.apply(update);
    }
    const state = Y.encodeStateAsUpdate(yjs);
    assert.deepEqual(Buffer.from(await peer.encode()), Buffer.from(state), `round ${round}`);
    /* Whole, in one update. */
    await peer.reset();
    await peer.apply(state);
    const copy = new Y.Doc();
    Y.applyUpdate(copy, state);
    for (const list of LISTS)
      assert.deepEqual(copy.getArray(list).toJSON(), yjs.getArray(list).toJSON());
    assert.deepEqual(
      await peer.read(Object.fromEntries(LISTS.map((list) => [list, 'array']))),
      Object.fromEntries(LISTS.map((list) => [list, yjs.getArray(list).toJSON()])),
      `round ${round}`,
    );
  }
  assert.equal(await peer.close(), 0);
});
