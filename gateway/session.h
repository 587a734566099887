/*
 * session: one client in one room, whatever it speaks. It numbers what the client asks of the room
 * and keeps it until it is answered, so that it can be asked again when the room was started anew,
 * and keeps applied edits until they are stored, so that the client can be told.
 *
 *     JOINED → LIVE → LEAVING → ENDED
 *
 * JOINED   the client waits for the document; edits of others are in what it will get
 * LIVE     it gets every edit
 * LEAVING  it is gone; edits of its are not yet answered and outlive it until they are, for
 *          SESSION_LEAVING_MS at most
 * ENDED    out of the room; the memory goes at the end of the turn
 *
 * Bounds: above SESSION_UNANSWERED_MAX bytes the client is not read. Above SESSION_UNSTORED_MAX
 * bytes (the store is down for long) a dialect with an echo forgets the single edits and sends the
 * whole document once all are stored; a dialect without one stops reading its client at
 * SESSION_UNSTORED_COUNT. While all clients together are over ROOM_KEPT_MAX (room_link.h), one that
 * adds to it and holds more than SESSION_KEPT_FAIR itself is closed.
 */
#pragma once

#include "common/hash_table.h"
#include "common/loop.h"
#include "gateway/conn.h"
#include "gateway/dialect.h"
#include "gateway/op_queue.h"

#include <sys/queue.h>

#define SESSION_UNANSWERED_MAX (8u << 20)
#define SESSION_UNSTORED_MAX   (8u << 20)
#define SESSION_UNSTORED_COUNT 65536u
#define SESSION_KEPT_FAIR      (256u << 10)
#define SESSION_AWARENESS_MAX  (1u << 20) /* bytes of one presence message */
#define SESSION_QUERY_MS       1000u      /* between two questions for all presence */
#define SESSION_LEAVING_MS     15000u

enum session_state {
    SESSION_JOINED,
    SESSION_LIVE,
    SESSION_LEAVING,
    SESSION_ENDED,
};

struct event;
struct room_link;
struct room_links;

struct session {
    uint64_t id; /* unique in the room: process id and a counter */
    enum session_state state;
    const struct dialect *dialect;
    void *dialect_state;
    struct conn *conn; /* NULL once the client is gone */
    struct room_links *links;
    struct room_link *link; /* NULL before it joined and after it left */
    struct loop *loop;

    uint64_t next_op;
    struct op_queue unanswered;
    struct op_queue unstored;
    uint64_t whole_seq; /* once this is stored the client gets the whole document; 0: no need */
    struct blob *late_whole; /* the whole document, for when late_seq is stored; or NULL */
    uint64_t late_seq;
    size_t kept_bytes; /* of the queues, as counted by the links */
    struct blob
        *next_sync;   /* the state vector to ask with when the question under way is answered */
    bool is_syncing;  /* one is under way */
    bool needs_whole; /* the next question is for the whole document */
    struct blob *awareness;  /* the last presence message to the room */
    bool has_late_awareness; /* it could not be sent yet */
    uint64_t query_ms;       /* when all presence was last asked for */
    size_t leaving_bytes;    /* of `unanswered` when the client left */
    struct event *on_leaving_end;

    LIST_ENTRY(session) entry;          /* of the link */
    LIST_ENTRY(session) unstored_entry; /* of the link: those with something in `unstored` */
    bool is_in_unstored;
    UT_hash_handle hh; /* of the gateway, by id */
};

/* Makes `c` a WebSocket that speaks `dialect` and joins `room` (borrowed). */
void session_start(struct room_links *links, struct conn *c, const char *accept,
                   const char *subprotocol, const struct dialect *dialect, struct slice room,
                   const struct session_params *params);

/* ---- for dialects ---- */

/* Asks for what `state_vector` lacks; answered by on_sync. One question is under way at a time; of
 * those that come meanwhile the latest is asked. */
void session_sync(struct session *s, struct slice state_vector);
/* Asks for the whole document, answered by on_sync with an op of OP_SYNC_WHOLE. */
void session_sync_whole(struct session *s);
/* An edit; answered by on_rejected or, in time, on_stored. */
void session_update(struct session *s, uint32_t format, struct slice update, uint64_t tag);
/* Presence; at most SESSION_AWARENESS_MAX bytes. */
void session_awareness(struct session *s, struct slice awareness);
/* Asks for all presence. */
void session_query_awareness(struct session *s);
void session_set_live(struct session *s);
/* Sends and consumes frames, or closes the client if there was no memory for them (NULL). */
void session_send_new(struct session *s, struct blob *frames);
void session_send_large_new(struct session *s, struct blob *frames);
/* Closes the client with the code and the text of a refusal. */
void session_close(struct session *s, uint32_t refusal);

/* ---- for the link ---- */

/* Says everything to a room that has not heard of the session: joins, asks again what was not
 * answered, repeats the presence. */
void session_rejoin(struct session *s);
void session_handle_applied(struct session *s, uint64_t op, uint64_t seq);
void session_handle_rejected(struct session *s, uint64_t op, uint32_t refusal);
void session_handle_sync(struct session *s, const struct msg_room_sync *m);
/* Everything up to `seq` is stored. */
void session_handle_stored(struct session *s, uint64_t seq);
bool session_waits_for_store(const struct session *s);
/* The room is refused; the session is off the link already. */
void session_handle_refused(struct session *s, uint32_t refusal);
