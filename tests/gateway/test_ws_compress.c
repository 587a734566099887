/* Compressed messages in frames: what the server sends, and what the parser makes of it. */
#include "gateway/ws_compress.h"

#include "gateway/answer.h"
#include "gateway/deflate.h"
#include "gateway/ws.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <zlib.h>

#define MESSAGE_MAX (16u << 20)
#define FRAGMENTS   4096u

static const struct ws_limits LIMITS = {.message_bytes = MESSAGE_MAX, .fragments = FRAGMENTS};
static const uint8_t MASK[4] = {1, 2, 3, 4};

static struct deflate *deflater;

static void set_up(void)
{
    deflater = deflate_new();
}

static void tear_down(void)
{
    deflate_free(deflater);
}

TestSuite(ws_compress, .init = set_up, .fini = tear_down);

/* ---- frames of a client ---- */

/* A masked frame, in memory of its own. */
static uint8_t *client_frame(uint8_t first, struct slice payload, size_t *ret_len)
{
    uint8_t *out = malloc(WS_HEAD_MAX + payload.len);
    size_t head = ws_write_head(first, payload.len, out);

    out[1] |= 0x80;
    memcpy(out + head, MASK, sizeof(MASK));
    if (payload.len > 0)
        memcpy(out + head + sizeof(MASK), payload.data, payload.len);
    ws_mask(out + head + sizeof(MASK), payload.len, MASK, 0);
    *ret_len = head + sizeof(MASK) + payload.len;
    return out;
}

/* Feeds one frame in pieces; returns the last event's kind. */
static enum ws_event_kind feed(struct ws_parser *p, uint8_t first, struct slice payload,
                               size_t piece, struct ws_event *ret)
{
    size_t len;
    uint8_t *frame = client_frame(first, payload, &len);
    enum ws_event_kind last = WS_EVENT_NONE;

    for (size_t at = 0; at < len && last != WS_EVENT_FAIL; at += piece) {
        uint8_t *data = frame + at;
        size_t left = piece < len - at ? piece : len - at;
        do
            last = ws_parser_next(p, &data, &left, ret);
        while (last == WS_EVENT_PIECE);
        cr_assert(left == 0 || last == WS_EVENT_FAIL);
    }
    free(frame);
    return last;
}

/* What a zlib of its own compresses; ends as messages do. The caller frees. */
static uint8_t *pack(const uint8_t *data, size_t len, size_t *ret_len)
{
    z_stream z = {0};
    uint8_t *out = malloc(len + len / 100 + 100);

    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)(len + len / 100 + 100);
    cr_assert_eq(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    *ret_len = z.total_out - 4;
    deflateEnd(&z);
    return out;
}

static void expect_message(struct slice packed, bool is_text, size_t piece, struct slice expected)
{
    struct ws_parser p;
    struct ws_event ev;

    ws_parser_init(&p, &LIMITS, deflater);
    enum ws_event_kind kind =
        feed(&p, (uint8_t)(WS_FIN | WS_RSV1 | (is_text ? WS_TEXT : WS_BINARY)), packed, piece, &ev);
    cr_assert_eq(kind, WS_EVENT_MESSAGE);
    cr_expect_eq(ev.is_text, is_text);
    cr_expect(slice_equal(ev.payload, expected), "in pieces of %zu", piece);
    cr_expect_eq(p.frames, 1);
    cr_expect_eq(p.control_frames, 0);
    cr_expect(!ws_parser_is_midway(&p));
    ws_parser_done(&p);
}

Test(ws_compress, messages_are_inflated)
{
    uint8_t text[40000];
    size_t len;

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)('a' + i * i % 23);
    uint8_t *packed = pack(text, sizeof(text), &len);
    for (size_t piece = 1; piece < 1000; piece = piece * 3 + 1)
        expect_message(slice_of(packed, len), piece % 2, piece, slice_of(text, sizeof(text)));
    free(packed);
}

