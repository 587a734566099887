/* WebSockets octet by octet: frames as clients send them, right or wrong, and a strict reader of
 * what a server sends. Knows nothing of npm `ws`, so that nothing is put right on the way. */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { constants as zlib, deflateRawSync, inflateRawSync } from 'node:zlib';
import { DEADLINE_MS } from '../lib/wait.mjs';

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
export const acceptOf = (key) => createHash('sha1').update(key + GUID).digest('base64');

export const [MORE, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10];
export const FIN = 0x80;
export const RSV1 = 0x40;
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

export const hex = (text) => Buffer.from(text.replaceAll(' ', ''), 'hex');

/* ---- what is sent ---- */

/* The field of a payload's length: in as few octets as possible, or in `octets` (0, 2 or 8). */
const lengthField = (length, octets) => {
  const size = octets ?? (length < 126 ? 0 : length < 65536 ? 2 : 8);
  if (size === 0) return Buffer.from([length]);
  const field = Buffer.alloc(1 + size);
  field[0] = size === 2 ? 126 : 127;
  if (size === 2) field.writeUInt16BE(length, 1);
  else field.writeBigUInt64BE(BigInt(length), 1);
  return field;
};

const masked = (payload) => {
  const out = Buffer.from(payload);
  for (let i = 0; i < out.length; i++) out[i] ^= MASK[i & 3];
  return out;
};

/* A frame of a client. `first` is its first octet; `length` is what the header claims, in `octets`.
 */
export const frame = (first, payload = '', { isMasked = true, length, octets } = {}) => {
  const bytes = Buffer.from(payload);
  const field = lengthField(length ?? bytes.length, octets);
  if (!isMasked) return Buffer.concat([Buffer.from([first]), field, bytes]);
  field[0] |= 0x80;
  return Buffer.concat([Buffer.from([first]), field, MASK, masked(bytes)]);
};

export const text = (payload) => frame(FIN | TEXT, payload);
export const binary = (payload) => frame(FIN | BINARY, payload);
export const ping = (payload) => frame(FIN | PING, payload);
export const pong = (payload) => frame(FIN | PONG, payload);
export const closing = (code, reason = '') =>
  frame(FIN | CLOSE, Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]));

/* A message in frames of these payloads; `others[i]` goes out behind the i-th. */
export const fragments = (opcode, payloads, others = {}) =>
  payloads.flatMap((payload, i) => [
    frame((i === payloads.length - 1 ? FIN : 0) | (i === 0 ? opcode : MORE), payload),
    ...(others[i] ?? []),
  ]);

/* Bytes in pieces of `size`. */
export const slices = (bytes, size) => {
  const all = Buffer.from(bytes);
  const count = Math.max(1, Math.ceil(all.length / size));
  return Array.from({ length: count }, (_, i) => all.subarray(i * size, (i + 1) * size));
};

const TAIL = hex('0000ffff');
const FLUSH = { finishFlush: zlib.Z_SYNC_FLUSH };

export const packed = (payload, options = {}) =>
  deflateRawSync(Buffer.from(payload), { ...FLUSH, ...options }).subarray(0, -TAIL.length);

const unpacked = (payload) => {
  if (payload.subarray(-TAIL.length).equals(TAIL)) throw new Error('the end was not taken off');
  return inflateRawSync(Buffer.concat([payload, TAIL]), FLUSH);
};

/* ---- what comes ---- */

const readLength = (bytes) => {
  const short = bytes[1] & 0x7f;
  if (short < 126) return { length: short, head: 2 };
  if (bytes.length < (short === 126 ? 4 : 10)) return null;
  const length = short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  const least = short === 126 ? 126 : 65536;
  if (length < least) throw new Error(`a length of ${length} is not minimal`);
  return { length, head: short === 126 ? 4 : 10 };
};

/* The first frame of `bytes`: { frame, rest }, or null if it is incomplete. */
const readFrame = (bytes, isDeflate) => {
  if (bytes.length < 2) return null;
  const [first, second] = bytes;
  const reserved = first & 0x70;
  if (second & 0x80) throw new Error('a frame of the server is masked');
  if (reserved && !(isDeflate && reserved === RSV1)) throw new Error('a reserved bit is set');
  if (!(first & FIN)) throw new Error('a frame of the server is a fragment');
  const size = readLength(bytes);
  if (!size || bytes.length < size.head + size.length) return null;
  const payload = bytes.subarray(size.head, size.head + size.length);
  const isPacked = reserved === RSV1;
  return {
    frame: { opcode: first & 0x0f, isPacked, payload: isPacked ? unpacked(payload) : payload },
    rest: bytes.subarray(size.head + size.length),
  };
};

