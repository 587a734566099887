/*
 * The JSON socket with `data=ops`: clients that hold a list of characters and nothing else, beside
 * each other and beside Yjs clients in the same rooms.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Random } from '../differential/random.mjs';
import { joinJson } from '../lib/json-client.mjs';
import { joinOps, runsOf } from '../lib/ops-client.mjs';
import { kill } from '../lib/processes.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { mint, startServerWithKeys } from '../lib/tokens.mjs';
import { until } from '../lib/wait.mjs';
import { ROOT, textOf } from '../lib/typists.mjs';
import { awarenessHolds, docHolds, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

const unit = (site, counter) => ({ site, counter });
const insertion = (id, after, value, before) =>
  ({ kind: 'insert', id, after, value, ...(before === undefined ? {} : { before }) });
const deletion = (id, length) => ({ kind: 'delete', id, ...(length ? { length } : {}) });

/* A few edits at once. */
const typeRandomly = (random, client, count) => {
  for (let i = 0; i < count; i += 1) {
    const { length } = client.text;
    const index = random.below(length + 1);
    const most = Math.min(3, length - index);
    if (most > 0 && random.chance(0.35)) client.delete(index, 1 + random.below(most));
    else client.insert(index, random.pick(['a', 'bc', 'def', ' ', '\n', 'é😀']));
  }
};

/* Some rounds of edits by everybody; each goes on as soon as one of its acks is there. */
const typeTogether = (random, clients, rounds) =>
  Promise.all(clients.map(async (client) => {
    for (let i = 0; i < rounds; i += 1) {
      const { acks } = client;
      typeRandomly(random, client, 1 + random.below(3));
      await client.holds((now) => now.acks > acks, 'an ack');
    }
    await client.settled();
  }));

/* All clients show what a fresh one shows, and what Yjs clients see. */
const assertSame = async (t, server, room, clients) => {
  const fresh = await joinOps(t, server, room, 'fresh');
  const { text } = fresh;
  for (const client of clients) await client.shows(text);
  const yjs = await joinYjs(t, server, room);
  assert.equal(textOf(yjs.doc), text, 'a Yjs client');
  return text;
};

/* The text is what all that the clients have sent makes, which an empty room is sent now. */
const assertWhole = async (t, server, clients, text) => {
  const again = await joinOps(t, server, 'again', 'z');
  clients.forEach(({ sent }) => sent.forEach((data) => again.send(data)));
  await again.settled();
  assert.equal(again.text, text);
};

