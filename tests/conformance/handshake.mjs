/*
 * Rows about the opening handshake (RFC 6455, section 4; RFC 9112): a request, written as HTTP or
 * raw, and the status of its answer. `headers` are those that the answer must have, by lower-case
 * name; null for one that it must not have.
 */
import { KEY, acceptOf } from './wire.mjs';

const BASE = {
  Host: 'localhost',
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': KEY,
};

/* A handshake with these headers in place of those of the same name; null leaves one out, an array
 * is that many headers. `extra` are lines behind them. */
const ask = (
  path, { method = 'GET', version = 'HTTP/1.1', target = path, extra = [], ...changes } = {},
) => {
  const headers = { ...BASE, ...changes };
  const lines = Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().filter((value) => value !== null).map((value) => `${name}: ${value}`));
  return [`${method} ${target} ${version}`, ...lines, ...extra, '', ''].join('\r\n');
};

const ACCEPTED = {
  upgrade: ['websocket'],
  connection: ['Upgrade'],
  'sec-websocket-accept': [acceptOf(KEY)],
  'sec-websocket-extensions': null,
  'sec-websocket-protocol': null,
};
const VERSIONS = { 'sec-websocket-version': ['13'], upgrade: ['websocket'] };

const good = (id, changes) => ({ id, changes, status: 101, headers: ACCEPTED });
const bad = (id, changes, status = 400) => ({
  id, changes, status, headers: status === 426 ? VERSIONS : {},
});
const raw = (id, change, status = 400) => ({ id, change, status, headers: {} });

const connection = [
  good('as browsers ask', { Connection: 'keep-alive, Upgrade' }),
  good('Connection in another order', { Connection: 'Upgrade,keep-alive' }),
  good('Connection in capitals', { Connection: 'UPGRADE' }),
  good('Connection in two headers', { Connection: ['keep-alive', 'upgrade'] }),
  good('Connection with empty elements', { Connection: ', ,upgrade , ' }),
  bad('no Connection', { Connection: null }),
  bad('Connection without upgrade', { Connection: 'keep-alive' }),
  bad('Connection with a longer word', { Connection: 'upgrades' }),
  bad('Connection with two words in one', { Connection: 'keep-alive upgrade' }),
  good('Upgrade in another case', { Upgrade: 'WebSocket' }),
  good('Upgrade to one of several', { Upgrade: 'h2c, websocket' }),
  good('Upgrade in two headers', { Upgrade: ['h2c', 'websocket'] }),
  bad('no Upgrade', { Upgrade: null }, 426),
  bad('Upgrade to something else', { Upgrade: 'h2c' }, 426),
  bad('Upgrade with a longer word', { Upgrade: 'websockets' }, 426),
  bad('Upgrade that is empty', { Upgrade: '' }, 426),
];

