/* TLS at the gateway: real clients over wss, new certificates, and those who speak something else. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once as event } from 'node:events';
import { appendFileSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { connect } from 'node:net';
import { before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import WebSocket from 'ws';
import { Authority } from '../lib/certificates.mjs';
import { startGateway } from '../lib/gateways.mjs';
import { joinJson } from '../lib/json-client.mjs';
import { kill } from '../lib/processes.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { freePort, startServer } from '../lib/server.mjs';
import { once, poll } from '../lib/wait.mjs';
import { converged, docHolds, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const ROOT = 'body';
const ROOM = 'private';
const textOf = (doc) => doc.getText(ROOT).toString();

/* A server with a certificate of an authority that its clients know. */
const startTls = async (t, options = []) => {
  const tls = {};
  const server = await startServer(t, {
    prepare: (made) => {
      tls.authority = new Authority(made.directory);
      tls.issued = tls.authority.issue('server');
      made.isSecure = true;
      made.options = ['--tls-cert', tls.issued.cert, '--tls-key', tls.issued.key, ...options];
    },
  });
  const ca = tls.authority.certificate;
  const Socket = class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { ca });
      this.on('error', () => {});
    }
  };
  return { ...tls, server, ca, Socket };
};

const joinBoth = async (t, { server, ca, Socket }, room = ROOM) => {
  const yjs = await joinYjs(t, server, room, { Socket });
  const json = await joinJson(t, server, room, { options: { ca } });
  return { yjs, json, doc: json.bind(Y, new Y.Doc()) };
};

/* A TLS connection that is made: { socket, serial }. */
const dial = async (t, { server, ca }, options = {}) => {
  const socket = connectTls({ port: server.port, host: '127.0.0.1', ca, ...options });
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return { socket, serial: socket.getPeerCertificate().serialNumber };
};

const dialError = ({ server, ca }, options) =>
  new Promise((done) => {
    const socket = connectTls({ port: server.port, host: '127.0.0.1', ca, ...options });
    socket.on('secureConnect', () => {
      socket.destroy();
      done(null);
    });
    socket.on('error', done);
  });

/* A plain TCP connection, and what comes over it until it ends. */
const dialPlain = (t, { server }) => {
  const socket = connect(server.port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  const chunks = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  const received = new Promise((done) => {
    socket.on('close', () => done(Buffer.concat(chunks)));
  });
  return { socket, received };
};

const fetchText = ({ server, ca }, path) =>
  new Promise((done, failed) => {
    get(server.http(path), { ca, agent: false }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('end', () => done(Buffer.concat(chunks).toString()));
    }).on('error', failed);
  });

const logHolds = ({ server }, text) =>
  poll(() => readFileSync(server.logFile, 'utf8').includes(text), `"${text}" in the log`);

const assertWorks = async ({ json, doc, yjs }, text) => {
  doc.getText(ROOT).insert(0, text);
  await json.ackOf(json.seq);
  await converged([doc, yjs.doc]);
};

