/*
 * Provider: keeps a Y.Doc in step with a room of a Concord server over the JSON socket
 * `/rooms/{room}/ws` (subprotocol concord.v1), and knows which local edits are stored.
 *
 * `status` is one of
 *   connecting  the first attempt is under way
 *   offline     no connection; edits are kept and sent on reconnect
 *   saving      connected, and some local edit is not acknowledged yet
 *   saved       connected, and every local edit is acknowledged, which means stored
 *   refused     the server refused an edit for good; it exists in this document only
 *
 * Events: `status` [status], `notice` [text or null] for what a person should read.
 *
 * Local edits are merged for FLUSH_MS and sent as one op with a sequence number of its own. After a
 * reconnect the server tells what it holds and the provider sends the difference as one op; all
 * earlier numbers count as acknowledged when that op is.
 */
import * as Y from 'yjs';
import { ObservableV2 } from 'lib0/observable';
import * as encoding from 'lib0/encoding';
import { fromBase64, toBase64 } from 'lib0/buffer';
import {
  Awareness,
  applyAwarenessUpdate,
  removeAwarenessStates,
} from 'y-protocols/awareness';

const FLUSH_MS = 20;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 2500;
/* With edits unacknowledged and nothing heard for this long, the connection counts as lost. */
const SILENCE_MS = 30000;
/* A longer state vector does not fit a request line; then the whole document is asked for. */
const SINCE_MAX_BYTES = 3000;
/* Refusals that a later attempt may overcome. */
const RETRYABLE = new Set(['load_failed', 'storage_full', 'unavailable', 'too_many']);

/* WebSocket close codes. */
const NORMAL = 1000;
const TOO_LARGE = 1009;
const RESTART = 1012;

/* A server that is about to restart spreads its clients over time. */
const ADVICE = /reconnect in (\d+) ms$/;
const ADVICE_MAX_MS = 30000;

const backoffMs = (attempt) => {
  const full = Math.min(BACKOFF_FIRST_MS * 2 ** attempt, BACKOFF_MAX_MS);
  return full / 2 + Math.random() * (full / 2);
};

/* When the server advises to come back; null if it says nothing of it. */
const advisedMs = (code, reason) => {
  const advice = code === RESTART && ADVICE.exec(reason);
  return advice ? Math.min(Number(advice[1]), ADVICE_MAX_MS) : null;
};

/* The address of a room's socket beside the page at `base`. */
export const roomUrl = (base, room) => {
  const url = new URL(`/rooms/${encodeURIComponent(room)}/ws`, base);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url;
};

export class Provider extends ObservableV2 {
  constructor(url, doc) {
    super();
    this.url = url;
    this.doc = doc;
    this.awareness = new Awareness(doc);
    this.status = 'connecting';

    this.socket = null;
    this.isWanted = false; /* the user wants to be connected */
    this.isSynced = false; /* this socket has delivered `sync` */
    this.attempt = 0;
    this.seq = 0;
    this.queued = []; /* local updates that no op carries yet */
    this.unacked = new Set(); /* sequence numbers of ops on their way */
    this.isRefused = false;
    this.hasPresenceToSend = false;
    this.heardAt = 0;
    this.timers = {};

    this.onUpdate = (update, origin) => origin !== this && this.enqueue(update);
    this.onAwareness = ({ added, updated, removed }, origin) => {
      if (origin !== this && [...added, ...updated, ...removed].includes(doc.clientID)) {
        this.hasPresenceToSend = true;
        this.scheduleFlush();
      }
    };
    this.onOnline = () => this.isWanted && !this.socket && this.open();
    this.onOffline = () => this.drop();
    doc.on('updateV2', this.onUpdate);
    this.awareness.on('update', this.onAwareness);
    globalThis.addEventListener?.('online', this.onOnline);
    globalThis.addEventListener?.('offline', this.onOffline);
  }

  connect() {
    if (this.isWanted) return;
    this.isWanted = true;
    this.attempt = 0;
    this.open();
  }

  /* Goes offline until connect(); edits made meanwhile are kept. */
  disconnect() {
    this.isWanted = false;
    clearTimeout(this.timers.reconnect);
    this.drop();
    this.updateStatus();
  }

  destroy() {
    this.disconnect();
    Object.values(this.timers).forEach(clearTimeout);
    globalThis.removeEventListener?.('online', this.onOnline);
    globalThis.removeEventListener?.('offline', this.onOffline);
    this.doc.off('updateV2', this.onUpdate);
    this.awareness.destroy();
    super.destroy();
  }

  /* Whether there are local edits that the server has not acknowledged as stored. */
  get hasUnsaved() {
    return this.queued.length > 0 || this.unacked.size > 0 || this.isRefused;
  }

  /* ---- the socket ---- */

  open() {
    clearTimeout(this.timers.reconnect);
    const url = new URL(this.url);
    const since = Y.encodeStateVector(this.doc);
    if (this.doc.store.clients.size > 0 && since.length <= SINCE_MAX_BYTES) {
      url.searchParams.set('since', toBase64(since));
    }
    const socket = new WebSocket(url, 'concord.v1');
    this.socket = socket;
    socket.onmessage = ({ data }) => this.socket === socket && this.receive(data);
    socket.onclose = ({ code, reason }) => this.socket === socket && this.closed(code, reason);
  }

  /* Gives the connection up at once; a closing handshake may take its time behind it. */
  drop() {
    const { socket } = this;
    if (!socket) return;
    this.closed(NORMAL, null);
    socket.close();
  }

