/*
 * What waits to be written to one descriptor: a ring of shared blobs, written with writev. Its
 * owner decides what a full queue means; the queue only counts bytes.
 */
#pragma once

#include "common/blob.h"

struct txq_entry {
    struct blob *blob;
    size_t offset; /* bytes of it already written */
    bool is_rest;  /* goes on with the frame of the entry before */
    bool is_shared;
};

struct txq {
    struct txq_entry *ring;
    uint32_t cap; /* power of two, or 0 */
    uint32_t head;
    uint32_t count;
    size_t bytes; /* still to write */
    size_t held;  /* of them, the first that may not be dropped any more */
};

void txq_done(struct txq *q);
/* Takes its own reference. */
void txq_push(struct txq *q, struct blob *b);
/* The same for a blob that goes on with the frame of the one before. */
void txq_push_rest(struct txq *q, struct blob *b);
/* The same for what txq_drop_shared() may drop, all of a frame or nothing. */
void txq_push_shared(struct txq *q, struct blob *b);
void txq_push_shared_rest(struct txq *q, struct blob *b);
/* Drops every frame that has not been started; framing needs the rest of one that has been. */
void txq_drop_unsent(struct txq *q);
/* Drops those of them that are shared; the others keep their order. */
void txq_drop_shared(struct txq *q);
/* Writes until the queue is empty (1) or the descriptor would block (0); -errno on failure. */
int txq_flush(struct txq *q, int fd);
/* The same for the first `bytes` of what waits only. */
int txq_flush_some(struct txq *q, int fd, size_t bytes);
/* The first blob with bytes to write; the queue must not be empty. */
struct slice txq_front(const struct txq *q);
/* Copies the first `len` bytes that wait, which must be there. */
void txq_copy(const struct txq *q, void *out, size_t len);
/* The first `bytes` are on their way by other means, as encrypted ones are before the descriptor
 * takes them: they stay until txq_advance() counts them. */
void txq_hold(struct txq *q, size_t bytes);
/* Counts `bytes` as written by other means. */
void txq_advance(struct txq *q, size_t bytes);
