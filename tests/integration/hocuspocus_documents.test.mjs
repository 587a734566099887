/* HocuspocusProvider, three generations: exactly one word on each edit, when it is stored; documents on
 * shared connections, sessions, clients of other protocols, connections and processes that end. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import {
  VERSIONS, denied, edits, joinHocuspocus, openDocument, openSocket, received, saved, statuses,
  synced,
} from '../lib/hocuspocus-client.mjs';
import { joinJson } from '../lib/json-client.mjs';
import { kill } from '../lib/processes.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { poll } from '../lib/wait.mjs';
import { awarenessHolds, converged, docHolds, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const NEWER = VERSIONS.filter((version) => version !== '2.x');

const textOf = (doc) => doc.getText('body').toString();
const holdsText = (doc, text) => docHolds(doc, (d) => textOf(d).includes(text), text);

/* Saved, and told of each edit exactly once: one more edit shows that nothing was told twice. */
const isSavedExactly = async (client, { key = client.provider.configuration.name, left = 0 } = {}) => {
  await saved(client);
  client.text.insert(client.text.length, '.');
  await saved(client);
  await received(client, () => statuses(client, key).length >= edits(client, key), 'the last word');
  assert.deepEqual(statuses(client, key), Array(edits(client, key)).fill(1));
  assert.equal(client.provider.unsyncedChanges, left);
};

const isThere = (id) => (states) => states.has(id);

const stopStore = (t, server) => {
  const pid = server.pid('snapshotd');
  kill(pid, 'SIGSTOP');
  const goOn = () => kill(pid, 'SIGCONT');
  t.after(goOn);
  return goOn;
};

/* The connection is cut, and none is made until goOnline(). */
const goOffline = async ({ network, websocket }) => {
  const before = network.closes.length;
  network.isDown = true;
  websocket.webSocket.terminate();
  await poll(() => network.closes.length > before, 'the connection is lost');
};

const goOnline = ({ network }) => {
  network.isDown = false;
};

