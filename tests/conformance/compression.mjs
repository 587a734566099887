/* Rows about permessage-deflate (RFC 7692), against a server that has it turned on. See framing.mjs
 * for what a row is; besides `offer` is what the client asks for and `agreed` what must be
 * answered, undefined for no extension. Messages that come are inflated before they are compared.
 */
import { CHOPS, fails, gotBinary, gotPong, gotText } from './framing.mjs';
import {
  BINARY, FIN, MORE, PING, RSV1, TEXT, frame, hex, packed, ping, slices, text,
} from './wire.mjs';

const AGREED = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
const AGREED_15 = `${AGREED}; server_max_window_bits=15`;
const PLAIN = 'permessage-deflate';

const words = (size) => 'a few words, and again '.repeat(size / 23 + 1).slice(0, size);
const noise = (size) => {
  const out = Buffer.alloc(size);
  for (let i = 0, x = 1; i < size; i++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    out[i] = x >>> 24;
  }
  return out;
};
const packedText = (payload, options) => frame(FIN | RSV1 | TEXT, packed(payload, options));
const packedBinary = (payload, options) => frame(FIN | RSV1 | BINARY, packed(payload, options));

/* A compressed message in frames of `size` octets: only the first says that it is. */
const inFrames = (opcode, bytes, size) => {
  const pieces = slices(bytes, size);
  return pieces.map((piece, i) =>
    frame((i === pieces.length - 1 ? FIN : 0) | (i === 0 ? RSV1 | opcode : MORE), piece));
};

const SIZES = [16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072];
const sizes = SIZES.flatMap((size, i) => [
  {
    id: `12.1.${i + 1}`, send: Array(20).fill(packedText(words(size))),
    expect: Array(20).fill(gotText(words(size))),
  },
  {
    id: `12.2.${i + 1}`, send: Array(20).fill(packedBinary(noise(size))),
    expect: Array(20).fill(gotBinary(noise(size))),
  },
  {
    id: `12.3.${i + 1}`,
    chop: CHOPS[Math.min(i, 1)],
    send: inFrames(TEXT, packed(words(size), { level: 1 }), 1 + (size >> 8)),
    expect: [gotText(words(size))],
  },
]);

const chops = ['octet', 7, 1000].flatMap((chop, i) => [
  {
    id: `12.4.${i + 1}`, chop, send: [packedText(words(20000)), text('x')],
    expect: [gotText(words(20000)), gotText('x')],
  },
  {
    id: `12.5.${i + 1}`, chop, send: [packedBinary(noise(2000))], expect: [gotBinary(noise(2000))],
  },
]);

/* Every way of a client's compressor. */
const ways = [
  { level: 0 }, { level: 1 }, { level: 9 }, { windowBits: 9 }, { windowBits: 12 }, { memLevel: 1 },
  { strategy: 2 }, { strategy: 4 },
].map((options, i) => ({
  id: `12.6.${i + 1}`, send: [packedText(words(70000), options)], expect: [gotText(words(70000))],
}));

const HELLO = 'f248cdc9c907 00';
const examples = [
  { id: '12.7.1', send: [frame(FIN | RSV1 | TEXT, hex(HELLO))], expect: [gotText('Hello')] },
  {
    id: '12.7.2', send: [frame(FIN | RSV1 | TEXT, hex('00 0500 faff 48656c6c6f 00'))],
    expect: [gotText('Hello')],
  },
  {
    id: '12.7.3', send: [frame(FIN | RSV1 | TEXT, hex('f348cdc9c907 00 00'))],
    expect: [gotText('Hello')],
  },
  {
    id: '12.7.4', send: [frame(FIN | RSV1 | TEXT, hex('f248 05 000000ffff cac9c907 00'))],
    expect: [gotText('Hello')],
  },
  { id: '12.7.5', send: [frame(FIN | RSV1 | TEXT, hex('00'))], expect: [gotText('')] },
  {
    id: '12.7.6',
    send: [
      frame(RSV1 | TEXT, hex('f248cd')), ping('p'), frame(MORE, ''),
      frame(FIN | MORE, hex('c9c90700')),
    ],
    expect: [gotPong('p'), gotText('Hello')],
  },
  {
    id: '12.7.7',
    send: [text('Hello'), frame(FIN | RSV1 | TEXT, hex(HELLO)), text('Hello')],
    expect: Array(3).fill(gotText('Hello')),
  },
];

