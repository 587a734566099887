/* Where children say that they are ready: the server side of notify_ready(). The kernel tells who
 * speaks (SO_PASSCRED), so nobody else can. */
#pragma once

#include "common/loop.h"

#include <sys/types.h>

struct ready_socket;

/* Calls `on_ready` with the process that became ready. Aborts if no socket can be made. */
struct ready_socket *ready_socket_new(struct loop *loop, void (*on_ready)(void *ctx, pid_t pid),
                                      void *ctx);
void ready_socket_free(struct ready_socket *s);

/* For NOTIFY_SOCKET. */
const char *ready_socket_name(const struct ready_socket *s);
