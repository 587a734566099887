/* /metrics: the figures of all processes, as Prometheus reads them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { scrape } from '../lib/metrics.mjs';
import { startServer } from '../lib/server.mjs';

describe('/metrics', () => {
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
