/* Who else is here: one round initial a person, in the colour of their cursor. */
import { h } from './dom.js';

const SHOWN = 5;

const initials = (name) =>
  name
    .split(/\s+/)
    .map((word) => [...word][0] ?? '')
    .join('')
    .slice(0, 2)
    .toUpperCase() || '?';

/* A peer's colour comes from outside: only a plain hexadecimal one gets into a style. */
const safeColor = (color) => (/^#[0-9a-f]{6}$/i.test(color ?? '') ? color : '#64748b');

const badge = ({ name, color }) => {
  const label = String(name ?? 'Somebody');
  const element = h('li', { className: 'person', title: label, ariaLabel: label }, initials(label));
  element.style.backgroundColor = safeColor(color);
  return element;
};

export const createPeople = (awareness) => {
  const list = h('ul', { className: 'people', ariaLabel: 'Also here' });

  const show = () => {
    const others = [...awareness.getStates()]
      .filter(([client]) => client !== awareness.clientID)
      .map(([, state]) => state.user ?? { name: state.name ?? state.user, color: state.color });
    const badges = others.slice(0, SHOWN).map(badge);
    if (others.length > SHOWN) {
      badges.push(h('li', { className: 'person person-more' }, `+${others.length - SHOWN}`));
    }
    list.replaceChildren(...badges);
  };
  awareness.on('change', show);
  show();
  return list;
};
