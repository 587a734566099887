/*
 * watchdog: a bound on the processor time of one turn of the loop. A room whose document drives it
 * into an endless computation takes a core from the others and answers nobody; it is ended by
 * SIGXCPU, which is a crash like any other. The time of the whole process has no bound: a room may
 * be busy for weeks.
 */
#pragma once

#include "common/loop.h"
#include "common/memory.h"

#include <stdint.h>

/* From here on the process ends when one turn of `loop` (or what comes before the first) takes more
 * than `limit_ms` (not 0) of processor time, or somewhat more. Once a process. 0 or -errno. */
WARN_UNUSED int watchdog_start(struct loop *loop, uint32_t limit_ms);
