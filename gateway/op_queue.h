/* op_queue: edits of a client that are not answered or not stored yet, oldest first. A ring; the
 * largest count and size are the owner's to watch. Zero-initialise. */
#pragma once

#include "common/blob.h"

struct op {
    uint64_t number;    /* of the session, ascending */
    uint64_t seq;       /* of the room, once it applied the edit */
    uint64_t tag;       /* the dialect's: the client's own number of the edit */
    struct blob *frame; /* the message to the room, or NULL; the queue holds a reference */
};

#define OP_OVERHEAD 128u /* bytes that an op counts beside its frame */

struct op_queue {
    struct op *ring;
    uint32_t cap; /* power of two, or 0 */
    uint32_t head;
    uint32_t count;
    size_t bytes; /* frames and OP_OVERHEAD for each op */
};

void op_queue_done(struct op_queue *q);
/* Takes over op->frame. */
void op_queue_push(struct op_queue *q, const struct op *op);
/* The i-th oldest, i < count. Valid until the next push or take. */
struct op *op_queue_at(const struct op_queue *q, uint32_t i);
/* Removes the op with this number into `*ret` (the caller then owns its frame). False without it.
 */
bool op_queue_take(struct op_queue *q, uint64_t number, struct op *ret);
/* Removes the oldest, which must be there. */
struct op op_queue_pop(struct op_queue *q);
