#include "lib0.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

static inline uint64_t load_le64(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return le64toh(word);
}

/* ---- reading ---- */

void lib0_reader_init(struct lib0_reader *r, const uint8_t *data, size_t len)
{
    *r = (struct lib0_reader){.pos = data, .end = data ? data + len : data};
}

/* The groups of 7 bits from `r` on, the first at bit `shift` of a value that so far is `value`. */
static uint64_t read_groups(struct lib0_reader *r, uint64_t value, unsigned shift)
{
    while (r->pos < r->end) {
        uint8_t byte = *r->pos++;
        uint64_t group = byte & 0x7f;
        /* Groups of zeros may go on for ever, anything else beyond bit 53 is too large. */
        if (group != 0 && shift >= 53)
            break;
        if (group != 0)
            value |= group << shift;
        if (value > CRDT_MAX_CLIENT)
            break;
        if (byte < 0x80)
            return value;
        if (shift < 53)
            shift += 7;
    }
    lib0_fail(r);
    return 0;
}

uint64_t lib0_read_long_uint(struct lib0_reader *r)
{
    if (lib0_remaining(r) < sizeof(uint64_t))
        return read_groups(r, 0, 0);
    uint64_t word = load_le64(r->pos);
    uint64_t ends = ~word & HIGH_BITS;
    if (ends == 0)
        return read_groups(r, 0, 0);

    /* Up to eight bytes at once: keep those up to the first without a continuation bit, then close
     * the gaps that the continuation bits left, pairwise. */
    unsigned last_bit = (unsigned)__builtin_ctzll(ends);
    word &= (ends ^ (ends - 1)) & ~HIGH_BITS;
    word = (word & UINT64_C(0x007f007f007f007f)) | ((word & UINT64_C(0x7f007f007f007f00)) >> 1);
    word = (word & UINT64_C(0x00003fff00003fff)) | ((word & UINT64_C(0x3fff00003fff0000)) >> 2);
    word = (word & UINT64_C(0x000000000fffffff)) | ((word & UINT64_C(0x0fffffff00000000)) >> 4);
    if (word > CRDT_MAX_CLIENT) {
        lib0_fail(r);
        return 0;
    }
    r->pos += last_bit / 8 + 1;
    return word;
}

uint64_t lib0_read_int(struct lib0_reader *r, bool *ret_negative)
{
    uint8_t byte = lib0_read_u8(r);
    uint64_t value = byte & 0x3f;
    if (byte & 0x80)
        value = read_groups(r, value, 6);
    *ret_negative = (byte & 0x40) != 0;
    return value;
}

struct crdt_slice lib0_read_slice(struct lib0_reader *r)
{
    size_t len = lib0_read_uint(r);
    const uint8_t *data = lib0_read_bytes(r, len);
    return (struct crdt_slice){.data = data, .len = data ? len : 0};
}

struct crdt_slice lib0_read_string(struct lib0_reader *r)
{
    uint64_t units;
    return lib0_read_measured_string(r, &units);
}

/* Texts of up to so many bytes, which most are, are looked at without a branch that depends on
 * their length. */
#define SHORT_TEXT 32u

/* `text` has at most SHORT_TEXT bytes, and so many may be read. */
static bool is_short_ascii(struct crdt_slice text)
{
    uint64_t high = 0;

    for (size_t at = 0; at < SHORT_TEXT; at += 8) {
        size_t left = text.len > at ? text.len - at : 0;
        uint64_t mask = left >= 8 ? UINT64_MAX : (UINT64_C(1) << 8 * left) - 1;

        high |= load_le64(text.data + at) & mask;
    }
    return (high & HIGH_BITS) == 0;
}

struct crdt_slice lib0_read_measured_string(struct lib0_reader *r, uint64_t *ret_units)
{
    size_t len = lib0_read_uint(r);
    struct crdt_slice s = {.data = lib0_read_bytes(r, len), .len = len};
    *ret_units = 0;
    if (!s.data)
        return (struct crdt_slice){0};
    if (len <= SHORT_TEXT && lib0_remaining(r) >= SHORT_TEXT && is_short_ascii(s)) {
        *ret_units = len;
        return s;
    }
    if (!lib0_utf8_measure(s.data, s.len, ret_units)) {
        lib0_fail(r);
        return (struct crdt_slice){0};
    }
    return s;
}

