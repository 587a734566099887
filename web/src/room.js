/* Which room a page shows: `#name`, else `?room=name`, else `fallback`. */

export const ROOM_MAX_BYTES = 255;

export const roomOfLocation = (fallback) => {
  const { hash, search } = window.location;
  const named = decode(hash.slice(1)) || new URLSearchParams(search).get('room') || '';
  return isRoomName(named) ? named : fallback;
};

export const isRoomName = (name) =>
  name !== '' && !name.includes('\0') && new TextEncoder().encode(name).length <= ROOM_MAX_BYTES;

const decode = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};
