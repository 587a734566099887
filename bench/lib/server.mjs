/* A server of a benchmark's own: real processes, started through the launcher on a free port. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const build = resolve(root, process.env.CONCORD_BUILD ?? 'build');

export const machine = () => `${cpus().length} cores, ${cpus()[0].model}`;

/* Where the segments are: in memory, as without --run. */
export const runOf = (directory) =>
  existsSync('/dev/shm') ? join('/dev/shm', basename(directory)) : join(directory, 'run');

/* Calls `measure(directory)` with a temporary directory that goes away afterwards. */
export const inDirectory = async (measure) => {
  const directory = mkdtempSync(join(tmpdir(), 'concord-bench-'));
  try {
    return await measure(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
    rmSync(runOf(directory), { recursive: true, force: true });
  }
};

/* { launcher, address, port, run } of a server whose files are in `directory`. */
export const startServer = (directory, options = []) =>
  new Promise((done, failed) => {
    const run = runOf(directory);
    const args = ['--port', '0', '--data', join(directory, 'data'), '--run', run];
    const launcher = spawn(join(build, 'ctl/concord'), [...args, '--log-level', 'warn', ...options], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    launcher.on('error', failed);
    launcher.on('exit', (code) => failed(new Error(`concord ended with ${code}`)));
    launcher.stdout.setEncoding('utf8').on('data', (chunk) => {
      output += chunk;
      const ready = /^ready http:\/\/(\S+)$/m.exec(output);
      if (!ready) return;
      const address = ready[1];
      done({ launcher, address, port: address.split(':').pop(), run });
    });
  });

export const stopServer = ({ launcher }) =>
  new Promise((done) => {
    launcher.removeAllListeners('exit').on('exit', done);
    launcher.kill('SIGTERM');
  });

export const withServer = async (directory, options, measure) => {
  const server = await startServer(directory, options);
  try {
    return await measure(server);
  } finally {
    await stopServer(server);
  }
};

/* ---- its processes ---- */

const childrenOf = (pid) => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  } catch {
    return [];
  }
};

export const programOf = (pid) =>
  basename(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0]).replace('concord-', '');

/* The processes of a role: gateway, roomd or snapshotd. */
export const pidsOf = ({ launcher }, role) =>
  childrenOf(launcher.pid).filter((pid) => programOf(pid) === role);
export const pidOf = (server, role) => pidsOf(server, role)[0];

/* The processes of the open rooms. */
export const roomPids = (server) => childrenOf(pidOf(server, 'roomd'));

/* Bytes of memory that a process alone has, and its share of what it has with others. */
export const memoryOf = (pid) => {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)[1]) * 1024;
};

/* Seconds of processor time that a process has used. */
export const cpuOf = (pid) => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
};

/* The segments of the open rooms. */
export const segments = ({ run }) =>
  readdirSync(join(run, 'rooms')).map((name) => join(run, 'rooms', name));
