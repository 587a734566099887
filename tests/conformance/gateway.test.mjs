/* The same of the gateway itself: every handshake, and the rows that need nobody to send messages
 * back. */
import { before, describe } from 'node:test';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { CLOSING } from './closing.mjs';
import { FRAMING } from './framing.mjs';
import { handshakesOn, subprotocolsOn } from './handshake.mjs';
import { runHandshakes, runRows } from './run_rows.mjs';
import { UTF8 } from './utf8.mjs';
import { CLOSE, PONG } from './wire.mjs';

const YJS = '/yjs/conformance';
const JSON_ROOM = '/rooms/conformance/ws';

/* Scripts of other origins ask first. */
const CORS = { options: 204 };

const needsNoEcho = ({ expect = [] }) => expect.every(({ opcode }) => opcode === PONG);
const isControl = ({ opcode }) => opcode >= CLOSE;

describe('conformance of the gateway', () => {
  const scope = suiteScope();
  let server;
  before(async () => {
    server = await startServer(scope);
  });
  const port = () => server.port;

  describe('handshakes, Yjs', () => runHandshakes(handshakesOn(YJS, CORS), port));
  describe('handshakes, JSON', () => runHandshakes(handshakesOn(JSON_ROOM, CORS), port));
  describe('subprotocols', () => runHandshakes(subprotocolsOn(JSON_ROOM, 'concord.v1'), port));
  describe('frames', () =>
    runRows([...FRAMING, ...UTF8, ...CLOSING].filter(needsNoEcho), port,
      { path: YJS, isOfInterest: isControl }));
});
