/*
 * compact: folds a room's stored updates into its snapshot. Reads both, builds the document, writes
 * it back as one update and deletes the rows that are in it. What is stored is a client's making:
 * it is decoded as hostile bytes, and a room whose rows do not decode keeps them.
 */
#pragma once

#include "snapshotd/store.h"

enum compact_step {
    COMPACT_READ,  /* the rows could not be read: nothing was changed */
    COMPACT_BUILD, /* they make no document, or one too large: nothing was changed */
    COMPACT_WRITE, /* as a failed fold of store.h */
    COMPACT_DONE,
};

struct compact_result {
    enum compact_step step; /* the one that failed, or COMPACT_DONE */
    int error;
    uint64_t updates;   /* rows folded; 0: there was nothing to do */
    size_t state_bytes; /* of the new snapshot */
};

typedef void (*compact_done_fn)(void *ctx, const struct compact_result *result);

/* `done` is called once, possibly before this returns. `key` is borrowed until then. */
void compact_start(struct store *store, struct store_key key, compact_done_fn done, void *ctx);
