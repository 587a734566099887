/*
 * A whole server, or two, on a real PostgreSQL: what is acknowledged is in it, whatever becomes of
 * it; and nothing that must not be known of it is.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { JsonClient } from '../lib/json-client.mjs';
import { startPostgres } from '../lib/postgres.mjs';
import { program, startServer } from '../lib/server.mjs';
import { once, poll } from '../lib/wait.mjs';
import { joinYjs } from '../lib/yjs-client.mjs';
import { Author, lostMarks, marksOf } from '../torture/author.mjs';

/* Folds as often as it can. */
const FOLDING = ['--snapshot-updates', '5', '--snapshot-ms', '100'];

const serverOn = (t, url, options = []) =>
  startServer(t, {
    options,
    prepare: (server) => {
      server.env = { DATABASE_URL: url };
    },
  });

const authorsOf = (server, rooms, name = 'a') => rooms.map((room) => new Author(server, room, name));

const ackedBy = (authors, count) =>
  poll(
    () => authors.every(({ acked }) => acked.length >= count),
    `${count} acknowledged edits of each`,
  );

/* Until every author was acknowledged another `count` edits. */
const moreAckedBy = (authors, count) => {
  const goals = authors.map(({ acked }) => acked.length + count);
  return poll(() => authors.every(({ acked }, i) => acked.length >= goals[i]), 'more is acknowledged');
};

const stopAll = (authors) => Promise.all(authors.map((author) => author.stop()));

const logHas = (server, text) =>
  poll(() => readFileSync(server.logFile, 'utf8').includes(text), `'${text}' in the log`);

/* From the store alone. */
const assertStored = async (server, authors) => {
  await server.killAll();
  server.wipeRun();
  await server.start();
  assert.deepEqual(await lostMarks(server, authors), [], 'in the store');
};

describe('a server on PostgreSQL', () => {
  test('what is acknowledged is in its tables', async (t) => {
    const postgres = await startPostgres(t);
    const server = await serverOn(t, postgres.url);
    const authors = authorsOf(server, ['one', 'two']);
    await ackedBy(authors, 20);
    await stopAll(authors);
    const [rooms, rows] = postgres
      .sql('SELECT count(*), sum(op_seq) FROM rooms')
      .split('|')
      .map(Number);
    assert.equal(rooms, 2);
    assert.ok(rows >= authors.reduce((sum, { acked }) => sum + acked.length, 0));
    await assertStored(server, authors);
    await server.stop();
    /* The end of a room folds it. */
    assert.equal(postgres.sql('SELECT count(*) FROM updates'), '0');
    assert.equal(postgres.sql('SELECT count(*) FROM snapshots'), '2');
  });

  test('PostgreSQL is killed under load, and again', async (t) => {
    const postgres = await startPostgres(t);
    const server = await serverOn(t, postgres.tlsUrl, FOLDING);
    const authors = authorsOf(server, ['one', 'two', 'three', 'four']);
    for (let round = 0; round < 3; round += 1) {
      await moreAckedBy(authors, 10);
      await postgres.kill();
      await logHas(server, 'the store failed');
      await postgres.start();
    }
    await moreAckedBy(authors, 10);
    await stopAll(authors);
    assert.ok(authors.every(({ losses }) => losses === 0), 'no client has noticed');
    assert.deepEqual(await lostMarks(server, authors), []);
    await assertStored(server, authors);
  });

  test('PostgreSQL hangs', async (t) => {
    const postgres = await startPostgres(t);
    const server = await serverOn(t, postgres.url, FOLDING);
    const authors = authorsOf(server, ['one', 'two']);
    await ackedBy(authors, 10);
    postgres.signal('SIGSTOP');
    await logHas(server, 'does not answer');
    postgres.signal('SIGCONT');
    await moreAckedBy(authors, 10);
    await stopAll(authors);
    await assertStored(server, authors);
  });

  test('PostgreSQL comes later than the server', async (t) => {
    const postgres = await startPostgres(t);
    await postgres.kill();
    const starting = serverOn(t, postgres.url);
    await postgres.start();
    const server = await starting;
    const authors = authorsOf(server, ['one']);
    await ackedBy(authors, 5);
    await stopAll(authors);
    assert.deepEqual(await lostMarks(server, authors), []);
  });
});

