/*
 * The store as `concordctl doctor` sees it: the interface of snapshotd (snapshotd/store.h), one
 * call after the other, each over when it returns. It is opened to read, so that a server which
 * runs on it never notices; but for a repair.
 */
#pragma once

#include "common/buffer.h"
#include "common/config.h"
#include "snapshotd/store.h"

struct doctor_store;

/* 0; -ENOENT: nothing was ever stored there; another error of store.h, -EINVAL after a message. */
WARN_UNUSED int doctor_store_open(const struct config *config, bool is_to_read,
                                  struct doctor_store **ret_store);
void doctor_store_close(struct doctor_store *ds);

struct stored_part {
    enum store_part_kind kind;
    uint64_t op_seq;
    size_t offset; /* in the bytes of struct stored */
    size_t len;
};

/* What is stored of a room: nothing if `stat` is all zero. */
struct stored {
    struct store_stat stat;
    struct stored_part *parts; /* in the order of store_load() */
    size_t count;
    struct buffer bytes;
};

/* `lineage`: that of the room's segment, 0 for none. -EFBIG: more than can be held. */
WARN_UNUSED int doctor_store_load(struct doctor_store *ds, struct store_key key, uint64_t lineage,
                                  struct stored *ret_stored);
void stored_done(struct stored *stored);

/* `on_room` may not use the store. */
WARN_UNUSED int doctor_store_list(struct doctor_store *ds, store_room_fn on_room, void *ctx);

/* Puts `state` in the place of everything that was loaded. -ESTALE: it is not that any more. */
WARN_UNUSED int doctor_store_replace(struct doctor_store *ds, struct store_key key,
                                     const struct stored *stored, struct slice state);
