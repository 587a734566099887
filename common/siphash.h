/* SipHash-1-3 (Aumasson and Bernstein): a keyed hash for tables whose keys a peer chose. */
#pragma once

#include "common/slice.h"

struct siphash_key {
    uint64_t k0;
    uint64_t k1;
};

/* A random key, the same for the life of the process and of what it forks. */
const struct siphash_key *siphash_process_key(void);
uint64_t siphash(const struct siphash_key *key, struct slice bytes);
