#include "gateway/proxy_header.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define TCP4      "\xc0\x00\x02\x07\x0a\x00\x00\x01\x1f\x90\x01\xbb"
#define TCP6                                                                                       \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"         \
    "\x1f\x90\x01\xbb"
#define MAPPED                                                                                     \
    "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01"         \
    "\x1f\x90\x01\xbb"
#define ROW(bytes) bytes, sizeof(bytes) - 1

static const struct {
    const char *what;
    const char *bytes;
    size_t len;
    int result;
    bool is_local;
    bool is_secure;
    const char *client;
} rows[] = {
    {"TCP over IPv4", ROW(SIGNATURE "\x21\x11\0\x0c" TCP4), 0, false, false, "192.0.2.7"},
    {"TCP over IPv6", ROW(SIGNATURE "\x21\x21\0\x24" TCP6), 0, false, false, "2001:db8::1"},
    {"IPv4 mapped", ROW(SIGNATURE "\x21\x21\0\x24" MAPPED), 0, false, false, "192.0.2.7"},
    {"unspecified", ROW(SIGNATURE "\x21\x00\0\0"), 0, false, false, "unknown"},
    {"unspecified, with bytes", ROW(SIGNATURE "\x21\x00\0\x02xx"), 0, false, false, "unknown"},
    {"local", ROW(SIGNATURE "\x20\x00\0\0"), 0, true, false, "unknown"},
    {"local with addresses", ROW(SIGNATURE "\x20\x11\0\x0c" TCP4), 0, true, false, "unknown"},
    {"local of any kind", ROW(SIGNATURE "\x20\xff\0\x03xyz"), 0, true, false, "unknown"},
    {"an unknown TLV",
     ROW(SIGNATURE "\x21\x11\0\x12" TCP4 "\xea\0\x03"
                   "abc"),
     0, false, false, "192.0.2.7"},
    {"an empty TLV", ROW(SIGNATURE "\x21\x11\0\x0f" TCP4 "\x04\0\0"), 0, false, false, "192.0.2.7"},
    {"TLS at the proxy", ROW(SIGNATURE "\x21\x11\0\x14" TCP4 "\x20\0\x05\x01\0\0\0\0"), 0, false,
     true, "192.0.2.7"},
    {"no TLS at the proxy", ROW(SIGNATURE "\x21\x11\0\x14" TCP4 "\x20\0\x05\x06\0\0\0\0"), 0, false,
     false, "192.0.2.7"},
    {"two TLVs", ROW(SIGNATURE "\x21\x11\0\x18" TCP4 "\x01\0\x01h\x20\0\x05\x01\0\0\0\0"), 0, false,
     true, "192.0.2.7"},
    {"a TLS TLV too short", ROW(SIGNATURE "\x21\x11\0\x13" TCP4 "\x20\0\x04\x01\0\0\0"), -EBADMSG},
    {"a TLV beyond the end", ROW(SIGNATURE "\x21\x11\0\x10" TCP4 "\x01\0\x02h"), -EBADMSG},
    {"half a TLV's head", ROW(SIGNATURE "\x21\x11\0\x0e" TCP4 "\x01\0"), -EBADMSG},
    {"addresses too short", ROW(SIGNATURE "\x21\x11\0\x0b\xc0\0\x02\x07\x0a\0\0\x01\x1f\x90\x01"),
     -EBADMSG},
    {"IPv6 in too little", ROW(SIGNATURE "\x21\x21\0\x0c" TCP4), -EBADMSG},
    {"UDP", ROW(SIGNATURE "\x21\x12\0\x0c" TCP4), -EAFNOSUPPORT},
    {"a stream of Unix", ROW(SIGNATURE "\x21\x31\0\0"), -EAFNOSUPPORT},
    {"version 1 in here", ROW(SIGNATURE "\x11\x11\0\x0c" TCP4), -EBADMSG},
    {"version 3", ROW(SIGNATURE "\x31\x11\0\x0c" TCP4), -EBADMSG},
    {"an unknown command", ROW(SIGNATURE "\x22\x11\0\x0c" TCP4), -EBADMSG},
    {"more than its length", ROW(SIGNATURE "\x20\x00\0\0x"), -EBADMSG},
    {"less than its length", ROW(SIGNATURE "\x21\x00\0\x02x"), -EBADMSG},
    {"version 1", ROW("PROXY TCP4 192.0.2.7 10.0.0.1 8080 443\r\n"), -EBADMSG},
    {"HTTP", ROW("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
    {"TLS", ROW("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 0123456789"), -EBADMSG},
    {"nothing", ROW(""), -EBADMSG},
};

Test(proxy_header, says_who_the_client_is)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct proxy_header h = {0};
        char text[CLIENT_ADDRESS_TEXT];
        int r = proxy_header_parse(slice_of(rows[i].bytes, rows[i].len), &h);

        cr_expect_eq(r, rows[i].result, "%s: %d", rows[i].what, r);
        if (r < 0 || rows[i].result < 0)
            continue;
        cr_expect_eq(h.is_local, rows[i].is_local, "%s", rows[i].what);
        cr_expect_eq(h.client.is_secure, rows[i].is_secure, "%s", rows[i].what);
        cr_expect_str_eq(client_address_format(&h.client, text), rows[i].client, "%s",
                         rows[i].what);
    }
}

/* Its length is known from PROXY_HEADER_FIXED bytes on and never beyond what is there. */
Test(proxy_header, tells_its_length_from_any_beginning)
{
    static const char bytes[] = SIGNATURE "\x21\x11\0\x0c" TCP4 "GET /";

    for (size_t n = 0; n < sizeof(bytes); n++) {
        ssize_t want = n < PROXY_HEADER_FIXED ? PROXY_HEADER_FIXED : PROXY_HEADER_FIXED + 12;
        cr_expect_eq(proxy_header_len(slice_of(bytes, n)), want, "%zu bytes", n);
    }
}

Test(proxy_header, is_refused_at_its_first_wrong_byte)
{
    static const char right[] = SIGNATURE "\x21";

    for (size_t n = 0; n < sizeof(right) - 1; n++) {
        char wrong[sizeof(right)];
        memcpy(wrong, right, sizeof(right));
        wrong[n] ^= 0x40;
        cr_expect_eq(proxy_header_len(slice_of(wrong, n + 1)), -EBADMSG, "byte %zu", n);
    }
}

Test(proxy_header, has_a_bounded_length)
{
    char bytes[PROXY_HEADER_FIXED] = SIGNATURE "\x21\x00";
    size_t max = PROXY_HEADER_MAX - PROXY_HEADER_FIXED;

    bytes[14] = (char)(max >> 8);
    bytes[15] = (char)(max & 255);
    cr_expect_eq(proxy_header_len(slice_of(bytes, sizeof(bytes))), PROXY_HEADER_MAX);
    bytes[15]++;
    cr_expect_eq(proxy_header_len(slice_of(bytes, sizeof(bytes))), -E2BIG);
    bytes[14] = bytes[15] = (char)255;
    cr_expect_eq(proxy_header_len(slice_of(bytes, sizeof(bytes))), -E2BIG);
}
