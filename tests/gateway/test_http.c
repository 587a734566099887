/* HTTP heads: a table of requests and the status that refuses them, and the WebSocket handshake. */
#include "gateway/http.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#define HEAD_MAX 8192u

/* What becomes of a head: 0 if it parses, else the refusing status; 1 if it is incomplete. */
static unsigned judge(struct slice text, struct http_request *req)
{
    size_t scanned = 0;
    ssize_t len = http_head_len(text, HEAD_MAX, &scanned);

    /* However many calls it takes, the answer is the same. */
    size_t slow = 0;
    ssize_t slow_len = 0;
    for (size_t i = 1; i <= text.len && slow_len == 0; i++)
        slow_len = http_head_len(slice_of(text.data, i), HEAD_MAX, &slow);
    cr_expect(len == slow_len, "%zd and %zd: %.40s", len, slow_len, (const char *)text.data);

    if (len == 0)
        return 1;
    if (len < 0)
        return len == -E2BIG ? 431 : 400;
    return http_parse(slice_of(text.data, (size_t)len), req);
}

#define H "Host: a\r\n"

static const struct {
    const char *head;
    unsigned status;
} heads[] = {
    {"GET / HTTP/1.1\r\n" H "\r\n", 0},
    {"HEAD / HTTP/1.1\r\n" H "\r\n", 0},
    {"POST / HTTP/1.1\r\n" H "\r\n", 0},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 0},
    {"GET / HTTP/1.0\r\n\r\n", 0},
    {"GET http://other/x?y HTTP/1.1\r\n" H "\r\n", 0},
    {"GET / HTTP/1.1\r\nHost:a\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "X: \r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "X: caf\xc3\xa9\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n", 1},
    {"GET / HTTP/1.1\r\n" H "\r", 1},
    {"", 1},
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H H "\r\n", 400},
    {"GET / HTTP/1.1\n" H "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
    {"GET / HTTP/1.1\r\rHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 400},
    {" GET / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H ": a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X(Y): a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "no colon\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "X: \x7f\r\n\r\n", 400},
    {"GET /a b HTTP/1.1\r\n" H "\r\n", 400},
    {"GET x HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /#f HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http://user@a/ HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /  HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
    {"GET /\tHTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\r\n" H "\r\n", 400},
    {"hello\r\n\r\n", 400},
    {"\x16\x03\x01\x02 hello\r\n\r\n", 400},
    {"\r\n\r\n", 400},
    {"BREW / HTTP/1.1\r\n" H "\r\n", 501},
    {"GET / HTTP/2.0\r\n" H "\r\n", 505},
    {"GET / HTTP/1.2\r\n" H "\r\n", 505},
};

Test(http, heads)
{
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct http_request req;
        unsigned status = judge(slice_str(heads[i].head), &req);
        cr_expect(status == heads[i].status, "%u, not %u: %s", status, heads[i].status,
                  heads[i].head);
    }
    static const char nul[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
    struct http_request req;
    cr_expect(judge(slice_of(nul, sizeof(nul) - 1), &req) == 400);
}

/* A head of `len` bytes in all. */
static char *head_of(size_t len)
{
    static const char start[] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    char *head = malloc(len + 1);

    memset(head, 'x', len);
    memcpy(head, start, sizeof(start) - 1);
    memcpy(head + len - 4, "\r\n\r\n", 5);
    return head;
}

Test(http, head_size_is_bounded)
{
    struct http_request req;
    char *good = head_of(HEAD_MAX);
    char *bad = head_of(HEAD_MAX + 1);

    cr_expect(judge(slice_str(good), &req) == 0);
    cr_expect(judge(slice_str(bad), &req) == 431);
    free(good);
    free(bad);
}

Test(http, header_count_is_bounded)
{
    char head[HEAD_MAX] = "GET / HTTP/1.1\r\nHost: a\r\n";
    struct http_request req;

    for (unsigned i = 1; i < HTTP_HEADERS_MAX; i++)
        strcat(head, "a: b\r\n");
    size_t len = strlen(head);
    strcat(head, "\r\n");
    cr_expect(judge(slice_str(head), &req) == 0);
    cr_expect(req.header_count == HTTP_HEADERS_MAX);
    strcpy(head + len, "a: b\r\n\r\n");
    cr_expect(judge(slice_str(head), &req) == 431);
}

static bool is(struct slice s, const char *text)
{
    return slice_equal(s, slice_str(text));
}

Test(http, parts)
{
    struct http_request req;

    cr_assert(judge(slice_str("GET /a/b?since=x&data=yjs HTTP/1.1\r\nHost: h:1\r\n"
                              "X-One:   two words \t\r\nList: a, B\r\nlist:c\r\n\r\nrest"),
                    &req) == 0);
    cr_expect(is(req.path, "/a/b"));
    cr_expect(is(req.query, "since=x&data=yjs"));
    cr_expect(is(http_header(&req, "HOST"), "h:1"));
    cr_expect(is(http_header(&req, "x-one"), "two words"));
    cr_expect(http_header(&req, "none").data == NULL);
    cr_expect(http_header_count(&req, "list") == 2);
    cr_expect(http_header_has_token(&req, "List", "b"));
    cr_expect(http_header_has_token(&req, "List", "c"));
    cr_expect(!http_header_has_token(&req, "List", "two"));
    cr_expect(req.is_keep_alive && !req.has_body && !req.is_http_10);
    cr_expect(is(http_query_value(req.query, "data"), "yjs"));
    cr_expect(is(http_query_value(req.query, "since"), "x"));
    cr_expect(http_query_value(req.query, "dat").data == NULL);
    cr_expect(is(http_query_value(slice_str("a&b=&c"), "b"), ""));
    cr_expect(http_query_value(slice_str("a&b=&c"), "c").data != NULL);
    cr_expect(http_query_value(slice_of(NULL, 0), "c").data == NULL);

    cr_assert(judge(slice_str("GET http://o/p?q HTTP/1.0\r\n\r\n"), &req) == 0);
    cr_expect(is(req.path, "/p") && is(req.query, "q"));
    cr_expect(req.is_http_10 && !req.is_keep_alive);
    cr_assert(judge(slice_str("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), &req) ==
              0);
    cr_expect(!req.is_keep_alive);
    cr_assert(judge(slice_str("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"), &req) ==
              0);
    cr_expect(req.verb == HTTP_VERB_PUT && req.has_body && req.body_len == 5);
    cr_expect(!req.is_chunked && !req.expects_continue);
    cr_assert(judge(slice_str("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                              "Expect: 100-continue\r\n\r\n"),
                    &req) == 0);
    cr_expect(req.verb == HTTP_VERB_POST && req.has_body && req.is_chunked && req.expects_continue);
    cr_assert(judge(slice_str("DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n"), &req) == 0);
    cr_expect(req.verb == HTTP_VERB_OTHER && !req.has_body && req.body_len == 0);
}

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VER "Sec-WebSocket-Version: 13\r\n"
#define UP  "Upgrade: websocket\r\n"
#define CON "Connection: Upgrade\r\n"

static const struct {
    const char *head;
    unsigned status;
} handshakes[] = {
    {"GET / HTTP/1.1\r\n" H UP CON VER KEY "\r\n", 101},
    {"GET / HTTP/1.1\r\n" H "upgrade: WebSocket\r\nconnection: keep-alive, UPGRADE\r\n" VER KEY
     "\r\n",
     101},
    {"GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\n" UP CON "Connection: x\r\n" VER KEY "\r\n", 101},
    {"GET / HTTP/1.1\r\n" H UP CON VER KEY
     "Sec-WebSocket-Extensions: constructor; x=\"y\", permessage-deflate\r\n\r\n",
     101},
    {"GET / HTTP/1.1\r\n" H CON VER KEY "\r\n", 426},
    {"GET / HTTP/1.1\r\n" H "Upgrade: websockets\r\n" CON VER KEY "\r\n", 426},
    {"GET / HTTP/1.1\r\n" H UP VER KEY "\r\n", 400},
    {"GET / HTTP/1.1\r\n" H UP "Connection: close\r\n" VER KEY "\r\n", 400},
    {"GET / HTTP/1.1\r\n" H UP CON KEY "\r\n", 426},
    {"GET / HTTP/1.1\r\n" H UP CON KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426},
    {"GET / HTTP/1.1\r\n" H UP CON KEY VER VER "\r\n", 426},
    {"GET / HTTP/1.1\r\n" H UP CON VER "\r\n", 400},
    {"GET / HTTP/1.1\r\n" H UP CON VER KEY KEY "\r\n", 400},
    {"GET / HTTP/1.1\r\n" H UP CON VER "Sec-WebSocket-Key: c2hvcnQ=\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H UP CON VER "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H UP CON VER "Sec-WebSocket-Key: dGhlIHNh*XBsZSBub25jZQ==\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H UP CON VER "Sec-WebSocket-Key: -GhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H UP CON VER KEY "Content-Length: 1\r\n\r\n", 400},
    {"GET / HTTP/1.0\r\n" UP CON VER KEY "\r\n", 400},
    {"POST / HTTP/1.1\r\n" H UP CON VER KEY "\r\n", 405},
    {"HEAD / HTTP/1.1\r\n" H UP CON VER KEY "\r\n", 405},
};

Test(http, handshakes)
{
    for (size_t i = 0; i < sizeof(handshakes) / sizeof(handshakes[0]); i++) {
        struct http_request req;
        char accept[HTTP_ACCEPT_LEN + 1] = "";
        cr_assert(judge(slice_str(handshakes[i].head), &req) == 0, "%s", handshakes[i].head);
        unsigned status = http_check_websocket(&req, accept);
        cr_expect(status == handshakes[i].status, "%u, not %u: %s", status, handshakes[i].status,
                  handshakes[i].head);
        /* The example of RFC 6455, section 1.3. */
        if (status == 101)
            cr_expect(strcmp(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == 0, "%s", accept);
    }
}

/* Other than words of HTTP a subprotocol is compared to the letter. */
Test(http, subprotocols)
{
    static const struct {
        const char *offer;
        bool is_ours;
    } offers[] = {
        {"a.v1", true},   {"b, a.v1", true}, {"b ,a.v1,c", true}, {"A.v1", false},
        {"a.v10", false}, {"", false},       {"b a.v1", false},   {",,", false},
    };

    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        struct http_request req = {.header_count = 2};
        req.headers[0] =
            (struct http_header){slice_str("SEC-WebSocket-Protocol"), slice_str("other")};
        req.headers[1] =
            (struct http_header){slice_str("sec-websocket-protocol"), slice_str(offers[i].offer)};
        cr_expect(http_offers_subprotocol(&req, "a.v1") == offers[i].is_ours, "%s",
                  offers[i].offer);
    }
}

Test(http, many_commas_in_a_list)
{
    char head[HEAD_MAX];
    struct http_request req;
    int len = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: ");

    memset(head + len, ',', 8000 - (size_t)len);
    strcpy(head + 8000, "\r\n\r\n");
    cr_assert(judge(slice_str(head), &req) == 0);
    cr_expect(!http_wants_websocket(&req));
}

Test(http, percent_decoding)
{
    static const struct {
        const char *in;
        const char *out; /* NULL: refused */
    } cases[] = {{"", ""},       {"abc", "abc"}, {"a%20b", "a b"}, {"%2F%2f", "//"},
                 {"a+b", "a+b"}, {"%", NULL},    {"%2", NULL},     {"%zz", NULL},
                 {"a%2", NULL},  {"%-1", NULL},  {"%25zz", "%zz"}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t out[16];
        ssize_t len = http_percent_decode(slice_str(cases[i].in), out);
        if (cases[i].out)
            cr_expect(len >= 0 && is(slice_of(out, (size_t)len), cases[i].out), "%s", cases[i].in);
        else
            cr_expect(len == -EBADMSG, "%s", cases[i].in);
    }
}

Test(http, answers)
{
    struct http_answer answer = {.status = 405, .extra = "Allow: GET\r\n", .length = 7};
    struct blob *head = http_answer_head(&answer, true, 784111777000);

    cr_expect(is(blob_slice(head), "HTTP/1.1 405 Method Not Allowed\r\n"
                                   "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                   "Content-Type: text/plain; charset=utf-8\r\n"
                                   "Content-Length: 7\r\n"
                                   "X-Content-Type-Options: nosniff\r\n"
                                   "Allow: GET\r\nConnection: keep-alive\r\n\r\n"));
    blob_unref(head);
    head = http_switch_head("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "concord.v1", "a; b");
    cr_expect(is(blob_slice(head), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                                   "Sec-WebSocket-Protocol: concord.v1\r\n"
                                   "Sec-WebSocket-Extensions: a; b\r\n\r\n"));
    blob_unref(head);
}

Test(http, hosts)
{
    static const char *const plain[] = {"a", "example.org:8080", "[::1]:80", "x_y-z.9"};
    static const char *const others[] = {"",    "a b", "a\"b",   "a/b",
                                         "a@b", "a;b", "a\r\nb", "caf\xc3\xa9"};
    char longest[HTTP_HOST_MAX + 2];

    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        cr_expect(http_host_is_plain(slice_str(plain[i])), "%s", plain[i]);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        cr_expect(!http_host_is_plain(slice_str(others[i])), "%s", others[i]);
    memset(longest, 'x', sizeof(longest));
    cr_expect(http_host_is_plain(slice_of(longest, HTTP_HOST_MAX)));
    cr_expect(!http_host_is_plain(slice_of(longest, HTTP_HOST_MAX + 1)));
    cr_expect(!http_host_is_plain(slice_of(NULL, 0)));
}
