/*
 * A Concord server of a test's own: real processes, started through the launcher on a free port,
 * with data, run directory and log below a temporary directory that goes away with the test.
 */
import { execFile, spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gone, kill, processesOf } from './processes.mjs';
import { DEADLINE_MS } from './wait.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const build = resolve(root, process.env.CONCORD_BUILD ?? 'build');
const run = promisify(execFile);

/* The path of a built program: `ctl/concordctl`. */
export const program = (name) => join(build, name);

/* Are the programs built with sanitizers? Then memory is not bounded and nothing can be preloaded. */
export const isSanitized = () => (process.env.ASAN_OPTIONS ?? '').includes('detect_leaks');

const SANITIZER = /ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:/;

export const freePort = () =>
  new Promise((done, failed) => {
    const probe = createServer();
    probe.on('error', failed);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });

export class Server {
  constructor(directory, port, options) {
    this.directory = directory;
    this.data = join(directory, 'data');
    this.run = join(directory, 'run');
    this.logFile = join(directory, 'log');
    this.port = port;
    this.options = options;
    this.output = '';
    this.launcher = null;
    this.env = {}; /* more for the environment of the processes */
    this.ends = []; /* what else ends before it */
    this.isSecure = false; /* clients speak TLS */
    this.programs = 'ctl'; /* the folder of `concord` and `concordctl`, below that of the build */
  }

  get settings() {
    return ['--port', String(this.port), '--data', this.data, '--run', this.run];
  }

  http(path = '/') {
    return `http${this.isSecure ? 's' : ''}://127.0.0.1:${this.port}${path}`;
  }

  ws(path = '') {
    return `ws${this.isSecure ? 's' : ''}://127.0.0.1:${this.port}${path}`;
  }

  /* Starts the processes and resolves when the launcher has printed its `ready` line. */
  start() {
    const web = join(root, 'web/dist');
    const args = [...this.settings, '--web', web, '--gateways', '1', '--drain-ms', '0', ...this.options];
    this.output = '';
    const stdio = ['ignore', 'pipe', 'pipe'];
    const env = { ...process.env, DATABASE_URL: '', ...this.env };
    const child = spawn(program(`${this.programs}/concord`), args, { stdio, env });
    this.launcher = child;
    this.exited = new Promise((done) => {
      child.on('exit', (code, signal) => done({ code, signal }));
      child.on('error', () => done({ code: null, signal: null }));
    });
    return new Promise((done, failed) => {
      const fail = (why) => failed(new Error(`concord ${why}\n${this.output}`));
      const timer = setTimeout(() => fail('is not ready in time'), DEADLINE_MS);
      const listen = (chunk) => {
        this.output += chunk;
        appendFileSync(this.logFile, chunk);
        if (!/^ready\b/m.test(this.output)) return;
        clearTimeout(timer);
        done(this);
      };
      child.stdout.setEncoding('utf8').on('data', listen);
      child.stderr.setEncoding('utf8').on('data', listen);
      child.on('error', (error) => fail(`did not start: ${error.message}`));
      child.on('exit', (code, signal) => {
        clearTimeout(timer);
        fail(`ended with ${code ?? signal}`);
      });
    });
  }

  /* Every process of this server: { pid, parent, program }, oldest first. */
  processes() {
    return processesOf(this.directory);
  }

  /* The process that the launcher has started for a role: gateway, roomd or snapshotd. */
  pid(role) {
    const found = this.processes().find(
      ({ parent, program }) => parent === this.launcher.pid && program === `concord-${role}`,
    );
    if (!found) throw new Error(`no process of ${role}`);
    return found.pid;
  }

  /* SIGKILL to every process; again for what one of them has started meanwhile. They are stopped
   * first, so that none does anything about the end of another. */
  async killAll() {
    for (let left = this.processes(); left.length > 0; left = this.processes()) {
      const pids = left.map(({ pid }) => pid);
      pids.forEach((pid) => kill(pid, 'SIGSTOP'));
      pids.forEach((pid) => kill(pid));
      await gone(pids);
    }
    await this.exited;
  }

  /* SIGTERM to the launcher; resolves with its exit when all processes are gone. */
  async stop() {
    const pids = this.processes().map(({ pid }) => pid);
    kill(this.launcher.pid, 'SIGTERM');
    await gone(pids);
    return this.exited;
  }

  /* Ends what is left; what a sanitizer had to say is an error. */
  async finish() {
    this.ends.forEach((end) => end());
    const { pid, exitCode, signalCode } = this.launcher;
    const isRunning = pid !== undefined && exitCode === null && signalCode === null;
    try {
      if (isRunning) await this.stop();
    } finally {
      await this.killAll();
    }
    const log = existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
    const at = log.search(SANITIZER);
    if (at >= 0) throw new Error(`a sanitizer reports:\n${log.slice(at, at + 4000)}`);
  }

  wipeRun() {
    rmSync(this.run, { recursive: true, force: true });
  }

  async ctl(...args) {
    const command = program(`${this.programs}/concordctl`);
    const env = { ...process.env, DATABASE_URL: '', ...this.env };
    const { stdout } = await run(command, [...this.settings, ...args], { env });
    return stdout;
  }

  async rooms() {
    return JSON.parse(await this.ctl('rooms', '--json'));
  }

  /* The line of `concordctl rooms` about one room, or undefined. */
  async room(name) {
    return (await this.rooms()).find(({ room }) => room === name);
  }
}

/* A running server that ends with the test (or suite) `t`. `options` are passed on to `concord`, which
 * is taken from the folder `programs` of the build; `prepare(server)` is called before it starts. */
export const startServer = async (
  t, { options = [], programs = 'ctl', prepare = () => {} } = {},
) => {
  const directory = mkdtempSync(join(tmpdir(), 'concord-'));
  const server = new Server(directory, await freePort(), options);
  server.programs = programs;
  prepare(server);
  t.after(async () => {
    try {
      await server.finish();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
  return server.start();
};
