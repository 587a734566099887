/*
 * awareness_update: the updates of y-protocols' awareness (`awareness.js`): the ephemeral state of
 * some clients, each as JSON under its own clock. A codec only: who may say what of whom, and for
 * how long it holds, is for the caller to decide. Reading allocates nothing.
 */
#pragma once

#include "lib0.h"

/* A zero field means: no bound but that of the format. */
struct crdt_awareness_limits {
    uint64_t clock;       /* the highest; default 2^53 - 1 */
    uint32_t states;      /* in one update */
    uint32_t state_bytes; /* of one state */
    uint32_t nesting;     /* of its JSON; 0: the JSON is not looked into */
};

struct crdt_awareness_state {
    uint64_t client;
    uint64_t clock;
    struct crdt_slice json; /* UTF-8 */
    bool is_gone; /* the JSON is `null`, maybe with space around it: the client has left */
};

struct crdt_awareness_reader {
    struct lib0_reader in;
    struct crdt_awareness_limits limits;
    uint64_t left;
};

/* Starts to read an update, which must outlive the reader. `limits` may be NULL. -EBADMSG: it does
 * not decode; -E2BIG: it has too many states. */
CRDT_WARN_UNUSED int crdt_awareness_reader_init(struct crdt_awareness_reader *r,
                                                struct crdt_slice update,
                                                const struct crdt_awareness_limits *limits);

/* The next state: 1 and `*ret_state`, which borrows the update; 0 behind the last one.
 * -EBADMSG: it does not decode, the state is no JSON (if that was asked for), or bytes follow the
 * last one; -E2BIG: over a limit. Nothing is to be read after a failure. */
CRDT_WARN_UNUSED int crdt_awareness_reader_next(struct crdt_awareness_reader *r,
                                                struct crdt_awareness_state *ret_state);

/* Does all of it read? -EBADMSG, -E2BIG. */
CRDT_WARN_UNUSED int crdt_awareness_validate(struct crdt_slice update,
                                             const struct crdt_awareness_limits *limits);

/* Appends an update: the count of its states, then each of them. A state with is_gone is written as
 * `null`, whatever its JSON. A failure is in out->error. */
void crdt_awareness_write_count(struct crdt_buf *out, uint64_t count);
void crdt_awareness_write_state(struct crdt_buf *out, const struct crdt_awareness_state *state);
