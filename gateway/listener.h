/* listener: accepts the clients of one TCP port. Several processes may listen on the same port
 * (SO_REUSEPORT); the kernel spreads the connections. */
#pragma once

#include "common/loop.h"
#include "common/memory.h"

#include <stdbool.h>

struct listener;

/* A socket that the service manager passes on (common/listen_fd.h) is listened on, whatever `host`
 * and `port` say. `host` is an address or a name; port 0 takes a free one. `on_accept` gets each
 * connected socket (non-blocking, close-on-exec) and owns it. 0 or -errno; -EADDRNOTAVAIL also for
 * a name that does not resolve. */
WARN_UNUSED int listener_new(struct loop *loop, const char *host, uint32_t port,
                             void (*on_accept)(void *ctx, int fd), void *ctx,
                             struct listener **ret);
/* Accepts what has connected so far: closing the socket would reset it. */
void listener_accept(struct listener *l);
/* NULL is allowed. */
void listener_free(struct listener *l);
/* The port that is listened on. */
uint32_t listener_port(const struct listener *l);
