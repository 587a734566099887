/*
 * persist: the heart of snapshotd. It owns the store and every followed room, and makes the
 * transactions: at the end of a loop turn what all dirty rooms have published is committed as one
 * (group commit), then one room is folded if there is time. When the store fails it is closed,
 * opened again and asked what it holds; rooms are told as stored only what it then has.
 */
#pragma once

#include "common/config.h"
#include "common/loop.h"
#include "snapshotd/store.h"

struct persist;

/* Opens the store, at the start and again after a failure. 0 or an error of store.h. */
typedef int (*persist_open_fn)(void *ctx, struct store **ret_store);

/* `config` is borrowed for its life. The error is that of the first opening. */
WARN_UNUSED int persist_new(struct loop *loop, const struct config *config, persist_open_fn open,
                            void *open_ctx, struct persist **ret_persist);
/* Drops everything that persist_finish() has not ended, and closes the store. */
void persist_free(struct persist *p);

/* Follows a room over `fd`, which is taken; replaces an earlier connection of the same room. */
void persist_follow(struct persist *p, struct store_key key, int fd);

/* Commits and folds what there is, closes the store and stops the loop with status 0. Folding is
 * given up after some seconds, and everything if the store is down: segments and rows keep it. */
void persist_finish(struct persist *p);
