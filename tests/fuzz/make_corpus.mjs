/*
 * Writes corpus/: a few small inputs for each fuzz target, made of real histories by npm yjs and of
 * what no encoder writes. The same every time, so that it needs to be run only when it changes:
 *
 *     node tests/fuzz/make_corpus.mjs
 */
import { createHmac } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateRawSync, constants as zlib } from 'node:zlib';
import * as encoding from 'lib0/encoding';
import { Awareness, encodeAwarenessUpdate } from 'y-protocols/awareness';
import * as Y from 'yjs';
import { jsonValue, makeHistory } from '../differential/history.mjs';
import { Random } from '../differential/random.mjs';

const folder = fileURLToPath(new URL('corpus', import.meta.url));
const hex = (text) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const utf8 = (text) => Buffer.from(text, 'utf8');

/* A part of an input: two bytes of length and the bytes (see take_part() in fuzz.h). */
const part = (bytes) => Buffer.concat([Buffer.from([bytes.length & 0xff, bytes.length >> 8]), bytes]);

const write = (target, inputs) => {
  rmSync(join(folder, target), { recursive: true, force: true });
  mkdirSync(join(folder, target), { recursive: true });
  for (const [name, bytes] of Object.entries(inputs)) writeFileSync(join(folder, target, name), bytes);
};

/* ---- histories ---- */

const newDoc = (clientID, options) => Object.assign(new Y.Doc(options), { clientID });

const make = (build, clientID = 1) => {
  const doc = newDoc(clientID);
  build(doc);
  return doc;
};

const fork = (doc, clientID) => {
  const copy = newDoc(clientID);
  Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc));
  return copy;
};

const text = () =>
  make((doc) => {
    const t = doc.getText('t');
    t.insert(0, 'abc');
    t.insert(1, 'X');
    t.delete(0, 1);
  });

const rich = () =>
  make((doc) => {
    const t = doc.getText('rich');
    t.insert(0, 'hello world', { bold: true });
    t.format(2, 4, { bold: null, link: { href: 'a' } });
    t.insertEmbed(3, { image: [1, 2.5] }, { color: '#fff' });
    t.delete(0, 2);
  });

const surrogates = () => {
  const doc = make((d) => d.getText('t').insert(0, 'a😀b👩‍👩‍👧'));
  const other = fork(doc, 2);
  doc.getText('t').insert(2, 'x');
  other.getText('t').delete(2, 3);
  Y.applyUpdate(doc, Y.encodeStateAsUpdate(other));
  return doc;
};

const maps = () =>
  make((doc) => {
    const m = doc.getMap('map');
    m.set('k', 7);
    m.set('k', 'again');
    m.set('nested', new Y.Map([['q', [1, { a: null }]]]));
    m.set('values', [undefined, -0, 1.5, 0.1, 2 ** 40, 123n, new Uint8Array([1, 2]), true, 'é']);
    m.delete('nested');
  }, 300);

const arrays = () =>
  make((doc) => {
    const list = doc.getArray('list');
    list.insert(0, [1, 2, 3, 4]);
    list.delete(1, 2);
    list.insert(1, [new Uint8Array([0, 255]), new Y.Array(), 'x']);
    list.get(2).push([new Y.Text('deep'), {}]);
  });

const nested = () =>
  make((doc) => {
    let inner = doc.getArray('list');
    for (let i = 0; i < 12; i++) {
      inner.insert(0, [new Y.Array()]);
      inner = inner.get(0);
    }
    doc.getArray('list').delete(0, 1);
  });

const xml = () =>
  make((doc) => {
    const p = new Y.XmlElement('p');
    doc.getXmlFragment('xml').insert(0, [p, new Y.XmlHook('hook')]);
    p.setAttribute('class', 'x');
    p.insert(0, [new Y.XmlText('hi'), new Y.XmlElement('img')]);
    p.get(0).format(0, 1, { em: {} });
  }, 2);

const subdocs = () =>
  make((doc) => doc.getMap('map').set('sub', new Y.Doc({ guid: 'g', autoLoad: true, meta: { x: 1 } })), 3);

const concurrent = () => {
  const base = make((doc) => doc.getText('t').insert(0, 'ab'));
  const others = [2, 2 ** 32 + 5, 2 ** 53 - 1].map((id) => fork(base, id));
  others.forEach((doc, i) => doc.getText('t').insert(1, `${i}${i}`));
  others.forEach((doc) => Y.applyUpdate(base, Y.encodeStateAsUpdate(doc)));
  return base;
};

const HISTORIES = { text, rich, surrogates, maps, arrays, nested, xml, subdocs, concurrent };

const random = Array.from({ length: 10 }, (_, i) => {
  const source = new Random(1000 + i);
  return makeHistory(source, { replicas: 3, edits: 8 });
});

/* Updates by name: { v1, v2 } each. */
const updates = {};
for (const [name, build] of Object.entries(HISTORIES)) {
  const doc = build();
  updates[name] = { v1: Y.encodeStateAsUpdate(doc), v2: Y.encodeStateAsUpdateV2(doc) };
}
random.forEach(({ docs, updates: sent }, i) => {
  const doc = new Y.Doc();
  doc.clientID = 9;
  for (const { v1 } of sent) Y.applyUpdate(doc, v1);
  updates[`random-${i}`] = { v1: Y.encodeStateAsUpdate(doc), v2: Y.encodeStateAsUpdateV2(doc) };
  updates[`late-${i}`] = {
    v1: Y.encodeStateAsUpdate(docs[0], Y.encodeStateVector(docs[1])),
    v2: Y.encodeStateAsUpdateV2(docs[0], Y.encodeStateVector(docs[1])),
  };
});

/* What waits: a middle that is missing, and deletes of what was never seen. */
const gap = (() => {
  const doc = newDoc(1);
  const sent = { v1: [], v2: [] };
  doc.on('update', (update) => sent.v1.push(update));
  doc.on('updateV2', (update) => sent.v2.push(update));
  for (const letter of 'abcde') doc.getText('t').insert(doc.getText('t').length, letter);
  doc.getText('t').delete(3, 2);
  const keep = (list) => list.filter((_, i) => i !== 1 && i !== 3);
  return { v1: Y.mergeUpdates(keep(sent.v1)), v2: Y.mergeUpdatesV2(keep(sent.v2)) };
})();
updates.pending = gap;

/* ---- what no encoder writes (yjs.md, pitfalls) ---- */

const HOSTILE_V1 = {
  'zero-length': hex('01 01 01 00 04 01 01 74 00 00'),
  'self-origin': hex('01 01 01 00 84 01 00 01 61 00'),
  cycle: hex('02 01 02 00 84 01 00 01 62 01 01 00 84 02 00 01 61 00'),
  'long-gc': hex('01 01 01 00 00 ff ff ff ff 0f 00'),
  'long-id': hex('01 01 ff ff ff ff ff ff ff 0f 00 04 01 01 74 01 61 00'),
  'two-groups': hex('02 01 05 02 00 01 01 05 00 01 01 01 74 02 00'),
  'content-move': hex('01 01 01 00 0b 01 01 74 01 00 00'),
  'type-ref-7': hex('01 01 01 00 07 01 01 74 07 00'),
  'bad-utf8': hex('01 01 01 00 04 01 01 74 02 c3 28 00'),
  'old-json': hex('01 01 01 00 02 01 04 6c697374 03 09 756e646566696e6564 01 31 07 7b2261223a317d 00'),
  'crossed-parents': hex('01 04 01 00 04 01 01 74 02 6162 04 01 01 75 02 6364 c4 01 00 01 02 01 58 c4 01 03 01 00 01 59 00'),
  'list-of-a-map': hex('01 02 01 00 28 01 01 6d 01 6b 01 77 01 61 84 01 00 01 62 00'),
  'origins-in-a-circle': hex('01 02 01 00 04 01 01 74 03 616263 c4 01 02 01 00 01 78 00'),
  'value-of-units': hex('01 02 01 00 24 01 01 6d 01 6b 03 616263 84 01 00 01 78 00'),
  'wide-delete': hex('00 01 01 02 00 ff ff ff ff 0f 05 00'),
};
const HOSTILE_V2 = {
  'endless-run': hex('00 01 00 00 00 00 01 00 01 00 01 02 00 00 16 02 00 00 01 fd ff ff ff ff 7f 00 00'),
  'key-again': hex(
    '00 03 00 41 01 02 01 00 01 00 03 86 01 05 0b 74 62 6f 6c 64 04 01 04 00 01 01 00 00 01 02 01 00 78 78 00',
  ),
};

