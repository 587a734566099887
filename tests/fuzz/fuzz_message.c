/*
 * Bytes as a message of another process, above all of a room, which digests hostile documents: each
 * decoder of the table. What is understood is written and understood again.
 */
#include "fuzz.h"

#include "common/ipc.h"
#include "proto/proto.h"

#define EQUAL_u32(a, b)   ((a) == (b))
#define EQUAL_u64(a, b)   ((a) == (b))
#define EQUAL_flag(a, b)  ((a) == (b))
#define EQUAL_bytes(a, b) slice_equal((a), (b))

#define INSIDE_u32(field, max)
#define INSIDE_u64(field, max)
#define INSIDE_flag(field, max)
#define INSIDE_bytes(field, max) check_inside(body, (field), (max));

static void check_inside(struct slice body, struct slice field, size_t max)
{
    CHECK(field.len <= max);
    if (field.len > 0)
        CHECK(field.data >= body.data && field.data + field.len <= body.data + body.len);
}

static struct slice body_of(const struct blob *frame)
{
    return slice_of(frame->data + IPC_HEADER, frame->len - IPC_HEADER);
}

#define CHECK_INSIDE(type, name, max) INSIDE_##type(m.name, max)
#define CHECK_EQUAL(type, name, max)  CHECK(EQUAL_##type(m.name, again.name));

#define M(code, name, NAME, who, what)                                                             \
    static void try_##name(struct slice body)                                                      \
    {                                                                                              \
        struct msg_##name m = {}, again = {};                                                      \
        int r = proto_decode_##name(body, &m);                                                     \
                                                                                                   \
        CHECK(r == 0 || r == -EBADMSG);                                                            \
        if (r < 0)                                                                                 \
            return;                                                                                \
        CHECK(proto_code_of(body) == code);                                                        \
        PROTO_##NAME##_FIELDS(CHECK_INSIDE) struct blob *frame = proto_encode_##name(&m);          \
        CHECK(proto_decode_##name(body_of(frame), &again) == 0);                                   \
        PROTO_##NAME##_FIELDS(CHECK_EQUAL) blob_unref(frame);                                      \
    }
PROTO_MESSAGES(M)
#undef M

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, copy;

    take_copy(&rest, size, &copy);
    struct slice body = slice_of(copy.data, copy.len);
    (void)proto_name(proto_code_of(body));
#define M(code, name, NAME, who, what) try_##name(body);
    PROTO_MESSAGES(M)
#undef M
    free_slice(&copy);
    return 0;
}
