/*
 * Poison: an update that crashes the room, keeps it busy without end or makes it eat memory, in
 * programs with such faults planted (tests/planted). The room is put into quarantine with its bytes
 * kept; other rooms never notice.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { joinJson } from '../lib/json-client.mjs';
import { assertRefused, quarantined, release } from '../lib/quarantine.mjs';
import { startServer } from '../lib/server.mjs';
import { ROOT, textOf, typeUntil, yjsTypist } from '../lib/typists.mjs';
import { once } from '../lib/wait.mjs';
import { converged, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const ROOM = 'poisoned';
const KEPT = 'what was there before';

/* The word, what ends the room, and limits that make it quick. */
const POISONS = [
  { word: 'planted-crash', signal: 11, options: [] },
  { word: 'planted-loop', signal: 24, options: ['--room-turn-cpu-ms', '100'] },
  { word: 'planted-memory', signal: 6, options: ['--room-memory-mib', '128'] },
];

const poison = async (t, server, word) => {
  const client = await joinJson(t, server, ROOM);
  const closed = once(client, 'close');
  client.bind(Y, new Y.Doc()).getText(ROOT).insert(0, word);
  assert.equal((await closed).code, 1011);
  assert.equal(client.type('error').at(-1).code, 'room_quarantined');
  assert.equal(client.acked.size, 0, 'what killed the room was never acknowledged');
};

describe('a poisoned room is put into quarantine', () => {
  for (const { word, signal, options } of POISONS) {
    test(word, async (t) => {
      const server = await startServer(t, { programs: 'tests/planted', options });
      const author = await joinJson(t, server, ROOM);
      author.bind(Y, new Y.Doc()).getText(ROOT).insert(0, KEPT);
      await author.ackOf(author.seq);
      author.close();
      const bystanders = await Promise.all([
        yjsTypist(t, server, 'healthy', 'a'), yjsTypist(t, server, 'healthy', 'b'),
      ]);
      const { pid } = await server.room('healthy');

      let isOver = false;
      const over = poison(t, server, word).finally(() => {
        isOver = true;
      });
      await typeUntil(bystanders, () => isOver);
      await over;
      await quarantined(server, ROOM);
      const { quarantine } = await server.room(ROOM);
      assert.equal(quarantine.reason, 'crashes');
      assert.equal(quarantine.crashes, 5);
      assert.equal(quarantine.last_signal, signal);
      await assertRefused(t, server, ROOM);

      await converged(bystanders.map(({ doc }) => doc));
      assert.equal(bystanders[0].closes() + bystanders[1].closes(), 0);
      assert.equal((await server.room('healthy')).pid, pid);

      release(server);
      const back = await joinYjs(t, server, ROOM);
      assert.equal(textOf(back.doc), KEPT, 'its bytes were kept, and nothing else was');
      const again = await joinJson(t, server, ROOM);
      again.bind(Y, new Y.Doc()).getText(ROOT).insert(0, 'and on it goes: ');
      await again.ackOf(again.seq);
    });
  }
});
