#include "gateway/yproto.h"

#include "crdt/lib0.h"
#include "gateway/json_check.h"
#include "gateway/ws.h"

#include <errno.h>

/* Message types and the kinds of sync messages on the wire. */
enum {
    TYPE_SYNC = 0,
    TYPE_AWARENESS = 1,
    TYPE_QUERY = 3,
    SYNC_STEP1 = 0,
    SYNC_STEP2 = 1,
    SYNC_UPDATE = 2,
};

#define VARINT_MAX 10u /* bytes of a 64-bit varint */

static struct slice read_slice(struct lib0_reader *r)
{
    struct crdt_slice s = lib0_read_slice(r);
    return slice_of(s.data, s.len);
}

static int read_sync(struct lib0_reader *r, struct yproto_message *m)
{
    uint64_t kind = lib0_read_uint(r);

    if (r->has_failed || kind > SYNC_UPDATE)
        return -EBADMSG;
    m->kind = kind == SYNC_STEP1 ? YPROTO_STEP1 : kind == SYNC_STEP2 ? YPROTO_STEP2 : YPROTO_UPDATE;
    m->body = read_slice(r);
    return 0;
}

int yproto_next(struct slice *rest, struct yproto_message *ret)
{
    struct yproto_message m = {.kind = YPROTO_FOREIGN};
    struct lib0_reader r;
    int bad = 0;

    if (rest->len == 0)
        return 0;
    lib0_reader_init(&r, rest->data, rest->len);
    uint64_t type = lib0_read_uint(&r);
    if (r.has_failed)
        return -EBADMSG;
    if (type == TYPE_SYNC) {
        bad = read_sync(&r, &m);
    } else if (type == TYPE_AWARENESS) {
        m.kind = YPROTO_AWARENESS;
        m.body = read_slice(&r);
    } else if (type == TYPE_QUERY) {
        m.kind = YPROTO_QUERY;
    } else {
        r.pos = r.end;
    }
    if (bad < 0 || r.has_failed)
        return -EBADMSG;
    *rest = slice_of(r.pos, lib0_remaining(&r));
    *ret = m;
    return 1;
}

static size_t write_varint(uint8_t *out, uint64_t value)
{
    size_t len = 0;

    while (value >= 0x80) {
        out[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[len++] = (uint8_t)value;
    return len;
}

struct blob *yproto_frame(enum yproto_kind kind, struct slice body)
{
    uint8_t head[2 + VARINT_MAX];
    uint8_t *payload;
    size_t len = 0;

    if (kind == YPROTO_AWARENESS) {
        head[len++] = TYPE_AWARENESS;
    } else {
        head[len++] = TYPE_SYNC;
        head[len++] = kind == YPROTO_STEP1   ? SYNC_STEP1
                      : kind == YPROTO_STEP2 ? SYNC_STEP2
                                             : SYNC_UPDATE;
    }
    len += write_varint(head + len, body.len);
    struct blob *frame = ws_frame_new(WS_BINARY, len + body.len, &payload);
    if (!frame)
        return NULL;
    memcpy(payload, head, len);
    if (body.len > 0)
        memcpy(payload + len, body.data, body.len);
    return frame;
}

bool yproto_update_is_empty(struct slice update)
{
    return update.len == 2 && update.data[0] == 0 && update.data[1] == 0;
}

/* ---- awareness updates ---- */

int awareness_reader_init(struct awareness_reader *reader, struct slice update)
{
    struct lib0_reader r;

    lib0_reader_init(&r, update.data, update.len);
    reader->left = lib0_read_uint(&r);
    reader->rest = slice_of(r.pos, lib0_remaining(&r));
    return r.has_failed ? -EBADMSG : 0;
}

int awareness_reader_next(struct awareness_reader *reader, struct awareness_state *ret)
{
    struct lib0_reader r;

    if (reader->left == 0)
        return 0;
    lib0_reader_init(&r, reader->rest.data, reader->rest.len);
    uint64_t client = lib0_read_uint(&r);
    uint64_t clock = lib0_read_uint(&r);
    struct crdt_slice json = lib0_read_string(&r);
    if (r.has_failed)
        return -EBADMSG;
    reader->left--;
    reader->rest = slice_of(r.pos, lib0_remaining(&r));
    *ret = (struct awareness_state){
        .client = client, .clock = clock, .json = slice_of(json.data, json.len)};
    return 1;
}

bool awareness_is_sound(struct slice update)
{
    struct awareness_reader reader;
    struct awareness_state state;
    int r = awareness_reader_init(&reader, update);

    while (r >= 0 && (r = awareness_reader_next(&reader, &state)) > 0)
        if (!json_check(state.json))
            return false;
    return r == 0 && reader.rest.len == 0;
}

struct blob *awareness_encode(const struct awareness_state *state)
{
    uint8_t head[1 + 3 * VARINT_MAX];
    size_t len = 0;

    head[len++] = 1;
    len += write_varint(head + len, state->client);
    len += write_varint(head + len, state->clock);
    len += write_varint(head + len, state->json.len);
    struct blob *b = blob_new(len + state->json.len);
    memcpy(b->data, head, len);
    memcpy(b->data + len, state->json.data, state->json.len);
    return b;
}
