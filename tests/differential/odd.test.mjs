/*
 * Structs that are well formed, but that no editor makes: neighbours taken at random from anywhere in
 * the document, lists and maps mixed, parents that are no types or are gone. Yjs puts each of them
 * somewhere, and the engine must put it there, too, or replicas would drift apart.
 *
 * Left out is what depends on how Yjs has cut and merged its structs so far: right origins left of
 * the origin in the same client's text, and values of keys which have several units.
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
    const text = 'abcd'.slice(0, 1 + random.below(max));
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

/* One v1 update with one struct of `client`, maybe some deletes. */
const oddUpdate = (random, clocks, hasKeys) => {
  const encoder = encoding.createEncoder();
  const client = random.pick(CLIENTS);
  const isFirst = [...clocks.values()].every((clock) => clock === 0);
  const ref = random.pick(Object.keys(CONTENTS)) | 0;
  const origin = !isFirst && random.chance(0.6) ? anyId(random, clocks) : null;
  let right = !isFirst && random.chance(0.5) ? anyId(random, clocks) : null;
  if (origin && right && origin[0] === right[0] && right[1] <= origin[1]) right = null;
  const hasKey = hasKeys && !origin && !right && random.chance(0.5);
  encoding.writeVarUint(encoder, 1);
  encoding.writeVarUint(encoder, 1);
  writeId(encoder, [client, clocks.get(client)]);
  encoding.writeUint8(encoder, ref | (origin ? 0x80 : 0) | (right ? 0x40 : 0) | (hasKey ? 0x20 : 0));
  if (origin) writeId(encoder, origin);
  if (right) writeId(encoder, right);
  if (!origin && !right) writeParent(encoder, random, clocks, hasKey);
  clocks.set(client, clocks.get(client) + CONTENTS[ref](encoder, random, hasKeys ? 1 : 4));
  if (random.chance(0.15)) {
    const [deleted, clock] = anyId(random, clocks);
    encoding.writeVarUint(encoder, 1);
    encoding.writeVarUint(encoder, deleted);
    encoding.writeVarUint(encoder, 1);
    encoding.writeVarUint(encoder, clock);
    encoding.writeVarUint(encoder, 1 + random.below(2));
  } else {
    encoding.writeVarUint(encoder, 0);
  }
  return encoding.toUint8Array(encoder);
};

const run = async (random) => {
  const doc = newReplica();
  const clocks = new Map(CLIENTS.map((id) => [id, 0]));
  const hasKeys = random.chance(0.5);
  let updates = Array.from({ length: 2 + random.below(25) }, () => oddUpdate(random, clocks, hasKeys));
  if (random.chance(0.3)) updates = random.shuffle(updates);
  await peer.reset();
  for (const [i, update] of updates.entries()) {
    Y.applyUpdate(doc, update);
    await peer.apply(update);
    joinGarbage(doc);
    const log = updates.slice(0, i + 1).map(hex).join('\n');
    assert.equal(hex(await peer.encode()), hex(Y.encodeStateAsUpdate(doc)), log);
  }
};

test(`${runs} odd documents`, async () => {
  for (let i = 0; i < runs; i++) {
    try {
      await run(new Random(seed + i));
    } catch (error) {
      error.message = `SEED=${seed + i} RUNS=1: ${error.message}`;
      throw error;
    }
  }
});
