/*
 * lib0: the primitives that Yjs's formats are made of, read from a slice that is never overrun and
 * written to a struct crdt_buf. Format: lib0 0.2 `encoding.js`/`decoding.js`.
 *
 * Readers are sticky: after the first bad read every read fails, so a sequence of reads needs one
 * check at its end. What a reader returns by pointer borrows the slice it reads.
 */
#pragma once

#include <string.h>

#include "crdt.h"

#define CRDT_MAX_CLIENT ((UINT64_C(1) << 53) - 1)
#define CRDT_MAX_CLOCK  UINT64_C(0xffffffff) /* of clocks, lengths and their sums */

struct lib0_reader {
    const uint8_t *pos;
    const uint8_t *end;
    bool has_failed;
};

void lib0_reader_init(struct lib0_reader *r, const uint8_t *data, size_t len);

/* Bytes not yet read. */
static inline size_t lib0_remaining(const struct lib0_reader *r)
{
    return (size_t)(r->end - r->pos);
}

/* Makes `r` fail from now on; what is left is not read. */
static inline void lib0_fail(struct lib0_reader *r)
{
    r->pos = r->end;
    r->has_failed = true;
}

uint64_t lib0_read_long_uint(struct lib0_reader *r);

/* Unsigned LEB128. Fails above 2^53 - 1; non-minimal forms are accepted, as in lib0. A failed read
 * gives 0. */
static inline uint64_t lib0_read_uint(struct lib0_reader *r)
{
    const uint8_t *p = r->pos;

    /* One byte is by far the most common, then come the two and three bytes of clocks; they are
     * worth having without a call. */
    if (__builtin_expect(r->end - p >= 3, 1)) {
        if (p[0] < 0x80) {
            r->pos = p + 1;
            return p[0];
        }
        if (p[1] < 0x80) {
            r->pos = p + 2;
            return (p[0] & 0x7fu) | (uint32_t)p[1] << 7;
        }
        if (p[2] < 0x80) {
            r->pos = p + 3;
            return (p[0] & 0x7fu) | (p[1] & 0x7fu) << 7 | (uint32_t)p[2] << 14;
        }
    }
    return lib0_read_long_uint(r);
}

static inline uint8_t lib0_read_u8(struct lib0_reader *r)
{
    if (__builtin_expect(r->pos < r->end, 1))
        return *r->pos++;
    lib0_fail(r);
    return 0;
}

/* Sign and magnitude: -0 is a value of its own, `*ret_negative` tells. */
uint64_t lib0_read_int(struct lib0_reader *r, bool *ret_negative);

/* `len` bytes; NULL on failure. */
static inline const uint8_t *lib0_read_bytes(struct lib0_reader *r, size_t len)
{
    const uint8_t *data = r->pos;
    if (__builtin_expect(len > lib0_remaining(r) || r->has_failed, 0)) {
        lib0_fail(r);
        return NULL;
    }
    r->pos += len;
    return data;
}

/* A length and that many bytes. */
struct crdt_slice lib0_read_slice(struct lib0_reader *r);
/* The same, and it must be well-formed UTF-8. */
struct crdt_slice lib0_read_string(struct lib0_reader *r);
/* The same, with its length in UTF-16 units. */
struct crdt_slice lib0_read_measured_string(struct lib0_reader *r, uint64_t *ret_units);

int lib0_grow(struct crdt_buf *buf, size_t len);

/* Makes room for `len` more bytes; returns buf->error. */
static inline int lib0_reserve(struct crdt_buf *buf, size_t len)
{
    if (__builtin_expect(len <= buf->cap - buf->len && !buf->error, 1))
        return 0;
    return lib0_grow(buf, len);
}

/* Appends; a failure sets buf->error and later appends do nothing. */
static inline void lib0_write_u8(struct crdt_buf *buf, uint8_t value)
{
    if (lib0_reserve(buf, 1) == 0)
        buf->data[buf->len++] = value;
}

/* The bytes of a number at `p`, which has room for 10; returns their end. */
static inline uint8_t *lib0_put_uint(uint8_t *p, uint64_t value)
{
    while (value >= 0x80) {
        *p++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *p++ = (uint8_t)value;
    return p;
}

static inline void lib0_write_uint(struct crdt_buf *buf, uint64_t value)
{
    if (lib0_reserve(buf, 10) == 0)
        buf->len = (size_t)(lib0_put_uint(buf->data + buf->len, value) - buf->data);
}

static inline void lib0_write_bytes(struct crdt_buf *buf, const void *data, size_t len)
{
    if (len == 0 || lib0_reserve(buf, len) != 0)
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

/* The same of a number with a sign, which takes 11 bytes at most. */
static inline uint8_t *lib0_put_int(uint8_t *p, uint64_t magnitude, bool is_negative)
{
    bool is_long = magnitude >> 6 != 0;

    p[0] = (uint8_t)((is_long ? 0x80 : 0) | (is_negative ? 0x40 : 0) | (magnitude & 0x3f));
    if (magnitude >> 13 != 0)
        return lib0_put_uint(p + 1, magnitude >> 6);
    /* One byte or two is hard to predict, and not worth a branch. */
    p[1] = (uint8_t)(magnitude >> 6);
    return p + 1 + is_long;
}

static inline void lib0_write_int(struct crdt_buf *buf, uint64_t magnitude, bool is_negative)
{
    if (lib0_reserve(buf, 11) == 0)
        buf->len = (size_t)(lib0_put_int(buf->data + buf->len, magnitude, is_negative) - buf->data);
}

void lib0_write_slice(struct crdt_buf *buf, const void *data, size_t len); /* length first */

/* Is it UTF-8 as a fatal TextDecoder takes it (no surrogates, no overlong forms, <= U+10FFFF)? */
bool lib0_utf8_is_valid(const uint8_t *data, size_t len);
/* The same, and on success its length in UTF-16 units. */
bool lib0_utf8_measure(const uint8_t *data, size_t len, uint64_t *ret_units);
/* UTF-16 units of valid UTF-8. */
uint64_t lib0_utf16_len(const uint8_t *data, size_t len);
/* Byte offset of the UTF-16 unit `unit` in valid UTF-8; `*ret_is_inside` if it lies between the two
 * halves of a surrogate pair (the offset is then that of the pair's start). `unit` must not be
 * beyond the end. */
size_t lib0_utf16_offset(const uint8_t *data, size_t len, uint64_t unit, bool *ret_is_inside);
