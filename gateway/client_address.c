#include "gateway/client_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define PORT_DIGITS 5u

static void set_bytes(struct client_address *a, const uint8_t bytes[NETWORK_ADDRESS_LEN])
{
    struct in6_addr v6;

    memcpy(&v6, bytes, sizeof(v6));
    a->family = IN6_IS_ADDR_V4MAPPED(&v6) ? CLIENT_FAMILY_V4 : CLIENT_FAMILY_V6;
    memcpy(a->bytes, bytes, sizeof(a->bytes));
}

void client_address_set_v4(struct client_address *a, const uint8_t bytes[4])
{
    uint8_t mapped[NETWORK_ADDRESS_LEN] = {[10] = 0xff, [11] = 0xff};

    memcpy(mapped + 12, bytes, 4);
    set_bytes(a, mapped);
}

void client_address_set_v6(struct client_address *a, const uint8_t bytes[16])
{
    set_bytes(a, bytes);
}

void client_address_set_peer(struct client_address *a, int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } peer = {0};
    socklen_t len = sizeof(peer);
    int r = getpeername(fd, &peer.any, &len);

    if (r == 0 && peer.any.sa_family == AF_INET)
        client_address_set_v4(a, (const uint8_t *)&peer.v4.sin_addr);
    else if (r == 0 && peer.any.sa_family == AF_INET6)
        client_address_set_v6(a, (const uint8_t *)&peer.v6.sin6_addr);
    else
        *a = (struct client_address){.is_secure = a->is_secure};
}

static bool is_port(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    }
    return s.len >= 1 && s.len <= PORT_DIGITS;
}

/* The host of "[host]", "[host]:port" and "1.2.3.4:port"; as it is if it is none of them. */
static struct slice without_port(struct slice s)
{
    const uint8_t *colon = s.len > 0 ? memchr(s.data, ':', s.len) : NULL;
    size_t before = colon ? (size_t)(colon - s.data) : s.len;

    if (s.len > 0 && s.data[0] == '[') {
        const uint8_t *bracket = memchr(s.data, ']', s.len);
        size_t len = bracket ? (size_t)(bracket - s.data) : 0;
        struct slice rest = slice_of(s.data + len + 1, bracket ? s.len - len - 1 : 0);
        bool is_sound = bracket && memchr(s.data, ':', len) &&
                        (rest.len == 0 ||
                         (rest.data[0] == ':' && is_port(slice_of(rest.data + 1, rest.len - 1))));
        return is_sound ? slice_of(s.data + 1, len - 1) : s;
    }
    if (colon && is_port(slice_of(colon + 1, s.len - before - 1)) &&
        memchr(s.data, '.', before)) /* else it is IPv6 */
        return slice_of(s.data, before);
    return s;
}

int client_address_parse(struct slice text, struct client_address *ret)
{
    uint8_t bytes[NETWORK_ADDRESS_LEN];
    int r = network_address_parse(without_port(text), bytes);

    if (r == 0)
        set_bytes(ret, bytes);
    return r;
}

const char *client_address_format(const struct client_address *a, char out[CLIENT_ADDRESS_TEXT])
{
    bool is_v4 = a->family == CLIENT_FAMILY_V4;

    if (a->family == CLIENT_FAMILY_UNKNOWN ||
        !inet_ntop(is_v4 ? AF_INET : AF_INET6, a->bytes + (is_v4 ? 12 : 0), out,
                   CLIENT_ADDRESS_TEXT))
        (void)snprintf(out, CLIENT_ADDRESS_TEXT, "unknown");
    return out;
}

int client_address_compare(const struct client_address *a, const struct client_address *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

struct client_address client_address_group(const struct client_address *a)
{
    struct client_address group = {.family = a->family};

    memcpy(group.bytes, a->bytes, sizeof(group.bytes));
    if (a->family == CLIENT_FAMILY_V6)
        network_address_mask(group.bytes, CLIENT_GROUP_BITS);
    return group;
}
