/*
 * delete_set: ranges of deleted clocks, as an update carries them. Filled in any order, then put in
 * order, then written. The update space and documents use it.
 */
#pragma once

#include "codec.h"

struct crdt_delete_range {
    uint64_t client;
    uint64_t clock;
    uint64_t len;
};

/* Zero-initialise. */
struct crdt_delete_set {
    struct crdt_delete_range *list;
    size_t len;
    size_t cap;
};

void crdt_delete_set_done(struct crdt_delete_set *set);

/* -ENOMEM. */
CRDT_WARN_UNUSED int crdt_delete_set_add(struct crdt_delete_set *set, uint64_t client,
                                         uint64_t clock, uint64_t len);

/* Adds all that is left in the delete set of an update; -errno as crdt_reader_delete(). */
CRDT_WARN_UNUSED int crdt_delete_set_read(struct crdt_delete_set *set, struct crdt_reader *r);

/* Clients descending, clocks ascending, ranges that touch or overlap united, empty ones dropped. */
void crdt_delete_set_normalise(struct crdt_delete_set *set);

/* Is it in the order of crdt_delete_set_normalise(), without overlaps or empty ranges? Ranges may
 * touch. */
bool crdt_delete_set_is_ordered(const struct crdt_delete_set *set);

/* Writes an ordered set: the end of an update. */
void crdt_delete_set_write(const struct crdt_delete_set *set, struct crdt_writer *w);

/* The set without an update around it, as snapshots hold it. -EBADMSG, -E2BIG, -ENOMEM. `limits`
 * has its defaults filled in. */
CRDT_WARN_UNUSED int crdt_delete_set_decode(struct crdt_delete_set *set, enum crdt_format format,
                                            struct lib0_reader *r,
                                            const struct crdt_limits *limits);
/* Appends an ordered set; a failure is in out->error. */
void crdt_delete_set_encode(const struct crdt_delete_set *set, enum crdt_format format,
                            struct crdt_buf *out);

/* Reads one range, which in format v2 is relative to the end of the one before, `*clock`; that is
 * moved on. False if it is malformed. */
static inline bool crdt_delete_range_decode(struct lib0_reader *r, enum crdt_format format,
                                            uint64_t *clock, struct crdt_delete_range *ret_range)
{
    uint64_t start = lib0_read_uint(r);
    uint64_t len = lib0_read_uint(r);
    if (format == CRDT_V2) {
        start += *clock;
        len++;
        *clock = start + len;
    }
    if (r->has_failed || start > CRDT_MAX_CLOCK || len > CRDT_MAX_CLOCK - start)
        return false;
    ret_range->clock = start;
    ret_range->len = len;
    return true;
}
