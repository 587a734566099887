#include "common/base64url.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(base64url, vectors)
{
    static const struct {
        const char *bytes;
        const char *chars;
    } rows[] = {
        {"", ""},
        {"f", "Zg"},
        {"fo", "Zm8"},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg"},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "-__-"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice bytes = slice_str(rows[i].bytes);
        struct slice chars = slice_str(rows[i].chars);
        char encoded[16];
        uint8_t decoded[16];
        cr_assert_eq(base64url_encoded_len(bytes.len), chars.len);
        base64url_encode(bytes, encoded);
        cr_expect(slice_equal(slice_of(encoded, chars.len), chars), "%s", rows[i].chars);
        cr_expect_eq(base64url_decode(chars, decoded), (ssize_t)bytes.len);
        cr_expect(slice_equal(slice_of(decoded, bytes.len), bytes));
    }
}

Test(base64url, every_length_there_and_back)
{
    uint8_t bytes[200];
    char chars[300];
    uint8_t back[300];

    for (size_t len = 0; len < sizeof(bytes); len++) {
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(i * 37 + len);
        base64url_encode(slice_of(bytes, len), chars);
        struct slice encoded = slice_of(chars, base64url_encoded_len(len));
        cr_assert_leq(len, base64url_decoded_max(encoded.len));
        cr_expect(base64url_decode(encoded, back) == (ssize_t)len && memcmp(bytes, back, len) == 0,
                  "length %zu", len);
    }
}

Test(base64url, refused)
{
    static const char *const bad[] = {
        "Z",   "Zg==",  "Zh",   "Zm9", "Zm9=",  "+//+",   "Zm 8", " Zm8", "Zm8\n",     "Zm9vZ",
        "Zg.", "Z\xc3", "Zm8=", "=",   "Zm9v=", "Zm9vY=", "****", "Zg\t", "Zm9v\r\nZg"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t out[32];
        cr_expect_eq(base64url_decode(slice_str(bad[i]), out), -EBADMSG, "%s", bad[i]);
    }
    uint8_t out[8];
    cr_expect_eq(base64url_decode(slice_of("Zg\0", 3), out), -EBADMSG);
}
