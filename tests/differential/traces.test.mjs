/*
 * Texts as people really typed them, if the data folder is at hand: every edit is made by position
 * in engine replicas, which must end with the recorded text and with what npm yjs makes of the same.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import * as Y from 'yjs';
import { dataFile } from './data.mjs';
import { Peer } from './peer.mjs';
import { Random, settings } from './random.mjs';
import { newReplica, statesOf } from './replica.mjs';

const { seed } = settings(0);
const ROOT = 'text';
const AUTHOR = 4711;

const hex = (bytes) => Buffer.from(bytes).toString('hex');

let peer;

before(() => {
  peer = new Peer();
});
after(async () => assert.equal(await peer.close(), 0));

/*
 * Positions in a trace are code points, in the engine UTF-16 units. They are the same as long as
 * nobody types a character that takes two units, and none of the traces has one.
 */
const readTrace = (path) => {
  const trace = JSON.parse(gunzipSync(readFileSync(path)));
  for (const { patches } of trace.txns) {
    for (const [, , inserted] of patches) assert.doesNotMatch(inserted, /[\ud800-\udfff]/);
  }
  assert.equal(trace.startContent ?? '', '');
  return trace;
};

/* The edits of a transaction: each deletes or inserts. */
const editsOf = ({ patches }) =>
  patches.flatMap(([index, deleted, inserted]) => [
    ...(deleted > 0 ? [[index, deleted, '']] : []),
    ...(inserted ? [[index, 0, inserted]] : []),
  ]);

/* The same edits in npm yjs: the document and the update of each. */
const editInYjs = (edits) => {
  const doc = new Y.Doc();
  const text = doc.getText(ROOT);
  const updates = [];
  doc.clientID = AUTHOR;
  doc.on('update', (update) => updates.push(update));
  for (const [index, deleted, inserted] of edits) {
    if (deleted > 0) text.delete(index, deleted);
    else text.insert(index, inserted);
  }
  return { doc, updates };
};

const applyInYjs = (updates) => {
  const doc = newReplica();
  for (const update of updates) Y.applyUpdate(doc, update);
  return doc;
};

/* An empty document with the updates in it: what it is then. */
const appliedAnew = async (updates) => {
  await peer.reset();
  await peer.applyAll(updates);
  assert.equal(await peer.hasPending(), false);
  return peer.states();
};

const textOf = async (engine) => (await engine.read({ [ROOT]: 'text' }))[ROOT];

const assertSameUpdates = (updates, expected) => {
  assert.equal(updates.length, expected.length);
  const at = updates.findIndex((update, i) => Buffer.compare(update, expected[i]) !== 0);
  if (at >= 0) assert.equal(hex(updates[at]), hex(expected[at]), `edit ${at}`);
};

for (const name of ['automerge-paper', 'rustcode']) {
  const { path, skip } = dataFile(`${name}.json.gz`);

  test(`${name}, typed by one author`, { skip }, async () => {
    const { txns, endContent } = readTrace(path);
    const edits = txns.flatMap(editsOf);
    await peer.reset();
    const updates = await peer.editText(AUTHOR, ROOT, edits);
    assert.equal(await textOf(peer), endContent);
    const states = await peer.states();

    const inYjs = editInYjs(edits);
    assertSameUpdates(updates, inYjs.updates);
    assert.deepEqual(states, statesOf(inYjs.doc));
    assert.deepEqual(await appliedAnew(updates), states);
    assert.deepEqual(await appliedAnew([await peer.merge(updates)]), states);
    assert.deepEqual(statesOf(applyInYjs(updates)), states);
  });
}

/*
 * How many transactions of each agent the author of each transaction had seen. A count says which
 * ones, because an agent has always seen all of its own.
 */
const versionsOf = ({ numAgents, txns }) => {
  const made = Array(numAgents).fill(0);
  const after = [];
  return txns.map(({ agent, parents }) => {
    const version = made.map((_, of) => Math.max(0, ...parents.map((parent) => after[parent][of])));
    assert.equal(version[agent], made[agent]);
    made[agent]++;
    after.push(version.with(agent, made[agent]));
    return version;
  });
};

/* The transactions as turns: what an agent does before it hears of anything new. */
const turnsOf = (trace) => {
  const turns = [];
  for (const [i, version] of versionsOf(trace).entries()) {
    const { agent } = trace.txns[i];
    const last = turns.at(-1);
    const hasNews = version.some((count, of) => of !== agent && count !== last?.version[of]);
    if (last?.agent !== agent || hasNews) turns.push({ agent, version, txns: [] });
    turns.at(-1).txns.push(trace.txns[i]);
  }
  return turns;
};

/* An agent with a replica of its own, which holds some transactions of each agent. */
class Agent {
  peer = new Peer();
  id;
  transactions = []; /* its own: lists of updates */
  #seen = new Map();

  constructor(id) {
    this.id = id;
  }

  /* Takes what `other` did until it had made `count` transactions. */
  async hear(other, count) {
    const seen = this.#seen.get(other) ?? 0;
    assert.ok(seen <= count && count <= other.transactions.length);
    const news = other.transactions.slice(seen, count).flat();
    if (news.length > 0) await this.peer.applyAll(news);
    this.#seen.set(other, count);
  }

  /* Resolves to the updates. */
  async type(txns) {
    const edits = txns.map(editsOf);
    const updates = await this.peer.editText(this.id, ROOT, edits.flat());
    const rest = [...updates];
    for (const { length } of edits) this.transactions.push(rest.splice(0, length));
    return updates;
  }
}

const friends = dataFile('friendsforever.json.gz');

test('friendsforever, typed by two authors at once', { skip: friends.skip }, async (t) => {
  const trace = readTrace(friends.path);
  const agents = Array.from({ length: trace.numAgents }, (_, i) => new Agent(AUTHOR + i));
  const updates = [];
  t.after(async () => {
    for (const agent of agents) assert.equal(await agent.peer.close(), 0);
  });
  for (const { agent, version, txns } of turnsOf(trace)) {
    for (const [other, count] of version.entries()) {
      if (other !== agent) await agents[agent].hear(agents[other], count);
    }
    updates.push(...(await agents[agent].type(txns)));
  }
  const states = await appliedAnew(new Random(seed).shuffle(updates));
  assert.equal(await textOf(peer), trace.endContent);
  for (const agent of agents) {
    for (const other of agents) {
      if (other !== agent) await agent.hear(other, other.transactions.length);
    }
    assert.equal(await textOf(agent.peer), trace.endContent);
    assert.deepEqual(await agent.peer.states(), states);
  }
  assert.deepEqual(await appliedAnew([await peer.merge(updates)]), states);
  assert.deepEqual(statesOf(applyInYjs(updates)), states);
});