for (const version of ['v1', 'v2']) {
  const inputs = Object.fromEntries(Object.entries(updates).map(([name, u]) => [name, u[version]]));
  write(`update_${version}`, { ...inputs, ...(version === 'v1' ? HOSTILE_V1 : HOSTILE_V2) });
}

/* ---- the other targets ---- */

const few = Object.keys(updates).filter((name) => !/-[2-9]$/.test(name));
const v1Of = (name) => updates[name].v1;
const stateVectorOf = (update) => Y.encodeStateVectorFromUpdate(update);

const both = (name) => [
  [`${name}-v1`, Buffer.concat([Buffer.from([0]), updates[name].v1])],
  [`${name}-v2`, Buffer.concat([Buffer.from([1]), updates[name].v2])],
];
write('convert', Object.fromEntries(few.flatMap(both)));

const svOf = (states) => Y.encodeStateVector(new Map(states));
write('state_vector', {
  ...Object.fromEntries(few.map((name) => [name, Buffer.concat([part(v1Of(name)), stateVectorOf(v1Of(name))])])),
  half: Buffer.concat([part(v1Of('concurrent')), svOf([[1, 1], [2, 1]])]),
  'inside-a-pair': Buffer.concat([part(v1Of('surrogates')), svOf([[1, 2]])]),
  ahead: Buffer.concat([part(v1Of('text')), svOf([[1, 2 ** 53 - 1], [77, 3]])]),
  twice: Buffer.concat([part(v1Of('text')), hex('02 01 02 01 01')]),
  many: Buffer.concat([part(v1Of('text')), hex('ff ff ff ff 0f 01 01')]),
  pending: Buffer.concat([part(v1Of('pending')), svOf([[1, 3]])]),
});

const deletes = (name, format, set) =>
  Buffer.concat([part(v1Of(name)), Buffer.from([format - 1]), set]);
write('delete_set', {
  'all-v1': deletes('concurrent', 1, hex('01 01 01 00 09')),
  'all-v2': deletes('concurrent', 2, hex('01 01 01 00 08')),
  'unordered': deletes('text', 1, hex('02 01 03 02 01 00 01 01 02 07 01 05 05')),
  'types': deletes('arrays', 1, hex('01 01 01 00 20')),
  'maps': deletes('maps', 1, hex('01 ac02 02 00 02 04 01')),
  'pairs': deletes('surrogates', 1, hex('01 01 02 02 01 05 01')),
  'of-what-waits': deletes('pending', 2, hex('01 01 02 00 00 03 00')),
  'empty-range': deletes('text', 1, hex('01 01 01 02 00')),
  'too-far': deletes('text', 1, hex('01 01 01 ff ff ff ff 0f 05')),
  'many': deletes('text', 1, hex('01 01 ff ff ff 0f 00 01')),
});

const merging = (format, list) => Buffer.concat([Buffer.from([format - 1]), ...list.map(part)]);
write('merge', {
  ...Object.fromEntries(
    random.slice(0, 4).flatMap(({ updates: sent }, i) => [
      [`sent-${i}-v1`, merging(1, sent.slice(0, 6).map(({ v1 }) => v1))],
      [`sent-${i}-v2`, merging(2, sent.slice(0, 6).map(({ v2 }) => v2))],
    ]),
  ),
  'pending-v1': merging(1, [gap.v1, v1Of('text')]),
  'pending-v2': merging(2, [gap.v2, updates.text.v2]),
  unordered: merging(1, [hex('02 01 05 00 00 01 01 09 00 00 01 00'), hex('01 01 07 00 00 01 00')]),
  'endless-run': merging(2, [HOSTILE_V2['endless-run'], HOSTILE_V2['endless-run']]),
  'script-v1': Buffer.from([2, 0x5a, 0x80, 1, 0x81, 2, 2, 0x13, 0xc0, 0x21, 1, 0x34, 0x42, 0x11, 0x80, 0x50]),
  'script-v2': Buffer.from([3, 0x33, 0, 1, 1, 3, 2, 4, 0xc1, 9, 0x80, 0x24, 0x81, 0x33, 0x82, 0x10, 0x41, 0x0a]),
});

write('has', {
  'sent-v1': merging(1, random[0].updates.slice(0, 6).map(({ v1 }) => v1)),
  'sent-v2': merging(2, random[1].updates.slice(0, 6).map(({ v2 }) => v2)),
  'all-v1': merging(1, ['text', 'maps', 'arrays', 'concurrent'].map(v1Of)),
  'pending-v1': merging(1, [gap.v1, v1Of('text')]),
  'pending-v2': merging(2, [gap.v2, updates.text.v2]),
  'two-groups': merging(1, [hex('02 01 01 05 04 01 01 74 01 61 01 01 00 04 01 01 74 01 61 00')]),
  deletes: merging(1, [v1Of('text'), hex('00 01 01 02 00 04 02 09'), hex('00 01 01 01 00 05')]),
});

write('units', {
  ...Object.fromEntries(
    random.slice(0, 3).flatMap(({ updates: sent }, i) => [
      [`sent-${i}-v1`, merging(1, sent.slice(0, 12).map(({ v1 }) => v1))],
      [`sent-${i}-v2`, merging(2, sent.slice(0, 12).map(({ v2 }) => v2))],
    ]),
  ),
  pairs: merging(1, [v1Of('surrogates'), hex('01 01 09 00 c4 01 01 01 02 01 78 00'), hex('00 01 01 01 05 01')]),
  pending: merging(1, [gap.v1, hex('00 01 01 01 00 03'), v1Of('text')]),
});

const id = (site, counter) => ({ site, counter });
const lines = (...ops) => Buffer.from(ops.map((op) => JSON.stringify(op)).join('\n'));
write('lens_ops', {
  typing: lines(
    { kind: 'insert', id: id('a3f9', 1), after: null, value: 'hello' },
    { kind: 'insert', id: id('b', 1), after: id('a3f9', 2), before: id('a3f9', 3), value: 'x😀"' },
    { kind: 'delete', id: id('a3f9', 2), length: 3 },
    { kind: 'delete', id: id('b', 3) },
  ),
  waiting: lines(
    { kind: 'insert', id: id('b', 2), after: id('b', 1), before: null, value: 'z' },
    { kind: 'delete', id: id('#77', 9) },
    { kind: 'insert', id: id('c-_', 1), after: id('b', 2), value: '\u0000\n' },
    { kind: 'insert', id: id('b', 1), after: null, value: 'y' },
  ),
  refused: lines({ kind: 'insert', id: id('#7', 1), after: null, value: '' }, [[[{}]]], { kind: 'move' }),
});

const diffing = (format, sv, first, second) =>
  Buffer.concat([Buffer.from([format - 1]), part(sv), part(first), second]);
write('diff', {
  ...Object.fromEntries(
    random.slice(4, 8).flatMap(({ docs }, i) => {
      const sv = stateVectorOf(Y.encodeStateAsUpdate(docs[0]));
      return [
        [`replicas-${i}-v1`, diffing(1, sv, Y.encodeStateAsUpdate(docs[0]), Y.encodeStateAsUpdate(docs[1]))],
        [`replicas-${i}-v2`, diffing(2, sv, Y.encodeStateAsUpdateV2(docs[0]), Y.encodeStateAsUpdateV2(docs[1]))],
      ];
    }),
  ),
  gap: diffing(1, svOf([[1, 2]]), gap.v1, v1Of('text')),
  pair: diffing(1, svOf([[1, 2]]), v1Of('text'), v1Of('surrogates')),
  ahead: diffing(1, svOf([[1, 2 ** 32]]), v1Of('text'), v1Of('concurrent')),
});

