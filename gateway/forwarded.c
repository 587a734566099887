#include "gateway/forwarded.h"

#include <strings.h>

#define FOR   "x-forwarded-for"
#define PROTO "x-forwarded-proto"

static bool is_trusted(const struct networks *trusted, const struct client_address *a)
{
    return a->family != CLIENT_FAMILY_UNKNOWN && networks_have(trusted, a->bytes);
}

/* Takes the last element off a comma-separated list. */
static struct slice take_last(struct slice *list)
{
    const uint8_t *comma = list->len > 0 ? memrchr(list->data, ',', list->len) : NULL;
    size_t begin = comma ? (size_t)(comma - list->data) + 1 : 0;
    struct slice last = slice_of(list->data + begin, list->len - begin);

    list->len = comma ? begin - 1 : 0;
    return slice_trim(last);
}

/* Goes back along the proxies of one header. False: there is no use in looking further. */
static bool follow(const struct networks *trusted, struct slice list, struct client_address *client)
{
    while (list.len > 0) {
        struct slice last = take_last(&list);
        if (client_address_parse(last, client) < 0 || !is_trusted(trusted, client))
            return false;
    }
    return true;
}

struct client_address forwarded_client(const struct networks *trusted,
                                       const struct client_address *peer,
                                       const struct http_request *req)
{
    struct client_address client = *peer;
    bool is_known = false; /* by the nearest proxy's word, how the client speaks */
    bool goes_on = is_trusted(trusted, peer);

    if (!goes_on)
        return client;
    for (size_t i = req->header_count; i-- > 0;) {
        const struct http_header *header = &req->headers[i];
        if (goes_on && http_header_is(header, FOR))
            goes_on = follow(trusted, header->value, &client);
        if (is_known || !http_header_is(header, PROTO))
            continue;
        struct slice list = header->value;
        struct slice scheme = take_last(&list);
        client.is_secure =
            scheme.len == 5 && strncasecmp((const char *)scheme.data, "https", 5) == 0;
        is_known = true;
    }
    return client;
}
