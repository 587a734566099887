/*
 * batch: what many rooms appended, collected for one transaction of the store. Bounded by bytes and
 * by records, so a transaction and the memory for it stay small; one record always fits.
 */
#pragma once

#include "snapshotd/store.h"
#include "snapshotd/tail.h"

#define BATCH_BYTES_MAX   ((size_t)16 << 20)
#define BATCH_RECORDS_MAX 10000

struct batch;

struct batch *batch_new(void);
void batch_free(struct batch *b);
/* Makes it empty. What a large batch has allocated is given back. */
void batch_clear(struct batch *b);

/* Takes what `tail` has. 1: the batch is full and there may be more; 0: the tail is at its end;
 * otherwise an error of tail_next(), and what was read before it is in the batch. `lineage` is that
 * of the tail's segment, `key` is borrowed until the batch is cleared, `owner` comes back in
 * batch_each(). A room is taken at most once. */
WARN_UNUSED int batch_take(struct batch *b, struct tail *tail, struct store_key key,
                           uint64_t lineage, void *owner);

size_t batch_room_count(const struct batch *b);
/* What the store appends, valid until the batch changes. */
const struct store_append *batch_rooms(struct batch *b);

/* Calls `fn` for each room in the batch: how many records there are of it, and the last one. */
void batch_each(struct batch *b, void (*fn)(void *owner, uint64_t last_seq, uint64_t records));
