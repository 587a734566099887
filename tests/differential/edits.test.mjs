/*
 * Edits against npm yjs: on a document with a random past, the same edit as the same client must
 * make the same update, to the byte, and leave the same document. Yjs's document is loaded anew
 * before each edit, for it compares marks by the identity of their values, and so makes other edits
 * in the document where a mark was set than in one that has received it.
 *
 * What makes a text become another one is a choice. The test takes it from the engine's update, as
 * a delta, and has Yjs make it, with delete() and insert().
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as Y from 'yjs';
import { jsonValue, makeHistory } from './history.mjs';
import { Peer } from './peer.mjs';
import { Random, settings } from './random.mjs';
import { joinGarbage, newReplica } from './replica.mjs';

const { seed, runs } = settings(300);

const EDITS = 12;
const CLIENT = 2 ** 40 + 7;
const TEXTS = ['a', 'bc', 'hello ', 'é', '日本語', '😀', 'x😀y', '\n', '"\\', 'the end.\n'];
const KEYS = ['a', 'b', 'key', '10', '9', 'ключ', '😀', '', 'new'];
const MARKS = ['bold', 'link', 'color', '9', '10', 'new'];
const MARK_VALUES = [true, true, false, 1, 1.5, 'x', { href: 'a' }, { a: 1, b: 2 }, [1], [[1]]];
const NOTHING = '0000';

const hex = (bytes) => Buffer.from(bytes).toString('hex');

/* ---- documents ---- */

const ROOT_TYPES = { text: Y.Text, rich: Y.Text, map: Y.Map, list: Y.Array, xml: Y.XmlFragment };

/* The roots have their types before there is something in them: Yjs does not learn of marks that a
 * text has got while it was none, and then takes places near to them from its cache. */
const load = (state) => {
  const doc = newReplica();
  for (const [name, Type] of Object.entries(ROOT_TYPES)) doc.get(name, Type);
  Y.applyUpdateV2(doc, state);
  joinGarbage(doc);
  doc.clientID = CLIENT;
  return doc;
};

const children = (type) => {
  if (type instanceof Y.Map) return [...type.entries()];
  if (type instanceof Y.XmlText || type instanceof Y.Text) return [];
  return type.toArray().map((child, index) => [index, child]);
};

/* The types that can be edited, with their paths. */
const editable = (doc) => {
  const found = [];
  const visit = (type, path) => {
    if (type instanceof Y.Text || type instanceof Y.Map || type instanceof Y.Array)
      found.push({ type, path });
    for (const [step, child] of children(type))
      if (child instanceof Y.AbstractType) visit(child, [...path, step]);
  };
  for (const [name, Type] of Object.entries(ROOT_TYPES)) visit(doc.get(name, Type), [name]);
  return found;
};

const typeAt = (doc, [root, ...steps]) =>
  steps.reduce(
    (type, step) => type.get(step),
    doc.get(root, ROOT_TYPES[root]),
  );

/* ---- edits: { letter, args, make }, where `make` is the edit by Yjs ---- */

/* JSON texts have what JSON.stringify() leaves out: -0, and space. */
const json = (random) => {
  if (random.chance(0.05)) return ' -0 ';
  return JSON.stringify(jsonValue(random), null, random.chance(0.1) ? 1 : 0);
};

const isInPair = (text, at) => /^[\udc00-\udfff]/.test(text.slice(at)) && /[\ud800-\udbff]$/.test(text.slice(0, at));

/* The text, with something else for each embed; XML texts print their marks. */
const textOf = (text, embed = '') =>
  text.toDelta().map(({ insert }) => (typeof insert === 'string' ? insert : embed)).join('');

const unitsOf = (text) => textOf(text, ' ');

/* A place that is not inside of a surrogate pair, where Yjs would cut it. */
const place = (random, units, from = 0, to = units.length) => {
  const at = from + random.below(to - from + 1);
  return isInPair(units, at) ? at - 1 : at;
};

const range = (random, units) => {
  const at = place(random, units);
  return [at, place(random, units, at, Math.min(units.length, at + 6)) - at];
};

const attributes = (random) =>
  Object.fromEntries(
    Array.from({ length: random.below(4) }, () => [
      random.pick(MARKS),
      random.chance(0.35) ? null : random.pick(MARK_VALUES),
    ]),
  );

const someText = (random) =>
  Array.from({ length: random.below(4) }, () => random.pick(TEXTS)).join('');

const insertText = (random, text) => {
  const at = place(random, unitsOf(text));
  const inserted = someText(random);
  return { letter: 'i', args: [at, inserted], make: (type) => type.insert(at, inserted) };
};

const insertMarked = (random, text) => {
  const at = place(random, unitsOf(text));
  const inserted = someText(random);
  const marks = attributes(random);
  return {
    letter: 'a',
    args: [at, inserted, JSON.stringify(marks)],
    make: (type) => type.insert(at, inserted, marks),
  };
};

const deleteText = (random, text) => {
  const [at, length] = range(random, unitsOf(text));
  return { letter: 'd', args: [at, length], make: (type) => type.delete(at, length) };
};

const formatText = (random, text) => {
  const [at, length] = range(random, unitsOf(text));
  const marks = attributes(random);
  return {
    letter: 'f',
    args: [at, length, JSON.stringify(marks)],
    make: (type) => type.format(at, length, marks),
  };
};

/* Another text, most often much like this one. */
const changed = (random, text) => {
  if (random.chance(0.1)) return someText(random);
  const points = [...text];
  for (let n = random.below(6); n > 0; n--)
    points.splice(random.below(points.length + 1), random.below(4), ...someText(random));
  return points.join('');
};

