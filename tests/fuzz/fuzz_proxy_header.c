/*
 * The header of a proxy, as gateway/stream.c collects it: never more bytes than it is known to
 * have. In pieces of any size it says the same as at once.
 */
#include "fuzz.h"

#include "gateway/proxy_header.h"

/* What is known of the header's length once there are no more bytes for it, at most `step` of them
 * at a time; `*ret_len` of them were taken. */
static ssize_t collect(struct slice input, size_t step, size_t *ret_len)
{
    size_t have = 0;
    ssize_t len;
    while ((len = proxy_header_len(slice_of(input.data, have))) > 0 && have < (size_t)len &&
           have < input.len) {
        size_t lacking = (size_t)len - have;
        size_t take = lacking < step ? lacking : step;
        have += take < input.len - have ? take : input.len - have;
    }
    *ret_len = have;
    return len;
}

static void parse(struct slice header)
{
    struct proxy_header h;
    char text[CLIENT_ADDRESS_TEXT];
    int r = proxy_header_parse(header, &h);
    CHECK(r == 0 || r == -EBADMSG || r == -EAFNOSUPPORT);
    if (r < 0)
        return;
    CHECK(header.len >= PROXY_HEADER_FIXED && header.len <= PROXY_HEADER_MAX);
    CHECK(strlen(client_address_format(&h.client, text)) < sizeof(text));
    CHECK(!h.is_local || h.client.family == CLIENT_FAMILY_UNKNOWN);
    CHECK(h.client.family != CLIENT_FAMILY_UNKNOWN || !h.client.is_secure);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, copy;
    size_t step = 1 + (size_t)take_byte(&rest);
    size_t whole, pieces;
    struct slice input = slice_of(rest.data, rest.len);
    ssize_t at_once = collect(input, PROXY_HEADER_MAX, &whole);
    ssize_t in_pieces = collect(input, step, &pieces);
    CHECK(at_once == -EBADMSG || at_once == -E2BIG || at_once >= (ssize_t)PROXY_HEADER_FIXED);
    CHECK(at_once == in_pieces);
    CHECK(at_once < 0 || whole == pieces);
    take_copy(&rest, whole, &copy);
    parse(slice_of(copy.data, copy.len));
    free_slice(&copy);
    return 0;
}
