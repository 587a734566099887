/* y-protocols (sync): a frame is [0, kind, length, bytes]. */
export const STEP_1 = 0;
export const STEP_2 = 1;
export const UPDATE = 2;

export const frame = (kind, bytes) => {
  const length = [];
  for (let n = bytes.length; ; n >>>= 7) {
    length.push(n < 128 ? n : (n & 127) | 128);
    if (n < 128) break;
  }
  return Buffer.concat([Buffer.from([0, kind, ...length]), bytes]);
};

/* The sync messages of a frame, which may hold several messages. */
export const readSync = function* (data) {
  let at = 0;
  const readUint = () => {
    let n = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = data[at++];
      n += (byte & 127) * shift;
      if (byte < 128) return n;
    }
  };
  const readBytes = () => {
    const length = readUint();
    at += length;
    return data.subarray(at - length, at);
  };
  while (at < data.length) {
    const type = readUint();
    if (type > 1) return;
    const kind = type === 0 ? readUint() : -1;
    const bytes = readBytes();
    if (type === 0) yield { kind, bytes };
  }
};

export const opened = (socket) =>
  new Promise((done, failed) => socket.on('open', done).on('error', failed));
