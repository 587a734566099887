/*
 * conn: one client's socket. It speaks HTTP until a request is accepted as a WebSocket and frames
 * messages from then on. Every connection of the process belongs to one struct conns, which holds
 * what they share: the read buffer, the clock tick, the list of those with something to write.
 *
 *     HTTP → OPEN → CLOSING → DRAINING → DEAD        any state → DRAINING, any state → DEAD
 *     HTTP → WAITING → HTTP
 *
 * HTTP      requests are collected, each with its body, and handed to the request function
 * WAITING   the request's answer comes later; nothing is read meanwhile
 * OPEN      a WebSocket; its owner gets messages and ticks
 * CLOSING   our close frame is queued, the peer's is awaited; messages are ignored
 * DRAINING  what is queued is written, then the socket is half-closed and the peer's end awaited,
 * so that no reset overtakes our last bytes DEAD      closed; the memory goes at the end of the
 * turn
 *
 * Output goes out once a turn and connection, in one writev, short queues before long ones
 * (turns.h).
 *
 * What is sent is either the client's own, like an answer, or shared: what everybody in a room
 * gets. When more than limit_queue_bytes would wait for a WebSocket its shared frames are dropped
 * and its owner is told (on_behind); once all the rest is written it is told again (on_caught_up).
 * Above the bound with frames of its own alone it is closed with 1013.
 *
 * While its socket is full a WebSocket is not pinged: the answer may be far behind. A slow reader
 * is no dead one, and looks like it for long: with nothing free in its socket, the peer's host
 * tells of room only when a good part of that is free again, which may be hundreds of kilobytes.
 * Until then it answers us, at least every two minutes (RFC 9293, section 3.8.6.1).
 *
 * One that sends faster than its limits allow is not read until it has waited for it.
 */
#pragma once

#include "common/blob.h"
#include "common/client_limits.h"
#include "common/loop.h"
#include "gateway/http.h"

#define CONN_QUEUES_MAX   (512u << 20) /* of all clients together; above it only */
#define CONN_QUEUE_FAIR   (1u << 20)   /* so much may wait for one */
#define CONN_PARTIAL_MAX  (512u << 20) /* bytes of incomplete messages and bodies, all together */
#define CONN_IDLE_MS      30000u       /* between two requests */
#define CONN_STALL_MS     30000u       /* an answer of which nothing can be written */
#define CONN_DEAF_MS      600000u      /* the same of what a WebSocket is sent: nothing is taken, */
#define CONN_GONE_MS      150000u      /* or nothing at all is heard of the peer's host */
#define CONN_MESSAGE_MS   30000u       /* for a message, and one second more for each: */
#define CONN_MESSAGE_RATE 16384u       /* bytes of it received */
#define CONN_PING_MS      25000u
#define CONN_PINGS_MAX    2     /* unanswered; then the client is taken for dead */
#define CONN_CLOSE_MS     3000u /* for the peer's part of a close */

struct answer;
struct client_address;
struct limiter;
struct conn;
struct conns;
struct stream_setup;

/* Who uses an open WebSocket, or has an answer to give. */
struct conn_owner {
    /* The rest is for a WebSocket. The payload is borrowed until the call returns. May send and
     * close. */
    void (*on_message)(void *ctx, bool is_text, struct slice payload);
    void (*on_behind)(void *ctx); /* shared frames were dropped; from within conn_send_shared() */
    void (*on_caught_up)(void *ctx); /* after on_behind: everything that waited is written */
    void (*on_tick)(void *ctx);      /* twice a second, also while an answer is awaited */
    /* The connection is not usable any more. Called once, always, and nothing after it; but not
     * when the answer was given. */
    void (*on_end)(void *ctx);
};

/* Who handles requests. */
struct conn_handler {
    /* A request that has a body, before that was read: how long it may be. 0, or the status that
     * refuses it. */
    unsigned (*on_head)(void *ctx, struct conn *c, const struct http_request *req, size_t *ret_max);
    /* Handles one request: exactly one of conn_answer(), conn_accept() and conn_defer() before it
     * returns. */
    void (*on_request)(void *ctx, struct conn *c, const struct http_request *req);
};