describe('two servers on one PostgreSQL', () => {
  test('write and fold one room: the document is the union', async (t) => {
    const postgres = await startPostgres(t);
    const servers = await Promise.all([
      serverOn(t, postgres.url, FOLDING),
      serverOn(t, postgres.url, FOLDING),
    ]);
    const authors = servers.flatMap((server, i) => authorsOf(server, ['shared', 'other'], `s${i}`));
    await ackedBy(authors, 150);
    /* One of them loses its process of the store in the middle of it. */
    process.kill(servers[0].pid('snapshotd'), 'SIGKILL');
    await moreAckedBy(authors, 100);
    await stopAll(authors);
    assert.ok(Number(postgres.sql('SELECT min(op_seq) FROM snapshots')) > 0, 'rooms were folded');

    await servers[0].killAll();
    await servers[1].killAll();
    servers[0].wipeRun();
    servers[1].wipeRun();
    await servers[1].start();
    for (const room of ['shared', 'other']) {
      const found = await marksOf(servers[1], room);
      const wanted = authors.filter((author) => author.room === room).flatMap(({ acked }) => acked);
      assert.ok(wanted.length >= 500);
      assert.deepEqual(wanted.filter((mark) => !found.has(mark)), []);
    }
  });

  test('a room that is opened later has what the other server stored', async (t) => {
    const postgres = await startPostgres(t);
    const first = await serverOn(t, postgres.url);
    const second = await serverOn(t, postgres.url);
    const [author] = authorsOf(first, ['shared']);
    await ackedBy([author], 20);
    await author.stop();
    const found = await marksOf(second, 'shared');
    assert.deepEqual(author.acked.filter((mark) => !found.has(mark)), []);
  });
});

/* The refusal of a join over JSON: { code } of the error and of the close. */
const refusedJoin = async (t, server, room) => {
  const client = new JsonClient(server.ws(`/rooms/${room}/ws`));
  t.after(() => client.socket.terminate());
  await once(client, 'close', () => true, 'the refusal');
  assert.deepEqual(client.type('sync'), [], 'no document, and least of all an empty one');
  return { code: client.type('error')[0]?.code, close: client.closed.code };
};

/* Everything that the tables hold of documents. */
const contents = (postgres) =>
  postgres.sql('SELECT room_id, op_seq, md5(payload) FROM updates ORDER BY 1, 2') +
  postgres.sql('SELECT room_id, op_seq, md5(state) FROM snapshots ORDER BY 1');

describe('a room that cannot be loaded', () => {
  const stored = async (t, room) => {
    const postgres = await startPostgres(t);
    const server = await serverOn(t, postgres.url, ['--room-idle-ms', '50']);
    const [author] = authorsOf(server, [room]);
    await ackedBy([author], 10);
    await author.stop();
    await poll(async () => (await server.rooms()).length === 0, 'the room is closed');
    return { postgres, server, author };
  };

  test('because PostgreSQL is down: try again later', async (t) => {
    const { postgres, server, author } = await stored(t, 'r');
    const before = contents(postgres);
    await postgres.kill();
    await logHas(server, 'the store failed');
    assert.deepEqual(await refusedJoin(t, server, 'r'), { code: 'load_failed', close: 1013 });
    assert.deepEqual(await refusedJoin(t, server, 'new'), { code: 'load_failed', close: 1013 });
    await postgres.start();
    assert.deepEqual(await lostMarks(server, [author]), []);
    await poll(async () => (await server.rooms()).length === 0, 'the room is closed again');
    assert.equal(contents(postgres), before, 'nothing was written');
  });

  for (const [what, sql] of [
    ['what is no update', "UPDATE snapshots SET state = '\\xffffffff'"],
    ['nothing where something was', 'ALTER TABLE snapshots ALTER state DROP NOT NULL;' +
      'UPDATE snapshots SET state = NULL'],
    ['text', 'ALTER TABLE snapshots ALTER state TYPE text USING md5(state)'],
  ]) {
    test(`because PostgreSQL holds ${what}`, async (t) => {
      const { postgres, server } = await stored(t, 'r');
      postgres.sql(sql);
      await poll(async () => (await refusedJoin(t, server, 'r')).code === 'load_failed', 'refused');
      const [author] = authorsOf(server, ['another']);
      await ackedBy([author], 5);
      await author.stop();
      assert.equal(postgres.sql('SELECT op_seq FROM rooms WHERE name = \'r\'') > 0, true);
    });
  }
});

