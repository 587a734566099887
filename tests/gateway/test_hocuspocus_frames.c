#include "gateway/hocuspocus_frames.h"

#include <criterion/criterion.h>
#include <errno.h>

#define BYTES(s) s, sizeof(s) - 1

/* Frames of clients as text: the kind, the key in brackets and the body; "!" for none. */
static const struct {
    const char *frame;
    size_t len;
    const char *kind;
    const char *key;
    const char *body;
    size_t body_len;
} frames[] = {
    {BYTES("\1d\0\0\1\0"), "shared", "d", BYTES("\0\0\1\0")},
    {BYTES("\1d\1\1\0"), "shared", "d", BYTES("\1\1\0")},
    {BYTES("\1d\3"), "shared", "d", BYTES("\3")},
    {BYTES("\1d\0"), "shared", "d", BYTES("\0")},
    {BYTES("\1d\2\0\0"), "token", "d", BYTES("")},
    {BYTES("\1d\2\0\3abc"), "token", "d", BYTES("abc")},
    {BYTES("\1d\2\0\3abc\0054.8.0"), "token", "d", BYTES("abc")},
    {BYTES("\1d\2\1\3abc"), "other", "d", BYTES("")},
    {BYTES("\1d\2\2\3abc"), "other", "d", BYTES("")},
    {BYTES("\1d\4\0\0\1\0"), "other", "d", BYTES("")},
    {BYTES("\1d\5\1a"), "other", "d", BYTES("")},
    {BYTES("\1d\6\1a"), "other", "d", BYTES("")},
    {BYTES("\1d\7"), "close", "d", BYTES("")},
    {BYTES("\1d\7\1a"), "close", "d", BYTES("")},
    {BYTES("\1d\x8\1"), "other", "d", BYTES("")},
    {BYTES("\1d\x9"), "other", "d", BYTES("")},
    {BYTES("\1d\xa"), "other", "d", BYTES("")},
    {BYTES("\1d\xc8\1"), "other", "d", BYTES("")},
    {BYTES("\1d\xff\xff\xff\xff\xf"), "other", "d", BYTES("")},
    {BYTES("\0\7"), "close", "", BYTES("")},
    {BYTES("\x9"), "ping", "", BYTES("")},
    {BYTES("\xa"), "pong", "", BYTES("")},
    {BYTES(""), "!", "", BYTES("")},
    {BYTES("\0"), "!", "", BYTES("")},
    {BYTES("\1"), "!", "", BYTES("")},
    {BYTES("\1d"), "!", "", BYTES("")},
    {BYTES("\2d\7"), "!", "", BYTES("")},
    {BYTES("\1d\x80"), "!", "", BYTES("")},
    {BYTES("\1d\2"), "!", "", BYTES("")},
    {BYTES("\1d\2\0"), "!", "", BYTES("")},
    {BYTES("\1d\2\0\4abc"), "!", "", BYTES("")},
    {BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\x7f\0"), "!", "", BYTES("")},
    {BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1d\7"), "!", "", BYTES("")},
};

static const char *const kinds[] = {"shared", "token", "close", "other", "ping", "pong"};

Test(hocuspocus_frames, frames_of_clients)
{
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        struct hocuspocus_message m = {0};
        int r = hocuspocus_read(slice_of(frames[i].frame, frames[i].len), &m);
        const char *kind = r == 0 ? kinds[m.kind] : "!";

        cr_expect(r == 0 || r == -EBADMSG, "row %zu: %d", i, r);
        cr_expect(strcmp(kind, frames[i].kind) == 0, "row %zu: %s", i, kind);
        cr_expect(slice_equal(m.key, slice_str(frames[i].key)), "row %zu: key", i);
        cr_expect(slice_equal(m.body, slice_of(frames[i].body, frames[i].body_len)),
                  "row %zu: body", i);
    }
}

/* A frame with a key of `len` bytes that leaves its document. */
static int read_key(size_t len)
{
    struct hocuspocus_message m;
    uint8_t frame[HOCUSPOCUS_KEY_MAX + 8];

    memset(frame, 'k', sizeof(frame));
    frame[0] = (uint8_t)(len | 0x80);
    frame[1] = (uint8_t)(len >> 7);
    frame[len + 2] = 7;
    int r = hocuspocus_read(slice_of(frame, len + 3), &m);
    cr_expect(r < 0 || m.key.len == len);
    return r;
}

Test(hocuspocus_frames, keys_are_bounded)
{
    cr_expect(read_key(HOCUSPOCUS_KEY_MAX) == 0);
    cr_expect(read_key(HOCUSPOCUS_KEY_MAX + 1) == -EBADMSG);
}

static void expect_document(const char *key, size_t len, const char *expected)
{
    cr_expect(slice_equal(hocuspocus_document(slice_of(key, len)), slice_str(expected)),
              "document %s", expected);
}

Test(hocuspocus_frames, the_document_of_a_key)
{
    expect_document(BYTES("plan"), "plan");
    expect_document(BYTES("plan\0k3x9"), "plan");
    expect_document(BYTES("plan\0a\0b"), "plan");
    expect_document(BYTES("plan\0"), "plan");
    expect_document(BYTES("\0k3x9"), "");
    expect_document(BYTES(""), "");
}

/* Takes the frame, which is all of what is expected. */
static void expect_frame(struct blob *frame, const char *expected, size_t len)
{
    cr_expect(slice_equal(blob_slice(frame), slice_of(expected, len)), "frame %s", expected);
    blob_unref(frame);
}

Test(hocuspocus_frames, frames_of_the_server)
{
    struct blob *own = hocuspocus_prefix(slice_of("d\0s", 3));
    struct slice prefix = blob_slice(own);

    cr_expect(slice_equal(prefix, slice_of("\3d\0s", 4)));
    expect_frame(hocuspocus_frame_authenticated(prefix, false),
                 BYTES("\x82\x11\3d\0s\2\2\nread-write"));
    expect_frame(hocuspocus_frame_authenticated(prefix, true),
                 BYTES("\x82\xf\3d\0s\2\2\x8readonly"));
    expect_frame(hocuspocus_frame_denied(prefix, "no"), BYTES("\x82\x9\3d\0s\2\1\2no"));
    expect_frame(hocuspocus_frame_ask_token(prefix), BYTES("\x82\6\3d\0s\2\0"));
    expect_frame(hocuspocus_frame_status(prefix, true), BYTES("\x82\6\3d\0s\x8\1"));
    expect_frame(hocuspocus_frame_status(prefix, false), BYTES("\x82\6\3d\0s\x8\0"));
    expect_frame(hocuspocus_frame_alive(prefix), BYTES("\x82\7\3d\0s\1\1\0"));
    expect_frame(hocuspocus_frame_pong(), BYTES("\x82\1\xa"));
    blob_unref(own);
}

Test(hocuspocus_frames, the_prefix_of_a_long_key)
{
    char key[HOCUSPOCUS_KEY_MAX];

    memset(key, 'k', sizeof(key));
    struct blob *prefix = hocuspocus_prefix(slice_of(key, sizeof(key)));
    cr_expect(prefix->len == sizeof(key) + 2);
    cr_expect(prefix->data[0] == 0x80 && prefix->data[1] == 3);
    cr_expect(memcmp(prefix->data + 2, key, sizeof(key)) == 0);
    blob_unref(prefix);
}
