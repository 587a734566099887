/*
 * follow: one open room as snapshotd sees it: its connection, what the store holds of it, and the
 * tail of its segment. It decides what the room is told; when transactions are made is its owner's
 * (persist.h), which is told through the hooks that there is work.
 *
 * A room digests hostile documents: a message that makes no sense ends its connection.
 */
#pragma once

#include "common/loop.h"
#include "snapshotd/batch.h"
#include "snapshotd/store.h"

struct follow;

/* Called from the loop and from follow_*(). `ctx` is the one of follow_new(). */
struct follow_hooks {
    /* The store, NULL while it is not open. */
    struct store *(*store)(void *ctx);
    /* The room may have published something: call follow_collect() soon. */
    void (*on_dirty)(void *ctx);
    /* The store lacks what it has published, or does so still after a commit; or no longer. */
    void (*on_behind)(void *ctx, bool is_behind);
    /* Its updates are many or old enough to be folded: call follow_begin_fold() when there is time.
     */
    void (*on_fold_due)(void *ctx);
    /* Nothing more will be done for it, and nothing is under way: free it at the end of the turn.
     */
    void (*on_over)(void *ctx);
};

struct follow_settings {
    const char *rooms_dir; /* of the segments; borrowed */
    uint32_t snapshot_updates;
    uint32_t snapshot_ms;
};

/* Takes `fd`, the connection to the room; copies `key`. The rest is borrowed for the follow's life.
 */
struct follow *follow_new(struct loop *loop, const struct follow_settings *settings,
                          const struct follow_hooks *hooks, void *ctx, struct store_key key,
                          int fd);
/* No store operation of it may be under way. */
void follow_free(struct follow *f);

struct store_key follow_key(const struct follow *f);

/* Drops the connection and leaves the rest to the one that replaces it: ends in on_over. */
void follow_abandon(struct follow *f);
/* The process ends: what is published is to be committed and folded, as if the room had gone. */
void follow_finish(struct follow *f);

/* The store was lost: nothing is told as stored until follow_store_up() has asked it again. */
void follow_store_lost(struct follow *f);
/* The store is open: asks it, if that is to be done. */
void follow_store_up(struct follow *f);

/* Puts what the room has published into the batch. True if the batch is full and there may be more.
 */
WARN_UNUSED bool follow_collect(struct follow *f, struct batch *batch);
/* The batch with `records` of it, up to `last_seq`, is durable: the room is told. */
void follow_committed(struct follow *f, uint64_t last_seq, uint64_t records);
/* The batch or fold failed: as follow_store_lost(). */
void follow_failed(struct follow *f);
/* Is there something to fold, and may it be? Then it counts as under way until one of the others.
 */
WARN_UNUSED bool follow_begin_fold(struct follow *f);
/* The rows that there were when it began are folded. */
void follow_folded(struct follow *f);
/* They could not be read now: it is due again after a while. */
void follow_fold_later(struct follow *f);
/* They cannot be: it is due again after `again_ms`, if the room is open by then. */
void follow_fold_refused(struct follow *f, uint64_t again_ms);
