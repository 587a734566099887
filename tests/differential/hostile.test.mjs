/*
 * Updates with bytes changed, cut or added at random: the engine refuses them or answers with an
 * update that Yjs can read, and in either case goes on. It may refuse what Yjs takes (clocks beyond
 * 32 bits, columns that run dry), for no encoder writes such.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as Y from 'yjs';
import { makeHistory } from './history.mjs';
import { Peer, Refused } from './peer.mjs';
import { Random, settings } from './random.mjs';

const { seed, runs } = settings(300);
const CHANGES_PER_HISTORY = 20;

let peer;

before(() => {
  peer = new Peer();
});
after(async () => assert.equal(await peer.close(), 0));

const damage = (random, update) => {
  const bytes = [...update];
  for (let i = 1 + random.below(3); i > 0; i--) {
    const at = random.below(bytes.length);
    switch (random.below(5)) {
      case 0:
        bytes.splice(at, 1 + random.below(3));
        break;
      case 1:
        bytes.splice(at, 0, random.below(256));
        break;
      case 2:
        bytes[at] = random.pick([0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xff]);
        break;
      default:
        bytes[at] ^= 1 << random.below(8);
    }
    if (bytes.length === 0) break;
  }
  return Uint8Array.from(bytes);
};

/* The answer, or null if the engine refused. */
const orRefused = async (answer) => {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
};

test(`${runs} damaged histories from seed ${seed}`, async () => {
  let taken = 0;
  for (let run = 0; run < runs; run++) {
    const random = new Random(seed * 1_000_003 + run);
    const { docs, updates } = makeHistory(random, { edits: 4 });
    if (updates.length === 0) continue;
    const sv = Y.encodeStateVector(docs[0]);
    for (let i = 0; i < CHANGES_PER_HISTORY; i++) {
      const { v1, v2 } = random.pick(updates);
      const [bad1, bad2] = [damage(random, v1), damage(random, v2)];
      const answers = [
        [await orRefused(peer.toV1(bad2)), Y.decodeUpdate],
        [await orRefused(peer.toV2(bad1)), Y.decodeUpdateV2],
        [await orRefused(peer.merge([v1, bad1])), Y.decodeUpdate],
        [await orRefused(peer.merge([bad2, v2, bad2], 2)), Y.decodeUpdateV2],
        [await orRefused(peer.diff(bad1, sv)), Y.decodeUpdate],
        [await orRefused(peer.diff(bad2, sv, 2)), Y.decodeUpdateV2],
        [await orRefused(peer.stateVectorOf(bad1)), Y.decodeStateVector],
      ];
      for (const [answer, decode] of answers) {
        if (answer === null) continue;
        taken++;
        assert.doesNotThrow(
          () => decode(answer),
          `SEED=${seed}, run ${run}: ${Buffer.from(bad1).toString('hex')} ${Buffer.from(bad2).toString('hex')}`,
        );
      }
    }
  }
  assert.ok(taken > 0);
});

test('requests that are none', async () => {
  for (const command of ['', '?', '\u0000']) await assert.rejects(peer.ask(command), Refused);
  for (const command of ['m', 'd'])
    await assert.rejects(peer.ask(command, Buffer.from([9, 0, 0, 0, 1])), Refused);
  assert.equal(Buffer.from(await peer.merge([])).toString('hex'), '0000');
});
