/* SipHash-1-3 (Aumasson and Bernstein): a keyed hash for tables whose keys a peer chose. */
#pragma once

#include "common/slice.h"

struct siphash_key {
    uint64_t k0;
    uint64_t k1;
};

/* From the system's random source; aborts without one. */
void siphash_key_init(struct siphash_key *key);
uint64_t siphash(const struct siphash_key *key, struct slice bytes);
