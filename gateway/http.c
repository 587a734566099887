#include "gateway/http.h"

#include "common/buffer.h"
#include "gateway/base64.h"

#include <errno.h>
#include <http_parser.h>
#include <openssl/sha.h>
#include <strings.h>
#include <time.h>

#define WS_GUID    "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, section 1.3 */
#define WS_KEY_LEN 24u                                    /* 16 bytes in base64 */
#define WS_VERSION "13"

/* ---- the head's extent ---- */

/* Octets that may stand in a head: visible ASCII, space, tab, CR, LF and, in values, 0x80-0xff. */
static bool octet_is_allowed(uint8_t c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t' || c == '\r' || c == '\n';
}

static bool octet_fits(const uint8_t *data, size_t i)
{
    uint8_t c = data[i];
    uint8_t before = i > 0 ? data[i - 1] : 0;

    if (!octet_is_allowed(c) || (before == '\r') != (c == '\n'))
        return false;
    /* A line that begins with white space would continue the one before it (obs-fold). */
    return !((c == ' ' || c == '\t') && (i == 0 || before == '\n'));
}

ssize_t http_head_len(struct slice bytes, size_t max, size_t *scanned)
{
    const uint8_t *data = bytes.data;
    size_t end = bytes.len < max ? bytes.len : max;

    for (; *scanned < end; (*scanned)++) {
        size_t i = *scanned;
        if (!octet_fits(data, i))
            return -EBADMSG;
        if (i >= 3 && data[i] == '\n' && data[i - 2] == '\n')
            return (ssize_t)i + 1;
    }
    return end == max ? -E2BIG : 0;
}

/* ---- parsing ---- */

struct parse {
    struct http_request *req;
    struct slice url;
    bool is_over;
};

static void extend(struct slice *s, const char *at, size_t len)
{
    if (s->data)
        s->len += len;
    else
        *s = slice_of(at, len);
}

static int on_url(http_parser *parser, const char *at, size_t len)
{
    struct parse *p = parser->data;

    extend(&p->url, at, len);
    return 0;
}

static int on_header_field(http_parser *parser, const char *at, size_t len)
{
    struct parse *p = parser->data;
    struct http_request *req = p->req;

    /* A value has come since: this is another header, not the rest of a name. */
    if (req->header_count == 0 || req->headers[req->header_count - 1].value.data) {
        if (req->header_count == HTTP_HEADERS_MAX) {
            p->is_over = true;
            return 1;
        }
        req->headers[req->header_count++] = (struct http_header){0};
    }
    extend(&req->headers[req->header_count - 1].name, at, len);
    return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
    struct parse *p = parser->data;

    if (p->req->header_count == 0)
        return 1;
    extend(&p->req->headers[p->req->header_count - 1].value, at, len);
    return 0;
}

static int on_headers_complete(http_parser *parser)
{
    (void)parser;
    return 2; /* no body: what follows the head is the caller's */
}

bool http_octet_is_token(uint8_t c)
{
    bool is_alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');

    return is_alnum || (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!http_octet_is_token(s.data[i]))
            return false;
    return s.len > 0;
}

/* Three words with one space between them, and no other (RFC 9112, section 3). */
static bool request_line_is_sound(struct slice head)
{
    const uint8_t *eol = memchr(head.data, '\r', head.len);
    size_t len = eol ? (size_t)(eol - head.data) : head.len;
    size_t spaces = 0;

    for (size_t i = 0; i < len; i++) {
        if (head.data[i] == '\t')
            return false;
        if (head.data[i] != ' ')
            continue;
        spaces++;
        if (i == 0 || i + 1 == len || head.data[i + 1] == ' ')
            return false;
    }
    return spaces == 2;
}

static bool has_version_at_line_end(struct slice head)
{
    const uint8_t *eol = memchr(head.data, '\r', head.len);
    size_t len = eol ? (size_t)(eol - head.data) : 0;

    return len > 9 && memcmp(eol - 9, " HTTP/", 6) == 0;
}

