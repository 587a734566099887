#include "proto/cursor.h"

#define SKIP_DEPTH_MAX 32

void cursor_init(struct cursor *c, struct slice bytes)
{
    *c = (struct cursor){.pos = bytes.data, .end = bytes.data + bytes.len};
}

static const uint8_t *fail(struct cursor *c)
{
    c->has_failed = true;
    c->pos = c->end;
    return NULL;
}

/* The next `len` bytes, or NULL. */
static const uint8_t *take(struct cursor *c, size_t len)
{
    if (c->has_failed || (size_t)(c->end - c->pos) < len)
        return fail(c);
    const uint8_t *p = c->pos;
    c->pos += len;
    return p;
}

/* A big-endian number of 1, 2, 4 or 8 bytes. */
static uint64_t take_uint(struct cursor *c, size_t bytes)
{
    const uint8_t *p = take(c, bytes);
    uint64_t n = 0;

    for (size_t i = 0; p && i < bytes; i++)
        n = n << 8 | p[i];
    return n;
}

/* The type byte; 0xc1, which msgpack never uses, after a failure. */
static uint8_t take_type(struct cursor *c)
{
    const uint8_t *p = take(c, 1);
    return p ? *p : 0xc1;
}

uint32_t cursor_array(struct cursor *c)
{
    uint8_t type = take_type(c);

    if ((type & 0xf0) == 0x90)
        return type & 0x0f;
    if (type == 0xdc)
        return (uint32_t)take_uint(c, 2);
    if (type == 0xdd)
        return (uint32_t)take_uint(c, 4);
    (void)fail(c);
    return 0;
}

uint64_t cursor_uint(struct cursor *c, uint64_t max)
{
    uint8_t type = take_type(c);
    uint64_t n = type;

    if (type >= 0xcc && type <= 0xcf) {
        n = take_uint(c, (size_t)1 << (type - 0xcc));
    } else if (type >= 0xd0 && type <= 0xd3) { /* signed, and not below zero */
        size_t bytes = (size_t)1 << (type - 0xd0);
        n = take_uint(c, bytes);
        if (n >> (8 * bytes - 1))
            (void)fail(c);
    } else if (type > 0x7f) {
        (void)fail(c);
    }
    if (n > max)
        (void)fail(c);
    return c->has_failed ? 0 : n;
}

bool cursor_bool(struct cursor *c)
{
    uint8_t type = take_type(c);

    if (type != 0xc2 && type != 0xc3)
        (void)fail(c);
    return type == 0xc3;
}

/* The length of a bin or str whose type byte was read. */
static uint64_t bytes_len(struct cursor *c, uint8_t type)
{
    if ((type & 0xe0) == 0xa0)
        return type & 0x1f;
    if (type >= 0xc4 && type <= 0xc6)
        return take_uint(c, (size_t)1 << (type - 0xc4));
    if (type >= 0xd9 && type <= 0xdb)
        return take_uint(c, (size_t)1 << (type - 0xd9));
    (void)fail(c);
    return 0;
}

struct slice cursor_bytes(struct cursor *c, size_t max)
{
    uint64_t len = bytes_len(c, take_type(c));

    if (len > max)
        (void)fail(c);
    const uint8_t *p = take(c, (size_t)len);
    return p ? slice_of(p, (size_t)len) : slice_of("", 0);
}

/* Passes over the head of a value and its bytes; returns how many values are nested in it. */
static uint64_t skip_one(struct cursor *c)
{
    uint8_t type = take_type(c);

    if (type <= 0x7f || type >= 0xe0 || (type >= 0xc2 && type <= 0xc3) || type == 0xc0)
        return 0;
    if ((type & 0xf0) == 0x80)
        return 2 * (uint64_t)(type & 0x0f);
    if ((type & 0xf0) == 0x90)
        return type & 0x0f;
    if (type >= 0xdc && type <= 0xdd)
        return take_uint(c, type == 0xdc ? 2 : 4);
    if (type >= 0xde && type <= 0xdf)
        return 2 * take_uint(c, type == 0xde ? 2 : 4);
    if (type >= 0xcc && type <= 0xd3) {
        (void)take(c, (size_t)1 << ((type - 0xcc) & 3));
        return 0;
    }
    if (type >= 0xca && type <= 0xcb) {
        (void)take(c, type == 0xca ? 4 : 8);
        return 0;
    }
    if (type >= 0xc7 && type <= 0xc9) { /* ext: length, then a type byte */
        uint64_t len = take_uint(c, (size_t)1 << (type - 0xc7));
        (void)take(c, (size_t)len + 1);
        return 0;
    }
    if (type >= 0xd4 && type <= 0xd8) { /* fixext */
        (void)take(c, ((size_t)1 << (type - 0xd4)) + 1);
        return 0;
    }
    (void)take(c, (size_t)bytes_len(c, type));
    return 0;
}

void cursor_skip(struct cursor *c)
{
    uint64_t left[SKIP_DEPTH_MAX] = {1};
    int depth = 0;

    while (depth >= 0 && !c->has_failed) {
        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        uint64_t nested = skip_one(c);
        if (nested == 0)
            continue;
        if (depth + 1 == SKIP_DEPTH_MAX || nested > (uint64_t)(c->end - c->pos)) {
            (void)fail(c);
            return;
        }
        left[++depth] = nested;
    }
}

bool cursor_is_done(const struct cursor *c)
{
    return !c->has_failed && c->pos == c->end;
}
