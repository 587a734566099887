/* Yjs documents that behave as a server's: they take updates and change nothing by themselves. */
import * as Y from 'yjs';

/* Without the cleanup of marks that a Yjs document does after updates of others. */
export const newReplica = (options) => {
  const doc = new Y.Doc(options);
  doc.clientID = 2 ** 53 - 1;
  doc.on('afterTransaction', (transaction) => {
    transaction._needFormattingCleanup = false;
  });
  return doc;
};

/* Joins neighbouring GC structs, some of which Yjs leaves apart. */
export const joinGarbage = (doc) => {
  for (const structs of doc.store.clients.values()) {
    for (let i = structs.length - 1; i > 0; i--) {
      if (!(structs[i] instanceof Y.GC) || !(structs[i - 1] instanceof Y.GC)) continue;
      structs[i - 1].length += structs[i].length;
      structs.splice(i, 1);
    }
  }
};

/* The whole document in both formats, as Peer.states() gives it. Joins garbage. */
export const statesOf = (doc) => {
  joinGarbage(doc);
  return {
    v1: Buffer.from(Y.encodeStateAsUpdate(doc)).toString('hex'),
    v2: Buffer.from(Y.encodeStateAsUpdateV2(doc)).toString('hex'),
  };
};
