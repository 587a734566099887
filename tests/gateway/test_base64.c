#include "gateway/base64.h"

#include <criterion/criterion.h>
#include <errno.h>

static const struct {
    const char *bytes;
    const char *chars;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xfe", "+//+"},
};

Test(base64, vectors)
{
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct slice bytes = slice_str(vectors[i].bytes);
        struct slice chars = slice_str(vectors[i].chars);
        uint8_t out[16];
        cr_expect(base64_encoded_len(bytes.len) == chars.len);
        base64_encode(bytes, out);
        cr_expect(slice_equal(slice_of(out, chars.len), chars));
        cr_expect(base64_decode(chars, out) == (ssize_t)bytes.len);
        cr_expect(slice_equal(slice_of(out, bytes.len), bytes));
    }
}

Test(base64, other_spellings)
{
    uint8_t out[16];

    cr_expect(base64_decode(slice_str("-__-"), out) == 3 && memcmp(out, "\xfb\xff\xfe", 3) == 0);
    cr_expect(base64_decode(slice_str("Zm8"), out) == 2);
    cr_expect(base64_decode(slice_str("Zg"), out) == 1);
}

Test(base64, refused)
{
    static const char *const bad[] = {"Z",    "=",      "==",   "===",      "Z===",
                                      "Zg=",  "Zh==",   "Zm9=", "Zm 8=",    "Zm8=a",
                                      "Z=g=", "Zm9v\n", "****", "Zg==Zg==", "\xc3\xa9\xc3\xa9"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t out[16];
        cr_expect(base64_decode(slice_str(bad[i]), out) == -EBADMSG, "%s", bad[i]);
    }
}

Test(base64, there_and_back_in_place)
{
    uint8_t bytes[200];
    uint8_t chars[400];

    for (size_t len = 0; len < sizeof(bytes); len++) {
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(i * 37 + len);
        base64_encode(slice_of(bytes, len), chars);
        ssize_t n = base64_decode(slice_of(chars, base64_encoded_len(len)), chars);
        cr_expect(n == (ssize_t)len && memcmp(bytes, chars, len) == 0, "length %zu", len);
    }
}
