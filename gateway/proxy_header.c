#include "gateway/proxy_header.h"

#include <errno.h>

#define VERSION   2u
#define LEN_AT    14u
#define V4_LEN    12u /* two addresses, two ports */
#define V6_LEN    36u
#define TLV_HEAD  3u /* type, length */
#define TLV_SSL   0x20u
#define SSL_HEAD  5u    /* of its value: flags, result of verifying the client */
#define SSL_SPOKE 0x01u /* of the flags: the client speaks TLS */

enum command {
    COMMAND_LOCAL = 0,
    COMMAND_PROXY = 1,
};

enum transport { /* address family and protocol */
                 TRANSPORT_UNSPEC = 0x00,
                 TRANSPORT_TCP4 = 0x11,
                 TRANSPORT_TCP6 = 0x21,
};

static const uint8_t signature[] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                    '\n', 'Q',  'U',  'I',  'T', '\n'};

static size_t read_u16(const uint8_t *p)
{
    return (size_t)p[0] << 8 | p[1];
}

ssize_t proxy_header_len(struct slice bytes)
{
    size_t known = bytes.len < sizeof(signature) ? bytes.len : sizeof(signature);

    if (known > 0 && memcmp(bytes.data, signature, known) != 0)
        return -EBADMSG;
    if (bytes.len > sizeof(signature)) {
        uint8_t command = bytes.data[sizeof(signature)];
        if (command >> 4 != VERSION || (command & 15) > COMMAND_PROXY)
            return -EBADMSG;
    }
    if (bytes.len < PROXY_HEADER_FIXED)
        return PROXY_HEADER_FIXED;
    size_t len = PROXY_HEADER_FIXED + read_u16(bytes.data + LEN_AT);
    return len > PROXY_HEADER_MAX ? -E2BIG : (ssize_t)len;
}

/* What is behind the addresses: type, length and value, until the end. All but one are skipped. */
static int read_tlvs(struct slice tlvs, struct client_address *client)
{
    while (tlvs.len > 0) {
        if (tlvs.len < TLV_HEAD)
            return -EBADMSG;
        size_t len = read_u16(tlvs.data + 1);
        const uint8_t *value = tlvs.data + TLV_HEAD;
        if (len > tlvs.len - TLV_HEAD)
            return -EBADMSG;
        if (tlvs.data[0] == TLV_SSL && len < SSL_HEAD)
            return -EBADMSG;
        if (tlvs.data[0] == TLV_SSL)
            client->is_secure = value[0] & SSL_SPOKE;
        tlvs = slice_of(value + len, tlvs.len - TLV_HEAD - len);
    }
    return 0;
}

/* The client's address comes first, then ours, then both ports. Returns their length. */
static ssize_t read_addresses(struct slice body, uint8_t transport, struct client_address *client)
{
    if (transport != TRANSPORT_TCP4 && transport != TRANSPORT_TCP6)
        return -EAFNOSUPPORT;
    size_t len = transport == TRANSPORT_TCP4 ? V4_LEN : V6_LEN;
    if (body.len < len)
        return -EBADMSG;
    if (transport == TRANSPORT_TCP4)
        client_address_set_v4(client, body.data);
    else
        client_address_set_v6(client, body.data);
    return (ssize_t)len;
}

int proxy_header_parse(struct slice header, struct proxy_header *ret)
{
    ssize_t len = proxy_header_len(header);
    struct proxy_header h = {0};

    if (len < 0 || (size_t)len != header.len)
        return -EBADMSG;
    struct slice body = slice_of(header.data + PROXY_HEADER_FIXED, header.len - PROXY_HEADER_FIXED);
    h.is_local = (header.data[sizeof(signature)] & 15) == COMMAND_LOCAL;
    /* Whatever a local one says of addresses is to be ignored; how an unknown one is laid out
     * nobody can say. */
    uint8_t transport = header.data[sizeof(signature) + 1];
    if (!h.is_local && transport != TRANSPORT_UNSPEC) {
        ssize_t addresses = read_addresses(body, transport, &h.client);
        if (addresses < 0)
            return (int)addresses;
        int r = read_tlvs(slice_of(body.data + addresses, body.len - (size_t)addresses), &h.client);
        if (r < 0)
            return r;
    }
    *ret = h;
    return 0;
}