/* What all connections have in common; everything is borrowed. */
struct conns_setup {
    const struct stream_setup *stream;
    const struct client_limits *limits;
    struct limiter *limiter;
    size_t message_max; /* bytes of a client's message */
    const struct conn_handler *handler;
    void *ctx;
};

/* `setup` is borrowed. Registers turn hooks and a timer. */
struct conns *conns_new(struct loop *loop, const struct conns_setup *setup);
/* From now on whoever offers it gets permessage-deflate. */
void conns_allow_compression(struct conns *conns);
/* Ends every connection and frees. */
void conns_free(struct conns *conns);
size_t conns_count(const struct conns *conns);
/* Calls `fn` with every connection; it may close that one. */
void conns_for_each(struct conns *conns, void (*fn)(void *ctx, struct conn *c), void *ctx);

/* Takes a connected socket: non-blocking, close-on-exec. */
void conn_start(struct conns *conns, int fd);

/* More header lines, each with its CR LF, for the answer to the request that is being handled,
 * whoever gives it. Copied; replaces those that were set before. */
void conn_set_headers(struct conn *c, const char *lines);
/* Answers the request; `content` (answer->length bytes) may be NULL, takes its own reference.
 * What is counted elsewhere (blob_count()) may be large: it waits beside the queue's bound. */
void conn_answer(struct conn *c, const struct http_answer *answer, struct blob *content);
/* The owner will call conn_answer(), also before this request's function returns. */
void conn_defer(struct conn *c, const struct conn_owner *owner, void *ctx);
/* Turns the connection into a WebSocket of `owner`. */
void conn_accept(struct conn *c, const char *accept, const char *subprotocol,
                 const struct conn_owner *owner, void *ctx);

/* Who sent the request, or the one that became a WebSocket: the peer, or whom a trusted proxy
 * names. Valid as long as the connection. */
const struct client_address *conn_address(const struct conn *c);
/* Counts it among the WebSockets of its address, and of this tenant and user (NULL: not known yet;
 * an empty `subject`: nobody in particular). False: there are too many. Before conn_accept(), and
 * again once the user is known. */
WARN_UNUSED bool conn_take_seats(struct conn *c, const char *tenant, const char *subject);
/* Ends a connection that is no WebSocket once what it was answered is written: between requests,
 * or also before or amid one if it `is_late`. */
void conn_finish(struct conn *c, bool is_late);

/* The rest is for an open WebSocket, and does nothing on any other. */

/* Queues frames of the client's own; takes its own reference. */
void conn_send(struct conn *c, struct blob *frames);
void conn_send_new(struct conn *c, struct blob *frames); /* and consumes the caller's */
/* Queues frames that others get too. With a `prefix` it is one frame, of which `frames` is what
 * comes behind the prefix. */
void conn_send_shared(struct conn *c, struct blob *prefix, struct blob *frames);
/* Queues an answer that may alone be larger than the queue's bound, like a whole document. It
 * waits beside the bound: the caller sees to it that the one before was written, by
 * conn_queued_bytes(), and bounds what all of them hold. With a `prefix` the answer's frames are
 * made here: each is what stands in it, behind the prefix. */
void conn_send_large(struct conn *c, struct blob *prefix, struct answer *answer);
/* Were shared frames dropped since on_behind, as they are until on_caught_up? */
bool conn_is_behind(const struct conn *c);
/* The longest message that the client may send, in bytes. */
size_t conn_message_max(const struct conn *c);
/* Bytes that wait to be written. */
size_t conn_queued_bytes(const struct conn *c);
/* Sends a close frame. on_end comes before this returns. */
void conn_close(struct conn *c, uint16_t code, const char *reason);
/* Counts an edit that came. */
void conn_note_update(struct conn *c);
/* Stops reading. Calls are counted: it goes on after as many of conn_resume(). */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
/* When the owner last sent something, by mono_now_ms(). Pings do not count: the scripts of a page
 * do not see them. */
uint64_t conn_last_sent_ms(const struct conn *c);
