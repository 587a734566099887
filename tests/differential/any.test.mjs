/*
 * JSON and `any` against JavaScript: embeds hold their value as JSON in format v1 and as `any` in
 * format v2, so converting an update with one embed shows the engine's way from one to the other.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as encoding from 'lib0/encoding';
import * as Y from 'yjs';
import { jsonValue } from './history.mjs';
import { Peer, Refused } from './peer.mjs';
import { Random, settings } from './random.mjs';

const { seed, runs } = settings(2000);

const EMBED = 5;
const IN_ROOT = 1;

let peer;

before(() => {
  peer = new Peer();
});
after(async () => assert.equal(await peer.close(), 0));

const hex = (bytes) => Buffer.from(bytes).toString('hex');

/* A v1 update with one embed whose JSON is `text`, as it stands. */
const embedV1 = (text) => {
  const encoder = encoding.createEncoder();
  for (const number of [1, 1, 7, 0]) encoding.writeVarUint(encoder, number);
  encoding.writeUint8(encoder, EMBED);
  encoding.writeVarUint(encoder, IN_ROOT);
  encoding.writeVarString(encoder, 't');
  encoding.writeVarString(encoder, text);
  encoding.writeVarUint(encoder, 0);
  return encoding.toUint8Array(encoder);
};

/* A v2 update with one embed whose `any` is what `write` writes. */
const embedV2 = (write) => {
  const encoder = encoding.createEncoder();
  const column = (bytes) => encoding.writeVarUint8Array(encoder, Uint8Array.from(bytes));
  encoding.writeVarUint(encoder, 0);
  column([]);
  column([7]);
  column([]);
  column([]);
  column([EMBED]);
  column([1, 't'.charCodeAt(0), 1]);
  column([IN_ROOT]);
  column([]);
  column([]);
  for (const number of [1, 1, 0]) encoding.writeVarUint(encoder, number);
  write(encoder);
  encoding.writeVarUint(encoder, 0);
  return encoding.toUint8Array(encoder);
};

const sameToV2 = async (text) => {
  const update = embedV1(text);
  assert.equal(hex(await peer.toV2(update)), hex(Y.convertUpdateFormatV1ToV2(update)), text);
};

const sameToV1 = async (write, what) => {
  const update = embedV2(write);
  assert.equal(
    Buffer.from(await peer.toV1(update)).toString('latin1'),
    Buffer.from(Y.convertUpdateFormatV2ToV1(update)).toString('latin1'),
    what,
  );
};

const anyDouble = (random) => {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, random.below(2 ** 32));
  view.setUint32(4, random.chance(0.3) ? 0 : random.below(2 ** 32));
  return view.getFloat64(0);
};

test(`numbers from seed ${seed}`, async () => {
  const random = new Random(seed);
  const numbers = [];
  for (let power = -1074; power < 1024; power++) numbers.push(2 ** power, 2 ** power * 3);
  for (let power = -323; power < 309; power++)
    numbers.push(Number(`1e${power}`), Number(`9.5e${power}`));
  for (let i = 0; i < runs; i++) {
    numbers.push(
      anyDouble(random),
      Math.fround(anyDouble(random)),
      random.below(2 ** 32),
      random.real() * 1000,
    );
  }
  for (const number of numbers) {
    await sameToV1((encoder) => encoding.writeAny(encoder, [number, -number]), `${number}`);
    if (Number.isFinite(number)) await sameToV2(`[${number},${-number}]`);
  }
});

test(`values from seed ${seed}`, async () => {
  const random = new Random(seed);
  for (let i = 0; i < runs; i++) {
    const value = jsonValue(random);
    await sameToV1((encoder) => encoding.writeAny(encoder, value), JSON.stringify(value));
    await sameToV2(JSON.stringify(value, null, random.below(3)));
  }
});