Test(ws_compress, only_the_first_frame_says_so)
{
    struct ws_parser p;
    struct ws_event ev;

    ws_parser_init(&p, &LIMITS, deflater);
    struct slice a = slice_of("\xf2\x48\xcd", 3);
    struct slice b = slice_of("\xc9\xc9\x07\x00", 4);
    cr_expect_eq(feed(&p, WS_RSV1 | WS_TEXT, a, 100, &ev), WS_EVENT_NONE);
    cr_expect(ws_parser_held_bytes(&p) >= INFLATER_BYTES);
    cr_expect_eq(feed(&p, WS_FIN | WS_PING, slice_str("p"), 100, &ev), WS_EVENT_PING);
    cr_expect_eq(feed(&p, WS_FIN | WS_CONTINUATION, b, 100, &ev), WS_EVENT_MESSAGE);
    cr_expect(slice_equal(ev.payload, slice_str("Hello")));
    cr_expect_eq(feed(&p, WS_FIN | WS_TEXT, slice_str("plain"), 100, &ev), WS_EVENT_MESSAGE);
    cr_expect_eq(ev.payload.len, 5);
    cr_expect_eq(p.frames, 4);
    cr_expect_eq(p.control_frames, 1);
    cr_expect_eq(feed(&p, WS_RSV1 | WS_TEXT, a, 100, &ev), WS_EVENT_NONE);
    cr_expect_eq(feed(&p, WS_FIN | WS_RSV1 | WS_CONTINUATION, b, 100, &ev), WS_EVENT_FAIL);
    cr_expect_eq(ev.code, WS_CLOSE_PROTOCOL);
    cr_expect_eq(ws_parser_held_bytes(&p), 0);
    ws_parser_done(&p);
}

static const struct {
    const char *name;
    uint8_t first;
    const char *payload;
    size_t len;
    uint16_t code;
} failures[] = {
    {"a control frame", WS_FIN | WS_RSV1 | WS_PING, "", 0, WS_CLOSE_PROTOCOL},
    {"another bit", WS_FIN | WS_RSV1 | 0x20 | WS_TEXT, "", 0, WS_CLOSE_PROTOCOL},
    {"no bytes", WS_FIN | WS_RSV1 | WS_TEXT, "", 0, WS_CLOSE_BAD_DATA},
    {"not deflate", WS_FIN | WS_RSV1 | WS_TEXT, "\xff\xff", 2, WS_CLOSE_BAD_DATA},
    {"no end", WS_FIN | WS_RSV1 | WS_TEXT, "\xf3\x48\xcd\xc9\xc9\x07\x00", 7, WS_CLOSE_BAD_DATA},
    {"not UTF-8, at once", WS_RSV1 | WS_TEXT, "\x00\x01\x00\xfe\xff\xc0", 6, WS_CLOSE_BAD_DATA},
    {"half a character", WS_FIN | WS_RSV1 | WS_TEXT, "\x00\x01\x00\xfe\xff\xc3\x00", 7,
     WS_CLOSE_BAD_DATA},
};

Test(ws_compress, failures)
{
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        for (size_t piece = 1; piece < 20; piece += 18) {
            struct ws_parser p;
            struct ws_event ev = {0};
            struct slice payload = slice_of(failures[i].payload, failures[i].len);
            ws_parser_init(&p, &LIMITS, deflater);
            enum ws_event_kind kind = feed(&p, failures[i].first, payload, piece, &ev);
            cr_expect_eq(kind, WS_EVENT_FAIL, "%s", failures[i].name);
            cr_expect_eq(ev.code, failures[i].code, "%s: %u", failures[i].name, ev.code);
            cr_expect_eq(ws_parser_held_bytes(&p), 0);
            ws_parser_done(&p);
        }
    }
}

/* ---- bounds ---- */

static size_t peak_rss_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    size_t kib = 0;

    cr_assert_not_null(f);
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "VmHWM: %zu", &kib) == 1)
            break;
    fclose(f);
    cr_assert(kib > 0);
    return kib;
}

