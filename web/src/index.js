/* `/`: one editor on any room. The room is in the address, so a copied link leads to it. */
import { createPane } from './pane.js';
import { randomGuest } from './guest.js';
import { isRoomName, roomOfLocation } from './room.js';

const DEFAULT_ROOM = 'welcome';
const COPIED_MS = 1600;

const section = document.querySelector('#editor');
const form = document.querySelector('#room-form');
const field = document.querySelector('#room');
const share = document.querySelector('#share');
const guest = randomGuest();
let shown = null;

const showRoom = () => {
  const room = roomOfLocation(DEFAULT_ROOM);
  if (shown?.room === room) return;
  shown?.pane.destroy();
  field.value = room;
  document.title = `${room} · Concord`;
  const hint = 'Start writing. Everybody who opens this room sees it as you type.';
  const pane = createPane(section, { room, guest, label: `Text of the room ${room}`, hint });
  shown = { room, pane };
};

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const room = field.value.trim();
  field.setCustomValidity(isRoomName(room) ? '' : 'A room name has 1 to 255 bytes.');
  if (form.reportValidity()) window.location.hash = encodeURIComponent(room);
});
field.addEventListener('input', () => field.setCustomValidity(''));

/* Without a clipboard (a page that is not served securely has none) the address bar has the link. */
const copyLink = async () => {
  window.location.hash = encodeURIComponent(shown.room);
  try {
    await navigator.clipboard.writeText(window.location.href);
    return 'Link copied';
  } catch {
    return 'Link is in the address bar';
  }
};

share.addEventListener('click', async () => {
  share.textContent = await copyLink();
  setTimeout(() => {
    share.textContent = 'Copy link';
  }, COPIED_MS);
});

window.addEventListener('hashchange', showRoom);
showRoom();
