/*
 * Random modifications of the roots that Yjs's test helper compares, one list for each kind of
 * type. A modification takes a source of randomness and a document.
 */
import * as Y from 'yjs';

/* No surrogate pairs: marking half of one as it is marked already sends nothing, but the user who
 * did so then has a pair cut in two, and nobody else has. */
const WORDS = ['a', 'bc', 'some words ', 'é', '日本語', '\n', '"<&>\\'];
const KEYS = ['one', 'two', 'three', '10', '😀'];
const TAGS = ['p', 'div', 'h1'];
const MARKS = [
  { bold: true },
  { italic: true },
  { bold: true, italic: true },
  { color: '#888' },
  { link: { href: 'https://example.org', rel: null } },
];

const textOf = (doc) => doc.getText('text');
const arrayOf = (doc) => doc.getArray('array');
const mapOf = (doc) => doc.getMap('map');
const xmlOf = (doc) => doc.get('xml', Y.XmlElement);

const times = (count, f) => Array.from({ length: count }, f);

const value = (random, depth = 0) => {
  switch (random.below(depth < 2 ? 8 : 5)) {
    case 0:
      return random.pick([null, true, false]);
    case 1:
      return random.below(2 ** 31);
    case 2:
      return random.real() * 2 ** random.below(60);
    case 3:
    case 4:
      return random.pick(WORDS);
    case 5:
      return new Uint8Array(times(random.below(4), () => random.below(256)));
    case 6:
      return times(random.below(4), () => value(random, depth + 1));
    default:
      return Object.fromEntries(
        random.some(KEYS, 0.4).map((key) => [key, value(random, depth + 1)]),
      );
  }
};

/* A position in a list, and a length from there on, mostly a short one. */
const place = (random, { length }) => random.below(length + 1);
const range = (random, { length }) => {
  const at = random.below(length + 1);
  const most = length - at;
  return [at, random.below(1 + Math.min(most, random.chance(0.9) ? 5 : most))];
};

const isList = (type) => type instanceof Y.Array;
const isText = (type) => type instanceof Y.Text;

/* ---- text ---- */

const insertWord = (random, text) => text.insert(place(random, text), random.pick(WORDS));

const deleteRange = (random, list) => list.delete(...range(random, list));

const insertMarked = (random, text) =>
  text.insert(place(random, text), random.pick(WORDS), random.pick(MARKS));

const embedded = (random) => {
  switch (random.below(4)) {
    case 0:
      return new Y.Map([[random.pick(KEYS), value(random)]]);
    case 1:
      return new Y.XmlText(random.pick(WORDS));
    default:
      return { image: random.pick(WORDS), size: random.below(100) };
  }
};

const insertEmbed = (random, text) => {
  const marks = random.chance(0.5) ? random.pick(MARKS) : {};
  text.insertEmbed(place(random, text), embedded(random), marks);
};

const mark = (random, text) => text.format(...range(random, text), random.pick(MARKS));

const unmark = (random, text) =>
  text.format(...range(random, text), { [random.pick(['bold', 'italic', 'color'])]: null });

/* A line whose end has a mark and whose text has others, as editors have them. */
const insertBlock = (random, text) => {
  const at = place(random, text);
  text.insert(at, '\n', { 'code-block': true });
  text.insert(at, random.pick(WORDS), {});
};

const applyDelta = (random, text) => {
  const [at, length] = range(random, text);
  const attributes = random.pick(MARKS);
  const change = random.pick([
    { delete: length },
    { insert: random.pick(WORDS), attributes },
    { retain: length, attributes },
  ]);
  const delta = [{ retain: at }, change].filter((op) => op.retain !== 0 && op.delete !== 0);
  text.applyDelta(delta);
};

const PLAIN = [insertWord, insertWord, deleteRange];
const RICH = [
  insertWord,
  insertMarked,
  insertMarked,
  insertEmbed,
  mark,
  mark,
  unmark,
  insertBlock,
  applyDelta,
  deleteRange,
  deleteRange,
];

/* ---- arrays ---- */

const insertValues = (random, array) =>
  array.insert(place(random, array), times(1 + random.below(4), () => value(random)));

const insertArray = (random, array) => {
  const at = place(random, array);
  array.insert(at, [new Y.Array()]);
  array.get(at).insert(0, [1, 2, value(random), 4]);
};

const insertMap = (random, array) => {
  const at = place(random, array);
  array.insert(at, [new Y.Map(), new Y.Text(random.pick(WORDS))]);
  array.get(at).set(random.pick(KEYS), value(random));
  array.get(at).set(random.pick(KEYS), new Y.Array());
};

