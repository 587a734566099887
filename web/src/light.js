/*
 * The light beside an editor: a dot and a word for the provider's status. The visible part changes
 * with every keystroke; the part for screen readers speaks only of what has lasted for a moment.
 */
import { h } from './dom.js';

const WORDS = {
  connecting: ['Connecting', 'Connecting to the server.'],
  offline: ['Offline', 'Offline. Your edits are kept here and sent when the connection is back.'],
  saving: ['Saving', 'Saving.'],
  saved: ['Saved', 'All your edits are stored on the server.'],
  refused: ['Not saved', 'The server refused an edit. It exists in this window only.'],
};
const LASTING_MS = 1000;

export const createLight = (provider) => {
  const word = h('span');
  const spoken = h('span', { className: 'unseen', role: 'status', ariaLive: 'polite' });
  const dot = h('span', { className: 'light-dot', ariaHidden: 'true' });
  const visible = h('span', { className: 'light-face', ariaHidden: 'true' }, dot, word);
  const light = h('div', { className: 'light' }, visible, spoken);
  let timer;

  const show = (status) => {
    const [short, long] = WORDS[status];
    light.dataset.state = status;
    light.title = long;
    word.textContent = short;
    clearTimeout(timer);
    timer = setTimeout(() => {
      spoken.textContent = long;
    }, LASTING_MS);
  };
  provider.on('status', show);
  show(provider.status);
  return light;
};
