/*
 * rate: a token bucket of one second's worth (as the generic cell rate algorithm of ITU-T I.371: it
 * remembers one moment and needs no timer). Pure: the time is passed in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* All zero: full. */
struct rate {
    uint64_t full_us; /* when the bucket is full again */
};

/* Takes `n` of `per_s` a second (0: no bound), in any case; what the bucket does not hold is owed.
 * Returns how long it takes to pay that, in microseconds: 0 if nothing is owed. */
uint64_t rate_take(struct rate *r, uint32_t per_s, uint64_t n, uint64_t now_us);
/* The same without taking any. */
uint64_t rate_owed(const struct rate *r, uint64_t now_us);
/* Is there nothing to remember? */
bool rate_is_full(const struct rate *r, uint64_t now_us);
