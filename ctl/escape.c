#include "ctl/escape.h"

#include "common/names.h"

/* The bytes that a character which begins with `c` takes; 1 for what begins none. */
static size_t char_len(uint8_t c)
{
    if (c >= 0xf0)
        return 4;
    if (c >= 0xe0)
        return 3;
    return c >= 0xc2 ? 2 : 1;
}

static uint32_t decode(const uint8_t *p, size_t len)
{
    static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = p[0] & masks[len];

    for (size_t i = 1; i < len; i++)
        code = code << 6 | (p[i] & 0x3f);
    return code;
}

static bool is_invisible(uint32_t code)
{
    static const struct {
        uint32_t first;
        uint32_t last;
    } ranges[] = {
        {0x80, 0x9f},                         /* C1 */
        {0x61c, 0x61c},                       /* direction: Arabic letter mark */
        {0x200b, 0x200f},                     /* zero width, direction marks */
        {0x2028, 0x202e},                     /* line separators, embeddings and overrides */
        {0x2060, 0x206f},                     /* joiners, isolates */
        {0xfeff, 0xfeff}, {0xe0000, 0xe007f}, /* tags */
    };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    }
    return false;
}

void escape_append(struct buffer *out, struct slice text)
{
    for (size_t i = 0; i < text.len;) {
        const uint8_t *p = text.data + i;
        size_t len = char_len(*p);
        if (len > text.len - i || !utf8_is_valid(slice_of(p, len)))
            len = 1;
        i += len;
        if (len > 1 && is_invisible(decode(p, len)))
            buffer_printf(out, "\\u{%x}", (unsigned)decode(p, len));
        else if (*p == '\\')
            buffer_append_str(out, "\\\\");
        else if (len == 1 && (*p < 0x20 || *p >= 0x7f))
            buffer_printf(out, "\\x%02x", *p);
        else
            buffer_append(out, p, len);
    }
}
