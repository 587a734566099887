/* listen_fd: a socket that listens already and that the service manager has opened for us
 * (sd_listen_fds(3)): LISTEN_PID of the environment is our process, LISTEN_FDS how many there are,
 * from descriptor 3 on. */
#pragma once

#include "common/memory.h"

/* Takes the socket, non-blocking and close-on-exec from here on, and the settings out of the
 * environment. -ENOENT: there is none for this process; -EINVAL: it is none that listens, or there
 * are several. */
WARN_UNUSED int listen_fd_take(void);
