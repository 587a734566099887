/* The WebSocket codec: a table of what clients send and what must come of it, each row fed whole,
 * in single octets and cut at every place. */
#include "gateway/ws.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MESSAGE_MAX 70000u
#define FRAGMENTS   4096u
#define INPUT_MAX   (4u << 20)
#define TRACE_MAX   (1u << 20)

static const struct ws_limits LIMITS = {.message_bytes = MESSAGE_MAX, .fragments = FRAGMENTS};

/* ---- input: frames as a client sends them ---- */

struct input {
    uint8_t *data;
    size_t len;
};

static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

static void put(struct input *in, const void *data, size_t len)
{
    cr_assert(in->len + len <= INPUT_MAX);
    memcpy(in->data + in->len, data, len);
    in->len += len;
}

static void put_frame(struct input *in, uint8_t first, const void *payload, size_t len)
{
    uint8_t head[10] = {first};
    size_t n = 2;

    if (len < 126) {
        head[1] = (uint8_t)(0x80 | len);
    } else if (len <= 0xffff) {
        head[1] = 0x80 | 126;
        head[n++] = (uint8_t)(len >> 8);
        head[n++] = (uint8_t)len;
    } else {
        head[1] = 0x80 | 127;
        for (int i = 7; i >= 0; i--)
            head[n++] = (uint8_t)((uint64_t)len >> 8 * i);
    }
    put(in, head, n);
    put(in, MASK, sizeof(MASK));
    size_t at = in->len;
    put(in, payload, len);
    ws_mask(in->data + at, len, MASK, 0);
}

/* ---- trace: what came of it, as text ---- */

struct trace {
    char *text;
    size_t len;
};

static void note(struct trace *t, const char *what, struct slice payload)
{
    uint64_t sum = 1469598103934665603u;

    for (size_t i = 0; i < payload.len; i++)
        sum = (sum ^ payload.data[i]) * 1099511628211u;
    if (payload.len <= 20)
        t->len += (size_t)snprintf(t->text + t->len, TRACE_MAX - t->len, "%s(%.*s) ", what,
                                   (int)payload.len, (const char *)payload.data);
    else
        t->len += (size_t)snprintf(t->text + t->len, TRACE_MAX - t->len, "%s(%zu:%lx) ", what,
                                   payload.len, (unsigned long)sum);
}

static void note_code(struct trace *t, const char *what, uint16_t code)
{
    t->len += (size_t)snprintf(t->text + t->len, TRACE_MAX - t->len, "%s=%u ", what, code);
}

static void feed(struct ws_parser *p, uint8_t *data, size_t len, struct trace *t)
{
    struct ws_event ev;
    enum ws_event_kind kind;

    while ((kind = ws_parser_next(p, &data, &len, &ev)) != WS_EVENT_NONE) {
        if (kind == WS_EVENT_MESSAGE)
            note(t, ev.is_text ? "text" : "binary", ev.payload);
        else if (kind == WS_EVENT_PING)
            note(t, "ping", ev.payload);
        else if (kind == WS_EVENT_PONG)
            note(t, "pong", ev.payload);
        else
            note_code(t, kind == WS_EVENT_CLOSE ? "close" : "fail", ev.code);
    }
    cr_expect(len == 0);
}

/* Feeds the input in pieces of `piece` octets (0: whole), from fresh memory each, so that a
 * sanitizer sees what is used too long. */
static char *run(const struct input *in, size_t piece)
{
    struct trace t = {.text = calloc(1, TRACE_MAX)};
    struct ws_parser p;

    ws_parser_init(&p, &LIMITS, NULL);
    for (size_t at = 0; at < in->len;) {
        size_t n = piece == 0 || piece > in->len - at ? in->len - at : piece;
        uint8_t *copy = malloc(n);
        memcpy(copy, in->data + at, n);
        feed(&p, copy, n, &t);
        free(copy);
        at += n;
    }
    ws_parser_done(&p);
    return t.text;
}

static void expect_trace(const char *name, const struct input *in, const char *expected)
{
    static const size_t pieces[] = {0, 1, 2, 3, 7, 13, 1024};

    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        char *got = run(in, pieces[i]);
        cr_expect(strcmp(got, expected) == 0, "%s in pieces of %zu: %s, not %s", name, pieces[i],
                  got, expected);
        free(got);
    }
}

/* ---- the table ---- */

struct frame {
    uint8_t first; /* FIN, RSV and opcode */
    const char *payload;
    size_t len; /* 0: strlen */
};

struct row {
    const char *name;
    struct frame frames[6];
    const char *expected;
};

#define T(s)                                                                                       \
    {                                                                                              \
        0x81, s, 0                                                                                 \
    }
