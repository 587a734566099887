/* permessage-deflate: which offers are taken, and messages both ways. */
#include "gateway/deflate.h"

#include "gateway/http.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#define AGREED    "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
#define AGREED_15 AGREED "; server_max_window_bits=15"

/* ---- offers ---- */

static const char *negotiate(const char *first, const char *second)
{
    struct http_request req = {.header_count = second ? 2 : 1};

    req.headers[0] = (struct http_header){slice_str("Sec-WebSocket-Extensions"), slice_str(first)};
    if (second)
        req.headers[1] =
            (struct http_header){slice_str("sec-websocket-extensions"), slice_str(second)};
    return deflate_negotiate(&req);
}

static const struct {
    const char *offer;
    const char *answer; /* NULL: none */
} offers[] = {
    {"permessage-deflate", AGREED},
    {"permessage-deflate; client_max_window_bits", AGREED},
    {"permessage-deflate;client_max_window_bits=8", AGREED},
    {"permessage-deflate; client_max_window_bits=15", AGREED},
    {"permessage-deflate; client_max_window_bits=\"10\"", AGREED},
    {"permessage-deflate; client_max_window_bits=\"1\\0\"", AGREED},
    {"permessage-deflate; server_no_context_takeover", AGREED},
    {"permessage-deflate; client_no_context_takeover", AGREED},
    {"permessage-deflate ;\tserver_no_context_takeover ; client_no_context_takeover ", AGREED},
    {"permessage-deflate; server_max_window_bits=15", AGREED_15},
    {"permessage-deflate; server_max_window_bits = 15; client_max_window_bits", AGREED_15},
    /* declined, for one that follows or for none */
    {"permessage-deflate; server_max_window_bits=14", NULL},
    {"permessage-deflate; server_max_window_bits=8", NULL},
    {"permessage-deflate; server_max_window_bits=10, permessage-deflate", AGREED},
    {"permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=15",
     AGREED_15},
    {"permessage-deflate; server_max_window_bits", NULL},
    {"permessage-deflate; server_max_window_bits=7", NULL},
    {"permessage-deflate; server_max_window_bits=16", NULL},
    {"permessage-deflate; server_max_window_bits=015", NULL},
    {"permessage-deflate; server_max_window_bits=+15", NULL},
    {"permessage-deflate; server_max_window_bits=150", NULL},
    {"permessage-deflate; client_max_window_bits=7", NULL},
    {"permessage-deflate; client_max_window_bits=16", NULL},
    {"permessage-deflate; client_max_window_bits=08", NULL},
    {"permessage-deflate; client_max_window_bits=x", NULL},
    {"permessage-deflate; client_no_context_takeover=1", NULL},
    {"permessage-deflate; server_no_context_takeover=true", NULL},
    {"permessage-deflate; client_max_window_bits; client_max_window_bits", NULL},
    {"permessage-deflate; client_no_context_takeover; client_no_context_takeover", NULL},
    {"permessage-deflate; unknown", NULL},
    {"permessage-deflate; constructor", NULL},
    {"permessage-deflate; unknown=1, permessage-deflate", AGREED},
    {"Permessage-Deflate", NULL},
    {"permessage-deflate-2", NULL},
    {"x-webkit-deflate-frame", NULL},
    {"constructor, __proto__, toString;valueOf=1", NULL},
    {"other; permessage-deflate", NULL},
    {"other; a=b; c=\"d\", permessage-deflate", AGREED},
    {",,permessage-deflate,,", AGREED},
    /* malformed: nothing of it counts */
    {"", NULL},
    {",,,", NULL},
    {"permessage-deflate;", NULL},
    {"permessage-deflate;;client_max_window_bits", NULL},
    {"permessage-deflate; client_max_window_bits=", NULL},
    {"permessage-deflate; client_max_window_bits=\"\"", NULL},
    {"permessage-deflate; client_max_window_bits=\"10", NULL},
    {"permessage-deflate; client_max_window_bits=\"10\\", NULL},
    {"permessage-deflate; client_max_window_bits=\"1 0\"", NULL},
    {"permessage-deflate, a b", NULL},
    {"permessage-deflate, ;", NULL},
    {"permessage-deflate, a; =b", NULL},
    {"permessage-deflate, a=b", NULL},
    {"permessage-deflate, \"a\"", NULL},
    {"permessage-deflate, a; b=\"c,d\"", NULL},
    {"(permessage-deflate)", NULL},
};

Test(deflate, offers)
{
    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        const char *answer = negotiate(offers[i].offer, NULL);
        bool is_same = offers[i].answer ? answer && strcmp(answer, offers[i].answer) == 0 : !answer;
        cr_expect(is_same, "%s: %s", offers[i].offer, answer ? answer : "none");
    }
}

Test(deflate, offers_of_several_headers)
{
    cr_expect_str_eq(negotiate("other", "permessage-deflate"), AGREED);
    cr_expect_str_eq(
        negotiate("permessage-deflate; server_max_window_bits=15", "permessage-deflate"),
        AGREED_15);
    cr_expect_null(negotiate("permessage-deflate", "a b"));
    struct http_request none = {0};
    cr_expect_null(deflate_negotiate(&none));
}

/* ---- inflating ---- */

/* Inflates a message, and its tail, in pieces of `piece` bytes. 0, an error, or 1 without an end.
 */
