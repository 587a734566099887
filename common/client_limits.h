/*
 * client_limits: what one client, one address, one user or one tenant may take, on this host. One
 * table: each row is a setting `limit_NAME` (config.h) and a field of struct client_limits.
 *
 * What over a limit means: sizes and times end the connection with the refusal of its protocol
 * (431, 408, 413; 1008, 1009, 4408); over control_frames_per_s it is closed with 1008; over the
 * other rates it is not read until it has waited as long as it was too fast, so nothing is lost;
 * over a count of connections it is answered 429, or closed unanswered before its request;
 * too many documents, rooms or presence ids are refused one by one; what waits for a client beyond
 * queue_bytes is dropped and made up for (conn.h). Each time counts in concord_limited_total
 * (metrics.h), under the limit's name.
 */
#pragma once

#include <stdint.h>

/* L(NAME, name, who counts, least, most, default, help); where the least is 0, 0 sets no bound. */
#define CLIENT_LIMITS(L)                                                                           \
    L(HEAD_BYTES, head_bytes, gateway, 1024, 65536, 8192, "bytes of a request's head")             \
    L(HEAD_MS, head_ms, gateway, 100, 600000, 5000,                                                \
      "time for a request's head, or for a TLS handshake")                                         \
    L(AUTH_BYTES, auth_bytes, gateway, 1024, 67108864, 65536,                                      \
      "bytes that a socket may send before its first token")                                       \
    L(AUTH_MESSAGES, auth_messages, gateway, 1, 1000000, 16,                                       \
      "messages, other than tokens, that it may send before")                                      \
    L(AUTH_MS, auth_ms, gateway, 100, 600000, 10000, "time until its first token")                 \
    L(DOCUMENTS, documents, gateway, 1, 1000000, 1000, "documents of one socket that has many")    \
    L(FRAGMENTS, fragments, gateway, 1, 1000000, 4096, "frames of one message")                    \
    L(FRAMES_PER_S, frames_per_s, gateway, 0, 1000000, 4000, "frames of a connection a second")    \
    L(CONTROL_FRAMES_PER_S, control_frames_per_s, gateway, 0, 1000000, 100,                        \
      "pings, pongs and closes of a connection a second")                                          \
    L(UPDATES_PER_S, updates_per_s, gateway, 0, 1000000, 1000, "edits of a connection a second")   \
    L(BYTES_PER_S, bytes_per_s, gateway, 0, 1073741824, 8388608,                                   \
      "bytes from a connection a second")                                                          \
    L(QUEUE_BYTES, queue_bytes, gateway, 65536, 1073741824, 16777216,                              \
      "bytes that wait for a client that does not read")                                           \
    L(AWARENESS_IDS, awareness_ids, gateway, 1, 4096, 16,                                          \
      "presences that one client shows in a room")                                                 \
    L(AWARENESS_BYTES, awareness_bytes, gateway, 16, 1048576, 16384, "bytes of one presence")      \
    L(HANDSHAKES_ADDRESS, handshakes_address, gateway, 0, 1000000, 1000,                           \
      "connections of an address that are no WebSocket yet")                                       \
    L(CONNECTIONS_ADDRESS, connections_address, gateway, 0, 1000000, 10000,                        \
      "WebSockets of an address (of IPv6: a /64)")                                                 \
    L(CONNECTIONS_USER, connections_user, gateway, 0, 1000000, 1000,                               \
      "WebSockets of a user, by the token's sub")                                                  \
    L(CONNECTIONS_TENANT, connections_tenant, gateway, 0, 1000000, 0, "WebSockets of a tenant")    \
    L(CONNECTIONS, connections, gateway, 0, 1000000, 0, "connections of all clients")              \
    L(ROOMS_TENANT, rooms_tenant, roomd, 0, 1000000, 0, "open rooms of a tenant")                  \
    L(ROOM_STARTS_PER_S, room_starts_per_s, roomd, 0, 1000000, 100,                                \
      "rooms of a tenant that are started a second")

struct client_limits {
#define CLIENT_LIMIT_FIELD(NAME, name, process, least, most, fallback, help) uint32_t name;
    CLIENT_LIMITS(CLIENT_LIMIT_FIELD)
#undef CLIENT_LIMIT_FIELD
};

/* An initializer. */
#define CLIENT_LIMITS_DEFAULTS                                                                     \
    {                                                                                              \
        CLIENT_LIMITS(CLIENT_LIMIT_DEFAULT)                                                        \
    }
#define CLIENT_LIMIT_DEFAULT(NAME, name, process, least, most, fallback, help) .name = (fallback),
