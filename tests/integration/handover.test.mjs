/* Gateways that stop in order: clients go over to the next one, rooms and edits stay. */
import assert from 'node:assert/strict';
import { get } from 'node:http';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { pauseLauncher, startGateway, startManager } from '../lib/gateways.mjs';
import { joinJson } from '../lib/json-client.mjs';
import { isAlive, kill } from '../lib/processes.mjs';
import { startServer } from '../lib/server.mjs';
import { once, poll, until } from '../lib/wait.mjs';
import { converged, joinYjs, synced } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';
import { Author, lostMarks } from '../torture/author.mjs';

const ROOM = 'stays';
const ROOT = 'body';
const RESTART = 1012;
const ADVICE = /^service restart: reconnect in (\d+) ms$/;

const closed = (client) =>
  until(
    (check) => {
      client.on('close', check);
      return () => client.off('close', check);
    },
    () => client.closed,
    'close',
  );

/* The next close of a provider's socket: { code, reason }. */
const nextClose = ({ provider }) => once(provider, 'connection-close', (e) => e !== null);

const connected = ({ provider }) =>
  until(
    (check) => {
      provider.on('status', check);
      provider.on('sync', check);
      return () => {
        provider.off('status', check);
        provider.off('sync', check);
      };
    },
    () => provider.wsconnected && provider.synced,
    'the provider is connected again',
  );

const connectError = (port) =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      done(null);
    });
    socket.on('error', ({ code }) => done(code));
  });

const fetchHealth = (port) =>
  new Promise((done, failed) => {
    get({ port, host: '127.0.0.1', path: '/healthz', agent: false }, (answer) => {
      answer.resume();
      answer.on('end', () => done(answer.statusCode));
    }).on('error', failed);
  });

