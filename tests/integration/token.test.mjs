/*
 * Tokens, against an implementation that is not ours: what `concordctl token` makes jose takes, and
 * what jose makes a gateway takes, for each algorithm.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as jose from 'jose';
import { program } from '../lib/server.mjs';

const ALGS = ['HS256', 'RS256', 'ES256'];

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'concord-token-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const file = (content) => {
  const path = join(folder, `${(files += 1)}.json`);
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
};

/* Runs `concordctl token …`. */
const run = (args) => {
  const { status, signal, stdout, stderr } = spawnSync(
    program('ctl/concordctl'),
    ['token', ...args],
    { encoding: 'utf8' },
  );
  assert.equal(signal, null);
  return { status, stdout, stderr };
};

const give = (args) => {
  const { status, stdout, stderr } = run(args);
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '');
  return stdout;
};

const refuse = (args, wanted, message) => {
  const { status, stdout, stderr } = run(args);
  assert.equal(status, wanted, `${args.join(' ')}: ${stderr}`);
  assert.match(stderr, message);
  assert.equal(stdout, '', 'nothing is given');
};

const newKey = (alg, ...more) => file(give(['--new-key', alg, ...more]));
const mint = (keys, ...more) =>
  give(['--keys', keys, '--sub', 'kerim', '--room', 'docs/*=write', ...more]).trim();

/* What a gateway says to these tokens. */
const check = (keys, tokens, { audience = '', issuer = '', rooms = ['docs/a'] } = {}) => {
  const { status, stdout, stderr } = spawnSync(
    program('tests/gateway/token_check'),
    [keys, audience, issuer, ...rooms],
    { input: `${tokens.join('\n')}\n`, encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return stdout.trimEnd().split('\n').map((line) => JSON.parse(line));
};

const checkOne = (keys, token, options) => check(keys, [token], options)[0];

const read = (path) => JSON.parse(readFileSync(path, 'utf8'));

/* The file of keys that a server has: the public part, where there is one. */
const forServer = (alg, path) =>
  alg === 'HS256' ? path : file(give(['--public', path]));

const now = () => Math.floor(Date.now() / 1000);

/* A token by jose with claims that a server takes, but for `more`. */
const sign = (key, header, more = {}) =>
  new jose.SignJWT({ sub: 'kerim', exp: now() + 60, rooms: { 'docs/*': 'read' }, ...more })
    .setProtectedHeader(header)
    .sign(key);

/* A pair of jose, and the file of keys for the server. */
const josePair = async (alg, kid) => {
  if (alg === 'HS256') {
    const secret = randomBytes(48);
    const jwk = { kty: 'oct', k: jose.base64url.encode(secret), alg, kid };
    return { key: secret, keys: file({ keys: [jwk] }) };
  }
  const pair = await jose.generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await jose.exportJWK(pair.publicKey)), alg, kid };
  return { key: pair.privateKey, pair, keys: file({ keys: [jwk] }) };
};

