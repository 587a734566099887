/*
 * tail: what a room has published and the store does not hold yet, read from the room's segment. It
 * opens the file by its name, goes on to the newer one when it is superseded, and gives each
 * sequence number once, in ascending order. A checkpoint that holds more than was read is given
 * like a record. Pure reading: no message to the room, no event loop.
 */
#pragma once

#include "common/segment.h"
#include "snapshotd/store.h"

struct tail;

/* Reads what follows `seq`. `rooms_dir` and `key` are borrowed for the tail's life. */
struct tail *tail_new(const char *rooms_dir, struct store_key key, uint64_t seq);
void tail_free(struct tail *t);

/* The next record, its payload valid until the next call. 1 and `*ret`; 0 if there is none yet.
 * -EBADMSG: the segment is damaged, for good; -ENOENT, -ENODATA: there is no segment (yet); other
 * -errno: it cannot be read now. */
WARN_UNUSED int tail_next(struct tail *t, struct segment_record *ret);
