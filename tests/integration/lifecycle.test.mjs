/* Rooms that close when nobody is there, a server that stops in order, the operator's figures. */
import assert from 'node:assert/strict';
import { readdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { joinJson } from '../lib/json-client.mjs';
import { isAlive, kill } from '../lib/processes.mjs';
import { startServer } from '../lib/server.mjs';
import { poll, until } from '../lib/wait.mjs';
import { converged, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const ROOT = 'body';
const textOf = (doc) => doc.getText(ROOT).toString();
const QUICK_IDLE = ['--room-idle-ms', '50'];

const write = async (t, server, room, text) => {
  const client = await joinJson(t, server, room);
  const doc = client.bind(Y, new Y.Doc());
  doc.getText(ROOT).insert(0, text);
  await client.ackOf(client.seq);
  return client;
};

const noSegments = (server) => {
  const directory = join(server.run, 'rooms');
  const subscribe = (check) => {
    const watcher = watch(directory, check);
    return () => watcher.close();
  };
  return until(subscribe, () => readdirSync(directory).length === 0, 'the segments are gone');
};

describe('idle rooms', () => {
  test('a room without clients closes, and its content is there again', async (t) => {
    const server = await startServer(t, { options: QUICK_IDLE });
    const client = await write(t, server, 'idle', 'kept');
    const { pid } = await server.room('idle');
    assert.ok(isAlive(pid));
    client.close();
    await noSegments(server);
    await poll(() => !isAlive(pid), 'the room process has ended');
    await poll(async () => !(await server.room('idle')), 'concordctl no longer lists it');

    const back = await joinYjs(t, server, 'idle');
    assert.equal(textOf(back.doc), 'kept');
    assert.notEqual((await server.room('idle')).pid, pid);
  });

  test('clients that come while a room closes get in, with the content', async (t) => {
    const server = await startServer(t, { options: ['--room-idle-ms', '1'] });
    const author = await write(t, server, 'busy', '0');
    author.close();
    for (let round = 1; round <= 30; round += 1) {
      const client = await joinJson(t, server, 'busy');
      const doc = client.bind(Y, new Y.Doc());
      assert.equal(textOf(doc).length, round, `round ${round}`);
      doc.getText(ROOT).insert(0, String(round % 10));
      await client.ackOf(client.seq);
      assert.deepEqual(client.type('error'), []);
      client.close();
    }
  });

  test('an unstored edit keeps its room open', async (t) => {
    const server = await startServer(t, { options: QUICK_IDLE });
    const client = await joinJson(t, server, 'hasty');
    const doc = client.bind(Y, new Y.Doc());
    doc.getText(ROOT).insert(0, 'sent and gone');
    client.socket.close();
    await poll(async () => !(await server.room('hasty')), 'the room has closed');
    const back = await joinYjs(t, server, 'hasty');
    assert.equal(textOf(back.doc), 'sent and gone');
  });
});

describe('an orderly end', () => {
  test('SIGTERM: everything ends with status 0, and nothing is lost', async (t) => {
    const server = await startServer(t);
    await write(t, server, 'one', 'first');
    const typist = await joinYjs(t, server, 'two');
    const watcher = await joinYjs(t, server, 'two');
    typist.doc.getText(ROOT).insert(0, 'second');
    await converged([typist.doc, watcher.doc]);
    typist.provider.disconnect();
    watcher.provider.disconnect();

    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.deepEqual(server.processes(), []);
    server.wipeRun();
    await server.start();
    const one = await joinYjs(t, server, 'one');
    const two = await joinYjs(t, server, 'two');
    assert.equal(textOf(one.doc), 'first');
    assert.equal(textOf(two.doc), 'second');
  });

  /* Only the segment holds the edit when the processes between it and the store die. */
  for (const victims of [['snapshotd'], ['roomd', 'snapshotd'], ['room', 'snapshotd']]) {
    test(`SIGTERM just when ${victims.join(' and ')} died: nothing is lost`, async (t) => {
      const server = await startServer(t);
      const watcher = await write(t, server, 'late', 'stored, ');
      const typist = await joinYjs(t, server, 'late');
      const pidOf = async (name) =>
        name === 'room' ? (await server.room('late')).pid : server.pid(name);
      const pids = await Promise.all(victims.map(pidOf));
      kill(server.pid('snapshotd'), 'SIGSTOP');
      typist.doc.getText(ROOT).insert(8, 'published');
      await watcher.frame(({ t: type }) => type === 'op', 'the edit');
      pids.forEach((pid) => kill(pid));

      assert.deepEqual(await server.stop(), { code: 0, signal: null });
      assert.deepEqual(server.processes(), []);
      server.wipeRun();
      await server.start();
      const back = await joinYjs(t, server, 'late');
      assert.equal(textOf(back.doc), 'stored, published');
    });
  }

  test('SIGTERM with clients connected tells them that it restarts', async (t) => {
    const server = await startServer(t);
    const client = await joinJson(t, server, 'open');
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await until((check) => (client.on('close', check), () => {}), () => client.closed, 'close');
    assert.equal(client.closed.code, 1012);
  });
});

describe('concordctl', () => {
  test('rooms --json has the figures of every open room', async (t) => {
    const server = await startServer(t);
    assert.deepEqual(await server.rooms(), []);
    const author = await write(t, server, 'figures', 'text');
    const watcher = await joinYjs(t, server, 'figures');
    await write(t, server, 'other room/ünï', 'x');

    const line = await poll(async () => {
      const found = await server.room('figures');
      return found.clients === 2 && found;
    }, 'two clients');
    assert.ok(isAlive(line.pid));
    assert.equal(line.last_seq, line.stored_seq, 'all is stored');
    assert.equal(line.state, 'open');
    assert.equal(line.updates, 1);
    assert.ok(line.structs >= 1);
    assert.ok(line.bytes > 0);
    assert.equal((await server.rooms()).length, 2);
    assert.ok(await server.room('other room/ünï'), 'names are printed as they are');

    author.close();
    watcher.provider.disconnect();
    await poll(async () => (await server.room('figures')).clients === 0, 'no clients');
  });
});
