/* A client that reads 1 KB a second in a room that gets far more: it stays, and has everything in the
 * end, and the gateway keeps no more for it than it may. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startServer } from '../lib/server.mjs';
import { readSlowly } from '../lib/slow-reader.mjs';

const MIB = 1 << 20;
const WRITTEN_BYTES = 48 * MIB; /* more than the sockets and the client's queue take */
const BYTES_PER_S = 6 * MIB;
const GROWTH_MAX = 32 * MIB; /* twice what may wait for one client */

test('a client that reads slowly stays and has everything in the end', async (t) => {
  const server = await startServer(t);
  const growth = await readSlowly(t, server, BYTES_PER_S, (bytes) => bytes < WRITTEN_BYTES);
  t.diagnostic(`the gateway had up to ${(growth / MIB).toFixed(0)} MiB more`);
  assert.ok(growth < GROWTH_MAX, `the gateway had ${growth} bytes more`);
});
