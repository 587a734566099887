#include "proto/proto.h"

#include "common/ipc.h"
#include "common/log.h"
#include "proto/cursor.h"

#include <assert.h>
#include <errno.h>
#include <msgpack.h>

/* ---- encoding: msgpack-c packs into a blob of the largest size the message can take ---- */

#define MAX_BYTES_u32(value)   5
#define MAX_BYTES_u64(value)   9
#define MAX_BYTES_flag(value)  1
#define MAX_BYTES_bytes(value) (5 + (value).len)

static int write_to_blob(void *ctx, const char *data, size_t len)
{
    struct blob *b = ctx;

    memcpy(b->data + b->len, data, len);
    b->len += len;
    return 0;
}

static void pack_u32(msgpack_packer *p, uint32_t value, size_t max)
{
    (void)max;
    (void)msgpack_pack_uint32(p, value);
}

static void pack_u64(msgpack_packer *p, uint64_t value, size_t max)
{
    (void)max;
    (void)msgpack_pack_uint64(p, value);
}

static void pack_flag(msgpack_packer *p, bool value, size_t max)
{
    (void)max;
    (void)(value ? msgpack_pack_true(p) : msgpack_pack_false(p));
}

static void pack_bytes(msgpack_packer *p, struct slice value, size_t max)
{
    assert(value.len <= max);
    (void)msgpack_pack_bin(p, value.len);
    if (value.len > 0)
        (void)msgpack_pack_bin_body(p, value.data, value.len);
}

/* The frame's blob, with the header skipped and the message's array begun. */
static struct blob *begin(msgpack_packer *p, size_t max_fields_len, uint32_t code, size_t fields)
{
    struct blob *b = blob_new(IPC_HEADER + 5 + 5 + max_fields_len);

    b->len = IPC_HEADER;
    msgpack_packer_init(p, b, write_to_blob);
    (void)msgpack_pack_array(p, 1 + fields);
    (void)msgpack_pack_uint32(p, code);
    return b;
}

static struct blob *finish(struct blob *b)
{
    uint32_t len = (uint32_t)(b->len - IPC_HEADER);

    for (size_t i = 0; i < IPC_HEADER; i++)
        b->data[i] = (uint8_t)(len >> (8 * i));
    return b;
}

/* ---- decoding ---- */

static uint32_t read_u32(struct cursor *c, size_t max)
{
    (void)max;
    return (uint32_t)cursor_uint(c, UINT32_MAX);
}

static uint64_t read_u64(struct cursor *c, size_t max)
{
    (void)max;
    return cursor_uint(c, UINT64_MAX);
}

static bool read_flag(struct cursor *c, size_t max)
{
    (void)max;
    return cursor_bool(c);
}

static struct slice read_bytes(struct cursor *c, size_t max)
{
    return cursor_bytes(c, max);
}

/* Reads the head; returns how many fields follow. A message without its fields has failed. */
static uint32_t open_message(struct cursor *c, struct slice body, uint32_t code, uint32_t fields)
{
    cursor_init(c, body);
    uint32_t count = cursor_array(c);
    if (count < 1 + fields || cursor_uint(c, UINT32_MAX) != code)
        c->has_failed = true;
    return count - 1;
}

static int close_message(struct cursor *c, uint32_t extra)
{
    /* Trailing fields of a newer version. Each takes at least one byte, so this ends. */
    while (extra-- > 0 && !c->has_failed)
        cursor_skip(c);
    return cursor_is_done(c) ? 0 : -EBADMSG;
}

/* ---- from the table ---- */

#define COUNT(type, name, max)  +1
#define LENGTH(type, name, max) +MAX_BYTES_##type(m->name)
#define PACK(type, name, max)   pack_##type(&p, m->name, max);
#define READ(type, name, max)   m.name = read_##type(&c, max);

#define M(code, name, NAME, who, what)                                                             \
    struct blob *proto_encode_##name(const struct msg_##name *m)                                   \
    {                                                                                              \
        msgpack_packer p;                                                                          \
        (void)m;                                                                                   \
        struct blob *b =                                                                           \
            begin(&p, 0 PROTO_##NAME##_FIELDS(LENGTH), code, 0 PROTO_##NAME##_FIELDS(COUNT));      \
        PROTO_##NAME##_FIELDS(PACK) return finish(b);                                              \
    }                                                                                              \
    int proto_decode_##name(struct slice body, struct msg_##name *ret)                             \
    {                                                                                              \
        const uint32_t fields = 0 PROTO_##NAME##_FIELDS(COUNT);                                    \
        struct msg_##name m = {};                                                                  \
        struct cursor c;                                                                           \
        uint32_t count = open_message(&c, body, code, fields);                                     \
        PROTO_##NAME##_FIELDS(READ) int r = close_message(&c, count - fields);                     \
        if (r == 0)                                                                                \
            *ret = m;                                                                              \
        return r;                                                                                  \
    }
PROTO_MESSAGES(M)
#undef M

int proto_code_of(struct slice body)
{
    struct cursor c;

    cursor_init(&c, body);
    if (cursor_array(&c) < 1)
        return -EBADMSG;
    uint64_t code = cursor_uint(&c, INT32_MAX);
    return c.has_failed ? -EBADMSG : (int)code;
}

const char *proto_name(int code)
{
    switch (code) {
#define M(code, name, NAME, who, what)                                                             \
    case code:                                                                                     \
        return #name;
        PROTO_MESSAGES(M)
#undef M
    }
    return "unknown";
}

int proto_dispatch(const struct proto_route *routes, size_t count, void *ctx, struct slice body)
{
    int code = proto_code_of(body);

    for (size_t i = 0; code >= 0 && i < count; i++) {
        if ((int)routes[i].code == code)
            return routes[i].fn(ctx, body);
    }
    return -EBADMSG;
}