for (const version of VERSIONS) {
  describe(`HocuspocusProvider ${version}`, () => {
    const suite = suiteScope();
    const join = (t, name, options) => joinHocuspocus(t, server, name, { version, ...options });
    let server;

    before(async () => {
      server = await startServer(suite);
    });

    test('two of them, and clients of other protocols, in one room', async (t) => {
      const [a, b] = [await join(t, 'together'), await join(t, 'together')];
      const yjs = await joinYjs(t, server, 'together');
      const json = await joinJson(t, server, 'together');
      const docs = [a.doc, b.doc, yjs.doc, json.bind(Y, new Y.Doc())];
      docs.forEach((doc, i) => doc.getText('body').insert(0, `${i}`));
      await Promise.all(docs.map((doc) => docHolds(doc, (d) => textOf(d).length === 4, 'all')));
      docs.forEach((doc) => doc.getText('body').delete(0, 1));
      await json.ackOf(json.seq);
      await Promise.all([isSavedExactly(a), isSavedExactly(b)]);
      await converged(docs);
      const late = await join(t, 'together');
      await converged([...docs, late.doc]);
      await isSavedExactly(late);
    });

    test('presence goes both ways, and goes with its client', async (t) => {
      const [a, b] = [await join(t, 'presence'), await join(t, 'presence')];
      const yjs = await joinYjs(t, server, 'presence');
      const json = await joinJson(t, server, 'presence');
      const name = (id) => (states) => states.get(id)?.user;
      a.provider.awareness.setLocalStateField('user', 'a');
      b.provider.awareness.setLocalStateField('user', 'b');
      yjs.provider.awareness.setLocalStateField('user', 'y');
      await awarenessHolds(yjs, name(a.doc.clientID), 'a');
      await awarenessHolds(yjs, name(b.doc.clientID), 'b');
      await awarenessHolds(a, name(yjs.doc.clientID), 'y');
      await awarenessHolds(a, name(b.doc.clientID), 'b');
      await json.frame(({ t: type, user }) => type === 'presence' && user === 'a', 'a');
      json.send({ t: 'presence', user: 'j' });
      await awarenessHolds(b, (states) => [...states.values()].some(({ user }) => user === 'j'), 'j');

      const late = await join(t, 'presence');
      await awarenessHolds(late, name(a.doc.clientID), 'a, who has not moved');
      b.websocket.webSocket.terminate();
      b.network.isDown = true;
      await awarenessHolds(yjs, (states) => !states.has(b.doc.clientID), 'b is gone');
      a.end();
      await awarenessHolds(yjs, (states) => !states.has(a.doc.clientID), 'a is gone');
      await awarenessHolds(late, isThere(yjs.doc.clientID), 'y is still there');
      assert.ok(isThere(late.doc.clientID)(yjs.provider.awareness.getStates()));
    });

    test('edits are unsynced until they are stored', async (t) => {
      const writer = await join(t, 'unstored');
      const reader = await join(t, 'unstored');
      await Promise.all([saved(writer), saved(reader)]);
      const goOn = stopStore(t, server);
      writer.text.insert(0, 'wait');
      writer.text.insert(4, ' for it');
      await holdsText(reader.doc, 'wait for it');
      reader.provider.awareness.setLocalStateField('user', 'r');
      await awarenessHolds(
        writer, (states) => states.get(reader.doc.clientID)?.user === 'r', 'later than the edits',
      );
      assert.equal(writer.provider.unsyncedChanges, 2);
      assert.equal(reader.provider.unsyncedChanges, 0);
      goOn();
      await isSavedExactly(writer);
    });

    test('nor are they stored because the client comes back', async (t) => {
      const writer = await join(t, 'back');
      const reader = await join(t, 'back');
      await Promise.all([saved(writer), saved(reader)]);
      const goOn = stopStore(t, server);
      writer.text.insert(0, 'sent');
      await holdsText(reader.doc, 'sent');
      await goOffline(writer);
      goOnline(writer);
      await poll(() => edits(writer, 'back') === 1, 'the client says again what it has');
      await synced(writer);
      reader.text.insert(4, ' and more');
      await holdsText(writer.doc, 'and more');
      assert.ok(writer.provider.unsyncedChanges > 0, 'the room has it, the store does not');
      goOn();
      await isSavedExactly(writer);
    });

    test('edits made offline, by both sides', async (t) => {
      const [a, b] = [await join(t, 'offline'), await join(t, 'offline')];
      a.text.insert(0, 'one');
      await holdsText(b.doc, 'one');
      await goOffline(a);
      a.text.insert(3, ' two');
      b.text.insert(0, 'zero ');
      b.text.delete(5, 1);
      await saved(b);
      goOnline(a);
      await holdsText(b.doc, 'two');
      await holdsText(a.doc, 'zero');
      /* Version 2 forgets that it has counted what it sends late. */
      await isSavedExactly(a, { left: version === '2.x' ? -1 : 0 });
      await saved(b);
      await converged([a.doc, b.doc]);
      assert.match(textOf(a.doc), /^zero ne two/);
    });

    test('an edit that does not decode is refused, and the connection stays', async (t) => {
      const client = await join(t, 'broken');
      await saved(client);
      client.websocket.send(new Uint8Array([6, ...Buffer.from('broken'), 0, 2, 2, 9, 9]));
      client.text.insert(0, 'x');
      await saved(client);
      assert.deepEqual(statuses(client, 'broken').filter((status) => status !== 1), [0]);
      assert.deepEqual(client.network.closes, []);
    });

    for (const victim of ['gateway', 'room']) {
      test(`the ${victim} dies: clients come back and agree`, async (t) => {
        const name = `dies-${victim}`;
        const [a, b] = [await join(t, name), await join(t, name)];
        const pid = victim === 'room' ? (await server.room(name)).pid : server.pid(victim);
        for (let i = 0; i < 20; i += 1) {
          a.text.insert(0, `a${i} `);
          b.text.insert(b.text.length, `b${i} `);
          if (i === 10) kill(pid);
        }
        for (let i = 0; i < 20; i += 1) await holdsText(a.doc, `b${i} `);
        for (let i = 0; i < 20; i += 1) await holdsText(b.doc, `a${i} `);
        await Promise.all([isSavedExactly(a), isSavedExactly(b)]);
        await converged([a.doc, b.doc]);
      });
    }

    test('an idle client leaves its document and comes to it again', async (t) => {
      const client = await join(t, 'detach');
      const stays = openDocument(t, client, 'detach-stays');
      await Promise.all([saved(client), saved(stays)]);
      const yjs = await joinYjs(t, server, 'detach');
      await awarenessHolds(yjs, isThere(client.doc.clientID), 'the client');
      client.end();
      await awarenessHolds(yjs, (states) => !states.has(client.doc.clientID), 'it has left');
      yjs.doc.getText('body').insert(0, 'meanwhile');
      stays.text.insert(0, 'x');
      const again = openDocument(t, client, 'detach');
      await holdsText(again.doc, 'meanwhile');
      again.text.insert(0, 'back ');
      await holdsText(yjs.doc, 'back meanwhile');
      await saved(again);
      await isSavedExactly(stays);
      assert.equal(client.network.opened, 1);
    });

    test('what is saved is in the store', async (t) => {
      const own = await startServer(t);
      const client = await joinHocuspocus(t, own, 'kept', { version });
      client.text.insert(0, 'kept');
      await saved(client);
      client.end();
      await own.killAll();
      own.wipeRun();
      await own.start();
      assert.equal(textOf((await joinYjs(t, own, 'kept')).doc), 'kept');
    });
  });
}