/* What anybody may read of a process: its arguments; and its environment, which its user may. */
const visible = (pid, file) => readFileSync(`/proc/${pid}/${file}`, 'latin1');

/* Starts `concord` and waits for its end: { status, output }. */
const failedStart = async (args, env) => {
  const child = spawn(program('ctl/concord'), args, { env: { ...process.env, ...env } });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk) => {
      output += chunk;
    });
  const status = await new Promise((done) => {
    child.on('close', done);
  });
  return { status, output };
};

describe('the password', () => {
  const pieces = ['s3cret', 's3cret%2F'];

  test('is known to snapshotd alone', async (t) => {
    const postgres = await startPostgres(t);
    const server = await serverOn(t, postgres.tcpUrl, ['--log-level', 'debug']);
    await joinYjs(t, server, 'r');
    const { pid: room } = await server.room('r');
    const others = ['gateway', 'roomd'].map((role) => server.pid(role)).concat(room);
    for (const { pid } of server.processes())
      for (const piece of pieces) assert.ok(!visible(pid, 'cmdline').includes(piece));
    for (const pid of others)
      for (const piece of ['DATABASE_URL', ...pieces])
        assert.ok(!visible(pid, 'environ').includes(piece));
    await postgres.stop();
    await logHas(server, 'the store failed');
    const log = readFileSync(server.logFile, 'utf8');
    for (const piece of pieces) assert.ok(!log.includes(piece), 'the log');
  });

  test('may be in the configuration file, and not on the command line', async (t) => {
    const postgres = await startPostgres(t);
    const server = await startServer(t, {
      prepare: (it) => {
        const file = join(postgres.directory, 'concord.ini');
        writeFileSync(file, `store = ${postgres.tcpUrl}\n`);
        it.options = ['--config', file];
      },
    });
    const authors = authorsOf(server, ['r']);
    await ackedBy(authors, 5);
    await stopAll(authors);
    assert.equal(postgres.sql('SELECT name FROM rooms'), 'r');
    await server.stop();
    const { status, output } = await failedStart([...server.settings, '--store', postgres.tcpUrl]);
    assert.equal(status, 2);
    assert.match(output, /command line/);
    for (const piece of pieces) assert.ok(!output.includes(piece), output);
  });

  test('is not told when the setting is wrong', async (t) => {
    const postgres = await startPostgres(t);
    const server = await serverOn(t, postgres.url);
    await server.stop();
    for (const url of [
      postgres.tcpUrl.replace('%2F', '/'),
      postgres.tcpUrl.replace('%40', '@'),
      postgres.tcpUrl.replace('%25', '%'),
      postgres.tcpUrl.replace('postgresql', 'mysql'),
    ]) {
      const { status, output } = await failedStart(server.settings, { DATABASE_URL: url });
      assert.equal(status, 1);
      assert.match(output, /the setting of the store cannot be used/);
      assert.ok(!output.includes('s3cret'), output);
    }
  });
});
