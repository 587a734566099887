#include "gateway/json_frames.h"

#include "crdt/awareness_update.h"
#include "proto/refusal.h"

#include <criterion/criterion.h>
#include <stdio.h>

static uint32_t read_yjs(struct slice text, struct json_message *ret)
{
    return json_message_read(text, JSON_DATA_YJS, ret);
}

static const struct {
    const char *text;
    uint32_t refusal;
    enum json_kind kind;
    int seq; /* -1: none */
} messages[] = {
    {"{\"t\":\"op\",\"seq\":1,\"data\":{\"update\":\"AAA=\"}}", 0, JSON_OP, 1},
    {"{\"t\":\"op\",\"seq\":0,\"data\":{\"update\":\"AAA=\",\"v\":1}}", 0, JSON_OP, 0},
    {"{\"t\":\"op\",\"seq\":2,\"v\":1,\"data\":{\"update\":\"AAA=\"}}", 0, JSON_OP, 2},
    {"{\"t\":\"presence\",\"user\":\"x\"}", 0, JSON_PRESENCE, -1},
    {"{\"t\":\"presence\",\"client\":9007199254740991}", 0, JSON_PRESENCE, -1},
    {"{\"t\":\"future\",\"seq\":1}", 0, JSON_FOREIGN, -1},
    {"", REFUSAL_BAD_MESSAGE, JSON_FOREIGN, -1},
    {"{", REFUSAL_BAD_MESSAGE, JSON_FOREIGN, -1},
    {"[]", REFUSAL_BAD_MESSAGE, JSON_FOREIGN, -1},
    {"\"op\"", REFUSAL_BAD_MESSAGE, JSON_FOREIGN, -1},
    {"{}", REFUSAL_BAD_MESSAGE, JSON_FOREIGN, -1},
    {"{\"seq\":1}", REFUSAL_BAD_MESSAGE, JSON_FOREIGN, -1},
    {"{\"t\":1}", REFUSAL_BAD_MESSAGE, JSON_FOREIGN, -1},
    {"{\"t\":\"op\",\"t\":\"op\"}", REFUSAL_BAD_MESSAGE, JSON_FOREIGN, -1},
    {"{\"t\":\"op\"} x", REFUSAL_BAD_MESSAGE, JSON_FOREIGN, -1},
    {"{\"t\":\"op\",\"data\":{\"update\":\"AAA=\"}}", REFUSAL_BAD_MESSAGE, JSON_OP, -1},
    {"{\"t\":\"op\",\"seq\":-1,\"data\":{\"update\":\"AAA=\"}}", REFUSAL_BAD_MESSAGE, JSON_OP, -1},
    {"{\"t\":\"op\",\"seq\":1.5,\"data\":{\"update\":\"AAA=\"}}", REFUSAL_BAD_MESSAGE, JSON_OP, -1},
    {"{\"t\":\"op\",\"seq\":\"1\",\"data\":{\"update\":\"AAA=\"}}", REFUSAL_BAD_MESSAGE, JSON_OP,
     -1},
    {"{\"t\":\"op\",\"seq\":3}", REFUSAL_BAD_MESSAGE, JSON_OP, 3},
    {"{\"t\":\"op\",\"seq\":3,\"data\":[]}", REFUSAL_BAD_MESSAGE, JSON_OP, 3},
    {"{\"t\":\"op\",\"seq\":3,\"data\":{}}", REFUSAL_BAD_MESSAGE, JSON_OP, 3},
    {"{\"t\":\"op\",\"seq\":3,\"data\":{\"update\":5}}", REFUSAL_BAD_MESSAGE, JSON_OP, 3},
    {"{\"t\":\"op\",\"seq\":3,\"data\":{\"update\":\"***\"}}", REFUSAL_BAD_MESSAGE, JSON_OP, 3},
    {"{\"t\":\"op\",\"seq\":3,\"data\":{\"update\":\"AAA=\",\"v\":3}}", REFUSAL_BAD_MESSAGE,
     JSON_OP, 3},
    {"{\"t\":\"presence\",\"client\":-1}", REFUSAL_BAD_MESSAGE, JSON_PRESENCE, -1},
    {"{\"t\":\"presence\",\"client\":9007199254740992}", REFUSAL_BAD_MESSAGE, JSON_PRESENCE, -1},
    {"{\"t\":\"presence\",\"client\":\"a\"}", REFUSAL_BAD_MESSAGE, JSON_PRESENCE, -1},
};