#define B(s)                                                                                       \
    {                                                                                              \
        0x82, s, 0                                                                                 \
    }
#define CLOSE2(a, b, rest)                                                                         \
    {                                                                                              \
        0x88, a b rest, sizeof(a b rest) - 1                                                       \
    }

static const struct row rows[] = {
    {"text", {T("Hello")}, "text(Hello) "},
    {"empty text", {{0x81, "", 0}}, "text() "},
    {"binary", {B("abc")}, "binary(abc) "},
    {"two messages", {T("a"), B("b")}, "text(a) binary(b) "},
    {"ping", {{0x89, "hi", 0}}, "ping(hi) "},
    {"empty ping", {{0x89, "", 0}}, "ping() "},
    {"ping with NUL", {{0x89, "\0\xff", 2}, T("x")}, "ping() text(x) "},
    {"pong unasked", {{0x8a, "hi", 0}, T("x")}, "pong(hi) text(x) "},
    {"fragments", {{0x01, "Hel", 0}, {0x00, "l", 0}, {0x80, "o", 0}}, "text(Hello) "},
    {"empty fragments", {{0x01, "", 0}, {0x00, "", 0}, {0x80, "", 0}}, "text() "},
    {"ping between fragments",
     {{0x01, "Hel", 0}, {0x89, "p", 0}, {0x80, "lo", 0}},
     "ping(p) text(Hello) "},
    {"pings between fragments",
     {{0x02, "a", 0}, {0x89, "1", 0}, {0x89, "2", 0}, {0x80, "b", 0}},
     "ping(1) ping(2) binary(ab) "},
    {"RSV1", {{0xc1, "x", 0}}, "fail=1002 "},
    {"RSV2", {{0xa1, "x", 0}}, "fail=1002 "},
    {"RSV3", {{0x91, "x", 0}}, "fail=1002 "},
    {"RSV on ping", {T("ok"), {0xd9, "", 0}}, "text(ok) fail=1002 "},
    {"opcode 3", {{0x83, "", 0}}, "fail=1002 "},
    {"opcode 4", {{0x84, "", 0}}, "fail=1002 "},
    {"opcode 5", {{0x85, "", 0}}, "fail=1002 "},
    {"opcode 6", {{0x86, "", 0}}, "fail=1002 "},
    {"opcode 7", {{0x87, "", 0}}, "fail=1002 "},
    {"opcode 11", {{0x8b, "", 0}}, "fail=1002 "},
    {"opcode 12", {{0x8c, "", 0}}, "fail=1002 "},
    {"opcode 13", {{0x8d, "", 0}}, "fail=1002 "},
    {"opcode 14", {{0x8e, "", 0}}, "fail=1002 "},
    {"opcode 15", {{0x8f, "", 0}}, "fail=1002 "},
    {"fragmented ping", {{0x09, "a", 0}, {0x80, "b", 0}}, "fail=1002 "},
    {"fragmented close", {{0x08, "", 0}}, "fail=1002 "},
    {"nothing to continue", {{0x80, "x", 0}}, "fail=1002 "},
    {"nothing to continue, not the end", {{0x00, "x", 0}}, "fail=1002 "},
    {"continued after the end", {T("a"), {0x80, "b", 0}}, "text(a) fail=1002 "},
    {"a message in a message", {{0x01, "a", 0}, T("b")}, "fail=1002 "},
    {"nothing after a failure", {{0x83, "", 0}, T("a"), {0x89, "", 0}}, "fail=1002 "},
    {"close", {{0x88, "", 0}}, "close=1005 "},
    {"nothing after a close", {{0x88, "", 0}, T("a"), {0x83, "", 0}}, "close=1005 "},
    {"close inside a message", {{0x01, "a", 0}, CLOSE2("\x03", "\xe8", "")}, "close=1000 "},
    {"close with half a code", {{0x88, "\x03", 1}}, "fail=1002 "},
    {"close 1000", {CLOSE2("\x03", "\xe8", "bye")}, "close=1000 "},
    {"close reason that is no UTF-8", {CLOSE2("\x03", "\xe8", "\xc3\x28")}, "fail=1007 "},
    {"close reason cut in a character", {CLOSE2("\x03", "\xe8", "\xe2\x82")}, "fail=1007 "},
    {"UTF-8",
     {T("\xce\xba\xe1\xbd\xb9\xf0\x9f\x98\x80")},
     "text(\xce\xba\xe1\xbd\xb9\xf0\x9f\x98\x80) "},
    {"a character over two fragments",
     {{0x01, "\xe2\x82", 0}, {0x80, "\xac", 0}},
     "text(\xe2\x82\xac) "},
    {"a character over two fragments with a ping",
     {{0x01, "\xe2", 0}, {0x89, "", 0}, {0x80, "\x82\xac", 0}},
     "ping() text(\xe2\x82\xac) "},
    {"overlong", {T("\xc0\xaf")}, "fail=1007 "},
    {"overlong of three", {T("\xe0\x80\xaf")}, "fail=1007 "},
    {"overlong of four", {T("\xf0\x80\x80\xaf")}, "fail=1007 "},
    {"surrogate", {T("\xed\xa0\x80")}, "fail=1007 "},
    {"beyond U+10FFFF", {T("\xf4\x90\x80\x80")}, "fail=1007 "},
    {"lead of five", {T("\xf8\x88\x80\x80\x80")}, "fail=1007 "},
    {"lone continuation", {T("a\x80")}, "fail=1007 "},
    {"text that ends in a character", {T("a\xe2\x82")}, "fail=1007 "},
    {"bad UTF-8 in a first fragment", {{0x01, "\xff", 0}, {0x89, "", 0}}, "fail=1007 "},
    {"binary is not checked", {B("\xff\xfe")}, "binary(\xff\xfe) "},
};

