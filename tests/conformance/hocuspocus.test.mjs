/* Frames of HocuspocusProvider to the gateway, row by row. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { mint, startServerWithKeys } from '../lib/tokens.mjs';
import { once, until } from '../lib/wait.mjs';
import { GUARDED_ROWS, OPEN_ROWS } from './hocuspocus.mjs';

const PING = '09';
const PONG = '0a';

const withLength = (text) => {
  const bytes = Buffer.from(text);
  const { length } = bytes;
  const head = length < 128 ? [length] : [(length & 0x7f) | 0x80, length >> 7];
  return Buffer.concat([Buffer.from(head), bytes]).toString('hex');
};

/* What a row says as hex. */
const hexOf = (words, { doc, tokens = {} }) =>
  words
    .replaceAll(/"([^"]*)"/g, (_, text) => withLength(text))
    .replaceAll(/'([^']*)'/g, (_, text) => Buffer.from(text).toString('hex'))
    .replaceAll(/\b[A-Z]{4,}\b/g, (name) => withLength(tokens[name]))
    .replaceAll('K', withLength(doc))
    .replaceAll(' ', '');

/* { socket, frames, closed } as hex. */
const open = async (t, server) => {
  const client = { frames: [], closed: null };
  client.socket = new WebSocket(server.ws('/hocuspocus'));
  t.after(() => client.socket.terminate());
  client.socket.on('message', (data) => client.frames.push(data.toString('hex')));
  client.socket.on('close', (code) => {
    client.closed = code;
  });
  await once(client.socket, 'open');
  return client;
};

const holds = ({ socket }, condition, what) =>
  until(
    (check) => {
      socket.on('message', check).on('close', check);
      return () => socket.off('message', check).off('close', check);
    },
    condition,
    what,
  );

/* Whatever was on its way before it came with the answer to a ping. */
const settle = async (client, frames) => {
  await holds(client, () => client.closed || client.frames.length >= frames, `${frames} frames`);
  const pings = client.frames.filter((frame) => frame === PONG).length;
  client.socket.send(Buffer.from(PING, 'hex'));
  await holds(
    client, () => client.frames.filter((frame) => frame === PONG).length > pings, 'the pong',
  );
  client.frames.pop();
};

const runRow = async (t, server, row, names) => {
  const client = await open(t, server);
  if (row.text) client.socket.send(row.text);
  const expected = row.expect.map((words) => hexOf(words, names));
  for (const [i, words] of row.send.entries()) {
    if (row.inParts && i > 0) await holds(client, () => client.frames.length === expected.length, 'all');
    client.socket.send(Buffer.from(hexOf(words, names), 'hex'));
  }
  if (row.closes) await holds(client, () => client.closed, 'the close');
  else await settle(client, expected.length);
  assert.deepEqual(client.frames, expected);
  assert.equal(client.closed, row.closes ?? null);
};

const docOf = (kind, i) => `${kind}${String(i).padStart(3, '0')}`;

describe('frames of HocuspocusProvider', () => {
  const scope = suiteScope();
  let open;
  let guarded;

  before(async () => {
    open = await startServer(scope);
    guarded = await startServerWithKeys(scope);
  });

  describe('without keys', () => {
    OPEN_ROWS.forEach((row, i) => {
      test(row.name, (t) => runRow(t, open, row, { doc: docOf('o', i) }));
    });
  });

  describe('with keys', () => {
    GUARDED_ROWS.forEach((row, i) => {
      test(row.name, (t) => {
        const tokens = {
          WRITE: mint(),
          READ: mint({ rooms: { '*': 'read' } }),
          OTHER: mint({ rooms: { other: 'write' } }),
          THEIRS: mint({ sub: 'else' }),
        };
        return runRow(t, guarded, row, { doc: docOf('g', i), tokens });
      });
    });
  });
});