const versions = (() => {
  const doc = newDoc(1, { gc: false });
  const t = doc.getText('t');
  t.insert(0, 'a😀b');
  t.delete(3, 1);
  const snapshot = Y.snapshot(doc);
  t.delete(0, 1);
  t.insert(2, [...'later'].join(''));
  return {
    'kept-v1': Buffer.concat([Buffer.from([0]), part(Y.encodeStateAsUpdate(doc)), Y.encodeSnapshot(snapshot)]),
    'kept-v2': Buffer.concat([Buffer.from([1]), part(Y.encodeStateAsUpdateV2(doc)), Y.encodeSnapshotV2(snapshot)]),
  };
})();
const snapshotOf = (name) => {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, v1Of(name));
  return Y.snapshot(doc);
};
write('snapshot', {
  ...versions,
  ...Object.fromEntries(
    few.flatMap((name) => [
      [`${name}-v1`, Buffer.concat([Buffer.from([0]), part(v1Of(name)), Y.encodeSnapshot(snapshotOf(name))])],
      [`${name}-v2`, Buffer.concat([Buffer.from([1]), part(updates[name].v2), Y.encodeSnapshotV2(snapshotOf(name))])],
    ]),
  ),
  collected: Buffer.concat([Buffer.from([0]), part(v1Of('text')), hex('00 01 01 04')]),
  'inside-a-pair': Buffer.concat([Buffer.from([0]), part(v1Of('surrogates')), hex('00 01 01 02')]),
  'too-far': Buffer.concat([Buffer.from([0]), part(v1Of('text')), hex('00 01 01 7f')]),
  'a-struct-twice': Buffer.concat([
    Buffer.from([0]),
    part(hex('02 01 01 00 04 01 01 74 03 616263 01 01 00 04 01 01 74 03 616263 00')),
    hex('00 01 01 02'),
  ]),
  'touching-ranges': Buffer.concat([Buffer.from([0]), part(v1Of('text')), hex('01 01 02 00 01 01 01 01 01 02')]),
});

write('position', {
  ...Object.fromEntries(
    ['text', 'surrogates', 'concurrent', 'pending', 'rich'].flatMap((name) => {
      const doc = new Y.Doc();
      Y.applyUpdate(doc, v1Of(name));
      return [-1, 0].map((assoc) => {
        const position = Y.createRelativePositionFromTypeIndex(doc.getText('t'), 2, assoc);
        return [`${name}${assoc}`, Buffer.concat([part(v1Of(name)), Y.encodeRelativePosition(position)])];
      });
    }),
  ),
  'nested-type': Buffer.concat([part(v1Of('arrays')), hex('02 01 06 00')]),
  'no-type': Buffer.concat([part(v1Of('text')), hex('02 01 01 00')]),
  'behind-no-length': Buffer.concat([part(hex('01 02 01 00 00 00 04 01 01 74 01 61 00')), hex('00 01 00 00')]),
  'unknown-root': Buffer.concat([part(v1Of('text')), hex('01 02 7878 41')]),
  old: Buffer.concat([part(v1Of('text')), hex('00 01 01')]),
  far: Buffer.concat([part(v1Of('text')), hex('00 ff ff ff ff ff ff ff 0f ff ff ff ff ff ff ff 0f bf ff ff ff ff ff ff 0f')]),
});

/* Edits as fuzz_edit.c takes them: a call, a path, an index, a length, two parts. */
const [ROOT_TEXT, ROOT_MAP, ROOT_LIST] = [0, 1, 2];
const INSIDE = 0x80; /* of the root, at index 0; + 4: at the key "k" */
const calls = ['insert', 'insertMarked', 'delete', 'format', 'become', 'set', 'unset', 'add', 'push', 'remove'];
const anEdit = (call, path, index = 0, length = 0, first = '', second = '') =>
  Buffer.concat([Buffer.from([calls.indexOf(call), path, index, length]), part(utf8(first)), part(utf8(second))]);
const editing = (format, update, ...edits) => Buffer.concat([Buffer.from([format - 1]), part(update), ...edits]);
const marked = () =>
  make((doc) => {
    const t = doc.getText('t');
    t.insert(0, 'hello 😀 world');
    t.format(2, 8, { bold: true });
    t.format(4, 4, { link: { href: 'a' }, bold: null });
    t.insertEmbed(6, { image: 1 });
    t.delete(1, 3);
  });
const types = () =>
  make((doc) => {
    doc.getMap('m').set('k', new Y.Text('inside'));
    doc.getArray('l').insert(0, [new Y.Map([['k', [1]]]), 2, new Y.Array()]);
    doc.getText('t').insert(0, 'x');
  });
const markedEdits = [
  anEdit('insert', ROOT_TEXT, 2, 0, 'é😀'),
  anEdit('insertMarked', ROOT_TEXT, 3, 0, 'x', '{"9":1,"bold":{"a":[]},"link":null}'),
  anEdit('format', ROOT_TEXT, 1, 6, '{"bold":true,"i":"x"}'),
  anEdit('delete', ROOT_TEXT, 2, 4),
  anEdit('become', ROOT_TEXT, 0, 0, 'hallo, 😁 words'),
];
write('edit', {
  'marked-v1': editing(1, Y.encodeStateAsUpdate(marked()), ...markedEdits),
  'marked-v2': editing(2, Y.encodeStateAsUpdateV2(marked()), ...markedEdits),
  'text-v1': editing(1, v1Of('text'), ...markedEdits),
  surrogates: editing(
    1,
    v1Of('surrogates'),
    anEdit('insert', ROOT_TEXT, 2, 0, 'x'),
    anEdit('delete', ROOT_TEXT, 1, 1),
    anEdit('format', ROOT_TEXT, 2, 3, '{"a":1}'),
    anEdit('become', ROOT_TEXT, 0, 0, '😁a😀\n'),
    anEdit('become', ROOT_TEXT),
  ),
  values: editing(
    1,
    hex('00 00'),
    anEdit('set', ROOT_MAP, 0, 0, 'k', '{"a":[1,-0,1.5,1e99,"\\ud83d"],"a":null}'),
    anEdit('set', ROOT_MAP, 0, 0, 'k', 'true'),
    anEdit('unset', ROOT_MAP, 0, 0, 'k'),
    anEdit('add', ROOT_LIST, 0, 0, '[1,[2],{}]'),
    anEdit('push', ROOT_LIST, 0, 0, '[null]'),
    anEdit('remove', ROOT_LIST, 1, 2),
    anEdit('add', ROOT_LIST, 1, 0, '{'),
  ),
  inside: editing(
    2,
    Y.encodeStateAsUpdateV2(types()),
    anEdit('insert', INSIDE + 4 + 2 - ((INSIDE + 4) % 3), 1, 0, '-'),
    ...[0, 1, 2, 3, 4, 5, 6].map((n) => anEdit('become', INSIDE + n, 0, 0, 'other')),
    ...[0, 1, 2, 3, 4, 5, 6].map((n) => anEdit('set', INSIDE + n, 0, 0, 'k', '[]')),
    ...[0, 1, 2, 3, 4, 5, 6].map((n) => anEdit('push', INSIDE + n + 16, 0, 0, '[3]')),
    anEdit('remove', ROOT_LIST, 0, 3),
  ),
  pending: editing(1, gap.v1, anEdit('become', ROOT_TEXT, 0, 0, 'abc'), anEdit('format', ROOT_TEXT, 0, 1, '{"b":1}')),
});

