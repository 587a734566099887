/* Frames as a client sends them: taken whole, and cut into pieces, they must give the same events.
 * The first byte of an input says whether messages may be compressed (bit 0), how the pieces are
 * cut (bits 1 to 6; 0: in single bytes) and whether the frames are put together from parts (bit 7),
 * so that an input need not know of masks and lengths. */
#include "fuzz.h"

#include "gateway/deflate.h"
#include "gateway/ws.h"

#define MESSAGE_MAX 8192u
#define FRAGMENTS   16u

/* What the events were, as one number, and their last code. */
struct trace {
    uint64_t hash;
    uint64_t events;
    uint64_t payload_bytes;
    uint16_t code;
    bool is_ended;
};

static void note(struct trace *t, const void *data, size_t len)
{
    const uint8_t *octets = data;

    for (size_t i = 0; i < len; i++)
        t->hash = (t->hash ^ octets[i]) * 1099511628211u;
}

static void note_event(struct trace *t, enum ws_event_kind kind, const struct ws_event *ev)
{
    CHECK(!t->is_ended);
    t->events++;
    note(t, &kind, sizeof(kind));
    if (kind == WS_EVENT_CLOSE || kind == WS_EVENT_FAIL) {
        t->is_ended = true;
        t->code = ev->code;
        CHECK(ws_close_code_is_valid(ev->code) || ev->code == WS_CLOSE_NONE);
        CHECK((kind == WS_EVENT_FAIL) == (ev->reason != NULL));
        return;
    }
    CHECK(ev->payload.len <= (kind == WS_EVENT_MESSAGE ? MESSAGE_MAX : WS_CONTROL_MAX));
    note(t, &ev->is_text, kind == WS_EVENT_MESSAGE ? sizeof(ev->is_text) : 0);
    note(t, &ev->payload.len, sizeof(ev->payload.len));
    note(t, ev->payload.data, ev->payload.len);
    t->payload_bytes += ev->payload.len;
}

/* Feeds one piece, a copy of exactly its size. */
static void feed(struct ws_parser *p, struct slice piece, struct trace *t)
{
    uint8_t *copy = malloc(piece.len ? piece.len : 1);
    uint8_t *data = copy;
    size_t len = piece.len;
    struct ws_event ev;
    enum ws_event_kind kind;

    CHECK(copy);
    memcpy(copy, piece.data, piece.len);
    while ((kind = ws_parser_next(p, &data, &len, &ev)) != WS_EVENT_NONE)
        if (kind != WS_EVENT_PIECE)
            note_event(t, kind, &ev);
    CHECK(len == 0 && data == copy + piece.len);
    CHECK(p->message_len <= MESSAGE_MAX && p->message_cap <= MESSAGE_MAX);
    CHECK(!t->is_ended || (!ws_parser_is_midway(p) && ws_parser_held_bytes(p) == 0));
    free(copy);
}

static struct trace run(struct slice input, size_t piece, struct deflate *deflate)
{
    static const struct ws_limits limits = {.message_bytes = MESSAGE_MAX, .fragments = FRAGMENTS};
    struct trace t = {.hash = 14695981039346656037u};
    struct ws_parser p;

    ws_parser_init(&p, &limits, deflate);
    for (size_t at = 0; at < input.len; at += piece)
        feed(&p, slice_of(input.data + at, piece < input.len - at ? piece : input.len - at), &t);
    CHECK(p.control_frames <= p.frames && t.events <= p.frames + 1);
    note(&t, &p.frames, sizeof(p.frames));
    note(&t, &p.control_frames, sizeof(p.control_frames));
    ws_parser_done(&p);
    return t;
}

/* Frames with these first octets and payloads, masked. The caller frees `ret->data`. */
static void build_frames(struct crdt_slice rest, struct slice *ret)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t *out = malloc(8 * rest.len + 1); /* a part of no bytes takes one and makes six */
    size_t len = 0;

    CHECK(out);
    while (rest.len > 0) {
        struct crdt_slice payload;
        uint8_t first = take_byte(&rest);
        take_copy(&rest, take_byte(&rest), &payload);
        size_t head = ws_write_head(first, payload.len, out + len);
        out[len + 1] |= 0x80;
        len += head;
        memcpy(out + len, mask, sizeof(mask));
        memcpy(out + len + sizeof(mask), payload.data, payload.len);
        ws_mask(out + len + sizeof(mask), payload.len, mask, 0);
        len += sizeof(mask) + payload.len;
        free_slice(&payload);
    }
    *ret = slice_of(out, len);
}

/* What must hold of any bytes. */
static void check(struct slice input, size_t piece, struct deflate *deflate)
{
    struct trace whole = run(input, input.len + 1, deflate);
    struct trace cut = run(input, piece, deflate);

    CHECK(whole.hash == cut.hash && whole.events == cut.events && whole.code == cut.code);
    CHECK(whole.payload_bytes == cut.payload_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct deflate *deflate; /* its states are used again, as the gateway does */
    struct crdt_slice rest = {data, size};
    uint8_t options = take_byte(&rest);
    size_t piece = 1 + (options >> 1 & 0x3f);
    struct slice input = slice_of(rest.data, rest.len);

    if (!deflate)
        deflate = deflate_new();
    if (options & 0x80)
        build_frames(rest, &input);
    check(input, piece, options & 1 ? deflate : NULL);
    if (options & 0x80)
        free((void *)(uintptr_t)input.data);
    return 0;
}
