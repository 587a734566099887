/* y-sweet's client and SDK: tokens, edits that are stored before they are called so, requests. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { joinJson } from '../lib/json-client.mjs';
import { openHttp } from '../lib/http-socket.mjs';
import { kill } from '../lib/processes.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { mint, startServerWithKeys } from '../lib/tokens.mjs';
import { once, poll } from '../lib/wait.mjs';
import { awarenessHolds, converged, docHolds, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';
import {
  DocConnection, clientToken, connectYSweet, connected, docToken, installOfflineStore, joinYSweet,
  manager, saved,
} from '../lib/ysweet-client.mjs';

const ROOT = 'body';
const textOf = (doc) => doc.getText(ROOT).toString();
const holdsText = (doc, text) => docHolds(doc, (d) => textOf(d).includes(text), text);

const updateOf = (text) => {
  const doc = new Y.Doc();
  doc.getText(ROOT).insert(0, text);
  return Y.encodeStateAsUpdate(doc);
};

const docOf = (update) => {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, update);
  return doc;
};

const connectionLost = ({ provider }) =>
  once(provider, 'connection-status', (status) => status === 'error', 'the connection is lost');

/* An empty presence message. */
const isSignOfLife = (data) => Buffer.from(data).equals(Buffer.from([1, 1, 0]));

const stopStore = (t, server) => {
  const pid = server.pid('snapshotd');
  kill(pid, 'SIGSTOP');
  const goOn = () => kill(pid, 'SIGCONT');
  t.after(goOn);
  return goOn;
};

