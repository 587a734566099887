/*
 * client_address: where a client is, as far as we can believe it: the peer of its socket, or what a
 * trusted proxy says about it.
 */
#pragma once

#include "common/memory.h"
#include "common/networks.h"

#define CLIENT_ADDRESS_TEXT 46u /* characters of one, with NUL */
#define CLIENT_GROUP_BITS   64u /* of IPv6: what one customer of a network has at the least */

enum client_family {
    CLIENT_FAMILY_UNKNOWN, /* of a socket that has no address, like one in the file system */
    CLIENT_FAMILY_V4,
    CLIENT_FAMILY_V6,
};

struct client_address {
    uint8_t family;                     /* enum client_family */
    bool is_secure;                     /* the client speaks TLS, to us or to the proxy */
    uint8_t bytes[NETWORK_ADDRESS_LEN]; /* IPv4: mapped, see networks.h; all zero if unknown */
};

/* An address in numbers, as a proxy writes it: also "[…]" around IPv6, and a port behind it. Sets
 * all but is_secure. -EINVAL if it is none. */
WARN_UNUSED int client_address_parse(struct slice text, struct client_address *ret);
/* From 4 or 16 bytes in network order. */
void client_address_set_v4(struct client_address *a, const uint8_t bytes[4]);
void client_address_set_v6(struct client_address *a, const uint8_t bytes[16]);
/* The peer of a socket; unknown if that has none. */
void client_address_set_peer(struct client_address *a, int fd);

/* "192.0.2.7", "2001:db8::1", "unknown"; returns `out`. */
const char *client_address_format(const struct client_address *a, char out[CLIENT_ADDRESS_TEXT]);
/* Orders addresses; is_secure does not count. */
int client_address_compare(const struct client_address *a, const struct client_address *b);
/* What limits are counted by: an IPv4 address, the first half of an IPv6 one. */
struct client_address client_address_group(const struct client_address *a);
