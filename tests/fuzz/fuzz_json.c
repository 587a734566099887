/*
 * The JSON envelope. An input is a byte of what it is, and a client's message, in either form of
 * edits, or an awareness update, of which frames for clients are made. What is passed on as JSON
 * text is some.
 */
#include "fuzz.h"

#include "crdt/crdt.h"
#include "gateway/json_frames.h"
#include "proto/refusal.h"

enum what {
    WHAT_YJS,
    WHAT_OPS,
    WHAT_PRESENCE,
    WHAT_COUNT,
};

static void check_text(struct slice text)
{
    json_t *value =
        json_loadb((const char *)text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    CHECK(value);
    json_decref(value);
}

/* Takes frames of text, back to back. */
static void check_frames(struct blob *frames)
{
    struct slice rest = frames ? blob_slice(frames) : slice_of(NULL, 0);

    while (rest.len > 0) {
        size_t head = 2, len;
        CHECK(rest.len >= 2 && rest.data[0] == 0x81);
        len = rest.data[1];
        if (len >= 126) {
            unsigned octets = len == 126 ? 2 : 8;
            CHECK(rest.len >= 2 + octets);
            len = 0;
            for (unsigned i = 0; i < octets; i++)
                len = len << 8 | rest.data[2 + i];
            head += octets;
        }
        CHECK(len <= rest.len - head);
        check_text(slice_of(rest.data + head, len));
        rest = slice_of(rest.data + head + len, rest.len - head - len);
    }
    blob_unref(frames);
}

static void check_message(const struct json_message *m, enum json_data data)
{
    switch (m->kind) {
    case JSON_OP:
        CHECK(m->update && m->has_seq);
        CHECK(data == JSON_DATA_OPS || m->format == CRDT_V1 || m->format == CRDT_V2);
        if (data == JSON_DATA_OPS)
            check_text(blob_slice(m->update));
        break;
    case JSON_PRESENCE:
        CHECK(m->state && m->state->len <= JSON_STATE_MAX);
        CHECK(!m->has_client || m->client <= JSON_INTEGER_MAX);
        check_text(blob_slice(m->state));
        break;
    case JSON_FOREIGN:
        break;
    }
}

static void read_message(struct slice text, enum json_data data)
{
    struct json_message m;
    uint32_t refusal = json_message_read(text, data, &m);

    CHECK(!m.has_seq || m.seq <= JSON_INTEGER_MAX);
    if (refusal == 0)
        check_message(&m, data);
    else
        check_frames(json_frame_error(refusal, m.has_seq ? &m.seq : NULL));
    if (refusal == 0 && m.has_seq)
        check_frames(json_frame_ack(m.seq));
    json_message_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice input, copy;

    if (size == 0)
        return 0;
    input = (struct crdt_slice){data + 1, size - 1};
    take_copy(&input, size - 1, &copy);
    struct slice rest = slice_of(copy.data, copy.len);
    switch ((enum what)(data[0] % WHAT_COUNT)) {
    case WHAT_YJS:
        read_message(rest, JSON_DATA_YJS);
        break;
    case WHAT_OPS:
        read_message(rest, JSON_DATA_OPS);
        break;
    case WHAT_PRESENCE:
        check_frames(json_frames_presence(rest));
        break;
    case WHAT_COUNT:
        break;
    }
    free_slice(&copy);
    return 0;
}
