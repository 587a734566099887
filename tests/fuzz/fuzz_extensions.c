/* The lists with which a client asks for extensions and subprotocols. The input is the value of the
 * headers, one a line. */
#include "fuzz.h"

#include "gateway/deflate.h"
#include "gateway/http.h"

/* A request with the lines as headers of this name; returns how many. */
static size_t make_request(struct slice input, const char *name, struct http_request *ret)
{
    size_t at = 0;

    *ret = (struct http_request){0};
    while (at <= input.len && ret->header_count < HTTP_HEADERS_MAX) {
        const uint8_t *eol = memchr(input.data + at, '\n', input.len - at);
        size_t end = eol ? (size_t)(eol - input.data) : input.len;
        ret->headers[ret->header_count++] = (struct http_header){
            .name = slice_str(name),
            .value = slice_of(input.data + at, end - at),
        };
        at = end + 1;
    }
    return ret->header_count;
}

static bool has_text(struct slice bytes, const char *text)
{
    return memmem(bytes.data, bytes.len, text, strlen(text)) != NULL;
}

/* What is agreed on was asked for, and says no more than was. */
static void check_extensions(const struct http_request *req, struct slice input)
{
    const char *agreed = deflate_negotiate(req);

    if (!agreed)
        return;
    CHECK(has_text(input, "permessage-deflate"));
    CHECK(strstr(agreed, "; server_no_context_takeover; client_no_context_takeover"));
    CHECK(!strstr(agreed, "server_max_window_bits") || has_text(input, "server_max_window_bits"));
    CHECK(!strstr(agreed, "client_max_window_bits"));
}

/* The headers of a list say the same as one header of the lists joined (RFC 9110, section 5.3). */
static void check_joined(const struct http_request *req, struct slice input)
{
    struct http_request joined = {.header_count = 1};
    uint8_t *text = malloc(input.len + 1);

    CHECK(text);
    for (size_t i = 0; i < input.len; i++)
        text[i] = input.data[i] == '\n' ? ',' : input.data[i];
    joined.headers[0] = (struct http_header){
        .name = slice_str("Sec-WebSocket-Extensions"),
        .value = slice_of(text, input.len),
    };
    const char *apart = deflate_negotiate(req);
    const char *together = deflate_negotiate(&joined);
    bool is_quoted = memchr(input.data, '"', input.len) != NULL;
    CHECK(is_quoted || apart == together);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, copy;
    struct http_request req;

    take_copy(&rest, size, &copy);
    struct slice input = slice_of(copy.data, copy.len);
    size_t lines = make_request(input, "sec-websocket-extensions", &req);
    check_extensions(&req, input);
    if (lines < HTTP_HEADERS_MAX)
        check_joined(&req, input);
    (void)make_request(input, "Sec-WebSocket-Protocol", &req);
    bool has = http_header_has_token(&req, "sec-websocket-protocol", "a");
    CHECK(!has || memchr(input.data, 'a', input.len) || memchr(input.data, 'A', input.len));
    bool is_offered = http_offers_subprotocol(&req, "a");
    CHECK(!is_offered || (has && memchr(input.data, 'a', input.len)));
    free_slice(&copy);
    return 0;
}
