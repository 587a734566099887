#include "gateway/yproto.h"

#include <criterion/criterion.h>
#include <errno.h>

/* The messages of a frame as text: "1" step 1, "2" step 2, "u" update, "a" awareness, "?" query,
 * "-" foreign, each with the length of its body; "!" for a malformed rest. */
static void trace(struct slice frame, char *out)
{
    static const char marks[] = "12ua?-";
    struct yproto_message m;
    int r;

    while ((r = yproto_next(&frame, &m)) > 0) {
        *out++ = marks[m.kind];
        *out++ = (char)('0' + m.body.len);
    }
    if (r < 0)
        *out++ = '!';
    *out = '\0';
}

#define BYTES(s) s, sizeof(s) - 1

static const struct {
    const char *frame;
    size_t len;
    const char *expected;
} frames[] = {
    {BYTES(""), ""},
    {BYTES("\0\0\1\0"), "11"},
    {BYTES("\0\0\0"), "10"},
    {BYTES("\0\1\2\0\0"), "22"},
    {BYTES("\0\2\2\0\0"), "u2"},
    {BYTES("\1\1\0"), "a1"},
    {BYTES("\3"), "?0"},
    {BYTES("\0\0\1\0\1\1\0\3"), "11a1?0"},
    {BYTES("\2\0\4text"), "-0"},
    {BYTES("\2\0\4text\0\0\1\0"), "-0"},
    {BYTES("\x66\2\1\2"), "-0"},
    {BYTES("\x80\x00\x80\x00\x81\x00\0"), "11"},
    {BYTES("\0"), "!"},
    {BYTES("\0\3\0"), "!"},
    {BYTES("\0\0"), "!"},
    {BYTES("\0\0\2\0"), "!"},
    {BYTES("\0\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), "!"},
    {BYTES("\1\5\0"), "!"},
    {BYTES("\x80"), "!"},
    {BYTES("\0\0\1\0\0\2"), "11!"},
};

Test(yproto, frames)
{
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        char got[32];
        trace(slice_of(frames[i].frame, frames[i].len), got);
        cr_expect(strcmp(got, frames[i].expected) == 0, "row %zu: %s, not %s", i, got,
                  frames[i].expected);
    }
}

static void expect_frame(enum yproto_kind kind, const char *expected, size_t len)
{
    struct blob *frame = yproto_frame(kind, slice_str("xyz"));

    cr_expect(slice_equal(blob_slice(frame), slice_of(expected, len)), "kind %d", kind);
    blob_unref(frame);
}

Test(yproto, frames_of_the_server)
{
    expect_frame(YPROTO_STEP1, BYTES("\x82\6\0\0\3xyz"));
    expect_frame(YPROTO_STEP2, BYTES("\x82\6\0\1\3xyz"));
    expect_frame(YPROTO_UPDATE, BYTES("\x82\6\0\2\3xyz"));
    expect_frame(YPROTO_AWARENESS, BYTES("\x82\5\1\3xyz"));
}

Test(yproto, empty_updates)
{
    cr_expect(yproto_update_is_empty(slice_of("\0\0", 2)));
    cr_expect(!yproto_update_is_empty(slice_of("\0\1", 2)));
    cr_expect(!yproto_update_is_empty(slice_of("\0\0\0", 3)));
    cr_expect(!yproto_update_is_empty(slice_of(NULL, 0)));
}
