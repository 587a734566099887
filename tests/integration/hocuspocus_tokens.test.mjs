/* HocuspocusProvider on a server with keys, while it is connected: tokens that expire, revocations. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import {
  VERSIONS, denied, openDocument, openSocket, received, saved, statuses, synced,
} from '../lib/hocuspocus-client.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { mint, nowS, startServerWithKeys } from '../lib/tokens.mjs';
import { poll } from '../lib/wait.mjs';

const AUTH = 2;
const ASKS = 0;

for (const version of VERSIONS) {
  describe(`tokens of HocuspocusProvider ${version}`, () => {
    const suite = suiteScope();
    let server;

    before(async () => {
      server = await startServerWithKeys(suite);
    });

    const revoke = async (room, body) => {
      const answer = await fetch(server.http(`/rooms/${room}/revoke`), {
        method: 'POST',
        headers: { Authorization: `Bearer ${mint({ sub: 'boss', rooms: { '*': 'admin' } })}` },
        body: JSON.stringify(body),
      });
      assert.equal(answer.status, 200);
    };

    /* Clocks may differ by 30 s, which this one is past soon. */
    test('one that has expired is asked for again, and a fresh one goes on', async (t) => {
      const tokens = [mint({ exp: nowS() - 28 })];
      const socket = openSocket(t, server, { version });
      const client = openDocument(t, socket, 'expires', { token: () => tokens.shift() ?? mint() });
      await saved(client);
      await received(client, (frames) =>
        frames.some(({ type, kind }) => type === AUTH && kind === ASKS), 'the server asks');
      if (version === '2.x') /* it does not know the question, and shows its token when it is back */
        await poll(() => socket.network.opened === 2, 'it comes back');
      else await poll(() => socket.network.sent.filter(({ type }) => type === AUTH).length === 2, 'fresh');
      client.text.insert(0, 'x');
      await synced(client);
      await saved(client);
      assert.equal(socket.network.opened, version === '2.x' ? 2 : 1);
      assert.deepEqual(client.failures, []);
    });

    test('a revocation ends its document, and no other', async (t) => {
      const socket = openSocket(t, server, { version });
      const token = mint({ sub: `leaver${version}` });
      const [out, stays] = ['out', 'stays'].map((name) => openDocument(t, socket, name, { token }));
      await Promise.all([saved(out), saved(stays)]);
      await revoke('out', { user: `leaver${version}` });
      await denied(out);
      stays.text.insert(0, 'x');
      await saved(stays);
      assert.deepEqual(out.failures, ['the token does not allow this']);
      assert.deepEqual([socket.network.opened, socket.network.closes.length], [1, 0]);
    });

    test('a role that is lowered holds from the next edit on', async (t) => {
      const socket = openSocket(t, server, { version });
      const client = openDocument(t, socket, 'lowered', { token: mint({ sub: `low${version}` }) });
      await saved(client);
      await revoke('lowered', { user: `low${version}`, access: 'read' });
      await poll(() => client.provider.authorizedScope === 'readonly', 'it is told');
      client.text.insert(0, 'not this');
      await received(client, () => statuses(client, 'lowered').includes(0), 'the refusal');
      assert.ok(client.provider.hasUnsyncedChanges);
      assert.deepEqual(socket.network.closes, []);
    });
  });
}
