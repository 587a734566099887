/*
 * persist: the heart of snapshotd. It owns the store and every followed room, and makes the
 * transactions: at the end of a loop turn what all dirty rooms have published is committed as one
 * (group commit), then one room is folded if there is time. A room whose updates cannot be folded
 * keeps them, and is left alone for a while that grows. When the store fails it is closed,
 * opened again and asked what it holds; rooms are told as stored only what it then has. Nothing
 * waits for the store but what needs it.
 */
#pragma once

#include "common/config.h"
#include "common/loop.h"
#include "snapshotd/store.h"

struct persist;

/* Begins to open the store in the loop's first turn, and calls `on_open` when it is open for the
 * first time. What does not pass by itself (store.h) stops the loop with status 1 before that; any
 * other failure is tried again. `fold_fd`, of fold_server_spawn(), is taken; if that server ends,
 * the loop is stopped with status 1. `config` and `source` are borrowed for its life. */
struct persist *persist_new(struct loop *loop, const struct config *config, int fold_fd,
                            const struct store_source *source, loop_fn on_open, void *ctx);
/* Drops everything that persist_finish() has not ended, and closes the store. */
void persist_free(struct persist *p);

/* Follows a room over `fd`, which is taken; replaces an earlier connection of the same room. */
void persist_follow(struct persist *p, struct store_key key, int fd);

/* Commits and folds what there is, closes the store and stops the loop with status 0. Folding is
 * given up after some seconds, and everything if the store is down: segments and rows keep it. */
void persist_finish(struct persist *p);
