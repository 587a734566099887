/*
 * Rows about frames (RFC 6455, sections 5.2 to 5.6). Their numbers follow the groups of the
 * Autobahn test suite, with more of our own (`+`). A row:
 *
 *     send    what the client sends, frame by frame
 *     chop    how it is written: 'whole' (default), 'frame', 'octet', or pieces of so many octets
 *     expect  the messages and pongs that must come, in order
 *     isEarly whether the frames follow the request without waiting for its answer
 *     ends    how it ends: nothing for a close by the client, which the runner sends behind the
 *             rest and which must be answered; { fails: code } for a failure that the server closes
 *             with; { closes: code } for a close frame among those sent, answered with this code,
 *             null for one without; { cut: true } for a client that ends its side of the
 *             connection, for which the server sends no close frame
 */
import {
  BINARY, FIN, MORE, PING, PONG, TEXT, binary, closing, fragments, frame, hex, ping, pong, slices,
  text,
} from './wire.mjs';

export const gotText = (payload) => ({ opcode: TEXT, payload });
export const gotBinary = (payload) => ({ opcode: BINARY, payload });
export const gotPong = (payload = '') => ({ opcode: PONG, payload });

export const CHOPS = ['whole', 'frame', 'octet'];
export const fails = (code) => ({ fails: code });

/* The same row in each way of chopping, numbered on from `id`. */
export const inEveryChop = (id, row) => {
  const [, group, number] = /^(.*\.)(\d+)$/.exec(id);
  return CHOPS.map((chop, i) => ({ ...row, id: `${group}${Number(number) + i}`, chop }));
};

/* ---- 1: lengths ---- */

const SIZES = [0, 125, 126, 127, 128, 65535, 65536];
const lengths = (group, send, got, payloadOf) => [
  ...SIZES.map((size, i) => ({
    id: `1.${group}.${i + 1}`, send: [send(payloadOf(size))], expect: [got(payloadOf(size))],
  })),
  {
    id: `1.${group}.8`, chop: 997, send: [send(payloadOf(65536))], expect: [got(payloadOf(65536))],
  },
  ...SIZES.slice(0, -2).map((size, i) => ({
    id: `1.${group}.${i + 9}+`,
    chop: 'octet',
    send: [send(payloadOf(size))],
    expect: [got(payloadOf(size))],
  })),
  {
    id: `1.${group}.14+`, chop: 'octet', send: [send(payloadOf(300))],
    expect: [got(payloadOf(300))],
  },
];
const stars = (size) => '*'.repeat(size);
const ALL_OCTETS = Buffer.from(Array.from({ length: 256 }, (_, i) => (i * 31) & 0xff));
const octets = (size) => Buffer.alloc(size, ALL_OCTETS);

/* ---- 2: pings and pongs ---- */

const tenPings = Array.from({ length: 10 }, (_, i) => `payload-${i}`);
const pings = [
  { id: '2.1', send: [ping()], expect: [gotPong()] },
  { id: '2.2', send: [ping('Hello, world!')], expect: [gotPong('Hello, world!')] },
  {
    id: '2.3', send: [ping(hex('00 ff fe fd fc fb 00 ff'))],
    expect: [gotPong(hex('00 ff fe fd fc fb 00 ff'))],
  },
  { id: '2.4', send: [ping(octets(125))], expect: [gotPong(octets(125))] },
  { id: '2.5', send: [ping(octets(126))], ends: fails(1002) },
  { id: '2.6', chop: 'octet', send: [ping(octets(125))], expect: [gotPong(octets(125))] },
  { id: '2.7', send: [pong()] },
  { id: '2.8', send: [pong('unasked')] },
  { id: '2.9', send: [pong('unasked'), ping('asked')], expect: [gotPong('asked')] },
  ...inEveryChop('2.10', { send: tenPings.map(ping), expect: tenPings.map(gotPong) }),
  { id: '2.13+', send: [pong(octets(126))], ends: fails(1002) },
  {
    id: '2.14+', chop: 'octet', send: [frame(FIN | PING, '', { length: 65536 })], ends: fails(1002),
  },
  {
    id: '2.15+', send: [ping(''), text(''), ping('x')],
    expect: [gotPong(), gotText(''), gotPong('x')],
  },
];

/* ---- 3: reserved bits ---- */

const BITS = [1, 2, 3, 4, 5, 6, 7];
const reserved = [
  ...BITS.map((bits) => ({
    id: `3.${bits}`,
    chop: CHOPS[bits % 3],
    send: [text('before'), frame(FIN | (bits << 4) | TEXT, 'x'), ping('after')],
    expect: [gotText('before')],
    ends: fails(1002),
  })),
  ...[BINARY, 8, PING, PONG].map((opcode, i) => ({
    id: `3.${8 + i}+`, send: [frame(FIN | 0x40 | opcode, '')], ends: fails(1002),
  })),
  { id: '3.12+', send: [frame(TEXT, 'a'), frame(FIN | 0x20 | MORE, 'b')], ends: fails(1002) },
  /* at its first octet */
  { id: '3.13+', send: [Buffer.from([FIN | 0x10 | TEXT])], ends: fails(1002) },
];