Test(ws, table)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct input in = {.data = malloc(INPUT_MAX)};
        for (size_t k = 0; k < 6 && rows[i].frames[k].payload; k++) {
            const struct frame *f = &rows[i].frames[k];
            put_frame(&in, f->first, f->payload, f->len ? f->len : strlen(f->payload));
        }
        expect_trace(rows[i].name, &in, rows[i].expected);
        free(in.data);
    }
}

/* ---- close codes ---- */

Test(ws, close_codes)
{
    for (unsigned code = 0; code <= 0xffff; code++) {
        bool is_good = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                       (code >= 3000 && code <= 4999);
        cr_assert(ws_close_code_is_valid((uint16_t)code) == is_good, "%u", code);
    }
    static const uint16_t refused[] = {0,    999,  1004, 1005, 1006, 1015,
                                       1016, 1100, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct input in = {.data = malloc(INPUT_MAX)};
        uint8_t payload[2] = {(uint8_t)(refused[i] >> 8), (uint8_t)refused[i]};
        put_frame(&in, 0x88, payload, 2);
        expect_trace("a code that is never sent", &in, "fail=1002 ");
        free(in.data);
    }
}

/* ---- lengths ---- */

static void expect_raw(const char *name, const void *bytes, size_t len, const char *expected)
{
    struct input in = {.data = malloc(INPUT_MAX)};

    put(&in, bytes, len);
    expect_trace(name, &in, expected);
    free(in.data);
}
#define EXPECT_RAW(name, bytes, expected) expect_raw(name, bytes, sizeof(bytes) - 1, expected)