/* One stored byte, and then a block that repeats it without end: 1 KiB of input for 1 MiB. */
static size_t write_bomb(uint8_t *out, size_t megabytes)
{
    z_stream z = {0};
    static uint8_t zeros[1u << 20];

    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = out;
    z.avail_out = (uInt)(megabytes * 1100);
    for (size_t i = 0; i < megabytes; i++) {
        z.next_in = zeros;
        z.avail_in = sizeof(zeros);
        cr_assert_eq(deflate(&z, i + 1 < megabytes ? Z_NO_FLUSH : Z_SYNC_FLUSH), Z_OK);
    }
    size_t len = z.total_out - 4;
    deflateEnd(&z);
    return len;
}

/* A gigabyte in a megabyte of frames: refused with the first byte that is too many. */
Test(ws_compress, a_bomb_goes_off_at_the_limit)
{
    static uint8_t bomb[1024 * 1100];
    size_t len = write_bomb(bomb, 1024);
    struct ws_parser p;
    struct ws_event ev = {0};

    cr_assert(len < 1100u << 10);
    size_t before = peak_rss_kib();
    ws_parser_init(&p, &LIMITS, deflater);
    size_t fed = 0;
    enum ws_event_kind kind = feed(&p, WS_RSV1 | WS_BINARY, slice_of(bomb, 1024), 4096, &ev);
    for (fed = 1024; kind == WS_EVENT_NONE; fed += 1024)
        kind = feed(&p, WS_CONTINUATION, slice_of(bomb + fed, 1024), 4096, &ev);
    cr_expect_eq(kind, WS_EVENT_FAIL);
    cr_expect_eq(ev.code, WS_CLOSE_TOO_LARGE);
    cr_expect_leq(fed, 20u << 10, "%zu bytes were taken", fed);
    cr_expect_eq(ws_parser_held_bytes(&p), 0);
    ws_parser_done(&p);
    size_t grown = peak_rss_kib() - before;
    /* The buffer doubles: it and the one before it are there at a time. */
    cr_expect_leq(grown, 3 * MESSAGE_MAX / 1024, "%zu KiB", grown);
}

/* A kilobyte for a gigabyte cannot be had of DEFLATE alone; a small limit shows the same of one
 * frame. */
Test(ws_compress, a_bomb_in_one_frame)
{
    static const struct ws_limits small = {.message_bytes = 65536, .fragments = FRAGMENTS};
    static uint8_t bomb[1100];
    size_t len = write_bomb(bomb, 1);
    struct ws_parser p;
    struct ws_event ev = {0};

    ws_parser_init(&p, &small, deflater);
    cr_expect_eq(feed(&p, WS_FIN | WS_RSV1 | WS_BINARY, slice_of(bomb, len), 4096, &ev),
                 WS_EVENT_FAIL);
    cr_expect_eq(ev.code, WS_CLOSE_TOO_LARGE);
    ws_parser_done(&p);
}

Test(ws_compress, the_limit_itself_fits)
{
    static const struct ws_limits small = {.message_bytes = 65536, .fragments = FRAGMENTS};
    static uint8_t noise[65537];
    uint64_t seed = 7;

    for (size_t i = 0; i < sizeof(noise); i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        noise[i] = (uint8_t)(seed >> 56);
    }
    for (size_t over = 0; over < 2; over++) {
        size_t len;
        uint8_t *packed = pack(noise, 65536 + over, &len);
        struct ws_parser p;
        struct ws_event ev = {0};
        ws_parser_init(&p, &small, deflater);
        cr_assert_gt(len, 65536); /* longer than it was */
        enum ws_event_kind kind =
            feed(&p, WS_FIN | WS_RSV1 | WS_BINARY, slice_of(packed, len), len + 100, &ev);
        cr_expect_eq(kind, over ? WS_EVENT_FAIL : WS_EVENT_MESSAGE);
        cr_expect_eq(ev.code, over ? WS_CLOSE_TOO_LARGE : 0);
        ws_parser_done(&p);
        free(packed);
    }
}