Test(json_frames, messages)
{
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        struct json_message m;
        uint32_t refusal = read_yjs(slice_str(messages[i].text), &m);
        cr_expect(refusal == messages[i].refusal, "%u: %s", refusal, messages[i].text);
        cr_expect(m.kind == messages[i].kind, "%s", messages[i].text);
        cr_expect((m.has_seq ? (int)m.seq : -1) == messages[i].seq, "%s", messages[i].text);
        json_message_done(&m);
    }
}

Test(json_frames, an_op_carries_its_update)
{
    struct json_message m;

    cr_assert(read_yjs(slice_str("{\"t\":\"op\",\"seq\":9,\"data\":{\"v\":1,"
                                 "\"update\":\"AQID\"}}"),
                       &m) == 0);
    cr_expect(m.format == 1 && slice_equal(blob_slice(m.update), slice_of("\1\2\3", 3)));
    json_message_done(&m);
}

Test(json_frames, a_presence_is_the_frame_without_its_envelope)
{
    struct json_message m;

    cr_assert(read_yjs(slice_str("{\"t\":\"presence\", \"user\": \"k\\u0000\", "
                                 "\"client\":7,\"cursor\":[1, 2]}"),
                       &m) == 0);
    cr_expect(m.has_client && m.client == 7);
    cr_expect(
        slice_equal(blob_slice(m.state), slice_str("{\"user\":\"k\\u0000\",\"cursor\":[1,2]}")));
    json_message_done(&m);
}

Test(json_frames, a_client_that_left_has_the_null_state)
{
    struct json_message m;

    cr_assert(read_yjs(slice_str("{\"t\":\"presence\",\"client\":7,\"left\":true,\"user\":\"k\"}"),
                       &m) == 0);
    cr_expect(m.has_left);
    cr_expect(slice_equal(blob_slice(m.state), slice_str("null")));
    json_message_done(&m);
    cr_assert(read_yjs(slice_str("{\"t\":\"presence\",\"left\":1}"), &m) == 0);
    cr_expect(!m.has_left);
    json_message_done(&m);
}

/* A presence whose state has `len` bytes: {"a":"xxx"}. */
static uint32_t presence_of_size(size_t len)
{
    char *text = malloc(len + 64);
    char *fill = malloc(len + 1);
    struct json_message m;

    memset(fill, 'x', len - 8);
    fill[len - 8] = '\0';
    (void)sprintf(text, "{\"t\":\"presence\",\"a\":\"%s\"}", fill);
    uint32_t refusal = read_yjs(slice_str(text), &m);
    cr_expect(refusal != 0 || m.state->len == len);
    json_message_done(&m);
    free(text);
    free(fill);
    return refusal;
}

Test(json_frames, presence_is_bounded)
{
    cr_expect(presence_of_size(JSON_STATE_MAX) == 0);
    cr_expect(presence_of_size(JSON_STATE_MAX + 1) == REFUSAL_TOO_LARGE);
}

Test(json_frames, values_are_bounded)
{
    size_t len = 2 * JSON_MARKS_MAX + 2;
    char *text = malloc(len);
    struct json_message m;

    memset(text, '[', len);
    cr_expect(read_yjs(slice_of(text, JSON_MARKS_MAX), &m) == REFUSAL_BAD_MESSAGE);
    cr_expect(read_yjs(slice_of(text, JSON_MARKS_MAX + 1), &m) == REFUSAL_TOO_LARGE);
    free(text);
}

/* The payload of a short text frame. */
static void expect_text(struct blob *frame, const char *expected)
{
    cr_assert(frame && frame->data[0] == 0x81);
    size_t head = frame->data[1] < 126 ? 2 : 4;
    cr_expect(slice_equal(slice_of(frame->data + head, frame->len - head), slice_str(expected)),
              "%.*s, not %s", (int)(frame->len - head), (const char *)frame->data + head, expected);
    blob_unref(frame);
}

Test(json_frames, frames_of_the_server)
{
    uint64_t seq = 41;

    expect_text(json_frame_hello(slice_str("a\"b"), 0x2a00000001, 7),
                "{\"t\":\"hello\",\"room\":\"a\\\"b\",\"session\":\"0000002a00000001\","
                "\"protocol\":1,\"client\":7}");
    expect_text(json_frame_sync(slice_of("\1\2\3", 3), slice_of("\0", 1)),
                "{\"t\":\"sync\",\"state\":\"AQID\",\"sv\":\"AA==\"}");
    expect_text(json_frame_op(UINT64_MAX, slice_of("\1", 1)),
                "{\"t\":\"op\",\"seq\":18446744073709551615,\"data\":{\"update\":\"AQ==\"}}");
    expect_text(json_frame_ack(41), "{\"t\":\"ack\",\"seq\":41}");
    expect_text(json_frame_error(REFUSAL_BAD_UPDATE, &seq),
                "{\"t\":\"error\",\"code\":\"bad_update\",\"message\":"
                "\"the update does not decode\",\"seq\":41}");
    expect_text(json_frame_error(REFUSAL_BAD_MESSAGE, NULL),
                "{\"t\":\"error\",\"code\":\"bad_message\",\"message\":"
                "\"the message does not decode\"}");
}

