/*
 * A PostgreSQL of a test's own: a cluster in a temporary directory, which goes away with the test. It
 * listens on a socket in there, where everybody is trusted, and on a free port, where a password is
 * asked for and TLS is spoken if it is wanted. Nothing of it is synced: it is never to survive more
 * than its own processes.
 */
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childrenOf, gone, kill } from './processes.mjs';
import { freePort } from './server.mjs';
import { DEADLINE_MS } from './wait.mjs';

const USER = 'concord';
/* As a password may be: each of these has a meaning in URLs, in SQL or in a shell. */
const PASSWORD = "s3cret/@:?#%'\"\\ $(x)";

const DEBIAN = '/usr/lib/postgresql';

const program = (name) => {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => b - a) : [];
  const found = versions.map((version) => join(DEBIAN, version, 'bin', name)).find(existsSync);
  return found ?? name;
};

/* PostgreSQL refuses to run as root. */
const owner = () => {
  if (process.getuid() !== 0) return {};
  const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
};

const ACCESS = ['local all all trust', 'host all all 127.0.0.1/32 scram-sha-256', ''].join('\n');

export class Postgres {
  constructor(directory, port) {
    this.directory = directory;
    this.data = join(directory, 'data');
    this.port = port;
    this.identity = owner();
    this.password = PASSWORD;
  }

  get user() {
    return USER;
  }

  /* Trusted, over the socket. */
  get url() {
    return `postgresql://${USER}@${encodeURIComponent(this.directory)}:${this.port}/postgres`;
  }

  /* With the password, over TCP. */
  get tcpUrl() {
    const password = encodeURIComponent(PASSWORD).replace(/'/g, '%27');
    return `postgresql://${USER}:${password}@127.0.0.1:${this.port}/postgres`;
  }

  get tlsUrl() {
    return `${this.tcpUrl}?sslmode=require`;
  }

  run(name, args, options = {}) {
    return execFileSync(program(name), args, { ...this.identity, cwd: '/', ...options });
  }

  create() {
    const passwordFile = join(this.directory, 'password');
    const { uid = process.getuid(), gid = process.getgid() } = this.identity;
    writeFileSync(passwordFile, PASSWORD);
    chownSync(this.directory, uid, gid);
    chownSync(passwordFile, uid, gid);
    const flags = ['--no-sync', '--no-instructions', '--encoding=UTF8', '--locale=C'];
    this.run('initdb', ['-D', this.data, '-U', USER, `--pwfile=${passwordFile}`, ...flags], {
      stdio: 'pipe',
    });
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
        .concat(['-days', '2', '-subj', '/CN=localhost', '-keyout', 'server.key'])
        .concat(['-out', 'server.crt']),
      { ...this.identity, cwd: this.data, stdio: 'pipe' },
    );
    writeFileSync(join(this.data, 'pg_hba.conf'), ACCESS);
  }

  /* Resolves when it accepts connections. */
  start() {
    const settings = {
      port: this.port,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: this.directory,
      ssl: 'on',
      fsync: 'off',
      full_page_writes: 'off',
      dynamic_shared_memory_type: 'mmap', /* in its directory: a kill leaves none behind */
      shared_buffers: '16MB',
      max_connections: 50,
      log_min_messages: 'log',
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = spawn(program('postgres'), ['-D', this.data, ...args], {
      ...this.identity,
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.process = child;
    this.log = '';
    return new Promise((done, failed) => {
      const timer = setTimeout(() => failed(new Error(`no PostgreSQL:\n${this.log}`)), DEADLINE_MS);
      child.stderr.setEncoding('utf8').on('data', (chunk) => {
        this.log = (this.log + chunk).slice(-20000);
        if (!this.log.includes('ready to accept connections')) return;
        clearTimeout(timer);
        done(this);
      });
      child.on('error', failed);
      child.on('exit', () => {
        clearTimeout(timer);
        failed(new Error(`PostgreSQL has ended:\n${this.log}`));
      });
    });
  }

  /* The server and the processes that it has started. */
  pids() {
    return [this.process.pid, ...childrenOf(this.process.pid)];
  }

  /* The next one starts only when the end of this one was heard of: until then its id is taken. */
  ended() {
    const { exitCode, signalCode } = this.process;
    const hasEnded = exitCode !== null || signalCode !== null;
    return hasEnded ? null : new Promise((done) => this.process.once('exit', done));
  }

  /* SIGKILL to all of them. */
  async kill() {
    const pids = this.pids();
    pids.forEach((pid) => kill(pid));
    await gone(pids);
    await this.ended();
  }

  signal(name) {
    this.pids().forEach((pid) => kill(pid, name));
  }

  /* At once, with whatever is connected; but it cleans up. */
  async stop() {
    const pids = this.pids();
    kill(this.process.pid, 'SIGQUIT');
    this.signal('SIGCONT');
    await gone(pids);
    await this.ended();
  }

  /* Runs SQL and returns its rows, columns separated by '|'. */
  sql(text) {
    const args = ['-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-d', this.url, '-c', text];
    return this.run('psql', args, { encoding: 'utf8', stdio: 'pipe' }).trim();
  }

  async finish() {
    if (this.process && this.process.exitCode === null && this.process.signalCode === null)
      await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/* A running server that ends with the test (or suite) `t`. */
export const startPostgres = async (t) => {
  const postgres = new Postgres(mkdtempSync(join(tmpdir(), 'concord-pg-')), await freePort());
  t.after(() => postgres.finish());
  postgres.create();
  return postgres.start();
};