/* Deletes some, or if there is an array something in that. */
const deleteSome = (random, array) => {
  const inner = array.toArray().filter(isList);
  if (inner.length > 0 && random.chance(0.5)) deleteRange(random, random.pick(inner));
  else deleteRange(random, array);
};

const editInner = (random, array) => {
  const inner = array.toArray().filter((type) => isList(type) || isText(type));
  if (inner.length === 0) return insertArray(random, array);
  const type = random.pick(inner);
  return random.pick(isText(type) ? RICH : ARRAY)(random, type);
};

const ARRAY = [
  insertValues,
  insertValues,
  insertArray,
  insertMap,
  deleteSome,
  deleteSome,
  editInner,
];

/* ---- maps ---- */

const setValue = (random, map) => map.set(random.pick(KEYS), value(random));

const setType = (random, map) => {
  const key = random.pick(KEYS);
  switch (random.below(3)) {
    case 0:
      map.set(key, new Y.Array());
      return map.get(key).insert(0, [1, 2, 3, value(random)]);
    case 1:
      return map.set(key, new Y.Text(random.pick(WORDS)));
    default:
      map.set(key, new Y.Map());
      return map.get(key).set('deep', value(random));
  }
};

const deleteKey = (random, map) => map.delete(random.pick(KEYS));

/* Sets or deletes at the end of a path of maps, of which it makes those that are not there. */
const editDeep = (random, map) => {
  let at = map;
  for (let depth = random.below(5); depth > 0; depth--) {
    const key = random.pick(['down', 'below']);
    if (!(at.get(key) instanceof Y.Map)) at.set(key, new Y.Map());
    at = at.get(key);
  }
  random.pick([setValue, setValue, setType, deleteKey])(random, at);
};

const clear = (random, map) => {
  if (random.chance(0.1)) map.clear();
};

const MAP = [setValue, setValue, setType, deleteKey, editDeep, editDeep, clear];

/* ---- XML ---- */

/* The root, or now and then an element below it. */
const pickElement = (random, root) => {
  let element = root;
  while (random.chance(0.6)) {
    const inner = element.toArray().filter((node) => node instanceof Y.XmlElement);
    if (inner.length === 0) break;
    element = random.pick(inner);
  }
  return element;
};

const newNode = (random) => {
  if (random.chance(0.4)) return new Y.XmlText(random.pick(WORDS));
  const element = new Y.XmlElement(random.pick(TAGS));
  if (random.chance(0.5)) element.setAttribute(random.pick(KEYS), random.pick(WORDS));
  if (random.chance(0.5)) element.insert(0, [new Y.XmlText(random.pick(WORDS))]);
  return element;
};

const insertNodes = (random, element) =>
  element.insert(place(random, element), times(1 + random.below(2), () => newNode(random)));

const insertNodeAfter = (random, element) => {
  const before = element.length > 0 ? random.pick(element.toArray()) : null;
  element.insertAfter(before, [newNode(random)]);
};

const setAttribute = (random, element) =>
  element.setAttribute(random.pick(KEYS), random.pick(WORDS));

const removeAttribute = (random, element) => element.removeAttribute(random.pick(KEYS));

const editXmlText = (random, element) => {
  const texts = element.toArray().filter(isText);
  if (texts.length > 0) random.pick(RICH)(random, random.pick(texts));
};

const XML = [
  insertNodes,
  insertNodes,
  insertNodeAfter,
  setAttribute,
  removeAttribute,
  editXmlText,
  editXmlText,
  deleteRange,
].map((edit) => (random, root) => edit(random, pickElement(random, root)));

/* ---- the lists ---- */

const MOST_IN_ONE = 4;

/* Edits of a root; some come several in a transaction. */
const inDocument = (edits, rootOf) =>
  edits.map((edit) => (random, doc) => {
    const root = rootOf(doc);
    if (random.chance(0.85)) return edit(random, root);
    return doc.transact(() => {
      for (let n = random.below(MOST_IN_ONE + 1); n > 0; n--) random.pick(edits)(random, root);
    });
  });

const lists = {
  'plain text': inDocument(PLAIN, textOf),
  'rich text': inDocument(RICH, textOf),
  arrays: inDocument(ARRAY, arrayOf),
  maps: inDocument(MAP, mapOf),
  XML: inDocument(XML, xmlOf),
};

/* { name: modifications } */
export const MODIFICATIONS = { ...lists, everything: Object.values(lists).flat() };
