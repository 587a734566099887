/* Gateways beside the one that the launcher has started: on the same port, for the same rooms. */
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { childrenOf, kill } from './processes.mjs';
import { program } from './server.mjs';
import { once } from './wait.mjs';

/* What the launcher has passed to the gateway; later options win. */
const argumentsOf = (server, options) => {
  const { args } = server.processes().find(({ program: name }) => name === 'concord-gateway');
  return [...args.slice(1).filter((arg) => arg), ...options];
};

/* Collects what the process logs, and resolves when that holds `sign`. */
const logged = async (server, child, sign) => {
  let text = '';
  const listen = (chunk) => {
    text += chunk;
    appendFileSync(server.logFile, chunk);
  };
  child.stderr.setEncoding('utf8').on('data', listen);
  await once(child.stderr, 'data', () => text.includes(sign), sign);
};

const withEnd = (child) =>
  Object.assign(child, {
    ended: new Promise((done) => {
      child.on('exit', (code, signal) => done({ code, signal }));
    }),
  });

/* A gateway's process that is ready; `ended` is its exit. The server ends it at the latest. */
export const startGateway = async (server, options = []) => {
  const child = withEnd(
    spawn(program('gateway/concord-gateway'), argumentsOf(server, options), {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...server.env },
    }),
  );
  server.ends.push(() => kill(child.pid));
  await logged(server, child, 'ready on');
  return child;
};

/* As a service manager does it: a socket that listens for all gateways that come after each other,
 * passed on as descriptor 3. */
const MANAGER = 'while sh -c \'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"\' "$@"; do :; done';

/* { port, manager }: the manager starts the next gateway when one has ended in order. */
export const startManager = async (server, options = []) => {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  const args = [program('gateway/concord-gateway'), ...argumentsOf(server, options)];
  // eslint-disable-next-line no-underscore-dangle
  const stdio = ['ignore', 'ignore', 'pipe', listener._handle.fd];
  const env = { ...process.env, ...server.env };
  const manager = withEnd(spawn('sh', ['-c', MANAGER, 'sh', ...args], { stdio, env }));
  server.ends.push(() => {
    kill(manager.pid, 'SIGSTOP'); /* it would start the next */
    [...childrenOf(manager.pid), manager.pid].forEach((pid) => kill(pid));
  });
  listener.close(); /* the manager has it */
  await logged(server, manager, 'ready on');
  return { port, manager };
};

/* The launcher starts nothing again until it goes on. */
export const pauseLauncher = (server) => {
  kill(server.launcher.pid, 'SIGSTOP');
  server.ends.push(() => kill(server.launcher.pid, 'SIGCONT'));
};
