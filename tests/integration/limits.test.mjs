/* What one client, one address, one user or one tenant may take: each limit as an operator sets it. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { openHttp } from '../lib/http-socket.mjs';
import { joinJson } from '../lib/json-client.mjs';
import { scrape } from '../lib/metrics.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { mint, startServerWithKeys } from '../lib/tokens.mjs';
import { once, poll } from '../lib/wait.mjs';
import { awarenessHolds, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const awarenessProtocol = createRequire(import.meta.url)('y-protocols/awareness');

const settings = (limits) =>
  Object.entries(limits).flatMap(([name, value]) => [
    `--${name.startsWith('@') ? '' : 'limit-'}${name.replace('@', '').replaceAll('_', '-')}`,
    String(value),
  ]);

const limited = async (server, limit) => {
  const process = limit.startsWith('room') ? 'roomd-0' : 'gateway-0';
  return (await scrape(server)).get(`concord_limited_total{limit="${limit}",process="${process}"}`);
};

/* The handshake's outcome: an open socket, or { status, headers }. */
const connect = (t, server, path, headers = {}) => {
  const socket = new WebSocket(server.ws(path), { headers });
  t.after(() => socket.terminate());
  socket.on('error', () => {});
  return new Promise((done) => {
    socket.on('open', () => done({ status: 101, socket }));
    socket.on('unexpected-response', (request, response) => {
      response.resume();
      done({ status: response.statusCode, headers: response.headers });
    });
  });
};

const closeOf = (socket) =>
  new Promise((done) => socket.on('close', (code, reason) => done([code, reason.toString()])));

const insertion = () => {
  const doc = new Y.Doc();
  doc.getArray('a').insert(0, [1]);
  return Y.encodeStateAsUpdateV2(doc);
};

