/*
 * `concordctl doctor` on what real servers leave: healthy ones, damaged segments, a poisoned room,
 * a poisoned store. The programs of tests/planted crash on an update that holds `planted-crash`.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { joinJson } from '../lib/json-client.mjs';
import { startPostgres } from '../lib/postgres.mjs';
import { quarantined } from '../lib/quarantine.mjs';
import { program, startServer } from '../lib/server.mjs';
import { once } from '../lib/wait.mjs';
import { joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const POISON = 'planted-crash';
/* Nothing is folded while a test looks. */
const NO_FOLDS = ['--snapshot-updates', '100000', '--snapshot-ms', '86400000'];

/* Runs `concordctl doctor …` on a server: { status, out }. */
const doctor = (server, ...args) => {
  const { status, signal, stdout, stderr } = spawnSync(
    program(`${server.programs}/concordctl`),
    ['doctor', ...server.settings, ...args],
    { timeout: 60000, env: { ...process.env, DATABASE_URL: '', ...server.env } },
  );
  assert.equal(signal, null);
  return { status, out: stdout.toString(), err: stderr.toString() };
};

const assertFinds = (server, args, ...patterns) => {
  const { status, out, err } = doctor(server, ...args);
  assert.equal(status, 1, out + err);
  patterns.forEach((pattern) => assert.match(out, pattern));
  return out;
};

const assertHealthy = (server, ...args) => {
  const { status, out, err } = doctor(server, ...args);
  assert.equal(status, 0, out + err);
  return out;
};

const assertRefuses = (server, args, pattern) => {
  const { status, err } = doctor(server, ...args);
  assert.equal(status, 2, err);
  assert.match(err, pattern);
};

/* Sets a key of the root map `m`, with a client of its own, so that it depends on no other. */
const setKey = async (t, server, room, key, value = key) => {
  const client = await joinJson(t, server, room);
  const doc = client.bind(Y, new Y.Doc());
  doc.getMap('m').set(key, value);
  await client.ackOf(client.seq);
  client.close();
};

const setKeys = async (t, server, room, keys) => {
  for (const key of keys) await setKey(t, server, room, key);
};

/* Until the client was told, too: before that its gateway sends the edit again. */
const poison = async (t, server, room) => {
  const client = await joinJson(t, server, room);
  const closed = once(client, 'close');
  client.bind(Y, new Y.Doc()).getText('body').insert(0, POISON);
  await closed;
  await quarantined(server, room);
};

/* What `concordctl doctor --export` writes. */
const exported = (server, room, wanted, ...settings) => {
  const path = join(server.directory, 'exported.v1');
  rmSync(path, { force: true });
  const { status, err } = doctor(server, room, '--export', path, ...settings);
  assert.equal(status, wanted, err);
  const doc = new Y.Doc();
  Y.applyUpdate(doc, readFileSync(path));
  return doc;
};

const roomFiles = (server) => join(server.run, 'rooms');

const segmentOf = (server) => {
  const name = readdirSync(roomFiles(server)).find((file) => /^[0-9a-f]{32}$/.test(file));
  return join(roomFiles(server), name);
};

const kept = (server, pattern) =>
  readdirSync(roomFiles(server)).filter((name) => pattern.test(name)).length;

/* Changes the byte behind the first occurrence of `text`. */
const damageBehind = (path, text) => {
  const at = readFileSync(path).indexOf(text) + text.length;
  const fd = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  byte[0] ^= 1;
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
};

const crc32c = (bytes) => {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
};

/* As if the machine had lost its power: another boot id, under the same checksum. */
const makeOfOtherBoot = (path) => {
  const segment = readFileSync(path);
  segment[16] ^= 1;
  segment.writeUInt32LE(crc32c(segment.subarray(8, 588)), 588);
  writeFileSync(path, segment);
};

const KEYS = ['first', 'second', 'third', 'fourth', 'fifth'];
const keysOf = (doc) => Object.keys(doc.getMap('m').toJSON()).sort();
const without = (key) => KEYS.filter((k) => k !== key).sort();

