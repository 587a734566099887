#include "gateway/routes.h"

#include "common/buffer.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/names.h"
#include "gateway/hocuspocus.h"
#include "gateway/reply.h"
#include "gateway/revoke.h"
#include "gateway/session.h"
#include "gateway/ysweet.h"
#include "proto/refusal.h"

#include <errno.h>

#define CAN(verb)  (1u << HTTP_VERB_##verb)
#define READS      (CAN(GET) | CAN(HEAD))
#define MESSAGE    SIZE_MAX /* a body_max: as large as a message may be */
#define ORIGIN_MAX 255u

/* A path is `prefix` alone, or `prefix` NAME `suffix`. */
struct route {
    const char *prefix;
    const char *suffix; /* NULL: none, and no name */
    const char *infix;  /* something that NAME must hold, or NULL */
    unsigned verbs;     /* bits, by enum http_verb */
    size_t body_max;    /* bytes of a request's body */
    void (*handle)(const struct routes *r, struct conn *c, const struct http_request *req,
                   struct slice name);
    const struct dialect *dialect; /* instead: a WebSocket to the room of that name */
};

/* ---- figures ---- */

static void answer_health(const struct routes *r, struct conn *c, const struct http_request *req,
                          struct slice name)
{
    (void)r;
    (void)name;
    reply_text(c, req, 200, "Cache-Control: no-store\r\n", "ok");
}

static void answer_metrics(const struct routes *r, struct conn *c, const struct http_request *req,
                           struct slice name)
{
    struct buffer text = {0};

    (void)req;
    (void)name;
    metrics_print(r->metrics_dir, wall_now_ms(), &text);
    reply_bytes(c, 200, METRICS_TYPE, buffer_slice(&text));
    buffer_done(&text);
}

/* ---- WebSockets ---- */

ssize_t routes_room_name(struct slice encoded, uint8_t *out)
{
    ssize_t len = http_percent_decode(encoded, out);

    if (len < 0 || !name_is_valid(slice_of(out, (size_t)len)))
        return -EBADMSG;
    return len;
}

/* Is the client let into the room? Then `*ret` is filled, its principal a new reference; otherwise
 * it was answered. */
static bool admit(const struct routes *r, struct conn *c, const struct http_request *req,
                  struct slice room, struct admission *ret)
{
    struct principal *principal = NULL;

    uint32_t refusal = auth_origin_is_allowed(r->auth, req)
                           ? auth_request(r->auth, req, false, &principal)
                           : REFUSAL_FORBIDDEN;
    enum access access = refusal == 0 ? auth_access(r->auth, principal, room) : ACCESS_NONE;
    if (refusal == 0 && access == ACCESS_NONE)
        refusal = REFUSAL_FORBIDDEN;
    if (refusal != 0) {
        principal_unref(principal);
        reply_refusal(c, req, refusal);
        return false;
    }
    *ret = (struct admission){.principal = principal, .access = access, .room = room};
    return true;
}

static void answer_websocket(const struct routes *r, struct conn *c, const struct http_request *req,
                             const struct dialect *dialect, struct slice encoded_room)
{
    char accept[HTTP_ACCEPT_LEN + 1];
    struct session_params params = {0};
    struct admission admission;
    uint8_t room[HTTP_HEAD_MAX]; /* no path is longer */

    unsigned status = http_check_websocket(req, accept);
    ssize_t room_len = routes_room_name(encoded_room, room);
    if (status == 101 && room_len < 0) {
        reply_refusal(c, req, REFUSAL_BAD_NAME);
        return;
    }
    if (status == 101 && dialect->read_query) {
        unsigned refused = dialect->read_query(req->query, &params);
        status = refused ? refused : status;
    }
    if (status != 101) {
        reply_status(c, req, status, "GET");
    } else if (admit(r, c, req, slice_of(room, (size_t)room_len), &admission)) {
        dialect = params.dialect ? params.dialect : dialect;
        bool is_offered =
            dialect->subprotocol && http_offers_subprotocol(req, dialect->subprotocol);
        session_start(r->links, c, accept, is_offered ? dialect->subprotocol : NULL, dialect,
                      &admission, &params);
        principal_unref(admission.principal);
    }
    blob_unref(params.since);
}

/* ---- the table ---- */

static const struct route routes[] = {
    {.prefix = "/healthz", .verbs = READS, .handle = answer_health},
    {.prefix = "/metrics", .verbs = READS, .handle = answer_metrics},
    {.prefix = "/doc/new", .verbs = CAN(POST), .body_max = YSWEET_BODY_MAX, .handle = ysweet_new},
    {.prefix = "/doc/",
     .suffix = "/auth",
     .verbs = CAN(POST),
     .body_max = YSWEET_BODY_MAX,
     .handle = ysweet_auth},
    {.prefix = "/d/", .suffix = "/as-update", .verbs = READS, .handle = ysweet_read},
    {.prefix = "/d/",
     .suffix = "/update",
     .verbs = CAN(POST),
     .body_max = MESSAGE,
     .handle = ysweet_update},
    {.prefix = "/d/", .suffix = "/ws", .verbs = READS, .handle = ysweet_socket},
    {.prefix = "/d/", .suffix = "", .infix = "/ws/", .verbs = READS, .handle = ysweet_socket},
    {.prefix = "/hocuspocus", .verbs = READS, .handle = hocuspocus_start},
    {.prefix = "/yjs/", .suffix = "", .verbs = READS, .dialect = &dialect_yjs},
    {.prefix = "/parties/main/", .suffix = "", .verbs = READS, .dialect = &dialect_partykit},
    {.prefix = "/parties/",
     .suffix = "",
     .infix = "/",
     .verbs = READS,
     .dialect = &dialect_partykit},
    {.prefix = "/rooms/", .suffix = "/ws", .verbs = READS, .dialect = &dialect_json},
    {.prefix = "/rooms/",
     .suffix = "/revoke",
     .verbs = CAN(POST),
     .body_max = REVOKE_BODY_MAX,
     .handle = revoke_handle},
};

