#include "gateway/json_frames.h"

#include "common/buffer.h"
#include "crdt/awareness_update.h"
#include "gateway/base64.h"
#include "gateway/ws.h"
#include "proto/refusal.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- frames of the server ---- */

/* A part of a frame: text as it is, or bytes that become base64. */
struct part {
    struct slice bytes;
    bool is_base64;
};

static struct blob *frame_of_parts(const struct part *parts, size_t count)
{
    size_t len = 0;
    uint8_t *out;

    for (size_t i = 0; i < count; i++)
        len += parts[i].is_base64 ? base64_encoded_len(parts[i].bytes.len) : parts[i].bytes.len;
    struct blob *frame = ws_frame_new(WS_TEXT, len, &out);
    if (!frame)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].is_base64) {
            base64_encode(parts[i].bytes, out);
            out += base64_encoded_len(parts[i].bytes.len);
        } else {
            memcpy(out, parts[i].bytes.data, parts[i].bytes.len);
            out += parts[i].bytes.len;
        }
    }
    return frame;
}

/* Consumes `value`. */
static struct blob *frame_of_json(json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    struct blob *frame = text ? ws_frame(WS_TEXT, slice_str(text)) : NULL;

    free(text);
    json_decref(value);
    return frame;
}

struct blob *json_frame_hello(struct slice room, uint64_t session, uint64_t client)
{
    char id[17];

    (void)snprintf(id, sizeof(id), "%016" PRIx64, session);
    return frame_of_json(json_pack("{s:s, s:s%, s:s, s:i, s:I}", "t", "hello", "room",
                                   (const char *)room.data, room.len, "session", id, "protocol",
                                   JSON_PROTOCOL, "client", (json_int_t)client));
}

struct blob *json_frame_sync(struct slice state, struct slice state_vector)
{
    const struct part parts[] = {
        {slice_str("{\"t\":\"sync\",\"state\":\""), false},
        {state, true},
        {slice_str("\",\"sv\":\""), false},
        {state_vector, true},
        {slice_str("\"}"), false},
    };

    return frame_of_parts(parts, sizeof(parts) / sizeof(parts[0]));
}

struct blob *json_frame_op(uint64_t seq, struct slice update)
{
    char head[80];
    int len = snprintf(head, sizeof(head),
                       "{\"t\":\"op\",\"seq\":%" PRIu64 ",\"data\":{\"update\":\"", seq);
    const struct part parts[] = {
        {slice_of(head, (size_t)len), false},
        {update, true},
        {slice_str("\"}}"), false},
    };

    return frame_of_parts(parts, sizeof(parts) / sizeof(parts[0]));
}

struct blob *json_frame_view(struct slice body)
{
    const struct part parts[] = {
        {slice_str("{\"t\":\"sync\",\"state\":\""), false},
        {body, true},
        {slice_str("\"}"), false},
    };

    return frame_of_parts(parts, sizeof(parts) / sizeof(parts[0]));
}

/* Takes a line from the front of `*rest`; false at its end. */
static bool next_line(struct slice *rest, struct slice *ret)
{
    if (rest->len == 0)
        return false;
    const uint8_t *end = memchr(rest->data, '\n', rest->len);
    size_t len = end ? (size_t)(end - rest->data) : rest->len;
    *ret = slice_of(rest->data, len);
    *rest = slice_of(rest->data + len + (end ? 1 : 0), rest->len - len - (end ? 1 : 0));
    return true;
}

struct blob *json_frames_ops(uint64_t seq, struct slice body)
{
    struct buffer frames = {0};
    struct slice line;
    char head[64];
    int head_len = snprintf(head, sizeof(head), "{\"t\":\"op\",\"seq\":%" PRIu64 ",\"data\":", seq);
    bool is_whole = true;

    while (is_whole && next_line(&body, &line)) {
        const struct part parts[] = {
            {slice_of(head, (size_t)head_len), false}, {line, false}, {slice_str("}"), false}};
        struct blob *frame = frame_of_parts(parts, sizeof(parts) / sizeof(parts[0]));
        is_whole = frame != NULL;
        if (frame)
            buffer_append(&frames, frame->data, frame->len);
        blob_unref(frame);
    }
    struct blob *all = is_whole ? blob_copy(buffer_slice(&frames)) : NULL;
    buffer_done(&frames);
    return all;
}

struct blob *json_frame_ack(uint64_t seq)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "{\"t\":\"ack\",\"seq\":%" PRIu64 "}", seq);
    return ws_frame(WS_TEXT, slice_str(text));
}

struct blob *json_frame_error(uint32_t refusal, const uint64_t *seq)
{
    const struct refusal_info *info = refusal_info(refusal);
    json_t *error =
        json_pack("{s:s, s:s, s:s}", "t", "error", "code", info->name, "message", info->text);

    if (seq)
        (void)json_object_set_new(error, "seq", json_integer((json_int_t)*seq));
    return frame_of_json(error);
}

/* ---- presence ---- */

/* The frame that shows a state, as a new object; NULL if the state is no JSON. */
static json_t *presence_of(const struct crdt_awareness_state *state)
{
    json_t *value = json_loadb((const char *)state->json.data, state->json.len,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!value)
        return NULL;
    json_t *frame = json_pack("{s:s, s:I}", "t", "presence", "client", (json_int_t)state->client);
    if (json_is_object(value))
        (void)json_object_update_missing(frame, value);
    else if (state->is_gone)
        (void)json_object_set_new(frame, "left", json_true());
    else
        (void)json_object_set(frame, "state", value);
    json_decref(value);
    return frame;
}

