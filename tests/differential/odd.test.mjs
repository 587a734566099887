/*
 * Structs that are well formed, but that no editor makes: neighbours taken at random from anywhere in
 * the document, lists and maps mixed, parents that are no types or are gone. Yjs puts each of them
 * somewhere, and the engine must put it there, too, or replicas would drift apart.
 *
 * Left out of the first test is what depends on how Yjs has cut and merged its structs so far:
 * right origins at or before the origin of the same client (the last test has them), and values of
 * keys which have several units.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as encoding from 'lib0/encoding';
import * as Y from 'yjs';
import { Peer } from './peer.mjs';
import { Random, settings } from './random.mjs';
import { joinGarbage, newReplica } from './replica.mjs';

const { seed, runs } = settings(400);
const CLIENTS = [1, 2, 3];
const ROOTS = ['t', 'u'];
const KEYS = ['a', 'b'];

const hex = (bytes) => Buffer.from(bytes).toString('hex');

let peer;

before(() => {
  peer = new Peer();
});
after(async () => assert.equal(await peer.close(), 0));

const anyId = (random, clocks) => {
  const client = random.pick(CLIENTS.filter((id) => clocks.get(id) > 0));
  return [client, random.below(clocks.get(client))];
};

const writeId = (encoder, [client, clock]) => {
  encoding.writeVarUint(encoder, client);
  encoding.writeVarUint(encoder, clock);
};

/* Each writes a content of at most `max` units and returns its length. */
const CONTENTS = {
  1: (encoder, random, max) => {
    const len = 1 + random.below(max);
    encoding.writeVarUint(encoder, len);
    return len;
  },
  4: (encoder, random, max) => {
    const text = 'abcdefghi'.slice(0, 1 + random.below(max));
    encoding.writeVarString(encoder, text);
    return text.length;
  },
  6: (encoder) => {
    encoding.writeVarString(encoder, 'bold');
    encoding.writeVarString(encoder, 'true');
    return 1;
  },
  7: (encoder, random) => {
    encoding.writeVarUint(encoder, random.below(3));
    return 1;
  },
  8: (encoder, random, max) => {
    const len = 1 + random.below(max);
    encoding.writeVarUint(encoder, len);
    for (let i = 0; i < len; i++) encoding.writeAny(encoder, i);
    return len;
  },
};

const writeParent = (encoder, random, clocks, hasKey) => {
  if (random.chance(0.5) || [...clocks.values()].every((clock) => clock === 0)) {
    encoding.writeVarUint(encoder, 1);
    encoding.writeVarString(encoder, random.pick(ROOTS));
  } else {
    encoding.writeVarUint(encoder, 0);
    writeId(encoder, anyId(random, clocks));
  }
  if (hasKey) encoding.writeVarString(encoder, random.pick(KEYS));
};

const isReversed = (origin, right) =>
  origin !== null && right !== null && origin[0] === right[0] && right[1] <= origin[1];

/* Neighbours, each an id or null: as they come, but never reversed. */
const anyNeighbours = (random, clocks) => {
  const origin = random.chance(0.6) ? anyId(random, clocks) : null;
  const right = random.chance(0.5) ? anyId(random, clocks) : null;
  return { origin, right: isReversed(origin, right) ? null : right };
};

/* The right origin is at or before the origin, most often. */
const reversedNeighbours = (random, clocks) => {
  if (random.chance(0.3)) return anyNeighbours(random, clocks);
  const [client, clock] = anyId(random, clocks);
  return { origin: [client, clock], right: [client, random.below(clock + 1)] };
};

/* Deletes up to `max` units. */
const writeDeletes = (encoder, random, clocks, max) => {
  const [client, clock] = anyId(random, clocks);
  for (const value of [1, client, 1, clock, 1 + random.below(max)]) {
    encoding.writeVarUint(encoder, value);
  }
};

const ODD = { neighbours: anyNeighbours, deletes: 0.15, maxDeleted: 2, maxLen: 4 };
const REVERSED = { neighbours: reversedNeighbours, deletes: 0.3, maxDeleted: 6, maxLen: 9 };

