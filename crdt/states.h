/*
 * states: state vectors as lists. Filled in any order, then sorted, then searched or written. The
 * update space and snapshots use it; documents have their own way.
 */
#pragma once

#include "lib0.h"

struct crdt_state {
    uint64_t client;
    uint64_t clock; /* the next one */
    uint64_t rank;
};

/* Zero-initialise. */
struct crdt_states {
    struct crdt_state *list;
    size_t len;
    size_t cap;
};

void crdt_states_done(struct crdt_states *states);

/* Of several states of one client sorting leaves the one of the highest rank. -ENOMEM. */
CRDT_WARN_UNUSED int crdt_states_add(struct crdt_states *states, uint64_t client, uint64_t clock,
                                     uint64_t rank);

/* Adds those of an encoded state vector; of one client only its last is left. -EBADMSG, -E2BIG,
 * -ENOMEM. Sorted afterwards. `limits` has its defaults filled in. */
CRDT_WARN_UNUSED int crdt_states_read(struct crdt_states *states, struct lib0_reader *r,
                                      const struct crdt_limits *limits);

/* Descending by client, one for each. */
void crdt_states_sort(struct crdt_states *states);

/* The clock of a client in a sorted list, 0 if it is not there. */
uint64_t crdt_states_find(const struct crdt_states *states, uint64_t client);

/* Appends a sorted list as a state vector; a failure is in out->error. */
void crdt_states_write(const struct crdt_states *states, struct crdt_buf *out);
