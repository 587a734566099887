/*
 * awareness: who is here, and the opaque state that each of them shows (y-protocols, awareness.js).
 * Ephemeral: never in the document, never stored. A pure module: the room calls it from its loop
 * and passes the time in.
 *
 * A client id belongs to the session that last brought news of it. The clocks that go out are the
 * room's own: always above the ones before, also after an id was removed and came back with the
 * clock it had. y-protocols would drop such a state, and a client that reconnects would stay unseen
 * until its next renewal.
 *
 * An id that is a session's own, as far as that can be told, is that session's also if another one
 * brought it first: tabs of one browser repeat what they hear from each other.
 *
 * Clients repeat to the room what the room sent them, with the room's clock. News from a session
 * that does not own the id therefore counts only if it cannot be such an echo.
 *
 * What changed goes out once a tick, the latest state of each id. A state that its owner only sends
 * again lives on here, and goes out as seldom as the clients that hold it can bear.
 */
#pragma once

#include "common/memory.h"
#include "common/slice.h"
#include "crdt/crdt.h"

#define AWARENESS_STATE_MAX   (16u << 10) /* bytes of one state, if nothing else is asked for */
#define AWARENESS_SESSION_IDS 16u         /* the same of the ids of a session */
#define AWARENESS_ROOM_IDS    4096u
#define AWARENESS_ROOM_BYTES  ((size_t)1 << 20) /* of all states: everybody who joins gets them */
#define AWARENESS_REMEMBERED  4096u             /* removed ids whose clock is still known */
#define AWARENESS_EXPIRY_MS   30000u
#define AWARENESS_TICK_MS     50u    /* between two times that changes go out, */
#define AWARENESS_RATE        65536u /* or more: bytes a millisecond, to all together */
#define AWARENESS_REPEAT_MS   10000u /* the same of a state that is only sent again */
#define AWARENESS_CLOCK_MAX   UINT64_C(0xffffffff) /* some clients hold clocks in 32 bits */

struct awareness;

/* A zero field means its default. */
struct awareness_limits {
    uint32_t session_ids; /* that a session owns */
    uint32_t state_bytes; /* of one state */
};

/* `limits` may be NULL. `first_clock`: clocks of ids not yet known start above it; the wall clock
 * in seconds keeps them ascending from one life of a room to the next. */
struct awareness *awareness_new(const struct awareness_limits *limits, uint64_t first_clock);
void awareness_free(struct awareness *a);

/* A session is known from join to leave. Both may be repeated. Leaving removes its ids. */
void awareness_join(struct awareness *a, uint64_t session);
void awareness_leave(struct awareness *a, uint64_t session);

/* Takes an awareness update of a session that has joined. 0 (also if nothing in it was new);
 * -EBADMSG: it does not decode; -E2BIG: a state is too long; -EDQUOT: it would be too many ids of
 * the session, or ids or bytes of the room. On failure nothing of it is taken. */
WARN_UNUSED int awareness_apply(struct awareness *a, uint64_t session, struct slice update,
                                uint64_t now_ms);

/* Removes what has not been renewed for AWARENESS_EXPIRY_MS. Returns in how many milliseconds that
 * will be so of what is left, 0: never, for nothing is. */
uint64_t awareness_sweep(struct awareness *a, uint64_t now_ms);

/* Ids that are present. */
uint32_t awareness_count(const struct awareness *a);

/* Appends an update of all present states but those of `session`; returns how many there are (0:
 * nothing is appended). */
uint32_t awareness_encode_others(const struct awareness *a, uint64_t session, struct crdt_buf *out);

/* Hands out what changed since the last time, unless that is less than a tick ago: the latest state
 * of each id, one update for each owner, to be sent to every session but `except` (0: to all).
 * `update` is borrowed. Returns in how many milliseconds to call again, 0: when something changes.
 */
typedef void (*awareness_change_fn)(void *ctx, uint64_t except, struct slice update);
uint64_t awareness_take_changes(struct awareness *a, uint64_t now_ms, awareness_change_fn fn,
                                void *ctx);
