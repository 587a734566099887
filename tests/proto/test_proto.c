#include "proto/proto.h"

#include "common/ipc.h"
#include "proto/refusal.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct slice body_of(const struct blob *frame)
{
    return slice_of(frame->data + IPC_HEADER, frame->len - IPC_HEADER);
}

#define SAMPLE_u32   UINT32_C(70000)
#define SAMPLE_u64   (UINT64_C(1) << 40)
#define SAMPLE_flag  true
#define SAMPLE_bytes slice_of("bytes\0", 6)

#define EQUAL_u32(a, b)   ((a) == (b))
#define EQUAL_u64(a, b)   ((a) == (b))
#define EQUAL_flag(a, b)  ((a) == (b))
#define EQUAL_bytes(a, b) slice_equal((a), (b))

#define SET(type, name, max)   m.name = SAMPLE_##type;
#define CHECK(type, name, max) cr_expect(EQUAL_##type(got.name, SAMPLE_##type));

Test(proto, every_message_comes_back_and_none_of_its_prefixes_does){
#define M(code, name, NAME, who, what)                                                             \
    {                                                                                              \
        struct msg_##name m = {};                                                                  \
        struct msg_##name got = {};                                                                \
        PROTO_##NAME##_FIELDS(SET) struct blob *frame = proto_encode_##name(&m);                   \
        struct slice body = body_of(frame);                                                        \
        cr_expect_eq(proto_code_of(body), code);                                                   \
        cr_expect_str_eq(proto_name(code), #name);                                                 \
        cr_expect_eq(proto_decode_##name(body, &got), 0, #name);                                   \
        PROTO_##NAME##_FIELDS(CHECK) for (size_t len = 0; len < body.len; len++)                   \
        {                                                                                          \
            uint8_t *copy CLEANUP_FREE = xmalloc(len);                                             \
            memcpy(copy, body.data, len);                                                          \
            cr_expect_eq(proto_decode_##name(slice_of(copy, len), &got), -EBADMSG);                \
        }                                                                                          \
        blob_unref(frame);                                                                         \
    }
    PROTO_MESSAGES(M)
#undef M
}

/* The wire format is pinned: these bytes may never change. */
Test(proto, golden_bytes)
{
    static const uint8_t opened[] = {3, 0, 0, 0, 0x92, 2, 7};
    static const uint8_t update[] = {21, 0,   0,   0,    0x95, 61,  0xce, 0,   1,
                                     0,  0,   9,   0xc4, 3,    'a', 'b',  'c', 0xc4,
                                     6,  'b', 'y', 't',  'e',  's', '!'};
    struct blob *frame = proto_encode_room_opened(&(struct msg_room_opened){.request = 7});

    cr_assert_eq(frame->len, sizeof(opened));
    cr_expect_eq(memcmp(frame->data, opened, sizeof(opened)), 0);
    blob_unref(frame);
    frame = proto_encode_room_update(&(struct msg_room_update){
        .seq = 65536, .session = 9, .update = slice_str("abc"), .update_v2 = slice_str("bytes!")});
    cr_assert_eq(frame->len, sizeof(update));
    cr_expect_eq(memcmp(frame->data, update, sizeof(update)), 0);
    blob_unref(frame);
}

Test(proto, trailing_fields_are_for_later_versions)
{
    static const uint8_t newer[] = {0x94, 2, 7, 0x92, 1, 2, 0xa1, 'x'};
    static const uint8_t older[] = {0x91, 2};
    static const uint8_t longer[] = {0x92, 2, 7, 0};
    static const uint8_t other[] = {0x92, 3, 7};
    struct msg_room_opened m;

    cr_expect_eq(proto_decode_room_opened(slice_of(newer, sizeof(newer)), &m), 0);
    cr_expect_eq(m.request, 7);
    cr_expect_eq(proto_decode_room_opened(slice_of(older, sizeof(older)), &m), -EBADMSG);
    cr_expect_eq(proto_decode_room_opened(slice_of(longer, sizeof(longer)), &m), -EBADMSG);
    cr_expect_eq(proto_decode_room_opened(slice_of(other, sizeof(other)), &m), -EBADMSG);
}

Test(proto, limits_of_the_table_hold)
{
    char name[PROTO_NAME_MAX + 1] = {0};
    struct msg_room_open m = {.request = 1, .room = slice_of(name, PROTO_NAME_MAX)};
    struct blob *frame = proto_encode_room_open(&m);
    struct msg_room_open got;

    cr_expect_eq(proto_decode_room_open(body_of(frame), &got), 0);
    blob_unref(frame);
    /* As a sender without the limit would write it: str 16 of 256 bytes. */
    uint8_t body[6 + sizeof(name)] = {0x94, 1, 1, 0xa0, 0xda, 0x01};
    cr_expect_eq(proto_decode_room_open(slice_of(body, sizeof(body)), &got), -EBADMSG);
}

struct counts {
    int opened;
};

static int handle_room_opened(struct counts *c, const struct msg_room_opened *m)
{
    c->opened += (int)m->request;
    return 0;
}

PROTO_ROUTE_FN(room_opened, struct counts, handle_room_opened)

Test(proto, dispatch_takes_only_what_is_listed)
{
    static const struct proto_route routes[] = {PROTO_ROUTE(room_opened, ROOM_OPENED)};
    struct counts c = {0};
    struct blob *listed = proto_encode_room_opened(&(struct msg_room_opened){.request = 5});
    struct blob *other = proto_encode_room_close(&(struct msg_room_close){});

    cr_expect_eq(proto_dispatch(routes, 1, &c, body_of(listed)), 0);
    cr_expect_eq(c.opened, 5);
    cr_expect_eq(proto_dispatch(routes, 1, &c, body_of(other)), -EBADMSG);
    cr_expect_eq(proto_dispatch(routes, 1, &c, slice_str("")), -EBADMSG);
    cr_expect_eq(proto_dispatch(routes, 1, &c, slice_str("junk")), -EBADMSG);
    blob_unref(listed);
    blob_unref(other);
}

Test(proto, refusals_are_complete)
{
#define R(code, NAME, name_, status, close, retry, text_)                                          \
    cr_expect_str_eq(refusal_info(REFUSAL_##NAME)->name, name_);                                   \
    cr_expect_leq(strlen(text_), 123, "fits a close frame");
    REFUSALS(R)
#undef R
    cr_expect_eq(refusal_info(0), refusal_info(REFUSAL_UNAVAILABLE));
    cr_expect_eq(refusal_info(UINT32_MAX), refusal_info(REFUSAL_UNAVAILABLE));
}
