/*
 * limiter: how many connections there are, all together and of each address, tenant and user, and
 * whether there may be one more. A connection takes a seat of each kind that its limit
 * (common/client_limits.h) bounds, and gives them back when it ends.
 *
 * The gateways of a host count together (census.h).
 */
#pragma once

#include "common/client_limits.h"
#include "common/memory.h"
#include "common/slice.h"

enum seat_kind {
    SEAT_ANY,       /* every connection; the key is empty */
    SEAT_HANDSHAKE, /* one that is no WebSocket yet, of an address */
    SEAT_ADDRESS,
    SEAT_TENANT,
    SEAT_USER, /* of a tenant: the key is both */
    SEAT_KINDS,
};

struct census;
struct limiter;
struct seat;

/* What one connection has taken. All zero: nothing. */
struct seats {
    struct seat *taken[SEAT_KINDS];
};

/* `census` is borrowed; NULL: this process counts alone. */
struct limiter *limiter_new(const struct client_limits *limits, struct census *census);
/* After every seat was given back. */
void limiter_free(struct limiter *l);

/* Takes a seat unless one of the kind is taken already, or the kind has no bound. False: all are
 * taken, which is counted. */
WARN_UNUSED bool limiter_take(struct limiter *l, struct seats *seats, enum seat_kind kind,
                              struct slice key);
void limiter_give(struct limiter *l, struct seats *seats, enum seat_kind kind);
void limiter_give_all(struct limiter *l, struct seats *seats);