for (const version of NEWER) {
  describe(`documents that share a connection, ${version}`, () => {
    const suite = suiteScope();
    let server;

    before(async () => {
      server = await startServer(suite, { options: ['--limit-documents', '100'] });
    });

    test('two', async (t) => {
      const socket = openSocket(t, server, { version });
      const [a, b] = ['one', 'two'].map((name) => openDocument(t, socket, name));
      await Promise.all([synced(a), synced(b)]);
      const [inA, inB] = [await joinYjs(t, server, 'one'), await joinYjs(t, server, 'two')];
      a.text.insert(0, 'first');
      b.text.insert(0, 'second');
      await Promise.all([holdsText(inA.doc, 'first'), holdsText(inB.doc, 'second')]);
      inA.doc.getText('body').insert(0, '>');
      await holdsText(a.doc, '>first');
      await Promise.all([isSavedExactly(a), isSavedExactly(b)]);
      assert.equal(textOf(b.doc), 'second.');
      assert.deepEqual([socket.network.opened, socket.network.closes.length], [1, 0]);
    });

    test('one is left and attached again, with an edit that is not stored', async (t) => {
      const socket = openSocket(t, server, { version });
      const [a, b] = ['left', 'kept'].map((name) => openDocument(t, socket, name));
      await Promise.all([saved(a), saved(b)]);
      const reader = await joinYjs(t, server, 'left');
      const goOn = stopStore(t, server);
      a.text.insert(0, 'unstored');
      await holdsText(reader.doc, 'unstored');
      a.provider.detach();
      a.provider.attach();
      const before = edits(a, 'left');
      await poll(() => edits(a, 'left') > before, 'it says again what it has');
      b.text.insert(0, 'x');
      const other = await joinYjs(t, server, 'kept');
      await holdsText(other.doc, 'x');
      assert.ok(a.provider.hasUnsyncedChanges && b.provider.hasUnsyncedChanges);
      goOn();
      await Promise.all([saved(a), isSavedExactly(b)]);
      assert.equal(socket.network.opened, 1);
    });

    test('a hundred, and no more: the rest is denied and the hundred go on', async (t) => {
      const socket = openSocket(t, server, { version });
      const docs = Array.from({ length: 103 }, (_, i) => openDocument(t, socket, `many-${i}`));
      const [first, rest] = [docs.slice(0, 100), docs.slice(100)];
      await Promise.all([...first.map(saved), ...rest.map(denied)]);
      await isSavedExactly(first[99]);
      rest.forEach(({ failures }) => assert.deepEqual(failures, ['too many at once']));
      first[0].end();
      rest[0].provider.detach();
      const late = openDocument(t, socket, 'many-100');
      await saved(late);
      assert.deepEqual([socket.network.opened, socket.network.closes.length], [1, 0]);
    });

    test('names that are none are denied, once, and the others go on', async (t) => {
      const socket = openSocket(t, server, { version });
      const good = openDocument(t, socket, 'good');
      const bad = ['', 'x'.repeat(256)].map((name) => openDocument(t, socket, name));
      await Promise.all(bad.map(denied));
      await isSavedExactly(good);
      bad.forEach((client) => {
        assert.deepEqual(client.failures, ['a room name is 1 to 255 bytes of UTF-8 without NUL']);
      });
      assert.deepEqual([socket.network.opened, socket.network.closes.length], [1, 0]);
    });
  });
}

