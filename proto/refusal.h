/*
 * Why a client's request is refused: one table for every protocol. `name` is the `code` of JSON
 * errors, `status` that of an HTTP answer, `close` that of a WebSocket close frame, `text` what a
 * person reads. Codes travel between processes and are append-only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* R(code, NAME, name, HTTP status, close code, may be tried again, text) */
#define REFUSALS(R)                                                                                \
    R(1, BAD_REQUEST, "bad_request", 400, 1002, false, "the request is malformed")                 \
    R(2, NOT_FOUND, "not_found", 404, 1008, false, "there is nothing at this path")                \
    R(3, BAD_NAME, "bad_name", 400, 1008, false,                                                   \
      "a room name is 1 to 255 bytes of UTF-8 without NUL")                                        \
    R(4, BAD_MESSAGE, "bad_message", 400, 1007, false, "the message does not decode")              \
    R(5, BAD_UPDATE, "bad_update", 400, 1007, false, "the update does not decode")                 \
    R(6, TOO_LARGE, "too_large", 413, 1009, false, "the message is over the size limit")           \
    R(7, OVER_LIMIT, "over_limit", 422, 1008, false, "the update is over a limit of the room")     \
    R(8, LOAD_FAILED, "load_failed", 503, 1013, true,                                              \
      "the room cannot be loaded, try again later")                                                \
    R(9, STORAGE_FULL, "storage_full", 507, 1013, true, "the server's storage is full")            \
    R(10, UNAVAILABLE, "unavailable", 503, 1013, true,                                             \
      "the room is not available, try again later")                                                \
    R(11, NOT_TEXT, "not_text", 400, 1003, false, "this socket takes the other kind of message")   \
    R(12, TOO_MANY, "too_many", 429, 1008, true, "too many at once")                               \
    R(13, ROOM_QUARANTINED, "room_quarantined", 503, 1011, false,                                  \
      "the room is in quarantine after failures; its content is kept, an operator must release "   \
      "it")                                                                                        \
    R(14, READ_ONLY, "read_only", 403, 1008, false, "this client may only read")                   \
    R(15, UNAUTHORIZED, "unauthorized", 401, 4401, false, "a valid token is required")             \
    R(16, FORBIDDEN, "forbidden", 403, 4403, false, "the token does not allow this")               \
    R(17, EXPIRED, "expired", 401, 4401, false, "the token has expired")                           \
    R(18, AUTH_TIMEOUT, "auth_timeout", 408, 4408, true, "no token came in time")                  \
    R(19, OTHER_VERSION, "other_version", 503, 1011, false,                                        \
      "the room was left open by another version of the server; its content is kept, an operator " \
      "must let that version store it")

enum refusal {
#define R(code, NAME, name, status, close, retry, text) REFUSAL_##NAME = code,
    REFUSALS(R)
#undef R
};

struct refusal_info {
    const char *name;
    const char *text;
    uint16_t http_status;
    uint16_t close_code;
    bool is_retryable;
};

/* Never NULL: an unknown code reads as UNAVAILABLE. */
const struct refusal_info *refusal_info(uint32_t code);
