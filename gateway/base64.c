#include "gateway/base64.h"

#include <errno.h>

static const char ALPHABET[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define BAD 64 /* any value above 63 */

/* The 6 bits of a character, BAD for a stranger. */
static inline uint32_t bits_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26u;
    if (c >= '0' && c <= '9')
        return c - '0' + 52u;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return BAD;
}

void base64_encode(struct slice bytes, uint8_t *ret_chars)
{
    const uint8_t *in = bytes.data;
    uint8_t *out = ret_chars;
    size_t left = bytes.len;

    for (; left >= 3; left -= 3, in += 3, out += 4) {
        uint32_t word = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        out[0] = (uint8_t)ALPHABET[word >> 18];
        out[1] = (uint8_t)ALPHABET[word >> 12 & 63];
        out[2] = (uint8_t)ALPHABET[word >> 6 & 63];
        out[3] = (uint8_t)ALPHABET[word & 63];
    }
    if (left == 0)
        return;
    uint32_t word = (uint32_t)in[0] << 16 | (left == 2 ? (uint32_t)in[1] << 8 : 0);
    out[0] = (uint8_t)ALPHABET[word >> 18];
    out[1] = (uint8_t)ALPHABET[word >> 12 & 63];
    out[2] = left == 2 ? (uint8_t)ALPHABET[word >> 6 & 63] : '=';
    out[3] = '=';
}

/* The last 0, 2 or 3 characters. Returns the bytes that they hold, or -EBADMSG. */
static ssize_t decode_tail(const uint8_t *in, size_t len, uint8_t *out)
{
    if (len == 0)
        return 0;
    if (len == 1)
        return -EBADMSG;
    uint32_t a = bits_of(in[0]);
    uint32_t b = bits_of(in[1]);
    uint32_t c = len == 3 ? bits_of(in[2]) : 0;
    if ((a | b | c) >= BAD || (len == 2 ? (b & 15) : (c & 3)) != 0)
        return -EBADMSG;
    out[0] = (uint8_t)(a << 2 | b >> 4);
    if (len == 3)
        out[1] = (uint8_t)(b << 4 | c >> 2);
    return (ssize_t)len - 1;
}

ssize_t base64_decode(struct slice chars, uint8_t *out)
{
    const uint8_t *in = chars.data;
    uint8_t *start = out;
    size_t left = chars.len;

    if (left > 0 && left % 4 == 0 && in[left - 1] == '=')
        left -= in[left - 2] == '=' ? 2 : 1;
    for (; left >= 4; left -= 4, in += 4, out += 3) {
        uint32_t a = bits_of(in[0]);
        uint32_t b = bits_of(in[1]);
        uint32_t c = bits_of(in[2]);
        uint32_t d = bits_of(in[3]);
        if ((a | b | c | d) >= BAD)
            return -EBADMSG;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        out[1] = (uint8_t)(b << 4 | c >> 2);
        out[2] = (uint8_t)(c << 6 | d);
    }
    ssize_t tail = decode_tail(in, left, out);
    return tail < 0 ? tail : out - start + tail;
}
