/* Who is let in: tokens in each place that they may come in, tenants, roles, revocation, expiry. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { JsonClient } from '../lib/json-client.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { gone, kill } from '../lib/processes.mjs';
import { mint, nowS, startServerWithKeys, writeKeys } from '../lib/tokens.mjs';
import { once, poll } from '../lib/wait.mjs';
import { awarenessHolds, converged, docHolds, synced } from '../lib/yjs-client.mjs';
import Y, { PROVIDERS } from '../lib/yjs.mjs';

const textOf = (doc) => doc.getText('body').toString();
const insertion = (text) => {
  const doc = new Y.Doc();
  doc.getText('body').insert(0, text);
  return Y.encodeStateAsUpdateV2(doc);
};

describe('access', () => {
  const suite = suiteScope();
  let server;
  before(async () => {
    server = await startServerWithKeys(suite);
  });

  /* The status that answers a handshake, 101 if it is accepted, and the subprotocol. */
  const handshake = async (t, path, { headers = {}, protocols = [] } = {}) => {
    const socket = new WebSocket(server.ws(path), protocols, { headers });
    t.after(() => socket.terminate());
    return new Promise((done) => {
      socket.on('error', ({ message }) => done({ status: message }));
      socket.on('open', () => done({ status: 101, protocol: socket.protocol }));
      socket.on('unexpected-response', (request, response) => {
        response.resume();
        done({ status: response.statusCode });
      });
    });
  };

  const joinJson = async (t, room, token) => {
    const client = new JsonClient(server.ws(`/rooms/${encodeURIComponent(room)}/ws?token=${token}`));
    t.after(() => client.socket.terminate());
    await client.frame(({ t: type }) => type === 'sync', 'sync');
    return client;
  };

  const joinYjs = async (t, room, token) => {
    const doc = new Y.Doc();
    const provider = new PROVIDERS['3.x'](server.ws('/yjs'), room, doc, {
      WebSocketPolyfill: WebSocket,
      disableBc: true,
      params: { token },
    });
    t.after(() => {
      provider.destroy();
      doc.destroy();
    });
    await synced({ provider });
    return { doc, provider };
  };

  /* Kills a process; resolves when another has its place and the server answers. */
  const restart = async (role) => {
    const before = server.pid(role);
    kill(before);
    await gone([before]);
    const isThere = () =>
      server.processes().some(({ program }) => program === `concord-${role}`) &&
      fetch(server.http('/healthz')).then(({ ok }) => ok, () => false);
    await poll(isThere, `another ${role}`);
  };

  const revoke = (room, token, body) =>
    fetch(server.http(`/rooms/${encodeURIComponent(room)}/revoke`), {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}` },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });

  for (const path of ['/yjs/r', '/rooms/r/ws']) {
    test(`${path}: a token in any of its places, but in one`, async (t) => {
      const token = mint();
      const bearer = `bearer.${token}`;
      const given = (status, ...where) => ({ status, where });
      const rows = [
        [401, path],
        [101, path, { headers: { Authorization: `Bearer ${token}` } }],
        [101, path, { headers: { Authorization: `bEARER ${token}` } }],
        [101, `${path}?token=${token}`],
        [101, path, { protocols: ['concord.v1', bearer] }],
        [400, `${path}?token=${token}`, { headers: { Authorization: `Bearer ${token}` } }],
        [400, `${path}?token=${token}`, { protocols: ['concord.v1', bearer] }],
        [401, path, { headers: { Cookie: `token=${token}` } }],
        [401, path, { headers: { Authorization: `Basic ${token}` } }],
        [401, `${path}?token=${token.slice(0, -3)}AAA`],
        [401, `${path}?token=${mint({ exp: nowS() - 60 })}`],
        [401, `${path}?token=${mint({ exp: nowS() + 100000 })}`, { why: 'lives too long for a query' }],
        [101, path, { headers: { Authorization: `Bearer ${mint({ exp: nowS() + 100000 })}` } }],
        [403, `${path}?token=${mint({ rooms: { other: 'admin' } })}`],
        [403, path, { headers: { Authorization: `Bearer ${token}`, Origin: 'https://evil.com' } }],
        [101, path, {
          headers: { Authorization: `Bearer ${token}`, Origin: `http://127.0.0.1:${server.port}` },
        }],
      ];
      for (const [wanted, where, options] of rows) {
        const { status } = await handshake(t, where, options);
        assert.equal(status, wanted, JSON.stringify(given(wanted, where.slice(0, 40), options)));
      }
    });
  }

  test('the subprotocol with the token is not echoed', async (t) => {
    const protocols = ['concord.v1', `bearer.${mint()}`];
    assert.equal((await handshake(t, '/rooms/r/ws', { protocols })).protocol, 'concord.v1');
    assert.equal((await handshake(t, '/yjs/r', { protocols })).protocol, 'concord.v1');
  });

  test('no room is started for who is not let in', async (t) => {
    assert.equal((await handshake(t, '/yjs/nobody')).status, 401);
    assert.equal((await handshake(t, `/yjs/nobody?token=${mint({ rooms: {} })}`)).status, 403);
    assert.equal(await server.room('nobody'), undefined);
  });

  test('one name is another room for each tenant', async (t) => {
    const ours = await joinYjs(t, 'shared', mint({ tenant: 'ours' }));
    const same = await joinYjs(t, 'shared', mint({ tenant: 'ours', sub: 'else' }));
    const theirs = await joinYjs(t, 'shared', mint({ tenant: 'theirs' }));
    ours.doc.getText('body').insert(0, 'ours');
    theirs.doc.getText('body').insert(0, 'theirs');
    await converged([ours.doc, same.doc]);
    const late = await joinYjs(t, 'shared', mint({ tenant: 'theirs', sub: 'late' }));
    await docHolds(late.doc, (doc) => textOf(doc) !== '', 'the text of their tenant');
    assert.equal(textOf(late.doc), 'theirs');
    assert.equal(textOf(same.doc), 'ours');
    late.provider.awareness.setLocalStateField('user', 'late');
    const isLateThere = (states) => [...states.values()].some(({ user }) => user === 'late');
    await awarenessHolds(theirs, isLateThere, 'the presence of their tenant');
    const { awareness } = ours.provider;
    assert.ok(!isLateThere(awareness.getStates()), 'nobody of another tenant is there');
  });

  test('who may only read gets everything and changes nothing', async (t) => {
    const writer = await joinJson(t, 'roles', mint());
    await writer.ackOf(writer.op(insertion('first')));
    const reader = await joinJson(t, 'roles', mint({ sub: 'r', rooms: { roles: 'read' } }));
    reader.send({ t: 'presence', user: 'r' });
    await writer.frame(({ t: type, user }) => type === 'presence' && user === 'r', 'its presence');
    const seq = reader.op(insertion('not this'));
    const refused = await reader.frame(({ t: type }) => type === 'error', 'the refusal');
    assert.deepEqual([refused.code, refused.seq], ['read_only', seq]);
    await writer.ackOf(writer.op(insertion('second')));
    await reader.frame(({ t: type }) => type === 'op', 'the edit of another');
    const fresh = await joinYjs(t, 'roles', mint({ sub: 'fresh' }));
    assert.doesNotMatch(textOf(fresh.doc), /not this/);
    assert.match(textOf(fresh.doc), /first/);
    assert.match(textOf(fresh.doc), /second/);
  });

  test('a revocation closes sockets that are open, and holds for tokens of before', async (t) => {
    const admin = mint({ sub: 'boss', rooms: { '*': 'admin' } });
    const token = mint({ sub: 'leaver' });
    const stays = await joinJson(t, 'revoked', mint({ sub: 'stayer' }));
    const leaves = await joinJson(t, 'revoked', token);
    const elsewhere = await joinJson(t, 'elsewhere', token);
    const answer = await revoke('revoked', admin, { user: 'leaver' });
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), { applied: true });
    const closed = leaves.closed ?? (await once(leaves, 'close', () => true, 'the close'));
    assert.equal(closed.code, 4403);
    assert.equal((await handshake(t, `/yjs/revoked?token=${token}`)).status, 403);
    const newer = mint({ sub: 'leaver', iat: nowS() + 2 });
    assert.equal((await handshake(t, `/yjs/revoked?token=${newer}`)).status, 101);
    assert.equal(elsewhere.closed, null, 'another room is not touched');
    await stays.ackOf(stays.op(insertion('stays')));
  });

  test('a role that is lowered holds from the next message on, and over restarts', async (t) => {
    const admin = mint({ sub: 'boss', rooms: { '*': 'admin' } });
    const token = mint({ sub: 'lowered' });
    const client = await joinJson(t, 'lowered', token);
    await client.ackOf(client.op(insertion('before')));
    assert.equal((await revoke('lowered', admin, { user: 'lowered', access: 'read' })).status, 200);
    client.op(insertion('after'));
    const refused = await client.frame(({ t: type }) => type === 'error', 'the refusal');
    assert.equal(refused.code, 'read_only');
    assert.equal(client.closed, null);
    await restart('gateway');
    await restart('roomd');
    const again = await joinJson(t, 'lowered', token);
    again.op(insertion('after'));
    assert.equal((await again.frame(({ t: type }) => type === 'error', 'refusal')).code, 'read_only');
  });

  test('who may revoke, and what', async () => {
    const admin = mint({ sub: 'boss', rooms: { '*': 'admin' } });
    const rows = [
      [401, 'no.token.here', { user: 'u' }],
      [403, mint({ rooms: { '*': 'write' } }), { user: 'u' }],
      [400, admin, {}],
      [400, admin, '{'],
      [400, admin, []],
      [400, admin, { user: '' }],
      [400, admin, { user: 'x'.repeat(256) }],
      [400, admin, { user: 7 }],
      [400, admin, { user: 'u', access: 'admin' }],
      [400, admin, '{"user":"u","user":"v"}'],
      [413, admin, { user: 'u', more: 'x'.repeat(5000) }],
      [200, admin, { user: 'u', access: 'write' }],
    ];
    for (const [wanted, token, body] of rows) {
      const { status } = await revoke('r', token, body);
      assert.equal(status, wanted, JSON.stringify(body).slice(0, 80));
    }
  });

  test('a token that expires ends its clients', async (t) => {
    /* Clocks may differ by 30 s, which this one is past soon. */
    const token = mint({ exp: nowS() - 28 });
    const client = new JsonClient(server.ws(`/rooms/expires/ws?token=${token}`));
    t.after(() => client.socket.terminate());
    const closed = await once(client, 'close', () => true, 'the close');
    assert.equal(closed.code, 4401);
  });

  test('SIGHUP reads the keys anew; what is wrong leaves those of before', async (t) => {
    const client = await joinJson(t, 'rotation', mint());
    const isLetIn = async (kid) =>
      (await handshake(t, `/yjs/rotation?token=${mint({}, { kid })}`)).status === 101;
    assert.ok(!(await isLetIn('k2')));
    writeKeys(server, 'k2');
    kill(server.launcher.pid, 'SIGHUP');
    await poll(() => isLetIn('k2'), 'the other key');
    assert.ok(!(await isLetIn('k1')));
    writeFileSync(join(server.directory, 'keys.json'), '{');
    kill(server.launcher.pid, 'SIGHUP');
    const hasSaidSo = () => /the keys of before stay/.test(readFileSync(server.logFile, 'utf8'));
    await poll(hasSaidSo, 'the complaint');
    assert.ok(await isLetIn('k2'));
    writeKeys(server);
    kill(server.launcher.pid, 'SIGHUP');
    await poll(() => isLetIn('k1'), 'the first key again');
    await client.ackOf(client.op(insertion('all the time')));
  });

  test('no token stands in the log', () => {
    assert.doesNotMatch(readFileSync(server.logFile, 'utf8'), /eyJ/);
  });
});
