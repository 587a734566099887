/* Clients that type marks, so that a test can tell which of their edits are there. */
import assert from 'node:assert/strict';
import { joinJson } from './json-client.mjs';
import { until } from './wait.mjs';
import { joinYjs } from './yjs-client.mjs';
import Y from './yjs.mjs';

export const ROOT = 'body';
export const textOf = (doc) => doc.getText(ROOT).toString();

/* A JSON client with a document of its own; type() appends `«n»` and returns the op's number. */
export const jsonTypist = async (t, server, room) => {
  const client = await joinJson(t, server, room);
  const doc = client.bind(Y, new Y.Doc());
  const written = new Map();
  const type = () => {
    const mark = `«j${written.size}»`;
    doc.getText(ROOT).insert(doc.getText(ROOT).length, mark);
    written.set(client.seq, mark);
    return client.seq;
  };
  const ackedMarks = () => [...client.acked].map((seq) => written.get(seq));
  return { client, doc, type, ackedMarks };
};

export const yjsTypist = async (t, server, room, name = 'y') => {
  const client = await joinYjs(t, server, room);
  let count = 0;
  let closes = 0;
  client.provider.on('connection-close', () => {
    closes += 1;
  });
  const marks = [];
  const type = () => {
    marks.push(`«${name}${count}»`);
    client.doc.getText(ROOT).insert(0, marks[count]);
    count += 1;
  };
  return { ...client, type, marks, closes: () => closes };
};

/* The rhythm in which the typists type. */
const keystroke = () => new Promise((resolve) => setTimeout(resolve, 1));

/* Everybody types until `isEnough()`. */
export const typeUntil = async (typists, isEnough) => {
  const end = Date.now() + 30000;
  while (!isEnough()) {
    assert.ok(Date.now() < end, 'typing comes to its end in time');
    typists.forEach(({ type }) => type());
    await keystroke();
  }
};

export const acksReach = ({ client }, count) =>
  until(
    (check) => {
      client.on('frame', check);
      return () => client.off('frame', check);
    },
    () => client.acked.size >= count,
    `${count} acks`,
  );

export const assertHolds = (text, marks) => {
  const lost = marks.filter((mark) => !text.includes(mark));
  assert.deepEqual(lost, [], 'acknowledged edits are there');
};
