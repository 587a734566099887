/*
 * What a server must refuse, as a table: each row sends one bad thing and names the answer. After
 * each, a bystander in the same room still works, and no process has ended.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { joinJson, toBase64 } from '../lib/json-client.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { once, until } from '../lib/wait.mjs';
import { converged, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const ROOM = 'bystanders';
const MESSAGE_BYTES = 65536;

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const upgrade = (path, lines = []) =>
  [`GET ${path} HTTP/1.1`, 'Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket',
    'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${KEY}`, ...lines, '', ''].join('\r\n');
const get = (path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;

/* Everything that the server answers to raw bytes until it closes. */
const exchange = (port, request) =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const chunks = [];
    const timer = setTimeout(() => socket.destroy(new Error('the server does not close')), 20000);
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks).toString('latin1'));
    });
    socket.write(request);
  });

const HTTP = [
  { name: 'an unknown page', request: get('/nothing/here'), status: 404 },
  { name: 'a way out of the pages', request: get('/../../etc/passwd'), status: [400, 404] },
  { name: 'an encoded way out', request: get('/%2e%2e/%2e%2e/etc/passwd'), status: [400, 404] },
  { name: 'no HTTP at all', request: '\x16\x03\x01\x02 hello\r\n\r\n', status: 400 },
  { name: 'a socket at an unknown path', request: upgrade('/elsewhere/x'), status: 404 },
  { name: 'a room without a name', request: upgrade('/yjs/'), status: [400, 404] },
  { name: 'a room name of 256 bytes', request: upgrade(`/yjs/${'x'.repeat(256)}`), status: 400 },
  { name: 'NUL in a room name', request: upgrade('/yjs/a%00b'), status: 400 },
  { name: 'a room name that is not UTF-8', request: upgrade('/yjs/a%ffb'), status: 400 },
  { name: 'a broken escape', request: upgrade('/yjs/a%zzb'), status: 400 },
  { name: 'NUL in a JSON room', request: upgrade('/rooms/a%00b/ws'), status: 400 },
  { name: 'not UTF-8 in a JSON room', request: upgrade('/rooms/%ff/ws'), status: 400 },
  { name: 'a wrong WebSocket version', status: [400, 426],
    request: upgrade('/yjs/x').replace('Version: 13', 'Version: 7') },
  { name: 'no WebSocket key', status: 400,
    request: upgrade('/yjs/x').replace(`Sec-WebSocket-Key: ${KEY}\r\n`, '') },
  { name: 'headers without end', status: [400, 413, 431],
    request: upgrade('/yjs/x', [`X-Long: ${'y'.repeat(200000)}`]) },
];

const yjsMessage = (...bytes) => Uint8Array.from(bytes);
const GARBAGE_UPDATE = [5, 255, 255, 255, 255, 255];

/* Sent on /yjs/{room}: the close code, and a reason that is not empty. */
const YJS = [
  { name: 'a text frame', send: 'hello', close: 1003 },
  { name: 'an update that does not decode', close: 1007,
    send: yjsMessage(0, 2, 6, ...GARBAGE_UPDATE) },
  { name: 'a state vector that does not decode', send: yjsMessage(0, 0, 2, 255, 255), close: 1007 },
  { name: 'awareness that does not decode', send: yjsMessage(1, 3, 9, 255, 255), close: 1007 },
  { name: 'awareness that is not JSON', close: 1007,
    send: yjsMessage(1, 6, 1, 5, 1, 2, 0x7b, 0x7b) },
  { name: 'a length beyond the message', send: yjsMessage(0, 2, 200, 1), close: 1007 },
  { name: 'an unknown sync message', send: yjsMessage(0, 77), close: 1007 },
  { name: 'a message over the limit', send: new Uint8Array(MESSAGE_BYTES + 1), close: 1009 },
];

const RAW_FRAMES = [
  { name: 'a frame without mask', bytes: [0x82, 0x01, 0x00], close: 1002 },
  { name: 'reserved bits', bytes: [0xf2, 0x81, 1, 2, 3, 4, 0], close: 1002 },
  { name: 'an unknown opcode', bytes: [0x83, 0x81, 1, 2, 3, 4, 0], close: 1002 },
  { name: 'a fragmented ping', bytes: [0x09, 0x80, 1, 2, 3, 4], close: 1002 },
  { name: 'a continuation of nothing', bytes: [0x80, 0x81, 1, 2, 3, 4, 0], close: 1002 },
  { name: 'a length of 2^63', close: 1002,
    bytes: [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4] },
];

const op = (seq, data) => JSON.stringify({ t: 'op', seq, data });
const GARBAGE = toBase64(Uint8Array.from(GARBAGE_UPDATE));

/* Sent on /rooms/{room}/ws: an error frame with this code, and the socket stays open. */
const JSON_ERRORS = [
  { name: 'no JSON', send: '{"t":', code: 'bad_message' },
  { name: 'a frame that is not an object', send: '[1,2]', code: 'bad_message' },
  { name: 'a frame without t', send: '{"seq":1}', code: 'bad_message' },
  { name: 'an op without data', send: '{"t":"op","seq":3}', code: 'bad_message', seq: 3 },
  { name: 'an op that is not base64', send: op(4, { update: '***' }), code: 'bad_message', seq: 4 },
  { name: 'a v2 update that does not decode', send: op(5, { update: GARBAGE }), code: 'bad_update',
    seq: 5 },
  { name: 'a v1 update that does not decode', send: op(6, { update: GARBAGE, v: 1 }),
    code: 'bad_update', seq: 6 },
  { name: 'nesting without end', send: '['.repeat(30000), code: 'bad_message' },
];