describe('clients over TLS', () => {
  const t = suiteScope();
  let tls;
  let bystander;
  before(async () => {
    tls = await startTls(t);
    bystander = await joinBoth(t, tls);
  });

  test('y-websocket and JSON share a room', async () => {
    assert.match(tls.server.output, /^ready https:/m);
    await assertWorks(bystander, 'hello ');
    bystander.yjs.doc.getText(ROOT).insert(0, 'and ');
    await converged([bystander.yjs.doc, bystander.doc]);
    assert.equal(textOf(bystander.doc), 'and hello ');
  });

  test('pages, and many requests on one connection', async (st) => {
    assert.equal(await fetchText(tls, '/healthz'), 'ok\n');
    assert.match(await fetchText(tls, '/'), /<html/);
    const { socket } = await dial(st, tls);
    const request = 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n';
    socket.write(request.repeat(20));
    socket.end(request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    await once(socket, 'close');
    assert.equal(text.match(/^HTTP\/1\.1 200 OK/gm).length, 21);
  });

  test('TLS 1.2 and 1.3, nothing older; HTTP/1.1 or no protocol', async (st) => {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      const versions = { minVersion: version, maxVersion: version };
      const { socket } = await dial(st, tls, { ...versions, ALPNProtocols: ['h2', 'http/1.1'] });
      assert.equal(socket.getProtocol(), version);
      assert.equal(socket.alpnProtocol, 'http/1.1');
      assert.match(socket.getCipher().name, /GCM|CHACHA20/);
    }
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' };
    assert.match((await dialError(tls, old)).message, /alert protocol version/);
    const h2 = await dialError(tls, { ALPNProtocols: ['h2'] });
    assert.match(h2.message, /no application protocol/);
    const metrics = await fetchText(tls, '/metrics');
    assert.match(metrics, /^concord_tls_failures_total\{process="gateway-0"\} [1-9]/m);
  });

  test('a session is resumed', async (st) => {
    const { socket } = await dial(st, tls);
    const session = await once(socket, 'session');
    const again = await dial(st, tls, { session });
    assert.ok(again.socket.isSessionReused());
  });

  /* Only openssl's own client has commands for these. */
  for (const [what, command, says, version] of [
    ['new keys', 'K', 'KEYUPDATE', '-tls1_3'],
    ['a renegotiation', 'R', 'RENEGOTIATING', '-tls1_2'],
  ]) {
    test(`a client that wants ${what}`, async (st) => {
      const address = `127.0.0.1:${tls.server.port}`;
      const client = spawn('openssl', ['s_client', '-connect', address, version], {
      });
      st.after(() => client.kill());
      let text = '';
      for (const stream of [client.stdout, client.stderr])
        stream.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
      await once(client.stdout, 'data', () => text.includes('Verify return code'), 'the handshake');
      client.stdin.write(`${command}\n`); /* alone, or it is no command */
      await once(client.stderr, 'data', () => text.includes(says), 'the command');
      client.stdin.write('GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      await event(client, 'close');
      if (command === 'K') assert.match(text, /HTTP\/1\.1 200 OK/);
      else assert.doesNotMatch(text, /HTTP\/1\.1 200 OK/);
      await assertWorks(bystander, command);
    });
  }

  const PLAIN = [
    { name: 'a page', send: 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', says: /^HTTP\/1\.1 400 .*TLS/s },
    { name: 'a form', send: 'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n',
      says: /^HTTP\/1\.1 400 .*TLS/s },
    { name: 'another method', send: 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n' },
    { name: 'nonsense', send: Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7) & 255)) },
    { name: 'a handshake of nonsense', send: Buffer.concat([
      Buffer.from([0x16, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3]), Buffer.alloc(250, 0xff)]) },
    { name: 'a record beyond every limit', send: Buffer.from([0x16, 3, 1, 0xff, 0xff, 1, 0, 0]) },
    { name: 'nothing', send: '' },
  ];
  for (const { name, send, says } of PLAIN) {
    test(`who sends ${name} without TLS is refused`, async (st) => {
      const pid = tls.server.pid('gateway');
      const { socket, received } = dialPlain(st, tls);
      if (send.length > 0) socket.write(send);
      else socket.end();
      const answer = (await received).toString('latin1');
      if (says) assert.match(answer, says);
      else assert.doesNotMatch(answer, /HTTP/);
      await assertWorks(bystander, '.');
      assert.equal(tls.server.pid('gateway'), pid);
    });
  }

  test('a handshake that comes slowly is cut, and every byte does not prolong it', async (st) => {
    const { socket, received } = dialPlain(st, tls);
    socket.write(Buffer.from([0x16, 3, 1, 0x01, 0xfc, 1]));
    const dribble = setInterval(() => socket.writable && socket.write(Buffer.alloc(1)), 200);
    st.after(() => clearInterval(dribble));
    const silent = dialPlain(st, tls);
    assert.equal((await silent.received).length, 0);
    await received;
    await assertWorks(bystander, '.');
  });

  test('clients that go midway leave nothing behind', async (st) => {
    const count = () => tls.server.room(ROOM).then(({ clients }) => clients);
    const clients = await count();
    for (let i = 0; i < 20; i += 1) {
      const { socket } = dialPlain(st, tls);
      await once(socket, 'connect');
      socket.write(Buffer.from([0x16, 3, 1, 0x01, 0xfc, 1, 0, 1, 0xf8, 3, 3]));
      socket.resetAndDestroy();
      const json = await joinJson(st, tls.server, ROOM, { options: { ca: tls.ca } });
      json.send({ t: 'presence', client: i + 1, user: 'x', cursor: 0 });
      json.socket._socket._handle.close(); // eslint-disable-line no-underscore-dangle
    }
    await poll(async () => (await count()) === clients, 'the room is as before');
    await assertWorks(bystander, '.');
  });
});

