/*
 * The engine as a replica among the users of Yjs's test helper. It talks with them as they do with
 * each other, in y-protocols' sync messages, and may do so in several of the helper's connectors at
 * once: it then hands what it hears in one on to the others, as a server does.
 *
 * Its messages may come late, out of order and more than once.
 */
import assert from 'node:assert/strict';
import * as decoding from 'lib0/decoding';
import * as encoding from 'lib0/encoding';
import * as sync from 'y-protocols/sync';
import * as Y from 'yjs';

const AGAIN = 0.1;
const V2 = 0.3;

const frame = (kind, payload) => {
  const encoder = encoding.createEncoder();
  encoding.writeVarUint(encoder, kind);
  encoding.writeVarUint8Array(encoder, payload);
  return encoding.toUint8Array(encoder);
};

const readFrame = (message) => {
  const decoder = decoding.createDecoder(message);
  const kind = decoding.readVarUint(decoder);
  const payload = decoding.readVarUint8Array(decoder);
  assert(!decoding.hasContent(decoder));
  return { kind, payload };
};

/* As much of a Yjs store as Yjs reads a state vector from. */
const storeOf = (stateVector) => {
  const lastStruct = (clock) => [{ id: { clock }, length: 0 }];
  const states = [...Y.decodeStateVector(stateVector)];
  return { clients: new Map(states.map(([client, clock]) => [client, lastStruct(clock)])) };
};

/*
 * The engine in one connector. What the helper uses has the helper's names. Messages that it finds
 * in `receiving` it hands to Yjs, so that the engine keeps its own elsewhere.
 */
class Port {
  receiving = new Map();
  #replica;
  #connector;
  #random;
  #isOrderly;
  #inbox = [];

  constructor(replica, connector, random) {
    this.#replica = replica;
    this.#connector = connector;
    this.#random = random;
    this.#isOrderly = random.chance(0.5);
    connector.allConns.add(this);
    const flushOfUsers = connector.flushRandomMessage.bind(connector);
    connector.flushRandomMessage = () => this.#flush() || flushOfUsers();
  }

  connect() {
    if (this.#isOnline) return;
    this.#connector.onlineConns.add(this);
    this.broadcast(frame(sync.messageYjsSyncStep1, this.#replica.stateVector()));
    for (const user of this.#users) {
      const encoder = encoding.createEncoder();
      sync.writeSyncStep1(encoder, user);
      this._receive(encoding.toUint8Array(encoder), user);
    }
  }

  disconnect() {
    this.#inbox = [];
    this.#connector.onlineConns.delete(this);
  }

  _receive(message, sender) {
    this.#inbox.push({ message, sender });
  }

  broadcast(message) {
    if (!this.#isOnline) return;
    for (const user of this.#users) user._receive(message, this);
  }

  get store() {
    return storeOf(this.#replica.stateVector());
  }

  get #isOnline() {
    return this.#connector.onlineConns.has(this);
  }

  get #users() {
    return [...this.#connector.onlineConns].filter((connection) => connection !== this);
  }

  /* Takes a message, if there is one and it is this connection's turn. */
  #flush() {
    const others = this.#users.filter((user) => user.receiving.size > 0).length;
    if (this.#inbox.length === 0 || this.#random.below(others + 1) > 0) return false;
    const { message, sender } = this.#takeMessage();
    const { kind, payload } = readFrame(message);
    if (kind === sync.messageYjsSyncStep1) {
      sender._receive(frame(sync.messageYjsSyncStep2, this.#replica.encode(payload)), this);
    } else {
      this.#replica.receive(payload, this);
    }
    return true;
  }

  #takeMessage() {
    let at = this.#random.below(this.#inbox.length);
    if (this.#isOrderly) {
      const { sender } = this.#inbox[at];
      at = this.#inbox.findIndex((entry) => entry.sender === sender);
    } else if (this.#random.chance(AGAIN)) {
      return this.#inbox[at];
    }
    return this.#inbox.splice(at, 1)[0];
  }
}

export class EngineReplica {
  #peer;
  #random;
  #ports = [];

  constructor(peer, random) {
    this.#peer = peer;
    this.#random = random;
    peer.reset();
  }

  /* Takes part in a TestConnector; returns its connection there, which is not yet online. */
  join(connector) {
    const port = new Port(this, connector, this.#random);
    this.#ports.push(port);
    return port;
  }

  stateVector() {
    return this.#peer.stateVector();
  }

  /* A v1 update, now and then by way of v2. */
  encode(stateVector) {
    if (!this.#random.chance(V2)) return this.#peer.encode(stateVector);
    return Y.convertUpdateFormatV2ToV1(this.#peer.encode(stateVector, 2));
  }

  /* An update that came in by one of the ports goes out by the others. */
  receive(update, from) {
    this.#apply(update);
    for (const port of this.#ports) {
      if (port !== from) port.broadcast(frame(sync.messageYjsUpdate, update));
    }
  }

  /* Goes on with what was written of it, as after a restart. */
  restart() {
    const version = this.#random.chance(0.5) ? 1 : 2;
    const state = this.#peer.encode(new Uint8Array(), version);
    this.#peer.reset();
    this.#peer.apply(state, version);
  }

  #apply(update) {
    if (this.#random.chance(V2)) this.#peer.apply(Y.convertUpdateFormatV1ToV2(update), 2);
    else this.#peer.apply(update);
  }
}
