/*
 * Runs the test suites one after the other and adds their results up. The last line it prints is
 * `N passed, N failed`, with `, N skipped` if there are any. Its exit status is 0 only if nothing
 * failed, nothing crashed and every suite that was asked for has run at least one test.
 *
 * Arguments: names of suites; none means all.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const logs = join(root, 'build/test-logs');
const LIMIT_MS = 300000;
const SHOWN_BYTES = 12000;

const ASAN = {
  ASAN_OPTIONS: 'abort_on_error=1:detect_leaks=1',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
};
/* What the sanitizers see in a short time. A process that is killed leaves no report; those that go
 * on without it may. */
const ASAN_FILES = [
  'access', 'acks', 'doc', 'doctor', 'handover', 'hocuspocus', 'hocuspocus_documents',
  'hocuspocus_tokens', 'joins', 'json', 'lifecycle',
  'limits', 'metrics', 'ops', 'partykit', 'poison', 'proxies', 'refusals', 'supervision', 'tls', 'token', 'yjs',
  'ysweet', 'ywebsocket4',
];

/* Runs a command with its output in a log file. Resolves with { status, signal, output }. */
const execute = (name, command, { env = {}, cwd = root } = {}) => {
  const file = join(logs, `${name.replace(/[^\w.-]+/g, '_')}.log`);
  const log = openSync(file, 'w');
  const child = spawn(command[0], command.slice(1), {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  return new Promise((done) => {
    const end = (status, signal) => {
      clearTimeout(limit);
      done({ status, signal, output: withoutColors(readFileSync(file, 'utf8')), file });
    };
    child.on('error', (error) => end(error.message, null));
    child.on('close', end);
  });
};

const result = (passed, failed, skipped = 0) => ({ passed, failed, skipped });

const add = (a, b) =>
  result(a.passed + b.passed, a.failed + b.failed, a.skipped + b.skipped);

// eslint-disable-next-line no-control-regex
const withoutColors = (text) => text.replace(/\x1b\[[0-9;]*m/g, '');

/* ---- how each kind of program tells its result ---- */

/* A program that fails in no test of its own, or runs none, counts as one failure. */
const judge = (counted, { status }) => {
  const isEmpty = counted.passed + counted.failed + counted.skipped === 0;
  const isUnexplained = status !== 0 && counted.failed === 0;
  return isEmpty || isUnexplained ? add(counted, result(0, 1)) : counted;
};

/* Criterion's summary; a program without one is one test, by its exit status. */
const readCriterion = (run) => {
  const summary = /Tested: (\d+) \| Passing: (\d+) \|/;
  const match = summary.exec(run.output);
  if (!match) return run.status === 0 ? result(1, 0) : result(0, 1);
  const [tested, passing] = match.slice(1).map(Number);
  return judge(result(passing, tested - passing), run);
};

/* The summary of node:test. */
const readNodeTest = (run) => {
  const count = (what) =>
    Number(new RegExp(`^. ${what} (\\d+)$`, 'mu').exec(run.output)?.[1] ?? 0);
  return judge(result(count('pass'), count('fail') + count('cancelled'), count('skipped')), run);
};

const readStatus = ({ status }) => (status === 0 ? result(1, 0) : result(0, 1));

/* ---- what there is to run: { name, command, env, cwd, read } ---- */

const unitPrograms = async (build, env) => {
  const listing = await execute(`${build}-list`, ['meson', 'introspect', '--tests', build]);
  if (listing.status !== 0) throw new Error(listing.output);
  return JSON.parse(listing.output).map(({ name, cmd, env: own, workdir }) => ({
    name: `${build} ${name}`,
    command: cmd,
    env: { ...own, ...env },
    cwd: workdir ?? join(root, build), /* as `meson test` does */
    read: readCriterion,
  }));
};

const nodeTests = (folder, { only, env = {}, label = folder } = {}) => {
  const directory = join(root, 'tests', folder);
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((file) => file.endsWith('.test.mjs'))
    .filter((file) => !only || only.includes(basename(file, '.test.mjs')))
    .sort()
    .map((file) => ({
      name: `${label} ${basename(file, '.test.mjs')}`,
      command: [process.execPath, '--test-reporter=spec', join(directory, file)],
      env,
      read: readNodeTest,
    }));
};

const lintSteps = () => [
  { name: 'layout of the C sources', command: ['./dev', 'check-layout'], read: readStatus },
  { name: 'who includes whom', command: ['./dev', 'check-includes'], read: readStatus },
  { name: 'shell scripts', command: ['./dev', 'check-scripts'], read: readStatus },
];

/* `width`: how many programs of the suite run at once. */
const SUITES = {
  lint: { list: lintSteps },
  unit: { list: () => unitPrograms('build', {}), width: availableParallelism() },
  'unit-asan': { list: () => unitPrograms('build-asan', ASAN), width: availableParallelism() },
  differential: {
    list: () =>
      nodeTests('differential', {
        env: { CRDT_PEER: join(root, 'build/tests/crdt_peer/crdt_peer') },
      }),
    width: availableParallelism(),
  },
  conformance: {
    list: () => [
      ...nodeTests('conformance', { env: { CONCORD_BUILD: 'build' } }),
      ...nodeTests('conformance', {
        only: ['echo'],
        env: { CONCORD_BUILD: 'build-asan', ...ASAN },
        label: 'conformance-asan',
      }),
    ],
    width: availableParallelism(),
  },
  integration: {
    list: () => nodeTests('integration', { env: { CONCORD_BUILD: 'build' } }),
    width: availableParallelism(),
  },
  'integration-asan': {
    list: () =>
      nodeTests('integration', {
        only: ASAN_FILES,
        env: { CONCORD_BUILD: 'build-asan', ...ASAN },
        label: 'integration-asan',
      }),
    width: availableParallelism(),
  },
  torture: { list: () => nodeTests('torture', { env: { CONCORD_BUILD: 'build' } }) },
  browser: { list: () => nodeTests('browser', { env: { CONCORD_BUILD: 'build' } }) },
};

/* ---- running ---- */

const describeResult = ({ passed, failed, skipped }) =>
  [`${passed} passed`, `${failed} failed`, ...(skipped ? [`${skipped} skipped`] : [])].join(', ');

/* What explains a failure: the summary of the failing tests, or the end of the output. */
const shownOutput = (output) => {
  const failing = output.lastIndexOf('\n✖ failing tests:');
  const shown = failing < 0 ? output : output.slice(failing + 1);
  return shown.length > SHOWN_BYTES ? `…${shown.slice(-SHOWN_BYTES)}` : shown;
};

const report = (program, run, outcome, ms) => {
  const isBad = outcome.failed > 0;
  console.log(`  ${isBad ? 'FAIL' : 'ok  '} ${program.name}: ${describeResult(outcome)}, ${ms} ms`);
  if (!isBad) return;
  console.log(`       ended with ${run.signal ?? run.status}; ${run.file}`);
  console.log(shownOutput(run.output).replace(/^/gm, '       | '));
};

const runProgram = async (program) => {
  const start = Date.now();
  const run = await execute(program.name, program.command, program);
  const outcome = program.read(run);
  report(program, run, outcome, Date.now() - start);
  return outcome;
};

const runSuite = async (name, { list, width = 1 }) => {
  console.log(`${name}:`);
  const waiting = await list();
  let total = result(0, 0);
  const worker = async () => {
    while (waiting.length > 0) total = add(await runProgram(waiting.shift()), total);
  };
  await Promise.all(Array.from({ length: width }, worker));
  if (total.passed + total.failed === 0) {
    console.log('  FAIL no test has run');
    return add(total, result(0, 1));
  }
  return total;
};

const main = async (names) => {
  const unknown = names.filter((name) => !(name in SUITES));
  if (unknown.length > 0) {
    console.error(`no suite ${unknown.join(', ')}; there are: ${Object.keys(SUITES).join(', ')}`);
    return result(0, 1);
  }
  mkdirSync(logs, { recursive: true });
  let total = result(0, 0);
  for (const name of names.length > 0 ? names : Object.keys(SUITES)) {
    const outcome = await runSuite(name, SUITES[name]).catch((error) => {
      console.log(`  FAIL ${error.message}`);
      return result(0, 1);
    });
    total = add(total, outcome);
  }
  return total;
};

const total = await main(process.argv.slice(2));
console.log(describeResult(total));
process.exitCode = total.failed > 0 ? 1 : 0;
