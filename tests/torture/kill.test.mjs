/*
 * Kill anything. Clients write, and again and again a process chosen at random is killed or stopped
 * for a while. In the end every acknowledged edit is in what a client gets that joins afresh, and
 * again when only the store is left.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPostgres } from '../lib/postgres.mjs';
import { kill } from '../lib/processes.mjs';
import { startServer } from '../lib/server.mjs';
import { converged, docHolds, joinYjs } from '../lib/yjs-client.mjs';
import { Author, lostMarks } from './author.mjs';
import { seed, seeded, untilOver } from './rounds.mjs';

const ROOMS = 16;
const ROUNDS = 50;
const PAUSE_MAX_MS = 150;
const STOPPED_MAX_MS = 600;
/* A room that crashes five times in a minute is quarantined: that is another test's business. */
const ROOM_KILLS = 3;
const MINUTE_MS = 60000;

/* Real y-websocket clients in one of the rooms; they heal what they can, so they show that clients
 * come back and agree, and not that nothing is lost. */
const joinTypists = async (t, server, room) => {
  const clients = await Promise.all([joinYjs(t, server, room), joinYjs(t, server, room)]);
  let count = 0;
  const timer = setInterval(() => {
    const { doc } = clients[count % clients.length];
    doc.getText('body').insert(0, `«${count}»`);
    count += 1;
  }, 20);
  t.after(() => clearInterval(timer));
  return {
    docs: clients.map(({ doc }) => doc),
    room,
    stop: () => clearInterval(timer),
    marks: () => Array.from({ length: count }, (_, i) => `«${i}»`),
  };
};

const DAEMONS = ['gateway', 'roomd', 'snapshotd'];

const processVictim = (name, pid, room) => ({
  name,
  room,
  kill: () => kill(pid),
  stop: () => kill(pid, 'SIGSTOP'),
  goOn: () => kill(pid, 'SIGCONT'),
});

const postgresVictim = (postgres) => ({
  name: 'postgres',
  kill: async () => {
    await postgres.kill();
    await postgres.start();
  },
  stop: () => postgres.signal('SIGSTOP'),
  goOn: () => postgres.signal('SIGCONT'),
});

/* One of the rooms that were not killed too often, or null. */
const chooseRoom = async ({ server, kills, dice }) => {
  const recent = (room) => kills.filter((k) => k.room === room && Date.now() - k.at < MINUTE_MS);
  const rooms = await server.rooms();
  const found = dice.pick(
    rooms.filter(({ room, pid }) => pid > 0 && recent(room).length < ROOM_KILLS),
  );
  return found ? processVictim('room', found.pid, found.room) : null;
};

/* null while it is not up again. Rooms are forked from roomd and have its arguments, but no room was
 * started by the launcher. */
const chooseDaemon = ({ server, postgres, dice }) => {
  const name = dice.pick(postgres ? [...DAEMONS, 'postgres'] : DAEMONS);
  if (name === 'postgres') return postgresVictim(postgres);
  const found = server.processes().find(
    ({ program, parent }) => program === `concord-${name}` && parent === server.launcher.pid,
  );
  return found ? processVictim(name, found.pid) : null;
};

/* Hits a process; returns whether it was killed, and not only stopped for a while or not there. */
const hit = async (battle) => {
  const { dice, kills, tally } = battle;
  const victim = await (dice.random() < 0.4 ? chooseRoom(battle) : chooseDaemon(battle));
  const isKilled = dice.random() < 0.75;
  if (!victim) return false;
  const what = `${victim.name} ${isKilled ? 'killed' : 'stopped'}`;
  tally[what] = (tally[what] ?? 0) + 1;
  if (isKilled) {
    kills.push({ room: victim.room, at: Date.now() });
    await victim.kill();
  } else {
    victim.stop();
    await sleep(dice.random() * STOPPED_MAX_MS);
    victim.goOn();
  }
  return isKilled;
};

const startAuthors = (server) =>
  Array.from({ length: ROOMS }, (_, i) => new Author(server, `room ${i}`, `author${i}`));

const killAnything = async (t, server, postgres) => {
  const dice = seeded(seed);
  const authors = startAuthors(server);
  const typists = await joinTypists(t, server, 'typists');
  const goesOn = untilOver(ROUNDS);
  const tally = {};
  const battle = { server, postgres, dice, tally, kills: [] };

  while (goesOn()) {
    while (!(await hit(battle))) await sleep(5);
    await sleep(dice.random() * PAUSE_MAX_MS);
  }
  typists.stop();
  await Promise.all(authors.map((author) => author.stop()));
  await converged(typists.docs);

  const acked = authors.reduce((sum, author) => sum + author.acked.length, 0);
  t.diagnostic(`seed ${seed}: ${JSON.stringify(tally)}, ${acked} edits acknowledged`);
  assert.ok(authors.every((author) => author.acked.length > 0), 'every author was acknowledged');
  assert.deepEqual(await lostMarks(server, authors), [], 'in what a new client gets');

  await server.killAll();
  server.wipeRun();
  await server.start();
  assert.deepEqual(await lostMarks(server, authors), [], 'in the store');
  const late = await joinYjs(t, server, typists.room);
  /* What was not acknowledged to the typists they bring again when they are back. */
  const hasAll = (doc) => {
    const text = doc.getText('body').toString();
    return typists.marks().every((mark) => text.includes(mark));
  };
  await docHolds(late.doc, hasAll, 'all that the typists wrote');
};

describe('kill anything', () => {
  test('nothing that was acknowledged is lost', async (t) => {
    await killAnything(t, await startServer(t));
  });

  test('nor on PostgreSQL, which is killed like the others', async (t) => {
    const postgres = await startPostgres(t);
    const prepare = (server) => {
      server.env = { DATABASE_URL: postgres.url };
    };
    await killAnything(t, await startServer(t, { prepare }), postgres);
  });
});