describe('y-sweet clients', () => {
  const suite = suiteScope();
  let server;

  before(async () => {
    server = await startServer(suite);
  });

  test('a document from the SDK, and two clients in it', async (t) => {
    const app = manager(server);
    const { docId } = await app.createDoc();
    assert.match(docId, /^[0-9a-f]{32}$/);
    assert.notEqual((await app.createDoc()).docId, docId);
    assert.deepEqual(await app.createDoc('my_doc-1'), { docId: 'my_doc-1' });
    const token = await app.getClientToken(docId, { userId: 'ada', validForSeconds: 60 });
    assert.deepEqual(token, clientToken(server, docId));

    const [a, b] = ['a', 'b'].map(() => connectYSweet(t, docId, () => app.getClientToken(docId)));
    await Promise.all([connected(a), connected(b)]);
    a.text.insert(0, 'hello');
    await holdsText(b.doc, 'hello');
    b.text.insert(5, ' there');
    await Promise.all([saved(a), saved(b)]);
    await converged([a.doc, b.doc]);
    assert.equal(textOf(a.doc), 'hello there');
    a.provider.awareness.setLocalStateField('user', { name: 'Ada' });
    await awarenessHolds(b, (states) => states.get(a.doc.clientID)?.user?.name === 'Ada', 'Ada');
  });

  test('y-websocket and JSON clients are in the same room', async (t) => {
    const sweet = await joinYSweet(t, server, 'together');
    const yjs = await joinYjs(t, server, 'together');
    const json = await joinJson(t, server, 'together');
    const docs = [sweet.doc, yjs.doc, json.bind(Y, new Y.Doc())];
    docs.forEach((doc, i) => doc.getText(ROOT).insert(0, `${i}`));
    await Promise.all(docs.map((doc) => docHolds(doc, (d) => textOf(d).length === 3, 'all')));
    docs.forEach((doc) => doc.getText(ROOT).delete(0, 1));
    await json.ackOf(json.seq);
    await saved(sweet);
    await converged(docs);
  });

  test('edits are local changes until they are stored, and the socket stays', async (t) => {
    const writer = await joinYSweet(t, server, 'unstored');
    const reader = await joinYSweet(t, server, 'unstored');
    await saved(writer);
    const goOn = stopStore(t, server);
    writer.text.insert(0, 'wait');
    await holdsText(reader.doc, 'wait');
    /* The client gives a silent server three seconds; it hears an empty presence in half of that. */
    for (let i = 0; i < 3; i += 1) {
      await once(writer.provider.websocket, 'message', isSignOfLife, 'a sign of life');
    }
    assert.ok(writer.provider.hasLocalChanges);
    assert.deepEqual(writer.network.closes, []);
    goOn();
    await saved(writer);
    assert.deepEqual(writer.network.closes, []);
  });

  test('edits made without a connection are not called stored when it is back', async (t) => {
    const writer = await joinYSweet(t, server, 'offline');
    const reader = await joinYSweet(t, server, 'offline');
    writer.text.insert(0, 'one');
    await saved(writer);
    writer.network.isDown = true;
    writer.provider.websocket.terminate();
    await connectionLost(writer);
    writer.text.insert(3, ' two');
    reader.text.insert(0, 'zero ');
    await saved(reader);
    assert.ok(writer.provider.hasLocalChanges);

    const goOn = stopStore(t, server);
    writer.network.isDown = false;
    await holdsText(reader.doc, 'two');
    await holdsText(writer.doc, 'zero');
    assert.ok(writer.provider.hasLocalChanges, 'the room has them, the store does not');
    goOn();
    await saved(writer);
    await converged([writer.doc, reader.doc]);
  });

  test('a lost connection does not make an edit stored', async (t) => {
    const writer = await joinYSweet(t, server, 'lost');
    const reader = await joinYSweet(t, server, 'lost');
    await saved(writer);
    const goOn = stopStore(t, server);
    writer.text.insert(0, 'sent');
    await holdsText(reader.doc, 'sent');
    writer.provider.websocket.terminate();
    await connectionLost(writer);
    await connected(writer);
    await once(writer.provider.websocket, 'message', isSignOfLife, 'a sign of life');
    assert.ok(writer.provider.hasLocalChanges);
    goOn();
    await saved(writer);
  });

  test('edits of the offline store, from a page that was closed', async (t) => {
    await installOfflineStore(t);
    const options = { offlineSupport: true, connect: false };
    const open = async () => {
      const client = connectYSweet(t, 'store', async () => clientToken(server, 'store'), options);
      await poll(() => client.provider.indexedDBProvider, 'the store');
      return client;
    };
    const reader = await joinYSweet(t, server, 'store');
    const closed = await open();
    closed.text.insert(0, 'written offline');
    const { indexedDBProvider: store } = closed.provider;
    await poll(async () => (await store.getAllValues(IDBKeyRange.lowerBound(-1))).length > 0, 'kept');
    closed.end();

    const goOn = stopStore(t, server);
    const client = await open();
    await holdsText(client.doc, 'offline');
    assert.equal(textOf(reader.doc), '');
    client.provider.connect();
    await holdsText(reader.doc, 'written offline');
    assert.ok(client.provider.hasLocalChanges);
    goOn();
    await saved(client);
  });

  test('a gateway dies: clients come back and agree', async (t) => {
    const [a, b] = [await joinYSweet(t, server, 'gateway'), await joinYSweet(t, server, 'gateway')];
    for (let i = 0; i < 20; i += 1) {
      a.text.insert(0, `a${i} `);
      b.text.insert(b.text.length, `b${i} `);
      if (i === 10) kill(server.pid('gateway'));
    }
    for (let i = 0; i < 20; i += 1) await holdsText(a.doc, `b${i} `);
    for (let i = 0; i < 20; i += 1) await holdsText(b.doc, `a${i} `);
    await Promise.all([saved(a), saved(b)]);
    await converged([a.doc, b.doc]);
  });

  test('an edit that does not decode closes the socket, and is not called stored', async (t) => {
    const client = await joinYSweet(t, server, 'broken');
    await saved(client);
    client.provider.websocket.send(new Uint8Array([0, 2, 2, 9, 9]));
    client.text.insert(0, 'x');
    await once(client.provider, 'connection-close', ({ code }) => code === 1007, 'the close');
    await saved(client);
    const reader = await joinYjs(t, server, 'broken');
    assert.equal(textOf(reader.doc), 'x');
  });
});

