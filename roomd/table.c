#include "roomd/table.h"

#include <string.h>
#include <sys/random.h>

static uint64_t seed;

/* The finaliser of SplitMix64: every input bit reaches every output bit. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint32_t table_hash(const void *key, size_t len)
{
    const uint8_t *p = key;

    while (seed == 0) {
        if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
            seed = 0;
    }
    uint64_t hash = seed ^ len;
    while (len > 0) {
        uint64_t chunk = 0;
        size_t n = len < sizeof(chunk) ? len : sizeof(chunk);
        memcpy(&chunk, p, n);
        hash = mix(hash ^ chunk) + seed;
        p += n;
        len -= n;
    }
    return (uint32_t)(hash ^ hash >> 32);
}