/* Nothing comes of it, and it has no end: bounded by what is sent. */
Test(ws_compress, empty_blocks_are_bounded)
{
    static const struct ws_limits small = {.message_bytes = 1024, .fragments = FRAGMENTS};
    struct ws_parser p;
    struct ws_event ev = {0};
    struct slice blocks = slice_of("\x00\x00\x00\xff\xff\x00\x00\x00\xff\xff", 10);
    size_t fed = 0;

    ws_parser_init(&p, &small, deflater);
    enum ws_event_kind kind = feed(&p, WS_RSV1 | WS_BINARY, blocks, 100, &ev);
    for (; kind == WS_EVENT_NONE && fed < 10000; fed += blocks.len)
        kind = feed(&p, WS_CONTINUATION, blocks, 100, &ev);
    cr_expect_eq(kind, WS_EVENT_FAIL);
    cr_expect_eq(ev.code, WS_CLOSE_TOO_LARGE);
    cr_expect_lt(fed, 1200);
    ws_parser_done(&p);
}

/* ---- frames of the server ---- */

/* Reads a frame of the server back; returns what is behind it. */
static struct slice read_frame(struct slice in, uint8_t *ret_first, struct slice *ret_payload)
{
    size_t head = 2;
    size_t len = in.data[1];

    if (len == 126) {
        len = (size_t)in.data[2] << 8 | in.data[3];
        head = 4;
    } else if (len == 127) {
        len = (size_t)in.data[6] << 24 | (size_t)in.data[7] << 16 | (size_t)in.data[8] << 8 |
              in.data[9];
        head = 10;
    }
    *ret_first = in.data[0];
    *ret_payload = slice_of(in.data + head, len);
    cr_assert_leq(head + len, in.len);
    return slice_of(in.data + head + len, in.len - head - len);
}

static void expect_frame(struct slice *in, uint8_t first, struct slice message)
{
    uint8_t got;
    struct slice payload;

    *in = read_frame(*in, &got, &payload);
    cr_assert_eq(got, first);
    if (first & WS_RSV1)
        expect_message(payload, (first & 0x0f) == WS_TEXT, 1000, message);
    else
        cr_expect(slice_equal(payload, message));
}

static void fill(uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        text[i] = "a few words again "[i % 18];
}

Test(ws_compress, frames_above_the_minimum_are_compressed)
{
    static uint8_t text[5000];
    struct blob *frames[4];
    struct slice parts[4];

    fill(text, sizeof(text));
    frames[0] = ws_frame(WS_TEXT, slice_of(text, sizeof(text)));
    frames[1] = ws_frame(WS_BINARY, slice_of(text, WS_COMPRESS_MIN));
    frames[2] = ws_frame(WS_BINARY, slice_of(text, WS_COMPRESS_MIN + 1));
    frames[3] = ws_frame(WS_PING, slice_str("p"));
    for (size_t i = 0; i < 4; i++)
        parts[i] = blob_slice(frames[i]);
    struct blob *b = ws_compress_frames(deflater, parts, 4);
    cr_assert_not_null(b);
    struct slice rest = blob_slice(b);
    expect_frame(&rest, WS_FIN | WS_RSV1 | WS_TEXT, slice_of(text, sizeof(text)));
    expect_frame(&rest, WS_FIN | WS_BINARY, slice_of(text, WS_COMPRESS_MIN));
    expect_frame(&rest, WS_FIN | WS_RSV1 | WS_BINARY, slice_of(text, WS_COMPRESS_MIN + 1));
    expect_frame(&rest, WS_FIN | WS_PING, slice_str("p"));
    cr_expect_eq(rest.len, 0);
    cr_expect_lt(b->len, 2000);
    blob_unref(b);
    cr_expect_null(ws_compress_frames(deflater, parts + 1, 1));
    cr_expect_null(ws_compress_frames(deflater, parts + 3, 1));
    for (size_t i = 0; i < 4; i++)
        blob_unref(frames[i]);
}

