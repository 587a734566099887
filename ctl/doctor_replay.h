/*
 * Replays updates as a room does when it starts, in a child: an update that crashes the engine,
 * does not come to an end or eats the memory ends the child and is named.
 */
#pragma once

#include "common/buffer.h"
#include "common/memory.h"

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_CPU_MS       10000u                 /* for one update */
#define REPLAY_MEMORY_BYTES ((uint64_t)2048 << 20) /* for all of them */

struct replay_item {
    struct slice update; /* format 1 */
    bool is_left_out;
};

struct replay_limits {
    uint32_t cpu_ms;       /* for one update; 0: REPLAY_CPU_MS */
    uint64_t memory_bytes; /* beyond what this process has; 0: REPLAY_MEMORY_BYTES */
};

enum replay_verdict {
    REPLAY_FINE,
    REPLAY_REFUSED,  /* `code` is an error of crdt.h */
    REPLAY_SIGNALED, /* `code` is the signal */
    REPLAY_ENDLESS,  /* over the CPU time of one update */
    REPLAY_ENDED,    /* `code` is an exit status */
};

struct replay_result {
    enum replay_verdict verdict;
    size_t item; /* that it is about; `count`: the encoding of the whole document */
    int code;
    uint64_t structs; /* of the document, if it is fine */
    uint64_t pending_bytes;
};

/* Applies the items in their order, up to the first that is not fine. 0, or -errno if no child can
 * be had. */
WARN_UNUSED int replay_run(const struct replay_item *items, size_t count,
                           const struct replay_limits *limits, struct replay_result *ret_result);

/* Calls `fn` in a child with the limits of a replay: for other work with updates that may be
 * hostile. `*ret` tells how it ended: REPLAY_FINE if `fn` returned 0, REPLAY_REFUSED with the
 * negative that it returned. */
WARN_UNUSED int replay_in_child(int (*fn)(void *ctx), void *ctx, const struct replay_limits *limits,
                                struct replay_result *ret);

/* Merges updates of format 1 into one, in a child. 0; -ECHILD: that killed the child; other -errno.
 */
WARN_UNUSED int replay_merge(const struct slice *updates, size_t count, struct buffer *out);

/* What a verdict other than REPLAY_FINE means, newly allocated: "kills the room: signal 6". */
char *replay_describe(const struct replay_result *result);
