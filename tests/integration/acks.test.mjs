/*
 * What an acknowledgement says, at both levels: `stored` waits for the store, `room` does not. The
 * store stands still for a while (SIGSTOP).
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { joinJson } from '../lib/json-client.mjs';
import { kill } from '../lib/processes.mjs';
import { suiteScope } from '../lib/scope.mjs';
import { startServer } from '../lib/server.mjs';
import { poll } from '../lib/wait.mjs';
import { docHolds, joinYjs } from '../lib/yjs-client.mjs';
import Y from '../lib/yjs.mjs';

/* An edit of another replica, as a v2 update. */
const insertion = (text) => {
  const doc = new Y.Doc();
  doc.getText('body').insert(0, text);
  return Y.encodeStateAsUpdateV2(doc);
};

/* Whether a y-websocket client's edits came back to it, which stands for their acknowledgement. */
const echoes = ({ provider }) => {
  let count = 0;
  provider.ws.addEventListener('message', ({ data }) => {
    const [type, kind] = new Uint8Array(data);
    if (type === 0 && kind === 2) count += 1;
  });
  return () => count;
};

describe('levels of acknowledgement', () => {
  const suite = suiteScope();
  let server;

  before(async () => {
    server = await startServer(suite, { options: ['--ack', 'drafts/*=room, stored'] });
  });

  const stopStore = (t) => {
    const pid = server.pid('snapshotd');
    kill(pid, 'SIGSTOP');
    const goOn = () => kill(pid, 'SIGCONT');
    t.after(goOn);
    return goOn;
  };

  test('JSON: a room of level room goes on while the store stands still', async (t) => {
    const draft = await joinJson(t, server, 'drafts/json');
    const kept = await joinJson(t, server, 'kept/json');
    await draft.ackOf(draft.op(insertion('a')));
    await kept.ackOf(kept.op(insertion('a')));

    const goOn = stopStore(t);
    const waiting = kept.op(insertion('b'));
    for (let i = 0; i < 10; i += 1) await draft.ackOf(draft.op(insertion('b')));
    const witness = await joinYjs(t, server, 'kept/json');
    assert.equal(witness.doc.getText('body').length, 2, 'it is in the room');
    assert.ok(!kept.acked.has(waiting), 'and not acknowledged');
    goOn();
    await kept.ackOf(waiting);
    await poll(async () => {
      const room = await server.room('drafts/json');
      return room.lag === 0;
    }, 'what was acknowledged early is stored too');
  });

  test('y-websocket: the same', async (t) => {
    const draft = await joinYjs(t, server, 'drafts/yjs');
    const kept = await joinYjs(t, server, 'kept/yjs');
    const ofDraft = echoes(draft);
    const ofKept = echoes(kept);

    const goOn = stopStore(t);
    const reader = await joinYjs(t, server, 'kept/yjs');
    kept.doc.getText('body').insert(0, 'kept');
    await docHolds(reader.doc, (doc) => doc.getText('body').length === 4, 'others see it');
    draft.doc.getText('body').insert(0, 'draft');
    await poll(() => ofDraft() === 1, 'the echo of level room');
    assert.equal(ofKept(), 0);
    goOn();
    await poll(() => ofKept() === 1, 'the echo of level stored');
  });

  test('what was acknowledged at level room survives the death of its room', async (t) => {
    const name = 'drafts/killed';
    const writer = await joinJson(t, server, name);
    stopStore(t);
    await writer.ackOf(writer.op(insertion('safe')));
    kill((await server.room(name)).pid);
    const reader = await joinYjs(t, server, name);
    assert.equal(reader.doc.getText('body').toString(), 'safe');
  });
});