const TEXTS = [
  ' \t\r\n null \n',
  '{"b":1,"a":2,"10":3,"9":4,"01":5,"-1":6,"4294967294":7,"4294967295":8}',
  '{"a":1,"b":2,"a":{"c":3,"c":4}}',
  '{"__proto__":{"a":1},"toJSON":2,"constructor":3}',
  '{"\\u0061":1,"a":2}',
  '"\\u0041\\n\\/\\"\\\\\\b\\f\\r\\t\\u2028\\u0000\u007f"',
  '"\\ud83d\\ude00 \\ud83d \\ude00 \\ud83d\\u0041 \\uD83D\\uDE00"',
  '-0',
  '-0.0',
  '0e10',
  '1E+2',
  '1e-2',
  '1e400',
  '-1e400',
  '123456789012345678901234567890',
  '0.1',
  '1e21',
  '2147483647',
  '2147483648',
  '-2147483648',
  '16777217',
  '0.30000001192092896',
  '""',
  '[]',
  '{}',
  '[[],{}]',
  'true',
  'false',
  '"😀é"',
  '{"":""}',
  JSON.stringify(
    Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`k${(i * 37) % 200}`, i])),
  ),
  JSON.stringify(Array.from({ length: 300 }, (_, i) => [i])),
  `{${Array.from({ length: 50 }, (_, i) => `"${(i * 7) % 20}":${i}`).join()}}`,
  '['.repeat(200) + ']'.repeat(200),
];

test('JSON that JSON.parse takes', async () => {
  for (const text of TEXTS) await sameToV2(text);
});

const NOT_JSON = [
  '',
  ' ',
  'undefined',
  'nul',
  'nulll',
  'NaN',
  '01',
  '-',
  '-a',
  '1.',
  '.5',
  '1e',
  '1e+',
  '+1',
  '0x1',
  '1 2',
  '"',
  '"\n"',
  '"\\x"',
  '"\\u12"',
  '"\\u12g4"',
  "'a'",
  '[',
  ']',
  '[1',
  '[1,]',
  '[,1]',
  '{',
  '}',
  '{"a"}',
  '{"a":}',
  '{"a":1,}',
  '{a:1}',
  '{1:1}',
  '\ufeff1',
  '1\u00a0',
  '/**/1',
  '[1}',
  '{"a":1]',
  '\u2028',
];

test('text that JSON.parse does not take', async () => {
  for (const text of NOT_JSON) {
    assert.throws(() => Y.convertUpdateFormatV1ToV2(embedV1(text)), `Yjs takes ${text}`);
    await assert.rejects(peer.toV2(embedV1(text)), Refused, text);
  }
});

/* An object as it stands on the wire, which writeAny would not leave so. */
const rawObject = (members) => (encoder) => {
  encoding.writeUint8(encoder, 118);
  encoding.writeVarUint(encoder, members.length);
  for (const [key, value] of members) {
    encoding.writeVarString(encoder, key);
    encoding.writeAny(encoder, value);
  }
};

test('any that JSON has no word for', async () => {
  const values = [
    [undefined, NaN, Infinity, -Infinity, new Uint8Array([1, 2, 255]), new Uint8Array()],
    { a: undefined, b: 1, c: undefined },
    { a: undefined },
    { a: { b: undefined, 3: 1, 2: undefined, 1: 0 } },
  ];
  for (const value of values) await sameToV1((encoder) => encoding.writeAny(encoder, value));
  const members = [
    [
      ['b', 1],
      ['a', 2],
      ['b', 3],
    ],
    [
      ['b', 1],
      ['b', undefined],
      ['c', 1],
    ],
    [
      ['b', undefined],
      ['c', 1],
      ['b', 2],
    ],
    [
      ['z', 1],
      ['10', 2],
      ['9', 3],
      ['z', undefined],
    ],
    [
      ['__proto__', { a: 1 }],
      ['x', 1],
    ],
    [
      ['x', 1],
      ['__proto__', 5],
    ],
    Array.from({ length: 100 }, (_, i) => [`${(i * 13) % 40}`, i % 7 ? i : undefined]),
    Array.from({ length: 100 }, (_, i) => [`k${(i * 13) % 40}`, i % 7 ? i : undefined]),
  ];
  for (const list of members) await sameToV1(rawObject(list), JSON.stringify(list));
});

test('a BigInt gives its digits, undefined gives null', async () => {
  const jsonOf = async (value) => {
    const v1 = Buffer.from(
      await peer.toV1(embedV2((encoder) => encoding.writeAny(encoder, value))),
    );
    return v1.subarray(9, -1).toString();
  };
  assert.equal(await jsonOf(-(2n ** 63n)), '-9223372036854775808');
  assert.equal(await jsonOf([2n ** 60n]), '[1152921504606846976]');
  assert.equal(await jsonOf(undefined), 'null');
});