for (const alg of ALGS) {
  describe(`tokens with ${alg}`, () => {
    test('of concordctl: jose and a gateway take them', async () => {
      const keys = newKey(alg, '--kid', 'one');
      const served = forServer(alg, keys);
      const token = mint(keys, '--tenant', 'acme', '--aud', 'a', '--iss', 'i', '--ttl', '60');
      const key = await jose.importJWK(read(served).keys[0], alg);
      const rules = { audience: 'a', issuer: 'i', algorithms: [alg] };
      const { payload, protectedHeader } = await jose.jwtVerify(token, key, rules);
      assert.deepEqual(protectedHeader, { alg, kid: 'one', typ: 'JWT' });
      assert.equal(payload.exp - payload.iat, 60);
      assert.deepEqual(payload.rooms, { 'docs/*': 'write' });
      assert.deepEqual(
        checkOne(served, token, { audience: 'a', issuer: 'i', rooms: ['docs/a', 'b'] }),
        {
          tenant: 'acme',
          subject: 'kerim',
          issued: payload.iat,
          expires: payload.exp,
          access: { 'docs/a': 'write', b: 'none' },
        },
      );
    });

    test('of jose: a gateway takes them, and refuses what is wrong with them', async () => {
      const { key, keys } = await josePair(alg, 'two');
      const stranger = (await josePair(alg, 'two')).key;
      const header = { alg, kid: 'two' };
      const rows = [
        [await sign(key, header), undefined],
        [await sign(key, { alg }), undefined],
        [await sign(key, header, { aud: ['x', 'y'], nbf: now() - 5, iat: now() }), undefined],
        [await sign(stranger, header), 'bad_signature'],
        [await sign(key, { alg, kid: 'three' }), 'unknown_key'],
        [await sign(key, header, { exp: now() - 3600 }), 'expired'],
        [await sign(key, header, { nbf: now() + 3600 }), 'not_yet_valid'],
        [await sign(key, header, { rooms: 'docs/*' }), 'bad_rooms'],
        [await sign(key, header, { sub: 7 }), 'bad_subject'],
      ];
      const answers = check(keys, rows.map(([token]) => token));
      answers.forEach((answer, i) => assert.equal(answer.error, rows[i][1], `row ${i}`));
      assert.equal(answers[0].access['docs/a'], 'read');
    });

    test('of jose with the keys of concordctl', async () => {
      const keys = newKey(alg, '--kid', 'three');
      const key = await jose.importJWK(read(keys).keys[0], alg);
      const token = await sign(key, { alg, kid: 'three' });
      assert.equal(checkOne(forServer(alg, keys), token).subject, 'kerim');
    });

    test('of concordctl with the keys of jose', async () => {
      const { key, pair, keys } = await josePair(alg, 'four');
      const [jwk] = read(keys).keys;
      const full = alg === 'HS256' ? jwk : { ...(await jose.exportJWK(key)), alg, kid: 'four' };
      const token = mint(file({ keys: [full] }), '--kid', 'four');
      await jose.jwtVerify(token, pair?.publicKey ?? key);
      assert.equal(checkOne(keys, token).subject, 'kerim');
    });
  });
}

test('an unsecured token is none, and an encrypted one neither', async () => {
  const keys = newKey('HS256', '--kid', 'one');
  const unsecured = new jose.UnsecuredJWT({ sub: 'kerim', exp: now() + 60, rooms: {} }).encode();
  const encrypted = await new jose.EncryptJWT({ sub: 'kerim' })
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
    .encrypt(randomBytes(32));
  assert.deepEqual(
    check(keys, [unsecured, encrypted]).map(({ error }) => error),
    ['malformed', 'malformed'],
  );
});

test('keys are changed one after the other', () => {
  const [old, young] = [newKey('ES256', '--kid', 'old'), newKey('ES256', '--kid', 'young')];
  const both = file({ keys: [...read(old).keys, ...read(young).keys] });
  const tokens = [mint(both, '--kid', 'old'), mint(both, '--kid', 'young')];
  const errors = (keys) => check(keys, tokens).map(({ error }) => error);
  assert.deepEqual(errors(old), [undefined, 'unknown_key']);
  assert.deepEqual(errors(both), [undefined, undefined]);
  assert.deepEqual(errors(young), ['unknown_key', undefined]);
});

