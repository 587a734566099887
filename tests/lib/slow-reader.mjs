/* Somebody who reads far more slowly than the others in the room write. */
import { randomBytes } from 'node:crypto';
import { memoryOf } from './processes.mjs';
import { areSame, joinRaw } from './raw-yjs.mjs';
import { startThrottle } from './throttle.mjs';

const ROOM = 'slow';
const READ_BYTES_PER_S = 1024;
const EDIT_BYTES = 65536;

/* Writes `bytesPerS` while `goesOn()`. */
const write = async (doc, bytesPerS, goesOn) => {
  const start = Date.now();
  for (let bytes = 0; goesOn(bytes); bytes += EDIT_BYTES) {
    doc.getMap('map').set('entry', randomBytes(EDIT_BYTES / 2).toString('hex'));
    const due = start + ((bytes + EDIT_BYTES) * 1000) / bytesPerS;
    await new Promise((done) => setTimeout(done, due - Date.now()));
  }
};

/*
 * A client that reads 1 KB a second in a room into which another one writes `bytesPerS` while
 * `goesOn(bytes)`, where `bytes` is what it has written; then it reads on at full speed. Resolves
 * when both documents are the same, with the bytes that the gateway had more than before at most;
 * rejects if one of the clients was disconnected.
 */
export const readSlowly = async (t, server, bytesPerS, goesOn) => {
  const throttle = await startThrottle(t, server, READ_BYTES_PER_S);
  const reader = await joinRaw(t, throttle, ROOM);
  const writer = await joinRaw(t, server, ROOM);
  const before = memoryOf(server.pid('gateway')).resident;
  await write(writer.doc, bytesPerS, (bytes) => goesOn(bytes) && !reader.closed && !writer.closed);
  throttle.fullSpeed();
  await writer.holds(() => areSame(writer.doc, writer.received), 'every edit is acknowledged');
  await reader.holds(() => areSame(writer.doc, reader.received), 'the slow reader has everything');
  return memoryOf(server.pid('gateway')).peak - before;
};
