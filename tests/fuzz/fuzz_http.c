/* What a client sends before it is let in: the request's head, however its bytes arrive, and what
 * is decoded of its target and its headers. The first byte of an input is the size of the pieces.
 */
#include "fuzz.h"

#include "crdt/lib0.h"
#include "gateway/base64.h"
#include "gateway/deflate.h"
#include "gateway/dialect.h"
#include "gateway/http.h"
#include "gateway/routes.h"

#define HEAD_MAX 8192u

/* The length of the head, 0 or -errno, when it comes in pieces of `step` bytes. */
static ssize_t collect_head(struct slice input, size_t step)
{
    size_t scanned = 0, len = 0;
    ssize_t found;

    do {
        len = step < input.len - len ? len + step : input.len;
        struct crdt_slice rest = {input.data, len}, copy;
        take_copy(&rest, len, &copy);
        found = http_head_len(slice_of(copy.data, copy.len), HEAD_MAX, &scanned);
        CHECK(scanned <= len);
        free_slice(&copy);
    } while (found == 0 && len < input.len);
    return found;
}

static bool lies_in(struct slice part, struct slice whole)
{
    return part.data >= whole.data && part.data + part.len <= whole.data + whole.len;
}

/* Percent-decoded, and what is left of it as base64: both into buffers of exactly what they may
 * need. */
static void decode(struct slice encoded)
{
    uint8_t *out = malloc(encoded.len ? encoded.len : 1);
    CHECK(out);
    ssize_t len = http_percent_decode(encoded, out);
    CHECK(len == -EBADMSG || (len >= 0 && (size_t)len <= encoded.len));
    if (len >= 0) {
        size_t most = base64_decoded_max((size_t)len);
        uint8_t *bytes = malloc(most);
        CHECK(bytes);
        ssize_t count = base64_decode(slice_of(out, (size_t)len), bytes);
        CHECK(count == -EBADMSG || (count >= 0 && (size_t)count <= most));
        free(bytes);
    }
    free(out);
}

static void name_room(struct slice encoded)
{
    uint8_t *name = malloc(encoded.len ? encoded.len : 1);
    CHECK(name);
    ssize_t len = routes_room_name(encoded, name);
    CHECK(len == -EBADMSG || (len >= 1 && len <= 255));
    CHECK(len < 0 || (lib0_utf8_is_valid(name, (size_t)len) && !memchr(name, 0, (size_t)len)));
    free(name);
}

/* The query is copied, so that reading beyond it is found. */
static void read_query(struct slice query)
{
    static const struct dialect *const dialects[] = {&dialect_json, &dialect_yjs};
    struct crdt_slice rest = {query.data, query.len}, copy;
    take_copy(&rest, query.len, &copy);
    struct slice own = slice_of(copy.data, copy.len);
    struct slice since = http_query_value(own, "since");
    CHECK(!since.data || lies_in(since, own));
    decode(since);
    for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
        struct session_params params = {0};
        unsigned status = dialects[i]->read_query ? dialects[i]->read_query(own, &params) : 0;
        CHECK(status == 0 || (status == 400 && !params.since));
        CHECK(!params.since || (params.since->len > 0 && params.since->len <= own.len));
        blob_unref(params.since);
    }
    free_slice(&copy);
}

/* The path from each of its slashes on: the routes cut it there, and elsewhere. */
static void read_path(struct slice path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.data[i] == '/')
            name_room(slice_of(path.data + i + 1, path.len - i - 1));
    }
    name_room(path);
}

static void read_headers(const struct http_request *req, struct slice head)
{
    char accept[HTTP_ACCEPT_LEN + 1];
    CHECK(req->header_count <= HTTP_HEADERS_MAX);
    for (size_t i = 0; i < req->header_count; i++) {
        CHECK(req->headers[i].name.len > 0 && lies_in(req->headers[i].name, head));
        CHECK(req->headers[i].value.len == 0 || lies_in(req->headers[i].value, head));
    }
    unsigned status = http_check_websocket(req, accept);
    CHECK(status == 101 || status == 400 || status == 405 || status == 426);
    CHECK(status != 101 || strlen(accept) == HTTP_ACCEPT_LEN);
    CHECK(status != 101 || http_wants_websocket(req));
    (void)http_header_has_token(req, "sec-websocket-protocol", "concord.v1");
    CHECK(!deflate_negotiate(req) || http_header_count(req, "sec-websocket-extensions") > 0);
    (void)http_host_is_plain(http_header(req, "host"));
}

static void parse_head(struct slice head)
{
    struct http_request req;
    struct crdt_slice rest = {head.data, head.len}, copy;
    take_copy(&rest, head.len, &copy);
    struct slice own = slice_of(copy.data, copy.len);
    unsigned status = http_parse(own, &req);
    CHECK(status == 0 || status == 400 || status == 431 || status == 501 || status == 505);
    if (status == 0) {
        CHECK(req.path.len > 0 && req.path.data[0] == '/');
        CHECK(req.query.len == 0 || lies_in(req.query, own));
        read_headers(&req, own);
        read_path(req.path);
        read_query(req.query);
    }
    free_slice(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size};
    size_t step = 1 + (size_t)take_byte(&rest);
    struct slice input = slice_of(rest.data, rest.len);
    ssize_t at_once = collect_head(input, input.len + 1);
    CHECK(collect_head(input, step) == at_once);
    CHECK(at_once == -EBADMSG || at_once == -E2BIG || at_once >= 0);
    CHECK(at_once <= (ssize_t)HEAD_MAX && at_once <= (ssize_t)input.len);
    /* The parser is given whole heads only; it must stand others all the same. */
    parse_head(at_once > 0 ? slice_of(input.data, (size_t)at_once) : input);
    return 0;
}
