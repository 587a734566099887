/*
 * lib0: the primitives that Yjs's formats are made of, read from a slice that is never overrun and
 * written to a struct crdt_buf. Format: lib0 0.2 `encoding.js`/`decoding.js`.
 *
 * Readers are sticky: after the first bad read every read fails, so a sequence of reads needs one
 * check at its end. What a reader returns by pointer borrows the slice it reads.
 */
#pragma once

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
    /* One byte is by far the most common, and worth having without a call. */
    if (__builtin_expect(r->pos < r->end && *r->pos < 0x80, 1))
        return *r->pos++;
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

/* Appends; a failure sets buf->error and later appends do nothing. */
void lib0_write_u8(struct crdt_buf *buf, uint8_t value);
void lib0_write_uint(struct crdt_buf *buf, uint64_t value);
void lib0_write_int(struct crdt_buf *buf, uint64_t magnitude, bool is_negative);
void lib0_write_bytes(struct crdt_buf *buf, const void *data, size_t len);
void lib0_write_slice(struct crdt_buf *buf, const void *data, size_t len); /* length first */
/* Makes room for `len` more bytes; returns buf->error. */
int lib0_reserve(struct crdt_buf *buf, size_t len);

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
