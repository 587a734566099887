/* Messages that come, and what is sent. */
#include "gateway/conn_internal.h"

#include "common/metrics.h"
#include "gateway/answer.h"
#include "gateway/ws_compress.h"

static void send_close(struct conn *c, uint16_t code, const char *reason)
{
    conn_push_new(c, ws_frame_close(code, reason));
}

void conn_close(struct conn *c, uint16_t code, const char *reason)
{
    if (c->state != CONN_OPEN)
        return;
    send_close(c, code, reason);
    conn_set_state(c, CONN_CLOSING);
}

/* The peer broke the protocol or a limit: nothing that it sends is of interest any more. */
void conn_fail(struct conn *c, uint16_t code, const char *reason)
{
    char address[CLIENT_ADDRESS_TEXT];

    log_debug("client %d, %s: closed with %u: %s", c->stream.fd,
              client_address_format(&c->client, address), code, reason);
    if (c->state == CONN_OPEN)
        send_close(c, code, reason);
    conn_drain(c);
}

/* Is there no room for so much more? One message may always wait: it says nothing of the client. */
static bool is_too_slow(const struct conn *c, size_t len)
{
    size_t max = c->conns->setup->limits->queue_bytes;

    if (c->conns->out_bytes + len > CONN_QUEUES_MAX && max > CONN_QUEUE_FAIR)
        max = CONN_QUEUE_FAIR;
    return c->out_bytes > 0 && c->out_bytes + len > max;
}

/* Memory is for those who read: what a client misses by this is in the document. */
static void drop_shared(struct conn *c)
{
    txq_drop_shared(&c->out);
    conn_count_out(c);
    if (c->is_behind)
        return;
    c->is_behind = true;
    metric_add(METRIC_LIMITED_QUEUE_BYTES, 1);
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
        conn_count_out(c);
        conn_fail(c, WS_CLOSE_TRY_LATER, "the client reads too slowly");
        return;
    }
    c->sent_ms = mono_now_ms();
    conn_push(c, frames);
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
    conn_note_queued(c);
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
    conn_note_queued(c);
}

bool conn_is_behind(const struct conn *c)
{
    return c->is_behind;
}

const struct client_address *conn_address(const struct conn *c)
{
    return &c->client;
}

size_t conn_message_max(const struct conn *c)
{
    return c->conns->setup->message_max;
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
        conn_push_new(c, pong);
    }
}

static void handle_event(struct conn *c, enum ws_event_kind kind, const struct ws_event *ev)
{
    switch (kind) {
    case WS_EVENT_NONE:
    case WS_EVENT_PIECE:
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
        conn_drain(c);
        break;
    case WS_EVENT_FAIL:
        metric_add(METRIC_LIMITED_FRAGMENTS, ev->code == WS_CLOSE_POLICY); /* its only one */
        conn_fail(c, ev->code, ev->reason);
        break;
    }
}

static bool is_websocket(const struct conn *c)
{
    return c->state == CONN_OPEN || c->state == CONN_CLOSING;
}

static bool must_wait(const struct conn *c)
{
    return c->state == CONN_OPEN && c->ws.deflate && conns_have_inflated(c->conns);
}

void conn_handle_frames(struct conn *c, uint8_t *data, size_t len)
{
    enum ws_event_kind kind = WS_EVENT_MESSAGE;
    size_t bytes = len;
    struct ws_event ev;

    c->pings = 0;
    while (kind != WS_EVENT_NONE && is_websocket(c) && !must_wait(c)) {
        uint64_t inflated = c->ws.inflated;
        kind = ws_parser_next(&c->ws, &data, &len, &ev);
        c->conns->turn_inflated += c->ws.inflated - inflated;
        handle_event(c, kind, &ev);
    }
    if (c->state == CONN_OPEN)
        conn_pace_input(c, bytes - len);
    if (c->state == CONN_OPEN && len > 0)
        conn_hold(c, data, len);
    if (!is_websocket(c))
        return;
    conn_set_partial(c, ws_parser_held_bytes(&c->ws) + c->in.len);
    /* Compressed messages, with which one fills memory at little cost, leave half to the others. */
    size_t partial_max = c->ws.inflater ? CONN_PARTIAL_MAX / 2 : CONN_PARTIAL_MAX;
    if (c->conns->partial_bytes > partial_max)
        conn_fail(c, WS_CLOSE_TRY_LATER, "the server is out of memory for incomplete messages");
    else if (!ws_parser_is_midway(&c->ws))
        c->message_ms = 0;
    else if (c->message_ms == 0)
        c->message_ms = mono_now_ms();
}

void conn_accept(struct conn *c, const char *accept, const char *subprotocol,
                 const struct conn_owner *owner, void *ctx)
{
    const struct conns_setup *setup = c->conns->setup;
    struct ws_limits limits = {.message_bytes = setup->message_max,
                               .fragments = setup->limits->fragments};

    ws_parser_init(&c->ws, &limits, c->extensions ? c->conns->deflate : NULL);
    c->owner = owner;
    c->owner_ctx = ctx;
    conn_push_new(c, http_switch_head(accept, subprotocol, c->extensions));
    conn_set_state(c, CONN_OPEN);
}
