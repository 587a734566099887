/* permessage-deflate, where it is turned on: the clients that want it and the others share rooms.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import WebSocket from 'ws';
import {
  BINARY, FIN, MORE, RSV1, describeFrame, frame, packed, slices, talk,
} from '../conformance/wire.mjs';
import { joinJson } from '../lib/json-client.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { memoryOf } from '../lib/processes.mjs';
import { startServer } from '../lib/server.mjs';
import { converged, docHolds, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const TEXT_BYTES = 300000;
const MIB = 1 << 20;

class PlainSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: false });
  }
}

const joinPlain = (t, server, room) => joinYjs(t, server, room, { Socket: PlainSocket });

describe('compression', () => {
  const scope = suiteScope();
  let server;
  before(async () => {
    server = await startServer(scope, { options: ['--compression', 'on'] });
  });

  test('clients with it and without it, of both dialects, hold the same', async (t) => {
    const clients = [
      await joinYjs(t, server, 'mixed'),
      await joinYjs(t, server, 'mixed'),
      await joinPlain(t, server, 'mixed'),
    ];
    const json = await joinJson(t, server, 'mixed', { query: '?data=yjs' });
    const docs = [...clients.map(({ doc }) => doc), json.bind(Y, new Y.Doc())];
    const words = 'the same words again and again, '.repeat(TEXT_BYTES / 32);
    for (const doc of docs) doc.getText('t').insert(0, words);
    await docHolds(docs[0], (doc) => doc.getText('t').length === 4 * words.length, 'all texts');
    await converged(docs);
    assert.match(clients[0].provider.ws.extensions, /permessage-deflate/);
    assert.match(json.socket.extensions, /permessage-deflate/);
    assert.equal(clients[2].provider.ws.extensions, '');
    const received = clients.map(({ provider }) => provider.ws._socket.bytesRead);
    assert.ok(received[0] < received[2] / 10, `${received}`);
  });

  test('a document comes compressed', async (t) => {
    const { doc } = await joinYjs(t, server, 'late');
    doc.getText('t').insert(0, 'the same words again and again, '.repeat(TEXT_BYTES / 32));
    const late = [await joinYjs(t, server, 'late'), await joinPlain(t, server, 'late')];
    await converged([doc, ...late.map((client) => client.doc)]);
    const received = late.map(({ provider }) => provider.ws._socket.bytesRead);
    assert.ok(received[0] < received[1] / 10, `${received}`);
  });

  test('a bomb goes off at the limit and takes no memory', async () => {
    const pieces = slices(packed(Buffer.alloc(512 * MIB), { level: 9 }), 1024);
    const send = pieces.map((piece, i) => frame(i === 0 ? RSV1 | BINARY : MORE, piece));
    const row = { path: '/yjs/bomb', offer: 'permessage-deflate' };
    const before = memoryOf(server.pid('gateway')).peak;
    const whole = frame(FIN | RSV1 | BINARY, Buffer.concat(pieces));
    for (const frames of [send, [whole]]) {
      const got = await talk(server.port, { ...row, send: frames });
      assert.equal(describeFrame(got.frames.at(-1)), 'close 1009');
    }
    const grown = memoryOf(server.pid('gateway')).peak - before;
    assert.ok(grown < 64 * MIB, `${grown} bytes`);
  });
});
