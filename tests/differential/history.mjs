/*
 * Random histories: some replicas edit roots of every kind, now and then give each other what they
 * lack, and every update that one of them sent is kept, in both formats.
 */
import * as Y from 'yjs';

/* The roots of a history, by what they are read as. */
export const ROOTS = { text: 'text', rich: 'delta', map: 'map', list: 'array', xml: 'xml' };

const TEXTS = [
  'a',
  'bc',
  'hello ',
  'é',
  'Ω≈ç',
  '日本語',
  '😀',
  'x😀y',
  '👩‍👩‍👧',
  '\u0000',
  '"\\\n',
  '\u2028',
];
const KEYS = ['a', 'b', 'key', '10', '9', 'ключ', '😀', ''];
const MARKS = ['bold', 'link', 'color', '9'];
const NUMBERS = [
  0,
  -0,
  1,
  -1,
  63,
  64,
  -64,
  127,
  128,
  300,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  2 ** 53,
  0.5,
  0.1,
  1.5e-9,
  5e-324,
  1e21,
  1e100,
  -123.456,
  3.4028234663852886e38,
  5.684341886080802e-14,
];

const integer = (random, limit) => random.below(limit + 1);

/* A value that can be had as JSON, too. */
export const jsonValue = (random, depth = 0) => {
  switch (random.below(depth < 3 ? 9 : 6)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
      return random.pick(NUMBERS);
    case 3:
      return random.below(2 ** 32) * random.pick([1, -1, 0.001]);
    case 4:
    case 5:
      return random.pick(TEXTS);
    case 6:
      return Array.from({ length: random.below(4) }, () => jsonValue(random, depth + 1));
    default:
      return Object.fromEntries(
        Array.from({ length: random.below(4) }, () => [
          random.pick(KEYS),
          jsonValue(random, depth + 1),
        ]),
      );
  }
};

/* Anything that a map or an array may hold without being a type. */
const plainValue = (random) => {
  switch (random.below(10)) {
    case 0:
      return new Uint8Array(Array.from({ length: random.below(5) }, () => random.below(256)));
    case 1:
      return undefined;
    case 2:
      return { u: undefined, n: [undefined, NaN, Infinity, 12345678901234567890n] };
    default:
      return jsonValue(random);
  }
};

const newType = (random) => {
  switch (random.below(6)) {
    case 0:
      return new Y.Array();
    case 1:
      return new Y.Map();
    case 2:
      return new Y.Text(random.pick(TEXTS));
    case 3:
      return new Y.XmlElement(random.pick(['p', 'img', 'h1']));
    case 4:
      return new Y.XmlText(random.pick(TEXTS));
    default:
      return new Y.XmlFragment();
  }
};

const subdocument = (random) =>
  new Y.Doc({
    guid: `sub-${random.below(1000)}`,
    autoLoad: random.chance(0.5),
    gc: random.chance(0.8),
    meta: random.chance(0.5) ? jsonValue(random) : null,
  });

const anything = (random) => {
  if (random.chance(0.2)) return newType(random);
  if (random.chance(0.05)) return subdocument(random);
  return plainValue(random);
};

const editText = (random, text) => {
  const at = integer(random, text.length);
  if (random.chance(0.3)) text.delete(at, integer(random, Math.min(text.length - at, 5)));
  else
    text.insert(at, Array.from({ length: 1 + random.below(3) }, () => random.pick(TEXTS)).join(''));
};

const marks = (random) => ({ [random.pick(MARKS)]: random.chance(0.3) ? null : jsonValue(random) });

const editRich = (random, text) => {
  const at = integer(random, text.length);
  const len = integer(random, Math.min(text.length - at, 5));
  switch (random.below(6)) {
    case 0:
      return text.delete(at, len);
    case 1:
      return text.format(at, len, marks(random));
    case 2:
      return text.insertEmbed(at, jsonValue(random) ?? {}, marks(random));
    case 3:
      return text.insert(at, random.pick(TEXTS), marks(random));
    default:
      return editText(random, text);
  }
};

const editMap = (random, map) => {
  const key = random.pick(KEYS);
  if (random.chance(0.25)) map.delete(key);
  else map.set(key, anything(random));
};

const editList = (random, list) => {
  const at = integer(random, list.length);
  if (random.chance(0.3)) list.delete(at, integer(random, Math.min(list.length - at, 3)));
  else
    list.insert(
      at,
      Array.from({ length: 1 + random.below(3) }, () => anything(random) ?? null),
    );
};

const editXml = (random, xml) => {
  const at = integer(random, xml.length);
  if (random.chance(0.2)) xml.delete(at, integer(random, Math.min(xml.length - at, 2)));
  else
    xml.insert(at, [
      random.chance(0.5) ? new Y.XmlElement('div') : new Y.XmlText(random.pick(TEXTS)),
    ]);
  if (xml instanceof Y.XmlElement && random.chance(0.5))
    xml.setAttribute(random.pick(['id', 'class']), random.pick(TEXTS));
};

const edit = (random, type) => {
  if (type instanceof Y.Text) return editRich(random, type);
  if (type instanceof Y.Map) return editMap(random, type);
  if (type instanceof Y.Array) return editList(random, type);
  return editXml(random, type);
};

/* The roots, or now and then a type somewhere below one. */
const pickType = (random, doc) => {
  const roots = [
    doc.getText('rich'),
    doc.getMap('map'),
    doc.getArray('list'),
    doc.getXmlFragment('xml'),
  ];
  let type = random.pick(roots);
  while (random.chance(0.6)) {
    const inner = (type instanceof Y.Map ? [...type.values()] : (type.toArray?.() ?? [])).filter(
      (value) => value instanceof Y.AbstractType && !(value instanceof Y.XmlHook),
    );
    if (inner.length === 0) break;
    type = random.pick(inner);
  }
  return type;
};

const oneEdit = (random, doc) => {
  if (random.chance(0.35)) editText(random, doc.getText('text'));
  else edit(random, pickType(random, doc));
};

const clientId = (random) => {
  switch (random.below(4)) {
    case 0:
      return 1 + random.below(200);
    case 1:
      return 2 ** 32 + random.below(2 ** 20) * 2 ** 20 + 1;
    default:
      return random.below(2 ** 32);
  }
};

const newReplica = (random, updates, used) => {
  const doc = new Y.Doc({ gc: random.chance(0.8) });
  do doc.clientID = clientId(random);
  while (used.has(doc.clientID));
  used.add(doc.clientID);
  let v1 = null;
  doc.on('update', (update, origin) => {
    v1 = origin === 'sync' ? null : update;
  });
  doc.on('updateV2', (v2, origin) => {
    if (origin !== 'sync') updates.push({ v1, v2 });
  });
  return doc;
};

const sync = (from, to) => {
  Y.applyUpdate(to, Y.encodeStateAsUpdate(from, Y.encodeStateVector(to)), 'sync');
};

/* `edits` edits by `replicas` replicas: their documents and the updates that they sent, in order. */
export const makeHistory = (
  random,
  { replicas = 1 + random.below(4), edits = 5 + random.below(40) } = {},
) => {
  const updates = [];
  const used = new Set();
  const docs = Array.from({ length: replicas }, () => newReplica(random, updates, used));
  for (let i = 0; i < edits; i++) {
    const doc = random.pick(docs);
    doc.transact(() => {
      do oneEdit(random, doc);
      while (random.chance(0.3));
    });
    if (random.chance(0.25)) sync(random.pick(docs), doc);
  }
  return { docs, updates };
};
