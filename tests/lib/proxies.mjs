/*
 * Proxies of a test's own, in front of a server: the examples of deploy/ with the test's addresses in
 * them. They end with the test.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gone, kill } from './processes.mjs';
import { freePort } from './server.mjs';
import { poll } from './wait.mjs';

const deploy = resolve(dirname(fileURLToPath(import.meta.url)), '../../deploy');

/* The example with each of `changes` ([what, by what]) made; every one must be there. */
const adapt = (name, changes) =>
  changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`deploy/${name} has no "${from}"`);
    return text.replaceAll(from, to);
  }, readFileSync(join(deploy, name), 'utf8'));

const isListening = (port) =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.on('error', () => done(false));
  });

const start = async (t, port, command, directory) => {
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output = (output + chunk).slice(-4000);
    });
  t.after(async () => {
    kill(child.pid, 'SIGTERM');
    await gone([child.pid]);
    rmSync(directory, { recursive: true, force: true });
  });
  await poll(() => {
    if (child.exitCode !== null) throw new Error(`${command[0]} has ended:\n${output}`);
    return isListening(port);
  }, `${command[0]} listens`);
};

/* Resolves with the port on which it serves `server`. */
export const startHaproxy = async (t, server) => {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'concord-haproxy-'));
  const file = join(directory, 'haproxy.cfg');
  writeFileSync(file, adapt('haproxy.cfg', [
    ['bind :443', `bind 127.0.0.1:${port}`],
    ['127.0.0.1:8080', `127.0.0.1:${server.port}`],
  ]));
  await start(t, port, ['haproxy', '-db', '-f', file], directory);
  return port;
};

/* The same; it speaks TLS with this certificate. */
export const startNginx = async (t, server, { cert, key }) => {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), 'concord-nginx-'));
  const file = join(directory, 'nginx.conf');
  const site = adapt('nginx.conf', [
    ['listen 443 ssl', `listen 127.0.0.1:${port} ssl`],
    ['127.0.0.1:8080', `127.0.0.1:${server.port}`],
    ['/etc/concord/tls.crt', cert],
    ['/etc/concord/tls.key', key],
  ]);
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${directory}/${name};`).join('\n');
  writeFileSync(file, `daemon off; worker_processes 1; pid ${directory}/pid;
${process.getuid() === 0 ? 'user root;' : ''}
error_log stderr;
events {}
http { access_log off;\n${places}\n${site}\n}\n`);
  await start(t, port, ['nginx', '-c', file, '-p', directory], directory);
  return port;
};