/* Version 2 connects again at once when its connection ends. */
test('who comes back at once is kept waiting while a room is not to be had', async (t) => {
  const server = await startServer(t, { options: ['--limit-rooms-tenant', '1'] });
  const other = await joinYjs(t, server, 'taken');
  const start = performance.now();
  const client = openDocument(t, openSocket(t, server, { version: '2.x' }), 'wanted');
  const { network } = client;
  await poll(() => network.closes.length === 2, 'two ends');
  assert.ok(performance.now() - start >= 2000, 'each came after a second at least');
  assert.ok(network.opened <= 3);
  assert.deepEqual(network.closes, [1008, 1008]);
  assert.ok(other.provider.synced);
});

describe('what only version 4 has', () => {
  const suite = suiteScope();
  let server;

  before(async () => {
    server = await startServer(suite);
  });

  test('several sessions of one document on a connection', async (t) => {
    const socket = openSocket(t, server);
    const [a, b] = [1, 2].map(() => openDocument(t, socket, 'sessions', { sessionAwareness: true }));
    const plain = openDocument(t, socket, 'sessions');
    await Promise.all([synced(a), synced(b), synced(plain)]);
    const yjs = await joinYjs(t, server, 'sessions');
    [a, b, plain].forEach(({ text }, i) => text.insert(0, `${i}`));
    const docs = [a, b, plain, yjs].map(({ doc }) => doc);
    await Promise.all(docs.map((doc) => docHolds(doc, (d) => textOf(d).length === 3, 'all')));
    for (const client of [a, b]) await isSavedExactly(client, { key: client.provider.effectiveName });
    await isSavedExactly(plain);
    await converged(docs);
    await awarenessHolds(a, isThere(b.doc.clientID), 'b');
    b.end();
    await awarenessHolds(yjs, (states) => !states.has(b.doc.clientID), 'b has left');
    await awarenessHolds(a, (states) => !states.has(b.doc.clientID), 'b has left');
    assert.ok(yjs.provider.awareness.getStates().has(a.doc.clientID));
    await isSavedExactly(a, { key: a.provider.effectiveName });
  });

  test('NUL in a name: what is in front of it is the document', async (t) => {
    const client = openDocument(t, openSocket(t, server), 'in\0front');
    const nameless = openDocument(t, client, '\0behind');
    await Promise.all([synced(client), denied(nameless)]);
    const yjs = await joinYjs(t, server, 'in');
    client.text.insert(0, 'x');
    await holdsText(yjs.doc, 'x');
    await isSavedExactly(client);
    assert.equal(client.network.opened, 1);
  });

  test('edits that are sent together', async (t) => {
    const client = await joinHocuspocus(t, server, 'flush', { flushDelay: 20 });
    await saved(client);
    const before = edits(client, 'flush');
    for (let i = 0; i < 50; i += 1) client.text.insert(i, 'x');
    assert.equal(client.provider.unsyncedChanges, 1);
    await saved(client);
    assert.equal(edits(client, 'flush'), before + 1);
    await isSavedExactly(client);
    assert.equal(textOf((await joinYjs(t, server, 'flush')).doc), `${'x'.repeat(50)}.`);
  });
});