const key = [
  good('a key with space around', { 'Sec-WebSocket-Key': ` \t${KEY}\t ` }),
  bad('no key', { 'Sec-WebSocket-Key': null }),
  bad('a key that is empty', { 'Sec-WebSocket-Key': '' }),
  bad('a key of 15 octets', { 'Sec-WebSocket-Key': 'MTIzNDU2Nzg5MDEyMzQ1' }),
  bad('a key of 17 octets', { 'Sec-WebSocket-Key': 'MTIzNDU2Nzg5MDEyMzQ1Njc=' }),
  bad('a key without padding', { 'Sec-WebSocket-Key': KEY.slice(0, 22) }),
  bad('a key that is not base64', { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25j*Q==' }),
  bad('a key in the other alphabet', { 'Sec-WebSocket-Key': '-_hlIHNhbXBsZSBub25jZQ==' }),
  bad('the key twice', { 'Sec-WebSocket-Key': [KEY, KEY] }),
  bad('two keys in a list', { 'Sec-WebSocket-Key': `${KEY}, ${KEY}` }),
];

const version = [
  bad('no version', { 'Sec-WebSocket-Version': null }, 426),
  bad('version 0', { 'Sec-WebSocket-Version': '0' }, 426),
  bad('version 8', { 'Sec-WebSocket-Version': '8' }, 426),
  bad('version 14', { 'Sec-WebSocket-Version': '14' }, 426),
  bad('version 013', { 'Sec-WebSocket-Version': '013' }, 426),
  bad('a list of versions', { 'Sec-WebSocket-Version': '13, 8' }, 426),
  bad('the version twice', { 'Sec-WebSocket-Version': ['13', '13'] }, 426),
  bad('no version at all', { 'Sec-WebSocket-Version': 'x' }, 426),
];

const request = [
  good('the absolute form', { target: 'http://localhost/PATH' }),
  good('a query', { target: 'PATH?a=b&c' }),
  good('a length of zero', { 'Content-Length': '0' }),
  good('headers that nobody knows', { 'X-A': '', 'X-B': ['1', '2'], Cookie: 'a=b' }),
  bad('HTTP/1.0', { version: 'HTTP/1.0' }),
  bad('HTTP/0.9', { version: 'HTTP/0.9' }, 505),
  bad('HTTP/2.0', { version: 'HTTP/2.0' }, 505),
  bad('POST', { method: 'POST' }, 405),
  bad('HEAD', { method: 'HEAD' }, 405),
  bad('an unknown method', { method: 'BREW' }, 501),
  bad('a method in small letters', { method: 'get' }, 501),
  bad('a body', { 'Content-Length': '5' }),
  bad('a chunked body', { 'Transfer-Encoding': 'chunked' }),
  bad('two lengths', { 'Content-Length': ['0', '5'] }),
  bad('a fragment in the target', { target: 'PATH#x' }),
  bad('no Host', { Host: null }),
  bad('two Hosts', { Host: ['a', 'b'] }),
];

const syntax = [
  good('header names in any case', {
    Host: null, Connection: null, extra: ['hOsT: localhost', 'CONNECTION: upgrade'],
  }),
  raw('an empty line before', (text) => `\r\n${text}`, 101),
  raw('no space behind the colon', (text) => text.replace('Host: ', 'Host:'), 101),
  raw('a folded header', (text) => text.replace('Host: localhost', 'Host: localhost\r\n  folded')),
  raw('a fold with a tab', (text) => text.replace(': Upgrade', ': keep-alive,\r\n\tUpgrade')),
  raw('bare line feeds', (text) => text.replaceAll('\r\n', '\n')),
  raw('one bare line feed', (text) => text.replace('localhost\r\n', 'localhost\n')),
  raw('a bare carriage return', (text) => text.replace('localhost\r\n', 'localhost\r')),
  raw('space before the colon', (text) => text.replace('Host:', 'Host :')),
  raw('no colon', (text) => text.replace('Host:', 'Host')),
  raw('no name', (text) => text.replace('Host:', ':')),
  raw('a name with a blank', (text) => text.replace('Sec-WebSocket-Key', 'Sec WebSocket-Key')),
  raw('NUL in a header', (text) => text.replace('localhost', 'local\0host')),
  raw('an octet of control in a header', (text) => text.replace('localhost', 'local\x01host')),
  raw('two spaces in the request line', (text) => text.replace(' HTTP/1.1', '  HTTP/1.1')),
  raw('no version in the request line', (text) => text.replace(' HTTP/1.1', '')),
  raw('TLS', () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n'),
  bad('a header of 8 KB', { 'X-Long': 'x'.repeat(8192) }, 431),
  bad('200 KB of headers', { 'X-Long': Array(200).fill('x'.repeat(1000)) }, 431),
  bad('65 headers', { 'X-Many': Array(60).fill('x') }, 431),
  good('64 headers', { 'X-Many': Array(59).fill('x') }),
];

const lists = [
  ...[
    'constructor', '__proto__; toString=1', 'a; b="c', ';;;', '=', '"', 'permessage-deflate',
    ','.repeat(4000), `x${'; a'.repeat(2000)}`, 'x\xff', '',
  ].map((value, i) => good(`extensions ${i + 1}`, { 'Sec-WebSocket-Extensions': value })),
  good('extensions of many headers', { 'Sec-WebSocket-Extensions': Array(50).fill('a, b; c=1') }),
  bad('a million commas', { 'Sec-WebSocket-Extensions': ','.repeat(1e6) }, 431),
  bad('a million commas of protocols', { 'Sec-WebSocket-Protocol': ','.repeat(1e6) }, 431),
  good('protocols that nobody knows', { 'Sec-WebSocket-Protocol': 'chat, constructor, __proto__' }),
  good('commas of protocols', { 'Sec-WebSocket-Protocol': ','.repeat(4000) }),
];

const rowsOf = (path) => (row) => {
  const text = ask(path, row.changes).replace('/PATH', path).replace('PATH', path);
  return { ...row, request: row.change ? row.change(text) : text };
};

/* The rows for a server that takes WebSockets on `path` and answers OPTIONS with this status. */
export const handshakesOn = (path, { options = 405 } = {}) =>
  [
    ...connection, ...key, ...version, ...request, ...syntax, ...lists,
    bad('OPTIONS', { method: 'OPTIONS' }, options),
  ].map(rowsOf(path));

/* Which subprotocol is chosen, where there is one: [what is offered, what is answered]. */
export const subprotocolsOn = (path, ours) =>
  [
    [ours, ours],
    [`v0, ${ours}`, ours],
    [['v0', `${ours} ,v2`], ours],
    [`${ours}, ${ours}`, ours],
    [`,${ours},`, ours],
    [null, null],
    ['v0', null],
    ['', null],
    [ours.toUpperCase(), null],
    [`${ours}1`, null],
    [`x${ours}`, null],
    [`v0 ${ours}`, null],
  ].map(([offered, chosen], i) => ({
    id: `subprotocols ${i + 1}`,
    request: ask(path, { 'Sec-WebSocket-Protocol': offered }),
    status: 101,
    headers: { 'sec-websocket-protocol': chosen ? [chosen] : null },
  }));
