/* A way to the server on which what the server sends comes slowly. What is not read stays in the
 * sockets, and when these are full, with the server. */
import { connect, createServer } from 'node:net';
import { once } from './wait.mjs';

const READ_MS = 100;

/* { ws(path), fullSpeed() }: everybody who connects gets `bytesPerS`, until fullSpeed() is called. */
export const startThrottle = async (t, server, bytesPerS) => {
  const opens = new Set();
  const listener = createServer((client) => {
    const upstream = connect({ port: server.port, host: '127.0.0.1', highWaterMark: bytesPerS });
    const step = () => {
      const chunk = upstream.read(Math.min((bytesPerS * READ_MS) / 1000, upstream.readableLength));
      if (chunk) client.write(chunk);
    };
    upstream.on('readable', () => {}); /* it is read by hand */
    const connection = { client, upstream, timer: setInterval(step, READ_MS) };
    opens.add(connection);
    const end = () => {
      clearInterval(connection.timer);
      client.destroy();
      upstream.destroy();
      opens.delete(connection);
    };
    client.on('error', () => {}).on('close', end);
    upstream.on('error', () => {}).on('close', end);
    client.pipe(upstream);
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  t.after(() => {
    opens.forEach(({ client }) => client.destroy());
    listener.close();
  });
  const { port } = listener.address();
  return {
    ws: (path) => `ws://127.0.0.1:${port}${path}`,
    fullSpeed: () => {
      for (const { client, upstream, timer } of opens) {
        clearInterval(timer);
        upstream.removeAllListeners('readable');
        upstream.pipe(client);
      }
    },
  };
};
