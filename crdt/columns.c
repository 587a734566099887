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

void crdt_byte_run_write(struct crdt_byte_run *run, uint8_t value)
{
    if (run->count > 0 && run->value == value) {
        run->count++;
        return;
    }
    if (run->count > 0)
        lib0_write_uint(&run->out, run->count - 1);
    lib0_write_u8(&run->out, value);
    run->value = value;
    run->count = 1;
}

void crdt_uint_run_finish(struct crdt_uint_run *run)
{
    if (run->count == 0)
        return;
    lib0_write_int(&run->out, run->value, run->count > 1);
    if (run->count > 1)
        lib0_write_uint(&run->out, run->count - 2);
}

void crdt_uint_run_write(struct crdt_uint_run *run, uint64_t value)
{
    /* The first zero continues the run that lib0's encoder starts in: the bytes are the same. */
    if (run->value == value) {
        run->count++;
        return;
    }
    crdt_uint_run_finish(run);
    run->value = value;
    run->count = 1;
}

void crdt_diff_run_finish(struct crdt_diff_run *run)
{
    if (run->count == 0)
        return;
    int64_t encoded = run->diff * 2 + (run->count > 1);
    uint64_t magnitude = encoded < 0 ? (uint64_t)-encoded : (uint64_t)encoded;
    lib0_write_int(&run->out, magnitude, encoded < 0);
    if (run->count > 1)
        lib0_write_uint(&run->out, run->count - 2);
}

void crdt_diff_run_write(struct crdt_diff_run *run, uint64_t value)
{
    int64_t diff = (int64_t)value - run->value;
    run->value = (int64_t)value;
    if (run->diff == diff) {
        run->count++;
        return;
    }
    crdt_diff_run_finish(run);
    run->diff = diff;
    run->count = 1;
}
