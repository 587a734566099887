/* Rows about text (RFC 6455, section 8.1): what is UTF-8 (RFC 3629) comes back, and what is not
 * fails the connection at the octet that makes it so. See framing.mjs for what a row is. */
import { CHOPS, fails, gotBinary, gotText } from './framing.mjs';
import { FIN, MORE, TEXT, binary, closing, fragments, frame, hex, slices, text } from './wire.mjs';

const GREEK = 'κόσμε';
const greek = Buffer.from(GREEK);
const MIXED = Buffer.from('Hello-µ@ßöäüàá-UTF-8!!');

const empty = [
  { id: '6.1.1', send: [text('')], expect: [gotText('')] },
  { id: '6.1.2', send: fragments(TEXT, ['', '', '']), expect: [gotText('')] },
  { id: '6.1.3', send: fragments(TEXT, ['', 'middle', '']), expect: [gotText('middle')] },
];

const valid = [
  { id: '6.2.1', send: [text(MIXED)], expect: [gotText(MIXED)] },
  {
    id: '6.2.2', send: fragments(TEXT, [MIXED.subarray(0, 12), MIXED.subarray(12)]),
    expect: [gotText(MIXED)],
  },
  { id: '6.2.3', send: fragments(TEXT, slices(MIXED, 1)), expect: [gotText(MIXED)] },
  { id: '6.2.4', send: fragments(TEXT, slices(GREEK, 1)), expect: [gotText(GREEK)] },
];

/* Nothing follows the octet that is wrong: the failure must not wait for more. */
const bad = hex('ceba e1bdb9 cf83 cebc ceb5 eda080');
const atOnce = [
  { id: '6.3.1', send: [text(Buffer.concat([bad, hex('656469746564')]))] },
  { id: '6.3.2', send: fragments(TEXT, slices(Buffer.concat([bad, hex('656469746564')]), 1)) },
  { id: '6.4.1', send: [frame(TEXT, greek), frame(MORE, hex('f4 90 80 80'))] },
  { id: '6.4.2', send: [frame(TEXT, Buffer.concat([greek, hex('f4')])), frame(MORE, hex('90'))] },
  {
    id: '6.4.3', chop: 'frame',
    send: [text(Buffer.concat([greek, hex('f4908080656469')])).subarray(0, 19)],
  },
  { id: '6.4.4', chop: 'octet', send: [text(Buffer.concat([greek, hex('f490')])).subarray(0, 19)] },
  { id: '6.4.5+', chop: 'octet', send: [frame(FIN | TEXT, hex('ff'), { length: 1000 })] },
  { id: '6.4.6+', chop: 'octet', send: [frame(FIN | TEXT, hex('61c0'), { length: 1000 })] },
  { id: '6.4.7+', chop: 'octet', send: [frame(FIN | TEXT, hex('e080'), { length: 1000 })] },
  { id: '6.4.8+', chop: 'octet', send: [frame(FIN | TEXT, hex('eda0'), { length: 1000 })] },
  { id: '6.4.9+', chop: 'octet', send: [frame(FIN | TEXT, hex('f08f'), { length: 1000 })] },
].map((row) => ({ ...row, ends: fails(1007) }));

