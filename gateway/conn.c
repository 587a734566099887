#include "gateway/conn.h"

#include "common/buffer.h"
#include "common/log.h"
#include "common/txq.h"
#include "gateway/answer.h"
#include "gateway/deflate.h"
#include "gateway/forwarded.h"
#include "gateway/stream.h"
#include "gateway/turns.h"
#include "gateway/ws.h"
#include "gateway/ws_compress.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define READ_BUFFER (64u << 10)
#define TICK_MS     500
#define ANSWERS_MAX (1u << 20) /* queued bytes of answers above which no more requests are read */

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
    bool is_blocked;      /* the socket takes no more for now: EPOLLOUT is armed */
    bool is_half_closed;  /* all is written and our side of the socket shut */
    bool is_at_end;       /* the peer's side is shut */
    uint8_t pings;        /* sent since the peer was last heard */
    uint64_t deadline_ms; /* of the state; 0 for none */
    uint64_t ping_ms;     /* when the next one is due */
    uint64_t sent_ms;
    uint64_t message_ms; /* when the incomplete message began; 0 without one */
    uint64_t stall_ms;   /* since when the socket takes nothing; 0 while it does */
    struct event on_read;
    struct event on_write;
    LIST_ENTRY(conn) entry;
    struct turn turn; /* to flush */

    struct stream stream;
    struct client_address client; /* of the last request, as far as it can be believed */

    struct buffer in; /* HTTP: what is not yet a whole head, or waits for answers to be written */
    size_t in_scanned;
    char *headers;  /* more of them for the answer; or NULL */
    size_t in_need; /* bytes of the request in `in`, once its head is there and has a body */
    uint32_t pauses;

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
    const struct stream_setup *setup;
    size_t message_max;
    struct deflate *deflate; /* NULL: no compression */
    const struct conn_handler *handler;
    void *ctx;
    struct event *on_tick;
    struct conn_list list;
    struct turns turns;
    size_t count;
    size_t partial_bytes;
    size_t out_bytes;
    struct blob *ping;
    uint8_t buffer[READ_BUFFER];
};

static const char *const state_names[] = {"http", "waiting", "open", "closing", "draining", "dead"};

/* ---- states ---- */

/* Bit n of the entry of a state: it may go over to state n. */
static const unsigned may_follow[] = {
    [CONN_HTTP] = 1u << CONN_WAITING | 1u << CONN_OPEN | 1u << CONN_DRAINING | 1u << CONN_DEAD,
    [CONN_WAITING] = 1u << CONN_HTTP | 1u << CONN_DRAINING | 1u << CONN_DEAD,
    [CONN_OPEN] = 1u << CONN_CLOSING | 1u << CONN_DRAINING | 1u << CONN_DEAD,
    [CONN_CLOSING] = 1u << CONN_DRAINING | 1u << CONN_DEAD,
    [CONN_DRAINING] = 1u << CONN_DEAD,
    [CONN_DEAD] = 0,
};

static void end_owner(struct conn *c)
{
    const struct conn_owner *owner = TAKE_PTR(c->owner);

    if (owner)
        owner->on_end(c->owner_ctx);
}

static void set_partial(struct conn *c, size_t bytes)
{
    c->conns->partial_bytes += bytes - c->partial;
    c->partial = bytes;
}

/* Counts what waits, but for a large answer. */
static void count_out(struct conn *c)
{
    size_t bytes = c->out.bytes > c->large_bytes ? c->out.bytes - c->large_bytes : 0;

    c->conns->out_bytes += bytes - c->out_bytes;
    c->out_bytes = bytes;
}

static void mark_dirty(struct conn *c)
{
    turns_add(&c->conns->turns, &c->turn, c->out.bytes);
}

/* ---- states, entered ---- */

static void release(void *ctx)
{
    struct conn *c = ctx;

    turns_remove(&c->conns->turns, &c->turn);
    ws_parser_done(&c->ws);
    txq_done(&c->out);
    blob_unref(c->pong);
    buffer_done(&c->in);
    free(c->headers);
    free(c);
}

