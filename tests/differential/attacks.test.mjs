/*
 * Updates that no encoder writes, where Yjs has an answer: the engine gives the same one. Where Yjs
 * throws, in the middle of its work or not, the engine refuses, and its document is as it was.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as Y from 'yjs';
import { Peer, Refused } from './peer.mjs';
import { joinGarbage, newReplica } from './replica.mjs';

const bytes = (text) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const hex = (buffer) => Buffer.from(buffer).toString('hex');

let peer;

before(() => {
  peer = new Peer();
});
after(async () => assert.equal(await peer.close(), 0));

const compare = async (doc, what) => {
  joinGarbage(doc);
  assert.equal(hex(await peer.encode()), hex(Y.encodeStateAsUpdate(doc)), `${what}: v1`);
  assert.equal(hex(await peer.encode(new Uint8Array(), 2)), hex(Y.encodeStateAsUpdateV2(doc)), `${what}: v2`);
  assert.equal(hex(await peer.stateVector()), hex(Y.encodeStateVector(doc)), `${what}: state vector`);
  assert.equal(
    await peer.hasPending(),
    doc.store.pendingStructs !== null || doc.store.pendingDs !== null,
    `${what}: pending`,
  );
};

/* v1 updates, one after the other, which Yjs takes. */
const ACCEPTED = {
  'a zero length at the end': ['01 01 01 00 04 01 01 74 00 00'],
  'a cycle of two clients': ['02 01 02 00 84 01 00 01 62 01 01 00 84 02 00 01 61 00'],
  'half of a cycle after the other': ['01 01 02 00 84 01 00 01 62 00', '01 01 01 00 84 02 00 01 61 00'],
  'one client in two places': ['02 01 05 02 00 01 01 05 00 01 01 01 74 02 00'],
  'one client in two places, without a gap': ['02 01 05 00 04 01 01 74 01 61 01 05 01 84 05 00 01 62 00'],
  'the largest client id': ['01 01 ff ff ff ff ff ff ff 0f 00 04 01 01 74 01 61 01 ff ff ff ff ff ff ff 0f 01 00 01'],
  'client ids of 32 bits and more': ['02 01 80 80 80 80 10 00 04 01 01 74 01 61 01 81 80 80 80 10 00 84 80 80 80 80 10 00 01 62 00'],
  'an origin in t, a right origin in u': [
    '01 03 01 00 04 01 01 74 02 6162 04 01 01 75 02 6364 c4 01 00 01 02 01 58 00',
  ],
  'a right origin in another text, a scan to the end': [
    '01 02 01 00 04 01 01 74 03 616263 04 01 01 75 02 6465 00',
    '01 02 02 00 c4 01 00 01 04 01 58 c4 01 01 01 03 01 59 00',
  ],
  'a right origin left of the origin': [
    '01 01 01 00 04 01 01 74 03 616263 00',
    '01 01 02 00 c4 01 02 01 00 01 58 00',
  ],
  'a list item behind a map item': ['01 01 01 00 28 01 01 6d 01 6b 01 77 01 61 00', '01 01 02 00 84 01 00 01 62 00'],
  'a parent that is no type': ['01 02 01 00 04 01 01 74 01 61 04 00 01 00 01 62 00'],
  'a parent that was deleted': ['01 01 01 00 07 01 01 74 00 01 01 01 00 01', '01 01 02 00 04 00 01 00 01 62 00'],
  'deletes without order, twice, empty': [
    '01 01 01 00 04 01 01 74 06 616263646566 00',
    '00 02 01 03 04 01 00 02 01 02 01 01 05 00',
  ],
  'deletes beyond what is known': ['01 01 01 00 04 01 01 74 02 6162 00', '00 01 01 01 01 09'],
  'a GC for ever': ['01 01 01 00 00 ff ff ff ff 07 00'],
  'clocks taken by another client': ['01 01 01 00 00 05 00', '01 01 01 00 04 01 01 74 03 616263 00'],
  'flags on a GC': ['01 01 01 00 e0 02 00'],
  'a Skip first': ['01 02 01 00 0a 02 84 01 01 01 61 00'],
  'the old JSON content': ['01 01 01 00 02 01 04 6c697374 03 09 756e646566696e6564 01 31 07 7b2261223a317d 00'],
  'numbers longer than they need to be': ['81 00 81 80 00 01 00 04 01 01 74 01 61 00'],
  'bytes after the end': ['01 01 01 00 04 01 01 74 01 61 00 ff ff'],
};

