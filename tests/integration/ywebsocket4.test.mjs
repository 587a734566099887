/*
 * y-websocket 4, which has a Yjs of its own (14). It may share a process with the other one: each
 * refuses only to be loaded twice itself.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import * as Y14 from '@y/y';
import WebSocket from 'ws';
import { WebsocketProvider } from 'y-websocket-4';
import { joinJson } from '../lib/json-client.mjs';
import { kill } from '../lib/processes.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';
import { awarenessHolds, docHolds, joinYjs, synced } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const ROOT = 'body';
const textOf = (doc) => (doc instanceof Y14.Doc ? doc.get(ROOT) : doc.getText(ROOT)).toString();
const textIs = (doc, text) => docHolds(doc, () => textOf(doc) === text, `the text ${text}`);
const textHas = (doc, text) => docHolds(doc, () => textOf(doc).includes(text), text);

const isEmpty = ({ inserts, deletes }) => inserts.clients.size + deletes.clients.size === 0;

/*
 * What of the document's own edits has not returned from the server, as { unconfirmed, isSaved() }:
 * versions of the provider that follow the one here keep the same account, and call the document
 * saved when it is empty.
 */
const account = (client) => {
  const { doc, provider } = client;
  const book = { unconfirmed: Y14.createContentIds() };
  const checks = new Set();
  const note = (ids) => {
    book.unconfirmed = ids;
    checks.forEach((check) => check());
  };
  doc.on('update', (update, origin) => {
    if (origin === provider) return;
    note(Y14.mergeContentIds([book.unconfirmed, Y14.createContentIdsFromUpdate(update)]));
  });
  const receive = ({ data }) => {
    const bytes = new Uint8Array(data);
    if (bytes[0] !== 0 || bytes[1] === 0) return;
    const start = bytes.findIndex((byte, i) => i >= 2 && byte < 128) + 1;
    const ids = Y14.createContentIdsFromUpdate(bytes.subarray(start));
    note(Y14.excludeContentIds(book.unconfirmed, ids));
  };
  const listen = () => provider.ws?.addEventListener('message', receive);
  provider.on('status', ({ status }) => status === 'connected' && listen());
  listen();
  book.saved = () =>
    until((check) => {
      checks.add(check);
      return () => checks.delete(check);
    }, () => isEmpty(book.unconfirmed), 'saved');
  return book;
};

const join = async (t, server, room) => {
  const doc = new Y14.Doc();
  const provider = new WebsocketProvider(server.ws('/yjs'), room, doc, {
    WebSocketPolyfill: WebSocket,
    disableBc: true,
  });
  t.after(() => {
    provider.destroy();
    doc.destroy();
  });
  const client = { doc, provider, text: doc.get(ROOT) };
  client.book = account(client);
  await synced(client);
  return client;
};

describe('y-websocket 4', () => {
  const suite = suiteScope();
  let server;

  before(async () => {
    server = await startServer(suite);
  });

  test('two write in one room', async (t) => {
    const [a, b] = [await join(t, server, 'two'), await join(t, server, 'two')];
    a.text.insert(0, 'hello');
    await textIs(b.doc, 'hello');
    b.text.insert(5, ' there');
    b.text.delete(0, 1);
    await textIs(a.doc, 'ello there');
    await Promise.all([a.book.saved(), b.book.saved()]);
    a.provider.awareness.setLocalStateField('user', { name: 'Ada' });
    await awarenessHolds(b, (states) => states.get(a.doc.clientID)?.user?.name === 'Ada', 'Ada');
  });

  test('with clients of the other Yjs, and JSON', async (t) => {
    const four = await join(t, server, 'mixed');
    const three = await joinYjs(t, server, 'mixed');
    const one = await joinYjs(t, server, 'mixed', { version: '1.5' });
    const json = await joinJson(t, server, 'mixed');
    const plain = json.bind(Y, new Y.Doc());
    const docs = [four.doc, three.doc, one.doc, plain];
    four.text.insert(0, 'four ');
    await Promise.all(docs.map((doc) => textHas(doc, 'four ')));
    three.doc.getText(ROOT).insert(0, 'three ');
    one.doc.getText(ROOT).insert(0, 'one ');
    plain.getText(ROOT).insert(0, 'json ');
    const words = ['four ', 'three ', 'one ', 'json '];
    for (const doc of docs) for (const word of words) await textHas(doc, word);
    four.text.delete(0, four.text.length);
    four.text.insert(0, 'end');
    await Promise.all(docs.map((doc) => textIs(doc, 'end')));
    await four.book.saved();
    const late = await join(t, server, 'mixed');
    assert.equal(textOf(late.doc), 'end');
  });

  test('an edit is confirmed when the store has it', async (t) => {
    const writer = await join(t, server, 'confirmed');
    const reader = await join(t, server, 'confirmed');
    writer.text.insert(0, 'one');
    await writer.book.saved();
    const pid = server.pid('snapshotd');
    kill(pid, 'SIGSTOP');
    t.after(() => kill(pid, 'SIGCONT'));
    writer.text.insert(3, ' two');
    writer.text.delete(0, 1);
    await textIs(reader.doc, 'ne two');
    assert.ok(!isEmpty(writer.book.unconfirmed));
    kill(pid, 'SIGCONT');
    await writer.book.saved();
  });

  test('edits made without a connection are confirmed when it is back', async (t) => {
    const writer = await join(t, server, 'offline');
    const reader = await join(t, server, 'offline');
    writer.provider.disconnect();
    writer.text.insert(0, 'alone');
    assert.ok(!isEmpty(writer.book.unconfirmed));
    reader.text.insert(0, 'meanwhile ');
    writer.provider.connect();
    await textHas(writer.doc, 'meanwhile ');
    await textHas(reader.doc, 'alone');
    await Promise.all([writer.book.saved(), reader.book.saved()]);
    assert.equal(textOf(writer.doc), textOf(reader.doc));
  });

  test('a gateway dies: they come back and agree', async (t) => {
    const [a, b] = [await join(t, server, 'gateway'), await join(t, server, 'gateway')];
    for (let i = 0; i < 20; i += 1) {
      a.text.insert(0, `a${i} `);
      b.text.insert(b.text.length, `b${i} `);
      if (i === 10) kill(server.pid('gateway'));
    }
    for (let i = 0; i < 20; i += 1) {
      await textHas(a.doc, `b${i} `);
      await textHas(b.doc, `a${i} `);
    }
    await textIs(a.doc, textOf(b.doc));
    a.text.insert(0, 'end');
    await textHas(b.doc, 'end');
  });
});
