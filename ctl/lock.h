/* One server to a directory. The lock is the kernel's (flock), so it ends with its processes. */
#pragma once

#include "common/memory.h"

#include <sys/types.h>

/* Locks `dir`, which must be there. 0 and the descriptor that holds the lock; children that inherit
 * it hold it too. -EBUSY: a server runs there, `*ret_owner` is its process (0 if unknown); other
 * -errno. If the launcher of that server is dead its processes are about to end: this waits for
 * them for up to LOCK_WAIT_S. */
WARN_UNUSED int lock_take(const char *dir, int *ret_fd, pid_t *ret_owner);

#define LOCK_WAIT_S 15
