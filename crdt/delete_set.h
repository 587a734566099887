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
