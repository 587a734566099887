/*
 * proxy_header: the PROXY protocol, version 2 (haproxy's proxy-protocol.txt, section 2.2): what a
 * proxy sends ahead of a client's bytes to say where they come from. Pure functions over the bytes
 * of the header; of what follows it nothing is ever read.
 */
#pragma once

#include "gateway/client_address.h"

#define PROXY_HEADER_FIXED 16u   /* bytes that tell how many there are */
#define PROXY_HEADER_MAX   4096u /* ours: room for every address and what proxies tell of TLS */

struct proxy_header {
    bool is_local; /* the proxy's own connection, as for health checks */
    /* TCP over IPv4 or IPv6, or unknown: the proxy does not know or it is local. Secure if the
     * proxy says that the client speaks TLS to it. */
    struct client_address client;
};

/* How long the header is that `bytes` begin with: PROXY_HEADER_FIXED as long as that cannot be
 * told, then more. -EBADMSG once they are none, -E2BIG for one over PROXY_HEADER_MAX. */
WARN_UNUSED ssize_t proxy_header_len(struct slice bytes);
/* Parses a whole header, of exactly that length. -EBADMSG if it is not sound, -EAFNOSUPPORT for a
 * client of another kind. */
WARN_UNUSED int proxy_header_parse(struct slice header, struct proxy_header *ret);
