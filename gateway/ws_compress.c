#include "gateway/ws_compress.h"

#include "gateway/deflate.h"
#include "gateway/ws.h"

#include <assert.h>

#define PARTS_MAX 8u /* that one payload may lie in */

/* Reads bytes that lie in several parts. */
struct cursor {
    const struct slice *parts;
    size_t count;
    size_t offset; /* in the first of them */
};

struct frame {
    uint8_t first; /* FIN, reserved bits and opcode */
    size_t len;    /* of its payload, */
    struct slice payload[PARTS_MAX];
    size_t count; /* which lies in so many parts */
};

static void skip_empty(struct cursor *c)
{
    while (c->count > 0 && c->offset == c->parts[0].len) {
        c->parts++;
        c->count--;
        c->offset = 0;
    }
}

/* Takes up to `len` bytes that lie in one part. */
static struct slice take_some(struct cursor *c, size_t len)
{
    skip_empty(c);
    assert(c->count > 0);
    size_t left = c->parts[0].len - c->offset;
    struct slice some = slice_of(c->parts[0].data + c->offset, len < left ? len : left);
    c->offset += some.len;
    return some;
}

static uint64_t take_number(struct cursor *c, size_t octets)
{
    uint64_t n = 0;

    for (size_t i = 0; i < octets; i++)
        n = n << 8 | take_some(c, 1).data[0];
    return n;
}

/* Takes the next frame; false at the end. They are ours: whole and not masked. */
static bool take_frame(struct cursor *c, struct frame *ret)
{
    skip_empty(c);
    if (c->count == 0)
        return false;
    *ret = (struct frame){.first = (uint8_t)take_number(c, 1)};
    size_t len = take_number(c, 1);
    ret->len = len < 126 ? len : take_number(c, len == 126 ? 2 : 8);
    for (size_t got = 0; got < ret->len; got += ret->payload[ret->count++].len) {
        assert(ret->count < PARTS_MAX);
        ret->payload[ret->count] = take_some(c, ret->len - got);
    }
    return true;
}

static bool is_worth_it(const struct frame *f)
{
    uint8_t opcode = f->first & 0x0f;

    assert(!(f->first & WS_RSV) && (f->first & WS_FIN));
    return (opcode == WS_TEXT || opcode == WS_BINARY) && f->len > WS_COMPRESS_MIN;
}

/* Returns the length. */
static size_t copy_payload(const struct frame *f, uint8_t *out)
{
    for (size_t i = 0; i < f->count; i++) {
        memcpy(out, f->payload[i].data, f->payload[i].len);
        out += f->payload[i].len;
    }
    return f->len;
}

/* Writes the frame and returns its length. */
static size_t put_frame(struct deflate *deflate, const struct frame *f, uint8_t *out)
{
    uint8_t head[WS_HEAD_MAX];
    uint8_t first = f->first;
    size_t len = 0;

    if (is_worth_it(f))
        len = deflate_message(deflate, f->payload, f->count, out + WS_HEAD_MAX);
    if (len > 0)
        first |= WS_RSV1;
    else
        len = copy_payload(f, out + WS_HEAD_MAX);
    size_t head_len = ws_write_head(first, len, head);
    memcpy(out, head, head_len);
    memmove(out + head_len, out + WS_HEAD_MAX, len);
    return head_len + len;
}

/* The most bytes that the frames may take; 0 if none is worth it. */
static size_t frames_bound(struct deflate *deflate, struct cursor c)
{
    bool is_any_worth_it = false;
    size_t bound = 0;
    struct frame f;

    while (take_frame(&c, &f)) {
        is_any_worth_it |= is_worth_it(&f);
        bound += WS_HEAD_MAX + (is_worth_it(&f) ? deflate_bound(deflate, f.len) : f.len);
    }
    return is_any_worth_it ? bound : 0;
}

struct blob *ws_compress_frames(struct deflate *deflate, const struct slice *parts, size_t count)
{
    struct cursor c = {.parts = parts, .count = count};
    size_t total = 0;
    size_t len = 0;
    struct frame f;

    for (size_t i = 0; i < count; i++)
        total += parts[i].len;
    if (total <= WS_COMPRESS_MIN || total > WS_COMPRESS_MAX)
        return NULL;
    size_t bound = frames_bound(deflate, c);
    uint8_t *out CLEANUP_FREE = bound > 0 ? try_alloc(bound) : NULL;
    if (!out)
        return NULL;
    while (take_frame(&c, &f))
        len += put_frame(deflate, &f, out + len);
    struct blob *frames = blob_try_new(len);
    if (frames)
        memcpy(frames->data, out, len);
    return frames;
}

struct blob *ws_compress_blob(struct deflate *deflate, struct blob *frames)
{
    struct slice bytes = blob_slice(frames);

    if (!frames->compressed)
        frames->compressed = ws_compress_frames(deflate, &bytes, 1);
    return frames->compressed ? frames->compressed : frames;
}