struct blob *json_frames_presence(struct slice awareness)
{
    struct crdt_slice update = {awareness.data, awareness.len};
    struct crdt_awareness_reader reader;
    struct crdt_awareness_state state;
    struct buffer frames = {0};
    struct blob *all = NULL;
    int r = crdt_awareness_reader_init(&reader, update, NULL);

    while (r >= 0 && (r = crdt_awareness_reader_next(&reader, &state)) > 0) {
        json_t *value = presence_of(&state);
        struct blob *frame = value ? frame_of_json(value) : NULL;
        if (frame)
            buffer_append(&frames, frame->data, frame->len);
        blob_unref(frame);
    }
    if (r >= 0 && frames.len > 0)
        all = blob_copy(buffer_slice(&frames));
    buffer_done(&frames);
    return all;
}

/* ---- messages of a client ---- */

/* A value of jansson costs many times the bytes that it is written in: messages are made of few,
 * one of which may be long. */
static bool has_too_many_values(struct slice text)
{
    size_t marks = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        marks += c == ',' || c == '{' || c == '[';
    }
    return marks > JSON_MARKS_MAX;
}

/* An integer from 0 to 2^53 - 1. */
static bool read_integer(const json_t *value, uint64_t *ret)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > JSON_INTEGER_MAX)
        return false;
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

/* The format stands beside the update, or beside `data`. */
static bool read_format(const json_t *root, const json_t *data, uint32_t *ret)
{
    const json_t *v = json_object_get(data, "v");
    uint64_t format = 2;

    if (!v)
        v = json_object_get(root, "v");
    if (v && (!read_integer(v, &format) || format < 1 || format > 2))
        return false;
    *ret = (uint32_t)format;
    return true;
}

/* The operation is the lens's to understand: it gets the text. */
static uint32_t read_lens_op(const json_t *root, struct json_message *m)
{
    const json_t *data = json_object_get(root, "data");
    size_t len = json_is_object(data) ? json_dumpb(data, NULL, 0, JSON_COMPACT) : 0;

    if (!m->has_seq || len == 0)
        return REFUSAL_BAD_MESSAGE;
    m->update = blob_try_new(len);
    if (!m->update)
        return REFUSAL_UNAVAILABLE;
    (void)json_dumpb(data, (char *)m->update->data, len, JSON_COMPACT);
    return 0;
}

static uint32_t read_update_op(const json_t *root, struct json_message *m)
{
    const json_t *data = json_object_get(root, "data");
    const json_t *update = json_object_get(data, "update");

    if (!m->has_seq || !json_is_string(update) || !read_format(root, data, &m->format))
        return REFUSAL_BAD_MESSAGE;
    struct slice chars = slice_of(json_string_value(update), json_string_length(update));
    struct blob *bytes = blob_try_new(base64_decoded_max(chars.len));
    if (!bytes)
        return REFUSAL_UNAVAILABLE;
    m->update = bytes;
    ssize_t len = base64_decode(chars, bytes->data);
    if (len < 0)
        return REFUSAL_BAD_MESSAGE;
    bytes->len = (size_t)len;
    return 0;
}

/* The awareness state of a client is its frame without the envelope's fields; that of a client that
 * says `"left":true`, as others are told of it, is null. */
static uint32_t read_presence(json_t *root, struct json_message *m)
{
    const json_t *client = json_object_get(root, "client");

    m->has_client = client != NULL;
    if (client && !read_integer(client, &m->client))
        return REFUSAL_BAD_MESSAGE;
    m->has_left = json_is_true(json_object_get(root, "left"));
    if (m->has_left) {
        m->state = blob_copy(slice_str("null"));
        return 0;
    }
    (void)json_object_del(root, "t");
    (void)json_object_del(root, "client");
    size_t len = json_dumpb(root, NULL, 0, JSON_COMPACT);
    if (len == 0 || len > JSON_STATE_MAX)
        return REFUSAL_TOO_LARGE;
    m->state = blob_new(len);
    (void)json_dumpb(root, (char *)m->state->data, len, JSON_COMPACT);
    return 0;
}

uint32_t json_message_read(struct slice text, enum json_data data, struct json_message *ret)
{
    uint32_t refusal = 0;

    *ret = (struct json_message){.kind = JSON_FOREIGN};
    if (has_too_many_values(text))
        return REFUSAL_TOO_LARGE;
    json_t *root = json_loadb((const char *)text.data, text.len,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    const char *t = json_string_value(json_object_get(root, "t"));
    if (!t) {
        refusal = REFUSAL_BAD_MESSAGE;
    } else if (strcmp(t, "op") == 0) {
        ret->kind = JSON_OP;
        ret->has_seq = read_integer(json_object_get(root, "seq"), &ret->seq);
        refusal = data == JSON_DATA_OPS ? read_lens_op(root, ret) : read_update_op(root, ret);
    } else if (strcmp(t, "presence") == 0) {
        ret->kind = JSON_PRESENCE;
        refusal = read_presence(root, ret);
    }
    json_decref(root);
    return refusal;
}

void json_message_done(struct json_message *m)
{
    blob_unref(TAKE_PTR(m->update));
    blob_unref(TAKE_PTR(m->state));
}
