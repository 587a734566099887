#include "ctl/backoff.h"

#define FIRST_MS   100
#define MAX_MS     5000
#define STEADY_MS  30000
#define MAX_SHIFTS 16

uint64_t backoff_next(struct backoff *b, uint64_t uptime_ms)
{
    if (uptime_ms >= STEADY_MS)
        b->failures = 0;
    uint32_t n = b->failures++;
    if (n == 0)
        return 0;
    uint64_t ms = (uint64_t)FIRST_MS << (n - 1 < MAX_SHIFTS ? n - 1 : MAX_SHIFTS);
    return ms < MAX_MS ? ms : MAX_MS;
}
