/* Rooms in quarantine, seen from outside. */
import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import WebSocket from 'ws';
import { JsonClient } from './json-client.mjs';
import { once, poll } from './wait.mjs';

const SUFFIX = '.quarantined';

const roomsDirectory = (server) => join(server.run, 'rooms');

const markers = (server) =>
  readdirSync(roomsDirectory(server)).filter((name) => name.endsWith(SUFFIX));

export const quarantined = (server, room) =>
  poll(async () => (await server.room(room))?.state === 'quarantined', 'it is in quarantine');

/* What an operator may do by hand; there must be one such room. */
export const release = (server) => {
  const found = markers(server);
  assert.equal(found.length, 1);
  rmSync(join(roomsDirectory(server), found[0]));
};

/* Whoever joins is told so, whatever he speaks. */
export const assertRefused = async (t, server, room) => {
  const json = new JsonClient(server.ws(`/rooms/${encodeURIComponent(room)}/ws`));
  t.after(() => json.socket.terminate());
  const error = await json.frame((frame) => frame.t === 'error', 'the error');
  assert.equal(error.code, 'room_quarantined');
  assert.match(error.message, /in quarantine.*operator/);
  if (!json.closed) await once(json, 'close');
  assert.equal(json.closed.code, 1011);

  const yjs = new WebSocket(server.ws(`/yjs/${room}`));
  t.after(() => yjs.terminate());
  yjs.on('error', () => {});
  const [code, reason] = await new Promise((done) => {
    yjs.on('close', (...args) => done(args));
  });
  assert.equal(code, 1011);
  assert.equal(reason.toString(), error.message);
};
