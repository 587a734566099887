/*
 * session: one client in one room, whatever it speaks. It numbers the client's edits and keeps each
 * until the room has answered, so that it can be sent again when the room was started anew, and
 * then until it is stored, so that the client can be told. Rooms whose level of acknowledgement is
 * `room` (common/ack_level.h) have no second wait.
 *
 *     JOINED → LIVE → LEAVING → ENDED
 *              LIVE → BEHIND → LIVE             any state → LEAVING, any state → ENDED
 *
 * JOINED   the client waits for the document; edits of others are in what it will get
 * LIVE     it gets every edit
 * BEHIND   it reads too slowly, and edits for it were dropped; once it has read what waits it gets
 *          what it lacks, as one difference from what it had when it was last answered
 * LEAVING  it is gone; edits of its are not yet answered and outlive it until they are, for
 *          SESSION_LEAVING_MS at most
 * ENDED    out of the room; the memory goes at the end of the turn
 *
 * What a client lacks of the document comes from the room's segment (joins.h), not from the room.
 *
 * In a dialect with an echo, whatever brings a client an edit of its own says that it is stored. So
 * what may hold such an edit by the way waits until the store has all of it: the whole document
 * that a room sends after a lost link, for a client with edits that are not acknowledged; and the
 * answer to a client that has something already, which may have come back with them. That answer
 * waits SESSION_JOIN_MS at most: with the store down, a room can still be joined, and who comes
 * back then may take a deletion of its own for stored that is in the segment only. (Nothing else:
 * an answer has no insertion that the state vector of the question has.)
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
#include "gateway/token.h"

#include <sys/queue.h>

#define SESSION_UNANSWERED_MAX (8u << 20)
#define SESSION_UNSTORED_MAX   (8u << 20)
#define SESSION_UNSTORED_COUNT 65536u
#define SESSION_KEPT_FAIR      (256u << 10)
#define SESSION_AWARENESS_MAX  (1u << 20) /* bytes of one presence message */
#define SESSION_QUERY_MS       1000u      /* between two questions for all presence */
#define SESSION_LEAVING_MS     15000u
#define SESSION_TOKEN_S        30u   /* after its token has expired a client is closed */
#define SESSION_VECTOR_MAX     4096u /* bytes of a state vector that is kept for a difference */
#define SESSION_JOIN_MS        2000u

enum session_state {
    SESSION_JOINED,
    SESSION_LIVE,
    SESSION_BEHIND,
    SESSION_LEAVING,
    SESSION_ENDED,
};

struct answer;
struct event;
struct room_link;
struct room_links;

/* Is sent when everything up to `seq`, which is in it, is stored. */
struct late_answer {
    struct answer *answer; /* NULL: none */
    struct blob *vector;   /* what the client has with it */
    uint64_t seq;
};

struct session {
    uint64_t id; /* unique in the room: process id and a counter */
    enum session_state state;
    const struct dialect *dialect;
    void *dialect_state;
    struct conn *conn;   /* NULL once the client is gone; others may share it */
    struct blob *prefix; /* of every frame to this session, of a dialect that has it; or NULL */
    struct principal *principal;
    enum access access;
    bool has_asked_for_token; /* the principal's has expired */
    bool is_pausing;          /* it has paused the connection */
    struct room_links *links;
    struct room_link *link; /* NULL before it joined and after it left */
    struct loop *loop;

    uint64_t next_op;
    struct op_queue unanswered;
    struct op_queue unstored;
    uint64_t whole_seq; /* once this is stored the client gets the whole document; 0: no need */
    struct late_answer late_whole; /* the whole document */
    struct late_answer late_join;  /* to a question */
    uint64_t late_join_end_ms;     /* when it waits no longer */
    uint64_t past_seq; /* up to here the room may have edits of an earlier session of this client */
    size_t held_bytes; /* of a message of which the dialect awaits the rest */
    size_t kept_bytes; /* of the queues, the question and the presence, and these, as counted */

    struct blob *question; /* the state vector of a client that waits for its answer, or NULL */
    bool needs_whole;      /* it gets the whole document, unasked */
    bool needs_difference; /* it gets what it lacks, unasked */
    struct blob *known;    /* a state vector: what it had when it was last answered; or NULL */
    uint64_t answered_seq; /* what it was last answered holds everything up to this */
    bool is_asking;        /* in the queue of joins.h */
    uint64_t next_answer_ms;
    TAILQ_ENTRY(session) asking_entry;