const anyOf = (value) => {
  const encoder = encoding.createEncoder();
  encoding.writeAny(encoder, value);
  return encoding.toUint8Array(encoder);
};
const values = new Random(7);
write('any', {
  values: anyOf([undefined, null, -0, 64, -65, 2 ** 31 - 1, 2 ** 31, 1.5, 0.1, NaN, -Infinity, 9n, true, 'é😀']),
  object: anyOf({ 10: 'x', a: [{}], 9: new Uint8Array([1, 2, 3]), '': undefined }),
  proto: hex('76 02 09 5f5f70726f746f5f5f 7e 01 61 76 00'),
  'same-key': hex('76 03 01 61 7d01 01 62 7d02 01 61 7d03'),
  deep: anyOf(Array.from({ length: 30 }).reduce((inner) => [inner], 1)),
  'too-deep': Buffer.concat([Buffer.from(Array(200).fill([0x75, 1]).flat()), hex('7e')]),
  'many-values': hex('75 ff ff ff ff ff ff ff 0f 7e'),
  'bad-tag': hex('73'),
  ...Object.fromEntries(
    Array.from({ length: 8 }, () => jsonValue(values)).flatMap((value, i) => [
      [`random-${i}`, anyOf(value)],
      [`random-${i}.json`, utf8(JSON.stringify(value))],
    ]),
  ),
  'escapes.json': utf8('"\\u0041\\ud83d\\ude00\\ud83d\\n\\/\\"\\\\ é😀"'),
  'numbers.json': utf8('[0, -0, 1e3, 1E-7, -1.5e+300, 123456789012345678901234567890, 5e-324, 1e999, 0.1]'),
  'members.json': utf8('{"b":1, "10":2, "9":3, "b":4, "__proto__":{"x":null}, "":[]}'),
  'deep.json': utf8('['.repeat(200) + ']'.repeat(200)),
  'words.json': utf8(' [ true , false , null ] '),
  'wrong.json': utf8('[01, +1, .5, 1., "\\x", tru]'),
  'open.json': utf8('{"a":[1,{"b":"'),
});

const awarenessOf = (states) => {
  const encoder = encoding.createEncoder();
  encoding.writeVarUint(encoder, states.length);
  for (const [client, clock, json] of states) {
    encoding.writeVarUint(encoder, client);
    encoding.writeVarUint(encoder, clock);
    encoding.writeVarString(encoder, json);
  }
  return encoding.toUint8Array(encoder);
};
const live = (() => {
  const doc = newDoc(10);
  const awareness = new Awareness(doc);
  awareness.setLocalState({ user: { name: 'é😀', color: '#fff' }, cursor: { anchor: null } });
  const update = encodeAwarenessUpdate(awareness, [10]);
  awareness.destroy();
  return update;
})();
write('awareness', {
  live,
  nobody: hex('00'),
  gone: awarenessOf([[10, 2, 'null']]),
  several: awarenessOf([[10, 1, '{"u":"x"}'], [2 ** 53 - 1, 0, '[]'], [10, 3, ' null '], [3, 2 ** 32, '1']]),
  'no-json': awarenessOf([[1, 1, '{']]),
  empty: awarenessOf([[1, 1, '']]),
  many: hex('ff ff ff ff 0f 01 01 00'),
  'too-long': hex('01 01 01 ff ff ff ff 0f 7b'),
  'bad-utf8': hex('01 01 01 02 c3 28'),
  trailing: Buffer.concat([live, Buffer.from([0])]),
  deep: awarenessOf([[1, 1, '['.repeat(300) + ']'.repeat(300)]]),
});