/* ---- writing ---- */

void crdt_buf_done(struct crdt_buf *buf)
{
    free(buf->data);
    *buf = (struct crdt_buf){0};
}

int lib0_grow(struct crdt_buf *buf, size_t len)
{
    if (buf->error)
        return buf->error;
    if (len > SIZE_MAX / 2 - buf->len) {
        buf->error = -ENOMEM;
        return buf->error;
    }
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    if (cap < buf->len + len)
        cap = cap * 2 < buf->len + len ? buf->len + len : cap * 2;
    uint8_t *data = realloc(buf->data, cap);
    if (!data) {
        buf->error = -ENOMEM;
        return buf->error;
    }
    buf->data = data;
    buf->cap = cap;
    return 0;
}

void lib0_write_slice(struct crdt_buf *buf, const void *data, size_t len)
{
    lib0_write_uint(buf, len);
    lib0_write_bytes(buf, data, len);
}

/* ---- UTF-8 ---- */

/* Bytes of ASCII at the start of `p`. */
static inline size_t ascii_prefix(const uint8_t *p, size_t len)
{
    size_t i = 0;
    for (; len - i >= 8; i += 8) {
        uint64_t high = load_le64(p + i) & HIGH_BITS;
        if (high)
            return i + (size_t)__builtin_ctzll(high) / 8;
    }
    while (i < len && p[i] < 0x80)
        i++;
    return i;
}

static inline bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Length of the well-formed sequence of two bytes and more that starts at `p`, 0 if there is none.
 * The bounds of the second byte shut out overlong forms, surrogates and what is above U+10FFFF
 * (Unicode 15, table 3-7). */
static inline size_t sequence_len(const uint8_t *p, size_t len)
{
    uint8_t lead = p[0];
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    size_t need = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (len < need)
        return 0;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++) {
        if (!is_continuation(p[i]))
            return 0;
    }
    return need;
}

bool lib0_utf8_measure(const uint8_t *data, size_t len, uint64_t *ret_units)
{
    size_t i = 0;
    uint64_t units = 0;
    while (i < len) {
        size_t n = ascii_prefix(data + i, len - i);
        i += n;
        units += n;
        while (i < len && data[i] >= 0x80) {
            n = sequence_len(data + i, len - i);
            if (n == 0)
                return false;
            i += n;
            units += n == 4 ? 2 : 1;
        }
    }
    *ret_units = units;
    return true;
}

bool lib0_utf8_is_valid(const uint8_t *data, size_t len)
{
    uint64_t units;
    return lib0_utf8_measure(data, len, &units);
}

/* Units that eight bytes of valid UTF-8 begin: one for each byte but continuations, and one more
 * for each lead byte of four. */
static inline unsigned word_units(uint64_t word)
{
    uint64_t continuations = word & ~(word << 1) & HIGH_BITS;
    uint64_t four = word & (word << 1) & (word << 2) & (word << 3) & HIGH_BITS;
    return 8u - (unsigned)__builtin_popcountll(continuations) +
           (unsigned)__builtin_popcountll(four);
}

static inline unsigned byte_units(uint8_t byte)
{
    return is_continuation(byte) ? 0 : byte >= 0xf0 ? 2 : 1;
}

uint64_t lib0_utf16_len(const uint8_t *data, size_t len)
{
    uint64_t units = 0;
    size_t i = 0;
    for (; len - i >= 8; i += 8)
        units += word_units(load_le64(data + i));
    for (; i < len; i++)
        units += byte_units(data[i]);
    return units;
}

size_t lib0_utf16_offset(const uint8_t *data, size_t len, uint64_t unit, bool *ret_is_inside)
{
    size_t i = 0;
    uint64_t at = 0;
    *ret_is_inside = false;
    while (len - i >= 8) {
        unsigned units = word_units(load_le64(data + i));
        if (at + units > unit)
            break;
        at += units;
        i += 8;
    }
    for (; i < len; i++) {
        unsigned units = byte_units(data[i]);
        if (units == 0)
            continue;
        if (at == unit)
            break;
        if (at + units > unit) {
            *ret_is_inside = true;
            break;
        }
        at += units;
    }
    return i;
}