Test(ws_compress, too_much_is_left_alone)
{
    static uint8_t text[WS_COMPRESS_MAX];

    fill(text, sizeof(text));
    struct blob *over = ws_frame(WS_BINARY, slice_of(text, sizeof(text)));
    struct blob *most = ws_frame(WS_BINARY, slice_of(text, sizeof(text) - 10));
    struct slice bytes = blob_slice(over);
    cr_expect_null(ws_compress_frames(deflater, &bytes, 1));
    bytes = blob_slice(most);
    struct blob *b = ws_compress_frames(deflater, &bytes, 1);
    cr_assert_not_null(b);
    struct slice rest = blob_slice(b);
    expect_frame(&rest, WS_FIN | WS_RSV1 | WS_BINARY, slice_of(text, sizeof(text) - 10));
    blob_unref(b);
    blob_unref(over);
    blob_unref(most);
}

/* Recipients share one compressed form, which lives as long as somebody holds it. */
Test(ws_compress, blobs_keep_their_compressed_form)
{
    static uint8_t text[5000];

    fill(text, sizeof(text));
    struct blob *frame = ws_frame(WS_TEXT, slice_of(text, sizeof(text)));
    struct blob *b = blob_ref(ws_compress_blob(deflater, frame));
    cr_expect(b != frame);
    cr_expect(ws_compress_blob(deflater, frame) == b);
    blob_unref(frame);
    struct slice rest = blob_slice(b);
    expect_frame(&rest, WS_FIN | WS_RSV1 | WS_TEXT, slice_of(text, sizeof(text)));
    blob_unref(b);
    struct blob *small = ws_frame(WS_TEXT, slice_str("small"));
    cr_expect(ws_compress_blob(deflater, small) == small);
    blob_unref(small);
}

/* A document lies in another blob than the head of its frame. Whoever asks gets the same form. */
Test(ws_compress, answers_in_parts)
{
    static uint8_t text[50000];
    struct answer *a = answer_new();

    fill(text, sizeof(text));
    struct blob *document = blob_copy(slice_of(text + 3, sizeof(text) - 3));
    answer_add_new(a, ws_frame(WS_BINARY, slice_str("first")));
    answer_add_new(a, ws_frame_begin(WS_BINARY, slice_of(text, 3), document->len));
    answer_add_rest(a, document);
    blob_unref(document);
    answer_add_new(a, ws_frame(WS_TEXT, slice_str("last")));
    struct blob *b = answer_compressed(a, deflater);
    cr_assert_not_null(b);
    cr_expect(answer_compressed(a, deflater) == b);
    struct slice rest = blob_slice(b);
    expect_frame(&rest, WS_FIN | WS_BINARY, slice_str("first"));
    expect_frame(&rest, WS_FIN | WS_RSV1 | WS_BINARY, slice_of(text, sizeof(text)));
    expect_frame(&rest, WS_FIN | WS_TEXT, slice_str("last"));
    cr_expect_eq(rest.len, 0);
    answer_unref(a);
}

/* A turn of the loop can end between the pieces of what becomes much. */
Test(ws_compress, a_bomb_comes_in_pieces)
{
    static const struct ws_limits large = {.message_bytes = 16 << 20, .fragments = FRAGMENTS};
    struct deflate *d = deflate_new();
    uint8_t *zeros = calloc(1, 8 << 20);
    struct ws_event ev;
    struct ws_parser p;
    size_t packed_len, len;
    uint64_t most = 0;
    enum ws_event_kind kind;

    uint8_t *packed = pack(zeros, 8 << 20, &packed_len);
    uint8_t *frame = client_frame(WS_FIN | WS_RSV1 | WS_BINARY, slice_of(packed, packed_len), &len);
    uint8_t *data = frame;
    ws_parser_init(&p, &large, d);
    do {
        uint64_t before = p.inflated;
        kind = ws_parser_next(&p, &data, &len, &ev);
        most = p.inflated - before > most ? p.inflated - before : most;
    } while (kind == WS_EVENT_PIECE);
    cr_assert_eq(kind, WS_EVENT_MESSAGE);
    cr_expect_eq(ev.payload.len, 8 << 20);
    cr_expect_eq(p.inflated, 8 << 20);
    cr_expect_leq(most, WS_PIECE_MAX * 1100, "%lu", (unsigned long)most);
    ws_parser_done(&p);
    deflate_free(d);
    free(frame);
    free(packed);
    free(zeros);
}
