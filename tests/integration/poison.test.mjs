/*
 * Poison: an update that crashes the room, keeps it busy without end or makes it eat memory, in
 * programs with such faults planted (tests/planted). The room is put into quarantine with its bytes
 * kept; other rooms never notice.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { joinJson } from '../lib/json-client.mjs';
import { scrape } from '../lib/metrics.mjs';
import { childrenOf, kill } from '../lib/processes.mjs';
import { assertRefused, quarantined, release } from '../lib/quarantine.mjs';
import { isSanitized, startServer } from '../lib/server.mjs';
import { ROOT, textOf, typeUntil, yjsTypist } from '../lib/typists.mjs';
import { once, poll } from '../lib/wait.mjs';
import { converged, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const ROOM = 'poisoned';
const KEPT = 'what was there before';

/* The word, what ends the room, and limits that make it quick. */
const POISONS = [
  { word: 'planted-crash', signal: 11, options: [] },
  { word: 'planted-loop', signal: 24, options: ['--room-turn-cpu-ms', '100'] },
  {
    word: 'planted-memory', signal: 6, options: ['--room-memory-mib', '128'], isBounded: true,
  },
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
  for (const { word, signal, options, isBounded = false } of POISONS) {
    test(word, { skip: isBounded && isSanitized() }, async (t) => {
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

const figure = async (server, name) =>
  (await scrape(server)).get(`concord_store_${name}_total{process="snapshotd-0"}`);

const FOLDING = ['--snapshot-updates', '3', '--snapshot-ms', '50'];

describe('the process that folds a room', () => {
  test('is killed by an update: the room keeps its rows, others are folded', async (t) => {
    const server = await startServer(t, { programs: 'tests/planted', options: FOLDING });
    const snapshotd = server.pid('snapshotd');
    const author = await joinJson(t, server, ROOM);
    const doc = author.bind(Y, new Y.Doc());
    doc.getText(ROOT).insert(0, 'planted-fold-crash');
    await author.ackOf(author.seq);
    await poll(async () => (await figure(server, 'fold_failures')) === 1, 'its fold has failed');

    const bystander = await yjsTypist(t, server, 'healthy');
    const folds = await figure(server, 'folds');
    let isFolded = false;
    const folded = poll(async () => (await figure(server, 'folds')) > folds, 'another is folded');
    await Promise.all([
      typeUntil([bystander], () => isFolded),
      folded.finally(() => {
        isFolded = true;
      }),
    ]);
    doc.getText(ROOT).insert(0, 'it is still stored: ');
    await author.ackOf(author.seq);
    assert.equal(await figure(server, 'fold_failures'), 1, 'and left alone for a while');
    assert.equal(server.pid('snapshotd'), snapshotd);

    await server.stop();
    server.wipeRun();
    await server.start();
    const back = await joinYjs(t, server, ROOM);
    assert.equal(textOf(back.doc), 'it is still stored: planted-fold-crash');
  });

  test('is forked by one that may be killed itself', async (t) => {
    const server = await startServer(t, { options: FOLDING });
    const author = await joinJson(t, server, ROOM);
    const text = author.bind(Y, new Y.Doc()).getText(ROOT);
    text.insert(0, KEPT);
    await author.ackOf(author.seq);
    const snapshotd = server.pid('snapshotd');
    const [folder] = childrenOf(snapshotd);
    kill(folder);
    const isReplaced = () => {
      try {
        return server.pid('snapshotd') !== snapshotd;
      } catch {
        return false; /* between two of them */
      }
    };
    await poll(isReplaced, 'the next snapshotd');
    text.insert(0, 'and on it goes: ');
    await author.ackOf(author.seq);
    const folds = await figure(server, 'folds');
    text.insert(0, 'folded: ');
    await poll(async () => (await figure(server, 'folds')) > folds, 'it folds again');
  });
});
