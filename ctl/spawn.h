/* Starts our own programs. */
#pragma once

#include "common/memory.h"

#include <sys/types.h>

/* Newly allocated path of concord-`name`: beside this program, or where the build tree has it. NULL
 * if it is in neither. */
char *spawn_find(const char *name);

struct spawn {
    const char *path;
    char *const *argv;
    const char *notify_socket; /* for its NOTIFY_SOCKET */
    const char *store;         /* for its CONFIG_STORE_ENV; NULL: it is not to know any */
    const int *keep_fds;       /* which it inherits, beside stderr */
    size_t keep_count;
};

/* Starts it in a process group of its own, so that a terminal's Ctrl-C reaches only us; it gets
 * SIGTERM when we die. Its standard output is our standard error: one stream of logs. The process,
 * or -errno. A program that cannot be executed ends with status SPAWN_FAILED. */
WARN_UNUSED pid_t spawn_start(const struct spawn *spawn);

#define SPAWN_FAILED 127

/* Newly allocated "exited with status 1" or "was killed by signal 9 (Killed)". */
char *spawn_describe_end(int wait_status);