describe('json socket with data=ops', () => {
  const suite = suiteScope();
  let server;
  before(async () => {
    server = await startServer(suite);
  });

  const joinAll = (t, room, sites) =>
    Promise.all(sites.map((site) => joinOps(t, server, room, site)));

  test('greets with hello, then sync, a list of runs, then edits', async (t) => {
    const author = await joinOps(t, server, 'greeting', 'a');
    author.insert(0, 'held');
    author.delete(1);
    author.insert(2, '!');
    await author.settled();
    const late = await joinOps(t, server, 'greeting', 'b');
    author.append('more');
    await late.shows('hl!dmore');

    const { frames } = late.json;
    assert.equal(frames[0].t, 'hello');
    assert.equal(frames[0].room, 'greeting');
    assert.deepEqual(frames.slice(1).map(({ t: type }) => type), ['sync', 'op']);
    assert.deepEqual(runsOf(frames[1]), [
      { id: unit('a', 1), value: 'h' },
      { id: unit('a', 3), value: 'l' },
      { id: unit('a', 5), value: '!' },
      { id: unit('a', 4), value: 'd' },
    ]);
    assert.deepEqual(frames[2].data, insertion(unit('a', 6), unit('a', 4), 'more'));
  });

  test('three type at once, and all show one text', async (t) => {
    const random = new Random(1);
    const clients = await joinAll(t, 'typing', ['a', 'b3', 'c-_9']);
    const yjs = await joinYjs(t, server, 'typing');
    await typeTogether(random, clients, 40);
    const text = await assertSame(t, server, 'typing', clients);
    await docHolds(yjs.doc, (doc) => textOf(doc) === text, 'one that was there all the time');
    assert.ok(text.length > 50);
  });

  test('beside Yjs clients that type, too', async (t) => {
    const random = new Random(2);
    const clients = await joinAll(t, 'both', ['a', 'b']);
    const yjs = await joinYjs(t, server, 'both');
    const body = yjs.doc.getText(ROOT);
    let isTyping = true;
    yjs.doc.on('update', (update, origin) => {
      if (origin !== yjs.provider || !isTyping) return;
      const index = random.below(body.length + 1);
      if (random.chance(0.3)) body.delete(index, Math.min(2, body.length - index));
      else body.insert(index, random.pick(['X', 'YZ']));
    });
    await typeTogether(random, clients, 30);
    isTyping = false;
    body.insert(0, 'end');
    await Promise.all(clients.map((client) => client.holds(({ text }) => /^end/.test(text), 'end')));
    assert.match(await assertSame(t, server, 'both', clients), /X/);
  });

  test('what a Yjs client inserts, deletes, formats and embeds', async (t) => {
    const ops = await joinOps(t, server, 'from-yjs', 'a');
    const yjs = await joinYjs(t, server, 'from-yjs');
    const body = yjs.doc.getText(ROOT);
    body.insert(0, 'hello world');
    await ops.shows('hello world');
    body.format(0, 5, { bold: true });
    body.delete(5, 6);
    await ops.shows('hello');
    body.insertEmbed(2, { image: 'x.png' });
    await ops.shows('he\ufffcllo');
    assert.match(ops.units[0].site, /^#\d+$/);

    ops.insert(3, '>');
    ops.delete(0, 2);
    await ops.settled();
    await docHolds(yjs.doc, () => textOf(yjs.doc) === '>llo', 'the edits of the other');
    assert.equal(ops.text, '\ufffc>llo');
    assert.equal((await joinOps(t, server, 'from-yjs', 'b')).text, ops.text);
  });

  test('half of a surrogate pair is U+FFFD, whoever cuts it', async (t) => {
    const [a, b] = await joinAll(t, 'halves', ['a', 'b']);
    const yjs = await joinYjs(t, server, 'halves');
    a.append('1😀2😀');
    await docHolds(yjs.doc, (doc) => textOf(doc) === '1😀2😀', 'both');
    a.delete(2);
    await docHolds(yjs.doc, (doc) => textOf(doc) === '1\ufffd2😀', 'half of one');
    yjs.doc.getText(ROOT).insert(4, '-');
    await Promise.all([a, b].map((client) => client.shows('1\ufffd2\ufffd-\ufffd')));
    await assertSame(t, server, 'halves', [a, b]);
  });

  test('an operation that comes before its neighbours waits for them', async (t) => {
    const ops = await joinOps(t, server, 'early', 'r');
    ops.send(deletion(unit('a', 2)));
    ops.send(insertion(unit('b', 1), unit('a', 3), '!', null));
    ops.send(insertion(unit('a', 3), unit('a', 2), 'c', null));
    await ops.settled();
    assert.equal(ops.text, '');
    ops.send(insertion(unit('a', 1), null, 'ab', null));
    await ops.shows('ac!');
    assert.equal((await joinOps(t, server, 'early', 's')).text, 'ac!');
  });

  test('any order of the same operations, from any socket, more than once', async (t) => {
    const random = new Random(3);
    const authors = await joinAll(t, 'ordered', ['a', 'b', 'c']);
    await typeTogether(random, authors, 12);
    const text = await assertSame(t, server, 'ordered', authors);
    const sent = authors.flatMap((author) => author.sent);

    for (const room of ['order-1', 'order-2', 'order-3']) {
      const sockets = await joinAll(t, room, ['x', 'y', 'z']);
      const twice = random.shuffle([...sent, ...random.some(sent, 0.3)]);
      twice.forEach((data) => random.pick(sockets).send(data));
      await Promise.all(sockets.map((socket) => socket.settled()));
      assert.equal(await assertSame(t, server, room, sockets), text);
    }
  });

  test('without `before` the right neighbour is the one of the moment', async (t) => {
    const [a, b] = await joinAll(t, 'left-only', ['a', 'b']);
    a.append('ab');
    b.send(insertion(unit('b', 1), unit('a', 1), '1'));
    b.send(insertion(unit('b', 2), unit('a', 1), '2'));
    b.send(insertion(unit('b', 3), null, '0'));
    await b.settled();
    await b.shows('0a21b');
    await assertSame(t, server, 'left-only', [a, b]);
  });

  test('is acknowledged only when it is stored', async (t) => {
    const [a, b] = await joinAll(t, 'stored', ['a', 'b']);
    a.append('one');
    await a.settled();
    const pid = server.pid('snapshotd');
    const goOn = () => kill(pid, 'SIGCONT');
    t.after(goOn);
    kill(pid, 'SIGSTOP');
    a.append(' two');
    await b.shows('one two');
    assert.equal((await joinOps(t, server, 'stored', 'c')).text, 'one two');
    assert.equal(a.unacked.size, 1, 'not yet');
    goOn();
    await a.settled();
  });

  test('what is no operation is refused, and the socket stays open', async (t) => {
    const ops = await joinOps(t, server, 'refused', 'a');
    const bad = [
      {},
      { kind: 'move' },
      insertion(unit('', 1), null, 'x'),
      insertion(unit('much too long', 1), null, 'x'),
      insertion(unit('#5', 1), null, 'x'),
      insertion(unit('a', 0), null, 'x'),
      insertion(unit('a', 1.5), null, 'x'),
      insertion(unit('a', 1), undefined, 'x'),
      insertion(unit('a', 1), null, ''),
      insertion(unit('a', 1), null, 7),
      insertion(unit('a', 1), unit('a', 1), 'x'),
      deletion(unit('a', 1), -1),
      deletion(null),
    ];
    const { json } = ops;
    bad.forEach((data, i) => json.send({ t: 'op', seq: 100 + i, data }));
    ops.append('good');
    await ops.settled();
    assert.deepEqual(json.type('error').map(({ seq, code }) => [seq, code]),
      bad.map((data, i) => [100 + i, 'bad_update']));
    assert.equal(json.closed, null);
    assert.equal(await assertSame(t, server, 'refused', [ops]), 'good');
  });

  test('presence: clients of all forms see each other', async (t) => {
    const { json: ops } = await joinOps(t, server, 'presence', 'a');
    const json = await joinJson(t, server, 'presence');
    const yjs = await joinYjs(t, server, 'presence');
    const isOf = (user) => (frame) => frame.t === 'presence' && frame.user === user;
    ops.send({ t: 'presence', client: 71, user: 'ada', cursor: 1 });
    json.send({ t: 'presence', client: 72, user: 'ben', cursor: 2 });
    yjs.provider.awareness.setLocalState({ user: 'cem' });
    const [seen] = await Promise.all([
      json.frame(isOf('ada'), 'ada'), ops.frame(isOf('ben'), 'ben'), ops.frame(isOf('cem'), 'cem'),
      awarenessHolds(yjs, (states) => states.has(71) && states.has(72), 'both'),
    ]);
    assert.deepEqual(seen, { t: 'presence', client: 71, user: 'ada', cursor: 1 });
    ops.close();
    await json.frame((frame) => frame.client === 71 && frame.left, 'ada is gone');
  });

  test('a frame of an unknown type is ignored', async (t) => {
    const ops = await joinOps(t, server, 'unknown', 'a');
    ops.json.send({ t: 'from-the-future', data: [1] });
    ops.append('x');
    await ops.settled();
    assert.deepEqual(ops.errors, []);
  });

  test('both forms of the JSON socket on one room', async (t) => {
    const [a, b] = await joinAll(t, 'forms', ['a', 'b']);
    const json = await joinJson(t, server, 'forms', { query: '?data=yjs' });
    const doc = json.bind(Y, new Y.Doc());
    a.append('from a; ');
    await docHolds(doc, () => textOf(doc) === 'from a; ', 'the operation as an update');
    doc.getText(ROOT).insert(0, 'update; ');
    await json.ackOf(json.seq);
    await Promise.all([a, b].map((client) => client.shows('update; from a; ')));
  });
});

test('a client that may only read gets everything, and its operations are refused', async (t) => {
  const server = await startServerWithKeys(t);
  const join = (site, right) =>
    joinOps(t, server, 'docs', site, { query: `&token=${mint({ rooms: { docs: right } })}` });
  const writer = await join('w', 'write');
  writer.append('before');
  await writer.settled();
  const reader = await join('r', 'read');
  assert.equal(reader.text, 'before');
  const numbers = [reader.append('no'), reader.delete(0, 2), reader.insert(0, 'no')];
  await reader.settled();
  assert.deepEqual(reader.errors.map(({ seq, code }) => [seq, code]),
    numbers.map((seq) => [seq, 'read_only']));
  writer.append(', after');
  await reader.shows('before, after');
  assert.equal(writer.text, 'before, after');
});

describe('operations and SIGKILL', () => {
  test('of the room: the state comes again, and nothing acknowledged is lost', async (t) => {
    const server = await startServer(t);
    const random = new Random(4);
    const clients = await Promise.all(['a', 'b', 'c'].map((site) => joinOps(t, server, 'r', site)));
    await typeTogether(random, clients, 8);
    for (let round = 0; round < 3; round += 1) {
      const syncs = clients.map((client) => client.syncs);
      clients.forEach((client) => typeRandomly(random, client, 5));
      kill((await server.room('r')).pid);
      clients.forEach((client) => typeRandomly(random, client, 2));
      await typeTogether(random, clients, 2);
      clients.forEach((client, i) => assert.ok(client.syncs > syncs[i], 'a sync'));
    }
    await assertWhole(t, server, clients, await assertSame(t, server, 'r', clients));
    clients.forEach(({ json }) => assert.equal(json.closed, null));
  });

  test('of everything: clients that come back send what was not acknowledged', async (t) => {
    const server = await startServer(t);
    const random = new Random(5);
    const clients = await Promise.all(['a', 'b', 'c'].map((site) => joinOps(t, server, 'r', site)));
    await typeTogether(random, clients, 8);
    kill(server.pid('snapshotd'), 'SIGSTOP');
    const marks = clients.map(({ site }) => `«${site}»`);
    clients.forEach((client, i) => client.append(marks[i]));
    await clients[0].holds(({ text }) => marks.every((mark) => text.includes(mark)), 'all marks');
    const closed = clients.map(({ json }) => until(
      (check) => {
        json.on('close', check);
        return () => json.off('close', check);
      }, () => json.closed, 'the close'));
    await server.killAll();
    await Promise.all(closed);
    clients.forEach(({ unacked }) => assert.equal(unacked.size, 1, 'not acknowledged'));
    server.wipeRun();
    await server.start();
    await Promise.all(clients.map((client) => client.connect(t, server, 'r')));
    await Promise.all(clients.map((client) => client.settled()));
    const text = await assertSame(t, server, 'r', clients);
    await assertWhole(t, server, clients, text);
    marks.forEach((mark) => assert.equal(text.split(mark).length, 2, `${mark} once`));
  });
});