static bool split_target(struct slice url, struct http_request *req)
{
    struct http_parser_url u;

    http_parser_url_init(&u);
    if (http_parser_parse_url((const char *)url.data, url.len, 0, &u) != 0 ||
        u.field_set & (1u << UF_FRAGMENT | 1u << UF_USERINFO))
        return false;
    req->path = u.field_set & (1u << UF_PATH)
                    ? slice_of(url.data + u.field_data[UF_PATH].off, u.field_data[UF_PATH].len)
                    : slice_str("/");
    if (u.field_set & (1u << UF_QUERY))
        req->query = slice_of(url.data + u.field_data[UF_QUERY].off, u.field_data[UF_QUERY].len);
    return req->path.data[0] == '/';
}

static bool headers_are_sound(struct http_request *req)
{
    for (size_t i = 0; i < req->header_count; i++) {
        if (!is_token(req->headers[i].name))
            return false;
        req->headers[i].value = slice_trim(req->headers[i].value);
    }
    size_t hosts = http_header_count(req, "host");
    if (hosts > 1 || (hosts == 0 && !req->is_http_10))
        return false;
    req->is_chunked = http_header_count(req, "transfer-encoding") > 0;
    req->has_body = req->is_chunked || req->body_len > 0;
    req->expects_continue =
        !req->is_http_10 && http_header_has_token(req, "expect", "100-continue");
    return true;
}

static enum http_verb verb_of(const http_parser *parser)
{
    switch (parser->method) {
    case HTTP_GET:
        return HTTP_VERB_GET;
    case HTTP_HEAD:
        return HTTP_VERB_HEAD;
    case HTTP_POST:
        return HTTP_VERB_POST;
    case HTTP_PUT:
        return HTTP_VERB_PUT;
    case HTTP_PATCH:
        return HTTP_VERB_PATCH;
    case HTTP_OPTIONS:
        return HTTP_VERB_OPTIONS;
    default:
        return HTTP_VERB_OTHER;
    }
}

/* 0 without one. The parser has refused a length that is no number, or stands twice. */
static uint64_t body_len_of(const http_parser *parser)
{
    return parser->content_length == UINT64_MAX ? 0 : parser->content_length;
}

unsigned http_parse(struct slice head, struct http_request *ret)
{
    static const http_parser_settings settings = {
        .on_url = on_url,
        .on_header_field = on_header_field,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
    };
    struct parse p = {.req = ret};
    http_parser parser;

    *ret = (struct http_request){0};
    if (!request_line_is_sound(head))
        return 400;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &p;
    parser.lenient_http_headers = 0;
    size_t taken = http_parser_execute(&parser, &settings, (const char *)head.data, head.len);
    if (p.is_over)
        return 431;
    if (parser.http_errno == HPE_INVALID_METHOD && has_version_at_line_end(head))
        return 501;
    if (parser.http_errno == HPE_INVALID_VERSION)
        return 505;
    if (parser.http_errno != HPE_OK || taken != head.len || !p.url.data)
        return 400;
    if (parser.http_major != 1 || parser.http_minor > 1)
        return 505;
    ret->verb = verb_of(&parser);
    ret->is_http_10 = parser.http_minor == 0;
    ret->is_keep_alive = http_should_keep_alive(&parser) != 0;
    ret->body_len = body_len_of(&parser);
    /* "OPTIONS *" and "CONNECT host:port" have no path: they get the answer of a foreign method. */
    if (ret->verb == HTTP_VERB_OTHER || slice_equal(p.url, slice_str("*")))
        ret->path = slice_str("/");
    else if (!split_target(p.url, ret))
        return 400;
    return headers_are_sound(ret) ? 0 : 400;
}

/* ---- headers ---- */

static bool equals_ignoring_case(struct slice s, const char *text)
{
    return s.len == strlen(text) && strncasecmp((const char *)s.data, text, s.len) == 0;
}

bool http_header_is(const struct http_header *header, const char *name)
{
    return equals_ignoring_case(header->name, name);
}

