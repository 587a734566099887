/*
 * launcher: starts the processes of one machine, watches them, starts again what dies, and stops
 * them in order: gateways first, so that nothing new arrives; then roomd, whose rooms still have
 * their store; then snapshotd. What dies before its turn is started even then.
 */
#pragma once

#include "common/config.h"
#include "common/loop.h"

struct launcher;

struct launcher_hooks {
    /* Every process is ready for the first time. */
    void (*on_ready)(void *ctx);
    void *ctx;
};

/* Processes of roomd and snapshotd inherit `lock_fds`: a directory stays locked as long as one of
 * them lives. All is borrowed for the launcher's life. NULL after a message if a program is
 * missing. */
struct launcher *launcher_new(struct loop *loop, const struct config *config, const int *lock_fds,
                              size_t lock_count, const struct launcher_hooks *hooks);
void launcher_free(struct launcher *l);

/* Starts everything. */
void launcher_start(struct launcher *l);

/* Has gateways read their certificate again. */
void launcher_reload(struct launcher *l);

/* The first call stops everything in order and then the loop, with status 0; the second kills what
 * is left at once and stops the loop with status 1. */
void launcher_stop(struct launcher *l);
