/*
 * A list of networks, as operators write it: "10.0.0.0/8, 192.0.2.7, 2001:db8::/32". Addresses are
 * 16 bytes; an IPv4 one is mapped to IPv6 (::ffff:a.b.c.d; RFC 4291, section 2.5.5.2).
 */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

#define NETWORK_ADDRESS_LEN 16u
#define NETWORKS_MAX        256u

struct network {
    uint8_t address[NETWORK_ADDRESS_LEN];
    unsigned bits; /* of it that count */
};

struct networks {
    struct network *items;
    size_t count;
};

/* An address in numbers, without brackets, port or zone. -EINVAL if it is none. */
WARN_UNUSED int network_address_parse(struct slice text, uint8_t ret[NETWORK_ADDRESS_LEN]);
/* Keeps the first `bits` and clears the others. */
void network_address_mask(uint8_t address[NETWORK_ADDRESS_LEN], unsigned bits);

/* Networks and addresses, separated by commas; bits behind a prefix are ignored. -EINVAL for what
 * is none of them, -E2BIG for more than NETWORKS_MAX. An empty text is an empty list. */
WARN_UNUSED int networks_parse(const char *text, struct networks *ret);
void networks_done(struct networks *n);
bool networks_have(const struct networks *n, const uint8_t address[NETWORK_ADDRESS_LEN]);
