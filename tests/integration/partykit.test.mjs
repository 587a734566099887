/* y-partykit's provider, which cuts what is longer than 1,000,000 bytes into pieces. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { kill } from '../lib/processes.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { once, poll } from '../lib/wait.mjs';
import { awarenessHolds, converged, docHolds, joinYjs, synced } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const { default: YPartyKitProvider } = createRequire(import.meta.url)('y-partykit/provider');

const MB = 2 ** 20;
/* More than is sent at once, and nothing that compresses. */
const largeText = (bytes) => randomBytes(bytes / 2).toString('hex');

describe('y-partykit', () => {
  const suite = suiteScope();
  let server;
  before(async () => {
    server = await startServer(suite, { options: ['--message-bytes', String(8 * MB)] });
  });

  const join = async (t, room, options = {}) => {
    const doc = new Y.Doc();
    const provider = new YPartyKitProvider(`127.0.0.1:${server.port}`, room, doc, {
      WebSocketPolyfill: WebSocket,
      disableBc: true,
      ...options,
    });
    t.after(() => {
      provider.destroy();
      doc.destroy();
    });
    await synced({ provider });
    return { doc, provider };
  };

  /* A socket that speaks as the provider does; what it is closed with. */
  const raw = async (t, room) => {
    const socket = new WebSocket(server.ws(`/parties/main/${room}?_pk=1`));
    t.after(() => socket.terminate());
    const closed = once(socket, 'close');
    await once(socket, 'open');
    const mark = (type, size, count) =>
      socket.send(`y-pk-batch#${JSON.stringify({ id: 'a', type, size, count })}`);
    return { socket, closed, mark };
  };

  test('edits and presence go to and fro', async (t) => {
    const ours = await join(t, 'mixed');
    const theirs = await joinYjs(t, server, 'mixed');
    ours.doc.getText('body').insert(0, 'one');
    await docHolds(theirs.doc, (doc) => doc.getText('body').toString() === 'one', 'one');
    theirs.doc.getText('body').insert(3, ' two');
    await docHolds(ours.doc, (doc) => doc.getText('body').toString() === 'one two', 'two');
    ours.provider.awareness.setLocalState({ name: 'ours' });
    await awarenessHolds(theirs, (all) => all.get(ours.doc.clientID)?.name === 'ours', 'presence');
  });

  test('an edit of 3 MB, in pieces', async (t) => {
    const ours = await join(t, 'large');
    const theirs = await joinYjs(t, server, 'large');
    ours.doc.getText('body').insert(0, largeText(3 * MB));
    await docHolds(theirs.doc, (doc) => doc.getText('body').length === 3 * MB, 'all of it');
    ours.doc.getText('body').insert(0, 'more');
    await converged([ours.doc, theirs.doc]);
    const late = await join(t, 'large');
    await converged([ours.doc, late.doc]);
  });

  test('one that was under way when the gateway died comes again', async (t) => {
    const ours = await join(t, 'killed');
    ours.doc.getText('body').insert(0, largeText(6 * MB));
    kill(server.pid('gateway'));
    const theirs = await joinYjs(t, server, 'killed');
    await docHolds(theirs.doc, (doc) => doc.getText('body').length === 6 * MB, 'all of it');
    await converged([ours.doc, theirs.doc]);
  });

  test('parties have rooms of their own', async (t) => {
    const ours = await join(t, 'room', { party: 'other' });
    const theirs = await joinYjs(t, server, 'other/room');
    ours.doc.getText('body').insert(0, 'here');
    await docHolds(theirs.doc, (doc) => doc.getText('body').toString() === 'here', 'here');
    assert.ok(!(await server.room('room')));
  });

  test('a batch that is longer than a message may be is refused at once', async (t) => {
    const { closed, mark } = await raw(t, 'refused');
    mark('start', 8 * MB + 1, 9);
    assert.equal(await closed, 1009);
  });

  for (const [what, code, send] of [
    ['pieces of more than was announced', 1007, ({ socket, mark }) => {
      mark('start', 10, 1);
      socket.send(Buffer.alloc(11));
    }],
    ['pieces of less', 1007, ({ socket, mark }) => {
      mark('start', 10, 1);
      socket.send(Buffer.alloc(9));
      mark('end', 9, 1);
    }],
    ['an end without a start', 1007, ({ mark }) => mark('end', 0, 0)],
    ['a size that is none', 1007, ({ mark }) => mark('start', 'many', 1)],
    ['a size below none', 1009, ({ mark }) => mark('start', -1, 1)],
    ['another kind of marker', 1007, ({ mark }) => mark('middle', 1, 1)],
    ['a marker that is no JSON', 1007, ({ socket }) => socket.send('y-pk-batch#{')],
    ['another text', 1003, ({ socket }) => socket.send('hello')],
    ['a marker without end', 1003, ({ socket }) => socket.send(`y-pk-batch#${' '.repeat(1000)}`)],
    ['a message that does not decode', 1007, ({ socket, mark }) => {
      mark('start', 3, 1);
      socket.send(Buffer.of(0, 2, 200));
      mark('end', 3, 1);
    }],
  ])
    test(`refused: ${what}`, async (t) => {
      const client = await raw(t, 'refused');
      send(client);
      assert.equal(await client.closed, code);
    });

  test('a batch that is begun anew counts from there', async (t) => {
    const doc = new Y.Doc();
    doc.getText('body').insert(0, 'whole');
    const update = Y.encodeStateAsUpdate(doc);
    const message = Buffer.of(0, 2, update.length, ...update);
    const { socket, mark } = await raw(t, 'anew');
    mark('start', 100, 1);
    socket.send(Buffer.alloc(50));
    mark('start', message.length, 2);
    socket.send(message.subarray(0, 5));
    socket.send(message.subarray(5));
    mark('end', message.length, 2);
    const theirs = await joinYjs(t, server, 'anew');
    await docHolds(theirs.doc, (d) => d.getText('body').toString() === 'whole', 'whole');
    await poll(() => socket.readyState === WebSocket.OPEN, 'it stays');
  });
});
