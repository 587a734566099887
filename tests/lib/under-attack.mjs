/* A server that is attacked while somebody works on it, and what that costs. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { joinBystander } from './bystander.mjs';
import { childrenOf, memoryOf } from './processes.mjs';

const ATTACKER = fileURLToPath(new URL('attacker.mjs', import.meta.url));

/* The process that attacks: message() resolves with the next that it sends, end() when it is gone. */
const startAttacker = (t, server, name, ms) => {
  const child = fork(ATTACKER, [name, String(server.port), String(ms)]);
  t.after(() => child.kill('SIGKILL'));
  const exited = new Promise((done) => child.once('exit', done));
  const message = () =>
    new Promise((done, failed) => {
      child.once('message', done);
      exited.then((status) => failed(new Error(`${name}: the attacker ended with ${status}`)));
    });
  const end = () => {
    child.disconnect();
    return exited;
  };
  return { message, end };
};

const DAEMONS = ['gateway', 'roomd', 'snapshotd'];

const memoryOfDaemons = (server) =>
  Object.fromEntries(DAEMONS.map((role) => [role, memoryOf(server.pid(role))]));

/*
 * Attacks for `ms`. Resolves when all attackers are gone: { figures, counts, growth, peak, rooms }.
 * `figures` are those of the bystander, who stays. In bytes: `growth` has by daemon what it holds
 * more than before, `peak` what it held more at any time, `rooms` the most that any room held.
 */
export const underAttack = async (t, server, name, ms) => {
  const bystander = await joinBystander(t, server);
  const before = memoryOfDaemons(server);
  const attacker = startAttacker(t, server, name, ms);
  await attacker.message(); /* that it begins */
  bystander.start();
  const counts = await attacker.message();
  const figures = await bystander.finish();
  const rooms = childrenOf(server.pid('roomd')).map((pid) => memoryOf(pid)?.peak ?? 0);
  await attacker.end();
  const after = memoryOfDaemons(server);
  const more = (field) =>
    Object.fromEntries(DAEMONS.map((role) => [role, after[role][field] - before[role].resident]));
  const growth = more('resident');
  return { figures, counts, growth, peak: more('peak'), rooms: Math.max(...rooms) };
};
