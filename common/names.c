#include "common/names.h"

#include "common/log.h"

#include <sha2.h>

/* Length of the well-formed sequence at `p`, 0 if there is none (Unicode, table 3-7). */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    static const struct {
        uint8_t first, last, len, second_min, second_max;
    } rows[] = {
        {0x00, 0x7f, 1, 0, 0},       {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
        {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
        {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (p[0] < rows[i].first || p[0] > rows[i].last)
            continue;
        size_t len = rows[i].len;
        if (len > left)
            return 0;
        if (len > 1 && (p[1] < rows[i].second_min || p[1] > rows[i].second_max))
            return 0;
        for (size_t k = 2; k < len; k++) {
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        }
        return len;
    }
    return 0;
}

bool utf8_is_valid(struct slice bytes)
{
    for (size_t i = 0; i < bytes.len;) {
        size_t len = utf8_sequence(bytes.data + i, bytes.len - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

bool utf8_has_control(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool is_c1 = c == 0xc2 && i + 1 < text.len && text.data[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f || is_c1)
            return true;
    }
    return false;
}

bool name_is_valid(struct slice name)
{
    return name.len >= 1 && name.len <= NAME_MAX_BYTES && memchr(name.data, 0, name.len) == NULL &&
           utf8_is_valid(name);
}

/* SHA-256 by libmd: rooms are forked from the supervisor, and OpenSSL, which the supervisor needs
 * for nothing else, would cost each of them the copies of its tables. */
void name_hash(struct slice tenant, struct slice room, char ret_hex[NAME_HASH_HEX + 1])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA2_CTX ctx;

    SHA256Init(&ctx);
    SHA256Update(&ctx, tenant.data, tenant.len);
    SHA256Update(&ctx, (const uint8_t *)"", 1);
    SHA256Update(&ctx, room.data, room.len);
    SHA256Final(digest, &ctx);
    for (size_t i = 0; i < NAME_HASH_HEX / 2; i++) {
        ret_hex[2 * i] = hex[digest[i] >> 4];
        ret_hex[2 * i + 1] = hex[digest[i] & 15];
    }
    ret_hex[NAME_HASH_HEX] = '\0';
}
