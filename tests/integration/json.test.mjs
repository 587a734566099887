/* The JSON socket: its greeting, edits and their acknowledgement, presence, refused edits. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { fromBase64, joinJson, toBase64 } from '../lib/json-client.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { awarenessHolds, docHolds, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const ROOT = 'body';
const textOf = (doc) => doc.getText(ROOT).toString();

/* A v2 update that inserts `text` at the start of a document of its own. */
const insertion = (text, encode = Y.encodeStateAsUpdateV2) => {
  const doc = new Y.Doc();
  doc.getText(ROOT).insert(0, text);
  return encode(doc);
};

const docOfState = (state) => {
  const doc = new Y.Doc();
  Y.applyUpdateV2(doc, fromBase64(state));
  return doc;
};

describe('json socket', () => {
  const suite = suiteScope();
  let server;
  before(async () => {
    server = await startServer(suite);
  });

  test('greets with hello, then sync once, before any edit', async (t) => {
    const author = await joinJson(t, server, 'greeting');
    await author.ackOf(author.op(insertion('before')));
    const late = await joinJson(t, server, 'greeting');
    await author.ackOf(author.op(insertion('after')));
    await late.frame((frame) => frame.t === 'op', 'the edit');

    const [hello, ...rest] = late.frames;
    assert.equal(hello.t, 'hello');
    assert.equal(hello.room, 'greeting');
    assert.equal(hello.protocol, 1);
    assert.equal(typeof hello.session, 'string');
    const order = rest.map((frame) => frame.t).filter((type) => type !== 'presence');
    assert.deepEqual(order, ['sync', 'op']);
    const [sync] = late.type('sync');
    assert.equal(textOf(docOfState(sync.state)), 'before');
    assert.equal(Y.decodeStateVector(fromBase64(sync.sv)).size, 1);
  });

  test('acknowledges v2 and v1 updates, and all clients get both', async (t) => {
    const reader = await joinYjs(t, server, 'formats');
    const author = await joinJson(t, server, 'formats');
    const two = author.op(insertion('two'));
    const one = author.op(insertion('one', Y.encodeStateAsUpdate), { v: 1 });
    await author.ackOf(two);
    await author.ackOf(one);
    await docHolds(reader.doc, (doc) => textOf(doc).length === 6, 'both edits');
    assert.deepEqual(author.type('op'), [], 'an author does not get its own edits back');
  });

  test('edits of y-websocket clients arrive as v2 updates', async (t) => {
    const author = await joinYjs(t, server, 'from-yjs');
    const reader = await joinJson(t, server, 'from-yjs');
    const doc = reader.bind(Y, new Y.Doc());
    author.doc.getText(ROOT).insert(0, 'hello');
    await docHolds(doc, () => textOf(doc) === 'hello', 'the edit');
  });

  test('since: the sync carries what the client lacks only', async (t) => {
    const author = await joinJson(t, server, 'since');
    const doc = author.bind(Y, new Y.Doc());
    doc.getText(ROOT).insert(0, 'known'.repeat(100));
    const since = toBase64(Y.encodeStateVector(doc));
    doc.getText(ROOT).insert(0, 'new ');
    await author.ackOf(author.seq);

    const query = `?since=${encodeURIComponent(since)}`;
    const back = await joinJson(t, server, 'since', { query });
    const [sync] = back.type('sync');
    assert.ok(fromBase64(sync.state).length < 100, 'a difference, not the document');
  });

  test('an edit sent again after a reconnect is acknowledged again and applied once', async (t) => {
    const update = insertion('once');
    const first = await joinJson(t, server, 'again');
    await first.ackOf(first.op(update, { seq: 7 }));
    first.close();

    const second = await joinJson(t, server, 'again');
    await second.ackOf(second.op(update, { seq: 7 }));
    const reader = await joinYjs(t, server, 'again');
    assert.equal(textOf(reader.doc), 'once');
  });

  test('presence goes both ways between JSON and awareness, and leaving too', async (t) => {
    const yjs = await joinYjs(t, server, 'presence');
    const json = await joinJson(t, server, 'presence');

    const other = yjs.doc.clientID;
    yjs.provider.awareness.setLocalState({ user: { name: 'Ada', color: '#123456' }, cursor: null });
    const isAda = (frame) => frame.t === 'presence' && frame.user?.name === 'Ada';
    const seen = await json.frame(isAda, 'the presence of the y-websocket client');
    assert.equal(seen.client, other);
    assert.deepEqual(seen.user, { name: 'Ada', color: '#123456' });

    json.send({ t: 'presence', client: 4711, user: 'kerim', cursor: 128, color: '#2DD4BF' });
    await awarenessHolds(yjs, (states) => states.get(4711)?.cursor === 128, 'kerim');
    assert.deepEqual(yjs.provider.awareness.getStates().get(4711),
      { user: 'kerim', cursor: 128, color: '#2DD4BF' });

    json.send({ t: 'presence', client: 4711, user: 'kerim', cursor: 129, color: '#2DD4BF' });
    await awarenessHolds(yjs, (states) => states.get(4711)?.cursor === 129, 'kerim moves');

    const late = await joinJson(t, server, 'presence');
    await late.frame(isAda, 'who was there before');

    json.send({ t: 'presence', client: 4711, left: true });
    await awarenessHolds(yjs, (states) => !states.has(4711), 'kerim hides');
    json.send({ t: 'presence', client: 4711, user: 'kerim' });
    await awarenessHolds(yjs, (states) => states.has(4711), 'kerim is back');

    json.close();
    await awarenessHolds(yjs, (states) => !states.has(4711), 'kerim is gone');
    yjs.provider.disconnect();
    await late.frame((frame) => frame.client === other && frame.left === true, 'Ada is gone');
  });

  test('a lost socket takes its presence along at once', async (t) => {
    const watcher = await joinJson(t, server, 'lost');
    const lost = await joinJson(t, server, 'lost');
    lost.send({ t: 'presence', client: 99, user: 'ghost' });
    await watcher.frame((frame) => frame.client === 99 && !frame.left, 'the ghost');
    lost.socket.terminate();
    await watcher.frame((frame) => frame.client === 99 && frame.left, 'no ghost');
  });

  test('a frame of an unknown type is ignored', async (t) => {
    const client = await joinJson(t, server, 'unknown');
    client.send({ t: 'from-the-future', data: [1, 2, 3] });
    await client.ackOf(client.op(insertion('still here')));
    assert.deepEqual(client.type('error'), []);
  });
});