describe('limits of a connection', () => {
  const suite = suiteScope();
  let server;
  before(async () => {
    server = await startServer(suite, {
      options: settings({
        head_bytes: 2048,
        head_ms: 500,
        fragments: 8,
        control_frames_per_s: 20,
        frames_per_s: 50,
        updates_per_s: 20,
        bytes_per_s: 100000,
        awareness_ids: 2,
        awareness_bytes: 64,
      }),
    });
  });

  test('bytes of a head', async (t) => {
    const socket = openHttp(t, server);
    socket.request('GET', '/healthz', { headers: { 'X-Padding': 'x'.repeat(1800) } });
    assert.equal((await socket.answer()).status, 200);
    socket.request('GET', '/healthz', { headers: { 'X-Padding': 'x'.repeat(2048) } });
    assert.equal((await socket.answer()).status, 431);
    await socket.ended();
    assert.equal(await limited(server, 'head_bytes'), 1);
  });

  test('more bytes of a head than by default', async (t) => {
    const other = await startServer(t, { options: settings({ head_bytes: 20000 }) });
    const socket = openHttp(t, other);
    socket.request('GET', '/healthz', { headers: { 'X-Padding': 'x'.repeat(18000) } });
    assert.equal((await socket.answer()).status, 200);
  });

  test('the time for a head', async (t) => {
    const socket = openHttp(t, server);
    socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n');
    assert.equal((await socket.answer()).status, 408);
    await socket.ended();
    assert.ok((await limited(server, 'head_ms')) >= 1);
  });

  test('frames of a message', async (t) => {
    const { socket } = await connect(t, server, '/yjs/fragments');
    const closed = closeOf(socket);
    for (let i = 0; i < 9; i++) socket.send(Buffer.of(0), { fin: false });
    assert.deepEqual(await closed, [1008, 'too many fragments']);
    assert.equal(await limited(server, 'fragments'), 1);
  });

  test('control frames a second', async (t) => {
    const { socket } = await connect(t, server, '/yjs/pings');
    const closed = closeOf(socket);
    for (let i = 0; i < 200; i++) socket.ping();
    assert.deepEqual(await closed, [1008, 'too many control frames']);
    assert.equal(await limited(server, 'control_frames_per_s'), 1);
  });

  test('edits above the rate wait, and none is lost', async (t) => {
    const client = await joinJson(t, server, 'updates');
    for (let i = 0; i < 40; i++) client.op(insertion());
    await client.ackOf(40);
    assert.equal(client.acked.size, 40);
    assert.ok((await limited(server, 'updates_per_s')) >= 1);
  });

  test('so do frames', async (t) => {
    const client = await joinJson(t, server, 'frames');
    for (let i = 0; i < 100; i++) client.send({ t: 'not known' });
    const seq = client.op(insertion());
    await client.ackOf(seq);
    assert.ok((await limited(server, 'frames_per_s')) >= 1);
  });

  test('and bytes', async (t) => {
    const client = await joinJson(t, server, 'bytes');
    for (let i = 0; i < 3; i++) client.send({ t: 'not known', padding: 'x'.repeat(60000) });
    const seq = client.op(insertion());
    await client.ackOf(seq);
    assert.ok((await limited(server, 'bytes_per_s')) >= 1);
  });

  test('presences of a client: what is too much is not shown, and costs nobody the connection',
    async (t) => {
      const other = await joinYjs(t, server, 'ids');
      const { socket } = await connect(t, server, '/yjs/ids');
      const show = (...ids) => {
        const doc = new Y.Doc();
        const awareness = new awarenessProtocol.Awareness(doc);
        ids.forEach((id) => {
          awareness.states.set(id, { name: `n${id}` });
          awareness.meta.set(id, { clock: 1, lastUpdated: 0 });
        });
        const update = awarenessProtocol.encodeAwarenessUpdate(awareness, ids);
        awareness.destroy();
        assert.ok(update.length < 128);
        socket.send(Buffer.from([1, update.length, ...update]));
      };
      show(7, 8);
      await awarenessHolds(other, (states) => states.has(7) && states.has(8), 'both');
      show(9);
      await poll(async () => (await limited(server, 'awareness_ids')) === 1, 'it is counted');
      assert.equal(socket.readyState, WebSocket.OPEN);
      assert.ok(!other.provider.awareness.getStates().has(9));
    });

  test('bytes of a presence', async (t) => {
    const { doc, provider } = await joinYjs(t, server, 'bytes-of-presence');
    const closed = once(provider, 'connection-close');
    provider.awareness.setLocalState({ name: 'x'.repeat(64) });
    assert.equal((await closed).code, 1008);
    assert.ok((await limited(server, 'awareness_bytes')) >= 1);
    doc.destroy();
  });
});