describe('concordctl token', () => {
  test('gives new keys of each kind, and new names', () => {
    for (const alg of ALGS) {
      const [one, two] = [1, 2].map(() => read(newKey(alg)).keys[0]);
      assert.equal(one.alg, alg);
      assert.match(one.kid, /^[\w-]{12}$/);
      assert.notEqual(one.kid, two.kid);
      assert.notEqual(one.d ?? one.k, two.d ?? two.k);
    }
  });

  test('publishes nothing that is private', () => {
    const keys = file({
      keys: [...read(newKey('RS256')).keys, { ...read(newKey('ES256')).keys[0], note: 'mine' }],
    });
    const [rsa, ec] = JSON.parse(give(['--public', keys])).keys;
    assert.deepEqual(Object.keys(rsa).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use']);
    assert.deepEqual(Object.keys(ec).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    refuse(['--public', newKey('HS256')], 1, /has no public part/);
  });

  test('takes patterns that hold =, several of them, and other languages', () => {
    const keys = newKey('HS256');
    const token = mint(keys, '--room=a=b=admin', '--room', 'é?=read', '--sub=Kérim');
    const answer = checkOne(keys, token, { rooms: ['a=b', 'éé', 'docs/x', 'a'] });
    assert.equal(answer.subject, 'Kérim');
    assert.equal(answer.tenant, 'default');
    assert.equal(answer.expires - answer.issued, 3600);
    assert.deepEqual(answer.access, { 'a=b': 'admin', éé: 'read', 'docs/x': 'write', a: 'none' });
  });

  test('refuses what makes no sense', () => {
    const keys = newKey('ES256', '--kid', 'one');
    const other = newKey('ES256', '--kid', 'two');
    const both = file({ keys: [...read(keys).keys, ...read(other).keys] });
    const mixed = file({ keys: [{ ...read(keys).keys[0], d: read(other).keys[0].d }] });
    const published = forServer('ES256', keys);
    const base = ['--keys', keys, '--sub', 'kerim', '--room', '*=read'];
    const of = (path, ...more) => ['--keys', path, '--sub', 'u', '--room', '*=read', ...more];
    const long = Array.from({ length: 40 }, (_, i) => ['--room', `${i}${'x'.repeat(250)}=read`]);

    refuse([], 2, /takes --keys, --sub and --room/);
    refuse(['--keys', keys, '--room', '*=read'], 2, /takes --keys, --sub/);
    refuse(['--keys', keys, '--sub', 'u'], 2, /takes --keys, --sub/);
    refuse([...base, '--nonsense'], 2, /no option '--nonsense'/);
    refuse([...base, 'more'], 2, /options only/);
    refuse([...base, '--new-key', 'ES256'], 2, /--keys does not go/);
    refuse(['--public', keys, '--kid', 'one'], 2, /--kid does not go/);
    refuse([...base, '--room', '*=write'], 2, /twice/);
    for (const room of ['*', '=read', '*=none', '*=Read', `${'x'.repeat(256)}=read`])
      refuse([...base, '--room', room], 2, /--room|pattern/);
    for (const ttl of ['0', '-1', '1h', '', '+5', '99999999999', '1.5'])
      refuse([...base, '--ttl', ttl], 2, /--ttl/);
    refuse([...base, '--sub', ''], 2, /1 to 255 bytes/);
    refuse([...base, '--sub', 'a\nb'], 2, /1 to 255 bytes/);
    refuse([...base, '--tenant', 'x'.repeat(256)], 2, /1 to 255 bytes/);
    refuse(['--new-key', 'none'], 2, /HS256, RS256 or ES256/);
    refuse(['--new-key', 'ES256', '--kid', 'x'.repeat(129)], 2, /--kid/);
    refuse([...base, ...long.flat()], 1, /more than 8192 bytes/);
    refuse(of(join(folder, 'none.json')), 1, /No such file/);
    refuse(of(file('{')), 1, /no JSON/);
    refuse(of(both), 1, /--kid says which/);
    refuse(of(both, '--kid', 'three'), 1, /no key of that --kid/);
    refuse(of(published), 1, /no private part/);
    refuse(of(mixed), 1, /not its own/);
  });

  test('explains itself', () => {
    const help = give(['--help']);
    assert.match(help, /--room PATTERN=ACCESS/);
    const { stdout } = spawnSync(program('ctl/concordctl'), ['help', 'token'], { encoding: 'utf8' });
    assert.equal(stdout, help);
  });
});
