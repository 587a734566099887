/* Requests and their answers. */
#include "gateway/conn_internal.h"

#include "common/metrics.h"
#include "gateway/deflate.h"
#include "gateway/forwarded.h"

#include <assert.h>
#include <errno.h>

#define ANSWERS_MAX (1u << 20) /* queued bytes of answers above which no more requests are read */

static uint32_t head_ms(const struct conn *c)
{
    return c->conns->setup->limits->head_ms;
}

void conn_finish(struct conn *c, bool is_late)
{
    /* Between two requests the time is that of a pause, longer than that of a head. */
    bool is_between = c->in.len == 0 && c->deadline_ms > mono_now_ms() + head_ms(c);

    if (c->state == CONN_HTTP && (is_between || is_late))
        conn_drain(c);
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
        conn_set_state(c, CONN_HTTP);
    }
    conn_push_new(c, answer_head(c, answer, is_kept));
    if (content && content->len > 0 && !c->is_head) {
        c->large_bytes += content->counter ? content->len : 0;
        conn_push(c, content);
    }
    if (is_kept)
        c->deadline_ms = mono_now_ms() + CONN_IDLE_MS;
    else
        conn_drain(c);
}

void conn_defer(struct conn *c, const struct conn_owner *owner, void *ctx)
{
    c->owner = owner;
    c->owner_ctx = ctx;
    conn_set_state(c, CONN_WAITING);
}

/* Answers without the handler; the connection ends with it. */
void conn_refuse_because(struct conn *c, unsigned status, const char *why)
{
    struct buffer text = {0};

    c->is_kept = c->is_head = false;
    buffer_printf(&text, "%s\n", why);
    struct blob *content = blob_copy(buffer_slice(&text));
    conn_answer(c, &(struct http_answer){.status = status, .length = content->len}, content);
    blob_unref(content);
    buffer_done(&text);
}

void conn_refuse(struct conn *c, unsigned status)
{
    conn_refuse_because(c, status, http_phrase(status));
}

/* A proxy may send the requests of many clients on one connection. */
static void note_client(struct conn *c, const struct http_request *req)
{
    const struct stream_setup *setup = c->conns->setup->stream;
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

    const struct conns_setup *setup = c->conns->setup;
    unsigned status = setup->handler->on_head(setup->ctx, c, req, &max);
    if (status == 0 && req->is_chunked)
        status = 411;
    if (status == 0 && req->body_len > max)
        status = 413;
    if (status != 0)
        return status;
    c->in_need = head_len + (size_t)req->body_len;
    c->deadline_ms = mono_now_ms() + CONN_MESSAGE_MS + req->body_len / CONN_MESSAGE_RATE * 1000;
    if (req->expects_continue && c->in.len < c->in_need)
        conn_push_new(c, blob_copy(slice_str("HTTP/1.1 100 Continue\r\n\r\n")));
    return 0;
}

/* The body is not whole yet. */
static void wait_for_body(struct conn *c)
{
    conn_set_partial(c, c->in.len);
    if (c->conns->partial_bytes > CONN_PARTIAL_MAX)
        conn_refuse(c, 503);
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
    const struct conns_setup *setup = c->conns->setup;
    struct http_request req = {0};
    unsigned status =
        len > 0 ? http_parse(slice_of(c->in.data, (size_t)len), &req) : (len == -E2BIG ? 431 : 400);

    if (status == 0 && req.has_body && c->in_need == 0)
        status = begin_body(c, &req, (size_t)len);
    if (status == 0 && c->in.len < c->in_need) {
        wait_for_body(c);
        return false;
    }
    conn_set_partial(c, 0);
    if (status == 0)
        note_client(c, &req);
    if (status == 0 && c->conns->deflate)
        c->extensions = deflate_negotiate(&req);
    c->is_kept = req.is_keep_alive;
    c->is_head = req.verb == HTTP_VERB_HEAD;
    if (status == 0) {
        req.body = slice_of(c->in.data + len, (size_t)req.body_len);
        c->has_asked = true;
        setup->handler->on_request(setup->ctx, c, &req);
        buffer_consume(&c->in, (size_t)len + (size_t)req.body_len);
    } else {
        conn_refuse(c, status);
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
    ssize_t len = http_head_len(buffer_slice(&c->in), c->conns->setup->limits->head_bytes,
                                c->in_need > 0 ? &scanned : &c->in_scanned);
    metric_add(METRIC_LIMITED_HEAD_BYTES, len == -E2BIG);
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

void conn_handle_requests(struct conn *c)
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
            c->deadline_ms > mono_now_ms() + head_ms(c))
            c->deadline_ms = mono_now_ms() + head_ms(c);
        return;
    }
    /* What came behind the request that became a WebSocket are its first frames. */
    struct buffer rest = c->in;
    c->in = (struct buffer){0};
    if (c->state == CONN_OPEN && rest.len > 0)
        conn_handle_frames(c, rest.data, rest.len);
    buffer_done(&rest);
}

void conn_read_more_requests(struct conn *c)
{
    if (!c->is_paused)
        return;
    set_reading(c, true);
    conn_handle_requests(c);
}