const reads = (response) => Number(/^HTTP\/1\.1 (\d+)/.exec(response)?.[1]);

const open = async (t, url, protocol) => {
  const socket = new WebSocket(url, protocol);
  socket.on('error', () => {});
  t.after(() => socket.terminate());
  await once(socket, 'open');
  return socket;
};

const closing = (socket) => {
  let closed = null;
  socket.once('close', (code, reason) => {
    closed = { code, reason: reason.toString() };
  });
  const subscribe = (check) => {
    socket.on('close', check);
    return () => socket.off('close', check);
  };
  return until(subscribe, () => closed, 'the server closes the socket');
};

/* The close frame behind the handshake's answer: { code, reason }. */
const readClose = (response) => {
  const rest = Buffer.from(response.slice(response.indexOf('\r\n\r\n') + 4), 'latin1');
  for (let at = 0; at + 2 <= rest.length; ) {
    const short = rest[at + 1] & 0x7f;
    const head = short === 126 ? 4 : short === 127 ? 10 : 2;
    const length = short === 126 ? rest.readUInt16BE(at + 2) : short;
    if ((rest[at] & 0x0f) === 8) {
      const body = rest.subarray(at + head, at + head + length);
      return { code: body.readUInt16BE(0), reason: body.subarray(2).toString() };
    }
    at += head + length;
  }
  return { code: 0, reason: '' };
};

describe('refusals', () => {
  const suite = suiteScope();
  let server;
  let writer;
  let reader;
  let pids;
  let count = 0;

  const bystanderWorks = async () => {
    count += 1;
    writer.doc.getText('body').insert(0, `${count} `);
    await converged([writer.doc, reader.doc], 'the bystanders are in step');
    assert.equal(writer.closes + reader.closes, 0, 'no bystander was cut off');
    assert.deepEqual(server.processes().map(({ pid }) => pid), pids, 'no process has ended');
  };

  const bystander = async () => {
    const client = await joinYjs(suite, server, ROOM);
    client.closes = 0;
    client.provider.on('connection-close', () => {
      client.closes += 1;
    });
    return client;
  };

  before(async () => {
    server = await startServer(suite, { options: ['--message-bytes', String(MESSAGE_BYTES)] });
    writer = await bystander();
    reader = await bystander();
    pids = server.processes().map(({ pid }) => pid);
  });

  for (const { name, request, status } of HTTP) {
    test(`HTTP: ${name}`, async () => {
      const response = await exchange(server.port, request);
      assert.ok([status].flat().includes(reads(response)), `answer: ${response.slice(0, 200)}`);
      assert.ok(!response.includes('root:'), 'nothing of the host gets out');
      await bystanderWorks();
    });
  }

  for (const { name, bytes, close } of RAW_FRAMES) {
    test(`frames: ${name}`, async () => {
      const request = Buffer.concat([Buffer.from(upgrade(`/yjs/${ROOM}`)), Buffer.from(bytes)]);
      const response = await exchange(server.port, request);
      assert.equal(reads(response), 101);
      assert.equal(readClose(response).code, close);
      await bystanderWorks();
    });
  }

  for (const { name, send, close } of YJS) {
    test(`/yjs: ${name}`, async (t) => {
      const socket = await open(t, server.ws(`/yjs/${ROOM}`));
      socket.send(send);
      const { code, reason } = await closing(socket);
      assert.equal(code, close);
      assert.notEqual(reason, '', 'the close frame says why');
      await bystanderWorks();
    });
  }

  test('/yjs: a socket that sends random bytes for a while', async (t) => {
    let state = 12345;
    const random = () => (state = (state * 1103515245 + 12345) & 0x7fffffff) >> 8;
    for (let round = 0; round < 60; round += 1) {
      const socket = await open(t, server.ws(`/yjs/${ROOM}`));
      const bytes = Uint8Array.from({ length: 1 + (random() % 60) }, () => random() & 255);
      bytes[0] %= 3;
      const closed = closing(socket);
      socket.send(bytes);
      socket.close();
      await closed;
    }
    await bystanderWorks();
  });

  for (const { name, send, code, seq } of JSON_ERRORS) {
    test(`JSON: ${name}`, async (t) => {
      const client = await joinJson(t, server, ROOM);
      client.send(send);
      const error = await client.frame((frame) => frame.t === 'error', 'the error');
      assert.equal(error.code, code);
      assert.equal(error.seq, seq);
      assert.ok(error.message.length > 0);
      const doc = client.bind(Y, new Y.Doc());
      doc.getText('body').insert(0, 'and on it goes ');
      await client.ackOf(client.seq);
      await bystanderWorks();
    });
  }

  test('JSON: a binary frame', async (t) => {
    const client = await joinJson(t, server, ROOM);
    client.socket.send(Uint8Array.from([1, 2, 3]));
    const { code, reason } = await closing(client.socket);
    assert.equal(code, 1003);
    assert.notEqual(reason, '');
    await bystanderWorks();
  });

  test('JSON: a frame over the limit', async (t) => {
    const client = await joinJson(t, server, ROOM);
    client.send(op(1, { update: 'A'.repeat(MESSAGE_BYTES) }));
    assert.equal((await closing(client.socket)).code, 1009);
    await bystanderWorks();
  });
});
