#include "common/base64url.h"

#include <errno.h>

static const char ALPHABET[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The 6 bits of a character, -1 for a stranger. */
static int bits_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

void base64url_encode(struct slice bytes, char *ret_chars)
{
    uint32_t word = 0;
    unsigned bits = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        word = word << 8 | bytes.data[i];
        for (bits += 8; bits >= 6; bits -= 6)
            *ret_chars++ = ALPHABET[word >> (bits - 6) & 63];
    }
    if (bits > 0)
        *ret_chars = ALPHABET[word << (6 - bits) & 63];
}

ssize_t base64url_decode(struct slice chars, uint8_t *out)
{
    uint8_t *start = out;
    uint32_t word = 0;
    unsigned bits = 0;

    if (chars.len % 4 == 1)
        return -EBADMSG;
    for (size_t i = 0; i < chars.len; i++) {
        int six = bits_of(chars.data[i]);
        if (six < 0)
            return -EBADMSG;
        word = word << 6 | (uint32_t)six;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *out++ = (uint8_t)(word >> bits);
        }
    }
    return word & ((1u << bits) - 1) ? -EBADMSG : out - start;
}
