/* Rows about the end of a connection (RFC 6455, sections 5.5.1 and 7). See framing.mjs for what a
 * row is. */
import { CHOPS, fails, gotText, inEveryChop } from './framing.mjs';
import { CLOSE, FIN, MORE, TEXT, closing, fragments, frame, hex, ping, text } from './wire.mjs';

const closes = (code) => ({ closes: code });
const KIB256 = '*'.repeat(256 << 10);

/* What follows a close is not looked at. */
const after = [
  { id: '7.1.1', send: [text('Hello'), closing(1000)], expect: [gotText('Hello')] },
  { id: '7.1.2', send: [closing(1000), closing(1000)] },
  { id: '7.1.3', send: [closing(1000), ping('late')] },
  { id: '7.1.4', send: [closing(1000), text('late')] },
  { id: '7.1.5', send: [frame(TEXT, 'a'), closing(1000), frame(FIN | MORE, 'b')] },
  { id: '7.1.6', send: [text(KIB256), closing(1000), ping('late')], expect: [gotText(KIB256)] },
  { id: '7.1.7+', send: [closing(1000), frame(0xff, 'x')] },
  { id: '7.1.8+', send: [closing(1000), hex('0102030405')] },
  { id: '7.1.9+', send: [closing(1000), text(KIB256)] },
].map((row) => ({ ...row, ends: closes(1000) }));

const forms = [
  { id: '7.3.1', send: [frame(FIN | CLOSE)], ends: closes(null) },
  { id: '7.3.2', send: [frame(FIN | CLOSE, 'a')], ends: fails(1002) },
  ...inEveryChop('7.3.3', { send: [closing(1000)], ends: closes(1000) }),
  { id: '7.3.6', send: [closing(1000, 'Hello World!')], ends: closes(1000) },
  { id: '7.3.7', send: [closing(1000, '*'.repeat(123))], ends: closes(1000) },
  { id: '7.3.8', send: [closing(1000, '*'.repeat(124))], ends: fails(1002) },
  { id: '7.3.9+', chop: 'octet', send: [closing(4000, 'é😀')], ends: closes(4000) },
  { id: '7.3.10+', send: fragments(CLOSE, [hex('03'), hex('e8')]), ends: fails(1002) },
  {
    id: '7.5.1', send: [closing(1000, hex('cebae1bdb9cf83cebcceb5eda080656469746564'))],
    ends: fails(1007),
  },
  { id: '7.5.2+', send: [closing(1000, hex('e282'))], ends: fails(1007) },
];

const row = (id, code, ends) => ({ id, chop: CHOPS[code % 3], send: [closing(code)], ends });
const GOOD = [
  1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
];
const BAD = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999];
const codes = [
  ...GOOD.map((code, i) => row(`7.7.${i + 1}`, code, closes(code))),
  ...BAD.map((code, i) => row(`7.9.${i + 1}`, code, fails(1002))),
  ...[5000, 65535].map((code, i) => row(`7.13.${i + 1}`, code, fails(1002))),
];

export const CLOSING = [...after, ...forms, ...codes];
