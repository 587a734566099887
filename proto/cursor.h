/*
 * A cursor that reads msgpack (specification: msgpack/spec.md) from a slice without allocating. It
 * takes every encoding of a value that the specification allows, never reads beyond the slice and
 * never trusts a length before the bytes are there. Sticky: after the first failure every read
 * fails.
 */
#pragma once

#include "common/slice.h"

struct cursor {
    const uint8_t *pos;
    const uint8_t *end;
    bool has_failed;
};

void cursor_init(struct cursor *c, struct slice bytes);
uint32_t cursor_array(struct cursor *c); /* the element count */
uint64_t cursor_uint(struct cursor *c, uint64_t max);
bool cursor_bool(struct cursor *c);
/* bin or str of at most `max` bytes, borrowed. */
struct slice cursor_bytes(struct cursor *c, size_t max);
/* Passes over one value of any type, nested at most 32 deep. */
void cursor_skip(struct cursor *c);
/* Everything was read and nothing failed. */
bool cursor_is_done(const struct cursor *c);
