/*
 * Rooms and those who watch over them. A room outlives its supervisor, with its clients; the next
 * supervisor takes it over, and there never is a second one. A room that crashes again and again is
 * not started any more; others never notice.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { joinJson } from '../lib/json-client.mjs';
import { scrape } from '../lib/metrics.mjs';
import { gone, isAlive, kill } from '../lib/processes.mjs';
import { assertRefused, quarantined, release } from '../lib/quarantine.mjs';
import { isSanitized, startServer } from '../lib/server.mjs';
import {
  ROOT, acksReach, assertHolds, jsonTypist, textOf, typeUntil, yjsTypist,
} from '../lib/typists.mjs';
import { once, poll } from '../lib/wait.mjs';
import { converged, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const ROOM = 'watched';

/* A room with two clients that type, and another room with one. */
const startTyping = async (t, options = []) => {
  const server = await startServer(t, { options });
  const json = await jsonTypist(t, server, ROOM);
  const yjs = await yjsTypist(t, server, ROOM);
  const bystander = await yjsTypist(t, server, 'elsewhere');
  const typists = [json, yjs, bystander];
  const typeMore = (acks) => {
    const enough = json.client.acked.size + acks;
    return typeUntil(typists, () => json.client.acked.size >= enough);
  };
  await typeMore(10);
  return { server, json, yjs, bystander, typists, typeMore };
};

/* Everything typed is there for somebody who joins afresh, and no socket was closed. */
const assertUnharmed = async (t, { server, json, yjs, bystander }) => {
  await acksReach(json, json.client.seq);
  await converged([json.doc, yjs.doc]);
  const late = await joinYjs(t, server, ROOM);
  await converged([yjs.doc, late.doc]);
  assertHolds(textOf(late.doc), [...json.ackedMarks(), ...yjs.marks]);
  const elsewhere = await joinYjs(t, server, 'elsewhere');
  await converged([bystander.doc, elsewhere.doc]);
  assert.equal(json.client.closed, null, 'the JSON socket stays open');
  assert.equal(yjs.closes() + bystander.closes(), 0, 'the y-websocket sockets stay open');
};

const pidOf = async (server, room = ROOM) => (await server.room(room)).pid;

const roomdAfter = (server, pids) =>
  poll(() => {
    try {
      const pid = server.pid('roomd');
      return !pids.includes(pid) && pid;
    } catch {
      return null; /* between two of them */
    }
  }, 'the next roomd');

/* No roomd comes until `restart()`: who would start it is stopped. */
const loseRoomd = async (server) => {
  const pid = server.pid('roomd');
  kill(server.launcher.pid, 'SIGSTOP');
  kill(pid);
  await gone([pid]);
  return () => kill(server.launcher.pid, 'SIGCONT');
};

const adoptions = async (server) =>
  (await scrape(server)).get('concord_room_adoptions_total{process="roomd-0"}');

describe('rooms outlive their supervisor', () => {
  test('without one, edits are taken and stored; the next one adopts the rooms', async (t) => {
    const typing = await startTyping(t);
    const { server, typeMore } = typing;
    const pid = await pidOf(server);
    const restart = await loseRoomd(server);
    await typeMore(20);
    restart();
    await poll(async () => (await adoptions(server)) === 2, 'both rooms are adopted');
    await typeMore(5);
    await assertUnharmed(t, typing);
    assert.equal(await pidOf(server), pid, 'it is the same process');
  });

  test('of one supervisor after the other', async (t) => {
    const typing = await startTyping(t);
    const { server, typeMore } = typing;
    const pid = await pidOf(server);
    const pids = [];
    for (let i = 0; i < 3; i += 1) {
      pids.push(await roomdAfter(server, pids));
      kill(pids[i]);
      await typeMore(3);
    }
    await typeMore(5);
    await assertUnharmed(t, typing);
    assert.equal(await pidOf(server), pid, 'it is the same process');
  });

  test('a room that dies meanwhile is started by the next one', async (t) => {
    const typing = await startTyping(t);
    const { server, json, typeMore, typists } = typing;
    const pid = await pidOf(server);
    const restart = await loseRoomd(server);
    await typeMore(5);
    kill(pid);
    await gone([pid]);
    typists.forEach(({ type }) => type());
    restart();
    await acksReach(json, json.client.seq);
    await typeMore(5);
    await assertUnharmed(t, typing);
    assert.notEqual(await pidOf(server), pid);
  });

  test('a room that stands still meanwhile is adopted when it goes on', async (t) => {
    const typing = await startTyping(t);
    const { server, typeMore, typists } = typing;
    const pid = await pidOf(server);
    const restart = await loseRoomd(server);
    kill(pid, 'SIGSTOP'); /* only now: the end of roomd lets its rooms go on (setpgid(2)) */
    restart();
    await poll(async () => (await adoptions(server)) === 1, 'the other room is adopted');
    typists.forEach(({ type }) => type());
    kill(pid, 'SIGCONT');
    await typeMore(5);
    await assertUnharmed(t, typing);
    assert.equal(await pidOf(server), pid, 'it is the same process');
  });

  test('a stop ends those that were adopted, with all they had', async (t) => {
    const { server, json, yjs, bystander } = await startTyping(t);
    const pids = await Promise.all([pidOf(server), pidOf(server, 'elsewhere')]);
    const roomd = server.pid('roomd');
    kill(roomd);
    await roomdAfter(server, [roomd]);
    await converged([json.doc, yjs.doc]);
    [yjs, bystander].forEach(({ provider }) => provider.disconnect());
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await gone(pids);
    server.wipeRun();
    await server.start();
    const back = await joinYjs(t, server, ROOM);
    assertHolds(textOf(back.doc), [...json.ackedMarks(), ...yjs.marks]);
  });

  test('also when roomd and the store die together', async (t) => {
    const typing = await startTyping(t);
    const { server, typeMore } = typing;
    const pid = await pidOf(server);
    kill(server.pid('roomd'));
    kill(server.pid('snapshotd'));
    await typeMore(10);
    await assertUnharmed(t, typing);
    assert.equal(await pidOf(server), pid, 'it is the same process');
  });
});

