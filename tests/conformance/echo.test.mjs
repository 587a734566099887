/* The codec and the connections of the gateway, by an echo program: what RFC 6455 and RFC 7692 ask
 * of a server, as tables of what a client sends and what must come of it. */
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { suiteScope } from '../lib/scope.mjs';
import { CLOSING } from './closing.mjs';
import { COMPRESSION } from './compression.mjs';
import { startEcho } from './echo.mjs';
import { FRAMING } from './framing.mjs';
import { handshakesOn } from './handshake.mjs';
import { runHandshakes, runRows } from './run_rows.mjs';
import { UTF8 } from './utf8.mjs';
import { BINARY, TEXT } from './wire.mjs';

const COMPRESS_MIN = 1024;

/* Messages are compressed that are worth it, and nothing else is. */
const checkPacked = (frames, { agreed }) => {
  for (const { opcode, payload, isPacked } of frames) {
    const isMessage = opcode === TEXT || opcode === BINARY;
    const isWorthIt = isMessage && payload.length > COMPRESS_MIN && payload.length < 1 << 20;
    assert.equal(isPacked, Boolean(agreed) && isWorthIt, `${payload.length} octets`);
  }
};

describe('conformance', () => {
  const scope = suiteScope();
  let plain;
  let compressing;
  before(async () => {
    plain = await startEcho(scope);
    compressing = await startEcho(scope, ['--compression', 'on']);
  });

  describe('handshakes', () => runHandshakes(handshakesOn('/'), () => plain, { chops: [0, 1000] }));
  describe('framing', () => runRows(FRAMING, () => plain));
  describe('text', () => runRows(UTF8, () => plain));
  describe('closing', () => runRows(CLOSING, () => plain));
  describe('compression', () => runRows(COMPRESSION, () => compressing, { check: checkPacked }));
});