struct slice http_header(const struct http_request *req, const char *name)
{
    for (size_t i = 0; i < req->header_count; i++)
        if (equals_ignoring_case(req->headers[i].name, name))
            return req->headers[i].value;
    return slice_of(NULL, 0);
}

size_t http_header_count(const struct http_request *req, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < req->header_count; i++)
        count += equals_ignoring_case(req->headers[i].name, name);
    return count;
}

static bool equals(struct slice s, const char *text)
{
    return slice_equal(s, slice_str(text));
}

/* The items of a comma-separated list, one a call; `*pos` is 0 at first. */
static bool next_item(struct slice list, size_t *pos, struct slice *ret)
{
    if (*pos > list.len)
        return false;
    const uint8_t *comma = *pos < list.len ? memchr(list.data + *pos, ',', list.len - *pos) : NULL;
    size_t end = comma ? (size_t)(comma - list.data) : list.len;
    *ret = slice_trim(slice_of(list.data + *pos, end - *pos));
    *pos = end + 1;
    return true;
}

static bool list_has(struct slice list, const char *token,
                     bool (*is_same)(struct slice s, const char *text))
{
    struct slice item;

    for (size_t pos = 0; next_item(list, &pos, &item);)
        if (is_same(item, token))
            return true;
    return false;
}

bool http_header_has_token(const struct http_request *req, const char *name, const char *token)
{
    for (size_t i = 0; i < req->header_count; i++)
        if (http_header_is(&req->headers[i], name) &&
            list_has(req->headers[i].value, token, equals_ignoring_case))
            return true;
    return false;
}

bool http_host_is_plain(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.data[i];
        bool is_alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!is_alnum && (c == 0 || !strchr(".-_:[]", c)))
            return false;
    }
    return host.len > 0 && host.len <= HTTP_HOST_MAX;
}

/* ---- WebSocket handshake ---- */

bool http_offers_subprotocol(const struct http_request *req, const char *subprotocol)
{
    for (size_t i = 0; i < req->header_count; i++)
        if (http_header_is(&req->headers[i], "sec-websocket-protocol") &&
            list_has(req->headers[i].value, subprotocol, equals))
            return true;
    return false;
}

unsigned http_find_subprotocols(const struct http_request *req, const char *prefix,
                                struct slice *ret_rest)
{
    size_t len = strlen(prefix);
    unsigned count = 0;
    struct slice item;

    for (size_t i = 0; i < req->header_count; i++) {
        if (!http_header_is(&req->headers[i], "sec-websocket-protocol"))
            continue;
        for (size_t pos = 0; next_item(req->headers[i].value, &pos, &item);) {
            if (item.len < len || memcmp(item.data, prefix, len) != 0)
                continue;
            *ret_rest = slice_of(item.data + len, item.len - len);
            count++;
        }
    }
    return count;
}

bool http_wants_websocket(const struct http_request *req)
{
    return http_header_has_token(req, "upgrade", "websocket");
}

static bool is_websocket_key(struct slice key)
{
    uint8_t decoded[WS_KEY_LEN];

    if (key.len != WS_KEY_LEN || memcmp(key.data + WS_KEY_LEN - 2, "==", 2) != 0 ||
        memchr(key.data, '-', key.len) || memchr(key.data, '_', key.len)) /* of base64url */
        return false;
    /* Clients exist whose last character has stray bits; the first 20 must decode. */
    return base64_decode(slice_of(key.data, 20), decoded) == 15 &&
           base64_decode(slice_of(key.data + 18, 4), decoded) == 3;
}

