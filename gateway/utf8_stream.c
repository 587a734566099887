#include "gateway/utf8_stream.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* How many octets at the start are ASCII, eight at a time. */
static size_t ascii_run(const uint8_t *data, size_t len)
{
    size_t i = 0;

    for (; len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data + i, sizeof(word));
        if (word & HIGH_BITS)
            break;
    }
    while (i < len && data[i] < 0x80)
        i++;
    return i;
}

/* Takes the first octet of a character outside of ASCII (RFC 3629, section 4). */
static bool start_character(struct utf8_stream *s, uint8_t lead)
{
    s->low = 0x80;
    s->high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
        s->missing = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        s->missing = 2;
        if (lead == 0xe0)
            s->low = 0xa0;
        else if (lead == 0xed)
            s->high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        s->missing = 3;
        if (lead == 0xf0)
            s->low = 0x90;
        else if (lead == 0xf4)
            s->high = 0x8f;
    } else {
        return false;
    }
    return true;
}

size_t utf8_stream_feed(struct utf8_stream *s, struct slice bytes)
{
    size_t i = 0;

    while (i < bytes.len) {
        if (s->missing == 0) {
            i += ascii_run(bytes.data + i, bytes.len - i);
            if (i == bytes.len)
                break;
            if (!start_character(s, bytes.data[i]))
                return i;
        } else {
            if (bytes.data[i] < s->low || bytes.data[i] > s->high)
                return i;
            s->missing--;
            s->low = 0x80;
            s->high = 0xbf;
        }
        i++;
    }
    return bytes.len;
}
