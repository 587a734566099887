/* Behind proxies: real ones, and those who only claim to be one. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { connect } from 'node:net';
import { before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { Authority } from '../lib/certificates.mjs';
import { JsonClient, joinJson } from '../lib/json-client.mjs';
import { startHaproxy, startNginx } from '../lib/proxies.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { poll } from '../lib/wait.mjs';
import { converged, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const ROOM = 'behind';
const ROOT = 'body';
const CLIENT = '127.0.0.9'; /* of the client; the proxies are 127.0.0.1 */
const DEBUG = ['--log-level', 'debug'];
const REQUEST = 'GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

const logHolds = (server, text) =>
  poll(() => readFileSync(server.logFile, 'utf8').includes(text), `"${text}" in the log`);

/* Clients that come to the server through another port, from CLIENT. */
const through = (port, { isSecure = false, ca } = {}) => {
  const options = { localAddress: CLIENT, ...(ca && { ca }) };
  const ws = (path) => `ws${isSecure ? 's' : ''}://127.0.0.1:${port}${path}`;
  const Socket = class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, options);
      this.on('error', () => {});
    }
  };
  return { server: { ws }, options, Socket };
};

const assertWorks = async (t, { server, options, Socket }) => {
  const yjs = await joinYjs(t, server, ROOM, { Socket });
  const json = await joinJson(t, server, ROOM, { options });
  const doc = json.bind(Y, new Y.Doc());
  doc.getText(ROOT).insert(0, 'x'.repeat(100000));
  await json.ackOf(json.seq);
  yjs.doc.getText(ROOT).insert(0, 'y');
  await converged([doc, yjs.doc]);
};

/* What comes back over a plain connection until it ends. */
const exchange = (port, bytes, { localAddress = '127.0.0.1' } = {}) =>
  new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    const chunks = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => {});
    socket.on('close', () => done(Buffer.concat(chunks).toString('latin1')));
    for (const part of [bytes].flat()) socket.write(part);
  });

describe('HAProxy in front', () => {
  test('says who the client is', async (t) => {
    const options = ['--proxy-protocol', 'on', '--trusted-proxies', '127.0.0.1', ...DEBUG];
    const server = await startServer(t, { options });
    const port = await startHaproxy(t, server);
    await assertWorks(t, through(port));
    await logHolds(server, `a request of ${CLIENT}\n`);
  });

  test('with TLS to the gateway, behind its header', async (t) => {
    let authority;
    const server = await startServer(t, {
      prepare: (made) => {
        authority = new Authority(made.directory);
        const { cert, key } = authority.issue('server');
        made.options = ['--proxy-protocol', 'on', '--trusted-proxies', '127.0.0.0/29', ...DEBUG,
          '--tls-cert', cert, '--tls-key', key];
      },
    });
    const port = await startHaproxy(t, server);
    await assertWorks(t, through(port, { isSecure: true, ca: authority.certificate }));
    await logHolds(server, `a request of ${CLIENT}, by TLS\n`);
  });
});

test('nginx in front: TLS ends there, headers say who the client is', async (t) => {
  const server = await startServer(t, { options: ['--trusted-proxies', '127.0.0.1', ...DEBUG] });
  const authority = new Authority(server.directory);
  const port = await startNginx(t, server, authority.issue('proxy'));
  await assertWorks(t, through(port, { isSecure: true, ca: authority.certificate }));
  await logHolds(server, `a request of ${CLIENT}, by TLS\n`);
});