unsigned http_check_websocket(const struct http_request *req, char ret_accept[HTTP_ACCEPT_LEN + 1])
{
    struct slice key = http_header(req, "sec-websocket-key");
    struct slice version = http_header(req, "sec-websocket-version");
    uint8_t text[WS_KEY_LEN + sizeof(WS_GUID) - 1];
    uint8_t digest[SHA_DIGEST_LENGTH];

    if (req->verb != HTTP_VERB_GET)
        return 405;
    if (!http_wants_websocket(req))
        return 426;
    if (req->is_http_10 || req->has_body || !http_header_has_token(req, "connection", "upgrade"))
        return 400;
    if (http_header_count(req, "sec-websocket-version") != 1 ||
        !slice_equal(version, slice_str(WS_VERSION)))
        return 426;
    if (http_header_count(req, "sec-websocket-key") != 1 || !is_websocket_key(key))
        return 400;

    memcpy(text, key.data, WS_KEY_LEN);
    memcpy(text + WS_KEY_LEN, WS_GUID, sizeof(WS_GUID) - 1);
    (void)SHA1(text, sizeof(text), digest);
    base64_encode(slice_of(digest, sizeof(digest)), (uint8_t *)ret_accept);
    ret_accept[HTTP_ACCEPT_LEN] = '\0';
    return 101;
}

/* ---- targets ---- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f')
        return (c | 32) - 'a' + 10;
    return -1;
}

ssize_t http_percent_decode(struct slice in, uint8_t *out)
{
    size_t len = 0;

    for (size_t i = 0; i < in.len; i++) {
        if (in.data[i] != '%') {
            out[len++] = in.data[i];
            continue;
        }
        int high = in.len - i > 2 ? hex_digit(in.data[i + 1]) : -1;
        int low = in.len - i > 2 ? hex_digit(in.data[i + 2]) : -1;
        if (high < 0 || low < 0)
            return -EBADMSG;
        out[len++] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    return (ssize_t)len;
}

struct slice http_query_value(struct slice query, const char *name)
{
    size_t name_len = strlen(name);
    size_t pos = 0;

    while (pos < query.len) {
        const uint8_t *at = query.data + pos;
        const uint8_t *amp = memchr(at, '&', query.len - pos);
        size_t len = amp ? (size_t)(amp - at) : query.len - pos;
        if (len >= name_len && memcmp(at, name, name_len) == 0) {
            if (len == name_len)
                return slice_of(at + len, 0);
            if (at[name_len] == '=')
                return slice_of(at + name_len + 1, len - name_len - 1);
        }
        pos += len + 1;
    }
    return slice_of(NULL, 0);
}

/* ---- answers ---- */

static const struct {
    unsigned status;
    const char *phrase;
} phrases[] = {
    {200, "OK"},
    {201, "Created"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_phrase(unsigned status)
{
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Unknown";
}

struct blob *http_answer_head(const struct http_answer *answer, bool is_keep_alive,
                              uint64_t wall_ms)
{
    struct buffer b = {0};
    time_t seconds = (time_t)(wall_ms / 1000);
    char date[64];
    struct tm tm;

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    buffer_printf(&b, "HTTP/1.1 %u %s\r\nDate: %s\r\n", answer->status, http_phrase(answer->status),
                  date);
    if (answer->status != 304 && answer->status != 204)
        buffer_printf(&b, "Content-Type: %s\r\nContent-Length: %zu\r\n",
                      answer->type ? answer->type : "text/plain; charset=utf-8", answer->length);
    buffer_append_str(&b, "X-Content-Type-Options: nosniff\r\n");
    if (answer->extra)
        buffer_append_str(&b, answer->extra);
    buffer_printf(&b, "Connection: %s\r\n\r\n", is_keep_alive ? "keep-alive" : "close");

    struct blob *head = blob_copy(buffer_slice(&b));
    buffer_done(&b);
    return head;
}

struct blob *http_switch_head(const char *accept, const char *subprotocol, const char *extensions)
{
    struct buffer b = {0};

    buffer_printf(&b,
                  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
                  accept);
    if (subprotocol)
        buffer_printf(&b, "Sec-WebSocket-Protocol: %s\r\n", subprotocol);
    if (extensions)
        buffer_printf(&b, "Sec-WebSocket-Extensions: %s\r\n", extensions);
    buffer_append_str(&b, "\r\n");

    struct blob *head = blob_copy(buffer_slice(&b));
    buffer_done(&b);
    return head;
}
