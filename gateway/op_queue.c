#include "gateway/op_queue.h"

#include "common/memory.h"

#include <assert.h>

#define FIRST_CAP 4u
#define KEPT_CAP  16u /* an empty ring up to this size is kept for the next op */

static size_t cost(const struct op *op)
{
    return OP_OVERHEAD + (op->frame ? op->frame->len : 0);
}

struct op *op_queue_at(const struct op_queue *q, uint32_t i)
{
    return &q->ring[(q->head + i) & (q->cap - 1)];
}

void op_queue_done(struct op_queue *q)
{
    for (uint32_t i = 0; i < q->count; i++)
        blob_unref(op_queue_at(q, i)->frame);
    free(q->ring);
    *q = (struct op_queue){0};
}

static void grow(struct op_queue *q)
{
    uint32_t cap = q->cap ? q->cap * 2 : FIRST_CAP;
    struct op *ring = xmalloc(cap * sizeof(*ring));

    assert(cap > q->cap);
    for (uint32_t i = 0; i < q->count; i++)
        ring[i] = *op_queue_at(q, i);
    free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
}

void op_queue_push(struct op_queue *q, const struct op *op)
{
    if (q->count == q->cap)
        grow(q);
    q->ring[(q->head + q->count) & (q->cap - 1)] = *op;
    q->count++;
    q->bytes += cost(op);
}

struct op op_queue_pop(struct op_queue *q)
{
    assert(q->count > 0);
    struct op op = *op_queue_at(q, 0);

    q->head = (q->head + 1) & (q->cap - 1);
    q->count--;
    q->bytes -= cost(&op);
    if (q->count == 0 && q->cap > KEPT_CAP) {
        free(q->ring);
        q->ring = NULL;
        q->cap = q->head = 0;
    }
    return op;
}

/* The index of the op with this number, or count: numbers ascend. */
static uint32_t find(const struct op_queue *q, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = q->count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (op_queue_at(q, mid)->number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low < q->count && op_queue_at(q, low)->number == number ? low : q->count;
}

bool op_queue_take(struct op_queue *q, uint64_t number, struct op *ret)
{
    uint32_t at = find(q, number);

    if (at == q->count)
        return false;
    struct op op = *op_queue_at(q, at);
    /* Answers come in order: what is before the op is little or nothing. */
    for (uint32_t i = at; i > 0; i--)
        *op_queue_at(q, i) = *op_queue_at(q, i - 1);
    op_queue_at(q, 0)->frame = op.frame;
    (void)op_queue_pop(q);
    *ret = op;
    return true;
}
