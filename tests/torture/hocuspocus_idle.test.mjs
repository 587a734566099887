/*
 * Nobody writes and nobody shows presence: providers close a connection on which nothing comes for 30
 * seconds, and so may proxies. One of each version stays connected for longer.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { VERSIONS, joinHocuspocus } from '../lib/hocuspocus-client.mjs';
import { startServer } from '../lib/server.mjs';
import { docHolds } from '../lib/yjs-client.mjs';
import { MINUTES } from './rounds.mjs';

const IDLE_MS = Math.max(36000, MINUTES * 60000);

test('idle providers stay connected', async (t) => {
  const server = await startServer(t);
  const clients = await Promise.all(
    VERSIONS.map((version) => joinHocuspocus(t, server, 'idle', { version, awareness: null })),
  );
  await sleep(IDLE_MS);
  for (const { version, network } of clients)
    assert.deepEqual([network.opened, network.closes], [1, []], `version ${version}`);
  clients[0].text.insert(0, 'awake');
  await Promise.all(
    clients.map(({ doc }) => docHolds(doc, () => doc.getText('body').toString() === 'awake', 'awake')),
  );
});