/* ---- 4: opcodes ---- */

const unknown = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap((opcode) => {
  const id = opcode < 8 ? `4.1.${opcode - 2}` : `4.2.${opcode - 10}`;
  return [
    {
      id,
      chop: CHOPS[opcode % 3],
      send: [text('before'), frame(FIN | opcode, opcode % 2 ? '' : 'x'), ping()],
      expect: [gotText('before')],
      ends: fails(1002),
    },
    { id: `${id}+`, send: [frame(TEXT, 'a'), frame(opcode, '')], ends: fails(1002) },
  ];
});

/* ---- 5: fragments ---- */

const two = ['fragment1', 'fragment2'];
const whole = gotText(two.join(''));
const five = ['fragment1', 'fragment2', 'fragment3', 'fragment4', 'fragment5'];
const withPings = fragments(TEXT, five, { 1: [ping('first')], 3: [ping('second'), pong('x')] });
const fragmented = [
  { id: '5.1', send: fragments(PING, two), ends: fails(1002) },
  { id: '5.2', send: fragments(PONG, two), ends: fails(1002) },
  ...inEveryChop('5.3', { send: fragments(TEXT, two), expect: [whole] }),
  ...inEveryChop('5.6', {
    send: fragments(TEXT, two, { 0: [ping('between')] }), expect: [gotPong('between'), whole],
  }),
  ...inEveryChop('5.9', { send: [frame(FIN | MORE, 'none'), text('x')], ends: fails(1002) }),
  ...inEveryChop('5.12', { send: [frame(MORE, 'none'), text('x')], ends: fails(1002) }),
  {
    id: '5.15', send: [...fragments(TEXT, two), frame(MORE, 'none'), text('x')],
    expect: [whole], ends: fails(1002),
  },
  {
    id: '5.16', send: [frame(MORE, 'a'), frame(TEXT, 'b'), frame(FIN | MORE, 'c')],
    ends: fails(1002),
  },
  {
    id: '5.17', send: [frame(FIN | MORE, 'a'), frame(TEXT, 'b'), frame(FIN | MORE, 'c')],
    ends: fails(1002),
  },
  { id: '5.18', send: [frame(TEXT, 'a'), text('b')], ends: fails(1002) },
  ...inEveryChop('5.19', {
    send: withPings, expect: [gotPong('first'), gotPong('second'), gotText(five.join(''))],
  }),
  { id: '5.22+', send: [frame(TEXT, 'a'), frame(BINARY, 'b')], ends: fails(1002) },
  /* A ping between fragments is answered before the message has its end. */
  {
    id: '5.23+', send: [frame(TEXT, 'a'), ping('now'), frame(0x83, '')], expect: [gotPong('now')],
    ends: fails(1002),
  },
  { id: '5.24+', send: fragments(BINARY, ['', '', '']), expect: [gotBinary('')] },
  {
    id: '5.25+', send: fragments(TEXT, Array(4096).fill('x')), expect: [gotText('x'.repeat(4096))],
  },
  { id: '5.26+', send: fragments(TEXT, Array(4097).fill('x')), ends: fails(1008) },
  { id: '5.27+', send: [frame(8, hex('03e8'))], ends: fails(1002) },
  {
    id: '5.29+', send: [frame(TEXT, 'a'), ping('now')], expect: [gotPong('now')],
    ends: { cut: true },
  },
  {
    id: '5.28+', send: [...fragments(TEXT, two), ...fragments(BINARY, two)],
    expect: [whole, gotBinary(two.join(''))],
  },
];

/* ---- 9 and 10: larger messages ---- */