describe('limits of an address', () => {
  test('connections that are no WebSocket', async (t) => {
    const server = await startServer(t, { options: settings({ handshakes_address: 2 }) });
    const { status, socket } = await connect(t, server, '/yjs/a');
    assert.equal(status, 101, 'which is one, and does not count');
    const idle = [openHttp(t, server), openHttp(t, server)];
    for (const one of idle) {
      one.request('GET', '/healthz');
      assert.equal((await one.answer()).status, 200);
    }
    await openHttp(t, server).ended();
    idle[0].destroy();
    await poll(async () => {
      const next = openHttp(t, server);
      next.request('GET', '/healthz');
      const isAnswered = await next.answer().then(({ status: s }) => s === 200, () => false);
      next.destroy();
      return isAnswered;
    }, 'the place of one that has gone');
    assert.equal(socket.readyState, WebSocket.OPEN);
    idle[1].destroy();
    await poll(async () => (await limited(server, 'handshakes_address').catch(() => 0)) >= 1, 'it is counted');
  });

  test('WebSockets', async (t) => {
    const server = await startServer(t, { options: settings({ connections_address: 2 }) });
    const first = await connect(t, server, '/yjs/a');
    assert.equal((await connect(t, server, '/hocuspocus')).status, 101);
    for (const path of ['/yjs/b', '/rooms/b/ws', '/d/b/ws', '/hocuspocus']) {
      const { status, headers } = await connect(t, server, path);
      assert.equal(status, 429, path);
      assert.match(headers['retry-after'], /^\d+$/);
    }
    assert.equal(await limited(server, 'connections_address'), 4);
    first.socket.close();
    await poll(async () => (await connect(t, server, '/yjs/b')).status === 101, 'its place');
  });

  test('WebSockets of all gateways together', async (t) => {
    const server = await startServer(t, {
      options: settings({ connections_address: 3, '@gateways': 4 }),
    });
    const open = () => connect(t, server, '/yjs/a');
    const first = await open();
    const statuses = [first.status];
    for (let i = 0; i < 8; i++) statuses.push((await open()).status);
    assert.deepEqual(statuses, [101, 101, 101, 429, 429, 429, 429, 429, 429]);
    first.socket.close();
    await poll(async () => (await open()).status === 101, 'its place');
  });

  test('those of a proxy are those of its clients', async (t) => {
    const server = await startServer(t, {
      options: settings({
        connections_address: 1, handshakes_address: 1, '@trusted_proxies': '127.0.0.1',
      }),
    });
    const from = (address) =>
      connect(t, server, '/yjs/a', { 'X-Forwarded-For': address }).then(({ status }) => status);
    assert.equal(await from('192.0.2.1'), 101);
    assert.equal(await from('192.0.2.2'), 101);
    assert.equal(await from('192.0.2.1'), 429);
    assert.equal(await from('2001:db8::1'), 101);
    assert.equal(await from('2001:db8::2'), 429, 'of the same network');
    assert.equal(await from('2001:db8:0:1::1'), 101);
  });

  test('connections of all', async (t) => {
    const server = await startServer(t, { options: settings({ connections: 2 }) });
    const one = await connect(t, server, '/yjs/a');
    const two = openHttp(t, server);
    two.request('GET', '/healthz');
    assert.equal((await two.answer()).status, 200);
    await openHttp(t, server).ended();
    two.request('GET', '/healthz');
    assert.equal((await two.answer()).status, 200, 'those that are there go on');
    assert.equal(one.socket.readyState, WebSocket.OPEN);
  });
});

describe('limits of a Hocuspocus connection', () => {
  const suite = suiteScope();
  let server;
  before(async () => {
    server = await startServerWithKeys(suite, {
      options: settings({
        auth_messages: 3, auth_bytes: 2000, auth_ms: 700, documents: 2, connections_user: 1,
        rooms_tenant: 1,
      }),
    });
  });

  const open = async (t) => (await connect(t, server, '/hocuspocus')).socket;
  const text = (s) => [s.length % 128 | (s.length > 127 ? 128 : 0), ...(s.length > 127 ? [s.length >> 7] : []), ...Buffer.from(s)];
  const tokenFrame = (doc, token) => Buffer.of(...text(doc), 2, 0, ...text(token));
  const EARLY = Buffer.of(1, 0x64, 0, 0, 1, 0);

  test('messages before the first token', async (t) => {
    const socket = await open(t);
    const closed = closeOf(socket);
    for (let i = 0; i < 4; i++) socket.send(EARLY);
    assert.deepEqual(await closed, [4401, 'a valid token is required']);
    assert.equal(await limited(server, 'auth_messages'), 1);
  });

  test('bytes before it', async (t) => {
    const socket = await open(t);
    const closed = closeOf(socket);
    socket.send(Buffer.concat([EARLY, Buffer.alloc(2000)]));
    assert.equal((await closed)[0], 4401);
    assert.equal(await limited(server, 'auth_bytes'), 1);
  });

  test('the time until it: who says nothing may come back, who says no token need not', async (t) => {
    const [silent, talking] = [await open(t), await open(t)];
    const ends = [closeOf(silent), closeOf(talking)];
    talking.send(EARLY);
    assert.deepEqual((await Promise.all(ends)).map(([code]) => code), [4408, 4401]);
    assert.equal(await limited(server, 'auth_ms'), 2);
  });

  test('connections of a user, who is known by the first token', async (t) => {
    const frames = [];
    const sockets = [await open(t), await open(t)];
    for (const [i, socket] of sockets.entries()) {
      const answered = once(socket, 'message');
      socket.send(tokenFrame('doc', mint({ sub: 'ada' })));
      frames[i] = (await answered).toString('latin1');
    }
    assert.match(frames[0], /read-write/);
    assert.match(frames[1], /too many at once/);
    assert.equal(await limited(server, 'connections_user'), 1);
  });

  test('a room that is not to be had for now ends the connection, but not at once', async (t) => {
    await joinJson(t, server, 'taken', { query: `?token=${mint({ sub: 'bob', tenant: 'full' })}` });
    const socket = await open(t);
    const closed = closeOf(socket);
    const start = performance.now();
    socket.send(tokenFrame('other', mint({ sub: 'cyd', tenant: 'full' })));
    assert.deepEqual(await closed, [1008, 'too many at once']);
    assert.ok(performance.now() - start >= 1000, 'who comes back at once would never stop');
  });
});