static void bury(struct conn *c)
{
    (void)event_del(&c->on_read);
    (void)event_del(&c->on_write);
    stream_close(&c->stream);
    LIST_REMOVE(c, entry);
    c->conns->out_bytes -= c->out_bytes;
    c->conns->count--;
    loop_reap(c->conns->loop, release, c);
}

static void set_state(struct conn *c, enum conn_state state)
{
    enum conn_state was = c->state;

    assert(may_follow[was] & 1u << state);
    log_debug("client %d: %s to %s", c->stream.fd, state_names[was], state_names[state]);
    c->state = state;
    switch (state) {
    case CONN_HTTP:
        break;
    case CONN_WAITING:
        c->deadline_ms = 0;
        c->is_paused = true; /* until the answer is written */
        (void)event_del(&c->on_read);
        break;
    case CONN_OPEN:
        c->deadline_ms = 0;
        c->ping_ms = mono_now_ms() + CONN_PING_MS;
        break;
    case CONN_CLOSING:
    case CONN_DRAINING:
        c->deadline_ms = mono_now_ms() + (was <= CONN_WAITING ? CONN_STALL_MS : CONN_CLOSE_MS);
        c->message_ms = 0;
        blob_unref(TAKE_PTR(c->pong));
        /* The peer's close, or the end of its stream, must be seen. */
        if (!c->is_at_end)
            (void)event_add(&c->on_read, NULL);
        break;
    case CONN_DEAD:
        bury(c);
        break;
    }
    if (state != CONN_OPEN && state != CONN_CLOSING)
        set_partial(c, 0);
    if (state != CONN_OPEN && state != CONN_WAITING)
        end_owner(c);
}

/* ---- output ---- */

static void note_queued(struct conn *c)
{
    count_out(c);
    if (!c->is_blocked)
        mark_dirty(c);
}

static void push(struct conn *c, struct blob *b)
{
    txq_push(&c->out, b);
    note_queued(c);
}

static void push_new(struct conn *c, struct blob *b)
{
    push(c, b);
    blob_unref(b);
}

static void drain(struct conn *c)
{
    if (c->state != CONN_DRAINING)
        set_state(c, CONN_DRAINING);
    mark_dirty(c);
}

static void read_more_requests(struct conn *c);

/* A slow client has its time anew with every byte that it takes. */
static void note_progress(struct conn *c)
{
    c->stall_ms = 0;
    if ((c->state == CONN_HTTP && c->in_need == 0) || c->state == CONN_DRAINING)
        c->deadline_ms = mono_now_ms() + CONN_STALL_MS;
}

static void half_close(struct conn *c)
{
    if (c->is_at_end) {
        set_state(c, CONN_DEAD);
    } else if (!c->is_half_closed) {
        int r = stream_shut(&c->stream);
        c->is_half_closed = r == 0;
        if (r == -EAGAIN)
            (void)event_add(&c->on_write, NULL);
        c->deadline_ms = mono_now_ms() + CONN_CLOSE_MS;
    }
}

static void wait_until_writable(struct conn *c)
{
    c->stall_ms = c->stall_ms ? c->stall_ms : mono_now_ms();
    c->is_blocked = true;
    if (stream_write_side(&c->stream) == STREAM_WRITABLE)
        (void)event_add(&c->on_write, NULL);
}

static void catch_up(struct conn *c)
{
    c->is_behind = false;
    c->owner->on_caught_up(c->owner_ctx);
}

/* Everything is written. */
static void handle_drained(struct conn *c)
{
    c->large_bytes = 0;
    if (c->pong)
        push_new(c, TAKE_PTR(c->pong));
    else if (c->state == CONN_DRAINING)
        half_close(c);
    else if (c->state == CONN_HTTP)
        read_more_requests(c);
    else if (c->is_behind && c->state == CONN_OPEN)
        catch_up(c);
}

