/*
 * What a server of HocuspocusProvider answers: frames of a client and, to the letter, those that it
 * gets for them. In both `K` stands for the key of the row's document, a name of four bytes that no
 * other row has, with its length in front; the rest is hex, "text" its bytes with their length in
 * front, 'text' its bytes. 
 */

const BAD_NAME = '"a room name is 1 to 255 bytes of UTF-8 without NUL"';
const ACCEPTED = 'K 02 02 "read-write"';
const STEP1 = 'K 00 00 01 00';
const NOTHING = ['K 00 00 01 00', 'K 00 01 02 00 00'];
/* One letter in the root text "t" by the client 1. */
const UPDATE = '01 01 01 00 04 01 "t" "a" 00';
const EDIT = `K 00 02 0b ${UPDATE}`;
const UNREADABLE = 'K 02 01 "the message does not decode"';
const STORED = 'K 08 01';
const REFUSED = 'K 08 00';
/* Presence of the client 7. */
const PRESENCE = 'K 01 06 01 07 01 "{}"';

const long = (length) => `${(length & 0x7f | 0x80).toString(16)} 0${length >> 7} ${'6b'.repeat(length)}`;

/* { name, send, expect, closes } on a server without keys. */
export const OPEN_ROWS = [
  { name: 'a token', send: ['K 02 00 ""'], expect: [ACCEPTED] },
  { name: 'a token and a version', send: ['K 02 00 "x" "4.8.0"'], expect: [ACCEPTED] },
  { name: 'a token twice', send: ['K 02 00 ""', 'K 02 00 ""'], expect: [ACCEPTED, ACCEPTED] },
  { name: 'step 1 without a token', send: [STEP1], expect: NOTHING },
  { name: 'step 1 of nothing', send: ['K 00 00 00'], expect: NOTHING },
  { name: 'step 1 in long numbers', send: ['K 80 00 80 00 81 00 00'], expect: NOTHING },
  { name: 'a token and step 1', send: ['K 02 00 ""', STEP1], expect: [ACCEPTED, ...NOTHING] },
  { name: 'step 2 of nothing', send: ['K 00 01 02 00 00'], expect: [STORED] },
  { name: 'an update', send: [EDIT], expect: [STORED] },
  { name: 'an update twice', send: [EDIT, EDIT], expect: [STORED, STORED] },
  { name: 'an update of nothing', send: ['K 00 02 02 00 00'], expect: [STORED] },
  { name: 'an update as step 2', send: [`K 00 01 0b ${UPDATE}`], expect: [STORED] },
  { name: 'an update that does not decode', send: ['K 00 02 02 09 09'], expect: [REFUSED] },
  { name: 'step 2 that does not decode', send: ['K 00 01 02 09 09'], expect: [REFUSED] },
  { name: 'an update without bytes', send: ['K 00 02 00'], expect: [REFUSED] },
  { name: 'two messages in one frame', send: [`${EDIT} 00 02 0b ${UPDATE}`], expect: [STORED] },
  { name: 'good after bad', send: ['K 00 02 02 09 09', EDIT], expect: [REFUSED, STORED] },
  { name: 'presence and a question for it', send: [PRESENCE, 'K 03'], expect: [] },
  { name: 'CLOSE', send: ['K 07'], expect: [] },
  { name: 'CLOSE with a reason', send: [STEP1, 'K 07 "bye"'], expect: NOTHING, inParts: true },
  { name: 'CLOSE and again', send: ['K 02 00 ""', 'K 07', 'K 02 00 ""', STEP1],
    expect: [ACCEPTED, ACCEPTED, ...NOTHING] },
  { name: 'an answer between servers (4)', send: ['K 04 00 00 01 00'], expect: [] },
  { name: 'a message of an application (5)', send: ['K 05 "x"'], expect: [] },
  { name: 'one for everybody (6)', send: ['K 06 "x"'], expect: [] },
  { name: 'a status (8)', send: ['K 08 01'], expect: [] },
  { name: 'a ping with a key', send: ['K 09'], expect: [] },
  { name: 'a pong with a key', send: ['K 0a'], expect: [] },
  { name: 'an unknown type', send: ['K c8 01 00', 'K ff ff ff ff 0f'], expect: [] },
  { name: 'unknown types beside an edit', send: ['K 04', 'K 06 "x"', 'K 09', 'K c8 01', EDIT],
    expect: [STORED] },
  { name: 'words of a server', send: ['K 02 01 "no"', 'K 02 02 "readonly"', 'K 02 09'], expect: [] },
  { name: 'a ping', send: ['09'], expect: ['0a'] },
  { name: 'a pong', send: ['0a'], expect: [] },
  { name: 'a session', send: ["09 'sessions' 00 02 00 \"\""], expect: ["09 'sessions' 00 02 02 \"read-write\""] },
  { name: 'the longest name', send: [`${long(255)} 02 00 ""`],
    expect: [`${long(255)} 02 02 "read-write"`] },
  { name: 'a name that is too long', send: [`${long(256)} 02 00 ""`],
    expect: [`${long(256)} 02 01 ${BAD_NAME}`] },
  { name: 'the longest key', send: [`${long(384)} 02 00 ""`], expect: [`${long(384)} 02 01 ${BAD_NAME}`] },
  { name: 'a key that is too long', send: [`${long(385)} 02 00 ""`], expect: [], closes: 1007 },
  { name: 'no name', send: ['00 02 00 ""'], expect: [`00 02 01 ${BAD_NAME}`] },
  { name: 'no name, and no token', send: ['00 00 00 01 00', '00 01 01 00'],
    expect: [`00 02 01 ${BAD_NAME}`] },
  { name: 'NUL for a name', send: ["04 00 'abc' 02 00 \"\""], expect: [`04 00 'abc' 02 01 ${BAD_NAME}`] },
  { name: 'a name that is not UTF-8', send: ['02 ff fe 02 00 ""'], expect: [`02 ff fe 02 01 ${BAD_NAME}`] },
  { name: 'nothing', send: [''], expect: [], closes: 1007 },
  { name: 'a key that is cut', send: ['05 64'], expect: [], closes: 1007 },
  { name: 'a key without a type', send: ['K'], expect: [], closes: 1007 },
  { name: 'a type that is cut', send: ['K 80'], expect: [], closes: 1007 },
  { name: 'a token that is cut', send: ['K 02 00 05 61'], expect: [], closes: 1007 },
  { name: 'an update that is cut', send: ['K 00 02 05 61'], expect: [], closes: 1007 },
  { name: 'an unknown step', send: ['K 00 05 00'], expect: [], closes: 1007 },
  { name: 'a vector that does not decode', send: ['K 00 00 02 ff ff', STEP1],
    expect: [UNREADABLE] },
  { name: 'presence that does not decode', send: ['K 02 00 ""', 'K 01 03 09 ff ff'],
    expect: [ACCEPTED, UNREADABLE] },
  { name: 'presence after CLOSE', send: [STEP1, 'K 07', PRESENCE, 'K 03'], expect: NOTHING, inParts: true },
  { name: 'a text', text: 'hello', send: [], expect: [], closes: 1003 },
];

