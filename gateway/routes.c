#include "gateway/routes.h"

#include "common/buffer.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/names.h"
#include "gateway/session.h"
#include "proto/refusal.h"

#include <errno.h>

#define HOST_MAX 255u

/* A path is `prefix` alone, or for a room `prefix` NAME `suffix`. */
struct route {
    const char *prefix;
    const char *suffix;
    const struct dialect *dialect; /* a WebSocket to a room */
    void (*answer)(const struct routes *r, struct conn *c, const struct http_request *req);
};

static void answer_text(struct conn *c, const struct http_request *req, unsigned status,
                        const char *extra, const char *text)
{
    struct buffer b = {0};

    buffer_printf(&b, "%s\n", text);
    struct blob *content = blob_copy(buffer_slice(&b));
    struct http_answer answer = {
        .status = status,
        .extra = extra,
        .length = content->len,
        .is_last = http_wants_websocket(req), /* it has no use for anything but the WebSocket */
    };
    conn_answer(c, &answer, content);
    blob_unref(content);
    buffer_done(&b);
}

static void answer_status(struct conn *c, const struct http_request *req, unsigned status)
{
    const char *extra = status == 405   ? "Allow: GET, HEAD\r\n"
                        : status == 426 ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                        : NULL;

    answer_text(c, req, status, extra, http_phrase(status));
}

static void answer_health(const struct routes *r, struct conn *c, const struct http_request *req)
{
    (void)r;
    answer_text(c, req, 200, "Cache-Control: no-store\r\n", "ok");
}

static void answer_metrics(const struct routes *r, struct conn *c, const struct http_request *req)
{
    struct buffer text = {0};

    (void)req;
    metrics_print(r->metrics_dir, wall_now_ms(), &text);
    struct blob *content = blob_copy(buffer_slice(&text));
    struct http_answer answer = {
        .status = 200,
        .type = METRICS_TYPE,
        .extra = "Cache-Control: no-store\r\n",
        .length = content->len,
    };
    conn_answer(c, &answer, content);
    blob_unref(content);
    buffer_done(&text);
}

static const struct route routes[] = {
    {.prefix = "/healthz", .answer = answer_health},
    {.prefix = "/metrics", .answer = answer_metrics},
    {.prefix = "/yjs/", .suffix = "", .dialect = &dialect_yjs},
    {.prefix = "/rooms/", .suffix = "/ws", .dialect = &dialect_json},
};

/* Does the path fit? `*ret_room` is what stands for NAME. */
static bool route_matches(const struct route *route, struct slice path, struct slice *ret_room)
{
    size_t prefix = strlen(route->prefix);
    size_t suffix = route->suffix ? strlen(route->suffix) : 0;

    if (!route->suffix)
        return slice_equal(path, slice_str(route->prefix));
    if (path.len < prefix + suffix || memcmp(path.data, route->prefix, prefix) != 0 ||
        memcmp(path.data + path.len - suffix, route->suffix, suffix) != 0)
        return false;
    *ret_room = slice_of(path.data + prefix, path.len - prefix - suffix);
    return true;
}

/* ---- pages ---- */

/* Is it a host as browsers send it, with nothing that could leave its place in a header? */
static bool host_is_plain(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.data[i];
        bool is_alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!is_alnum && (c == 0 || !strchr(".-_:[]", c)))
            return false;
    }
    return host.len > 0 && host.len <= HOST_MAX;
}

static void append_page_headers(struct buffer *b, const struct page *page,
                                const struct http_request *req)
{
    struct slice host = http_header(req, "host");

    buffer_printf(b, "ETag: %s\r\nCache-Control: no-cache\r\nReferrer-Policy: no-referrer\r\n",
                  page->etag);
    /* CodeMirror styles its parts with style elements. Not every browser takes 'self' to cover the
     * WebSockets of the same host. */
    buffer_append_str(b, "Content-Security-Policy: default-src 'self'; "
                         "style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
                         "object-src 'none'; base-uri 'none'; frame-ancestors 'self'; "
                         "connect-src 'self'");
    if (host_is_plain(host))
        buffer_printf(b, " ws://%.*s wss://%.*s", (int)host.len, (const char *)host.data,
                      (int)host.len, (const char *)host.data);
    buffer_append_str(b, "\r\n");
}

static bool client_has_page(const struct http_request *req, const struct page *page)
{
    return http_header_has_token(req, "if-none-match", page->etag) ||
           http_header_has_token(req, "if-none-match", "*");
}

static void answer_page(struct conn *c, const struct http_request *req, const struct page *page)
{
    struct buffer extra = {0};
    bool is_known = client_has_page(req, page);

    append_page_headers(&extra, page, req);
    buffer_append(&extra, "", 1);
    struct http_answer answer = {
        .status = is_known ? 304 : 200,
        .type = page->type,
        .extra = (const char *)extra.data,
        .length = page->content->len,
    };
    conn_answer(c, &answer, is_known ? NULL : page->content);
    buffer_done(&extra);
}

/* ---- WebSockets ---- */

ssize_t routes_room_name(struct slice encoded, uint8_t *out)
{
    ssize_t len = http_percent_decode(encoded, out);

    if (len < 0 || !name_is_valid(slice_of(out, (size_t)len)))
        return -EBADMSG;
    return len;
}

static void answer_websocket(const struct routes *r, struct conn *c, const struct http_request *req,
                             const struct dialect *dialect, struct slice encoded_room)
{
    char accept[HTTP_ACCEPT_LEN + 1];
    struct session_params params = {0};
    uint8_t room[HTTP_HEAD_MAX]; /* no path is longer */

    unsigned status = http_check_websocket(req, accept);
    ssize_t room_len = routes_room_name(encoded_room, room);
    if (status == 101 && room_len < 0) {
        answer_text(c, req, 400, NULL, refusal_info(REFUSAL_BAD_NAME)->text);
        return;
    }
    if (status == 101 && dialect->read_query) {
        unsigned refused = dialect->read_query(req->query, &params);
        status = refused ? refused : status;
    }
    if (status != 101) {
        answer_status(c, req, status);
        return;
    }
    bool is_offered = dialect->subprotocol &&
                      http_header_has_token(req, "sec-websocket-protocol", dialect->subprotocol);
    struct admission admission = {.tenant = slice_str("default"),
                                  .room = slice_of(room, (size_t)room_len)};
    session_start(r->links, c, accept, is_offered ? dialect->subprotocol : NULL, dialect,
                  &admission, &params);
    blob_unref(params.since);
}

static unsigned on_head(void *ctx, struct conn *c, const struct http_request *req, size_t *ret_max)
{
    (void)ctx;
    (void)c;
    (void)ret_max;
    return req->verb == HTTP_VERB_GET || req->verb == HTTP_VERB_HEAD ? 400 : 405;
}

static void on_request(void *ctx, struct conn *c, const struct http_request *req)
{
    const struct routes *r = ctx;
    struct slice room;

    if (req->verb != HTTP_VERB_GET && req->verb != HTTP_VERB_HEAD) {
        answer_status(c, req, 405);
        return;
    }
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (!route_matches(&routes[i], req->path, &room))
            continue;
        if (routes[i].dialect)
            answer_websocket(r, c, req, routes[i].dialect, room);
        else
            routes[i].answer(r, c, req);
        return;
    }
    const struct page *page = http_wants_websocket(req) ? NULL : pages_find(r->pages, req->path);
    if (page)
        answer_page(c, req, page);
    else
        answer_status(c, req, 404);
}

const struct conn_handler routes_handler = {.on_head = on_head, .on_request = on_request};
