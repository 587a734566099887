/* A server with keys, and tokens for it: minted here with node's crypto, as an application does. */
import { createHmac, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startServer } from './server.mjs';

const SECRET = randomBytes(32);

const base64url = (data) => Buffer.from(data).toString('base64url');

export const nowS = () => Math.floor(Date.now() / 1000);

/* A token; `claims` come on top of a valid set, undefined ones are left out. */
export const mint = (claims = {}, { kid = 'k1' } = {}) => {
  const all = { sub: 'kerim', exp: nowS() + 600, iat: nowS() - 5, rooms: { '*': 'write' }, ...claims };
  const head = base64url(JSON.stringify({ alg: 'HS256', kid }));
  const signed = `${head}.${base64url(JSON.stringify(all))}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
};

/* Writes the server's file of keys: one, whatever it is called. */
export const writeKeys = (server, kid = 'k1') => {
  const file = join(server.directory, 'keys.json');
  const key = { kty: 'oct', kid, alg: 'HS256', k: SECRET.toString('base64url') };
  writeFileSync(file, JSON.stringify({ keys: [key] }), { mode: 0o600 });
  return file;
};

/* As startServer(), with keys for these tokens. */
export const startServerWithKeys = (t, { options = [], prepare = () => {}, ...more } = {}) =>
  startServer(t, {
    ...more,
    options,
    prepare: (server) => {
      mkdirSync(server.data, { recursive: true });
      server.options = [...server.options, '--keys', writeKeys(server)];
      prepare(server);
    },
  });