  closed(code, reason) {
    this.socket = null;
    this.isSynced = false;
    clearTimeout(this.timers.silence);
    this.forgetOthers();
    const advised = advisedMs(code, reason);
    if (reason && advised === null) this.notice(reason);
    if (code === TOO_LARGE && this.unacked.size > 0) this.isRefused = true;
    if (this.isWanted) {
      this.timers.reconnect = setTimeout(
        () => this.open(), advised ?? backoffMs(this.attempt),
      );
      this.attempt += 1;
    }
    this.updateStatus();
  }

  send(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  receive(data) {
    this.heardAt = Date.now();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      this.drop();
      return;
    }
    switch (frame.t) {
      case 'sync':
        this.handleSync(frame);
        break;
      case 'op':
        Y.applyUpdateV2(this.doc, fromBase64(frame.data.update), this);
        break;
      case 'ack':
        this.handleAck(frame.seq);
        break;
      case 'presence':
        this.handlePresence(frame);
        break;
      case 'error':
        this.handleError(frame);
        break;
      default: /* hello, and whatever a later server adds */
    }
    this.updateStatus();
  }

  /* ---- edits ---- */

  enqueue(update) {
    this.queued.push(update);
    this.scheduleFlush();
    this.updateStatus();
  }

  scheduleFlush() {
    this.timers.flush ??= setTimeout(() => {
      this.timers.flush = undefined;
      this.flush();
    }, FLUSH_MS);
  }

  flush() {
    if (!this.isSynced) return; /* handleSync sends what is waiting */
    if (this.queued.length > 0) this.sendOp(Y.mergeUpdatesV2(this.queued));
    if (this.hasPresenceToSend) this.sendPresence();
  }

  sendOp(update) {
    this.queued = [];
    this.seq += 1;
    this.unacked.add(this.seq);
    this.send({ t: 'op', seq: this.seq, data: { update: toBase64(update) } });
    this.watchSilence();
  }

  handleSync({ state, sv }) {
    const update = fromBase64(state);
    Y.applyUpdateV2(this.doc, update, this);
    this.isSynced = true;

    const difference = Y.encodeStateAsUpdateV2(this.doc, sv ? fromBase64(sv) : undefined);
    const isUncertain = this.queued.length > 0 || this.unacked.size > 0;
    if (isUncertain || this.isNews(difference, update)) {
      this.unacked.clear();
      this.isRefused = false;
      this.sendOp(difference);
    } else {
      this.settle();
    }
    this.sendPresence();
  }

  /* All is well: only now does a next failure start with the shortest delay again. */
  settle() {
    this.attempt = 0;
    clearTimeout(this.timers.silence);
    this.notice(null);
  }

  /* Whether `difference`, which always carries all deletions, holds anything the server lacks. */
  isNews(difference, serverState) {
    if (Y.decodeUpdateV2(difference).structs.length > 0) return true;
    const ours = Y.createDeleteSetFromStructStore(this.doc.store);
    const theirs = Y.mergeDeleteSets([Y.decodeUpdateV2(serverState).ds]);
    return !Y.equalDeleteSets(ours, theirs);
  }

  handleAck(seq) {
    if (this.unacked.delete(seq) && this.unacked.size === 0 && !this.isRefused) this.settle();
  }

  handleError({ code, message, seq }) {
    this.notice(message ?? code);
    if (!this.unacked.has(seq)) return;
    if (RETRYABLE.has(code)) {
      this.drop(); /* the reconnect sends it again */
    } else {
      this.unacked.delete(seq);
      this.isRefused = true;
    }
  }

  watchSilence() {
    clearTimeout(this.timers.silence);
    this.timers.silence = setTimeout(() => {
      if (Date.now() - this.heardAt < SILENCE_MS) this.watchSilence();
      else this.drop();
    }, SILENCE_MS);
  }

  /* ---- presence ---- */

  sendPresence() {
    this.hasPresenceToSend = false;
    const state = this.awareness.getLocalState() ?? { left: true };
    this.send({ t: 'presence', client: this.doc.clientID, ...state });
  }

  handlePresence({ t, client, left, ...state }) {
    if (!Number.isSafeInteger(client) || client < 0 || client === this.doc.clientID) return;
    /* JSON presence has no clock: the order of arrival is the order of events. */
    const clock = (this.awareness.meta.get(client)?.clock ?? 0) + 1;
    const encoder = encoding.createEncoder();
    encoding.writeVarUint(encoder, 1);
    encoding.writeVarUint(encoder, client);
    encoding.writeVarUint(encoder, clock);
    encoding.writeVarString(encoder, JSON.stringify(left ? null : state));
    applyAwarenessUpdate(this.awareness, encoding.toUint8Array(encoder), this);
  }

  forgetOthers() {
    const others = [...this.awareness.getStates().keys()].filter((id) => id !== this.doc.clientID);
    removeAwarenessStates(this.awareness, others, this);
  }

  /* ---- what people see ---- */

  notice(text) {
    this.emit('notice', [text]);
  }

  updateStatus() {
    const status = this.currentStatus();
    if (status === this.status) return;
    this.status = status;
    this.emit('status', [status]);
  }

  currentStatus() {
    if (this.isRefused) return 'refused';
    if (this.isSynced) return this.hasUnsaved ? 'saving' : 'saved';
    const isFirst = this.isWanted && this.attempt === 0 && this.status === 'connecting';
    return isFirst ? 'connecting' : 'offline';
  }
}
