/* Runs the rows of a table: each is a test of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLOSE, closing, describeFrame, exchange, slices, talk } from './wire.mjs';

const NORMAL = 1000;

const closeOf = (code) => ({
  opcode: CLOSE,
  payload: code === null ? '' : Buffer.from([code >> 8, code & 0xff]),
});

/* The frames with which it must end. */
const expectedEnd = (ends) => {
  if (!ends) return [closeOf(NORMAL)];
  return ends.cut ? [] : [closeOf(ends.fails ?? ends.closes)];
};

const checkRow = async (port, row, { path, isOfInterest = () => true }) => {
  const { ends, expect = [] } = row;
  const send = ends ? row.send : [...row.send, closing(NORMAL)];
  const { agreed, frames } = await talk(port, { ...row, path, send });
  const wanted = [...expect, ...expectedEnd(ends)];
  assert.deepEqual(frames.filter(isOfInterest).map(describeFrame), wanted.map(describeFrame));
  if ('agreed' in row) assert.equal(agreed, row.agreed);
  return frames;
};

/* `port()` is that of the server; `check(frames, row)` looks at what came once more. */
export const runRows = (rows, port, { check = () => {}, ...options } = {}) => {
  for (const row of rows) {
    test(`${row.id}${row.chop ? `, ${row.chop}` : ''}`, async () => {
      check(await checkRow(port(), row, options), row);
    });
  }
};

/* ---- handshakes ---- */

const checkHandshake = async (port, { request, status, headers }, chop) => {
  const bytes = Buffer.from(request, 'latin1');
  const { head } = await exchange(port, chop ? slices(bytes, chop) : bytes, [closing(NORMAL)]);
  assert.equal(head?.status, status);
  for (const [name, values] of Object.entries(headers))
    assert.deepEqual(head.headers[name] ?? null, values, name);
};

/* Each row at once, and in pieces of `chop` octets. */
export const runHandshakes = (rows, port, { chops = [0] } = {}) => {
  for (const row of rows)
    for (const chop of chops) {
      const name = `${row.id}${chop ? `, in pieces of ${chop}` : ''}`;
      test(name, () => checkHandshake(port(), row, chop));
    }
};
