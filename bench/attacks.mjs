/*
 * What hostile clients cost the others: each attack of tests/lib/attacks.mjs runs for some seconds
 * against a server of its own, while two clients in a room of their own write on. Prints figures
 * and judges none.
 *
 *     ./dev bench attacks [--seconds 5] [--only NAME] [--gateways 1]
 */
import { parseArgs } from 'node:util';
import { ATTACKS } from '../tests/lib/attacks.mjs';
import { ASKED_MS } from '../tests/lib/bystander.mjs';
import { startServer } from '../tests/lib/server.mjs';
import { underAttack } from '../tests/lib/under-attack.mjs';
import { machine } from './lib/server.mjs';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    only: { type: 'string', default: '' }, // part of the names of attacks
    gateways: { type: 'string', default: '1' },
  },
});

/* Calls `measure(t)`, where `t` takes what ends with it, last in first out. */
const inScope = async (measure) => {
  const ends = [];
  try {
    return await measure({ after: (end) => ends.push(end) });
  } finally {
    for (const end of ends.reverse()) await end();
  }
};

const told = ({ p50, p99, max }) =>
  [p50, p99, max].map((ms) => ms.toFixed(1).padStart(8)).join('');
const mib = (bytes) => (bytes / (1 << 20)).toFixed(0).padStart(6);

const print = (name, { figures, counts, growth, rooms }) => {
  const memory = [growth.gateway, growth.roomd, growth.snapshotd, rooms].map(mib).join('');
  console.log(`${name.padEnd(36)}${told(figures.arrival)} ${told(figures.ack)} ${memory}`);
  console.log(`    ${JSON.stringify(counts)}`);
};

console.log(`${values.seconds} s each, ${machine()}; asked: p99 of the arrival <= ${ASKED_MS} ms`);
const heading = ['arrival: p50, p99, max', 'ack: p50, p99, max'].map((text) => text.padStart(24));
console.log(`${' '.repeat(36)}${heading.join(' ')}  MiB more: gateway, roomd, snapshotd; a room's`);
for (const [name, { options = [] }] of Object.entries(ATTACKS)) {
  if (!name.includes(values.only)) continue;
  const all = ['--gateways', values.gateways, '--room-idle-ms', '100', ...options];
  const ms = Number(values.seconds) * 1000;
  print(name, await inScope(async (t) =>
    underAttack(t, await startServer(t, { options: all }), name, ms)));
}
