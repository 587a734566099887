/*
 * A refcounted, immutable buffer: one encoded frame shared by every queue that it waits in. Counts
 * are not atomic: a blob belongs to one process and one thread.
 */
#pragma once

#include "common/slice.h"

struct blob {
    uint32_t refs;
    size_t len;
    size_t *counter;         /* of a sum that has `len` in it; NULL: none */
    struct blob *compressed; /* the same, made when a recipient first wants it so; NULL: not made */
    uint8_t data[];
};

/* A new blob with one reference and uninitialised data, to be filled before it is shared. Aborts
 * without memory. */
struct blob *blob_new(size_t len);
/* The same, NULL without memory: for lengths that a peer chose. */
struct blob *blob_try_new(size_t len);
struct blob *blob_copy(struct slice bytes);

/* Adds its length to `*counter`, which it is taken from again when the last reference is given
 * back: the sum is that of what is really held, however many share it. Once a blob; `counter` must
 * outlive it. */
void blob_count(struct blob *b, size_t *counter);

struct blob *blob_ref(struct blob *b);
/* Gives one reference back; NULL is allowed. */
void blob_unref(struct blob *b);

static inline struct slice blob_slice(const struct blob *b)
{
    return slice_of(b->data, b->len);
}
