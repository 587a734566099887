#include "gateway/yproto.h"

#include "crdt/lib0.h"
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

#define HEAD_MAX 12u /* bytes before a body: two of kinds, and a 64-bit varint */

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

int yproto_next_ysweet(struct slice *rest, struct yproto_own *ret)
{
    struct lib0_reader r;

    lib0_reader_init(&r, rest->data, rest->len);
    uint64_t type = lib0_read_uint(&r);
    bool is_own = type == YPROTO_STATUS_TYPE || (type == TYPE_QUERY && lib0_remaining(&r) > 0);
    if (r.has_failed || !is_own)
        return 0;
    struct slice body = read_slice(&r);
    if (r.has_failed)
        return -EBADMSG;
    *rest = slice_of(r.pos, lib0_remaining(&r));
    *ret = (struct yproto_own){.is_status = type == YPROTO_STATUS_TYPE, .body = body};
    return 1;
}

/* Writes what stands before a body of `len` bytes; returns how long that is. */
static size_t write_head(enum yproto_kind kind, size_t len, uint8_t out[HEAD_MAX])
{
    uint8_t *p = out;

    if (kind == YPROTO_AWARENESS) {
        *p++ = TYPE_AWARENESS;
    } else {
        *p++ = TYPE_SYNC;
        *p++ = kind == YPROTO_STEP1 ? SYNC_STEP1 : kind == YPROTO_STEP2 ? SYNC_STEP2 : SYNC_UPDATE;
    }
    return (size_t)(lib0_put_uint(p, len) - out);
}

struct blob *yproto_frame(enum yproto_kind kind, struct slice body)
{
    uint8_t head[HEAD_MAX];
    uint8_t *payload;
    size_t len = write_head(kind, body.len, head);
    struct blob *frame = ws_frame_new(WS_BINARY, len + body.len, &payload);

    if (!frame)
        return NULL;
    memcpy(payload, head, len);
    if (body.len > 0)
        memcpy(payload + len, body.data, body.len);
    return frame;
}

struct blob *yproto_frame_begin(enum yproto_kind kind, size_t len)
{
    uint8_t head[HEAD_MAX];
    size_t head_len = write_head(kind, len, head);

    return ws_frame_begin(WS_BINARY, slice_of(head, head_len), len);
}

struct blob *yproto_bytes(enum yproto_kind kind, struct slice body)
{
    uint8_t head[HEAD_MAX];
    size_t len = write_head(kind, body.len, head);
    struct blob *b = blob_try_new(len + body.len);

    if (!b)
        return NULL;
    memcpy(b->data, head, len);
    if (body.len > 0)
        memcpy(b->data + len, body.data, body.len);
    return b;
}

struct blob *yproto_bytes_begin(enum yproto_kind kind, size_t len)
{
    uint8_t head[HEAD_MAX];
    size_t head_len = write_head(kind, len, head);

    return blob_copy(slice_of(head, head_len));
}

bool yproto_update_is_empty(struct slice update)
{
    return update.len == 2 && update.data[0] == 0 && update.data[1] == 0;
}