describe('a server without faults', () => {
  test('is healthy while it runs, after SIGKILL and after its end', async (t) => {
    const server = await startServer(t);
    await setKeys(t, server, 'one', KEYS);
    const writer = await joinJson(t, server, 'two');
    const doc = writer.bind(Y, new Y.Doc());
    for (let round = 0; round < 5; round += 1) {
      doc.getText('body').insert(0, `${round}`);
      assert.match(assertHealthy(server), /2 open rooms, \d stored rooms; 0 with findings/);
      assert.match(assertHealthy(server, 'one'), /healthy/);
    }
    await writer.ackOf(writer.seq);
    assert.deepEqual(writer.type('error'), []);
    assert.deepEqual(keysOf(exported(server, 'one', 0)), [...KEYS].sort());
    assertRefuses(server, ['one', '--drop-record', '2'], /a room runs on it/);
    assertRefuses(server, ['one', '--release'], /not in quarantine/);
    assertRefuses(server, ['nobody'], /no such room/);
    assertRefuses(server, ['one', '--drop-record', 'two'], /a number is wanted/);
    await server.killAll();
    assert.match(assertHealthy(server), /2 open rooms, 2 stored rooms; 0 with findings/);
    assertRefuses(server, ['one', '--drop-record', '77'], /none of this number/);
    assert.equal(kept(server, /quarantined/), 0, 'what failed leaves no mark');
    await server.start();
    await server.stop();
    assert.match(assertHealthy(server), /0 open rooms, 2 stored rooms; 0 with findings/);
    assert.match(assertHealthy(server, 'two'), /none: the room is not open/);
  });

  test('is healthy after a power loss, whatever became of its segments', async (t) => {
    const server = await startServer(t, { options: NO_FOLDS });
    await setKeys(t, server, 'old', KEYS);
    await server.killAll();
    makeOfOtherBoot(segmentOf(server));
    assert.match(assertHealthy(server, 'old'), /before the machine started: .* 5 whole records/);
    damageBehind(segmentOf(server), 'third');
    assert.match(assertHealthy(server, 'old'), /2 whole records up to 2, .* lost with the machine/);
    damageBehind(segmentOf(server), 'old');
    assert.match(assertHealthy(server, 'old'), /not whole: it holds nothing/);
    assert.match(assertHealthy(server), /1 open rooms, 1 stored rooms; 0 with findings/);
    await server.start();
    const reader = await joinYjs(t, server, 'old');
    assert.deepEqual(keysOf(reader.doc), [...KEYS].sort());
  });

  test('a store that lost what was stored is found', async (t) => {
    const server = await startServer(t);
    const { data: other } = await startServer(t);
    await setKeys(t, server, 'kept', KEYS);
    const lost = /^kept: the store has lost what was stored: .* number 0,/m;
    assertFinds(server, ['--data', other], lost);
    assertRefuses(server, ['--data', join(server.directory, 'no')], /nothing is stored there/);
  });
});

