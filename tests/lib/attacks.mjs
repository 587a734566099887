/*
 * What hostile clients do, as a table; each runs in a process of its own (attacker.mjs), so that
 * its work does not slow the clock of those who watch. What would burn the processor in the attacker
 * is made beforehand, and what would only burn it is paced: the server is to be measured, which
 * shares the machine with both.
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import * as encoding from 'lib0/encoding';
import {
  BINARY, CLOSE, FIN, MORE, RSV1, binary, closing, frame, packed, ping, upgrade,
} from '../conformance/wire.mjs';
import { UPDATE, syncMessage } from './raw-yjs.mjs';
import { turn } from './wait.mjs';
import Y from './yjs.mjs';

const MIB = 1 << 20;
const MESSAGE_BYTES = 16 * MIB; /* the default of message_bytes */
const DEFLATE = ['Sec-WebSocket-Extensions: permessage-deflate'];

/* ---- sockets ---- */

/* Resolves when the socket emits the event or is closed, at the latest when the attack is over: a
 * server may well keep those waiting who ask for too much. */
const happens = (enemy, socket, event) =>
  Promise.race([
    enemy.over,
    new Promise((done) => {
      const settle = () => {
        socket.off(event, settle).off('close', settle);
        done();
      };
      socket.on(event, settle).on('close', settle);
    }),
  ]);