const readFrames = (bytes, isDeflate) => {
  const frames = [];
  let rest = bytes;
  for (let read; (read = readFrame(rest, isDeflate)); rest = read.rest) frames.push(read.frame);
  if (rest.length > 0) throw new Error(`${rest.length} octets are left of a frame`);
  return frames;
};

/* The head of an answer: { status, headers }, names in lower case, values of a name as an array. */
export const readHead = (latin1) => {
  const [line, ...lines] = latin1.split('\r\n');
  const headers = {};
  for (const header of lines) {
    const [name, value] = header.split(/:\s*(.*)/s);
    (headers[name.toLowerCase()] ??= []).push(value);
  }
  return { status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1]), headers };
};

/* ---- exchanges ---- */

/*
 * Connects, writes `first`, and once the head of an answer has come `pieces`, each by itself; with
 * `isCut` it then ends its side. Resolves when the server has ended its own with { head, body }:
 * what came, in two parts.
 */
export const exchange = (port, first, pieces = [], { isCut = false } = {}) =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const chunks = [];
    let head = null;
    const timer = setTimeout(
      () => socket.destroy(new Error('the server does not end the connection')), DEADLINE_MS);
    const takeHead = () => {
      const all = Buffer.concat(chunks);
      const end = all.indexOf('\r\n\r\n');
      if (end < 0) return;
      head = readHead(all.subarray(0, end).toString('latin1'));
      chunks.splice(0, chunks.length, all.subarray(end + 4));
      if (head.status === 101) pieces.forEach((piece) => socket.write(piece));
      if (isCut || head.status !== 101) socket.end();
    };
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      if (!head) takeHead();
    });
    socket.on('end', () => socket.end());
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve({ head, body: Buffer.concat(chunks) });
    });
    for (const part of [first].flat()) socket.write(part);
  });

export const upgrade = (path = '/', lines = []) =>
  [`GET ${path} HTTP/1.1`, 'Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket',
    'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${KEY}`, ...lines, '', ''].join('\r\n');

/* What `frames` are written as: `chop` is 'whole', 'frame', 'octet' or a number of octets. */
const chopped = (frames, chop) => {
  if (chop === 'frame') return frames;
  const all = Buffer.concat(frames);
  if (chop === 'whole') return all.length > 0 ? [all] : [];
  return all.length > 0 ? slices(all, chop === 'octet' ? 1 : chop) : [];
};

/* A WebSocket's life: the frames that the server has sent, in order, until it ended the connection.
 */
export const talk = async (
  port, { path = '/', offer, send, chop = 'whole', ends = {}, isEarly },
) => {
  const lines = offer ? [`Sec-WebSocket-Extensions: ${offer}`] : [];
  const request = Buffer.from(upgrade(path, lines));
  const first = isEarly ? chopped([request, ...send], chop) : request;
  const pieces = isEarly ? [] : chopped(send, chop);
  const { head, body } = await exchange(port, first, pieces, { isCut: ends.cut });
  if (head?.status !== 101) throw new Error(`the handshake was answered with ${head?.status}`);
  const [agreed] = head.headers['sec-websocket-extensions'] ?? [];
  return { agreed, frames: readFrames(body, Boolean(agreed)) };
};

/* ---- comparing ---- */

const NAMES = { [TEXT]: 'text', [BINARY]: 'binary', [PING]: 'ping', [PONG]: 'pong' };
const SHOWN_OCTETS = 24;

/* A frame as a short text. Of a close frame only the code counts. */
export const describeFrame = ({ opcode, payload = '' }) => {
  const bytes = Buffer.from(payload);
  const name = NAMES[opcode] ?? `opcode ${opcode}`;
  if (opcode === CLOSE)
    return `close ${bytes.length >= 2 ? bytes.readUInt16BE(0) : 'without a code'}`;
  const isShort = bytes.length <= SHOWN_OCTETS;
  const shown = isShort ? bytes : createHash('sha1').update(bytes).digest();
  return `${name} of ${bytes.length}: ${shown.toString('hex')}`;
};