/* One v1 update with one struct of a client, maybe some deletes: the update and its neighbours. */
const oddUpdate = (random, clocks, kind, hasKeys) => {
  const encoder = encoding.createEncoder();
  const client = random.pick(CLIENTS);
  const isFirst = [...clocks.values()].every((clock) => clock === 0);
  const ref = random.pick(Object.keys(CONTENTS)) | 0;
  const { origin, right } = isFirst
    ? { origin: null, right: null }
    : kind.neighbours(random, clocks);
  const hasKey = hasKeys && !origin && !right && random.chance(0.5);
  encoding.writeVarUint(encoder, 1);
  encoding.writeVarUint(encoder, 1);
  writeId(encoder, [client, clocks.get(client)]);
  const bits = (origin ? 0x80 : 0) | (right ? 0x40 : 0) | (hasKey ? 0x20 : 0);
  encoding.writeUint8(encoder, ref | bits);
  if (origin) writeId(encoder, origin);
  if (right) writeId(encoder, right);
  if (!origin && !right) writeParent(encoder, random, clocks, hasKey);
  const len = CONTENTS[ref](encoder, random, hasKeys ? 1 : kind.maxLen);
  clocks.set(client, clocks.get(client) + len);
  if (random.chance(kind.deletes)) writeDeletes(encoder, random, clocks, kind.maxDeleted);
  else encoding.writeVarUint(encoder, 0);
  return { update: encoding.toUint8Array(encoder), origin, right };
};

/* The updates of a document, each after what it refers to. */
const oddUpdates = (random, kind) => {
  const clocks = new Map(CLIENTS.map((id) => [id, 0]));
  const hasKeys = random.chance(0.5);
  return Array.from({ length: 2 + random.below(25) }, () =>
    oddUpdate(random, clocks, kind, hasKeys),
  );
};

/* Gives the updates to the engine and to Yjs, one by one. `look` sees each of them before. */
const compare = async (updates, look = () => {}) => {
  const doc = newReplica();
  await peer.reset();
  for (const [i, odd] of updates.entries()) {
    look(doc, odd);
    Y.applyUpdate(doc, odd.update);
    await peer.apply(odd.update);
    joinGarbage(doc);
    const log = updates.slice(0, i + 1).map(({ update }) => hex(update)).join('\n');
    assert.equal(hex(await peer.encode()), hex(Y.encodeStateAsUpdate(doc)), log);
  }
};

const runAll = async (run) => {
  for (let i = 0; i < runs; i++) {
    try {
      await run(new Random(seed + i));
    } catch (error) {
      error.message = `SEED=${seed + i} RUNS=1: ${error.message}`;
      throw error;
    }
  }
};

test(`${runs} odd documents`, () =>
  runAll((random) => {
    const updates = oddUpdates(random, ODD);
    return compare(random.chance(0.3) ? random.shuffle(updates) : updates);
  }));

const contentAt = (doc, [client, clock]) => {
  const struct = Y.getItem(doc.store, Y.createID(client, clock));
  return struct instanceof Y.GC ? 'GC' : struct.content.constructor.name;
};

/*
 * Where Yjs puts these depends on its structs. It joins what it can after each update, so that with
 * one struct an update, and none that waits, what there is to be cut is known.
 */
test(`${runs} documents with reversed origins`, async () => {
  const seen = {};
  const count = (doc, { origin, right }) => {
    if (!isReversed(origin, right)) return;
    const content = contentAt(doc, origin);
    seen[content] = (seen[content] ?? 0) + 1;
  };
  await runAll((random) => compare(oddUpdates(random, REVERSED), count));
  for (const content of ['ContentString', 'ContentDeleted', 'GC']) {
    assert.ok(runs < 100 || seen[content] > 0, content);
  }
});

/* What single odd structs come to: v1 updates, and how the roots read after them in any order. */
const NAMED = {
  'an origin in one root, a right origin in another': {
    updates: ['010101000401017402616200', '010102000401017502636400', '01010300c401010200017800'],
    roots: { t: 'text', u: 'text' },
    expected: { t: 'abx', u: 'cd' },
  },
  'a right origin in the middle, and no origin': {
    updates: ['010101000401017402616200', '01010200440101017800'],
    roots: { t: 'text' },
    expected: { t: 'axb' },
  },
  'the value of a key as the origin of what names no key': {
    updates: ['010101002801016d016b0177016100', '010102008801000177016200'],
    roots: { m: 'map' },
    expected: { m: { k: 'b' } },
  },
  'the value of another map as right origin': {
    updates: [
      '010101002801016d016b0177016100',
      '010102002801016e016b0177016200',
      '01010300c8010002000177016300',
    ],
    roots: { m: 'map', n: 'map' },
    expected: { m: { k: 'c' }, n: { k: 'b' } },
  },
};

for (const [name, { updates, roots, expected }] of Object.entries(NAMED)) {
  const bytes = updates.map((update) => ({ update: Buffer.from(update, 'hex') }));

  for (const order of [bytes, [...bytes].reverse()]) {
    test(`${name}, ${order === bytes ? 'in order' : 'in reverse'}`, async () => {
      await compare(order);
      assert.deepEqual(await peer.read(roots), expected);
    });
  }
}