/* Writes some of what waits; returns how much. */
static size_t flush(struct turn *turn)
{
    struct conn *c = (struct conn *)((char *)turn - offsetof(struct conn, turn));
    size_t before = c->out.bytes;

    if (c->state == CONN_DEAD)
        return 0;
    int r = stream_write(&c->stream, &c->out, before < TURN_MAX ? before : TURN_MAX);
    size_t written = before - c->out.bytes;
    count_out(c);
    if (r < 0) {
        set_state(c, CONN_DEAD);
        return written;
    }
    if (written > 0)
        note_progress(c);
    if (r == 0) {
        wait_until_writable(c);
        return written;
    }
    c->is_blocked = false;
    c->stall_ms = 0;
    if (c->out.bytes > 0)
        mark_dirty(c);
    else
        handle_drained(c);
    return written;
}

static void read_some(struct conn *c);

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
    struct conn *c = ctx;

    (void)fd;
    (void)what;
    if (stream_read_side(&c->stream) == STREAM_WRITABLE && !c->is_paused && !c->is_at_end) {
        (void)event_add(&c->on_read, NULL);
        read_some(c);
    }
    c->is_blocked = false;
    mark_dirty(c);
}

/* ---- WebSocket ---- */

static void send_close(struct conn *c, uint16_t code, const char *reason)
{
    push_new(c, ws_frame_close(code, reason));
}

void conn_close(struct conn *c, uint16_t code, const char *reason)
{
    if (c->state != CONN_OPEN)
        return;
    send_close(c, code, reason);
    set_state(c, CONN_CLOSING);
}

/* The peer broke the protocol or a limit: nothing that it sends is of interest any more. */
static void fail(struct conn *c, uint16_t code, const char *reason)
{
    char address[CLIENT_ADDRESS_TEXT];

    log_debug("client %d, %s: closed with %u: %s", c->stream.fd,
              client_address_format(&c->client, address), code, reason);
    if (c->state == CONN_OPEN)
        send_close(c, code, reason);
    drain(c);
}

/* Is there no room for so much more? One message may always wait: it says nothing of the client. */
static bool is_too_slow(const struct conn *c, size_t len)
{
    size_t max = c->conns->out_bytes + len > CONN_QUEUES_MAX ? CONN_QUEUE_FAIR : CONN_QUEUE_MAX;

    return c->out_bytes > 0 && c->out_bytes + len > max;
}

/* Memory is for those who read: what a client misses by this is in the document. */
static void drop_shared(struct conn *c)
{
    txq_drop_shared(&c->out);
    count_out(c);
    if (c->is_behind)
        return;
    c->is_behind = true;
    c->owner->on_behind(c->owner_ctx);
}

void conn_send(struct conn *c, struct blob *frames)
{
    if (c->state != CONN_OPEN)
        return;
    frames = c->ws.deflate ? ws_compress_blob(c->ws.deflate, frames) : frames;
    if (is_too_slow(c, frames->len))
        drop_shared(c);
    if (c->state == CONN_OPEN && is_too_slow(c, frames->len)) {
        txq_drop_unsent(&c->out);
        count_out(c);
        fail(c, WS_CLOSE_TRY_LATER, "the client reads too slowly");
        return;
    }
    c->sent_ms = mono_now_ms();
    push(c, frames);
}

void conn_send_new(struct conn *c, struct blob *frames)
{
    conn_send(c, frames);
    blob_unref(frames);
}

void conn_send_shared(struct conn *c, struct blob *prefix, struct blob *frames)
{
    if (c->state != CONN_OPEN || c->is_behind)
        return;
    if (c->ws.deflate && !prefix)
        frames = ws_compress_blob(c->ws.deflate, frames);
    if (is_too_slow(c, frames->len + (prefix ? prefix->len : 0))) {
        drop_shared(c);
        return;
    }
    c->sent_ms = mono_now_ms();
    if (prefix) {
        struct blob *begin = ws_frame_begin(WS_BINARY, blob_slice(prefix), frames->len);
        txq_push_shared(&c->out, begin);
        txq_push_shared_rest(&c->out, frames);
        blob_unref(begin);
    } else {
        txq_push_shared(&c->out, frames);
    }
    note_queued(c);
}

