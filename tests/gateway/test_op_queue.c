#include "gateway/op_queue.h"

#include <criterion/criterion.h>

static void push(struct op_queue *q, uint64_t number, size_t bytes)
{
    op_queue_push(q, &(struct op){.number = number, .frame = bytes ? blob_new(bytes) : NULL});
}

Test(op_queue, counts_and_keeps_the_order)
{
    struct op_queue q = {0};

    for (uint64_t i = 1; i <= 100; i++)
        push(&q, i, 10);
    cr_expect(q.count == 100 && q.bytes == 100 * (OP_OVERHEAD + 10));
    for (uint64_t i = 1; i <= 50; i++) {
        struct op op = op_queue_pop(&q);
        cr_expect(op.number == i);
        blob_unref(op.frame);
        push(&q, 100 + i, 0);
    }
    for (uint32_t i = 0; i < q.count; i++)
        cr_expect(op_queue_at(&q, i)->number == 51 + i);
    op_queue_done(&q);
    cr_expect(q.count == 0 && q.bytes == 0);
}

Test(op_queue, takes_from_anywhere)
{
    struct op_queue q = {0};
    struct op op;

    for (uint64_t i = 1; i <= 7; i++)
        push(&q, 10 * i, i);
    cr_expect(!op_queue_take(&q, 5, &op));
    cr_expect(!op_queue_take(&q, 75, &op));
    cr_expect(!op_queue_take(&q, 35, &op));
    static const uint64_t order[] = {40, 10, 70, 20, 60, 50, 30};
    for (size_t i = 0; i < 7; i++) {
        size_t before = q.bytes;
        cr_assert(op_queue_take(&q, order[i], &op));
        cr_expect(op.number == order[i] && op.frame->len == order[i] / 10);
        cr_expect(before - q.bytes == OP_OVERHEAD + op.frame->len);
        blob_unref(op.frame);
        cr_expect(!op_queue_take(&q, order[i], &op), "a second time");
        for (uint32_t k = 1; k < q.count; k++)
            cr_expect(op_queue_at(&q, k - 1)->number < op_queue_at(&q, k)->number);
    }
    cr_expect(q.count == 0 && q.bytes == 0);
    op_queue_done(&q);
}
