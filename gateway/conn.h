/*
 * conn: one client's socket. It speaks HTTP until a request is accepted as a WebSocket and frames
 * messages from then on. Every connection of the process belongs to one struct conns, which holds
 * what they share: the read buffer, the clock tick, the list of those with something to write.
 *
 *     HTTP → OPEN → CLOSING → DRAINING → DEAD        any state → DRAINING, any state → DEAD
 *
 * HTTP      heads are collected and handed to the request function, which answers at once
 * OPEN      a WebSocket; its owner gets messages and ticks
 * CLOSING   our close frame is queued, the peer's is awaited; messages are ignored
 * DRAINING  what is queued is written, then the socket is half-closed and the peer's end awaited,
 * so that no reset overtakes our last bytes DEAD      closed; the memory goes at the end of the
 * turn
 *
 * Output goes out once a turn and connection, in one writev, short queues before long ones: what a
 * turn writes of documents is little, so that edits do not wait for them. A WebSocket whose queue
 * is over CONN_QUEUE_MAX is closed with 1013; one that takes nothing for CONN_STALL_MS is taken for
 * dead.
 */
#pragma once

#include "common/blob.h"
#include "common/loop.h"
#include "gateway/http.h"

#define CONN_QUEUE_MAX    (16u << 20)  /* bytes that wait for one client */
#define CONN_QUEUES_MAX   (512u << 20) /* of all clients together; above it only */
#define CONN_QUEUE_FAIR   (1u << 20)   /* so much may wait for one */
#define CONN_PARTIAL_MAX  (512u << 20) /* bytes of incomplete messages, all connections together */
#define CONN_FLUSH_MAX    (64u << 10)  /* written of a connection in a turn */
#define CONN_BULK_MAX     (128u << 10) /* in a turn of all that have more than that to write */
#define CONN_HEAD_MS      5000u        /* for a request's head, from its first chance on */
#define CONN_IDLE_MS      30000u       /* between two requests */
#define CONN_STALL_MS     30000u       /* output of which nothing can be written */
#define CONN_MESSAGE_MS   30000u       /* for a message, and one second more for each: */
#define CONN_MESSAGE_RATE 16384u       /* bytes of it received */
#define CONN_PING_MS      25000u
#define CONN_PINGS_MAX    2     /* unanswered; then the client is taken for dead */
#define CONN_CLOSE_MS     3000u /* for the peer's part of a close */

struct answer;
struct conn;
struct conns;

/* Who uses an open WebSocket. */
struct conn_owner {
    /* The payload is borrowed until the call returns. May send and close. */
    void (*on_message)(void *ctx, bool is_text, struct slice payload);
    void (*on_tick)(void *ctx); /* twice a second */
    /* The WebSocket is not usable any more. Called once, always, and nothing after it. */
    void (*on_end)(void *ctx);
};

/* Handles one request: exactly one of conn_answer() and conn_accept() before it returns. */
typedef void (*conn_request_fn)(void *ctx, struct conn *c, const struct http_request *req);

/* `message_max`: bytes of a client's message. Registers a turn hook and a timer. */
struct conns *conns_new(struct loop *loop, size_t message_max, conn_request_fn on_request,
                        void *ctx);
/* Ends every connection and frees. */
void conns_free(struct conns *conns);
size_t conns_count(const struct conns *conns);
/* Closes every WebSocket with this code and every other connection once its answer is written. */
void conns_shut_down(struct conns *conns, uint16_t code, const char *reason);

/* Takes a connected socket: non-blocking, close-on-exec. */
void conn_start(struct conns *conns, int fd);

/* Answers a request; `content` (answer->length bytes) may be NULL, takes its own reference. */
void conn_answer(struct conn *c, const struct http_request *req, const struct http_answer *answer,
                 struct blob *content);
/* Turns the connection into a WebSocket of `owner`. */
void conn_accept(struct conn *c, const char *accept, const char *subprotocol,
                 const struct conn_owner *owner, void *ctx);

/* The rest is for an open WebSocket, and does nothing on any other. */

/* Queues frames; takes its own reference. */
void conn_send(struct conn *c, struct blob *frames);
void conn_send_new(struct conn *c, struct blob *frames); /* and consumes the caller's */
/* The same for an answer that may alone be larger than the queue's bound, like a whole document. It
 * waits beside the bound: the caller sees to it that the one before was written, by
 * conn_queued_bytes(), and bounds what all of them hold. */
void conn_send_large(struct conn *c, const struct answer *answer);
/* Bytes that wait to be written. */
size_t conn_queued_bytes(const struct conn *c);
/* Sends a close frame. on_end comes before this returns. */
void conn_close(struct conn *c, uint16_t code, const char *reason);
/* Stops reading, and starts it again. */
void conn_set_paused(struct conn *c, bool is_paused);
/* When the owner last sent something, by mono_now_ms(). Pings do not count: the scripts of a page
 * do not see them. */
uint64_t conn_last_sent_ms(const struct conn *c);