/* Bytes of the parts that make one frame, from the i-th on. */
static size_t frame_bytes(const struct answer *answer, uint32_t i)
{
    size_t bytes = answer->parts[i].bytes->len;

    while (++i < answer->count && answer->parts[i].is_rest)
        bytes += answer->parts[i].bytes->len;
    return bytes;
}

static void push_part(struct conn *c, struct blob *prefix, const struct answer *answer, uint32_t i)
{
    const struct answer_part *part = &answer->parts[i];

    if (prefix && !part->is_rest) {
        struct blob *begin = ws_frame_begin(WS_BINARY, blob_slice(prefix), frame_bytes(answer, i));
        txq_push(&c->out, begin);
        blob_unref(begin);
    }
    if (prefix || part->is_rest)
        txq_push_rest(&c->out, part->bytes);
    else
        txq_push(&c->out, part->bytes);
}

void conn_send_large(struct conn *c, struct blob *prefix, struct answer *answer)
{
    if (c->state != CONN_OPEN)
        return;
    /* What one prefix is put before is not the same for others, and is sent as it is. */
    struct blob *compressed =
        c->ws.deflate && !prefix ? answer_compressed(answer, c->ws.deflate) : NULL;
    c->sent_ms = mono_now_ms();
    c->large_bytes = compressed ? compressed->len : answer->len;
    if (compressed)
        txq_push(&c->out, compressed);
    for (uint32_t i = 0; !compressed && i < answer->count; i++)
        push_part(c, prefix, answer, i);
    note_queued(c);
}

bool conn_is_behind(const struct conn *c)
{
    return c->is_behind;
}

const struct client_address *conn_address(const struct conn *c)
{
    return &c->client;
}

size_t conn_queued_bytes(const struct conn *c)
{
    return c->out.bytes;
}

uint64_t conn_last_sent_ms(const struct conn *c)
{
    return c->sent_ms;
}

void conn_pause(struct conn *c)
{
    if (c->state != CONN_OPEN || c->pauses++ > 0)
        return;
    c->is_paused = true;
    (void)event_del(&c->on_read);
}

void conn_resume(struct conn *c)
{
    if (c->state != CONN_OPEN || --c->pauses > 0)
        return;
    c->is_paused = false;
    (void)event_add(&c->on_read, NULL);
    /* The time of the pause is not the peer's. */
    if (c->message_ms != 0)
        c->message_ms = mono_now_ms();
}

/* A peer that sends pings and does not read would fill the queue: while the socket is blocked only
 * the latest is answered (RFC 6455, section 5.5.3 allows it). */
static void send_pong(struct conn *c, struct slice payload)
{
    struct blob *pong = ws_frame(WS_PONG, payload);

    if (c->is_blocked) {
        blob_unref(c->pong);
        c->pong = pong;
    } else {
        push_new(c, pong);
    }
}

static void handle_event(struct conn *c, enum ws_event_kind kind, const struct ws_event *ev)
{
    switch (kind) {
    case WS_EVENT_NONE:
    case WS_EVENT_PONG: /* any bytes from the peer were counted as a sign of life */
        break;
    case WS_EVENT_MESSAGE:
        if (c->state == CONN_OPEN)
            c->owner->on_message(c->owner_ctx, ev->is_text, ev->payload);
        break;
    case WS_EVENT_PING:
        if (c->state == CONN_OPEN)
            send_pong(c, ev->payload);
        break;
    case WS_EVENT_CLOSE:
        if (c->state == CONN_OPEN)
            send_close(c, ev->code, NULL);
        drain(c);
        break;
    case WS_EVENT_FAIL:
        fail(c, ev->code, ev->reason);
        break;
    }
}

static bool is_websocket(const struct conn *c)
{
    return c->state == CONN_OPEN || c->state == CONN_CLOSING;
}