Test(ws, headers)
{
    EXPECT_RAW("not masked", "\x81\x01x", "fail=1002 ");
    EXPECT_RAW("ping not masked", "\x89", "");
    EXPECT_RAW("ping of 126", "\x89\xfe", "fail=1002 ");
    EXPECT_RAW("16 bits for 125", "\x82\xfe\x00\x7d", "fail=1002 ");
    EXPECT_RAW("64 bits for 65535", "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", "fail=1002 ");
    EXPECT_RAW("top bit", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01", "fail=1002 ");
    EXPECT_RAW("2^63 - 1", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", "fail=1009 ");
    EXPECT_RAW("one over the limit", "\x82\xff\x00\x00\x00\x00\x00\x01\x11\x71", "fail=1009 ");
    EXPECT_RAW("the reserved bit fails at once", "\xc1", "fail=1002 ");
}

Test(ws, sizes)
{
    static const size_t sizes[] = {1, 7, 8, 9, 125, 126, 127, 65535, 65536, MESSAGE_MAX};
    uint8_t *payload = malloc(MESSAGE_MAX);

    for (size_t i = 0; i < MESSAGE_MAX; i++)
        payload[i] = (uint8_t)(i * 31);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct input in = {.data = malloc(INPUT_MAX)};
        struct trace t = {.text = calloc(1, TRACE_MAX)};
        put_frame(&in, 0x82, payload, sizes[i]);
        note(&t, "binary", slice_of(payload, sizes[i]));
        expect_trace("a size", &in, t.text);
        free(t.text);
        free(in.data);
    }
    free(payload);
}

Test(ws, limit_counts_the_whole_message)
{
    struct input in = {.data = malloc(INPUT_MAX)};
    uint8_t *payload = calloc(1, MESSAGE_MAX);

    put_frame(&in, 0x02, payload, MESSAGE_MAX - 1);
    put_frame(&in, 0x00, payload, 1);
    put_frame(&in, 0x80, payload, 1);
    expect_trace("one over in three", &in, "fail=1009 ");
    free(payload);
    free(in.data);
}

Test(ws, fragments_are_bounded)
{
    struct input in = {.data = malloc(INPUT_MAX)};
    char expected[64];

    put_frame(&in, 0x02, "", 0);
    for (unsigned i = 2; i < FRAGMENTS; i++)
        put_frame(&in, 0x00, "", 0);
    put_frame(&in, 0x80, "end", 3);
    (void)snprintf(expected, sizeof(expected), "binary(end) ");
    expect_trace("as many as may be", &in, expected);

    in.len = 0;
    put_frame(&in, 0x02, "", 0);
    for (unsigned i = 0; i < FRAGMENTS; i++)
        put_frame(&in, 0x00, "", 0);
    expect_trace("one more", &in, "fail=1008 ");
    free(in.data);
}

Test(ws, memory_grows_with_bytes_not_with_lengths)
{
    struct ws_parser p;
    struct ws_event ev;
    uint8_t head[] = {0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4, 5};
    uint8_t *data = head;
    size_t len = sizeof(head);

    ws_parser_init(&p, &LIMITS, NULL);
    cr_assert(ws_parser_next(&p, &data, &len, &ev) == WS_EVENT_NONE);
    cr_expect(ws_parser_is_midway(&p));
    cr_expect(p.message_cap <= 4096);
    ws_parser_done(&p);
}

/* Nothing is copied of a message that is there as a whole. */
Test(ws, whole_messages_stay_in_place)
{
    struct input in = {.data = malloc(INPUT_MAX)};
    struct ws_parser p;
    struct ws_event ev;

    put_frame(&in, 0x82, "in place", 8);
    uint8_t *data = in.data;
    size_t len = in.len;
    ws_parser_init(&p, &LIMITS, NULL);
    cr_assert(ws_parser_next(&p, &data, &len, &ev) == WS_EVENT_MESSAGE);
    cr_expect(ev.payload.data == in.data + 6);
    cr_expect(p.message == NULL);
    cr_expect(!ws_parser_is_midway(&p));
    ws_parser_done(&p);
    free(in.data);
}

/* Random frames, good and bad, cut in every way: the pieces must not matter. */
Test(ws, cuts_do_not_matter)
{
    uint64_t seed = 1;

    for (int round = 0; round < 300; round++) {
        struct input in = {.data = malloc(INPUT_MAX)};
        for (int i = 0; i < 8; i++) {
            uint8_t payload[300];
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t len = (seed >> 33) % (seed >> 60 ? 20 : sizeof(payload));
            for (size_t k = 0; k < len; k++)
                payload[k] = seed >> 50 & 1 ? (uint8_t)('a' + k % 26) : (uint8_t)(seed >> k % 57);
            static const uint8_t firsts[] = {0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a};
            put_frame(&in, firsts[seed >> 40 & 7], payload, len);
        }
        char *whole = run(&in, 0);
        for (size_t piece = 1; piece < 20; piece++) {
            char *cut = run(&in, piece);
            cr_assert(strcmp(whole, cut) == 0, "round %d, pieces of %zu: %s / %s", round, piece,
                      whole, cut);
            free(cut);
        }
        free(whole);
        free(in.data);
    }
}

/* ---- the server's frames ---- */

static void expect_head(size_t len, const char *head, size_t head_len)
{
    uint8_t *payload;
    struct blob *b = ws_frame_new(WS_BINARY, len, &payload);

    cr_assert(b && b->len == head_len + len);
    cr_expect(payload == b->data + head_len);
    cr_expect(memcmp(b->data, head, head_len) == 0, "length %zu", len);
    blob_unref(b);
}

Test(ws, frames_of_the_server)
{
    expect_head(0, "\x82\x00", 2);
    expect_head(125, "\x82\x7d", 2);
    expect_head(126, "\x82\x7e\x00\x7e", 4);
    expect_head(65535, "\x82\x7e\xff\xff", 4);
    expect_head(65536, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);

    struct blob *close = ws_frame_close(1013, "later");
    cr_expect(slice_equal(blob_slice(close), slice_of("\x88\x07\x03\xf5later", 9)));
    blob_unref(close);
    close = ws_frame_close(WS_CLOSE_NONE, NULL);
    cr_expect(slice_equal(blob_slice(close), slice_of("\x88\x00", 2)));
    blob_unref(close);
    char reason[300];
    memset(reason, 'r', sizeof(reason));
    reason[299] = '\0';
    close = ws_frame_close(1000, reason);
    cr_expect(close->len == 2 + WS_CONTROL_MAX);
    blob_unref(close);
}