/* Does the path fit? `*ret_name` is what stands for NAME. */
static bool route_matches(const struct route *route, struct slice path, struct slice *ret_name)
{
    size_t prefix = strlen(route->prefix);
    size_t suffix = route->suffix ? strlen(route->suffix) : 0;

    if (!route->suffix)
        return slice_equal(path, slice_str(route->prefix));
    if (path.len < prefix + suffix || memcmp(path.data, route->prefix, prefix) != 0 ||
        memcmp(path.data + path.len - suffix, route->suffix, suffix) != 0)
        return false;
    struct slice name = slice_of(path.data + prefix, path.len - prefix - suffix);
    if (route->infix && !memmem(name.data, name.len, route->infix, strlen(route->infix)))
        return false;
    *ret_name = name;
    return true;
}

/* The route for a request. NULL without one: then `*ret_verbs` are those that the path has. */
static const struct route *find_route(const struct http_request *req, struct slice *ret_name,
                                      unsigned *ret_verbs)
{
    *ret_verbs = 0;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (!route_matches(&routes[i], req->path, ret_name))
            continue;
        if (routes[i].verbs & 1u << req->verb)
            return &routes[i];
        *ret_verbs |= routes[i].verbs;
    }
    return NULL;
}

/* For the header Allow. */
static const char *verbs_text(unsigned verbs)
{
    bool can_read = verbs & CAN(GET);
    bool can_post = verbs & CAN(POST);

    return can_read && can_post ? "GET, HEAD, POST" : can_post ? "POST" : "GET, HEAD";
}

/* ---- pages of other origins ---- */

static bool origin_is_plain(struct slice origin)
{
    for (size_t i = 0; i < origin.len; i++)
        if (origin.data[i] <= ' ' || origin.data[i] > '~')
            return false;
    return origin.len > 0 && origin.len <= ORIGIN_MAX;
}

/* Lets scripts of an allowed origin see the answer, whoever gives it (Fetch standard, section 3.2).
 * Without credentials: cookies mean nothing here. False if there is no such origin. */
static bool allow_origin(const struct routes *r, struct conn *c, const struct http_request *req)
{
    struct slice origin = http_header(req, "origin");

    if (!origin_is_plain(origin) || !auth_origin_is_allowed(r->auth, req))
        return false;
    char *lines CLEANUP_FREE = xasprintf("Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n",
                                         (int)origin.len, (const char *)origin.data);
    conn_set_headers(c, lines);
    return true;
}

/* What a browser asks before it lets a script make a request. `verbs` are those of the path. */
static void answer_preflight(const struct routes *r, struct conn *c, const struct http_request *req,
                             unsigned verbs)
{
    char *extra CLEANUP_FREE = NULL;

    if (allow_origin(r, c, req))
        extra = xasprintf("Access-Control-Allow-Methods: %s\r\n"
                          "Access-Control-Allow-Headers: Authorization, Content-Type\r\n"
                          "Access-Control-Max-Age: 600\r\n",
                          verbs_text(verbs));
    else
        extra = xasprintf("Allow: %s\r\n", verbs_text(verbs));
    conn_answer(c, &(struct http_answer){.status = 204, .extra = extra}, NULL);
}

/* ---- requests ---- */

static unsigned on_head(void *ctx, struct conn *c, const struct http_request *req, size_t *ret_max)
{
    const struct routes *r = ctx;
    struct slice name;
    unsigned verbs;
    const struct route *route = find_route(req, &name, &verbs);

    if (route)
        (void)allow_origin(r, c, req);
    if (!route || route->body_max == 0)
        return req->verb == HTTP_VERB_GET || req->verb == HTTP_VERB_HEAD ? 400 : 405;
    *ret_max = route->body_max < r->message_max ? route->body_max : r->message_max;
    return 0;
}

static void on_request(void *ctx, struct conn *c, const struct http_request *req)
{
    const struct routes *r = ctx;
    struct slice name;
    unsigned verbs;
    const struct route *route = find_route(req, &name, &verbs);
    bool is_page = !route && verbs == 0 && !http_wants_websocket(req) &&
                   (req->verb == HTTP_VERB_GET || req->verb == HTTP_VERB_HEAD);
    const struct page *page = is_page ? pages_find(r->pages, req->path) : NULL;

    if (route)
        (void)allow_origin(r, c, req);
    if (route && route->dialect)
        answer_websocket(r, c, req, route->dialect, name);
    else if (route)
        route->handle(r, c, req, name);
    else if (page)
        page_answer(page, c, req);
    else if (req->verb == HTTP_VERB_OPTIONS && verbs != 0)
        answer_preflight(r, c, req, verbs);
    else if (verbs != 0 || (req->verb != HTTP_VERB_GET && req->verb != HTTP_VERB_HEAD))
        reply_status(c, req, 405, verbs_text(verbs));
    else
        reply_status(c, req, 404, NULL);
}

const struct conn_handler routes_handler = {.on_head = on_head, .on_request = on_request};
