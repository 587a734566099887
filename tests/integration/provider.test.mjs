/*
 * The pages' provider against a real server: what its status says is true. It brings the copy of
 * Yjs that the pages are bundled with; no other one is loaded here.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import * as Y from '../../web/node_modules/yjs/dist/yjs.mjs';
import { Provider, roomUrl } from '../../web/src/provider.js';
import { joinJson } from '../lib/json-client.mjs';
import { kill } from '../lib/processes.mjs';
import { startServer } from '../lib/server.mjs';
import { once, until } from '../lib/wait.mjs';

/* As in a browser: an error is an event that nobody has to listen to. */
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    this.on('error', () => {});
  }
};

const ROOT = 'body';

const join = (t, server, room) => {
  const doc = new Y.Doc();
  const provider = new Provider(roomUrl(server.http(), room), doc);
  const statuses = [];
  provider.on('status', (status) => statuses.push(status));
  provider.connect();
  t.after(() => provider.destroy());
  return { doc, provider, statuses, text: doc.getText(ROOT) };
};

const statusIs = ({ provider }, status) =>
  until(
    (check) => {
      provider.on('status', check);
      return () => provider.off('status', check);
    },
    () => provider.status === status,
    `status ${status}`,
  );

const textIs = ({ doc, text }, condition, what) =>
  until(
    (check) => {
      doc.on('update', check);
      return () => doc.off('update', check);
    },
    () => condition(text.toString()),
    what,
  );

const peersAre = ({ provider }, condition, what) =>
  until(
    (check) => {
      provider.awareness.on('change', check);
      return () => provider.awareness.off('change', check);
    },
    () => condition(provider.awareness.getStates()),
    what,
  );

