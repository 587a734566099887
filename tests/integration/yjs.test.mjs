/*
 * Real y-websocket clients in one room: two edit one place at once, one of them is offline for a
 * while, a third comes late. All end with the same document, and nothing that was written is lost.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startServer } from '../lib/server.mjs';
import { turn } from '../lib/wait.mjs';
import { awarenessHolds, converged, joinYjs, synced } from '../lib/yjs-client.mjs';
import Y, { PROVIDERS } from '../lib/yjs.mjs';

const ROUNDS = 20;

/* One character a token, found nowhere else: others may write into the middle of everything longer. */
const marks = new Map();
const mark = (token) => {
  if (!marks.has(token)) marks.set(token, String.fromCodePoint(0x4e00 + marks.size));
  return marks.get(token);
};

/* edit(doc, token, round) makes one edit; read(doc) is what a person would see; has(value, token)
 * tells whether an edit that nothing overwrote is in it. */
const KINDS = {
  text: {
    edit: (doc, token) => {
      const text = doc.getText('body');
      text.insert(Math.floor(text.length / 2), `<${mark(token)}${token}>`);
    },
    read: (doc) => doc.getText('body').toString(),
    has: (value, token) => value.includes(mark(token)),
  },
  map: {
    edit: (doc, token, round) => {
      const map = doc.getMap('map');
      map.set(token, { round, text: 'ünï¢öde 👩‍🚀', list: [1, -0.5, null, true] });
      map.set(`shared${round % 3}`, token);
      if (round % 5 === 0) map.set('nested', new Y.Map([[token, round]]));
      if (round % 7 === 6) map.delete('shared0');
    },
    read: (doc) => doc.getMap('map').toJSON(),
    has: (value, token) => token in value,
  },
  array: {
    edit: (doc, token, round) => {
      const array = doc.getArray('array');
      array.insert(Math.floor(array.length / 2), [token, round]);
      if (round % 4 === 3) array.delete(array.toArray().indexOf(round), 1);
    },
    read: (doc) => doc.getArray('array').toJSON(),
    has: (value, token) => value.includes(token),
  },
  xml: {
    edit: (doc, token, round) => {
      const fragment = doc.getXmlFragment('xml');
      const element = new Y.XmlElement('p');
      element.setAttribute('id', token);
      element.insert(0, [new Y.XmlText(`${token} & ${round}`)]);
      fragment.insert(Math.floor(fragment.length / 2), [element]);
      if (round % 3 === 2) fragment.get(0).setAttribute('class', token);
    },
    read: (doc) => doc.getXmlFragment('xml').toString(),
    has: (value, token) => value.includes(`id="${token}"`),
  },
  'formatted text': {
    edit: (doc, token, round) => {
      const text = doc.getText('rich');
      const at = Math.floor(text.length / 2);
      text.insert(at, `<${mark(token)}${token}>`, round % 2 ? { bold: true } : {});
      if (round % 3 === 0) text.format(Math.max(0, at - 4), 4, { color: token });
      if (round % 5 === 4) text.insertEmbed(at, { image: token });
    },
    read: (doc) => doc.getText('rich').toDelta(),
    has: (value, token) => value.some(({ insert }) => insert.includes?.(mark(token))),
  },
};

/* Both edit in turns of the event loop, so that their edits cross on the way. */
const editTogether = async (kind, authors, phase) => {
  for (let round = 0; round < ROUNDS; round += 1) {
    authors.forEach(([name, { doc }]) => kind.edit(doc, `${phase}${name}${round}`, round));
    await turn();
  }
};

const assertSame = (kind, docs, phases) => {
  const [first, ...others] = docs.map(kind.read);
  others.forEach((other) => assert.deepEqual(other, first));
  for (const phase of phases) {
    for (const name of ['a', 'b']) {
      for (let round = 0; round < ROUNDS; round += 1) {
        const token = `${phase}${name}${round}`;
        assert.ok(kind.has(first, token), `${token} is lost`);
      }
    }
  }
};

const meet = async (t, server, kind, version, room) => {
  const a = await joinYjs(t, server, room, { version });
  const b = await joinYjs(t, server, room, { version });
  const authors = [['a', a], ['b', b]];
  await editTogether(kind, authors, 'on');
  await converged([a.doc, b.doc], 'both online');
  assertSame(kind, [a.doc, b.doc], ['on']);

  b.provider.disconnect();
  await editTogether(kind, authors, 'off');
  b.provider.connect();
  await synced(b);
  await converged([a.doc, b.doc], 'after one was offline');

  const c = await joinYjs(t, server, room, { version });
  await converged([a.doc, c.doc], 'the third');
  assertSame(kind, [a.doc, b.doc, c.doc], ['on', 'off']);
};

describe('y-websocket', () => {
  for (const version of Object.keys(PROVIDERS)) {
    test(`${version}: documents converge`, async (t) => {
      const server = await startServer(t);
      for (const [name, kind] of Object.entries(KINDS)) {
        await t.test(name, (st) => meet(st, server, kind, version, `${name}/${version}`));
      }
    });
  }

  test('generations of clients share a room', async (t) => {
    const server = await startServer(t);
    const versions = Object.keys(PROVIDERS);
    const clients = await Promise.all(
      versions.map((version) => joinYjs(t, server, 'mixed', { version })),
    );
    clients.forEach(({ doc }, i) => doc.getText('body').insert(0, versions[i]));
    await converged(clients.map(({ doc }) => doc));
    const text = clients[0].doc.getText('body').toString();
    versions.forEach((version) => assert.ok(text.includes(version)));
  });

  for (const version of Object.keys(PROVIDERS))
    test(`tabs of one browser tell each other's presence too, ${version}`, async (t) => {
      const server = await startServer(t);
      const tabs = await Promise.all(
        [1, 2].map(() => joinYjs(t, server, 'tabs', { version, disableBc: false })),
      );
      const other = await joinYjs(t, server, 'tabs');
      const ends = [];
      tabs.forEach(({ provider }) => provider.on('connection-close', (event) => ends.push(event)));
      const [one, two] = tabs.map(({ doc }) => doc.clientID);
      for (let i = 0; i < ROUNDS; i += 1)
        tabs.forEach(({ provider }) => provider.awareness.setLocalState({ i }));
      const show = (id) => (states) => states.get(id)?.i === ROUNDS - 1;
      await awarenessHolds(other, (states) => show(one)(states) && show(two)(states), 'both tabs');
      tabs[0].doc.getText('body').insert(0, 'one');
      tabs[1].doc.getText('body').insert(0, 'two');
      await converged([...tabs, other].map(({ doc }) => doc));
      assert.deepEqual(ends, []);
      tabs[0].provider.destroy();
      await awarenessHolds(other, (states) => !states.has(one), 'a tab is closed');
      assert.ok(show(two)(other.provider.awareness.getStates()));
    });

  test('rooms are apart, also those that differ in a slash only', async (t) => {
    const server = await startServer(t);
    const [one, two] = await Promise.all(
      ['team/notes', 'team'].map((room) => joinYjs(t, server, room)),
    );
    one.doc.getText('body').insert(0, 'of team/notes');
    const late = await joinYjs(t, server, 'team/notes');
    await converged([one.doc, late.doc]);
    assert.equal(late.doc.getText('body').toString(), 'of team/notes');
    assert.equal(two.doc.getText('body').toString(), '');
  });
});