static int inflate_message(struct deflate *d, struct slice message, size_t piece, uint8_t *out,
                           size_t *ret_len)
{
    struct inflater *i = inflater_new(d);
    uint8_t *in = malloc(message.len + inflater_tail().len);
    size_t in_len = message.len + inflater_tail().len;
    int r = 0;

    memcpy(in, message.data, message.len);
    memcpy(in + message.len, inflater_tail().data, inflater_tail().len);
    *ret_len = 0;
    for (size_t at = 0; at < in_len && r == 0; at += piece) {
        struct slice some = slice_of(in + at, piece < in_len - at ? piece : in_len - at);
        struct slice got;
        while ((r = inflater_next(i, &some, &got)) == 0 && got.len > 0) {
            memcpy(out + *ret_len, got.data, got.len);
            *ret_len += got.len;
        }
        cr_expect(r < 0 || some.len == 0);
    }
    if (r == 0 && !inflater_is_complete(i))
        r = 1;
    inflater_free(i);
    free(in);
    return r;
}

static const struct {
    const char *name;
    const char *bytes;
    size_t len;
    int result;
    const char *text;
} messages[] = {
#define BYTES(s) s, sizeof(s) - 1
    /* RFC 7692, section 7.2.3 */
    {"one block", BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), 0, "Hello"},
    {"a block that is not compressed", BYTES("\x00\x05\x00\xfa\xffHello\x00"), 0, "Hello"},
    {"a final block", BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), 0, "Hello"},
    {"two blocks", BYTES("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), 0, "Hello"},
    {"an empty message", BYTES("\x00"), 0, ""},
    {"final blocks", BYTES("\x03\x00\x03\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), 0, "Hello"},
    {"no bytes at all", BYTES(""), 1, NULL},
    {"no empty block at the end", BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00"), 1, NULL},
    {"cut", BYTES("\xf2\x48\xcd\xc9"), 1, NULL},
    {"a block of no type", BYTES("\x06"), -EBADMSG, NULL},
    {"lengths that differ", BYTES("\x00\x05\x00\xfa\xfeHello\x00"), -EBADMSG, NULL},
    {"further back than the begin", BYTES("\x02\x01\x00"), -EBADMSG, NULL},
};

Test(deflate, messages)
{
    struct deflate *d = deflate_new();
    uint8_t out[4096];

    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        for (size_t piece = 1; piece <= messages[i].len + 1; piece++) {
            size_t len = 0;
            struct slice in = slice_of(messages[i].bytes, messages[i].len);
            int r = inflate_message(d, in, piece, out, &len);
            cr_expect_eq(r, messages[i].result, "%s in pieces of %zu: %d", messages[i].name, piece,
                         r);
            if (r == 0)
                cr_expect(slice_equal(slice_of(out, len), slice_str(messages[i].text)), "%s",
                          messages[i].name);
        }
    }
    deflate_free(d);
}

/* What one message leaves behind the next one does not see. */
Test(deflate, messages_have_no_window_in_common)
{
    struct deflate *d = deflate_new();
    uint8_t out[64];
    size_t len;

    struct slice hello = slice_of("\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
    struct slice again = slice_of("\xf2\x00\x11\x00\x00", 5); /* section 7.2.3.2: refers to it */
    cr_assert_eq(inflate_message(d, hello, 7, out, &len), 0);
    cr_expect_eq(inflate_message(d, again, 5, out, &len), -EBADMSG);
    cr_assert_eq(inflate_message(d, hello, 7, out, &len), 0);
    cr_expect_eq(len, 5);
    deflate_free(d);
}

Test(deflate, several_messages_at_a_time)
{
    struct deflate *d = deflate_new();
    struct inflater *i[3];
    struct slice got;

    for (size_t k = 0; k < 3; k++) {
        struct slice begin = slice_of("\xf2\x48\xcd", 3);
        i[k] = inflater_new(d);
        cr_assert_eq(inflater_next(i[k], &begin, &got), 0);
    }
    for (size_t k = 0; k < 3; k++) {
        struct slice rest = slice_of("\xc9\xc9\x07\x00", 4);
        cr_assert_eq(inflater_next(i[k], &rest, &got), 0);
        cr_expect(got.len >= 2 && memcmp(got.data + got.len - 2, "lo", 2) == 0);
        inflater_free(i[k]);
    }
    deflate_free(d);
}

/* ---- compressing ---- */

static void expect_round_trip(struct deflate *d, struct slice message)
{
    struct slice parts[3] = {
        slice_of(message.data, message.len / 3),
        slice_of(message.data + message.len / 3, 0),
        slice_of(message.data + message.len / 3, message.len - message.len / 3),
    };
    uint8_t *packed = malloc(deflate_bound(d, message.len));
    uint8_t *plain = malloc(message.len + 1);
    size_t plain_len = 0;

    size_t len = deflate_message(d, parts, 3, packed);
    cr_assert(len > 0 && len <= deflate_bound(d, message.len));
    cr_assert_eq(inflate_message(d, slice_of(packed, len), len, plain, &plain_len), 0);
    cr_expect(slice_equal(slice_of(plain, plain_len), message), "%zu bytes", message.len);
    free(packed);
    free(plain);
}

Test(deflate, round_trips)
{
    static const size_t sizes[] = {0, 1, 1000, 16383, 16384, 16385, 32768, 65535, 65536, 1u << 20};
    struct deflate *d = deflate_new();
    uint8_t *text = malloc(1u << 20);
    uint8_t *noise = malloc(1u << 20);
    uint64_t seed = 1;

    for (size_t i = 0; i < 1u << 20; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        noise[i] = (uint8_t)(seed >> 56);
        text[i] = "a few words again "[i % 18];
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        expect_round_trip(d, slice_of(text, sizes[i]));
        expect_round_trip(d, slice_of(noise, sizes[i]));
    }
    free(text);
    free(noise);
    deflate_free(d);
}
