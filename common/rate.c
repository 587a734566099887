#include "common/rate.h"

#define SECOND_US UINT64_C(1000000)

uint64_t rate_owed(const struct rate *r, uint64_t now_us)
{
    return r->full_us > now_us + SECOND_US ? r->full_us - now_us - SECOND_US : 0;
}

bool rate_is_full(const struct rate *r, uint64_t now_us)
{
    return r->full_us <= now_us;
}

uint64_t rate_take(struct rate *r, uint32_t per_s, uint64_t n, uint64_t now_us)
{
    if (per_s == 0)
        return 0;
    r->full_us = (rate_is_full(r, now_us) ? now_us : r->full_us) + n * SECOND_US / per_s;
    return rate_owed(r, now_us);
}
