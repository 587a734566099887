/* A friendly name and a colour for somebody who has not chosen any. */

const ADJECTIVES = [
  'Amber', 'Brave', 'Calm', 'Clever', 'Cosy', 'Dapper', 'Eager', 'Gentle', 'Happy', 'Jolly',
  'Kind', 'Lively', 'Lucky', 'Mellow', 'Nimble', 'Patient', 'Quiet', 'Sunny', 'Swift', 'Witty',
];
const ANIMALS = [
  'Badger', 'Beaver', 'Crane', 'Dolphin', 'Falcon', 'Finch', 'Fox', 'Hare', 'Heron', 'Ibex',
  'Koala', 'Lynx', 'Marten', 'Otter', 'Owl', 'Panda', 'Puffin', 'Robin', 'Seal', 'Wren',
];
/* Each readable under white text. */
const COLORS = [
  '#2563eb', '#7c3aed', '#be185d', '#c2410c', '#a16207', '#15803d', '#0f766e', '#0369a1',
];

const pick = (list) => list[Math.floor(Math.random() * list.length)];

/* { name, color }; the colour is not one of `taken`. */
export const randomGuest = (taken = []) => ({
  name: `${pick(ADJECTIVES)} ${pick(ANIMALS)}`,
  color: pick(COLORS.filter((color) => !taken.includes(color))),
});

/* What y-codemirror.next draws with: the caret in `color`, a selection in `colorLight`. */
export const awarenessUser = ({ name, color }) => ({ name, color, colorLight: `${color}33` });