static void handle_frames(struct conn *c, uint8_t *data, size_t len)
{
    enum ws_event_kind kind = WS_EVENT_MESSAGE;
    struct ws_event ev;

    c->pings = 0;
    while (kind != WS_EVENT_NONE && is_websocket(c)) {
        kind = ws_parser_next(&c->ws, &data, &len, &ev);
        handle_event(c, kind, &ev);
    }
    if (!is_websocket(c))
        return;
    set_partial(c, ws_parser_held_bytes(&c->ws));
    /* Compressed messages, with which one fills memory at little cost, leave half to the others. */
    size_t partial_max = c->ws.inflater ? CONN_PARTIAL_MAX / 2 : CONN_PARTIAL_MAX;
    if (c->conns->partial_bytes > partial_max)
        fail(c, WS_CLOSE_TRY_LATER, "the server is out of memory for incomplete messages");
    else if (!ws_parser_is_midway(&c->ws))
        c->message_ms = 0;
    else if (c->message_ms == 0)
        c->message_ms = mono_now_ms();
}

void conn_accept(struct conn *c, const char *accept, const char *subprotocol,
                 const struct conn_owner *owner, void *ctx)
{
    struct ws_limits limits = {.message_bytes = c->conns->message_max, .fragments = CONN_FRAGMENTS};

    ws_parser_init(&c->ws, &limits, c->extensions ? c->conns->deflate : NULL);
    c->owner = owner;
    c->owner_ctx = ctx;
    push_new(c, http_switch_head(accept, subprotocol, c->extensions));
    set_state(c, CONN_OPEN);
}

/* ---- HTTP ---- */

void conn_finish(struct conn *c, bool is_late)
{
    /* Between two requests the time is that of a pause, longer than that of a head. */
    bool is_between = c->in.len == 0 && c->deadline_ms > mono_now_ms() + CONN_HEAD_MS;

    if (c->state == CONN_HTTP && (is_between || is_late))
        drain(c);
    else if (c->state == CONN_WAITING)
        c->is_kept = false;
}

void conn_set_headers(struct conn *c, const char *lines)
{
    free(c->headers);
    c->headers = xstrdup(lines);
}

static struct blob *answer_head(struct conn *c, const struct http_answer *answer, bool is_kept)
{
    char *headers CLEANUP_FREE = TAKE_PTR(c->headers);
    char *all CLEANUP_FREE = NULL;
    struct http_answer with_headers = *answer;

    if (headers) {
        all = xasprintf("%s%s", headers, answer->extra ? answer->extra : "");
        with_headers.extra = all;
    }
    return http_answer_head(&with_headers, is_kept, wall_now_ms());
}

void conn_answer(struct conn *c, const struct http_answer *answer, struct blob *content)
{
    bool is_kept = c->is_kept && !answer->is_last;

    assert(c->state == CONN_HTTP || c->state == CONN_WAITING);
    if (c->state == CONN_WAITING) {
        c->owner = NULL;
        set_state(c, CONN_HTTP);
    }
    push_new(c, answer_head(c, answer, is_kept));
    if (content && content->len > 0 && !c->is_head) {
        c->large_bytes += content->counter ? content->len : 0;
        push(c, content);
    }
    if (is_kept)
        c->deadline_ms = mono_now_ms() + CONN_IDLE_MS;
    else
        drain(c);
}

void conn_defer(struct conn *c, const struct conn_owner *owner, void *ctx)
{
    c->owner = owner;
    c->owner_ctx = ctx;
    set_state(c, CONN_WAITING);
}

/* Answers without the handler; the connection ends with it. */
static void refuse_because(struct conn *c, unsigned status, const char *why)
{
    struct buffer text = {0};

    c->is_kept = c->is_head = false;
    buffer_printf(&text, "%s\n", why);
    struct blob *content = blob_copy(buffer_slice(&text));
    conn_answer(c, &(struct http_answer){.status = status, .length = content->len}, content);
    blob_unref(content);
    buffer_done(&text);
}

