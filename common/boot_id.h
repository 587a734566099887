/*
 * boot_id: which run of the machine this is. What a process left in a file that was never synced
 * is there for whoever comes later in the same run, however that process ended; in the next run any
 * page of it may be missing.
 */
#pragma once

#include "common/memory.h"

#include <stdint.h>

struct boot_id {
    uint8_t bytes[16]; /* as the kernel's text has them; all zero: the kernel does not tell */
};

/* The one of now, as the kernel tells it. 0 or -errno. */
WARN_UNUSED int boot_id_read(struct boot_id *ret_id);