/* From the start to the end: where, how much to delete, what to insert. */
const hunksOf = (delta) => {
  const hunks = [];
  let at = 0;
  let hunk = null;
  for (const op of delta) {
    if (op.retain !== undefined) {
      at += op.retain + (hunk?.inserted.length ?? 0);
      hunk = null;
      continue;
    }
    if (hunk === null) hunks.push((hunk = { at, deleted: 0, inserted: '' }));
    hunk.deleted += op.delete ?? 0;
    hunk.inserted += op.insert ?? '';
  }
  return hunks;
};

/* What the engine's update does to a text. */
const observe = (state, path, update) => {
  const doc = load(state);
  doc.clientID = CLIENT + 1;
  let delta = null;
  typeAt(doc, path).observe((event) => {
    delta ??= event.delta; /* which may itself delete marks, and so make another event */
  });
  Y.applyUpdate(doc, update);
  return delta ?? [];
};

const embedsOf = (text) => text.toDelta().filter(({ insert }) => typeof insert !== 'string').length;

const becomeText = (random, text) => {
  const wanted = changed(random, textOf(text));
  const embeds = embedsOf(text);
  return {
    letter: 'b',
    args: [wanted],
    make: (type, delta) => {
      for (const { at, deleted, inserted } of hunksOf(delta())) {
        type.delete(at, deleted);
        type.insert(at, inserted);
      }
    },
    check: (type) => {
      assert.equal(textOf(type), wanted);
      assert.equal(embedsOf(type), embeds);
    },
  };
};

const setKey = (random) => {
  const key = random.pick(KEYS);
  const value = json(random);
  return { letter: 's', args: [key, value], make: (map) => map.set(key, JSON.parse(value)) };
};

const deleteKey = (random) => {
  const key = random.pick(KEYS);
  return { letter: 'k', args: [key], make: (map) => map.delete(key) };
};

const values = (random) => `[${Array.from({ length: random.below(4) }, () => json(random))}]`;

const insertValues = (random, array) => {
  const at = random.below(array.length + 1);
  const list = values(random);
  return { letter: 'I', args: [at, list], make: (type) => type.insert(at, JSON.parse(list)) };
};

const pushValues = (random) => {
  const list = values(random);
  return { letter: 'P', args: [list], make: (array) => array.push(JSON.parse(list)) };
};

const deleteValues = (random, array) => {
  const at = random.below(array.length + 1);
  const length = random.below(Math.min(array.length - at, 3) + 1);
  return { letter: 'D', args: [at, length], make: (type) => type.delete(at, length) };
};

const editsOf = (type) => {
  if (type instanceof Y.Text)
    return [insertText, insertMarked, deleteText, formatText, becomeText];
  if (type instanceof Y.Map) return [setKey, setKey, deleteKey];
  return [insertValues, insertValues, pushValues, deleteValues];
};

/* ---- both ---- */

const assertSame = async (peer, doc) => {
  joinGarbage(doc);
  assert.equal(hex(await peer.stateVector()), hex(Y.encodeStateVector(doc)), 'state vector');
  const { v1, v2 } = await peer.states();
  assert.equal(v1, hex(Y.encodeStateAsUpdate(doc)), 'v1');
  assert.equal(v2, hex(Y.encodeStateAsUpdateV2(doc)), 'v2');
};

const assertDelta = async (peer, doc) => {
  const { rich } = await peer.read({ rich: 'delta' });
  assert.deepEqual(rich, JSON.parse(JSON.stringify(doc.getText('rich').toDelta())));
};

const runEdit = async (random, peer, doc) => {
  const types = editable(doc);
  const { type, path } = random.chance(0.4)
    ? types.find(({ path: [root, ...steps] }) => root === 'rich' && steps.length === 0)
    : random.pick(types);
  const { letter, args, make, check } = random.pick(editsOf(type))(random, type);
  const state = Y.encodeStateAsUpdateV2(doc);
  const update = await peer.edit(letter, CLIENT, path, ...args);
  let expected = NOTHING;
  doc.on('update', (made) => {
    expected = hex(made);
  });
  doc.transact(() => make(type, () => observe(state, path, update)));
  const what = `${letter} ${JSON.stringify(path)} ${JSON.stringify(args)}`;
  assert.equal(hex(update), expected, what);
  check?.(type);
  await assertSame(peer, doc);
  await assertDelta(peer, doc);
};

const run = async (peer, random) => {
  const { updates } = makeHistory(random);
  await peer.reset();
  const merged = newReplica();
  for (const { v2 } of updates) Y.applyUpdateV2(merged, v2);
  /* An edit is a v1 update, which has no -0 for the value of a mark. So there is to be none. */
  const v1 = Y.encodeStateAsUpdate(merged);
  let doc = newReplica();
  Y.applyUpdate(doc, v1);
  joinGarbage(doc);
  if (random.chance(0.5)) await peer.apply(v1);
  else await peer.apply(Y.encodeStateAsUpdateV2(doc), 2);
  for (let i = 0; i < EDITS; i++) {
    doc = load(Y.encodeStateAsUpdateV2(doc));
    await runEdit(random, peer, doc);
  }
};

let peer;

before(() => {
  peer = new Peer();
});

after(async () => {
  assert.equal(await peer.close(), 0);
});

test(`${runs} documents, ${EDITS} edits each`, async () => {
  for (let i = 0; i < runs; i++) {
    try {
      await run(peer, new Random(seed + i));
    } catch (error) {
      error.message = `SEED=${seed + i} RUNS=1: ${error.message}`;
      throw error;
    }
  }
});
