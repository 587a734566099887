#include "gateway/hocuspocus_frames.h"

#include "common/buffer.h"
#include "crdt/lib0.h"
#include "gateway/ws.h"

#include <errno.h>

/* Message types, and those of authentication. */
enum {
    TYPE_SYNC = 0,
    TYPE_AWARENESS = 1,
    TYPE_AUTH = 2,
    TYPE_QUERY = 3,
    TYPE_CLOSE = 7,
    TYPE_STATUS = 8,
    TYPE_PING = 9,
    TYPE_PONG = 10,
    AUTH_TOKEN = 0,
    AUTH_DENIED = 1,
    AUTH_ACCEPTED = 2,
};

#define VARINT_MAX 10u

static struct slice read_slice(struct lib0_reader *r)
{
    struct crdt_slice s = lib0_read_slice(r);
    return slice_of(s.data, s.len);
}

/* A token, behind which newer clients say their version. Only clients send one. */
static int read_auth(struct lib0_reader *r, struct hocuspocus_message *m)
{
    uint64_t kind = lib0_read_uint(r);

    m->kind = kind == AUTH_TOKEN ? HOCUSPOCUS_TOKEN : HOCUSPOCUS_OTHER;
    if (kind == AUTH_TOKEN)
        m->body = read_slice(r);
    return r->has_failed ? -EBADMSG : 0;
}

static int read_message(struct lib0_reader *r, struct hocuspocus_message *m)
{
    struct slice rest = slice_of(r->pos, lib0_remaining(r));
    uint64_t type = lib0_read_uint(r);

    if (r->has_failed)
        return -EBADMSG;
    switch (type) {
    case TYPE_SYNC:
    case TYPE_AWARENESS:
    case TYPE_QUERY:
        m->kind = HOCUSPOCUS_SHARED;
        m->is_sync = type == TYPE_SYNC;
        m->body = rest;
        return 0;
    case TYPE_AUTH:
        return read_auth(r, m);
    case TYPE_CLOSE:
        m->kind = HOCUSPOCUS_CLOSE;
        return 0;
    default:
        m->kind = HOCUSPOCUS_OTHER;
        return 0;
    }
}

int hocuspocus_read(struct slice frame, struct hocuspocus_message *ret)
{
    struct hocuspocus_message m = {.kind = HOCUSPOCUS_OTHER};
    struct lib0_reader r;

    if (frame.len == 1 && (frame.data[0] == TYPE_PING || frame.data[0] == TYPE_PONG)) {
        *ret = (struct hocuspocus_message){.kind = frame.data[0] == TYPE_PING ? HOCUSPOCUS_PING
                                                                              : HOCUSPOCUS_PONG};
        return 0;
    }
    lib0_reader_init(&r, frame.data, frame.len);
    m.key = read_slice(&r);
    if (r.has_failed || m.key.len > HOCUSPOCUS_KEY_MAX || read_message(&r, &m) < 0)
        return -EBADMSG;
    *ret = m;
    return 0;
}

struct slice hocuspocus_document(struct slice key)
{
    const uint8_t *nul = key.len > 0 ? memchr(key.data, 0, key.len) : NULL;

    return nul ? slice_of(key.data, (size_t)(nul - key.data)) : key;
}

static void append_text(struct buffer *b, struct slice text)
{
    uint8_t len[VARINT_MAX];

    buffer_append(b, len, (size_t)(lib0_put_uint(len, text.len) - len));
    buffer_append(b, text.data, text.len);
}

struct blob *hocuspocus_prefix(struct slice key)
{
    struct buffer b = {0};

    append_text(&b, key);
    struct blob *prefix = blob_copy(buffer_slice(&b));
    buffer_done(&b);
    return prefix;
}

/* The prefix, two numbers below 128 and, if it is not NULL, a text. */
static struct blob *make_frame(struct slice prefix, uint8_t first, uint8_t second, const char *text)
{
    const uint8_t numbers[] = {first, second};
    struct buffer b = {0};

    buffer_append(&b, prefix.data, prefix.len);
    buffer_append(&b, numbers, sizeof(numbers));
    if (text)
        append_text(&b, slice_str(text));
    struct blob *frame = ws_frame(WS_BINARY, buffer_slice(&b));
    buffer_done(&b);
    return frame;
}

struct blob *hocuspocus_frame_authenticated(struct slice prefix, bool is_read_only)
{
    return make_frame(prefix, TYPE_AUTH, AUTH_ACCEPTED, is_read_only ? "readonly" : "read-write");
}

struct blob *hocuspocus_frame_denied(struct slice prefix, const char *reason)
{
    return make_frame(prefix, TYPE_AUTH, AUTH_DENIED, reason);
}

struct blob *hocuspocus_frame_ask_token(struct slice prefix)
{
    return make_frame(prefix, TYPE_AUTH, AUTH_TOKEN, NULL);
}

struct blob *hocuspocus_frame_status(struct slice prefix, bool is_stored)
{
    return make_frame(prefix, TYPE_STATUS, is_stored, NULL);
}

struct blob *hocuspocus_frame_alive(struct slice prefix)
{
    /* Its update is a text of one byte, the number of clients: 0. */
    const uint8_t tail[] = {TYPE_AWARENESS, 1, 0};
    struct buffer b = {0};

    buffer_append(&b, prefix.data, prefix.len);
    buffer_append(&b, tail, sizeof(tail));
    struct blob *frame = ws_frame(WS_BINARY, buffer_slice(&b));
    buffer_done(&b);
    return frame;
}

struct blob *hocuspocus_frame_pong(void)
{
    static const uint8_t pong[] = {TYPE_PONG};

    return ws_frame(WS_BINARY, slice_of(pong, sizeof(pong)));
}
