/*
 * Writes corpus/: a few small inputs for each fuzz target, made of real histories by npm yjs and of
 * what no encoder writes. The same every time, so that it needs to be run only when it changes:
 *
 *     node tests/fuzz/make_corpus.mjs
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
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
