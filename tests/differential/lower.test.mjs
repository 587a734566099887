/*
 * The names of XML nodes, which are printed in lower case, against JavaScript's toLowerCase():
 * every code point, and every one before, behind and around the one letter that looks at its
 * neighbours, the capital sigma.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as Y from 'yjs';
import { Peer } from './peer.mjs';

const POINTS = 0x110000;
const CHUNK = 0x2000;
const CONTEXTS = [
  (c) => c,
  (c) => `${c}Σ`,
  (c) => `Σ${c}`,
  (c) => `${c}aΣ`,
  (c) => `aΣ${c}`,
  (c) => `a${c}Σ`,
  (c) => `aΣ${c}a`,
  (c) => `a${c}Σ${c}`,
];

/* Each code point that Node's version of Unicode has, in all contexts; a blank ends a word. */
const nameOf = (first) => {
  let name = '';
  for (let point = first; point < first + CHUNK; point++) {
    const c = String.fromCodePoint(point);
    if (/[\p{Cn}\p{Cs}]/u.test(c)) continue;
    for (const context of CONTEXTS) name += `${context(c)} `;
  }
  return name;
};

/* Where two texts begin to differ. */
const difference = (...texts) => {
  const [a, b] = texts;
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return JSON.stringify(texts.map((text) => text.slice(Math.max(0, at - 20), at + 5)));
};

test('the names of nodes in lower case', async () => {
  const peer = new Peer();
  for (let first = 0; first < POINTS; first += CHUNK) {
    const doc = new Y.Doc();
    const name = nameOf(first);
    doc.getXmlFragment('x').insert(0, [new Y.XmlElement(name)]);
    await peer.reset();
    await peer.apply(Y.encodeStateAsUpdate(doc));
    const { x } = await peer.read({ x: 'xml' });
    const expected = `<${name.toLowerCase()}></${name.toLowerCase()}>`;
    assert.ok(x === expected, `from ${first.toString(16)}: ${difference(x, expected)}`);
  }
  assert.equal(await peer.close(), 0);
});