describe('a segment with a damaged record', () => {
  const damaged = async (t) => {
    const server = await startServer(t, { options: NO_FOLDS });
    await setKeys(t, server, 'sick', KEYS);
    await server.killAll();
    damageBehind(segmentOf(server), 'third');
    return server;
  };
  /* Another store: what the segment alone holds. */
  const alone = (server) => ['--data', join(server.directory, 'elsewhere')];

  test('is named, exported without it, and mended', async (t) => {
    const server = await damaged(t);
    const damage = /record 3 at byte \d+ is damaged: numbers 3 to 3 are missing$/m;
    assertFinds(server, [], /^sick: /m, damage);
    assertFinds(server, ['sick'], damage, /1 damaged places/);
    assert.deepEqual(keysOf(exported(server, 'sick', 1, ...alone(server))), without('third'));
    assertRefuses(server, ['sick', '--drop-record', '9'], /none of this number/);
    assertRefuses(server, ['sick', '--drop-record', '3', ...alone(server)], /store cannot be read/);

    const out = assertHealthy(server, 'sick', '--drop-record', '3');
    assert.match(out, /cut out \d+ damaged bytes/);
    assert.match(out, /released/);
    assert.equal(kept(server, /\.before-repair\.1$/), 1);
    assertHealthy(server);
    await server.start();
    const reader = await joinYjs(t, server, 'sick');
    assert.deepEqual(keysOf(reader.doc), [...KEYS].sort(), 'the store had it');
    await setKey(t, server, 'sick', 'sixth');
    await server.stop();
    assertHealthy(server);
  });

  test('puts the room into quarantine, until it is mended', async (t) => {
    const server = await damaged(t);
    await server.start();
    await quarantined(server, 'sick');
    await setKey(t, server, 'other', 'is fine');
    assertFinds(server, ['sick'], /in quarantine \(damage\)/, /record 3 at byte \d+ is damaged/);
    assertHealthy(server, 'sick', '--drop-record', '3');
    assert.equal((await server.room('sick'))?.state === 'quarantined', false);
    const reader = await joinYjs(t, server, 'sick');
    assert.deepEqual(keysOf(reader.doc), [...KEYS].sort());
  });

  test('as the last one, too: its number is not given again', async (t) => {
    const server = await startServer(t, { options: NO_FOLDS });
    await setKeys(t, server, 'tail', KEYS);
    await server.killAll();
    damageBehind(segmentOf(server), 'fifth');
    assertFinds(server, ['tail'], /record 5 at byte \d+ is damaged, and no whole one follows/);
    assert.match(assertHealthy(server, 'tail', '--drop-record', '5'), /5 whole records up to 5/);
    await server.start();
    await setKey(t, server, 'tail', 'sixth');
    const reader = await joinYjs(t, server, 'tail');
    assert.deepEqual(keysOf(reader.doc), [...KEYS, 'sixth'].sort());
    await server.stop();
    assertHealthy(server);
  });

  test('stays as it is if it cannot be mended', async (t) => {
    const server = await damaged(t);
    const path = segmentOf(server);
    const before = readFileSync(path);
    mkdirSync(`${path}.repair`);
    assertRefuses(server, ['sick', '--drop-record', '3'], /Is a directory/);
    assert.ok(readFileSync(path).equals(before));
    assert.equal(kept(server, /quarantined|before-repair/), 0);
  });

  test('or with a damaged checkpoint gets what it held from the store', async (t) => {
    const server = await startServer(t, { options: NO_FOLDS });
    await setKeys(t, server, 'sick', KEYS.slice(0, 3));
    await server.stop();
    await server.start();
    await setKeys(t, server, 'sick', KEYS.slice(3));
    await server.killAll();
    damageBehind(segmentOf(server), 'second');
    assertFinds(server, [], /^sick: the checkpoint \(up to number 3, \d+ bytes\) is damaged$/m);
    assertRefuses(server, ['sick', '--drop-record', '4'], /what all else depends on is bad/);
    const alone = exported(server, 'sick', 1, '--data', join(server.directory, 'elsewhere'));
    assert.deepEqual(keysOf(alone), KEYS.slice(3).sort());
    assertHealthy(server, 'sick', '--drop-record', 'checkpoint');
    await server.start();
    const reader = await joinYjs(t, server, 'sick');
    assert.deepEqual(keysOf(reader.doc), [...KEYS].sort());
  });

  test('what is built on it waits', async (t) => {
    const server = await startServer(t, { options: NO_FOLDS });
    const client = await joinJson(t, server, 'chain');
    const doc = client.bind(Y, new Y.Doc());
    for (const word of ['alpha ', 'beta ', 'gamma ']) {
      doc.getText('body').insert(doc.getText('body').length, word);
      await client.ackOf(client.seq);
    }
    await server.killAll();
    server.data = join(server.directory, 'elsewhere');
    const { out } = doctor(server, 'chain', '--drop-record', '2');
    assert.match(out, /dropped the record/);
    assert.match(out, /3 whole records up to 3/, 'numbers stay as they were');
    assert.match(out, /^pending {3}\d+ bytes wait/m);
    assert.equal(kept(server, /\.dropped-record-2\.v1$/), 1);
    assert.equal(exported(server, 'chain', 0).getText('body').toString(), 'alpha ');
  });
});

