/* The processes of one server, read from /proc. */
import { readFileSync, readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { turn } from './wait.mjs';

const read = (pid, file) => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return null; /* it has ended */
  }
};

/* { pid, parent, program, args } of a process that is alive, else null. */
const readProcess = (pid) => {
  const stat = read(pid, 'stat');
  if (!stat) return null;
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const args = (read(pid, 'cmdline') ?? '').split('\0');
  if (state === 'Z') return null;
  return { pid: Number(pid), parent: Number(parent), program: basename(args[0]), args };
};

export const isAlive = (pid) => readProcess(pid) !== null;

/* The processes that name `directory` in their arguments, which forked ones inherit; oldest first. */
export const processesOf = (directory) =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(readProcess)
    .filter((found) => found?.args.some((argument) => argument.includes(directory)))
    .sort((a, b) => a.pid - b.pid);

/* The processes that `parent` has started itself. */
export const childrenOf = (parent) =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(readProcess)
    .filter((found) => found?.parent === parent)
    .map(({ pid }) => pid);

/* Bytes of memory that a process has and, at most, had: { resident, peak }; null if it has ended. */
export const memoryOf = (pid) => {
  const status = read(pid, 'status');
  const field = (name) => new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] * 1024;
  return status && { resident: field('VmRSS'), peak: field('VmHWM') };
};

/* Resolves when none of `pids` is alive. */
export const gone = async (pids, deadlineMs = 20000) => {
  const end = Date.now() + deadlineMs;
  while (pids.some(isAlive)) {
    if (Date.now() > end) throw new Error(`still alive: ${pids.filter(isAlive).join(', ')}`);
    await turn();
  }
};

export const kill = (pid, signal = 'SIGKILL') => {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
};
