/*
 * The inside of a connection, shared by conn.c (states, the socket, time), conn_http.c (requests
 * and their answers), conn_websocket.c (messages and what is sent) and conn_limits.c (how many
 * there are, and how fast).
 */
#pragma once

#include "common/buffer.h"
#include "common/log.h"
#include "common/rate.h"
#include "common/txq.h"
#include "gateway/conn.h"
#include "gateway/limiter.h"
#include "gateway/stream.h"
#include "gateway/turns.h"
#include "gateway/ws.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#define READ_BUFFER (64u << 10)

enum conn_state {
    CONN_HTTP,
    CONN_WAITING,
    CONN_OPEN,
    CONN_CLOSING,
    CONN_DRAINING,
    CONN_DEAD,
};

struct conn {
    struct conns *conns;
    enum conn_state state;
    bool is_paused;       /* nothing is read: see `pauses`, or answers wait */
    bool is_behind;       /* shared frames were dropped, and the owner was told */
    bool is_kept;         /* the request: the connection outlives its answer, */
    bool is_head;         /* which has no content */
    bool has_asked;       /* a request came whole */
    bool is_blocked;      /* the socket takes no more for now: EPOLLOUT is armed */
    bool is_half_closed;  /* all is written and our side of the socket shut */
    bool is_at_end;       /* the peer's side is shut */
    uint8_t pings;        /* sent since the peer was last heard */
    uint64_t deadline_ms; /* of the state; 0 for none */
    uint64_t ping_ms;     /* when the next one is due */
    uint64_t sent_ms;
    uint64_t message_ms; /* when the incomplete message began; 0 without one */
    uint64_t stall_ms;   /* since when the peer takes nothing; 0 while the socket does */
    int unsent;          /* bytes in the socket then */
    struct event on_read;
    struct event on_write;
    LIST_ENTRY(conn) entry;
    struct turn turn; /* to flush */

    struct stream stream;
    struct client_address client; /* of the last request, as far as it can be believed */

    /* HTTP: what is not yet a whole head, or waits for answers to be written. WebSocket: what was
     * read and has to wait. */
    struct buffer in;
    size_t in_scanned;
    char *headers;  /* more of them for the answer; or NULL */
    size_t in_need; /* bytes of the request in `in`, once its head is there and has a body */
    uint32_t pauses;

    struct seats seats;
    bool is_paced; /* it was too fast, and waits: it has one of `pauses` */
    uint64_t paced_until_us;
    LIST_ENTRY(conn) paced;
    uint64_t frames; /* of ws, as counted in the rates */
    uint64_t control_frames;
    struct rate frame_rate;
    struct rate control_rate;
    struct rate update_rate;
    struct rate byte_rate;

    const char *extensions; /* that are agreed on if the request in hand is accepted; or NULL */
    struct ws_parser ws;
    size_t partial; /* of ws, or of a body, as counted in conns->partial_bytes */
    const struct conn_owner *owner;
    void *owner_ctx;

    struct txq out;
    size_t out_bytes;   /* of `out`, as counted in conns->out_bytes */
    size_t large_bytes; /* of `out`, beside its bound and not counted */
    struct blob *pong;  /* the latest that waits until the socket takes bytes again */
};

LIST_HEAD(conn_list, conn);

struct conns {
    struct loop *loop;
    const struct conns_setup *setup;
    struct deflate *deflate; /* NULL: no compression */
    struct conn_list paced;
    struct event *on_paced;
    struct event *on_tick;
    struct conn_list list;
    struct turns turns;
    size_t count;
    size_t partial_bytes;
    size_t out_bytes;
    size_t turn_bytes;      /* read in this turn of the loop */
    uint64_t turn_inflated; /* that compressed messages became in it */
    struct blob *ping;
    uint8_t buffer[READ_BUFFER];
};

/* ---- conn.c ---- */

/* The connection may be DEAD after any of these; its memory lasts to the end of the turn. */
void conn_set_state(struct conn *c, enum conn_state state);
/* Nothing that the peer sends is of interest any more: what is queued is written, and that is all.
 */
void conn_drain(struct conn *c);
/* Counts the bytes of what has not come whole. */
void conn_set_partial(struct conn *c, size_t bytes);
/* Counts what waits to be written, but for a large answer. */
void conn_count_out(struct conn *c);
/* Something was added to what waits. */
void conn_note_queued(struct conn *c);
void conn_push(struct conn *c, struct blob *b);
void conn_push_new(struct conn *c, struct blob *b); /* and consumes the caller's */

/* ---- conn_http.c ---- */

/* Handles the requests that are whole, as far as their answers have room. */
void conn_handle_requests(struct conn *c);
/* The answers are written: goes on with what had to wait. */
void conn_read_more_requests(struct conn *c);
/* Answers without the handler; the connection ends with it. */
void conn_refuse(struct conn *c, unsigned status);
void conn_refuse_because(struct conn *c, unsigned status, const char *why);

/* ---- conn_websocket.c ---- */

/* Writes into `data`. */
void conn_handle_frames(struct conn *c, uint8_t *data, size_t len);
/* The peer broke the protocol or a limit. */
void conn_fail(struct conn *c, uint16_t code, const char *reason);

/* ---- conn_limits.c ---- */

void conns_init_pacing(struct conns *conns);
/* A new connection. False: there are too many. */
bool conn_enter(struct conn *c);
/* Counts what was read of a WebSocket, after it was handled. The connection may fail by it. */
void conn_pace_input(struct conn *c, size_t bytes);
/* It waits no longer. */
void conn_stop_pacing(struct conn *c);
/* Has so much been inflated in this turn that compressed messages must wait for another? */
bool conns_have_inflated(const struct conns *conns);
/* Keeps bytes of a WebSocket until then. */
void conn_hold(struct conn *c, const uint8_t *data, size_t len);
