/*
 * A pane is one client: its own document, socket, name and colour, with the light that tells how
 * its edits fare. Pages place one or several of them.
 */
import * as Y from 'yjs';
import { createEditor } from './editor.js';
import { awarenessUser } from './guest.js';
import { h } from './dom.js';
import { createLight } from './light.js';
import { createPeople } from './people.js';
import { Provider, roomUrl } from './provider.js';

/* Fields for the guest's own name and colour; what is typed shows at the others at once. */
const createIdentity = (provider, guest) => {
  const me = { ...guest };
  const publish = () => provider.awareness.setLocalStateField('user', awarenessUser(me));
  publish();
  const color = h('input', {
    type: 'color',
    className: 'me-color',
    value: me.color,
    ariaLabel: 'Your colour',
    title: 'Your colour',
    oninput: (event) => {
      me.color = event.target.value;
      publish();
    },
  });
  const name = h('input', {
    className: 'me-name',
    value: me.name,
    maxLength: 40,
    autocomplete: 'off',
    spellcheck: false,
    ariaLabel: 'Your name',
    title: 'Your name',
    oninput: (event) => {
      me.name = event.target.value.trim() || guest.name;
      publish();
    },
  });
  return h('div', { className: 'me' }, color, name);
};

const createNotice = (provider) => {
  const notice = h('p', { className: 'notice', role: 'alert', hidden: true });
  provider.on('notice', (text) => {
    notice.hidden = !text;
    notice.textContent = text ?? '';
  });
  return notice;
};

const createSwitch = (provider) => {
  const button = h('button', { className: 'button', type: 'button' }, 'Go offline');
  button.addEventListener('click', () => {
    if (provider.isWanted) provider.disconnect();
    else provider.connect();
    button.textContent = provider.isWanted ? 'Go offline' : 'Reconnect';
    button.classList.toggle('button-strong', !provider.isWanted);
  });
  return button;
};

/* Fills `section` and connects. Returns { provider, destroy }. */
export const createPane = (section, { room, guest, label, hint, hasSwitch = false }) => {
  const doc = new Y.Doc();
  const provider = new Provider(roomUrl(window.location.href, room), doc);
  const tools = h('div', { className: 'pane-tools' }, createPeople(provider.awareness));
  if (hasSwitch) tools.append(createSwitch(provider));
  tools.append(createLight(provider));

  const sheet = h('div', { className: 'sheet' });
  const bar = h('header', { className: 'pane-bar' }, createIdentity(provider, guest), tools);
  section.replaceChildren(bar, createNotice(provider), sheet);
  const editor = createEditor(sheet, provider, { label, hint });
  provider.connect();

  const onBeforeUnload = (event) => provider.hasUnsaved && event.preventDefault();
  window.addEventListener('beforeunload', onBeforeUnload);
  return {
    provider,
    destroy() {
      window.removeEventListener('beforeunload', onBeforeUnload);
      editor.destroy();
      provider.destroy();
      doc.destroy();
    },
  };
};