static struct blob *presence(const char *json)
{
    struct slice text = slice_str(json);
    struct crdt_buf update = {0};

    crdt_awareness_write_count(&update, 1);
    crdt_awareness_write_state(
        &update,
        &(struct crdt_awareness_state){.client = 5, .clock = 1, .json = {text.data, text.len}});
    struct blob *frames = json_frames_presence(slice_of(update.data, update.len));
    crdt_buf_done(&update);
    return frames;
}

Test(json_frames, presence_of_others)
{
    expect_text(presence("{\"user\":\"k\"}"), "{\"t\":\"presence\",\"client\":5,\"user\":\"k\"}");
    expect_text(presence("{\"t\":\"op\",\"client\":6}"), "{\"t\":\"presence\",\"client\":5}");
    expect_text(presence("null"), "{\"t\":\"presence\",\"client\":5,\"left\":true}");
    expect_text(presence(" null\n"), "{\"t\":\"presence\",\"client\":5,\"left\":true}");
    expect_text(presence("[1]"), "{\"t\":\"presence\",\"client\":5,\"state\":[1]}");
    cr_expect(presence("{{") == NULL);
    cr_expect(json_frames_presence(slice_of("\0", 1)) == NULL);
    cr_expect(json_frames_presence(slice_of("\1\5", 2)) == NULL);
}

Test(json_frames, several_presences_are_several_frames)
{
    static const char update[] = "\2\1\1\2{}\2\1\4null";
    static const char expected[] = "\x81\x1b{\"t\":\"presence\",\"client\":1}"
                                   "\x81\x27{\"t\":\"presence\",\"client\":2,\"left\":true}";
    struct blob *frames = json_frames_presence(slice_of(update, sizeof(update) - 1));

    cr_assert(frames);
    cr_expect(slice_equal(blob_slice(frames), slice_of(expected, sizeof(expected) - 1)));
    blob_unref(frames);
}

/* ---- operations of a lens ---- */

Test(json_frames, an_operation_is_passed_on_as_text)
{
    struct json_message m;

    cr_assert(json_message_read(
                  slice_str("{\"t\":\"op\", \"seq\":3, \"data\": {\"kind\" : \"delete\"} }"),
                  JSON_DATA_OPS, &m) == 0);
    cr_expect(m.kind == JSON_OP && m.has_seq && m.seq == 3);
    cr_expect(slice_equal(blob_slice(m.update), slice_str("{\"kind\":\"delete\"}")));
    json_message_done(&m);
    cr_expect(json_message_read(slice_str("{\"t\":\"op\",\"seq\":3,\"data\":[1]}"), JSON_DATA_OPS,
                                &m) == REFUSAL_BAD_MESSAGE);
    json_message_done(&m);
    cr_expect(json_message_read(slice_str("{\"t\":\"op\",\"data\":{}}"), JSON_DATA_OPS, &m) ==
              REFUSAL_BAD_MESSAGE);
    json_message_done(&m);
}

Test(json_frames, a_change_is_a_frame_a_line)
{
    static const char one[] = "{\"t\":\"op\",\"seq\":7,\"data\":{\"a\":1}}";
    static const char two[] = "{\"t\":\"op\",\"seq\":7,\"data\":{\"b\":2}}";
    struct blob *frames = json_frames_ops(7, slice_str("{\"a\":1}\n{\"b\":2}\n"));

    cr_assert(frames && frames->len == 2 * (2 + sizeof(one) - 1));
    cr_expect(frames->data[0] == 0x81 && frames->data[1] == sizeof(one) - 1);
    cr_expect(memcmp(frames->data + 2, one, sizeof(one) - 1) == 0);
    cr_expect(memcmp(frames->data + 2 + sizeof(one) - 1 + 2, two, sizeof(two) - 1) == 0);
    blob_unref(frames);
}

Test(json_frames, a_view_is_a_sync)
{
    struct blob *frame = json_frame_view(slice_str("[]"));

    cr_expect(slice_equal(slice_of(frame->data + 2, frame->len - 2),
                          slice_str("{\"t\":\"sync\",\"state\":\"W10=\"}")));
    blob_unref(frame);
}