describe('a room that crashes again and again', () => {
  test('is put into quarantine and refused to everybody, until it is released', async (t) => {
    const { server, json, yjs, bystander } = await startTyping(t);
    await acksReach(json, json.client.seq);
    await converged([json.doc, yjs.doc]);
    const elsewhere = await pidOf(server, 'elsewhere');
    const closed = once(json.client, 'close');
    const pids = [];
    for (let i = 0; i < 5; i += 1) {
      const { pid } = await poll(async () => {
        const line = await server.room(ROOM);
        return line?.state === 'open' && isAlive(line.pid) && !pids.includes(line.pid) && line;
      }, 'the room runs');
      pids.push(pid);
      kill(pid);
    }
    /* Those who were in it are told as well. */
    assert.equal((await closed).code, 1011);
    assert.equal(json.client.type('error').at(-1).code, 'room_quarantined');
    yjs.provider.destroy();
    await quarantined(server, ROOM);
    await assertRefused(t, server, ROOM);

    /* Neither a new roomd starts it. */
    const roomd = server.pid('roomd');
    kill(roomd);
    await roomdAfter(server, [roomd]);
    await assertRefused(t, server, ROOM);
    assert.equal(bystander.closes(), 0);
    assert.equal(await pidOf(server, 'elsewhere'), elsewhere);

    release(server);
    const back = await joinYjs(t, server, ROOM);
    assertHolds(textOf(back.doc), [...json.ackedMarks(), ...yjs.marks]);
    const again = await jsonTypist(t, server, ROOM);
    await again.client.ackOf(again.type());
  });
});

describe('roomd that hangs', () => {
  /* Nobody can start the room that dies now. Its clients are told to come again, and they do. That
   * takes its time, which is not spent twice. */
  test('costs nobody an edit', { skip: isSanitized() }, async (t) => {
    const typing = await startTyping(t);
    const { server, json, yjs, bystander, typists } = typing;
    const pid = await pidOf(server);
    await acksReach(json, json.client.seq);
    const roomd = server.pid('roomd');
    kill(roomd, 'SIGSTOP');
    kill(pid);
    typists.forEach(({ type }) => type());
    await acksReach(json, json.client.seq - 1);
    assert.equal((await once(json.client, 'close')).code, 1013);
    kill(roomd, 'SIGCONT');
    await poll(() => yjs.closes() > 0 && yjs.provider.synced, 'the provider is back');
    const late = await joinYjs(t, server, ROOM);
    await converged([yjs.doc, late.doc]);
    assertHolds(textOf(late.doc), [...json.ackedMarks(), ...yjs.marks]);
    assert.equal(bystander.closes(), 0, 'other rooms do not notice');
  });
});

describe('limits', () => {
  /* The room dies of it, or refuses what is too much: either way alone. */
  test('a room that wants too much memory harms nobody', { skip: isSanitized() }, async (t) => {
    const server = await startServer(t, { options: ['--room-memory-mib', '48'] });
    const bystander = await jsonTypist(t, server, 'modest');
    await bystander.client.ackOf(bystander.type());
    const pid = await pidOf(server, 'modest');
    const greedy = await joinJson(t, server, 'greedy');
    const doc = greedy.bind(Y, new Y.Doc());
    const text = 'x'.repeat(1 << 20);
    for (let i = 0; i < 64 && greedy.type('error').length === 0; i += 1) {
      doc.getText(ROOT).insert(0, text);
      await bystander.client.ackOf(bystander.type());
    }
    await greedy.frame((frame) => frame.t === 'error', 'a refusal');
    await bystander.client.ackOf(bystander.type());
    assert.equal(bystander.client.closed, null);
    assert.equal(await pidOf(server, 'modest'), pid);
  });

  test('clients that come and go while rooms close get in, all of them', async (t) => {
    const server = await startServer(t, { options: ['--room-idle-ms', '1'] });
    const ROOMS = 8;
    const ROUNDS = 25;
    const visit = async (room, round) => {
      const client = await joinJson(t, server, room);
      const doc = client.bind(Y, new Y.Doc());
      assert.equal(textOf(doc).length, round, `round ${round} in ${room}`);
      doc.getText(ROOT).insert(0, 'x');
      await client.ackOf(client.seq);
      assert.deepEqual(client.type('error'), []);
      client.close();
    };
    await Promise.all(
      Array.from({ length: ROOMS }, async (_, i) => {
        for (let round = 0; round < ROUNDS; round += 1) await visit(`busy-${i}`, round);
      }),
    );
  });
});
