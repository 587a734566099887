/* The address that the gateways listen on: checked and reserved before they start. */
#pragma once

#include "common/memory.h"

#include <stdbool.h>
#include <stdint.h>

/* Is it a numeric address of this machine alone (127.0.0.0/8, ::1)? */
bool address_is_loopback(const char *host);

/* Binds `host`:`port` (0: any free port) without listening, so that gateways can share it and
 * nobody else can take it. 0, `*ret_fd` to keep open and `*ret_port`; -EADDRINUSE, -EACCES or
 * another -errno; -EINVAL if the host is no numeric address. */
WARN_UNUSED int address_reserve(const char *host, uint32_t port, int *ret_fd, uint32_t *ret_port);

/* Newly allocated `http://HOST:PORT`, an IPv6 address in brackets. `scheme` is http or ws. */
char *address_url(const char *scheme, const char *host, uint32_t port);
