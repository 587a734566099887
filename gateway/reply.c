#include "gateway/reply.h"

#include "common/buffer.h"
#include "proto/refusal.h"

#define NO_STORE "Cache-Control: no-store\r\n"

void reply_text(struct conn *c, const struct http_request *req, unsigned status, const char *extra,
                const char *text)
{
    struct buffer b = {0};

    buffer_printf(&b, "%s\n", text);
    struct blob *content = blob_copy(buffer_slice(&b));
    struct http_answer answer = {
        .status = status,
        .extra = extra,
        .length = content->len,
        /* A client has no use for anything but the WebSocket that it wanted. */
        .is_last = req && http_wants_websocket(req),
    };
    conn_answer(c, &answer, content);
    blob_unref(content);
    buffer_done(&b);
}

void reply_status(struct conn *c, const struct http_request *req, unsigned status,
                  const char *allow)
{
    char *extra CLEANUP_FREE = NULL;

    if (status == 405)
        extra = xasprintf("Allow: %s\r\n", allow);
    else if (status == 426)
        extra = xstrdup(HTTP_UPGRADE_LINES);
    else if (status == 401)
        extra = xstrdup("WWW-Authenticate: Bearer\r\n");
    reply_text(c, req, status, extra, http_phrase(status));
}

void reply_refusal(struct conn *c, const struct http_request *req, uint32_t refusal)
{
    const struct refusal_info *info = refusal_info(refusal);
    const char *extra = info->http_status == 401 ? "WWW-Authenticate: Bearer\r\n"
                        : info->is_retryable     ? "Retry-After: 5\r\n"
                                                 : NULL;

    reply_text(c, req, info->http_status, extra, info->text);
}

void reply_bytes(struct conn *c, unsigned status, const char *type, struct slice bytes)
{
    struct blob *content = blob_copy(bytes);
    struct http_answer answer = {
        .status = status, .type = type, .extra = NO_STORE, .length = content->len};

    conn_answer(c, &answer, content);
    blob_unref(content);
}
