#include "common/networks.h"

#include <arpa/inet.h>
#include <errno.h>

#define ADDRESS_BITS 128u
#define MAPPED_BITS  96u /* of the prefix ::ffff:0:0/96 */

static const uint8_t mapped_prefix[MAPPED_BITS / 8] = {[10] = 0xff, [11] = 0xff};

int network_address_parse(struct slice text, uint8_t ret[NETWORK_ADDRESS_LEN])
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t v4[4];
    uint8_t v6[NETWORK_ADDRESS_LEN];

    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.data, '\0', text.len))
        return -EINVAL;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, v4) == 1) {
        memcpy(ret, mapped_prefix, sizeof(mapped_prefix));
        memcpy(ret + sizeof(mapped_prefix), v4, sizeof(v4));
        return 0;
    }
    if (inet_pton(AF_INET6, copy, v6) != 1)
        return -EINVAL;
    memcpy(ret, v6, sizeof(v6));
    return 0;
}

void network_address_mask(uint8_t address[NETWORK_ADDRESS_LEN], unsigned bits)
{
    for (unsigned i = 0; i < NETWORK_ADDRESS_LEN; i++) {
        unsigned kept = bits > i * 8 ? bits - i * 8 : 0;
        if (kept < 8)
            address[i] &= (uint8_t)(0xff00u >> kept);
    }
}

/* The number behind the slash. */
static int parse_bits(struct slice text, unsigned max, unsigned *ret)
{
    unsigned n = 0;

    if (text.len < 1 || text.len > 3)
        return -EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -EINVAL;
        n = n * 10 + text.data[i] - '0';
    }
    if (n > max)
        return -EINVAL;
    *ret = n;
    return 0;
}

static int parse_network(struct slice text, struct network *ret)
{
    const uint8_t *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
    size_t len = slash ? (size_t)(slash - text.data) : text.len;
    struct network n = {.bits = ADDRESS_BITS};

    if (network_address_parse(slice_of(text.data, len), n.address) < 0)
        return -EINVAL;
    if (slash) {
        bool is_v4 = !memchr(text.data, ':', len);
        unsigned before = is_v4 ? MAPPED_BITS : 0;
        struct slice bits = slice_of(slash + 1, text.len - len - 1);
        if (parse_bits(bits, ADDRESS_BITS - before, &n.bits) < 0)
            return -EINVAL;
        n.bits += before;
    }
    network_address_mask(n.address, n.bits);
    *ret = n;
    return 0;
}

static struct slice trim_spaces(struct slice s)
{
    while (s.len > 0 && s.data[0] == ' ')
        s = slice_of(s.data + 1, s.len - 1);
    while (s.len > 0 && s.data[s.len - 1] == ' ')
        s.len--;
    return s;
}

static int add_network(struct networks *n, struct slice text)
{
    struct network network;

    if (n->count == NETWORKS_MAX)
        return -E2BIG;
    int r = parse_network(trim_spaces(text), &network);
    if (r < 0)
        return r;
    n->items = xrealloc(n->items, (n->count + 1) * sizeof(*n->items));
    n->items[n->count++] = network;
    return 0;
}

int networks_parse(const char *text, struct networks *ret)
{
    struct networks n = {0};
    int r = 0;

    if (trim_spaces(slice_str(text)).len == 0) {
        *ret = n;
        return 0;
    }
    for (const char *p = text; p && r == 0;) {
        const char *comma = strchr(p, ',');
        r = add_network(&n, slice_of(p, comma ? (size_t)(comma - p) : strlen(p)));
        p = comma ? comma + 1 : NULL;
    }
    if (r < 0) {
        networks_done(&n);
        return r;
    }
    *ret = n;
    return 0;
}

void networks_done(struct networks *n)
{
    free(n->items);
    *n = (struct networks){0};
}

bool networks_have(const struct networks *n, const uint8_t address[NETWORK_ADDRESS_LEN])
{
    for (size_t i = 0; i < n->count; i++) {
        uint8_t masked[NETWORK_ADDRESS_LEN];
        memcpy(masked, address, sizeof(masked));
        network_address_mask(masked, n->items[i].bits);
        if (memcmp(masked, n->items[i].address, sizeof(masked)) == 0)
            return true;
    }
    return false;
}
