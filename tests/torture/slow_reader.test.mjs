/* A client that reads 1 KB a second for minutes, in a room that gets 1 MB a second. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startServer } from '../lib/server.mjs';
import { readSlowly } from '../lib/slow-reader.mjs';
import { untilOver } from './rounds.mjs';

const MIB = 1 << 20;
const EDITS = 200;
const GROWTH_MAX = 32 * MIB; /* twice what may wait for one client */

test('a client that reads slowly for long', async (t) => {
  const server = await startServer(t);
  const growth = await readSlowly(t, server, MIB, untilOver(EDITS));
  t.diagnostic(`the gateway had up to ${(growth / MIB).toFixed(0)} MiB more`);
  assert.ok(growth < GROWTH_MAX, `the gateway had ${growth} bytes more`);
});