static void refuse(struct conn *c, unsigned status)
{
    refuse_because(c, status, http_phrase(status));
}

/* A proxy may send the requests of many clients on one connection. */
static void note_client(struct conn *c, const struct http_request *req)
{
    const struct stream_setup *setup = c->conns->setup;
    char address[CLIENT_ADDRESS_TEXT];

    c->client = setup->has_proxy_header ? c->stream.client
                                        : forwarded_client(&setup->trusted, &c->stream.client, req);
    log_debug("client %d: a request of %s%s", c->stream.fd,
              client_address_format(&c->client, address), c->client.is_secure ? ", by TLS" : "");
}

/* A body is to be read behind a head of `head_len` bytes. 0, or the status that refuses it. */
static unsigned begin_body(struct conn *c, const struct http_request *req, size_t head_len)
{
    size_t max = 0;

    unsigned status = c->conns->handler->on_head(c->conns->ctx, c, req, &max);
    if (status == 0 && req->is_chunked)
        status = 411;
    if (status == 0 && req->body_len > max)
        status = 413;
    if (status != 0)
        return status;
    c->in_need = head_len + (size_t)req->body_len;
    c->deadline_ms = mono_now_ms() + CONN_MESSAGE_MS + req->body_len / CONN_MESSAGE_RATE * 1000;
    if (req->expects_continue && c->in.len < c->in_need)
        push_new(c, blob_copy(slice_str("HTTP/1.1 100 Continue\r\n\r\n")));
    return 0;
}

/* The body is not whole yet. */
static void wait_for_body(struct conn *c)
{
    set_partial(c, c->in.len);
    if (c->conns->partial_bytes > CONN_PARTIAL_MAX)
        refuse(c, 503);
}

/* An empty line before a request is ignored (RFC 9112, section 2.2). */
static void skip_empty_line(struct conn *c)
{
    if (c->in_scanned == 0 && c->in.len >= 2 && memcmp(c->in.data, "\r\n", 2) == 0)
        buffer_consume(&c->in, 2);
}

/* Parses the head of `len` bytes (or says what is wrong with it) and hands the request on. False:
 * its body has yet to come. */
static bool handle_head(struct conn *c, ssize_t len)
{
    struct http_request req = {0};
    unsigned status =
        len > 0 ? http_parse(slice_of(c->in.data, (size_t)len), &req) : (len == -E2BIG ? 431 : 400);

    if (status == 0 && req.has_body && c->in_need == 0)
        status = begin_body(c, &req, (size_t)len);
    if (status == 0 && c->in.len < c->in_need) {
        wait_for_body(c);
        return false;
    }
    set_partial(c, 0);
    if (status == 0)
        note_client(c, &req);
    if (status == 0 && c->conns->deflate)
        c->extensions = deflate_negotiate(&req);
    c->is_kept = req.is_keep_alive;
    c->is_head = req.verb == HTTP_VERB_HEAD;
    if (status == 0) {
        req.body = slice_of(c->in.data + len, (size_t)req.body_len);
        c->conns->handler->on_request(c->conns->ctx, c, &req);
        buffer_consume(&c->in, (size_t)len + (size_t)req.body_len);
    } else {
        refuse(c, status);
    }
    c->in_need = 0;
    c->in_scanned = 0;
    return true;
}

/* Takes one request from what was read. False: there is none, or not now. */
static bool handle_request(struct conn *c)
{
    size_t scanned = 0;

    if (c->in.len < c->in_need) {
        wait_for_body(c);
        return false;
    }
    skip_empty_line(c);
    ssize_t len = http_head_len(buffer_slice(&c->in), c->in_need > 0 ? &scanned : &c->in_scanned);
    return len != 0 && handle_head(c, len) && c->state == CONN_HTTP;
}

static void set_reading(struct conn *c, bool is_reading)
{
    if (c->is_paused == !is_reading)
        return;
    c->is_paused = !is_reading;
    if (is_reading)
        (void)event_add(&c->on_read, NULL);
    else
        (void)event_del(&c->on_read);
}