test('a gateway that stops ends handshakes, whatever comes late', async (t) => {
  const tls = await startTls(t, ['--drain-ms', '200']);
  const port = await freePort();
  const gateway = await startGateway(tls.server, ['--port', String(port)]);
  const dialled = [];
  for (let i = 0; i < 5; i += 1) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    socket.resume();
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    dialled.push(socket);
  }
  const { socket } = await dial(t, { ...tls, server: { port } }); /* all were accepted */
  kill(gateway.pid, 'SIGTERM');
  await Promise.all(dialled.map((late) => once(late, 'end')));
  dialled.forEach((late) => late.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
  socket.destroy();
  assert.deepEqual(await gateway.ended, { code: 0, signal: null });
});

describe('a large document over TLS', () => {
  const PIECES = 20;
  const piece = (i) => String.fromCharCode(97 + i).repeat(1 << 20);

  test('20 MB arrive whole, also for who reads in fits and starts', async (t) => {
    const tls = await startTls(t);
    const { json, doc } = await joinBoth(t, tls, 'large');
    for (let i = 0; i < PIECES; i += 1) {
      doc.getText(ROOT).insert(doc.getText(ROOT).length, piece(i));
      await json.ackOf(json.seq);
    }
    const late = await joinYjs(t, tls.server, 'large', { Socket: tls.Socket });
    await converged([doc, late.doc]);
    assert.equal(textOf(late.doc).length, PIECES << 20);

    const slow = await joinYjs(t, tls.server, 'large', { Socket: tls.Socket, isSynced: false });
    await once(slow.provider, 'status', ({ status }) => status === 'connected');
    const raw = slow.provider.ws._socket; // eslint-disable-line no-underscore-dangle
    for (let i = 0; i < 10; i += 1) {
      raw.pause();
      doc.getText(ROOT).insert(0, `${i}`);
      await json.ackOf(json.seq);
      raw.resume();
      await once(raw, 'data');
    }
    await docHolds(slow.doc, (d) => textOf(d).startsWith('9876543210a'), 'all is there');
    await converged([doc, slow.doc]);
  });
});

describe('certificates', () => {
  test('SIGHUP: new connections get the new one, old ones stay', async (t) => {
    const tls = await startTls(t);
    const clients = await joinBoth(t, tls);
    const first = await dial(t, tls);
    assert.equal(first.serial, tls.issued.serial);

    const next = tls.authority.issue('server');
    assert.notEqual(next.serial, first.serial);
    const pid = tls.server.pid('gateway');
    kill(tls.server.launcher.pid, 'SIGHUP');
    await logHolds(tls, 'the certificate was loaded anew');
    assert.equal((await dial(t, tls)).serial, next.serial);
    await assertWorks(clients, 'still here');
    assert.equal(clients.json.closed, null);
    first.socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.match((await once(first.socket, 'data')).toString(), /200 OK/);
    assert.equal(tls.server.pid('gateway'), pid);
  });

  test('one that does not load is named, and the old one stays', async (t) => {
    const tls = await startTls(t);
    const { cert, key, serial } = tls.issued;
    const other = tls.authority.issue('other');
    copyFileSync(other.key, key);
    kill(tls.server.pid('gateway'), 'SIGHUP');
    await logHolds(tls, `the certificate cannot be loaded: ${key}: key values mismatch`);
    assert.equal((await dial(t, tls)).serial, serial);
    writeFileSync(cert, 'no certificate');
    appendFileSync(key, 'private words');
    kill(tls.server.pid('gateway'), 'SIGHUP');
    await logHolds(tls, `the certificate cannot be loaded: ${cert}: no start line`);
    assert.equal((await dial(t, tls)).serial, serial);
    assert.doesNotMatch(readFileSync(tls.server.logFile, 'utf8'), /PRIVATE KEY|private words/);
  });

  test('without a whole pair nothing starts', async (t) => {
    const start = (options) =>
      startServer(t, { options }).then(() => assert.fail('it has started'), ({ message }) => message);
    assert.match(await start(['--tls-cert', '/nowhere.crt']), /'tls_cert' and 'tls_key' go together/);
    const both = ['--tls-cert', '/nowhere.crt', '--tls-key', '/nowhere.key'];
    assert.match(await start(both), /\/nowhere\.crt: No such file or directory/);
  });
});
