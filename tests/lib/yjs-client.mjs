/* Real y-websocket clients, of every generation that is in use. */
import WebSocket from 'ws';
import { until } from './wait.mjs';
import Y, { PROVIDERS } from './yjs.mjs';

/* Every provider listens for the end of the process. */
process.setMaxListeners(0);

/* { doc, provider }, in step with the room unless `isSynced` is false; ends with the test. It
 * connects by `Socket`. Clients that do not `disableBc` are tabs of one browser. */
export const joinYjs = async (
  t, server, room, { version = '3.x', isSynced = true, Socket = WebSocket, disableBc = true } = {},
) => {
  const doc = new Y.Doc();
  const provider = new PROVIDERS[version](server.ws('/yjs'), room, doc, {
    WebSocketPolyfill: Socket,
    disableBc,
  });
  t.after(() => {
    provider.destroy();
    doc.destroy();
  });
  const client = { doc, provider };
  if (isSynced) await synced(client);
  return client;
};

export const synced = ({ provider }) => {
  const subscribe = (check) => {
    provider.on('sync', check);
    return () => provider.off('sync', check);
  };
  return until(subscribe, () => provider.synced, 'sync');
};

/* Resolves when all documents hold the same edits and deletions. */
export const converged = (docs, what = 'the documents are the same') => {
  const subscribe = (check) => {
    docs.forEach((doc) => doc.on('update', check));
    return () => docs.forEach((doc) => doc.off('update', check));
  };
  const areSame = () => {
    const first = Y.snapshot(docs[0]);
    return docs.slice(1).every((doc) => Y.equalSnapshots(first, Y.snapshot(doc)));
  };
  return until(subscribe, areSame, what);
};

/* Resolves when `condition(doc)` holds. */
export const docHolds = (doc, condition, what) => {
  const subscribe = (check) => {
    doc.on('update', check);
    return () => doc.off('update', check);
  };
  return until(subscribe, () => condition(doc), what);
};

/* Resolves when `condition(states)` holds for the presence that a client sees. */
export const awarenessHolds = ({ provider }, condition, what) => {
  const subscribe = (check) => {
    provider.awareness.on('change', check);
    return () => provider.awareness.off('change', check);
  };
  return until(subscribe, () => condition(provider.awareness.getStates()), what);
};