static void handle_requests(struct conn *c)
{
    while (c->out.bytes <= ANSWERS_MAX && c->in.len > 0)
        if (!handle_request(c))
            break;
    if (c->state == CONN_WAITING)
        return;
    if (c->state == CONN_HTTP) {
        set_reading(c, c->out.bytes <= ANSWERS_MAX);
        /* The time for a head runs from its first bytes on; they do not prolong it. */
        if (!c->is_paused && c->in.len > 0 && c->in_need == 0 &&
            c->deadline_ms > mono_now_ms() + CONN_HEAD_MS)
            c->deadline_ms = mono_now_ms() + CONN_HEAD_MS;
        return;
    }
    /* What came behind the request that became a WebSocket are its first frames. */
    struct buffer rest = c->in;
    c->in = (struct buffer){0};
    if (c->state == CONN_OPEN && rest.len > 0)
        handle_frames(c, rest.data, rest.len);
    buffer_done(&rest);
}

static void read_more_requests(struct conn *c)
{
    if (!c->is_paused)
        return;
    set_reading(c, true);
    handle_requests(c);
}

/* ---- input ---- */

static void handle_bytes(struct conn *c, uint8_t *data, size_t len)
{
    switch (c->state) {
    case CONN_HTTP:
        buffer_append(&c->in, data, len);
        handle_requests(c);
        break;
    case CONN_OPEN:
    case CONN_CLOSING:
        handle_frames(c, data, len);
        break;
    case CONN_WAITING:
    case CONN_DRAINING:
    case CONN_DEAD:
        break;
    }
}

/* A client of HTTP may shut its side and still wait for the answer. */
static void handle_end(struct conn *c)
{
    bool has_answer = (c->state == CONN_HTTP || c->state == CONN_DRAINING) && c->out.count > 0;

    c->is_at_end = true;
    (void)event_del(&c->on_read);
    if (has_answer)
        drain(c);
    else
        set_state(c, CONN_DEAD);
}

static void handle_input(struct conn *c, ssize_t n)
{
    if (n > 0)
        handle_bytes(c, c->conns->buffer, (size_t)n);
    else if (n == 0)
        handle_end(c);
    else if (n == -EPROTONOSUPPORT && c->state == CONN_HTTP)
        refuse_because(c, 400, "This port speaks TLS: https:// and wss://.");
    else if (n != -EAGAIN)
        set_state(c, CONN_DEAD);
}

