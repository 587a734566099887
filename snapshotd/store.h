/*
 * store: what is kept of rooms. For each room a snapshot (one state) and the updates since. Used by
 * snapshotd alone, from its loop. There is one implementation for each database, opened by its own
 * function (store_sqlite.h, store_postgres.h); everything after that goes through this header, and
 * tests/snapshotd/test_store.c holds for all of them.
 *
 * Several hosts may write one room of one store, each from a segment of its own, so there are two
 * numbers. A room process numbers the records of its segment; the segment's lineage says whose
 * numbers these are. The store numbers the updates of a room as they come, whoever sends them: that
 * is op_seq, which never goes down and leaves nothing out. For each lineage it keeps how far that
 * is stored, so that every writer can be told what of its own is durable and none can append
 * anything twice. Of a room's lineages only the STORE_LINEAGES_MAX that appended last are kept: one
 * that is forgotten counts as never stored, and what it sends again does no harm.
 *
 * Every operation ends in exactly one call of its callback, possibly before the operation returns.
 * Operations take effect in the order of the calls. What is passed in is borrowed until the
 * callback. Callbacks may start operations, but must not close the store.
 *
 * Errors:
 *   -EBADMSG  what the database holds is damaged, or nothing that this program has written
 *   -ENOSPC   the disk is full
 *   -EBUSY    somebody else holds the database, or the room, for too long
 *   -ESTALE   the room is not as the caller believes; nothing was changed, and the store is fine
 *   -ENOTSUP  the schema is newer than this program
 *   -EACCES   the database may not be read or written by this user
 *   -EINVAL   the database cannot be used
 *   -ENOTCONN, -ECONNRESET, -ETIMEDOUT  the database cannot be reached, is gone, does not answer
 *   -ENOMEM, -EIO
 *   -ECANCELED  the store was closed, or lost, first
 * After a failed append or fold, other than -ESTALE, it is unknown what is durable: the store must
 * be closed and opened again, and what it then holds counts.
 */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

#define STORE_LINEAGES_MAX 16
/* Bytes of one update or state. What is larger in the database is -EBADMSG. */
#define STORE_PART_MAX ((size_t)192 << 20)

struct store {
    const struct store_ops *ops;
};

typedef void (*store_done_fn)(void *ctx, int error);

/* Told what concerns the store as a whole. Neither may close it. */
struct store_owner {
    /* Opening has ended. With an error the store is good for nothing but closing. */
    store_done_fn on_open;
    /* The store is lost, and good for nothing but closing: what was under way has ended with
     * -ECANCELED, and so does what is started now. */
    store_done_fn on_lost;
    void *ctx;
};

struct loop;

/* Where a store is. */
struct store_source {
    const char *name; /* for the log */
    /* Begins to open it. 0 and the store; -EINPROGRESS and the store, whose owner is then told how
     * that ends; or another error. `owner` is borrowed for the store's life. */
    int (*open)(void *ctx, struct loop *loop, const struct store_owner *owner,
                struct store **ret_store);
    void *ctx;
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
    /* Of the lineage that was asked about; both 0: it has nothing here. */
    uint64_t lineage_seq;    /* its last number that is stored */
    uint64_t lineage_op_seq; /* the op_seq of that update: what is above it came from others */
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
    uint64_t seq; /* of the lineage, 1 to INT64_MAX */
    struct slice payload;
};

/* What one room appends: at least one update, in ascending order and above everything that is
 * stored of the lineage (else -ESTALE). */
struct store_append {
    struct store_key key;
    uint64_t lineage;
    const struct store_update *updates;
    size_t count;
};

/* Replaces a snapshot and the updates that were read with it. */
struct store_fold {
    struct store_key key;
    struct store_stat read; /* as the load gave it; -ESTALE if a row came or went among those */
    struct slice state;     /* stands for all of them */
};

/* A room that is stored; `key` until it returns. Must not use the store. */
typedef void (*store_room_fn)(void *ctx, struct store_key key);

struct store_ops {
    void (*load)(struct store *store, struct store_key key, uint64_t lineage,
                 const struct store_load_handler *handler, void *ctx);
    void (*append)(struct store *store, const struct store_append *rooms, size_t count,
                   store_done_fn done, void *ctx);
    void (*fold)(struct store *store, const struct store_fold *fold, store_done_fn done, void *ctx);
    const char *(*detail)(const struct store *store);
    void (*close)(struct store *store);
    void (*list)(struct store *store, store_room_fn on_room, store_done_fn done, void *ctx);
};

/* Gives everything that is stored of a room. A failed load has no result, whatever came before.
 * `lineage` is the one to ask about, 0 for none. */
static inline void store_load(struct store *store, struct store_key key, uint64_t lineage,
                              const struct store_load_handler *handler, void *ctx)
{
    store->ops->load(store, key, lineage, handler, ctx);
}

/* Stores the updates of many rooms, none of which is named twice, in one transaction: all or none.
 * `done` without an error: they are durable. */
static inline void store_append(struct store *store, const struct store_append *rooms, size_t count,
                                store_done_fn done, void *ctx)
{
    store->ops->append(store, rooms, count, done, ctx);
}

/* In one transaction writes the snapshot and deletes exactly the updates that were read. Updates
 * appended since stay, whoever appended them. */
static inline void store_fold(struct store *store, const struct store_fold *fold,
                              store_done_fn done, void *ctx)
{
    store->ops->fold(store, fold, done, ctx);
}

/* Names every room that the store knows, in no order. */
static inline void store_list(struct store *store, store_room_fn on_room, store_done_fn done,
                              void *ctx)
{
    store->ops->list(store, on_room, done, ctx);
}

/* What the database itself said about the last failure: for the log, without anything secret and
 * without a document's bytes. Borrowed until the next operation; "" if it said nothing. */
static inline const char *store_detail(const struct store *store)
{
    return store->ops->detail(store);
}

/* What is under way ends with -ECANCELED before this returns. NULL is allowed. */
static inline void store_close(struct store *store)
{
    if (store)
        store->ops->close(store);
}

/* Are the numbers as store_append() wants them, as far as can be told without the database? */
bool store_append_is_ascending(const struct store_append *room);

/* May the same succeed a little later, without anybody doing something about it? */
bool store_error_is_passing(int error);

/* What an error of this header means, for the log. */
const char *store_strerror(int error);
