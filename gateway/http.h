/*
 * http: one request's head (RFC 9112) and the heads of answers, as pure functions. Request heads
 * are collected whole (within a bound) and then parsed; what the parser returns
 * borrows from the bytes it was given. Where RFC 9112 lets a server be lenient this one refuses:
 * lines end in CR LF, a header is never folded, there is no space before its colon.
 */
#pragma once

#include "common/blob.h"
#include "common/memory.h"

#define HTTP_HEAD_MAX    65536u /* bytes of a request's head, whatever is configured */
#define HTTP_HEADERS_MAX 64u
#define HTTP_ACCEPT_LEN  28u /* characters of a Sec-WebSocket-Accept value */
#define HTTP_HOST_MAX    255u

enum http_verb {
    HTTP_VERB_GET,
    HTTP_VERB_HEAD,
    HTTP_VERB_POST,
    HTTP_VERB_PUT,
    HTTP_VERB_PATCH,
    HTTP_VERB_OPTIONS,
    HTTP_VERB_OTHER,
};

struct http_header {
    struct slice name;
    struct slice value; /* without the white space around it */
};

struct http_request {
    enum http_verb verb;
    bool is_http_10;
    bool is_keep_alive;
    bool has_body;
    bool is_chunked;       /* the body comes without a length: 411 */
    bool expects_continue; /* the client waits for a 100 before it sends the body */
    uint64_t body_len;     /* as announced */
    struct slice body;     /* set by whoever reads it */
    struct slice path;     /* begins with '/', not decoded */
    struct slice query;    /* behind the '?', not decoded */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
};

/* Looks for the end of the head that `bytes` begin with, of `max` bytes at most. `*scanned` is the
 * caller's, 0 at first: how far an earlier call got with a beginning of the same bytes. Returns the
 * length of the head, 0 if it is incomplete, -EBADMSG for an octet or line end that no head holds,
 * -E2BIG for one that is too long. */
WARN_UNUSED ssize_t http_head_len(struct slice bytes, size_t max, size_t *scanned);

/* Parses a whole head. 0, or the status that refuses it: 400, 431, 501, 505. */
WARN_UNUSED unsigned http_parse(struct slice head, struct http_request *ret);

/* May this octet stand in a token (RFC 9110, section 5.6.2)? */
bool http_octet_is_token(uint8_t c);
/* Case-insensitive. */
bool http_header_is(const struct http_header *header, const char *name);
/* The only value of a header, by case-insensitive name; data is NULL without it. */
struct slice http_header(const struct http_request *req, const char *name);
/* How often it is there. */
size_t http_header_count(const struct http_request *req, const char *name);
/* Does any value of the header, a comma-separated list, hold the token? Case-insensitive. */
bool http_header_has_token(const struct http_request *req, const char *name, const char *token);

/* Is this subprotocol among those that the request offers? To the letter, as the client compares
 * what it is answered. */
bool http_offers_subprotocol(const struct http_request *req, const char *subprotocol);
/* How many of those that it offers begin with the prefix; `*ret_rest` is what follows it in the
 * last one. */
unsigned http_find_subprotocols(const struct http_request *req, const char *prefix,
                                struct slice *ret_rest);
/* Is the value of Host as clients send it, with nothing that could leave its place in a header, a
 * URL or a JSON text? */
bool http_host_is_plain(struct slice host);

/* Does the request ask for a WebSocket, rightly or not? */
bool http_wants_websocket(const struct http_request *req);
/* The header lines of a 426 (RFC 6455, section 4.4; RFC 9110, section 15.5.22). */
#define HTTP_UPGRADE_LINES                                                                         \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
/* RFC 6455, section 4.2.1. 101 and the value of Sec-WebSocket-Accept with a NUL, or the status that
 * refuses it: 400, 405, 426. */
WARN_UNUSED unsigned http_check_websocket(const struct http_request *req,
                                          char ret_accept[HTTP_ACCEPT_LEN + 1]);

/* Percent-decodes into `out` (in.len bytes) and returns the length, or -EBADMSG. */
WARN_UNUSED ssize_t http_percent_decode(struct slice in, uint8_t *out);
/* The raw value of the first parameter of that name; data is NULL without it. */
struct slice http_query_value(struct slice query, const char *name);

/* ---- answers ---- */

struct http_answer {
    unsigned status;
    const char *type;  /* of the content; NULL: text/plain */
    const char *extra; /* more header lines, each with its CR LF; or NULL */
    size_t length;     /* bytes of content */
    bool is_last;      /* the connection ends with it */
};

/* A new head of an answer. `wall_ms` dates it. */
struct blob *http_answer_head(const struct http_answer *answer, bool is_keep_alive,
                              uint64_t wall_ms);
/* A new head that accepts a WebSocket; `subprotocol` and `extensions` may be NULL. */
struct blob *http_switch_head(const char *accept, const char *subprotocol, const char *extensions);
/* The phrase of a status, "Unknown" for one that is never sent. */
const char *http_phrase(unsigned status);
