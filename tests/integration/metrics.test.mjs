/* /metrics: the figures of all processes, as Prometheus reads them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { canPreload, faulty } from '../lib/fault.mjs';
import { JsonClient, joinJson } from '../lib/json-client.mjs';
import { scrape } from '../lib/metrics.mjs';
import { kill } from '../lib/processes.mjs';
import { startServer } from '../lib/server.mjs';
import { once, poll } from '../lib/wait.mjs';
import Y from '../lib/yjs.mjs';

const gateway = (name) => `concord_${name}{process="gateway-0"}`;
const roomd = (name) => `concord_${name}{process="roomd-0"}`;
const snapshotd = (name) => `concord_store_${name}{process="snapshotd-0"}`;

describe('/metrics', () => {
  test('what happens is counted', async (t) => {
    const server = await startServer(t);
    const clients = [];
    for (const room of ['one', 'two', 'two']) clients.push(await joinJson(t, server, room));
    const doc = new Y.Doc();
    clients[0].bind(Y, doc);
    for (let i = 0; i < 10; i += 1) doc.getText('body').insert(0, 'x');
    await clients[0].ackOf(10);
    const refused = new JsonClient(server.ws('/rooms/%00/ws'));
    await once(refused, 'close');

    const isCounted = (samples) =>
      samples.get(gateway('clients')) === 3 &&
      samples.get(gateway('joins_total')) === 3 &&
      samples.get(roomd('rooms')) === 2 &&
      samples.get(roomd('room_starts_total')) === 2 &&
      samples.get(roomd('room_restarts_total')) === 0 &&
      samples.get(roomd('segment_replacements_total')) === 0 &&
      samples.get(roomd('segment_replacement_failures_total')) === 0 &&
      samples.get(snapshotd('up')) === 1 &&
      samples.get(snapshotd('updates_total')) === 10 &&
      samples.get(snapshotd('fold_failures_total')) === 0 &&
      samples.get(snapshotd('commit_seconds_count')) >= 1 &&
      samples.get(snapshotd('lag_seconds')) === 0 &&
      samples.get(snapshotd('queue_rooms')) === 0;
    let last;
    const ask = async () => isCounted((last = await scrape(server)));
    await poll(ask, 'the figures', 10000).catch(() => assert.fail(JSON.stringify([...last])));

    clients[0].close();
    await poll(async () => (await scrape(server)).get(gateway('clients')) === 2, 'one has gone');
    kill((await server.room('two')).pid);
    const restarts = async () => (await scrape(server)).get(roomd('room_restarts_total')) === 1;
    await poll(restarts, 'a room was started again');
  });

  test('segments that are replaced, or cannot be', { skip: !canPreload() }, async (t) => {
    const server = await startServer(t, { prepare: faulty });
    const client = await joinJson(t, server, 'long');
    const map = client.bind(Y, new Y.Doc()).getMap('map');
    const writeUntil = (name) =>
      poll(async () => {
        map.set('entry', 'x'.repeat(16384));
        await client.ackOf(client.seq);
        return (await scrape(server)).get(roomd(`segment_${name}_total`)) === 1;
      }, name);
    server.fault.set('fallocate:.next:1:ENOSPC:once');
    await writeUntil('replacement_failures');
    await writeUntil('replacements');
  });

  test('every process is up, each with its own figures', async (t) => {
    const server = await startServer(t);
    const samples = await scrape(server);
    for (const process of ['gateway-0', 'roomd-0', 'snapshotd-0'])
      assert.equal(samples.get(`concord_process_up{process="${process}"}`), 1, process);
    assert.equal(samples.get('concord_rooms_quarantined{process="roomd-0"}'), 0);
    assert.equal(samples.get('concord_store_lag_seconds{process="snapshotd-0"}'), 0);
    assert.equal(samples.get('concord_store_commit_seconds_count{process="snapshotd-0"}'), 0);
  });
});