describe('a gateway that stops', () => {
  const SPREAD = ['--drain-ms', '2000'];

  test('closes its clients spread over a time, each with an advice of its own', async (t) => {
    const server = await startServer(t, { options: SPREAD });
    const clients = [];
    for (let i = 0; i < 30; i += 1) clients.push(await joinJson(t, server, ROOM));
    pauseLauncher(server);
    const gateway = server.pid('gateway');
    kill(gateway, 'SIGTERM');
    await Promise.any(clients.map(closed));

    assert.equal(await connectError(server.port), 'ECONNREFUSED', 'nobody gets in any more');
    const left = clients.filter((client) => !client.closed);
    assert.ok(left.length > 0, 'not all are closed at once');
    const doc = left.at(-1).bind(Y, new Y.Doc());
    doc.getText(ROOT).insert(0, 'until the end');
    await until(
      (check) => {
        left.at(-1).on('frame', check);
        left.at(-1).on('close', check);
        return () => left.at(-1).off('frame', check);
      },
      () => left.at(-1).acked.has(1) || left.at(-1).closed,
      'an ack, or the end',
    );
    await Promise.all(clients.map(closed));
    const advice = clients.map((client) => {
      assert.equal(client.closed.code, RESTART);
      return Number(ADVICE.exec(client.closed.reason)[1]);
    });
    assert.ok(new Set(advice).size > 1, `not the same for all: ${advice}`);
    assert.ok(advice.every((ms) => ms >= 200 && ms <= 3000));
  });

  test('answers a request that is under way, and no more on that connection', async (t) => {
    const server = await startServer(t, { options: SPREAD });
    const watcher = await joinJson(t, server, ROOM);
    const idle = connect(server.port, '127.0.0.1');
    const busy = connect(server.port, '127.0.0.1');
    let answer = '';
    busy.setEncoding('latin1').on('data', (chunk) => {
      answer += chunk;
    });
    idle.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    busy.write('GET /healthz HTTP/1.1\r\n');
    await once(idle, 'data');
    pauseLauncher(server);
    kill(server.pid('gateway'), 'SIGTERM');
    await once(idle, 'end');
    busy.write('Host: a\r\n\r\n');
    await once(busy, 'end');
    assert.match(answer, /^HTTP\/1\.1 200 OK/);
    busy.end();
    idle.end();
    await closed(watcher);
  });

  test('without clients it stops at once', async (t) => {
    const server = await startServer(t, { options: ['--drain-ms', '600000'] });
    const gateway = await startGateway(server);
    kill(gateway.pid, 'SIGTERM');
    assert.deepEqual(await gateway.ended, { code: 0, signal: null });
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  test('the launcher waits until all clients are told', async (t) => {
    const server = await startServer(t, { options: ['--drain-ms', '500', '--gateways', '2'] });
    const clients = [];
    for (let i = 0; i < 10; i += 1) clients.push(await joinJson(t, server, ROOM));
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await Promise.all(clients.map(closed));
    assert.ok(clients.every((client) => client.closed.code === RESTART));
  });
});

describe('the next gateway', () => {
  test('takes over on the same port: rooms and acknowledged edits stay', async (t) => {
    const server = await startServer(t, { options: ['--drain-ms', '300'] });
    const typist = await joinYjs(t, server, ROOM);
    const watcher = await joinYjs(t, server, ROOM, { version: '1.5' });
    const author = new Author(server, ROOM, 'author');
    t.after(() => author.stop());
    const room = await server.room(ROOM);
    await poll(() => author.acked.length > 20, 'acknowledged edits');

    const closes = [];
    for (const { provider } of [typist, watcher])
      provider.on('connection-close', (close) => close && closes.push(close));
    const leave = async (pid, next) => {
      typist.doc.getText(ROOT).insert(0, `before the ${next}, `);
      kill(pid, 'SIGTERM');
      await poll(() => !isAlive(pid), 'it has ended');
      await Promise.all([typist, watcher].map(connected));
      await converged([typist.doc, watcher.doc]);
      const enough = author.acked.length + 20;
      await poll(() => author.acked.length > enough, 'the author goes on');
    };
    const second = await startGateway(server);
    pauseLauncher(server);
    await leave(server.pid('gateway'), 'second');
    assert.equal(closes.length, 2, 'both were on the first one');
    await startGateway(server);
    await leave(second.pid, 'third');
    assert.deepEqual(await second.ended, { code: 0, signal: null });
    for (const { code, reason } of closes) {
      assert.equal(code, RESTART);
      assert.match(reason, ADVICE);
    }
    await author.stop();
    assert.ok(author.losses > 0, 'the author has moved');
    assert.deepEqual(await lostMarks(server, [author]), []);
    const text = typist.doc.getText(ROOT).toString();
    assert.equal(text, 'before the third, before the second, ');
    assert.equal((await server.room(ROOM)).pid, room.pid, 'the room is the same process');
  });

  test('gets the socket that the service manager keeps: nobody is refused', async (t) => {
    const server = await startServer(t);
    const options = ['--port', '1', '--host', '127.0.0.99', '--drain-ms', '100'];
    const { port } = await startManager(server, options);
    const gateway = () =>
      server.processes().find(
        ({ program, args }) => program === 'concord-gateway' && args.includes('127.0.0.99'),
      )?.pid;
    const client = await joinYjs(t, { ws: (path) => `ws://127.0.0.1:${port}${path}` }, ROOM);
    const { pid } = await server.room(ROOM);
    for (let i = 0; i < 3; i += 1) {
      const leaving = gateway();
      const close = nextClose(client);
      client.doc.getText(ROOT).insert(0, `${i}`);
      kill(leaving, 'SIGTERM');
      const requests = Array.from({ length: 20 }, () => fetchHealth(port));
      assert.deepEqual(new Set(await Promise.all(requests)), new Set([200]));
      assert.equal((await close).code, RESTART);
      await poll(() => gateway() && gateway() !== leaving, 'the next gateway');
      await connected(client);
      await synced(client);
    }
    const late = await joinYjs(t, server, ROOM);
    assert.equal(late.doc.getText(ROOT).toString(), '210');
    assert.equal((await server.room(ROOM)).pid, pid);
  });
});
