#include "common/siphash.h"

#include <criterion/criterion.h>

/* The key of the reference's vectors, 00 01 … 0f; values of SipHash-1-3 for messages 00 01 … */
Test(siphash, vectors)
{
    static const struct siphash_key key = {UINT64_C(0x0706050403020100),
                                           UINT64_C(0x0f0e0d0c0b0a0908)};
    static const uint64_t expected[] = {UINT64_C(0xabac0158050fc4dc), UINT64_C(0xc9f49bf37d57ca93),
                                        UINT64_C(0x82cb9b024dc7d44d), UINT64_C(0x8bf80ab8e7ddf7fb)};
    uint8_t message[4] = {0, 1, 2, 3};

    for (size_t len = 0; len < 4; len++)
        cr_expect(siphash(&key, slice_of(message, len)) == expected[len], "length %zu", len);
}
