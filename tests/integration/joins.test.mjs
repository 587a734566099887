/*
 * Joining a large document, many at once and while it is edited: whoever joins gets all of it, and
 * everything that was acknowledged before, in whatever it speaks; nobody asks the room.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { joinJson, fromBase64, toBase64 } from '../lib/json-client.mjs';
import { kill } from '../lib/processes.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { once } from '../lib/wait.mjs';
import { converged, docHolds, joinYjs, synced } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const ROOM = 'large';
const PARTS = 400;
const PART = 'x'.repeat(5000); /* 2 MB in all */
const JOINERS = 30;

const textOf = (doc) => doc.getText('body').toString();

describe('joins', () => {
  const suite = suiteScope();
  let server;
  let editor;

  before(async () => {
    server = await startServer(suite);
    editor = await joinJson(suite, server, ROOM);
    const doc = editor.bind(Y, new Y.Doc());
    for (let i = 0; i < PARTS; i += 1) doc.getText('body').insert(i * 7, `${i % 10}${PART}`);
    editor.doc = doc;
    await editor.ackOf(editor.seq);
  });

  /* Edits on and on until the test ends; `acked()` is the text that was acknowledged last. */
  const keepEditing = (t) => {
    let isOn = true;
    let acked = textOf(editor.doc).length;
    const loop = async () => {
      while (isOn) {
        editor.doc.getText('body').insert(0, 'e');
        const { length } = editor.doc.getText('body');
        await editor.ackOf(editor.seq);
        acked = length;
      }
    };
    const done = loop();
    t.after(async () => {
      isOn = false;
      await done;
    });
    return { acked: () => acked };
  };

  test('many at once, while somebody types: each has at its sync what was acknowledged', async (t) => {
    const typing = keepEditing(t);
    const join = async () => {
      const before = typing.acked();
      const client = await joinYjs(t, server, ROOM);
      assert.ok(textOf(client.doc).length >= before, 'no acknowledged edit is missing');
      return client.doc;
    };
    const docs = await Promise.all(Array.from({ length: JOINERS }, join));
    await converged([editor.doc, ...docs]);
  });

  test('the same for JSON clients, whose sync is one frame and comes first', async (t) => {
    const typing = keepEditing(t);
    for (let i = 0; i < 5; i += 1) {
      const before = typing.acked();
      const client = await joinJson(t, server, ROOM);
      const order = client.frames.map((frame) => frame.t).filter((type) => type !== 'presence');
      assert.deepEqual(order.slice(0, 2), ['hello', 'sync'], 'whoever else is told to be there');
      const doc = client.bind(Y, new Y.Doc());
      assert.ok(textOf(doc).length >= before);
      await converged([editor.doc, doc]);
    }
  });

  test('the room is asked nothing: with it standing still, joins are answered', async (t) => {
    await joinYjs(t, server, ROOM); /* the link stands */
    const { pid } = await server.room(ROOM);
    kill(pid, 'SIGSTOP');
    t.after(() => kill(pid, 'SIGCONT'));
    const yjs = await joinYjs(t, server, ROOM);
    assert.equal(textOf(yjs.doc), textOf(editor.doc));
    const json = await joinJson(t, server, ROOM);
    assert.equal(textOf(json.bind(Y, new Y.Doc())), textOf(editor.doc));
  });

  test('who comes back gets what it lacks, and the server what that one has', async (t) => {
    const client = await joinYjs(t, server, ROOM);
    client.provider.disconnect();
    client.doc.getText('body').insert(0, 'mine ');
    editor.doc.getText('body').insert(3, ' theirs ');
    await editor.ackOf(editor.seq);
    let bytes = 0;
    client.provider.connect();
    client.provider.ws.addEventListener('message', ({ data }) => (bytes += data.byteLength));
    await synced(client);
    await converged([editor.doc, client.doc]);
    assert.ok(bytes < 20000, `${bytes} bytes`);

    const since = encodeURIComponent(toBase64(Y.encodeStateVector(client.doc)));
    const json = await joinJson(t, server, ROOM, { query: `?since=${since}` });
    assert.ok(fromBase64(json.type('sync')[0].state).length < 20000);
  });

  test('what waits for a missing edit is kept for who joins, and asked for', async (t) => {
    const author = new Y.Doc();
    const updates = [];
    author.on('updateV2', (update) => updates.push(update));
    for (const text of ['first ', 'second ', 'third ']) author.getText('body').insert(0, text);
    const writer = await joinJson(t, server, 'pending');
    await writer.ackOf(writer.op(updates[0]));
    await writer.ackOf(writer.op(updates[2])); /* the second is missing */

    const reader = await joinYjs(t, server, 'pending');
    assert.equal(textOf(reader.doc), 'first ');
    /* A replica that has all is asked for no more and no less than the room lacks. */
    const owner = await joinYjs(t, server, 'pending', { isSynced: false });
    Y.applyUpdateV2(owner.doc, Y.encodeStateAsUpdateV2(author), 'load');
    await docHolds(reader.doc, (doc) => textOf(doc) === textOf(author), 'the third and the second');
  });

  test('a room that is killed while they join', async (t) => {
    const clients = Array.from({ length: 10 }, () =>
      joinYjs(t, server, ROOM, { isSynced: false }));
    kill((await server.room(ROOM)).pid);
    const docs = (await Promise.all(clients)).map(async (client) => {
      if (!client.provider.synced) await once(client.provider, 'sync', Boolean, 'sync');
      return client.doc;
    });
    editor.doc.getText('body').insert(0, 'after it ');
    await editor.ackOf(editor.seq);
    await converged([editor.doc, ...(await Promise.all(docs))]);
  });
});