static void read_some(struct conn *c)
{
    if (c->state == CONN_DEAD)
        return;
    ssize_t n = stream_read(&c->stream, c->conns->buffer, READ_BUFFER);
    handle_input(c, n);
    if (c->state == CONN_DEAD)
        return;
    /* Each direction of TLS may need the other. */
    if (stream_read_side(&c->stream) == STREAM_WRITABLE) {
        (void)event_del(&c->on_read);
        (void)event_add(&c->on_write, NULL);
    }
    if (c->is_blocked && stream_write_side(&c->stream) == STREAM_READABLE) {
        c->is_blocked = false;
        mark_dirty(c);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    read_some(ctx);
}

/* ---- time ---- */

static void tick_http(struct conn *c, uint64_t now)
{
    if (now < c->deadline_ms)
        return;
    if (c->out.count == 0 && c->in.len > 0)
        refuse(c, 408);
    else
        set_state(c, CONN_DEAD);
}

static void tick_open(struct conn *c, uint64_t now)
{
    if (c->message_ms != 0 && !c->is_paused &&
        now > c->message_ms + CONN_MESSAGE_MS + c->ws.wire_len / CONN_MESSAGE_RATE * 1000) {
        fail(c, WS_CLOSE_POLICY, "a message takes too long");
        return;
    }
    if (c->stall_ms != 0 && now > c->stall_ms + CONN_STALL_MS) {
        set_state(c, CONN_DEAD);
        return;
    }
    /* While we do not read, an answer to a ping is not seen. */
    if (now >= c->ping_ms && !c->is_paused) {
        if (c->pings == CONN_PINGS_MAX) {
            set_state(c, CONN_DEAD);
            return;
        }
        c->pings++;
        c->ping_ms = now + CONN_PING_MS;
        push(c, c->conns->ping);
    }
    c->owner->on_tick(c->owner_ctx);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct conns *conns = ctx;
    uint64_t now = mono_now_ms();
    struct conn *next;

    (void)fd;
    (void)what;
    for (struct conn *c = LIST_FIRST(&conns->list); c; c = next) {
        next = LIST_NEXT(c, entry);
        switch (c->state) {
        case CONN_HTTP:
            tick_http(c, now);
            break;
        case CONN_WAITING:
            c->owner->on_tick(c->owner_ctx);
            break;
        case CONN_OPEN:
            tick_open(c, now);
            break;
        case CONN_CLOSING:
        case CONN_DRAINING:
            if (now >= c->deadline_ms)
                set_state(c, CONN_DEAD);
            break;
        case CONN_DEAD:
            break;
        }
    }
}

/* ---- life ---- */

struct conns *conns_new(struct loop *loop, const struct stream_setup *setup, size_t message_max,
                        const struct conn_handler *handler, void *ctx)
{
    struct conns *conns = xcalloc(1, sizeof(*conns));

    conns->loop = loop;
    conns->setup = setup;
    conns->message_max = message_max;
    conns->handler = handler;
    conns->ctx = ctx;
    conns->ping = ws_frame(WS_PING, slice_of(NULL, 0));
    LIST_INIT(&conns->list);
    turns_init(&conns->turns, loop, flush);
    conns->on_tick = event_new(loop_base(loop), -1, EV_PERSIST, on_tick, conns);
    if (!conns->on_tick ||
        event_add(conns->on_tick, &(struct timeval){.tv_usec = TICK_MS * 1000}) < 0)
        log_panic("a timer cannot be set");
    return conns;
}

static void destroy(void *ctx)
{
    struct conns *conns = ctx;

    deflate_free(conns->deflate);
    free(conns);
}

void conns_free(struct conns *conns)
{
    struct conn *next;

    for (struct conn *c = LIST_FIRST(&conns->list); c; c = next) {
        next = LIST_NEXT(c, entry);
        set_state(c, CONN_DEAD);
    }
    event_free(conns->on_tick);
    turns_done(&conns->turns);
    blob_unref(conns->ping);
    loop_reap(conns->loop, destroy, conns);
}

void conns_allow_compression(struct conns *conns)
{
    if (!conns->deflate)
        conns->deflate = deflate_new();
}

size_t conns_count(const struct conns *conns)
{
    return conns->count;
}

void conns_for_each(struct conns *conns, void (*fn)(void *ctx, struct conn *c), void *ctx)
{
    struct conn *next;

    for (struct conn *c = LIST_FIRST(&conns->list); c; c = next) {
        next = LIST_NEXT(c, entry);
        fn(ctx, c);
    }
}

void conn_start(struct conns *conns, int fd)
{
    struct conn *c = xcalloc(1, sizeof(*c));
    char address[CLIENT_ADDRESS_TEXT];

    c->conns = conns;
    c->state = CONN_HTTP;
    c->deadline_ms = mono_now_ms() + CONN_HEAD_MS;
    c->sent_ms = mono_now_ms();
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    LIST_INSERT_HEAD(&conns->list, c, entry);
    conns->count++;
    int r = stream_open(&c->stream, conns->setup, fd);
    c->client = c->stream.client;
    log_debug("client %d: %s connects", fd, client_address_format(&c->client, address));
    if (event_assign(&c->on_read, loop_base(conns->loop), fd, EV_READ | EV_PERSIST, on_readable,
                     c) < 0 ||
        event_assign(&c->on_write, loop_base(conns->loop), fd, EV_WRITE, on_writable, c) < 0 ||
        r < 0 || event_add(&c->on_read, NULL) < 0)
        set_state(c, CONN_DEAD);
}
