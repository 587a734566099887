/* HocuspocusProvider, each of its versions, with real rooms. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { kill } from '../lib/processes.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { mint, startServerWithKeys } from '../lib/tokens.mjs';
import { poll } from '../lib/wait.mjs';
import { docHolds } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const require = createRequire(import.meta.url);
const VERSIONS = {
  2: require('hocuspocus-provider-2'),
  3: require('hocuspocus-provider-3'),
  4: require('@hocuspocus/provider'),
};
/* Version 2 takes the browser's. */
globalThis.WebSocket = WebSocket;

const textOf = (doc) => doc.getText('body').toString();
const holds = (doc, text) => docHolds(doc, (d) => textOf(d).includes(text), text);

for (const [version, { HocuspocusProvider }] of Object.entries(VERSIONS)) {
  describe(`HocuspocusProvider ${version}`, () => {
    const suite = suiteScope();
    let server;
    before(async () => {
      server = await startServerWithKeys(suite);
    });

    const join = (t, name, token = mint()) => {
      const denials = [];
      const document = new Y.Doc();
      const provider = new HocuspocusProvider({
        url: server.ws('/hocuspocus'),
        name,
        token,
        document,
        onAuthenticationFailed: ({ reason }) => denials.push(reason),
      });
      provider.attach?.();
      t.after(() => {
        provider.destroy();
        provider.configuration.websocketProvider.destroy();
        document.destroy();
      });
      return { provider, doc: document, denials };
    };
    const synced = ({ provider }) => poll(() => provider.isSynced ?? provider.synced, 'sync');
    const saved = ({ provider }) => poll(() => provider.unsyncedChanges === 0, 'all is saved');

    test('two clients converge, and no change is left unsaved', async (t) => {
      const [a, b] = [join(t, 'pair'), join(t, 'pair')];
      await Promise.all([synced(a), synced(b)]);
      a.doc.getText('body').insert(0, 'one ');
      b.doc.getText('body').insert(0, 'two ');
      await Promise.all([holds(a.doc, 'two '), holds(b.doc, 'one ')]);
      await Promise.all([saved(a), saved(b)]);
      assert.equal(textOf(a.doc), textOf(b.doc));
    });

    test('a change is saved when the store has it, and not before', async (t) => {
      const [author, reader] = [join(t, 'stored'), join(t, 'stored')];
      await Promise.all([synced(author), synced(reader)]);
      await saved(author);
      const store = server.pid('snapshotd');
      kill(store, 'SIGSTOP');
      t.after(() => kill(store, 'SIGCONT'));
      author.doc.getText('body').insert(0, 'late');
      await holds(reader.doc, 'late');
      assert.ok(author.provider.unsyncedChanges > 0);
      kill(store, 'SIGCONT');
      await saved(author);
    });

    test('who may only read is told so, and changes nothing', async (t) => {
      const writer = join(t, 'roles');
      const reader = join(t, 'roles', mint({ sub: 'r', rooms: { roles: 'read' } }));
      await Promise.all([synced(writer), synced(reader)]);
      await saved(reader);
      reader.doc.getText('body').insert(0, 'not this');
      writer.doc.getText('body').insert(0, 'this');
      await holds(reader.doc, 'this');
      await saved(writer);
      assert.equal(textOf(writer.doc), 'this');
      assert.ok(reader.provider.unsyncedChanges > 0, 'its change is not called saved');
    });

    test('a bad token, another room, a bad name: denied once, for this document', async (t) => {
      const bad = join(t, 'denied', 'no token');
      const other = join(t, 'denied', mint({ rooms: { other: 'write' } }));
      const name = join(t, 'x'.repeat(256));
      await poll(() => bad.denials.length && other.denials.length && name.denials.length, 'denials');
      assert.deepEqual(bad.denials, ['a valid token is required']);
      assert.deepEqual(other.denials, ['the token does not allow this']);
      assert.match(name.denials[0], /room name/);
      assert.equal(await server.room('denied'), undefined);
    });

    test('a room that dies in the middle loses nothing', async (t) => {
      const [a, b] = [join(t, 'killed'), join(t, 'killed')];
      await Promise.all([synced(a), synced(b)]);
      a.doc.getText('body').insert(0, 'before ');
      await holds(b.doc, 'before ');
      kill((await server.room('killed')).pid);
      a.doc.getText('body').insert(0, 'after ');
      await holds(b.doc, 'after ');
      await saved(a);
    });
  });
}
