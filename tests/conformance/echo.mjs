/* An echo program of a suite's own: a real process on a free port. */
import { spawn } from 'node:child_process';
import { program } from '../lib/server.mjs';
import { once } from '../lib/wait.mjs';

/* Starts ws_echo with these options; it ends with the suite, and what it has to say to that, like a
 * leak, is an error. Resolves with its port. */
export const startEcho = async (t, options = []) => {
  const child = spawn(program('tests/ws_echo'), options, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise((done) => child.on('exit', (code, signal) => done(code ?? signal)));
  t.after(async () => {
    child.kill('SIGTERM');
    const status = await exited;
    if (status !== 0) throw new Error(`ws_echo ended with ${status}`);
  });
  child.stdout.setEncoding('utf8');
  const line = await once(child.stdout, 'data');
  return Number(/^port (\d+)\n$/.exec(line)[1]);
};
