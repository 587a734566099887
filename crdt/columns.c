#include "columns.h"

/* Leaves one value of zero, so that the caller's decrement holds. */
static void run_dry(struct lib0_reader *in, uint64_t *left)
{
    lib0_fail(in);
    *left = 1;
}

void crdt_byte_column_refill(struct crdt_byte_column *c)
{
    c->value = lib0_read_u8(&c->in);
    if (c->in.has_failed) {
        c->value = 0;
        run_dry(&c->in, &c->left);
        return;
    }
    c->is_last = lib0_remaining(&c->in) == 0;
    if (c->is_last)
        return;
    c->left = lib0_read_uint(&c->in) + 1;
}

void crdt_uint_column_refill(struct crdt_uint_column *c)
{
    bool has_count;
    c->value = lib0_read_int(&c->in, &has_count);
    c->left = has_count ? lib0_read_uint(&c->in) + 2 : 1;
    if (c->in.has_failed) {
        c->value = 0;
        run_dry(&c->in, &c->left);
    }
}

void crdt_diff_column_refill(struct crdt_diff_column *c)
{
    bool is_negative;
    uint64_t magnitude = lib0_read_int(&c->in, &is_negative);
    bool has_count = magnitude & 1;
    c->left = has_count ? lib0_read_uint(&c->in) + 2 : 1;
    /* floor(v / 2): an odd negative number rounds away from zero. */
    c->diff = is_negative ? -(int64_t)((magnitude + 1) / 2) : (int64_t)(magnitude / 2);
    if (c->in.has_failed) {
        c->diff = 0;
        run_dry(&c->in, &c->left);
    }
}
