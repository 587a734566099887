/* `/demo`: two clients of one room side by side, which meet only at the server. */
import { createPane } from './pane.js';
import { randomGuest } from './guest.js';
import { roomOfLocation } from './room.js';

const room = roomOfLocation('demo');
const left = randomGuest();
const right = randomGuest([left.color]);

document.querySelector('#room-name').textContent = room;
document.querySelector('#open-room').href = `/#${encodeURIComponent(room)}`;

createPane(document.querySelector('#left'), {
  room,
  guest: left,
  label: 'Left editor',
  hint: 'Type here, and watch the other pane.',
  hasSwitch: true,
});
createPane(document.querySelector('#right'), {
  room,
  guest: right,
  label: 'Right editor',
  hint: 'Type here at the same time.',
  hasSwitch: true,
});
