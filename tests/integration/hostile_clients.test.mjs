/*
 * Clients that attack the server, with its default limits. Two others in a room of their own go on
 * working meanwhile: nothing of theirs is lost and nobody disconnects them. How long their edits take
 * is told and not judged.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ATTACKS } from '../lib/attacks.mjs';
import { ASKED_MS, told } from '../lib/bystander.mjs';
import { scrape } from '../lib/metrics.mjs';
import { childrenOf } from '../lib/processes.mjs';
import { startServer } from '../lib/server.mjs';
import { underAttack } from '../lib/under-attack.mjs';
import { poll } from '../lib/wait.mjs';

const ATTACK_MS = 3000;
const MIB = 1 << 20;
const MEMORY_MAX = 96 * MIB; /* more than before, or of a room; four messages of 16 MiB are in it */

const mib = (bytes) => (bytes / MIB).toFixed(0);
const mibs = (byRole) => Object.entries(byRole).map(([role, bytes]) => `${role} ${mib(bytes)}`);

/* Only the bystanders are left, and their room: as it is told, and as it is. */
const isQuiet = async (server) => {
  const samples = await scrape(server);
  return (
    samples.get('concord_clients{process="gateway-0"}') === 2 &&
    samples.get('concord_rooms{process="roomd-0"}') === 1 &&
    childrenOf(server.pid('roomd')).length === 1
  );
};

describe('hostile clients', () => {
  for (const [name, { options = [] }] of Object.entries(ATTACKS))
    test(name, async (t) => {
      const server = await startServer(t, { options: ['--room-idle-ms', '100', ...options] });
      const daemons = server.processes().filter(({ parent }) => parent === server.launcher.pid);
      const { figures, counts, growth, peak, rooms } =
        await underAttack(t, server, name, ATTACK_MS);
      t.diagnostic(`attack: ${JSON.stringify(counts)}`);
      t.diagnostic(`arrival (asked: p99 ${ASKED_MS} ms): ${told(figures.arrival)}`);
      t.diagnostic(`acknowledgement: ${told(figures.ack)}`);
      t.diagnostic(`MiB more: ${mibs(growth)}; at most: ${mibs(peak)}; a room: ${mib(rooms)}`);

      for (const [role, bytes] of Object.entries(peak))
        assert.ok(bytes < MEMORY_MAX, `${role} had ${mib(bytes)} MiB more`);
      assert.ok(rooms < MEMORY_MAX, `a room had ${mib(rooms)} MiB`);
      await poll(() => isQuiet(server), 'only the bystanders are left');
      const pids = server.processes().map(({ pid }) => pid);
      assert.ok(daemons.every(({ pid }) => pids.includes(pid)), 'no process has ended');
    });
});