const MIB = 1 << 20;
const KIB = 1 << 10;
const large = [
  ...[64 * KIB, 256 * KIB, MIB, 4 * MIB].flatMap((size, i) => [
    { id: `9.1.${i + 1}`, send: [text(stars(size))], expect: [gotText(stars(size))] },
    { id: `9.2.${i + 1}`, send: [binary(octets(size))], expect: [gotBinary(octets(size))] },
  ]),
  ...[KIB, 4 * KIB, 64 * KIB, 256 * KIB].map((size, i) => ({
    id: `9.3.${i + 1}`,
    send: fragments(TEXT, slices(stars(4 * MIB), size)),
    expect: [gotText(stars(4 * MIB))],
  })),
  ...[64 * KIB, MIB].map((size, i) => ({
    id: `9.4.${i + 1}`,
    send: fragments(BINARY, slices(octets(4 * MIB), size)),
    expect: [gotBinary(octets(4 * MIB))],
  })),
  ...[256, 1024, 2048].flatMap((chop, i) => [
    { id: `9.5.${i + 1}`, chop, send: [text(stars(MIB))], expect: [gotText(stars(MIB))] },
    { id: `9.6.${i + 1}`, chop, send: [binary(octets(MIB))], expect: [gotBinary(octets(MIB))] },
  ]),
  ...[0, 16, 64, 256, 1024, 4096].map((size, i) => ({
    id: `9.7.${i + 1}`,
    send: Array(1000).fill(text(stars(size))),
    expect: Array(1000).fill(gotText(stars(size))),
  })),
  { id: '9.9.1+', send: [binary(octets(16 * MIB))], expect: [gotBinary(octets(16 * MIB))] },
  { id: '9.9.2+', send: [frame(FIN | BINARY, '', { length: 16 * MIB + 1 })], ends: fails(1009) },
  {
    id: '9.9.3+', send: [frame(BINARY, octets(KIB)), frame(MORE, '', { length: 16 * MIB })],
    ends: fails(1009),
  },
  {
    id: '10.1.1',
    send: fragments(TEXT, slices(stars(65536), 1300)),
    expect: [gotText(stars(65536))],
  },
];

/* ---- headers that no client may send ---- */

const headers = [
  { id: '+unmasked-text', send: [frame(FIN | TEXT, 'x', { isMasked: false })] },
  { id: '+unmasked-ping', send: [frame(FIN | PING, '', { isMasked: false })] },
  { id: '+unmasked-close', send: [frame(FIN | 8, hex('03e8'), { isMasked: false })] },
  { id: '+unmasked-octets', chop: 'octet', send: [frame(FIN | BINARY, 'x', { isMasked: false })] },
  { id: '+unmasked-later', send: [frame(TEXT, 'a'), frame(FIN | MORE, 'b', { isMasked: false })] },
  { id: '+top-bit', send: [hex('82 ff 80 00 00 00 00 00 00 01 37fa213d 00')] },
  { id: '+top-bit-octets', chop: 'octet', send: [hex('82 ff ff ff ff ff ff ff ff ff')] },
  { id: '+126-with-5', send: [frame(FIN | TEXT, 'Hello', { octets: 2 })] },
  { id: '+126-with-0', send: [frame(FIN | TEXT, '', { octets: 2 })] },
  { id: '+126-with-125', send: [frame(FIN | BINARY, octets(125), { octets: 2 })] },
  { id: '+127-with-5', send: [frame(FIN | TEXT, 'Hello', { octets: 8 })] },
  { id: '+127-with-126', send: [frame(FIN | TEXT, stars(126), { octets: 8 })] },
  { id: '+127-with-65535', send: [frame(FIN | BINARY, octets(65535), { octets: 8 })] },
  { id: '+ping-126-with-5', send: [frame(FIN | PING, 'Hello', { octets: 2 })] },
  { id: '+ping-127-with-5', send: [frame(FIN | PING, 'Hello', { octets: 8 })] },
].map((row) => ({ ...row, ends: fails(1002) }));

export const FRAMING = [
  ...lengths(1, text, gotText, stars),
  ...lengths(2, binary, gotBinary, octets),
  ...pings,
  ...reserved,
  ...unknown,
  ...fragmented,
  ...large,
  ...headers,
  { id: '+2^63-1', send: [hex('82 ff 7f ff ff ff ff ff ff ff')], ends: fails(1009) },
  { id: '+2^32', send: [hex('82 ff 00 00 00 01 00 00 00 00')], ends: fails(1009) },
  /* A mask of zeros is a mask. */
  { id: '+zero-mask', send: [hex('81 82 00000000 6869')], expect: [gotText('hi')] },
  { id: '+cut-in-a-frame', send: [frame(FIN | TEXT, 'x').subarray(0, 5)], ends: { cut: true } },
  { id: '+cut-in-a-message', send: [frame(TEXT, 'x')], ends: { cut: true } },
  { id: '+cut-without-close', send: [text('x')], expect: [gotText('x')], ends: { cut: true } },
  ...CHOPS.map((chop) => ({
    id: '+behind-the-request', isEarly: true, chop, send: [text('early'), ping('p')],
    expect: [gotText('early'), gotPong('p')],
  })),
  { id: '+failure-behind-the-request', isEarly: true, send: [frame(0x83)], ends: fails(1002) },
  {
    id: '+half-a-frame-behind-the-request', isEarly: true, chop: 200, send: [text('*'.repeat(300))],
    expect: [gotText('*'.repeat(300))],
  },
  { id: '+closing-inside', send: [frame(TEXT, 'x'), closing(1000)], ends: { closes: 1000 } },
];