describe('a room that is poisoned', () => {
  test('is put into quarantine, its killer named and dropped, and works again', async (t) => {
    const server = await startServer(t, { programs: 'tests/planted', options: NO_FOLDS });
    await setKeys(t, server, 'poisoned', KEYS);
    await setKeys(t, server, 'healthy', KEYS);
    const { pid } = await server.room('healthy');
    await poison(t, server, 'poisoned');
    assert.equal((await server.room('healthy')).pid, pid, 'others do not notice');
    await setKey(t, server, 'healthy', 'more');

    const out = assertFinds(
      server,
      ['poisoned'],
      /in quarantine \(crashes\) after 5 crashes, the last by signal \d+/,
      /record 6 at byte \d+ \(number 6, \d+ bytes, session \d+, not yet published\) kills/,
      /\) kills the room: signal \d+/,
    );
    assert.deepEqual(keysOf(exported(server, 'poisoned', 1)), [...KEYS].sort());
    const number = /\(number (\d+),/.exec(out)[1];
    assert.match(assertHealthy(server, 'poisoned', '--drop-record', number), /released/);
    assert.equal(kept(server, /\.dropped-record-6\.v1$/), 1);

    const reader = await joinYjs(t, server, 'poisoned');
    assert.deepEqual(keysOf(reader.doc), [...KEYS].sort());
    await setKey(t, server, 'poisoned', 'more');
    await server.stop();
    assertHealthy(server);
  });

  test('may be released as it is', async (t) => {
    const server = await startServer(t, { programs: 'tests/planted', options: NO_FOLDS });
    await setKeys(t, server, 'poisoned', KEYS);
    await poison(t, server, 'poisoned');
    assert.match(assertHealthy(server, 'poisoned', '--release'), /released/);
    const reader = await joinYjs(t, server, 'poisoned');
    assert.deepEqual(keysOf(reader.doc), [...KEYS].sort());
  });
});

const STORES = {
  SQLite: () => () => {},
  PostgreSQL: async (t) => {
    const { url } = await startPostgres(t);
    return (server) => {
      server.env.DATABASE_URL = url;
    };
  },
};

describe('a poisoned update in the store is named and dropped', () => {
  for (const [name, prepareStore] of Object.entries(STORES)) {
    test(name, async (t) => {
      const prepare = await prepareStore(t);
      /* These programs take what those of tests/planted do not survive. */
      const server = await startServer(t, { options: NO_FOLDS, prepare });
      await setKeys(t, server, 'stored', KEYS.slice(0, 3));
      await setKey(t, server, 'stored', 'bad', POISON);
      await setKeys(t, server, 'stored', KEYS.slice(3));
      await server.killAll();
      server.wipeRun();
      assertHealthy(server);
      server.programs = 'tests/planted';
      const killer = /^stored: the stored update 4 \(\d+ bytes\) kills the room: signal \d+/m;
      assertFinds(server, [], killer);
      assertRefuses(server, ['stored', '--drop-record', '4'], /none of this number/);
      assertRefuses(server, ['stored', '--drop-row', '40'], /none of this number/);
      assert.deepEqual(keysOf(exported(server, 'stored', 1)), [...KEYS].sort());
      await server.start();
      const out = assertHealthy(server, 'stored', '--drop-row', '4');
      assert.match(out, /dropped the stored update 4/);
      assert.ok(readdirSync(server.data).some((file) => /\.dropped-row-4\.v1$/.test(file)));
      assertHealthy(server);
      const reader = await joinYjs(t, server, 'stored');
      assert.deepEqual(keysOf(reader.doc), [...KEYS].sort());
      await setKey(t, server, 'stored', 'more');
      await server.stop();
      assertHealthy(server);
    });
  }
});
