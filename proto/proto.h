/*
 * The messages of messages.h as C: enum proto_code, struct msg_NAME, and for each message
 *
 *   struct blob *proto_encode_NAME(const struct msg_NAME *m);
 *       a new frame, ready for ipc_send_new(); aborts if a field is longer than the table allows
 *   int proto_decode_NAME(struct slice body, struct msg_NAME *ret);
 *       0 or -EBADMSG; `bytes` borrow from body; every byte of the body is accounted for
 */
#pragma once

#include "common/blob.h"
#include "common/memory.h"
#include "proto/messages.h"

enum proto_code {
#define M(code, name, NAME, who, what) PROTO_##NAME = code,
    PROTO_MESSAGES(M)
#undef M
};

#define PROTO_TYPE_u32   uint32_t
#define PROTO_TYPE_u64   uint64_t
#define PROTO_TYPE_flag  bool
#define PROTO_TYPE_bytes struct slice

#define F(type, name, max) PROTO_TYPE_##type name;
#define M(code, name, NAME, who, what)                                                             \
    struct msg_##name {                                                                            \
        PROTO_##NAME##_FIELDS(F)                                                                   \
    };                                                                                             \
    struct blob *proto_encode_##name(const struct msg_##name *m);                                  \
    WARN_UNUSED int proto_decode_##name(struct slice body, struct msg_##name *ret);
PROTO_MESSAGES(M)
#undef M
#undef F

/* The code of a message, or -EBADMSG. */
WARN_UNUSED int proto_code_of(struct slice body);
/* The table's name of a code; "unknown" for any other. For logs and counters. */
const char *proto_name(int code);

/*
 * Routing. A process lists what it accepts on one connection:
 *
 *   PROTO_ROUTE_FN(room_open, struct peer, handle_room_open)     defines route_room_open()
 *   static const struct proto_route routes[] = {PROTO_ROUTE(room_open, ROOM_OPEN), …};
 *   r = proto_dispatch(routes, ARRAY_LEN(routes), peer, body);
 *
 * A handler is `int handle(struct peer *, const struct msg_room_open *)` and its result is that of
 * proto_dispatch(), which is -EBADMSG for a message that is malformed or not in the list.
 */
struct proto_route {
    enum proto_code code;
    int (*fn)(void *ctx, struct slice body);
};

#define PROTO_ROUTE_FN(name, ctx_type, handler)                                                    \
    static int route_##name(void *ctx, struct slice body)                                          \
    {                                                                                              \
        struct msg_##name m;                                                                       \
        int r = proto_decode_##name(body, &m);                                                     \
        return r < 0 ? r : handler((ctx_type *)ctx, &m);                                           \
    }
#define PROTO_ROUTE(name, NAME)                                                                    \
    {                                                                                              \
        .code = PROTO_##NAME, .fn = route_##name                                                   \
    }

WARN_UNUSED int proto_dispatch(const struct proto_route *routes, size_t count, void *ctx,
                               struct slice body);
