/*
 * store: what is kept of rooms. For each room a snapshot (one state) and the updates since,
 * numbered by the room's op_seq, which never goes down. Used by snapshotd alone, from its loop.
 * There is one implementation for each database, opened by its own function (store_sqlite.h);
 * everything after that goes through this header, and tests/snapshotd/test_store.c holds for all of
 * them.
 *
 * Every operation ends in exactly one call of its callback, possibly before the operation returns.
 * Operations take effect in the order of the calls. What is passed in is borrowed until the
 * callback. Callbacks may start operations, but must not close the store.
 *
 * Errors:
 *   -EBADMSG  what the database holds is damaged
 *   -ENOSPC   the disk is full
 *   -EBUSY    somebody else holds the database
 *   -ESTALE   the room is not as the caller believes; nothing was changed
 *   -ENOTSUP  the schema is newer than this program
 *   -ENOMEM, -EIO
 *   -ECANCELED  the store was closed first
 * After a failed append or fold, other than -ESTALE, it is unknown what is durable: the store must
 * be closed and opened again, and what it then holds counts.
 */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

struct store {
    const struct store_ops *ops;
};

/* A room: any bytes. */
struct store_key {
    struct slice tenant;
    struct slice room;
};

/* What is stored of a room. All zero: nothing, the room was never stored. */
struct store_stat {
    uint64_t op_seq;          /* of the last update, be it folded or not */
    uint64_t snapshot_op_seq; /* the snapshot holds everything up to this one; 0: there is none */
    uint64_t updates;         /* rows that are not folded */
    uint64_t oldest_ms;       /* wall clock when the first of them was stored; 0: there is none */
};

enum store_part_kind {
    STORE_PART_SNAPSHOT,
    STORE_PART_UPDATE,
};

struct store_part {
    enum store_part_kind kind;
    uint64_t op_seq;
    struct slice payload; /* until the callback returns */
};

struct store_load_handler {
    /* The snapshot if there is one, then the updates in ascending order. Must not use the store.
     * NULL: only the figures are read. */
    void (*on_part)(void *ctx, const struct store_part *part);
    /* `stat` (borrowed, NULL on failure) describes exactly the parts that were given. */
    void (*on_done)(void *ctx, int error, const struct store_stat *stat);
};

struct store_update {
    uint64_t op_seq; /* 1 to INT64_MAX */
    struct slice payload;
};

/* What one room appends, in ascending order and above everything it has stored (else -ESTALE). */
struct store_append {
    struct store_key key;
    const struct store_update *updates;
    size_t count;
};

/* Replaces a snapshot and the updates that were read with it. */
struct store_fold {
    struct store_key key;
    struct store_stat read; /* as the load gave it; -ESTALE if a row came or went among those */
    struct slice state;     /* stands for all of them */
};

typedef void (*store_done_fn)(void *ctx, int error);

struct store_ops {
    void (*load)(struct store *store, struct store_key key,
                 const struct store_load_handler *handler, void *ctx);
    void (*append)(struct store *store, const struct store_append *rooms, size_t count,
                   store_done_fn done, void *ctx);
    void (*fold)(struct store *store, const struct store_fold *fold, store_done_fn done, void *ctx);
    void (*close)(struct store *store);
};

/* Gives everything that is stored of a room. A failed load has no result, whatever came before. */
static inline void store_load(struct store *store, struct store_key key,
                              const struct store_load_handler *handler, void *ctx)
{
    store->ops->load(store, key, handler, ctx);
}

/* Stores the updates of many rooms in one transaction: all or none. `done` without an error: they
 * are durable. */
static inline void store_append(struct store *store, const struct store_append *rooms, size_t count,
                                store_done_fn done, void *ctx)
{
    store->ops->append(store, rooms, count, done, ctx);
}

/* In one transaction writes the snapshot and deletes exactly the updates that were read. Updates
 * appended since stay. */
static inline void store_fold(struct store *store, const struct store_fold *fold,
                              store_done_fn done, void *ctx)
{
    store->ops->fold(store, fold, done, ctx);
}

/* What is under way ends with -ECANCELED before this returns. NULL is allowed. */
static inline void store_close(struct store *store)
{
    if (store)
        store->ops->close(store);
}

/* What an error of this header means, for the log. */
const char *store_strerror(int error);
