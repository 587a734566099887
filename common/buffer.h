/* A growable byte buffer for what a process builds or collects. Appends abort without memory;
 * callers bound what a peer may make it hold. Zero-initialise; buffer_done() frees. */
#pragma once

#include "common/blob.h"

struct buffer {
    uint8_t *data;
    size_t len;
    size_t cap;
};

void buffer_done(struct buffer *b);
/* Room for `len` more bytes; returns where they go. buffer_add_len() then counts them in. */
uint8_t *buffer_reserve(struct buffer *b, size_t len);
static inline void buffer_add_len(struct buffer *b, size_t len)
{
    b->len += len;
}
void buffer_append(struct buffer *b, const void *data, size_t len);
void buffer_append_str(struct buffer *b, const char *s);
void buffer_printf(struct buffer *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first `len` bytes. */
void buffer_consume(struct buffer *b, size_t len);

static inline struct slice buffer_slice(const struct buffer *b)
{
    return slice_of(b->data, b->len);
}
