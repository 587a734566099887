/*
 * A client of the JSON socket without a CRDT, in the plainest way (`?data=ops`): the text is a list
 * of units { site, counter, ch }, and what arrives is done to the list as it says. Own edits are
 * shown at once and sent; where they belong is known when they come back. Until then a unit that
 * this client has deleted is hidden only, as others may insert behind it.
 */
import assert from 'node:assert/strict';
import { joinJson } from './json-client.mjs';
import { until } from './wait.mjs';

const idOf = (unit) => (unit ? { site: unit.site, counter: unit.counter } : null);
const isUnit = (unit, id) => unit.site === id.site && unit.counter === id.counter;

const unitsOf = ({ site, counter }, value) =>
  value.split('').map((ch, i) => ({ site, counter: counter + i, ch, isHidden: false }));

/* The list of runs in a `sync`. */
export const runsOf = ({ state }) => JSON.parse(Buffer.from(state, 'base64').toString());

export class OpsClient {
  constructor(site) {
    this.site = site;
    this.counter = 0; /* units inserted */
    this.seq = 0;
    this.units = [];
    this.sent = []; /* every operation */
    this.unacked = new Map(); /* operations by `seq` */
    this.syncs = 0;
    this.acks = 0;
    this.errors = [];
    this.json = null;
  }

  /* Opens a socket, a first or another one. */
  async connect(t, server, room, { query = '' } = {}) {
    this.json = await joinJson(t, server, room, { query: `?data=ops${query}` });
    this.json.frames.forEach((frame) => this.receive(frame));
    this.json.on('frame', (frame) => this.receive(frame));
    this.unacked.forEach((data, seq) => this.json.send({ t: 'op', seq, data }));
    return this;
  }

  get text() {
    return this.units.filter(({ isHidden }) => !isHidden).map(({ ch }) => ch).join('');
  }

  /* ---- what arrives ---- */

  receive(frame) {
    if (frame.t === 'sync') this.replace(frame);
    if (frame.t === 'op') this.apply(frame.data);
    if (frame.t === 'ack') {
      this.unacked.delete(frame.seq);
      this.acks += 1;
    }
    if (frame.t === 'error') this.refuse(frame);
  }

  /* What was refused is undone. */
  refuse(frame) {
    const { kind, id, value, length } = this.unacked.get(frame.seq) ?? {};
    this.unacked.delete(frame.seq);
    this.errors.push(frame);
    if (kind === 'insert') this.apply({ kind: 'delete', id, length: value.length });
    if (kind !== 'delete') return;
    this.units.filter((unit) => isIn(unit, id, length)).forEach((unit) => {
      unit.isHidden = false;
    });
  }

  replace(frame) {
    this.units = runsOf(frame).flatMap(({ id, value }) => unitsOf(id, value));
    this.syncs += 1;
  }

  apply({ kind, id, after, value, length }) {
    if (kind === 'insert') this.place(unitsOf(id, value), after);
    if (kind === 'delete') this.units = this.units.filter((unit) => !isIn(unit, id, length));
  }

  place(units, after) {
    const isNew = (unit) => !isIn(unit, units[0], units.length);
    this.units = this.units.filter(isNew);
    const left = after ? this.units.findIndex((unit) => isUnit(unit, after)) : -1;
    if (after) assert.ok(left >= 0, `${this.site} has ${after.site}:${after.counter}`);
    this.units.splice(left + 1, 0, ...units);
  }

  /* ---- what it does itself ---- */

  send(data) {
    this.seq += 1;
    this.sent.push(data);
    this.unacked.set(this.seq, data);
    this.json.send({ t: 'op', seq: this.seq, data });
    return this.seq;
  }

  /* Inserts behind the unit `index` of the list, hidden ones counted; -1: at its start. */
  insertBehind(index, value) {
    const id = { site: this.site, counter: this.counter + 1 };
    const [after, before] = [this.units[index], this.units[index + 1]].map(idOf);
    this.counter += value.length;
    this.units.splice(index + 1, 0, ...unitsOf(id, value));
    return this.send({ kind: 'insert', id, after, before, value });
  }

  /* Edits of the text that it shows, by index; each returns the number of its last operation. */

  insert(index, value) {
    return this.insertBehind(index > 0 ? this.shown(index - 1) : -1, value);
  }

  append(value) {
    return this.insert(this.text.length, value);
  }

  delete(index, length = 1) {
    const ids = [];
    for (let i = 0; i < length; i += 1) {
      const unit = this.units[this.shown(index)];
      unit.isHidden = true;
      ids.push(unit);
    }
    return rangesOf(ids).map((range) => this.send({ kind: 'delete', ...range })).at(-1);
  }

  /* Where in the list the unit `index` of the shown text is. */
  shown(index) {
    let left = index;
    return this.units.findIndex(({ isHidden }) => !isHidden && left-- === 0);
  }

  /* Resolves when `condition(this)` holds. */
  holds(condition, what) {
    const subscribe = (check) => {
      this.json.on('frame', check);
      return () => this.json.off('frame', check);
    };
    return until(subscribe, () => condition(this), what);
  }

  /* Resolves when everything it sent is acknowledged. */
  settled() {
    return this.holds(({ unacked }) => unacked.size === 0, `the acks of ${this.site}`);
  }

  shows(text) {
    return this.holds((client) => client.text === text, `${this.site} shows ${text}`);
  }
}

const isIn = (unit, { site, counter }, length = 1) =>
  unit.site === site && unit.counter >= counter && unit.counter < counter + length;

/* Units as ranges of consecutive ones. */
const rangesOf = (units) => {
  const ranges = [];
  for (const unit of units) {
    const last = ranges.at(-1);
    if (last && isIn(unit, { ...last.id, counter: last.id.counter + last.length })) last.length += 1;
    else ranges.push({ id: idOf(unit), length: 1 });
  }
  return ranges;
};

export const joinOps = (t, server, room, site, options) =>
  new OpsClient(site).connect(t, server, room, options);