const TOKEN = 'K 02 00 WRITE';
const NO_TOKEN = 'K 02 01 "a valid token is required"';
const FORBIDDEN = 'K 02 01 "the token does not allow this"';

/* The same with keys: WRITE, READ and OTHER are tokens of the user "kerim", for the last of which there
 * is another room only, THEIRS is one of somebody else's. */
export const GUARDED_ROWS = [
  { name: 'a token', send: [TOKEN], expect: [ACCEPTED] },
  { name: 'a token and an edit', send: [TOKEN, EDIT], expect: [ACCEPTED, STORED] },
  { name: 'what comes before the token is dropped', send: [STEP1, EDIT, TOKEN, STEP1],
    expect: [ACCEPTED, ...NOTHING] },
  { name: 'no token', send: ['K 02 00 ""', STEP1, PRESENCE], expect: [NO_TOKEN] },
  { name: 'a bad token', send: ['K 02 00 "x.y.z"', STEP1, EDIT, PRESENCE], expect: [NO_TOKEN] },
  { name: 'a token of another room', send: ['K 02 00 OTHER', STEP1, EDIT], expect: [FORBIDDEN] },
  { name: 'a good token after a bad one', send: ['K 02 00 ""', STEP1, TOKEN, STEP1],
    expect: [NO_TOKEN, ACCEPTED, ...NOTHING] },
  { name: 'a bad token after a good one', send: [TOKEN, 'K 02 00 "x"', EDIT],
    expect: [ACCEPTED, NO_TOKEN] },
  { name: 'a token of somebody else', send: [TOKEN, 'K 02 00 THEIRS', EDIT],
    expect: [ACCEPTED, FORBIDDEN] },
  { name: 'a token twice', send: [TOKEN, TOKEN, EDIT], expect: [ACCEPTED, ACCEPTED, STORED] },
  { name: 'who may read: no update', send: ['K 02 00 READ', EDIT],
    expect: ['K 02 02 "readonly"', REFUSED] },
  { name: 'who may read: no step 2', send: ['K 02 00 READ', `K 00 01 0b ${UPDATE}`],
    expect: ['K 02 02 "readonly"', REFUSED] },
  { name: 'who may read: step 2 with nothing new', send: ['K 02 00 READ', 'K 00 01 02 00 00'],
    expect: ['K 02 02 "readonly"', STORED] },
  { name: 'who may read: after CLOSE', send: ['K 02 00 READ', 'K 07', TOKEN, EDIT],
    expect: ['K 02 02 "readonly"', ACCEPTED, STORED] },
  { name: 'CLOSE takes the token with it', send: [TOKEN, 'K 07', STEP1], expect: [ACCEPTED] },
  { name: '16 frames before the token', send: [...Array(16).fill(EDIT), TOKEN], expect: [ACCEPTED] },
  { name: '17 frames before the token', send: Array(17).fill(EDIT), expect: [], closes: 4401 },
  { name: '17 documents without a token', closes: 4401, expect: [],
    send: Array.from({ length: 17 }, (_, i) => `02 '${i + 10}' 00 00 01 00`) },
  { name: '100 bad tokens', send: Array(100).fill('K 02 00 "x"'), expect: Array(100).fill(NO_TOKEN) },
  { name: '101 bad tokens', send: Array(101).fill('K 02 00 "x"'), closes: 4401,
    expect: Array(101).fill(NO_TOKEN) },
  { name: 'no name', send: ['00 02 00 WRITE'], expect: [`00 02 01 ${BAD_NAME}`] },
];
