/* A frame of HocuspocusProvider: its parts lie in it, and what is made of its key reads back. */
#include "fuzz.h"

#include "gateway/hocuspocus_frames.h"
#include "gateway/ws.h"

static bool lies_in(struct slice part, struct slice whole)
{
    return part.len == 0 ||
           (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

/* The payload of a frame of the server's. */
static struct slice payload_of(const struct blob *frame)
{
    size_t head = frame->data[1] < 126 ? 2 : 4;

    CHECK(frame->len > head && frame->data[0] == 0x82 && frame->data[1] <= 126);
    return slice_of(frame->data + head, frame->len - head);
}

/* Takes a frame that was made for a key. */
static void check_made(struct blob *frame, enum hocuspocus_kind kind, struct slice key)
{
    struct hocuspocus_message m;

    CHECK(hocuspocus_read(payload_of(frame), &m) == 0);
    CHECK(m.kind == kind && slice_equal(m.key, key));
    blob_unref(frame);
}

static void check_key(struct slice key)
{
    struct slice document = hocuspocus_document(key);
    struct blob *own = hocuspocus_prefix(key);
    struct slice prefix = blob_slice(own);

    CHECK(lies_in(document, key) && document.len <= key.len);
    CHECK(document.len == key.len || key.data[document.len] == 0);
    CHECK(document.len == 0 || !memchr(document.data, 0, document.len));
    check_made(hocuspocus_frame_authenticated(prefix, key.len % 2), HOCUSPOCUS_OTHER, key);
    check_made(hocuspocus_frame_denied(prefix, "no"), HOCUSPOCUS_OTHER, key);
    check_made(hocuspocus_frame_status(prefix, true), HOCUSPOCUS_OTHER, key);
    check_made(hocuspocus_frame_alive(prefix), HOCUSPOCUS_SHARED, key);
    blob_unref(own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hocuspocus_message m = {.kind = HOCUSPOCUS_PING};
    struct crdt_slice input = {data, size}, copy;

    take_copy(&input, size, &copy);
    struct slice frame = slice_of(copy.data, copy.len);
    int r = hocuspocus_read(frame, &m);
    CHECK(r == 0 || r == -EBADMSG);
    CHECK(lies_in(m.key, frame) && lies_in(m.body, frame));
    CHECK(m.key.len <= HOCUSPOCUS_KEY_MAX);
    if (r == 0 && m.kind != HOCUSPOCUS_PING && m.kind != HOCUSPOCUS_PONG)
        check_key(m.key);
    free_slice(&copy);
    return 0;
}
