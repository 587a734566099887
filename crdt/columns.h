/*
 * columns: the run-length coded columns of update format v2 (lib0's RleDecoder, UintOptRleDecoder,
 * IntDiffOptRleDecoder and their encoders). The reader and the writer of updates own them.
 *
 * A run costs nothing to keep, however long it is: what bounds the work is the number of structs.
 * Reading fails, stickily, when a column has run dry; only the last run of a byte column lasts for
 * ever, as the format has it. (lib0 reads zeros from the other columns when they are dry, which no
 * encoder relies on.)
 */
#pragma once

#include "lib0.h"

/* Bytes: info, parentInfo. */
struct crdt_byte_column {
    struct lib0_reader in;
    uint64_t left; /* of the run */
    bool is_last;
    uint8_t value;
};

/* Unsigned numbers: client, typeRef, len, and the lengths of strings. */
struct crdt_uint_column {
    struct lib0_reader in;
    uint64_t left;
    uint64_t value;
};

/* Numbers by their differences: keyClock, leftClock, rightClock. */
struct crdt_diff_column {
    struct lib0_reader in;
    uint64_t left;
    int64_t value;
    int64_t diff;
};

void crdt_byte_column_refill(struct crdt_byte_column *c);
void crdt_uint_column_refill(struct crdt_uint_column *c);
void crdt_diff_column_refill(struct crdt_diff_column *c);

static inline uint8_t crdt_byte_column_read(struct crdt_byte_column *c)
{
    if (c->left == 0 && !c->is_last)
        crdt_byte_column_refill(c);
    c->left--; /* meaningless, and harmless, in the last run */
    return c->value;
}

static inline uint64_t crdt_uint_column_read(struct crdt_uint_column *c)
{
    if (c->left == 0)
        crdt_uint_column_refill(c);
    c->left--;
    return c->value;
}

/* Fails outside of 0..CRDT_MAX_CLOCK. */
static inline uint64_t crdt_diff_column_read(struct crdt_diff_column *c)
{
    if (c->left == 0)
        crdt_diff_column_refill(c);
    c->left--;
    c->value += c->diff;
    if (c->value < 0 || c->value > (int64_t)CRDT_MAX_CLOCK) {
        lib0_fail(&c->in);
        c->value = 0;
    }
    return (uint64_t)c->value;
}

/* ---- writing ---- */

/* The bytes of a column, written at `end`. What one write can append at most is CRDT_RUN_BYTES; a
 * writer makes room for it beforehand, for many writes at once. */
struct crdt_column_out {
    struct crdt_buf buf; /* its `len` is not kept up: see crdt_column_len() */
    uint8_t *end;
};

#define CRDT_RUN_BYTES 24u

struct crdt_byte_run {
    struct crdt_column_out out;
    uint64_t count;
    uint8_t value;
};

struct crdt_uint_run {
    struct crdt_column_out out;
    uint64_t count;
    uint64_t value;
};

struct crdt_diff_run {
    struct crdt_column_out out;
    uint64_t count;
    int64_t value;
    int64_t diff;
};

static inline size_t crdt_column_len(const struct crdt_column_out *out)
{
    return out->end ? (size_t)(out->end - out->buf.data) : 0;
}

/* 0 or -ENOMEM. */
CRDT_WARN_UNUSED static inline int crdt_column_reserve(struct crdt_column_out *out, size_t bytes)
{
    out->buf.len = crdt_column_len(out);
    int r = lib0_reserve(&out->buf, bytes);
    out->end = out->buf.data + out->buf.len;
    return r;
}

/* Closes a run: the last one, or before another begins. Byte columns need no closing. */
static inline void crdt_uint_run_finish(struct crdt_uint_run *run)
{
    if (run->count == 0)
        return;
    run->out.end = lib0_put_int(run->out.end, run->value, run->count > 1);
    if (run->count > 1)
        run->out.end = lib0_put_uint(run->out.end, run->count - 2);
}

static inline void crdt_diff_run_finish(struct crdt_diff_run *run)
{
    int64_t encoded = run->diff * 2 + (run->count > 1);

    if (run->count == 0)
        return;
    run->out.end =
        lib0_put_int(run->out.end, (uint64_t)(encoded < 0 ? -encoded : encoded), encoded < 0);
    if (run->count > 1)
        run->out.end = lib0_put_uint(run->out.end, run->count - 2);
}

static inline void crdt_byte_run_write(struct crdt_byte_run *run, uint8_t value)
{
    if (run->count > 0 && run->value == value) {
        run->count++;
        return;
    }
    if (run->count > 0)
        run->out.end = lib0_put_uint(run->out.end, run->count - 1);
    *run->out.end++ = value;
    run->value = value;
    run->count = 1;
}

static inline void crdt_uint_run_write(struct crdt_uint_run *run, uint64_t value)
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

static inline void crdt_diff_run_write(struct crdt_diff_run *run, uint64_t value)
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