/* [id, octets, is it UTF-8?] */
const SEQUENCES = [
  ['6.5.1', 'cebae1bdb9cf83cebcceb5', true],
  /* that text, cut after each of its octets */
  ...slices(greek, 1).slice(0, -1).map((_, i) => {
    const begin = greek.subarray(0, i + 1);
    return [`6.6.${i + 1}`, begin.toString('hex'), Buffer.from(begin.toString()).equals(begin)];
  }),
  /* the first of each length */
  ['6.7.1', '00', true],
  ['6.7.2', 'c280', true],
  ['6.7.3', 'e0a080', true],
  ['6.7.4', 'f0908080', true],
  ['6.8.1', 'f888808080', false],
  ['6.8.2', 'fc8480808080', false],
  /* the last of each length */
  ['6.9.1', '7f', true],
  ['6.9.2', 'dfbf', true],
  ['6.9.3', 'efbfbf', true],
  ['6.9.4', 'f48fbfbf', true],
  ['6.10.1', 'f7bfbfbf', false],
  ['6.10.2', 'fbbfbfbfbf', false],
  ['6.10.3', 'fdbfbfbfbfbf', false],
  /* beside what is no character */
  ['6.11.1', 'ed9fbf', true],
  ['6.11.2', 'ee8080', true],
  ['6.11.3', 'efbfbd', true],
  ['6.11.4', 'f48fbfbf', true],
  ['6.11.5', 'f4908080', false],
  /* octets that continue nothing */
  ['6.12.1', '80', false],
  ['6.12.2', 'bf', false],
  ['6.12.3', '80bf', false],
  ['6.12.4', '80bf80', false],
  ['6.12.5', '80bf80bf', false],
  ['6.12.6', '80bf80bf80', false],
  ['6.12.7', '80bf80bf80bf', false],
  ['6.12.8', Array.from({ length: 64 }, (_, i) => (0x80 + i).toString(16)).join(''), false],
  /* leads that nothing continues */
  ['6.13.1', 'c020c120c220c320', false],
  ['6.13.2', 'dc20dd20de20df20', false],
  ['6.13.3', 'e020e120ee20ef20', false],
  ['6.13.4', 'f020f120f620f720', false],
  ['6.13.5', 'f820fb20fc20fd20', false],
  /* one octet short */
  ['6.14.1', 'c0', false],
  ['6.14.2', 'e080', false],
  ['6.14.3', 'f08080', false],
  ['6.14.4', 'f8808080', false],
  ['6.14.5', 'fc80808080', false],
  ['6.14.6', 'df', false],
  ['6.14.7', 'efbf', false],
  ['6.14.8', 'f7bfbf', false],
  ['6.14.9', 'fbbfbfbf', false],
  ['6.14.10', 'fdbfbfbfbf', false],
  ['6.15.1', 'c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf', false],
  /* octets that UTF-8 does not have */
  ['6.16.1', 'fe', false],
  ['6.16.2', 'ff', false],
  ['6.16.3', 'fefeffff', false],
  /* longer than need be */
  ['6.17.1', 'c0af', false],
  ['6.17.2', 'e080af', false],
  ['6.17.3', 'f08080af', false],
  ['6.17.4', 'f8808080af', false],
  ['6.17.5', 'fc80808080af', false],
  ['6.18.1', 'c1bf', false],
  ['6.18.2', 'e09fbf', false],
  ['6.18.3', 'f08fbfbf', false],
  ['6.18.4', 'f887bfbfbf', false],
  ['6.18.5', 'fc83bfbfbfbf', false],
  ['6.19.1', 'c080', false],
  ['6.19.2', 'e08080', false],
  ['6.19.3', 'f0808080', false],
  ['6.19.4', 'f880808080', false],
  ['6.19.5', 'fc8080808080', false],
  /* surrogates */
  ['6.20.1', 'eda080', false],
  ['6.20.2', 'edadbf', false],
  ['6.20.3', 'edae80', false],
  ['6.20.4', 'edafbf', false],
  ['6.20.5', 'edb080', false],
  ['6.20.6', 'edbe80', false],
  ['6.20.7', 'edbfbf', false],
  ['6.21.1', 'eda080edb080', false],
  ['6.21.2', 'edadbfedb080', false],
  ['6.21.3', 'edae80edbfbf', false],
  ['6.21.4', 'edafbfedbfbf', false],
  /* noncharacters are characters of UTF-8 */
  ['6.22.1', 'efbfbe', true],
  ['6.22.2', 'efb790', true],
  ['6.22.3', 'f09fbfbe', true],
  ['6.22.4', 'f0afbfbf', true],
  ['6.22.5', 'f3bfbfbe', true],
  ['6.22.6', 'f48fbfbe', true],
  ['6.23.1', 'efbfb9', true],
  ['6.23.2', 'efbbbf', true],
  ['6.23.3', 'e280ae', true],
];

const sequences = SEQUENCES.map(([id, octets, isValid], i) => ({
  id,
  chop: CHOPS[i % 3],
  send: [text(hex(octets))],
  ...(isValid ? { expect: [gotText(hex(octets))] } : { ends: fails(1007) }),
}));

export const UTF8 = [
  ...empty,
  ...valid,
  ...atOnce,
  ...sequences,
  { id: '6.24+', send: [binary(hex('ff fe c0'))], expect: [gotBinary(hex('ff fe c0'))] },
  /* What is wrong does not reach the next message, and what is unfinished does not either. */
  { id: '6.25+', send: [text(hex('ce')), text('x')], ends: fails(1007) },
  { id: '6.26+', send: [frame(TEXT, hex('ce')), closing(1000)], ends: { closes: 1000 } },
];