describe('provider of the pages', () => {
  test('saving, then saved when the server has stored it', async (t) => {
    const server = await startServer(t);
    const client = join(t, server, 'light');
    await statusIs(client, 'saved');
    client.text.insert(0, 'hello');
    assert.equal(client.provider.status, 'saving');
    await statusIs(client, 'saved');

    await server.killAll();
    server.wipeRun();
    await statusIs(client, 'offline');
    await server.start();
    const reader = join(t, server, 'light');
    await statusIs(reader, 'saved');
    assert.equal(reader.text.toString(), 'hello');
  });

  test('not saved while the store is down, and nothing is lost', async (t) => {
    const server = await startServer(t);
    const client = join(t, server, 'stopped');
    await statusIs(client, 'saved');
    const pid = server.pid('snapshotd');
    kill(pid, 'SIGSTOP');
    try {
      const reader = await joinJson(t, server, 'stopped');
      client.text.insert(0, 'not stored yet');
      await reader.frame(({ t: type }) => type === 'op', 'the edit, which is not held back');
      assert.equal(client.provider.status, 'saving');
    } finally {
      kill(pid, 'SIGCONT');
    }
    await statusIs(client, 'saved');
  });

  test('edits made offline, deletions among them, are sent on reconnect', async (t) => {
    const server = await startServer(t);
    const [a, b] = [join(t, server, 'offline'), join(t, server, 'offline')];
    await Promise.all([statusIs(a, 'saved'), statusIs(b, 'saved')]);
    a.text.insert(0, 'one two three');
    await textIs(b, (text) => text === 'one two three', 'the first edit');

    a.provider.disconnect();
    assert.equal(a.provider.status, 'offline');
    a.text.delete(0, 4);
    a.text.insert(a.text.length, ' four');
    b.text.insert(b.text.length, '!');
    a.provider.connect();
    await textIs(a, (text) => text.includes('!'), 'what b wrote');
    await textIs(b, (text) => text.startsWith('two') && text.includes(' four'), 'what a wrote');
    await Promise.all([statusIs(a, 'saved'), statusIs(b, 'saved')]);
    assert.equal(a.text.toString(), b.text.toString());
  });

  test('a deletion alone, made offline, is sent too', async (t) => {
    const server = await startServer(t);
    const a = join(t, server, 'deletion');
    await statusIs(a, 'saved');
    a.text.insert(0, 'too much');
    await statusIs(a, 'saved');
    a.provider.disconnect();
    a.text.delete(0, 4);
    a.provider.connect();
    await statusIs(a, 'saved');
    const b = join(t, server, 'deletion');
    await statusIs(b, 'saved');
    assert.equal(b.text.toString(), 'much');
  });

  test('a reader sends nothing, also when it comes back', async (t) => {
    const server = await startServer(t);
    const author = join(t, server, 'reader');
    await statusIs(author, 'saved');
    author.text.insert(0, 'some text');
    author.text.delete(0, 5);
    await statusIs(author, 'saved');
    const before = (await server.room('reader')).updates;

    const reader = join(t, server, 'reader');
    await statusIs(reader, 'saved');
    reader.provider.disconnect();
    reader.provider.connect();
    await statusIs(reader, 'saved');
    assert.equal((await server.room('reader')).updates, before);
    assert.ok(!reader.statuses.includes('saving'));
  });

  test('a gateway dies while two write: they come back and agree', async (t) => {
    const server = await startServer(t);
    const [a, b] = [join(t, server, 'gateway'), join(t, server, 'gateway')];
    await Promise.all([statusIs(a, 'saved'), statusIs(b, 'saved')]);
    for (let i = 0; i < 50; i += 1) {
      a.text.insert(0, `a${i} `);
      b.text.insert(b.text.length, `b${i} `);
      if (i === 20) kill(server.pid('gateway'));
      if (i === 20) await Promise.all([statusIs(a, 'offline'), statusIs(b, 'offline')]);
    }
    await Promise.all([statusIs(a, 'saved'), statusIs(b, 'saved')]);
    await until(
      (check) => {
        [a, b].forEach(({ doc }) => doc.on('update', check));
        return () => [a, b].forEach(({ doc }) => doc.off('update', check));
      },
      () => a.text.toString() === b.text.toString(),
      'same',
    );
    for (let i = 0; i < 50; i += 1) {
      assert.ok(a.text.toString().includes(`a${i} `) && a.text.toString().includes(`b${i} `));
    }
  });

  test('presence: others appear, change and leave', async (t) => {
    const server = await startServer(t);
    const [a, b] = [join(t, server, 'presence'), join(t, server, 'presence')];
    a.provider.awareness.setLocalStateField('user', { name: 'Ada' });
    const id = a.doc.clientID;
    await peersAre(b, (states) => states.get(id)?.user?.name === 'Ada', 'Ada');
    a.provider.awareness.setLocalStateField('cursor', { anchor: 1, head: 2 });
    await peersAre(b, (states) => states.get(id)?.cursor?.head === 2, 'the cursor');
    a.provider.disconnect();
    await peersAre(b, (states) => !states.has(id), 'Ada has left');
    a.provider.connect();
    await peersAre(b, (states) => states.get(id)?.user?.name === 'Ada', 'Ada is back');
  });

  test('it comes back when a server that restarts advises to, and not before', async (t) => {
    const listener = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    t.after(() => listener.close());
    await once(listener, 'listening');
    const connections = [];
    listener.on('connection', (socket) => {
      connections.push(performance.now());
      if (connections.length === 1) socket.close(1012, 'service restart: reconnect in 1500 ms');
    });
    const doc = new Y.Doc();
    const provider = new Provider(`ws://127.0.0.1:${listener.address().port}/rooms/r/ws`, doc);
    t.after(() => provider.destroy());
    const notices = [];
    provider.on('notice', (text) => text && notices.push(text));
    provider.connect();
    await once(listener, 'connection');
    await once(listener, 'connection');
    assert.ok(connections[1] - connections[0] >= 1500);
    assert.deepEqual(notices, []);
  });

  test('an edit that the server refuses is not called saved', async (t) => {
    const server = await startServer(t, { options: ['--message-bytes', '20000'] });
    const client = join(t, server, 'refused');
    await statusIs(client, 'saved');
    client.text.insert(0, 'x'.repeat(40000));
    await once(client.provider, 'notice', (text) => text !== null, 'a word about it');
    assert.notEqual(client.provider.status, 'saved');
  });
});
