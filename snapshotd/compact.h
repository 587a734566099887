/*
 * compact: folds a room's stored updates into its snapshot. Reads both, has a process of its own
 * make one update of them (fold_server.h), writes that back and deletes the rows that are in it.
 * Nothing is locked in between: what came or went among those rows meanwhile, by another host too,
 * makes the write -ESTALE. What is stored is a client's making, and a room whose rows cannot be
 * folded keeps them.
 */
#pragma once

#include "snapshotd/fold_server.h"
#include "snapshotd/store.h"

enum compact_step {
    COMPACT_READ,  /* the rows could not be read: nothing was changed */
    COMPACT_BUILD, /* they make no document, or one too large: nothing was changed */
    COMPACT_WRITE, /* as a failed fold of store.h */
    COMPACT_DONE,
};

struct compact_result {
    enum compact_step step; /* the one that failed, or COMPACT_DONE */
    int error;              /* COMPACT_BUILD: 0 if `signal` ended the fold */
    int signal;
    bool is_passing;    /* the same may succeed a little later */
    uint64_t updates;   /* rows folded; 0: there was nothing to do */
    size_t state_bytes; /* of the new snapshot */
};

typedef void (*compact_done_fn)(void *ctx, const struct compact_result *result);

struct compact;

/* `done` is called once, possibly before this returns: `*ret_compact` is then NULL. `key` is
 * borrowed until then. */
void compact_start(struct store *store, struct fold_server *server, struct store_key key,
                   compact_done_fn done, void *ctx, struct compact **ret_compact);
/* Ends it in COMPACT_BUILD with -ECANCELED, if it is there; an operation of the store is left to
 * its end. To be called before the store is closed. */
void compact_cancel(struct compact *c);
