/*
 * fold_server: makes one state of a room's updates, away from everything that matters. Updates are
 * hostile bytes; one that crashes the engine, keeps it busy without end or makes it eat memory ends
 * a process that exists for this one fold. That process has no credentials and no connection,
 * because its parent has none: the fold server is forked before there are any, forks a process for
 * each fold and tells how it ended. Updates and state pass in memfds.
 *
 * Used by snapshotd, from its loop, for one fold at a time.
 */
#pragma once

#include "common/buffer.h"
#include "common/loop.h"
#include "common/memory.h"

#include <stdbool.h>

/* What one fold may use. Zero: any amount. */
struct fold_limits {
    uint32_t memory_mib; /* beside the updates */
    uint32_t cpu_ms;
};

enum fold_verdict {
    FOLD_DONE,
    FOLD_REFUSED, /* `error` is one of crdt.h */
    FOLD_KILLED,  /* by `signal`: SIGPROF if its time was over */
    FOLD_FAILED,  /* `error`: no process, or no memory to pass things in, could be had just now */
};

struct fold_result {
    enum fold_verdict verdict;
    int error;
    int signal;
    struct buffer state; /* of FOLD_DONE: one update of format 1; whoever is told takes it */
};

typedef void (*fold_done_fn)(void *ctx, struct fold_result *result);

/* Forks the server. Call it first of all: what the process holds by then, the server holds. Of the
 * descriptors only the standard ones are kept, and the environment is wiped. Returns the connection
 * to it, which ends with this process; or -errno. */
WARN_UNUSED int fold_server_spawn(void);

struct fold_server;

/* Takes `fd`, of fold_server_spawn(). `on_end` is called when the server is gone, which is nobody's
 * wish: there is no other one. */
struct fold_server *fold_server_new(struct loop *loop, int fd, const struct fold_limits *limits,
                                    loop_fn on_end, void *ctx);
/* No fold may be under way. NULL is allowed. */
void fold_server_free(struct fold_server *s);

/* A descriptor to collect updates in, in order, for the caller to close; or -errno. */
WARN_UNUSED int fold_updates_new(void);
WARN_UNUSED int fold_updates_add(int fd, struct slice update);

/* Folds what is in `updates`, which may be closed at once. `done` is called once, not before this
 * returns. */
void fold_server_start(struct fold_server *s, int updates, fold_done_fn done, void *ctx);
/* The fold that is under way is of no use any more: `done` is not called. */
void fold_server_cancel(struct fold_server *s);