    struct blob *awareness;  /* the last presence message to the room */
    bool has_late_awareness; /* it could not be sent yet */
    bool needs_awareness;    /* it gets all presence when that may be asked for again */
    uint64_t query_ms;       /* when all presence was last asked for */
    size_t leaving_bytes;    /* of `unanswered` when the client left */
    struct event *on_leaving_end;

    LIST_ENTRY(session) entry;          /* of the link */
    LIST_ENTRY(session) unstored_entry; /* of the link: those with something in `unstored` */
    bool is_in_unstored;
    UT_hash_handle hh; /* of the gateway, by id */
};

/* Who comes into which room of their tenant; everything is borrowed. */
struct admission {
    struct principal *principal;
    enum access access; /* at least to read */
    struct slice room;
};

/* Makes `c` a WebSocket that speaks `dialect` and joins a room. */
void session_start(struct room_links *links, struct conn *c, const char *accept,
                   const char *subprotocol, const struct dialect *dialect,
                   const struct admission *admission, const struct session_params *params);

/* ---- for those who share a connection between sessions, or have one for a while ---- */

/* Joins a room on behalf of `c`, which may be refused before this returns: then the session has
 * ended, and the dialect's close() was called. */
void session_open(struct room_links *links, struct conn *c, const struct dialect *dialect,
                  const struct admission *admission, const struct session_params *params);
/* The client has left the room, or its connection has ended. */
void session_end(struct session *s);
/* As the events of struct conn_owner. */
void session_handle_behind(struct session *s);
void session_handle_caught_up(struct session *s);
void session_tick(struct session *s);

/* ---- for dialects ---- */

/* Asks for what the client lacks: answered with the dialect's encode_state(), after which the
 * session is LIVE, or on_refused(). A question that was not answered yet is replaced. */
void session_sync(struct session *s, struct slice state_vector);
/* An edit; answered by on_rejected or, in time, on_acknowledged. */
void session_update(struct session *s, uint32_t format, struct slice update, uint64_t tag);
/* An operation of the dialect's lens; answered in the same way. */
void session_op(struct session *s, struct slice body, uint64_t tag);
/* Presence; at most SESSION_AWARENESS_MAX bytes. May close the client, like session_update(). */
void session_awareness(struct session *s, struct slice awareness);
/* Asks for all presence, now or when it may be asked for again. */
void session_query_awareness(struct session *s);
void session_set_live(struct session *s);
/* Counts what the dialect keeps of a message that is not whole. May close the client. */
void session_note_held(struct session *s, size_t bytes);
/* The client has shown another token of the same subject and tenant. */
void session_set_principal(struct session *s, struct principal *principal, enum access access);
/* Changes what it may do, from its next message on; ACCESS_NONE ends it. */
void session_set_access(struct session *s, enum access access);
/* Sends and consumes frames, or closes the client if there was no memory for them (NULL). */
void session_send_new(struct session *s, struct blob *frames);
/* Sends frames that others get too. */
void session_send_shared(struct session *s, struct blob *frames);
/* Ends the client, as its dialect does it: with the code and the text of a refusal. */
void session_close(struct session *s, uint32_t refusal);

/* ---- for the link ---- */

/* Says everything to a room that has not heard of the session: joins, sends again what was not
 * answered, repeats the presence. */
void session_rejoin(struct session *s);
/* The link is subscribed: from now on questions can be answered. */
void session_handle_subscribed(struct session *s);
void session_handle_applied(struct session *s, uint64_t op, uint64_t seq);
void session_handle_rejected(struct session *s, uint64_t op, uint32_t refusal);
/* All that its lens shows. */
void session_handle_view(struct session *s, const struct msg_room_view *m);
/* Would the client take a document of this sequence for the word that its own edits are stored,
 * which they are not? */
bool session_would_believe(const struct session *s, uint64_t seq);
/* It gets the whole document once everything up to `seq` is stored. */
void session_await_whole(struct session *s, uint64_t seq);
/* Edits up to `seq` may be acknowledged. */
void session_handle_stored(struct session *s, uint64_t seq);
bool session_waits_for_store(const struct session *s);
/* The room is refused; the session is off the link already. */
void session_handle_refused(struct session *s, uint32_t refusal);

/* ---- for joins ---- */

/* What it wants to know first. NULL: everything; `*ret_is_difference`: as encode_difference()
 * answers. */
struct blob *session_question(const struct session *s, bool *ret_is_difference);
/* The answer to that, which holds everything up to `seq` and `vector` (a state vector). */
void session_handle_answer(struct session *s, struct answer *answer, uint64_t seq,
                           struct blob *vector);
/* There is none. */
void session_handle_no_answer(struct session *s, uint32_t refusal);