describe('the PROXY header', () => {
  const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
  const header = (command, transport, body = Buffer.alloc(0), length = body.length) =>
    Buffer.concat([SIGNATURE, Buffer.from([command, transport, length >> 8, length & 255]), body]);
  const V4 = Buffer.from([192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 1, 0xbb]);
  const V6 = Buffer.from(`20010db8${'00'.repeat(11)}07${'00'.repeat(16)}1f9001bb`, 'hex');
  const good = header(0x21, 0x11, V4);
  const OK = /^HTTP\/1\.1 200 OK/;

  const t = suiteScope();
  let server;
  before(async () => {
    const options = ['--proxy-protocol', 'on', '--trusted-proxies', '10.0.0.0/8,127.0.0.1'];
    server = await startServer(t, { options: [...options, ...DEBUG] });
  });

  const ACCEPTED = [
    { name: 'of IPv4', send: [good, REQUEST], client: '192.0.2.7' },
    { name: 'of IPv6', send: [header(0x21, 0x21, V6), REQUEST], client: '2001:db8::7' },
    { name: 'of nobody in particular', send: [header(0x21, 0), REQUEST], client: '127.0.0.1' },
    { name: 'of a health check', send: [header(0x20, 0), REQUEST], client: '127.0.0.1' },
    { name: 'with what is for others', client: '192.0.2.7',
      send: [header(0x21, 0x11, Buffer.concat([V4, Buffer.from([0xea, 0, 1, 7])])), REQUEST] },
    { name: 'together with the request', send: Buffer.concat([good, Buffer.from(REQUEST)]),
      client: '192.0.2.7' },
    { name: 'ahead of another address in HTTP', client: '192.0.2.7',
      send: [good, REQUEST.replace('\r\n\r\n', '\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n')] },
  ];
  for (const { name, send, client } of ACCEPTED) {
    test(`${name} is taken`, async () => {
      const before = readFileSync(server.logFile, 'utf8').length;
      assert.match(await exchange(server.port, send), OK);
      const log = () => readFileSync(server.logFile, 'utf8').slice(before);
      await poll(() => log().includes(`a request of ${client}\n`), client);
    });
  }

  const REFUSED = [
    { name: 'no header', send: REQUEST },
    { name: 'version 1', send: ['PROXY TCP4 192.0.2.7 10.0.0.1 8080 443\r\n', REQUEST] },
    { name: 'another version', send: [header(0x31, 0x11, V4), REQUEST] },
    { name: 'a datagram', send: [header(0x21, 0x12, V4), REQUEST] },
    { name: 'addresses that are cut', send: [header(0x21, 0x11, V4.subarray(0, 8)), REQUEST] },
    { name: 'half a header for ever', send: good.subarray(0, 20) },
    { name: 'a length beyond the limit', send: header(0x21, 0x11, V4, 65535) },
    { name: 'a second header', send: [good, good, REQUEST] },
    { name: 'a header of who is no proxy', send: [good, REQUEST], from: CLIENT },
  ];
  for (const { name, send, from } of REFUSED) {
    test(`${name} is refused`, async () => {
      const answer = await exchange(server.port, send, { localAddress: from });
      assert.doesNotMatch(answer, OK);
      assert.match(await exchange(server.port, [good, REQUEST]), OK);
    });
  }

  test('that comes byte by byte is taken', async () => {
    const text = await new Promise((done) => {
      const socket = connect({ port: server.port, host: '127.0.0.1', noDelay: true });
      const bytes = [...good];
      let answer = '';
      socket.on('data', (chunk) => {
        answer += chunk;
      });
      socket.on('close', () => done(answer));
      const next = () => {
        if (bytes.length === 0) socket.write(REQUEST);
        else socket.write(Buffer.from([bytes.shift()]), () => setImmediate(next));
      };
      next();
    });
    assert.match(text, OK);
  });
});

describe('X-Forwarded-For', () => {
  const ask = (server, headers, localAddress) =>
    new Promise((done, failed) => {
      get(server.http('/healthz'), { headers, localAddress, agent: false }, (answer) => {
        answer.resume();
        answer.on('end', done);
      }).on('error', failed);
    });

  test('is believed from a trusted proxy only', async (t) => {
    const server = await startServer(t, { options: ['--trusted-proxies', '127.0.0.1', ...DEBUG] });
    const claim = { 'X-Forwarded-For': '198.51.100.1, 192.0.2.7', 'X-Forwarded-Proto': 'https' };
    await ask(server, claim, '127.0.0.1');
    await logHolds(server, 'a request of 192.0.2.7, by TLS\n');
    await ask(server, claim, CLIENT);
    await logHolds(server, `a request of ${CLIENT}\n`);
    assert.doesNotMatch(readFileSync(server.logFile, 'utf8'), /198\.51\.100\.1/);
  });

  test('names the client of a WebSocket, too', async (t) => {
    const server = await startServer(t, { options: ['--trusted-proxies', '127.0.0.1', ...DEBUG] });
    const headers = { 'X-Forwarded-For': '2001:db8::7' };
    const client = new JsonClient(server.ws(`/rooms/${ROOM}/ws`), { headers });
    t.after(() => client.socket.terminate());
    await client.frame(({ t: type }) => type === 'sync');
    await logHolds(server, 'a request of 2001:db8::7\n');
  });
});
