#include "gateway/conn_internal.h"

#include "common/metrics.h"
#include "gateway/deflate.h"
#include "gateway/tls.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define TICK_MS         500
#define TURN_READ_MAX   (1u << 20) /* bytes that all may have read in a turn; then each gets */
#define TURN_READ_LEAST 4096u      /* so many, if it has them in the clear */

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

void conn_set_partial(struct conn *c, size_t bytes)
{
    c->conns->partial_bytes += bytes - c->partial;
    c->partial = bytes;
}

/* Counts what waits, but for a large answer. */
void conn_count_out(struct conn *c)
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
    limiter_give_all(c->conns->setup->limiter, &c->seats);
    c->conns->out_bytes -= c->out_bytes;
    c->conns->count--;
    loop_reap(c->conns->loop, release, c);
}

void conn_set_state(struct conn *c, enum conn_state state)
{
    enum conn_state was = c->state;

    assert(may_follow[was] & 1u << state);
    log_debug("client %d: %s to %s", c->stream.fd, state_names[was], state_names[state]);
    conn_stop_pacing(c);
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
        limiter_give(c->conns->setup->limiter, &c->seats, SEAT_HANDSHAKE);
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
        conn_set_partial(c, 0);
    if (state != CONN_OPEN && state != CONN_WAITING)
        end_owner(c);
}

/* ---- output ---- */

void conn_note_queued(struct conn *c)
{
    conn_count_out(c);
    if (!c->is_blocked)
        mark_dirty(c);
}

void conn_push(struct conn *c, struct blob *b)
{
    txq_push(&c->out, b);
    conn_note_queued(c);
}

void conn_push_new(struct conn *c, struct blob *b)
{
    conn_push(c, b);
    blob_unref(b);
}

void conn_drain(struct conn *c)
{
    if (c->state != CONN_DRAINING)
        conn_set_state(c, CONN_DRAINING);
    mark_dirty(c);
}

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
        conn_set_state(c, CONN_DEAD);
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
    c->unsent = stream_unsent(&c->stream);
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
        conn_push_new(c, TAKE_PTR(c->pong));
    else if (c->state == CONN_DRAINING)
        half_close(c);
    else if (c->state == CONN_HTTP)
        conn_read_more_requests(c);
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
    conn_count_out(c);
    if (r < 0) {
        conn_set_state(c, CONN_DEAD);
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

/* ---- input ---- */

static void handle_bytes(struct conn *c, uint8_t *data, size_t len)
{
    switch (c->state) {
    case CONN_HTTP:
        buffer_append(&c->in, data, len);
        conn_handle_requests(c);
        break;
    case CONN_OPEN:
    case CONN_CLOSING:
        conn_handle_frames(c, data, len);
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
        conn_drain(c);
    else
        conn_set_state(c, CONN_DEAD);
}

static void handle_input(struct conn *c, ssize_t n)
{
    if (n > 0)
        handle_bytes(c, c->conns->buffer, (size_t)n);
    else if (n == 0)
        handle_end(c);
    else if (n == -EPROTONOSUPPORT && c->state == CONN_HTTP)
        conn_refuse_because(c, 400, "This port speaks TLS: https:// and wss://.");
    else if (n != -EAGAIN)
        conn_set_state(c, CONN_DEAD);
}

/* When many send much at once, each is read a little, so that a turn is short for all others. */
static size_t read_size(const struct conn *c)
{
    size_t least = c->stream.tls ? TLS_RECORD_MAX : TURN_READ_LEAST;

    return c->conns->turn_bytes < TURN_READ_MAX ? READ_BUFFER : least;
}

static void read_some(struct conn *c)
{
    if (c->state == CONN_DEAD)
        return;
    ssize_t n = stream_read(&c->stream, c->conns->buffer, read_size(c));
    c->conns->turn_bytes += n > 0 ? (size_t)n : 0;
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
    metric_add(METRIC_LIMITED_HEAD_MS, c->in_need == 0 && !c->has_asked);
    if (c->out.count == 0 && c->in.len > 0)
        conn_refuse(c, 408);
    else
        conn_set_state(c, CONN_DEAD);
}

/* Does the peer's side take any of what the socket holds? A slow reader is no dead one. */
static void look_for_progress(struct conn *c, uint64_t now)
{
    int unsent = c->stall_ms != 0 ? stream_unsent(&c->stream) : c->unsent;

    if (unsent < c->unsent)
        c->stall_ms = now;
    c->unsent = unsent;
}

static bool is_gone(const struct conn *c, uint64_t now)
{
    return c->stall_ms != 0 &&
           (now > c->stall_ms + CONN_DEAF_MS || stream_silent_ms(&c->stream) > CONN_GONE_MS);
}

static void tick_open(struct conn *c, uint64_t now)
{
    if (c->message_ms != 0 && !c->is_paused &&
        now > c->message_ms + CONN_MESSAGE_MS + c->ws.wire_len / CONN_MESSAGE_RATE * 1000) {
        conn_fail(c, WS_CLOSE_POLICY, "a message takes too long");
        return;
    }
    look_for_progress(c, now);
    if (is_gone(c, now)) {
        conn_set_state(c, CONN_DEAD);
        return;
    }
    /* While we do not read, an answer to a ping is not seen. */
    if (now >= c->ping_ms && !c->is_paused && c->stall_ms == 0) {
        if (c->pings == CONN_PINGS_MAX) {
            conn_set_state(c, CONN_DEAD);
            return;
        }
        c->pings++;
        c->ping_ms = now + CONN_PING_MS;
        conn_push(c, c->conns->ping);
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
                conn_set_state(c, CONN_DEAD);
            break;
        case CONN_DEAD:
            break;
        }
    }
}

/* ---- life ---- */

static void on_turn_end(void *ctx)
{
    struct conns *conns = ctx;

    conns->turn_bytes = 0;
    conns->turn_inflated = 0;
}

struct conns *conns_new(struct loop *loop, const struct conns_setup *setup)
{
    struct conns *conns = xcalloc(1, sizeof(*conns));

    conns->loop = loop;
    conns->setup = setup;
    conns->ping = ws_frame(WS_PING, slice_of(NULL, 0));
    LIST_INIT(&conns->list);
    conns_init_pacing(conns);
    turns_init(&conns->turns, loop, flush);
    loop_add_turn_hook(loop, on_turn_end, conns);
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
        conn_set_state(c, CONN_DEAD);
    }
    event_free(conns->on_tick);
    event_free(conns->on_paced);
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
    c->deadline_ms = mono_now_ms() + conns->setup->limits->head_ms;
    c->sent_ms = mono_now_ms();
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    LIST_INSERT_HEAD(&conns->list, c, entry);
    conns->count++;
    int r = stream_open(&c->stream, conns->setup->stream, fd);
    c->client = c->stream.client;
    log_debug("client %d: %s connects", fd, client_address_format(&c->client, address));
    if (event_assign(&c->on_read, loop_base(conns->loop), fd, EV_READ | EV_PERSIST, on_readable,
                     c) < 0 ||
        event_assign(&c->on_write, loop_base(conns->loop), fd, EV_WRITE, on_writable, c) < 0 ||
        r < 0 || !conn_enter(c) || event_add(&c->on_read, NULL) < 0)
        conn_set_state(c, CONN_DEAD);
}