describe('limits of users and tenants', () => {
  const open = (t, server, claims, path = '/yjs/r') =>
    connect(t, server, `${path}?token=${mint(claims)}`).then(({ status }) => status);

  test('WebSockets', async (t) => {
    const server = await startServerWithKeys(t, {
      options: settings({ connections_user: 1, connections_tenant: 2 }),
    });
    assert.equal(await open(t, server, { sub: 'ada', tenant: 'one' }), 101);
    assert.equal(await open(t, server, { sub: 'ada', tenant: 'one' }), 429);
    assert.equal(await open(t, server, { sub: 'ada', tenant: 'two' }), 101, 'somebody else');
    assert.equal(await open(t, server, { sub: 'bob', tenant: 'one' }, '/hocuspocus'), 101);
    assert.equal(await open(t, server, { sub: 'cyd', tenant: 'one' }), 429, 'of the tenant');
    assert.equal(await limited(server, 'connections_user'), 1);
    assert.equal(await limited(server, 'connections_tenant'), 1);
  });

  test('nobody in particular is no user', async (t) => {
    const server = await startServer(t, { options: settings({ connections_user: 1 }) });
    assert.equal((await connect(t, server, '/yjs/a')).status, 101);
    assert.equal((await connect(t, server, '/yjs/a')).status, 101);
  });

  test('open rooms', async (t) => {
    const server = await startServerWithKeys(t, {
      options: settings({ rooms_tenant: 2, '@room_idle_ms': 100 }),
    });
    const join = (room, tenant) => joinJson(t, server, room, { query: `?token=${mint({ tenant })}` });
    const clients = [await join('a', 'one'), await join('b', 'one')];
    await join('c', 'two');
    await join('a', 'one');
    const refused = await connect(t, server, `/rooms/c/ws?token=${mint({ tenant: 'one' })}`);
    assert.deepEqual(await closeOf(refused.socket), [1008, 'too many at once']);
    assert.equal(await limited(server, 'rooms_tenant'), 1);
    clients[1].close();
    await poll(async () => !(await server.room('b')), 'the room closes');
    await join('c', 'one');
  });

  test('rooms that are started at once wait for each other, and are refused when there are too many',
    async (t) => {
      const server = await startServer(t, { options: settings({ room_starts_per_s: 2 }) });
      await Promise.all(['a', 'b', 'c', 'd'].map((room) => joinJson(t, server, room)));
      assert.ok((await limited(server, 'room_starts_per_s')) >= 1);
      const many = await Promise.all(
        Array.from({ length: 20 }, (_, i) => connect(t, server, `/rooms/many-${i}/ws`)),
      );
      const [code] = await Promise.race(many.map(({ socket }) => closeOf(socket)));
      assert.equal(code, 1008);
      await joinJson(t, server, 'a'); /* one that is open is not started */
    });
});