const failures = [
  { id: '12.8.1', send: [frame(FIN | RSV1 | PING, '')], ends: fails(1002) },
  { id: '12.8.2', send: [frame(FIN | RSV1 | 8, hex('03e8'))], ends: fails(1002) },
  {
    id: '12.8.3',
    send: [frame(RSV1 | TEXT, hex('f248cd')), frame(FIN | RSV1 | MORE, hex('c9c90700'))],
    ends: fails(1002),
  },
  { id: '12.8.4', send: [frame(TEXT, 'a'), frame(FIN | RSV1 | MORE, 'b')], ends: fails(1002) },
  { id: '12.8.5', send: [frame(FIN | 0x60 | TEXT, hex(HELLO))], ends: fails(1002) },
  { id: '12.8.6', send: [frame(FIN | RSV1 | TEXT, hex('ffff'))], ends: fails(1007) },
  { id: '12.8.7', send: [frame(FIN | RSV1 | TEXT, '')], ends: fails(1007) },
  { id: '12.8.8', send: [frame(FIN | RSV1 | TEXT, hex('f348cdc9c907 00'))], ends: fails(1007) },
  /* refers to the message before, which the client was told not to do */
  {
    id: '12.8.9',
    send: [HELLO, 'f2 00 11 00 00'].map((octets) => frame(FIN | RSV1 | TEXT, hex(octets))),
    expect: [gotText('Hello')], ends: fails(1007),
  },
  /* not UTF-8, without an end */
  {
    id: '12.8.10', chop: 'octet', send: [frame(RSV1 | TEXT, hex('00 0100 feff c0'))],
    ends: fails(1007),
  },
  { id: '12.8.11', send: [packedText(hex('ceba e1bd'))], ends: fails(1007) },
  { id: '12.8.12', send: [packedBinary(Buffer.alloc(17 << 20))], ends: fails(1009) },
  {
    id: '12.8.13', send: inFrames(BINARY, packed(Buffer.alloc(64 << 20)), 1024), ends: fails(1009),
  },
  {
    id: '12.8.14', send: [frame(FIN | RSV1 | BINARY, '', { length: 32 << 20 })], ends: fails(1009),
  },
];

const most = Buffer.alloc(16 << 20, 'most');
const offers = [
  [PLAIN, AGREED],
  [`${PLAIN}; client_max_window_bits`, AGREED],
  [`${PLAIN}; client_max_window_bits=9`, AGREED],
  [`${PLAIN}; client_no_context_takeover`, AGREED],
  [`${PLAIN}; server_no_context_takeover; client_no_context_takeover`, AGREED],
  [`${PLAIN}; server_max_window_bits=15`, AGREED_15],
  [`${PLAIN}; server_max_window_bits=9, ${PLAIN}`, AGREED],
  [`x-other; a="b", ${PLAIN}; client_max_window_bits="12"`, AGREED],
].map(([offer, agreed], i) => ({
  id: `13.1.${i + 1}`, offer, agreed,
  send: [packedText(words(5000), { windowBits: 9 })], expect: [gotText(words(5000))],
}));

/* Without an extension the bit is reserved. */
const declined = [
  undefined,
  `${PLAIN}; server_max_window_bits=14`,
  `${PLAIN}; server_max_window_bits=16`,
  `${PLAIN}; client_max_window_bits=7`,
  `${PLAIN}; client_max_window_bits; client_max_window_bits`,
  `${PLAIN}; server_no_context_takeover=1`,
  `${PLAIN}; other`,
  `${PLAIN}; client_max_window_bits="1`,
  `${PLAIN};`,
  `${PLAIN} ${PLAIN}`,
  'x-webkit-deflate-frame',
  'constructor, __proto__; toString',
  ','.repeat(4000),
].flatMap((offer, i) => [
  {
    id: `13.2.${i + 1}`, offer, agreed: undefined, send: [text(words(5000))],
    expect: [gotText(words(5000))],
  },
  { id: `13.3.${i + 1}`, offer, agreed: undefined, send: [packedText('x')], ends: fails(1002) },
]);

export const COMPRESSION = [
  ...[
    ...sizes, ...chops, ...ways, ...examples, ...failures,
    { id: '12.9.1', send: [packedBinary(most)], expect: [gotBinary(most)] },
  ].map((row) => ({ offer: PLAIN, agreed: AGREED, ...row })),
  ...offers,
  ...declined,
];