/* Updates to which Yjs says no. */
const REFUSED = {
  'an item that is its own origin': '01 01 01 01 84 01 01 01 61 00',
  'an item that is its own parent': '01 01 01 01 04 00 01 01 01 61 00',
  'ContentMove': '01 01 01 01 0b 01 01 74 01 00 00',
  'an unknown content': '01 01 01 01 1f 01 01 74 01 00 00',
  'an unknown type': '01 01 01 01 07 01 01 74 07 00',
  'text that is no UTF-8': '01 01 01 01 04 01 01 74 02 c3 28 00',
  'a surrogate in UTF-8': '01 01 01 01 04 01 01 74 03 ed a0 80 00',
  'a root that is no UTF-8': '01 01 01 01 04 01 01 ff 01 61 00',
  'a key that is no UTF-8': '01 01 01 01 28 01 01 6d 01 80 01 7e 00',
  'a mark that is no JSON': '01 01 01 01 06 01 01 74 01 62 01 7b 00',
  'an unknown value': '01 01 01 01 08 01 01 6c 01 73 00',
  'a string longer than the update': '01 01 01 01 04 01 01 74 ff ff ff ff 0f 61 00',
  'more values than there are bytes': '01 01 01 01 08 01 01 6c ff ff ff ff 0f 7e 7e 00',
  'more structs than there are bytes': '01 ff ff ff ff 0f 01 01 00 01 00',
  'more clients than there are bytes': 'ff ff ff ff 0f 01 01 01 00 01 00',
  'more deletes than there are bytes': '00 01 01 ff ff ff ff 0f 00 01',
  'a number that never ends': '01 01 ff ff ff ff ff ff ff ff ff ff ff ff 0f 00 00 01 00',
  'nothing': '',
  'no delete set': '01 01 01 01 00 01',
};

/* Updates that Yjs keeps, and throws for when what they wait for comes. */
const NEVER_INTEGRATED = {
  'an origin that its client makes later': '01 01 01 01 84 01 09 01 78 00',
  'its own origin, too early': '01 01 01 01 84 01 01 01 78 00',
  'an origin in itself': '01 01 01 01 84 01 01 03 787878 00',
  'a right origin that its client makes later': '01 01 01 01 44 01 09 01 74 01 78 00',
  'a parent that its client makes later': '01 01 01 01 04 00 01 09 01 78 00',
};

for (const [what, updates] of Object.entries(ACCEPTED)) {
  test(`as Yjs does: ${what}`, async () => {
    const doc = newReplica();
    await peer.reset();
    for (const update of updates.map(bytes)) {
      Y.applyUpdate(doc, update);
      await peer.apply(update);
      await compare(doc, what);
    }
  });
}

for (const [what, update] of Object.entries(REFUSED)) {
  test(`refused: ${what}`, async () => {
    const doc = newReplica();
    const start = bytes('01 01 01 00 04 01 01 74 01 61 00');
    Y.applyUpdate(doc, start);
    assert.throws(() => Y.applyUpdate(doc, bytes(update)), 'Yjs');
    await peer.reset();
    await peer.apply(start);
    await assert.rejects(peer.apply(bytes(update)), Refused);
    assert.equal(hex(await peer.encode()), hex(start));
  });
}

for (const [what, update] of Object.entries(NEVER_INTEGRATED)) {
  test(`refused at once: ${what}`, async () => {
    const doc = newReplica();
    const start = bytes('01 01 01 00 04 01 01 74 01 61 00');
    Y.applyUpdate(doc, bytes(update));
    assert.throws(() => Y.applyUpdate(doc, start), 'Yjs');
    await peer.reset();
    await assert.rejects(peer.apply(bytes(update)), Refused);
    await peer.apply(start);
    await compare(doc, what);
  });
}

const nestedArrays = (depth) => {
  const doc = newReplica();
  doc.clientID = 1;
  doc.transact(() => {
    let list = doc.getArray('list');
    for (let i = 0; i < depth; i++) {
      list.insert(0, [new Y.Array()]);
      list = list.get(0);
    }
  });
  return Y.encodeStateAsUpdate(doc);
};

test('6,000 nested arrays, deleted: Yjs runs out of its stack', async () => {
  const update = nestedArrays(6000);
  await peer.reset();
  await peer.apply(update);
  await peer.apply(bytes('00 01 01 01 00 01'));
  assert.equal(hex(await peer.encode()), '0102010001010' + '46c697374010' + '0ef2e010101' + '00f02e');
});

test('300 nested arrays, deleted', async () => {
  const update = nestedArrays(300);
  const doc = newReplica();
  await peer.reset();
  for (const part of [update, bytes('00 01 01 01 00 01')]) {
    Y.applyUpdate(doc, part);
    await peer.apply(part);
    await compare(doc, '300 arrays');
  }
});