/* A connected socket, or one that is closed already. */
const opened = async (enemy) => {
  const socket = connect({ port: enemy.port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  await happens(enemy, socket, 'connect');
  return socket;
};

const CLOSE_FRAME = FIN | CLOSE;

/* A WebSocket at `path` that has its handshake behind it. It throws away what comes, and goes when
 * it is told to; the codes are counted. */
const joined = async (enemy, path, lines = []) => {
  const socket = await opened(enemy);
  socket.write(upgrade(path, lines));
  await happens(enemy, socket, 'data');
  socket.on('data', (chunk) => {
    if (chunk[0] !== CLOSE_FRAME || chunk.length < 4) return;
    enemy.count(`closed ${chunk.readUInt16BE(2)}`);
    socket.destroy();
  });
  return socket;
};

/* Resolves when the socket takes more; with false if it does not, because it is closed. */
const written = async (enemy, socket, bytes) => {
  if (!socket.destroyed && !socket.write(bytes)) await happens(enemy, socket, 'drain');
  else await turn();
  return !socket.destroyed;
};

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/* `width` times at once, again and again until the attack is over: attack(i) resolves with a
 * socket. The last ones stay until the process ends, so that what they cost can be looked at. */
const again = ({ isOver }, width, attack, pauseMs = 10) =>
  Promise.all(Array.from({ length: width }, async (_, i) => {
    while (!isOver()) {
      const socket = await attack(i);
      await pause(pauseMs);
      if (!isOver()) socket.destroy();
    }
  }));

/* Sends what next() gives for as long as that is taken. */
const flood = async (enemy, socket, next, what, { by = 1, pauseMs = 0 } = {}) => {
  while (!enemy.isOver() && (await written(enemy, socket, next()))) {
    enemy.count(what, by);
    if (pauseMs) await pause(pauseMs);
  }
  return socket;
};

/* Waits until the server has had enough. */
const refused = async (enemy, socket) => {
  while (!enemy.isOver() && !socket.destroyed) await pause(10);
  return socket;
};

/* ---- what is sent ---- */

const repeated = (bytes, count) => Buffer.concat(Array.from({ length: count }, () => bytes));

const awarenessOf = (ids) =>
  encoding.encode((outer) => {
    const entries = encoding.encode((encoder) => {
      encoding.writeVarUint(encoder, ids.length);
      for (const id of ids) {
        encoding.writeVarUint(encoder, id);
        encoding.writeVarUint(encoder, 1);
        encoding.writeVarString(encoder, '{"user":"nobody"}');
      }
    });
    encoding.writeVarUint(outer, 1);
    encoding.writeVarUint8Array(outer, entries);
  });

const randomIds = (count) => Array.from({ length: count }, () => randomBytes(4).readUInt32LE());

/* Edits of a document that stays small: each takes the place of the one before. */
const edits = (bytes) => {
  const doc = new Y.Doc();
  let last;
  doc.on('update', (update) => {
    last = update;
  });
  return () => {
    doc.getMap('map').set('entry', randomBytes(bytes / 2).toString('hex'));
    return binary(syncMessage(UPDATE, last));
  };
};

/* ---- the attacks ---- */

const nothing = ({ over }) => over;

const slowHeaders = (enemy) =>
  again(enemy, 500, async () => {
    const socket = await opened(enemy);
    enemy.count('connections');
    socket.resume().write('GET /yjs/slow HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
    return flood(enemy, socket, () => 'x', 'bytes', { pauseMs: 500 });
  });

/* Half of them say nothing at all, the others all but the last line. */
const halfOpen = (enemy) =>
  again(enemy, 1000, async (i) => {
    const socket = await opened(enemy);
    enemy.count('connections');
    if (i % 2) socket.write(upgrade('/yjs/half').slice(0, -2));
    return refused(enemy, socket.resume());
  });

/* A length that no message may have, and one that no frame can have. */
const HUGE = [2n ** 63n - 1n, 2n ** 63n].map((length) => {
  const bytes = Buffer.from('82ff000000000000000001020304', 'hex');
  bytes.writeBigUInt64BE(length, 2);
  return bytes;
});

const hugeFrames = (enemy) =>
  again(enemy, 8, async (i) => {
    const socket = await joined(enemy, '/yjs/huge');
    socket.write(HUGE[i % HUGE.length]);
    return flood(enemy, socket, () => Buffer.alloc(65536), 'pieces', { pauseMs: 10 });
  });

/* Messages without end. */
const FRAGMENTS = repeated(frame(MORE, 'x'), 1000);

const oneByteFragments = (enemy) =>
  again(enemy, 4, async () => {
    const socket = await joined(enemy, '/yjs/fragments');
    socket.write(frame(BINARY, 'x'));
    return flood(enemy, socket, () => FRAGMENTS, 'fragments', { by: 1000, pauseMs: 5 });
  });

/* As large as a message may be, and nothing that says anything. */
const LARGE_FRAGMENT = frame(MORE, Buffer.alloc(65536, 0xff));
const LARGEST = [
  frame(BINARY, Buffer.from([0, 2, 0xff])),
  ...Array.from({ length: MESSAGE_BYTES / 65536 - 1 }, () => LARGE_FRAGMENT),
  frame(FIN | MORE, 'x'),
];

const largestMessages = (enemy) =>
  again(enemy, 2, async () => {
    const socket = await joined(enemy, '/yjs/largest');
    for (const part of LARGEST) await written(enemy, socket, part);
    enemy.count('messages');
    return refused(enemy, socket);
  });

/* Who pings does not read the answers. */
const PINGS = repeated(ping('x'.repeat(125)), 500);

const pingFlood = (enemy) =>
  again(enemy, 4, async () => {
    const socket = (await joined(enemy, '/yjs/pings')).pause();
    return flood(enemy, socket, () => PINGS, 'pings', { by: 500, pauseMs: 5 });
  });

/* Every fourth does not even speak HTTP. */
const GARBAGE = [
  () => randomBytes(4096),
  () => repeated(closing(1000, 'again'), 100),
  () => binary(randomBytes(4096)),
];

const garbageFlood = (enemy) =>
  again(enemy, 8, async (i) => {
    const isHttp = i % 4 !== 0;
    const socket = isHttp ? await joined(enemy, '/yjs/garbage') : await opened(enemy);
    enemy.count('connections');
    await written(enemy, socket.resume(), GARBAGE[i % GARBAGE.length]());
    return socket;
  });

const zipBombs = (enemy) => {
  const bomb = frame(FIN | RSV1 | BINARY, packed(Buffer.alloc(64 * MIB)));
  return again(enemy, 4, async () => {
    const socket = await joined(enemy, '/yjs/bombs', DEFLATE);
    enemy.count('bombs');
    await written(enemy, socket, bomb);
    return refused(enemy, socket);
  });
};

/* They stop to read when they are in a room where much is written. */
const stoppedReaders = async (enemy) => {
  for (let i = 0; i < 10; i += 1) (await joined(enemy, '/yjs/hot')).pause();
  const nextEdit = edits(256 << 10);
  await again(enemy, 1, async () =>
    flood(enemy, await joined(enemy, '/yjs/hot'), nextEdit, 'edits', { pauseMs: 25 }));
};

/* One says 100,000 at once, in a hundred messages; then it does as the others, one by one. */
const fakeAwareness = (enemy) => {
  const many = Array.from({ length: 100 }, () => binary(awarenessOf(randomIds(1000))));
  const single = () => binary(awarenessOf(randomIds(1)));
  return again(enemy, 2, async (i) => {
    const next = i === 0 ? () => many.pop() ?? single() : single;
    const socket = await joined(enemy, '/yjs/awareness');
    return flood(enemy, socket, next, 'messages', { pauseMs: 1 });
  });
};

const ROOM_NAMES = 10000;

const randomRooms = (enemy) => {
  let left = ROOM_NAMES;
  return again(enemy, 20, async () => {
    if (left === 0) return opened(enemy);
    left -= 1;
    enemy.count('rooms');
    return joined(enemy, `/yjs/${randomBytes(8).toString('hex')}`);
  }, 20);
};

const churn = (enemy) =>
  again(enemy, 20, async () => {
    enemy.count('connections');
    return joined(enemy, '/yjs/churn');
  });

const largeUpdates = (enemy) => {
  const nextEdit = edits(MIB);
  return again(enemy, 1, async () =>
    flood(enemy, await joined(enemy, '/yjs/large'), nextEdit, 'edits'));
};

/* Each attack by its name, with the settings that it needs: `run` does it with an `enemy`, who has
 * `port`, isOver(), the promise `over` and count(what, by). */
export const ATTACKS = {
  'no attack, to compare with': { run: nothing },
  'slow headers': { run: slowHeaders },
  'half-open handshakes': { run: halfOpen },
  'frames of 2^63 bytes': { run: hugeFrames },
  'fragments of one byte': { run: oneByteFragments },
  'the largest message, in fragments': { run: largestMessages },
  'a flood of pings': { run: pingFlood },
  'a flood of closes and garbage': { run: garbageFlood },
  'zip bombs': { run: zipBombs, options: ['--compression', 'on'] },
  'readers that stop in a hot room': { run: stoppedReaders },
  'fake clients in the awareness': { run: fakeAwareness },
  'rooms of random names': { run: randomRooms },
  'connections that come and go': { run: churn },
  'a flood of large updates': { run: largeUpdates },
};