/* A request in pieces of `step` bytes. */
const request = (lines, step = 256) =>
  Buffer.concat([Buffer.from([step - 1]), Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')]);
const UPGRADE = [
  'Host: localhost:8080',
  'Connection: keep-alive, Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];
const upgrade = (target, lines = []) => request([`GET ${target} HTTP/1.1`, ...UPGRADE, ...lines]);
const since = (value) => upgrade(`/rooms/r/ws?since=${value}`);
write('http', {
  page: request(['GET / HTTP/1.1', 'Host: a', 'If-None-Match: "x", W/"y"', 'Accept: */*']),
  head: request(['HEAD /healthz?x HTTP/1.0']),
  absolute: request(['GET http://a:80/demo?q HTTP/1.1', 'Host: a']),
  compressed: upgrade('/yjs/r', ['Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits']),
  'in-pieces': request(['GET /app.js HTTP/1.1', 'Host: a', 'Cookie: a=b; c=d'], 1),
  'and-more': Buffer.concat([request(['GET / HTTP/1.1', 'Host: a'], 7), utf8('GET /next')]),
  yjs: upgrade('/yjs/a/b%2Fc%20d?token=x'),
  'yjs-utf8': upgrade('/yjs/%e6%97%a5%F0%9F%98%80'),
  'yjs-nul': upgrade('/yjs/a%00b'),
  'yjs-no-utf8': upgrade('/yjs/%ff'),
  'yjs-bad-escape': upgrade('/yjs/a%z0%4'),
  'yjs-255': upgrade(`/yjs/${'x'.repeat(255)}`),
  'yjs-256': upgrade(`/yjs/${'x'.repeat(256)}`),
  json: upgrade('/rooms/r%2Fs/ws?data=yjs&since=AQEB', ['Sec-WebSocket-Protocol: v0, concord.v1']),
  'json-data': upgrade('/rooms/r/ws?data=other'),
  since: since('AgsFCgM%3D'),
  'since-url': since('_-_-'),
  'since-plain': since('AQEB&data=yjs'),
  'since-padded': since('AQ=='),
  'since-short': since('A'),
  'since-empty': since(''),
  'since-no-value': upgrade('/rooms/r/ws?since'),
  'since-escapes': since('%41%51%45%42'),
  'since-bad-escape': since('AQ%'),
  'since-stray-bits': since('AR=='),
  'since-twice': since('AA==&since=AQEB&&=&since'),
  'no-host': request(['GET / HTTP/1.1']),
  'two-hosts': request(['GET / HTTP/1.1', 'Host: a', 'host: b']),
  'old-version': request(['GET / HTTP/0.9', 'Host: a']),
  'new-version': request(['GET / HTTP/2.0', 'Host: a']),
  method: request(['BREW /pot HTTP/1.1', 'Host: a']),
  options: request(['OPTIONS * HTTP/1.1', 'Host: a']),
  connect: request(['CONNECT a:1 HTTP/1.1', 'Host: a']),
  body: request(['POST / HTTP/1.1', 'Host: a', 'Content-Length: 3']),
  chunked: request(['GET / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked', 'Content-Length: 0']),
  'space-before-colon': request(['GET / HTTP/1.1', 'Host : a']),
  folded: request(['GET / HTTP/1.1', 'Host: a', ' b']),
  'bare-lf': Buffer.from('\x20GET / HTTP/1.1\nHost: a\n\n', 'latin1'),
  'header-nul': request(['GET / HTTP/1.1', 'Host: a', 'X: \0']),
  'empty-values': request(['GET / HTTP/1.1', 'Host:', 'A:', 'B: \t ', 'Connection: ,,close,']),
  'high-octets': request(['GET /\xe9 HTTP/1.1', 'Host: a', 'X: \xff']),
  fragment: request(['GET /a#b HTTP/1.1', 'Host: a']),
  userinfo: request(['GET http://u:p@a/ HTTP/1.1', 'Host: a']),
  'bad-key': request(['GET /yjs/r HTTP/1.1', ...UPGRADE.slice(0, 4), 'Sec-WebSocket-Key: dGhl']),
  'many-headers': request(['GET / HTTP/1.1', 'Host: a', ...Array(70).fill('A: b')]),
  'too-long': request(['GET / HTTP/1.1', 'Host: a', `X: ${'y'.repeat(8192)}`]),
  tls: hex('ff 16 03 01 02 00 01 00 01 fc 03 03'),
  nothing: hex('00'),
});

/* A segment: what is to be mended of it (enum mend in fuzz_segment.c), the beginning of its header
 * page, and what follows that page. */
const MEND = { page: 1, header: 2, boot: 4, checkpoint: 8, records: 16, end: 32 };
const ALL = Object.values(MEND).reduce((all, bit) => all | bit);
const PAGE = 4096;
const HEADER = 768;
const segmentOf = (file, mend) => {
  let end = file.length;
  while (end > PAGE && file[end - 1] === 0) end -= 1;
  const body = file.subarray(PAGE, end + ((PAGE - end) & 7));
  return Buffer.concat([Buffer.from([mend]), part(file.subarray(0, HEADER)), body]);
};
const golden = (name) =>
  readFileSync(new URL(`../common/golden/${name}.segment`, import.meta.url));
const change = (file, edit) => {
  const copy = Buffer.from(file);
  edit(copy);
  return copy;
};
const CHECKPOINT_LEN = 56;
const COMMITTED = 640;
const FIRST = PAGE + 8; /* the first record of the golden ones */
const SECOND = FIRST + 32 + 8;
const SEQ = 8; /* in a record */
const open = golden('open');
const inThisBoot = MEND.page | MEND.header | MEND.boot;
const inAnotherBoot = MEND.page | MEND.header;
const goldenOnes = ['open', 'closed', 'superseded', 'torn-tail', 'unpublished', 'damaged', 'damaged-checkpoint'];
const changed = (edit, mend = ALL & ~MEND.end) => segmentOf(change(open, edit), mend);
write('segment', {
  ...Object.fromEntries(goldenOnes.map((name) => [name, segmentOf(golden(name), inThisBoot)])),
  ...Object.fromEntries(goldenOnes.map((name) => [`${name}-other-boot`, segmentOf(golden(name), inAnotherBoot)])),
  'damaged-header': segmentOf(golden('damaged-header'), MEND.page),
  'to-the-end': segmentOf(golden('unpublished'), ALL),
  'no-checkpoint': changed((s) => s.writeBigUInt64LE(0n, CHECKPOINT_LEN)),
  'no-checkpoint-other-boot': changed((s) => s.writeBigUInt64LE(0n, CHECKPOINT_LEN), inAnotherBoot),
  'checkpoint-beyond-end': changed((s) => s.writeBigUInt64LE(2n ** 29n, CHECKPOINT_LEN)),
  'checkpoint-too-long': changed((s) => s.writeBigUInt64LE(2n ** 64n - 1n, CHECKPOINT_LEN)),
  'published-nothing': changed((s) => s.writeBigUInt64LE(0n, COMMITTED)),
  'published-too-much': changed((s) => s.writeBigUInt64LE(2n ** 64n - 8n, COMMITTED)),
  'published-part': changed((s) => s.writeBigUInt64LE(BigInt(SECOND + 7), COMMITTED)),
  'record-empty': changed((s) => s.writeUInt32LE(0, FIRST)),
  'record-too-long': changed((s) => s.writeUInt32LE(0xffffffff, SECOND)),
  'record-not-above': changed((s) => s.writeBigUInt64LE(42n, SECOND + SEQ)),
  'record-last-number': changed((s) => s.writeBigUInt64LE(2n ** 64n - 1n, SECOND + SEQ)),
  'record-other-kind': changed((s) => s.writeUInt32LE(9, SECOND + 24)),
  'other-version': changed((s) => s.writeUInt32LE(9, 8), MEND.page),
  'no-magic': changed((s) => s.writeBigUInt64LE(0n, 0), MEND.page),
  'wrong-magic': changed((s) => s.writeUInt8(0, 0), MEND.page),
  'long-names': changed((s) => s.writeUInt32LE(0xffffffff, 68)),
  short: segmentOf(open, 0),
  nothing: hex('00'),
});

/* A message: a msgpack array of its code and its fields (proto/messages.h). */
const bin = (bytes) => Buffer.concat([Buffer.from([0xc4, bytes.length]), bytes]);
const message = (...fields) =>
  Buffer.concat([
    Buffer.from([0x90 | fields.length]),
    ...fields.map((field) => (typeof field === 'number' ? Buffer.from([field]) : field)),
  ]);
const YES = 0xc3;
const NO = 0xc2;
const U32 = hex('ce 00 01 11 70');
const U64 = hex('cf 00 00 01 00 00 00 00 00');
const NAMES = [bin(utf8('default')), bin(utf8('room'))];
write('message', {
  'room-open': message(1, 7, ...NAMES),
  'room-refused': message(3, U32, 2),
  'room-ready': message(12),
  'room-failed': message(13, 4, bin(utf8('why'))),
  'room-next': message(19, NO),
  'room-adopt': message(23, ...NAMES, 3, YES, NO),
  'store-open': message(30, YES, U64, U64, 0),
  'store-update': message(31, bin(Buffer.from(Y.encodeStateAsUpdate(text())))),
  'store-loaded': message(32, U64),
  'session-update': message(44, U64, 9, 1, bin(Buffer.from(Y.encodeStateAsUpdate(text())))),
  'room-update': message(61, 5, U64, bin(Buffer.from(Y.encodeStateAsUpdate(text()))), bin(Buffer.alloc(0))),
  'bin-16': message(31, hex('c5 00 03 61 62 63')),
  'bin-32': message(31, hex('c6 00 00 00 03 61 62 63')),
  'bin-beyond-end': message(31, hex('c6 ff ff ff ff 61')),
  'array-16': hex('dc 00 02 20 05'),
  'array-32': hex('dd 00 00 00 02 20 05'),
  'array-too-long': hex('dd ff ff ff ff 20 05'),
  'more-fields': message(32, 5, hex('92 c0 a1 61'), hex('81 01 02')),
  'more-fields-deep': Buffer.concat([message(32, 5, 0).fill(0x93, 0, 1).subarray(0, 3), Buffer.alloc(64, 0x91)]),
  'too-few-fields': message(1, 7),
  'wrong-type': message(32, bin(utf8('5'))),
  negative: message(32, hex('d0 ff')),
  'above-32-bits': message(3, U64, 2),
  'unknown-code': message(99, 1),
  trailing: Buffer.concat([message(12), hex('00')]),
  nothing: Buffer.alloc(0),
});

/* Frames as fuzz_ws.c puts them together: first octet, a byte of length, the payload. */
const DEFLATE = 0x01;
const BUILT = 0x80;
const cutIn = (piece) => (piece - 1) << 1;
const aFrame = (first, payload = '') => {
  const bytes = Buffer.from(payload);
  return Buffer.concat([Buffer.from([first, bytes.length]), bytes]);
};
const frames = (options, ...list) => Buffer.concat([Buffer.from([BUILT | options]), ...list]);
const raw = (options, bytes) => Buffer.concat([Buffer.from([options]), hex(bytes)]);
const packed = (text, level = 6) =>
  deflateRawSync(Buffer.from(text), { level, finishFlush: zlib.Z_SYNC_FLUSH }).subarray(0, -4);
const half = (bytes, part) => bytes.subarray(...[[0, bytes.length >> 1], [bytes.length >> 1]][part]);
const hello = packed('Hello, hello, hello');
const TEXT = 0x81, BINARY = 0x82, CLOSE = 0x88, PING = 0x89, PONG = 0x8a, RSV1 = 0x40, MORE = 0x01, REST = 0x80;
write('ws', {
  text: frames(0, aFrame(TEXT, 'é😀'), aFrame(TEXT)),
  binary: frames(cutIn(7), aFrame(BINARY, hex('00 ff fe')), aFrame(BINARY, Buffer.alloc(200, 7))),
  fragments: frames(0, aFrame(MORE, hex('f0 9f')), aFrame(PING, 'p'), aFrame(0, hex('98')), aFrame(REST, hex('80'))),
  'many-fragments': frames(0, aFrame(MORE), ...Array(20).fill(aFrame(0))),
  control: frames(cutIn(3), aFrame(PING, 'x'.repeat(125)), aFrame(PONG), aFrame(PING, 'x'.repeat(126))),
  close: frames(0, aFrame(CLOSE, hex('03e8 627965')), aFrame(TEXT, 'later')),
  'close-empty': frames(0, aFrame(CLOSE)),
  'close-half': frames(0, aFrame(CLOSE, hex('03'))),
  'close-code': frames(0, aFrame(CLOSE, hex('03ee'))),
  'close-utf8': frames(0, aFrame(CLOSE, hex('03e8 c328'))),
  'bad-utf8': frames(0, aFrame(TEXT, hex('ce ba ed a0 80'))),
  'no-message': frames(0, aFrame(REST, 'x')),
  'inner-message': frames(0, aFrame(MORE, 'x'), aFrame(TEXT)),
  reserved: frames(0, aFrame(TEXT | RSV1, hello)),
  opcode: frames(0, aFrame(0x83)),
  'not-masked': raw(0, '81 01 78'),
  'top-bit': raw(0, '82 ff 80 00 00 00 00 00 00 01'),
  'not-minimal': raw(0, '82 fe 00 05'),
  huge: raw(0, '82 ff 7f ff ff ff ff ff ff ff'),
  deflated: frames(DEFLATE, aFrame(TEXT | RSV1, hello), aFrame(TEXT, 'plain'), aFrame(BINARY | RSV1, hello)),
  'deflated-fragments': frames(
    DEFLATE | cutIn(5), aFrame(MORE | RSV1, half(hello, 0)), aFrame(PING, 'p'), aFrame(REST, half(hello, 1))),
  'deflated-later': frames(DEFLATE, aFrame(MORE, 'x'), aFrame(REST | RSV1, hello)),
  'deflated-ping': frames(DEFLATE, aFrame(PING | RSV1, hello)),
  'deflated-nothing': frames(DEFLATE, aFrame(TEXT | RSV1), aFrame(TEXT | RSV1, hex('00'))),
  'deflated-empty': frames(DEFLATE, aFrame(TEXT | RSV1, hex('00')), aFrame(TEXT | RSV1, hello)),
  'deflated-stored': frames(DEFLATE, aFrame(TEXT | RSV1, packed('stored', 0))),
  'deflated-final': frames(DEFLATE, aFrame(TEXT | RSV1, hex('f3 48 cd c9 c9 07 00 00'))),
  'deflated-no-end': frames(DEFLATE, aFrame(TEXT | RSV1, hex('f3 48 cd c9 c9 07 00'))),
  'deflated-cut': frames(DEFLATE, aFrame(TEXT | RSV1, hello.subarray(0, 6))),
  'deflated-damage': frames(DEFLATE, aFrame(TEXT | RSV1, hex('ff ff ff'))),
  'deflated-utf8': frames(DEFLATE, aFrame(MORE | RSV1, packed(hex('61 ff'))), aFrame(PING)),
  /* Damage behind what is too much, or no text: the first of them counts, however it is cut. */
  'deflated-over-damage': frames(DEFLATE, aFrame(BINARY | RSV1, Buffer.concat([packed(Buffer.alloc(9000)), hex('0000ffff 06')]))),
  'deflated-utf8-over': frames(DEFLATE, aFrame(TEXT | RSV1, packed(Buffer.concat([hex('ff'), Buffer.alloc(9000)])))),
  bomb: frames(DEFLATE, aFrame(BINARY | RSV1, packed(Buffer.alloc(100000)))),
  'at-the-limit': frames(DEFLATE, aFrame(BINARY | RSV1, packed(Buffer.alloc(8192)))),
  'over-the-limit': frames(DEFLATE, aFrame(BINARY | RSV1, packed(Buffer.alloc(8193)))),
});

write('extensions', {
  browser: utf8('permessage-deflate; client_max_window_bits'),
  plain: utf8('permessage-deflate'),
  all: utf8('permessage-deflate;server_no_context_takeover; client_no_context_takeover;server_max_window_bits=15'),
  several: utf8('permessage-deflate; server_max_window_bits=10, permessage-deflate; client_max_window_bits=9'),
  lines: utf8('x-other; a=b\npermessage-deflate'),
  quoted: utf8('permessage-deflate; server_max_window_bits="1\\5"'),
  'quoted-comma': utf8('a; b="c,d", permessage-deflate'),
  'quote-open': utf8('permessage-deflate; client_max_window_bits="1'),
  'no-value': utf8('permessage-deflate; client_max_window_bits='),
  twice: utf8('permessage-deflate; client_max_window_bits; client_max_window_bits'),
  zero: utf8('permessage-deflate; server_max_window_bits=015'),
  commas: utf8(',,, permessage-deflate ,,'),
  spaces: utf8('permessage-deflate\t ; \tclient_max_window_bits = 12'),
  words: utf8('permessage-deflate permessage-deflate'),
  constructor: utf8('constructor, __proto__; toString=1'),
  'a-protocol': utf8('b, A ,c'),
  nothing: utf8(''),
});

/* ---- tokens ---- */

/* The secret of fuzz_token.c. */
const TOKEN_SECRET = '0123456789abcdef0123456789abcdef';
const HS = '{"alg":"HS256","kid":"h"}';
const ES = '{"alg":"ES256","kid":"e"}';
const CLAIMS = '"sub":"u","exp":1800000000,"rooms":{"*":"read","docs/?":"write"}';

const base64url = (text) => Buffer.from(text, 'latin1').toString('base64url');
const token = (header, claims, signature) => {
  const parts = `${base64url(header)}.${base64url(claims)}`;
  const own = createHmac('sha256', TOKEN_SECRET).update(parts).digest();
  return Buffer.concat([hex('00'), utf8(`${parts}.${(signature ?? own).toString('base64url')}`)]);
};
const signed = (claims, header = HS) =>
  Buffer.concat([hex('01'), part(utf8(header)), part(Buffer.from(claims, 'latin1'))]);
const fit = (pattern, name) => Buffer.concat([hex('02'), part(utf8(pattern)), part(utf8(name))]);
const keys = (...list) => Buffer.concat([hex('03'), utf8(JSON.stringify({ keys: list }))]);
const origin = (from, host, list) =>
  Buffer.concat([hex('04'), part(Buffer.from(from, 'latin1')), part(utf8(host)), utf8(list)]);
const oct = { kty: 'oct', alg: 'HS256', kid: 'a', k: base64url(TOKEN_SECRET) };
const rsa = { kty: 'RSA', alg: 'RS256', kid: 'r', n: '_'.repeat(342) + 'w', e: 'AQAB' };
const ec = {
  kty: 'EC',
  alg: 'ES256',
  kid: 'e',
  crv: 'P-256',
  x: 'axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY',
  y: 'T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU',
};

/* Those that are sent as they are have expired: nobody but the fuzz target signs one that counts. */
write('token', {
  expired: token(HS, '{"sub":"u","exp":1,"rooms":{}}'),
  none: token('{"alg":"none"}', `{${CLAIMS}}`, Buffer.from('x')),
  confused: token('{"alg":"HS256","kid":"e"}', `{${CLAIMS}}`),
  'es256-zeros': token(ES, `{${CLAIMS}}`, Buffer.alloc(64)),
  'es256-ones': token(ES, `{${CLAIMS}}`, Buffer.alloc(64, 1)),
  'es256-der': token(ES, `{${CLAIMS}}`, hex('30 06 02 01 01 02 01 01')),
  'empty-parts': utf8('\0..'),
  padded: utf8('\0e30=.e30=.e30='),
  encrypted: utf8('\0e30.e30.e30.e30.e30'),
  valid: signed(`{${CLAIMS}}`),
  full: signed(`{"tenant":"acme","aud":["b","a"],"iss":"i","nbf":1,"iat":1700000000,${CLAIMS}}`),
  'aud-text': signed(`{"aud":"a","iss":"i",${CLAIMS}}`),
  twice: signed(`{"sub":"v",${CLAIMS}}`),
  crit: signed(`{${CLAIMS}}`, '{"alg":"HS256","kid":"h","crit":["exp"],"b64":false}'),
  jwk: signed(`{${CLAIMS}}`, `{"alg":"HS256","kid":"h","jwk":${JSON.stringify(oct)}}`),
  'exp-text': signed('{"sub":"u","exp":"1800000000","rooms":{}}'),
  'exp-huge': signed('{"sub":"u","exp":9223372036854775808,"rooms":{}}'),
  'exp-real': signed('{"sub":"u","exp":1.8e9,"rooms":{}}'),
  'exp-negative': signed('{"sub":"u","exp":-1,"rooms":{}}'),
  'sub-control': signed('{"sub":"a\\u0085\\n","exp":1800000000,"rooms":{}}'),
  'sub-nul': signed('{"sub":"a\\u0000","exp":1800000000,"rooms":{}}'),
  'no-utf8': signed('{"sub":"\xff","exp":1800000000,"rooms":{}}'),
  'rooms-list': signed('{"sub":"u","exp":1800000000,"rooms":[["*","read"]]}'),
  'rooms-owner': signed('{"sub":"u","exp":1800000000,"rooms":{"a":"read","*":"owner"}}'),
  nested: signed(`{"a":${'['.repeat(2100)}`),
  fits: fit('docs/*/final-?', 'docs/a/b/final-é'),
  stars: fit('*a*a*a*b', 'aaaaaaaaaaaaaaaaaaaaaaaaa'),
  'key-oct': keys(oct),
  'key-rsa': keys(rsa),
  'key-ec': keys({ ...ec, use: 'sig', d: 'AQ' }),
  'keys-all': keys(oct, rsa, ec),
  'keys-twice': keys(oct, oct),
  'key-short': keys({ ...oct, k: 'AAAA' }),
  'key-off-curve': keys({ ...ec, y: ec.x }),
  'origin-listed': origin('https://app.example.com', 'localhost', 'https://app.example.com, x://y:1'),
  'origin-own': origin('http://localhost:3000', '127.0.0.1:8080', ''),
  'origin-ipv6': origin('http://[0:0::1]:80', '[::1]', ''),
  'origin-null': origin('null', 'a', ''),
  'origin-userinfo': origin('https://u@a', 'u@a', 'https://u@a'),
  'origin-idn': origin('https://\xe4.example', 'a', 'https://a'),
});

/* ---- tokens of documents: payloads, which the target seals, and whole ones ---- */

const tokenNames = (...names) =>
  Buffer.concat(names.map((name) => Buffer.from([name.length, ...Buffer.from(name)])));
const tokenPayload = (access, names, expires = 0xffff) => {
  const times = Buffer.alloc(17);
  times.writeBigUInt64BE(1n, 0);
  times.writeBigUInt64BE(BigInt(expires), 8);
  times[16] = access;
  return Buffer.concat([times, names]);
};

write('doc_token', {
  whole: tokenPayload(2, tokenNames('acme', 'plan', 'ada')),
  reader: tokenPayload(1, tokenNames('t', 'd', '')),
  'expired-now': tokenPayload(1, tokenNames('t', 'd', ''), 1),
  'no-access': tokenPayload(0, tokenNames('t', 'd', '')),
  'no-tenant': tokenPayload(1, tokenNames('', 'd', '')),
  'two-names': tokenPayload(1, tokenNames('t', 'd')),
  'four-names': tokenPayload(1, tokenNames('t', 'd', 'u', 'x')),
  longest: tokenPayload(2, tokenNames('t'.repeat(255), 'd'.repeat(255), 'u'.repeat(255))),
  'too-long': tokenPayload(2, Buffer.alloc(850, 'x')),
  'not-sealed': Buffer.from('d1.AAAAAAAAA-gAAAAAAAAH0AIEYWNtZQZwbGFuLTEDYWRh'),
  'not-base64': Buffer.from('d1.*'),
  'of-another-version': Buffer.from('d2.AAAA'),
  nothing: Buffer.from('d1.'),
});

/* ---- frames of y-sweet's client ---- */

write('ysweet', {
  status: hex('66 01 05'),
  'status-long': hex('66 05 ff ff ff ff 0f'),
  'status-empty': hex('66 00'),
  'status-cut': hex('66 05 01'),
  'status-long-type': hex('e6 80 00 01 05'),
  'query-with-body': hex('03 04 01 05 01 00'),
  'query-cut': hex('03 04 01'),
  query: hex('03'),
  step1: hex('00 00 01 00'),
  step2: hex('00 01 02 00 00'),
  'update-and-status': hex('00 02 02 00 00 66 01 01'),
  awareness: hex('01 01 00'),
  foreign: hex('02 00 01 61'),
  'no-type': hex('ff ff'),
  'huge-length': hex('66 ff ff ff ff ff ff ff 7f 00'),
  nothing: Buffer.alloc(0),
});

const proxyHeader = (command, transport, body, step = 256) =>
  Buffer.concat([Buffer.from([step - 1]), hex('0d0a0d0a000d0a515549540a'),
    Buffer.from([command, transport, body.length >> 8, body.length & 255]), body]);
const TCP4 = hex('c0000207 0a000001 1f90 01bb');
const TCP6 = hex('20010db8000000000000000000000001 20010db8000000000000000000000002 1f90 01bb');
const tlv = (type, value) => Buffer.concat([Buffer.from([type, 0, value.length]), value]);
const withTlvs = (...tlvs) => proxyHeader(0x21, 0x11, Buffer.concat([TCP4, ...tlvs]));
write('proxy_header', {
  tcp4: proxyHeader(0x21, 0x11, TCP4),
  'tcp4-in-pieces': Buffer.concat([proxyHeader(0x21, 0x11, TCP4, 1), utf8('GET /')]),
  tcp6: proxyHeader(0x21, 0x21, TCP6, 5),
  unspecified: proxyHeader(0x21, 0, hex('0102')),
  local: proxyHeader(0x20, 0, hex('')),
  'local-tcp4': proxyHeader(0x20, 0x11, TCP4),
  ssl: withTlvs(tlv(1, utf8('h2')), tlv(0x20, hex('01 00000000 21 0007 544c53 76312e33')), tlv(4, hex(''))),
  'ssl-short': withTlvs(tlv(0x20, hex('01'))),
  'tlv-too-long': withTlvs(hex('01 00ff 00')),
  'tlv-half': withTlvs(hex('01 00')),
  'short-address': proxyHeader(0x21, 0x21, TCP4),
  udp: proxyHeader(0x21, 0x12, TCP4),
  unix: proxyHeader(0x21, 0x31, Buffer.alloc(216)),
  'version-3': proxyHeader(0x31, 0x11, TCP4),
  longest: proxyHeader(0x21, 0, Buffer.alloc(4080)),
  'too-long': proxyHeader(0x21, 0, Buffer.alloc(4081)),
  'version-1': Buffer.concat([hex('ff'), utf8('PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n')]),
  cut: proxyHeader(0x21, 0x21, TCP6).subarray(0, 30),
  nothing: hex('00'),
});

/* ---- frames of HocuspocusProvider ---- */

const ofDoc = (body) => Buffer.concat([hex('01 64'), hex(body)]);

write('hocuspocus', {
  token: ofDoc('02 00 03 616263'),
  'token-empty': ofDoc('02 00 00'),
  'token-and-version': ofDoc('02 00 03 616263 05 342e382e30'),
  'token-cut': ofDoc('02 00 04 6162'),
  denied: ofDoc('02 01 02 6e6f'),
  step1: ofDoc('00 00 01 00'),
  step2: ofDoc('00 01 02 00 00'),
  update: ofDoc('00 02 02 00 00'),
  awareness: ofDoc('01 01 00'),
  query: ofDoc('03'),
  reply: ofDoc('04 00 00 01 00'),
  stateless: ofDoc('05 01 61'),
  close: ofDoc('07'),
  status: ofDoc('08 01'),
  unknown: ofDoc('c8 01 00'),
  session: hex('05 64 00 6b3378 00 00 01 00'),
  'session-only': hex('04 00 6b3378 07'),
  'no-name': hex('00 07'),
  'no-type': hex('01 64'),
  'key-cut': hex('05 64 07'),
  'key-longest': Buffer.concat([hex('80 03'), Buffer.alloc(384, 'k'), hex('07')]),
  'key-too-long': Buffer.concat([hex('81 03'), Buffer.alloc(385, 'k'), hex('07')]),
  'huge-length': hex('ff ff ff ff ff ff ff ff 7f 00'),
  ping: hex('09'),
  pong: hex('0a'),
  nothing: Buffer.alloc(0),
});

/* ---- what a hostile room sends to a gateway (fuzz_room_link.c) ---- */

const session = (i) => Buffer.concat([hex('cf'), utf8(`SESSION${i}`)]);
const bodies = (...list) =>
  Buffer.concat([
    Buffer.from([0]),
    ...list.flatMap((body) => [Buffer.from([body.length & 0xff, body.length >> 8]), body]),
  ]);
const onWire = (...list) =>
  Buffer.concat([
    Buffer.from([1]),
    ...list.flatMap((body) => [Buffer.from([body.length, 0, 0, 0]), body]),
  ]);
const WELCOME = message(66, U64, 0, 0);
const theEdit = bin(Buffer.from(Y.encodeStateAsUpdate(text())));
const NONE = bin(Buffer.alloc(0));
const PRESENCE = bin(hex('01 07 01 02 7b7d'));
write('room_link', {
  welcome: bodies(WELCOME),
  'welcome-twice': bodies(WELCOME, WELCOME),
  'welcome-far': bodies(message(66, U64, U64, 0)),
  update: bodies(WELCOME, message(61, 1, session(0), theEdit, NONE), message(65, 1)),
  'update-v2': bodies(WELCOME, message(61, 1, 0, theEdit, theEdit)),
  'update-again': bodies(WELCOME, message(61, 1, 0, theEdit, NONE), message(61, 1, 0, theEdit, NONE)),
  'update-without-welcome': bodies(message(61, 1, 0, theEdit, NONE)),
  'update-that-is-none': bodies(WELCOME, message(61, 1, 0, bin(hex('09 09')), NONE)),
  presence: bodies(WELCOME, message(62, 0, 0, PRESENCE), message(62, session(0), 0, PRESENCE)),
  'presence-for-one': bodies(WELCOME, message(62, 0, session(1), PRESENCE)),
  'presence-that-is-none': bodies(WELCOME, message(62, 0, 0, bin(hex('ff ff')))),
  applied: bodies(WELCOME, message(63, session(0), 1, 1), message(63, U64, 1, 1)),
  rejected: bodies(WELCOME, ...[0, 1, 2, 3].map((i) => message(64, session(i), 0, 8))),
  'rejected-presence': bodies(WELCOME, message(64, session(0), 1, 12), message(64, session(3), 5, 7)),
  'rejected-for-no-reason': bodies(WELCOME, message(64, session(2), 1, U32)),
  stored: bodies(WELCOME, message(65, 5), message(65, 3), message(65, U64)),
  view: bodies(WELCOME, message(67, session(2), 1, bin(utf8('[]\n')))),
  'view-of-another': bodies(WELCOME, message(67, session(0), 1, bin(utf8('{}')))),
  change: bodies(WELCOME, message(68, 1, 1, session(2), bin(utf8('[]')))),
  'change-through-no-lens': bodies(WELCOME, message(68, 0, 1, session(2), bin(utf8('[]')))),
  'change-through-an-unknown-lens': bodies(WELCOME, message(68, U32, 1, session(2), NONE)),
  'of-nobody': bodies(WELCOME, message(63, U64, 1, 1), message(64, U64, 1, 1), message(67, U64, 1, NONE)),
  'of-another-process': bodies(message(1, 7, ...NAMES), WELCOME),
  'no-message': bodies(hex('c0')),
  'on-the-wire': onWire(WELCOME, message(65, 5)),
  'no-frame': Buffer.concat([hex('01'), hex('ff ff ff ff 00')]),
  'half-a-frame': Buffer.concat([hex('01'), hex('20 00 00 00 92')]),
  'empty-frame': Buffer.concat([hex('01'), hex('00 00 00 00')]),
});

/* ---- and to snapshotd (fuzz_room_store.c) ---- */

const LINEAGE = Buffer.concat([hex('cf'), utf8('LINEAGE0')]);
const OPEN = message(30, YES, 1, LINEAGE, 0);
write('room_store', {
  open: bodies(OPEN),
  'open-new': bodies(message(30, NO, 0, U64, 0)),
  'open-without-lineage': bodies(message(30, YES, 1, 0, 0)),
  'open-twice': bodies(OPEN, OPEN),
  'open-of-another-lineage': bodies(message(30, YES, 1, U64, 1)),
  'open-far': bodies(message(30, YES, U64, LINEAGE, U64)),
  dirty: bodies(OPEN, message(34, 1), message(34, 1)),
  'dirty-far': bodies(OPEN, message(34, U64)),
  'dirty-back': bodies(OPEN, message(34, 1), message(34, 0)),
  'dirty-first': bodies(message(34, 1)),
  'of-another-process': bodies(OPEN, message(20, ...NAMES)),
  'no-message': bodies(hex('c0')),
  'on-the-wire': onWire(OPEN, message(34, 1)),
  'no-frame': Buffer.concat([hex('01'), hex('ff ff ff ff 00')]),
});

/* ---- and to its supervisor (fuzz_room_control.c) ---- */

const CRASH = 3 << 1;
const FAIL = 1 << 1;
const endingAs = (how, input) => Buffer.concat([Buffer.from([input[0] | how]), input.subarray(1)]);
const READY = message(12);
write('room_control', {
  ready: bodies(READY),
  'ready-and-crash': endingAs(CRASH, bodies(READY)),
  'ready-twice': bodies(READY, READY),
  failed: endingAs(FAIL, bodies(message(13, 8, bin(utf8('the store is away'))))),
  'failed-for-no-reason': endingAs(FAIL, bodies(message(13, U32, NONE))),
  'failed-with-control-characters': endingAs(FAIL, bodies(message(13, 8, bin(hex('1b 5b 0a 00 ff'))))),
  damaged: endingAs(2 << 1, bodies(message(13, 8, bin(utf8('record 1'))))),
  idle: bodies(READY, message(14, 0)),
  'idle-with-links': bodies(READY, message(14, U32)),
  'idle-first': bodies(message(14, 0)),
  detached: bodies(READY, message(17), message(17)),
  replace: bodies(READY, message(18)),
  'replace-twice': bodies(READY, message(18), message(18)),
  rename: bodies(READY, message(18), message(21)),
  'rename-nothing': bodies(READY, message(21)),
  'replace-failed': bodies(READY, message(18), message(24), message(21)),
  'of-another-process': bodies(READY, message(20, ...NAMES)),
  'no-message': endingAs(CRASH, bodies(hex('c0'))),
  'on-the-wire': onWire(READY, message(14, 0)),
  'no-frame': Buffer.concat([hex('01'), hex('ff ff ff ff 00')]),
  nothing: hex('00'),
});

/* ---- the JSON envelope (fuzz_json.c) ---- */

const yjsMessage = (value) => Buffer.concat([hex('00'), utf8(JSON.stringify(value))]);
const opsMessage = (value) => Buffer.concat([hex('01'), utf8(JSON.stringify(value))]);
const base64Edit = Buffer.from(Y.encodeStateAsUpdateV2(text())).toString('base64');
write('json', {
  op: yjsMessage({ t: 'op', seq: 1, data: { update: base64Edit } }),
  'op-v1': yjsMessage({ t: 'op', seq: 2 ** 53 - 1, data: { update: 'AAA=', format: 'v1' } }),
  'op-without-seq': yjsMessage({ t: 'op', data: { update: 'AAA=' } }),
  'op-that-is-no-base64': yjsMessage({ t: 'op', seq: 1, data: { update: '!' } }),
  'ops-insert': opsMessage({ t: 'op', seq: 1, data: { ins: 'é😀', at: 0 } }),
  'ops-nested': opsMessage({ t: 'op', seq: 1, data: { a: [[[{ b: null }]]] } }),
  presence: yjsMessage({ t: 'presence', user: 'me', cursor: 0 }),
  'presence-of-a-client': yjsMessage({ t: 'presence', client: 7, state: { a: 1.5e300 } }),
  'presence-that-is-gone': yjsMessage({ t: 'presence', state: null }),
  foreign: yjsMessage({ t: 'hello' }),
  'no-t': yjsMessage({}),
  'no-object': yjsMessage([1]),
  twice: Buffer.concat([hex('00'), utf8('{"t":"op","t":"presence"}')]),
  escapes: Buffer.concat([hex('00'), utf8('{"t":"presence","u":"\\ud83d\\ude00\\u0000"}')]),
  'half-a-pair': Buffer.concat([hex('01'), utf8('{"t":"op","seq":1,"data":{"ins":"\\ud83d"}}')]),
  deep: Buffer.concat([hex('00'), utf8(`{"t":"presence","a":${'['.repeat(200)}${']'.repeat(200)}}`)]),
  'no-utf8': Buffer.concat([hex('00'), utf8('{"t":"'), hex('ff'), utf8('"}')]),
  states: Buffer.concat([hex('02 02 07 01 02 7b7d 08 01 04 6e756c6c')]),
  'state-that-is-no-json': Buffer.concat([hex('02 02 07 01 01 7b 08 01 02 7b7d')]),
  'states-cut': hex('02 05 07 01'),
});
