/* How long a process that died waits for its next start: at once, then 100 ms doubled up to 5 s;
 * one that ran for 30 s starts anew. */
#pragma once

#include <stdint.h>

struct backoff {
    uint32_t failures; /* in a row */
};

/* It ran for `uptime_ms` and died: the milliseconds to wait. */
uint64_t backoff_next(struct backoff *b, uint64_t uptime_ms);
