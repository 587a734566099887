/* A socket that speaks HTTP as a test writes it: requests byte by byte, answers one after another. */
import { EventEmitter } from 'node:events';
import { connect } from 'node:net';
import { until } from './wait.mjs';

const HEAD_END = '\r\n\r\n';

export class HttpSocket extends EventEmitter {
  constructor(port) {
    super();
    this.received = Buffer.alloc(0);
    this.hasEnded = false;
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.emit('change');
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.hasEnded = true;
      this.emit('change');
    });
  }

  holds(condition, what) {
    const subscribe = (check) => {
      this.on('change', check);
      return () => this.off('change', check);
    };
    return until(subscribe, condition, what);
  }

  /* Sends a request's head and the body that there is. */
  request(verb, path, { headers = {}, body, length = body?.length } = {}) {
    const lines = Object.entries({
      Host: 'localhost',
      ...(length !== undefined && { 'Content-Length': length }),
      ...headers,
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    this.socket.write(`${verb} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
    if (body) this.socket.write(body);
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  /* The next answer: { status, headers, body }. */
  async answer({ isHead = false } = {}) {
    const end = await this.holds(() => this.received.indexOf(HEAD_END) + 1, 'the head of an answer');
    const [first, ...lines] = this.received.toString('latin1', 0, end - 1).split('\r\n');
    const headers = Object.fromEntries(lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }));
    this.received = this.received.subarray(end - 1 + HEAD_END.length);
    const length = isHead ? 0 : Number(headers['content-length'] ?? 0);
    await this.holds(() => this.received.length >= length, 'the body of an answer');
    const body = this.received.subarray(0, length);
    this.received = this.received.subarray(length);
    return { status: Number(first.split(' ')[1]), headers, body };
  }

  ended() {
    return this.holds(() => this.hasEnded, 'the end of the connection');
  }

  destroy() {
    this.socket.destroy();
  }
}

/* One that ends with the test. */
export const openHttp = (t, server) => {
  const socket = new HttpSocket(server.port);
  t.after(() => socket.destroy());
  return socket;
};