describe('requests to documents', () => {
  const suite = suiteScope();
  let server;

  before(async () => {
    const origins = 'https://app.example, http://docs.example:81';
    server = await startServer(suite, { options: ['--origins', origins] });
  });

  test('as-update is the document, update adds to it and is stored', async (t) => {
    const app = manager(server);
    const { docId } = await app.createDocWithContent(updateOf('made '));
    const client = await joinYSweet(t, server, docId);
    assert.equal(textOf(client.doc), 'made ');
    client.text.insert(5, 'and written');
    await saved(client);
    const update = await app.getDocAsUpdate(docId);
    assert.deepEqual(Buffer.from(update), Buffer.from(Y.encodeStateAsUpdate(docOf(update))));
    assert.deepEqual(
      Y.encodeStateAsUpdate(docOf(update)), Y.encodeStateAsUpdate(client.doc), 'and nothing else',
    );
    await app.updateDoc(docId, updateOf('more '));
    await holdsText(client.doc, 'more ');

    await server.killAll();
    server.wipeRun();
    await server.start();
    const stored = docOf(await app.getDocAsUpdate(docId));
    assert.ok(textOf(stored).includes('more ') && textOf(stored).includes('made and written'));
  });

  test('update answers when the edit is stored', async (t) => {
    const reader = await joinYjs(t, server, 'slow-store');
    const goOn = stopStore(t, server);
    let isAnswered = false;
    const update = manager(server).updateDoc('slow-store', updateOf('late')).then(() => {
      isAnswered = true;
    });
    await holdsText(reader.doc, 'late');
    assert.ok(!isAnswered);
    goOn();
    await update;
  });

  test('a client that goes away while it waits: its edit is stored all the same', async (t) => {
    const reader = await joinYjs(t, server, 'gone');
    const goOn = stopStore(t, server);
    const http = openHttp(t, server);
    http.request('POST', '/d/gone/update', { body: updateOf('left') });
    await holdsText(reader.doc, 'left');
    http.destroy();
    goOn();
    await manager(server).updateDoc('gone', updateOf('right'));
    const stored = docOf(await manager(server).getDocAsUpdate('gone'));
    assert.ok(textOf(stored).includes('left'));
  });

  test('requests behind one that waits are answered after it, in order', async (t) => {
    const reader = await joinYjs(t, server, 'pipelined');
    const goOn = stopStore(t, server);
    const http = openHttp(t, server);
    http.request('POST', '/d/pipelined/update', { body: updateOf('first') });
    http.request('HEAD', '/d/pipelined/as-update');
    http.request('GET', '/healthz');
    http.request('POST', '/d/pipelined/update', { body: Buffer.from('nonsense') });
    http.request('GET', '/d/pipelined/as-update', { headers: { Connection: 'close' } });
    await holdsText(reader.doc, 'first');
    assert.equal(http.received.length, 0);
    goOn();
    assert.equal((await http.answer()).status, 204);
    const head = await http.answer({ isHead: true });
    assert.equal(head.status, 200);
    assert.equal((await http.answer()).body.toString(), 'ok\n');
    const refused = await http.answer();
    assert.equal(refused.status, 400);
    assert.equal(refused.body.toString(), 'the update does not decode\n');
    const { status, headers, body } = await http.answer();
    assert.equal(status, 200);
    assert.equal(headers['content-length'], head.headers['content-length']);
    assert.equal(headers['content-type'], 'application/octet-stream');
    assert.equal(textOf(docOf(body)), 'first');
    await http.ended();
  });

  test('10 MB in one body, also after 100 Continue', async (t) => {
    const big = updateOf('x'.repeat(10 << 20));
    const http = openHttp(t, server);
    http.request('POST', '/d/big/update', { body: big });
    assert.equal((await http.answer()).status, 204);
    http.request('POST', '/d/big2/update', {
      headers: { Expect: '100-continue' }, length: big.length,
    });
    assert.equal((await http.answer()).status, 100);
    http.write(big);
    assert.equal((await http.answer()).status, 204);
    http.request('GET', '/d/big2/as-update');
    const { body } = await http.answer();
    assert.deepEqual(docOf(body).getText(ROOT).length, 10 << 20);
  });

  test('bodies that are refused', async (t) => {
    const refused = async (options, status) => {
      const http = openHttp(t, server);
      http.request('POST', '/d/refused/update', options);
      assert.equal((await http.answer()).status, status);
      await http.ended();
    };
    await refused({ headers: { 'Transfer-Encoding': 'chunked' } }, 411);
    await refused({ length: (16 << 20) + 1 }, 413);
    await refused({ headers: { Expect: '100-continue' }, length: (16 << 20) + 1 }, 413);
  });

  test('names and bodies of questions', async () => {
    const post = (path, body) => fetch(server.http(path), { method: 'POST', body });
    const rows = [
      ['/doc/new', undefined, 200],
      ['/doc/new', '{}', 200],
      ['/doc/new', '{"docId":null}', 200],
      ['/doc/new', '{"docId":"a/b"}', 400],
      ['/doc/new', '{"docId":""}', 400],
      ['/doc/new', '{"docId":7}', 400],
      ['/doc/new', '{"docId":"a\\u0000b"}', 400],
      ['/doc/new', `{"docId":"${'x'.repeat(256)}"}`, 400],
      ['/doc/new', `{"docId":"${'x'.repeat(255)}"}`, 200],
      ['/doc/new', '[]', 400],
      ['/doc/new', '{', 400],
      ['/doc/new', ' '.repeat(4097), 413],
      ['/doc/a/auth', '{}', 200],
      ['/doc/a/auth', '{"authorization":"read-only","userId":"u","validForSeconds":1}', 200],
      ['/doc/a/auth', '{"authorization":"admin"}', 400],
      ['/doc/a/auth', '{"validForSeconds":0}', 400],
      ['/doc/a/auth', '{"validForSeconds":"1"}', 400],
      ['/doc/a/auth', `{"userId":"${'u'.repeat(256)}"}`, 400],
      ['/doc/%61/auth', '{}', 400],
      ['/doc//auth', '{}', 400],
      ['/d/a%2fb/update', 'x', 400],
      ['/doc/a', '{}', 405],
    ];
    for (const [path, body, status] of rows) {
      assert.equal((await post(path, body)).status, status, `${path} ${body?.slice(0, 60)}`);
    }
    assert.equal((await fetch(server.http('/doc/new'))).status, 405);
    assert.equal((await fetch(server.http('/d/a/elsewhere'))).status, 404);
    assert.equal((await fetch(server.http('/d/a/ws/b'))).status, 426);
    assert.equal((await fetch(server.http('/d/a/ws'))).status, 426);
  });

  test('the host of the request is that of the answer, unless it could break it', async (t) => {
    const http = openHttp(t, server);
    http.request('POST', '/doc/d/auth', { headers: { Host: 'docs.example:81' }, body: '{}' });
    assert.equal(JSON.parse((await http.answer()).body).url, 'ws://docs.example:81/d/d/ws');
    http.request('POST', '/doc/d/auth', { headers: { Host: 'a"b' }, body: '{}' });
    assert.equal((await http.answer()).status, 400);
  });

  test('scripts of other origins may ask', async () => {
    const Origin = 'https://app.example';
    const preflight = await fetch(server.http('/d/a/update'), {
      method: 'OPTIONS', headers: { Origin, 'Access-Control-Request-Method': 'POST' },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get('access-control-allow-origin'), Origin);
    assert.equal(preflight.headers.get('access-control-allow-methods'), 'POST');
    assert.match(preflight.headers.get('access-control-allow-headers'), /Authorization/);
    const answers = [
      await fetch(server.http('/d/a/as-update'), { headers: { Origin } }),
      await fetch(server.http('/d/a/update'), { method: 'POST', body: 'x', headers: { Origin } }),
      await fetch(server.http('/doc/new'),
        { method: 'POST', body: ' '.repeat(5000), headers: { Origin } }),
    ];
    assert.deepEqual(answers.map(({ status }) => status), [200, 400, 413]);
    answers.forEach(({ headers }) => {
      assert.equal(headers.get('access-control-allow-origin'), Origin);
      assert.equal(headers.get('vary'), 'Origin');
    });
    const plain = await fetch(server.http('/d/a/as-update'));
    assert.equal(plain.headers.get('access-control-allow-origin'), null);
    const page = await fetch(server.http('/'), { headers: { Origin } });
    assert.equal(page.headers.get('access-control-allow-origin'), null, 'pages are not for scripts');
  });
});

describe('tokens of documents', () => {
  const suite = suiteScope();
  let server;

  before(async () => {
    server = await startServer(suite);
  });

  const connection = (docId, token) => new DocConnection(clientToken(server, docId, token));
  const status = (path, token, options = {}) =>
    fetch(server.http(path), { ...options, headers: { Authorization: `Bearer ${token}` } })
      .then((answer) => answer.status);

  test('a token opens its document', async (t) => {
    const token = docToken(server, 'mine', { user: 'ada' });
    await connection('mine', token).updateDoc(updateOf('by token'));
    assert.equal(textOf(docOf(await connection('mine', token).getAsUpdate())), 'by token');
    const client = connectYSweet(t, 'mine', async () => clientToken(server, 'mine', token));
    await connected(client);
    client.text.insert(0, 'more ');
    await saved(client);
  });

  test('whoever may only read can be the first to open a document', async (t) => {
    const token = docToken(server, 'read-first', { access: 'read' });
    const reader = connectYSweet(t, 'read-first', async () =>
      clientToken(server, 'read-first', token));
    await connected(reader);
    await saved(reader);
    const writer = await joinYSweet(t, server, 'read-first');
    writer.text.insert(0, 'seen');
    await holdsText(reader.doc, 'seen');
    assert.deepEqual(reader.network.closes, []);
    assert.equal(await status('/d/read-first/as-update', token), 200);
    const refused = await fetch(server.http('/d/read-first/update'), {
      method: 'POST', body: updateOf('no'), headers: { Authorization: `Bearer ${token}` },
    });
    assert.equal(refused.status, 403);
    assert.equal(await refused.text(), 'this client may only read\n');
  });

  test('of another document, forged, expired: refused, whether there is a document or not', async () => {
    await connection('theirs').updateDoc(updateOf('secret'));
    const good = docToken(server, 'mine');
    const now = Math.floor(Date.now() / 1000);
    const rows = [
      ['/d/theirs/as-update', good, 403],
      ['/d/nowhere/as-update', good, 403],
      ['/d/mine/as-update', `${good.slice(0, -2)}AA`, 401],
      ['/d/mine/as-update', docToken(server, 'mine', { key: Buffer.alloc(32) }), 401],
      ['/d/mine/as-update', docToken(server, 'mine', { expires: now - 1 }), 401],
      ['/d/mine/as-update', 'd1.', 200],
      ['/d/mine/as-update', 'd1.!', 401],
      ['/d/mine/as-update', good, 200],
    ];
    for (const [path, token, expected] of rows) {
      assert.equal(await status(path, token), expected, `${path} ${token}`);
    }
    const other = docToken(server, 'theirs', { tenant: 'acme' });
    assert.equal(docOf(await connection('theirs', other).getAsUpdate()).getText(ROOT).length, 0,
      'the same name of another tenant is another room');
  });

  test('a token that has expired is replaced by the client', async (t) => {
    const now = Math.floor(Date.now() / 1000);
    const tokens = [docToken(server, 'fresh', { expires: now - 1 }), docToken(server, 'fresh')];
    let asked = 0;
    const client = connectYSweet(t, 'fresh', async () => {
      asked += 1;
      return clientToken(server, 'fresh', tokens.shift());
    });
    await connected(client);
    assert.equal(asked, 2);
  });
});

describe('with keys', () => {
  const serverToken = (access) => mint({ tenant: 'acme', sub: 'app', rooms: { '*': access } });

  test('an application gives out tokens; its users have nothing else', async (t) => {
    const server = await startServerWithKeys(t);
    const app = manager(server, serverToken('admin'));
    const given = await app.getOrCreateDocAndToken('kept', { userId: 'ada' });
    assert.match(given.token, /^d1\./);
    const client = connectYSweet(t, 'kept', async () => given);
    await connected(client);
    client.text.insert(0, 'x');
    await saved(client);
    await assert.rejects(manager(server).createDoc('kept'), /NoAuthProvided/);
    await assert.rejects(manager(server, given.token).createDoc('kept'), /InvalidAuthProvided/);
    const writer = manager(server, serverToken('write'));
    await assert.rejects(writer.getClientToken('kept'), /403/);
    await assert.rejects(new DocConnection({ ...given, token: undefined }).getAsUpdate(), /NoAuth/);
  });
});
