#include "any.h"

#include <endian.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "members.h"

#define MAX_ANY_INT 2147483647.0 /* lib0 writes larger integers as floats */

/* Reads JSON (RFC 8259, as strictly as JSON.parse) and, if there is an `out`, writes `any`. */
struct parser {
    const uint8_t *pos;
    const uint8_t *end;
    struct crdt_buf *out; /* NULL: check only */
    struct crdt_buf text; /* a string without its escapes, or a number with a NUL */
    struct crdt_members members;
};

static int parse_value(struct parser *p, uint32_t nesting);

static void skip_space(struct parser *p)
{
    while (p->pos < p->end &&
           (*p->pos == ' ' || *p->pos == '\t' || *p->pos == '\n' || *p->pos == '\r'))
        p->pos++;
}

static bool take(struct parser *p, char c)
{
    if (p->pos == p->end || *p->pos != (uint8_t)c)
        return false;
    p->pos++;
    return true;
}

static int take_word(struct parser *p, const char *word, uint8_t tag)
{
    size_t len = strlen(word);
    if ((size_t)(p->end - p->pos) < len || memcmp(p->pos, word, len) != 0)
        return -EBADMSG;
    p->pos += len;
    if (p->out)
        lib0_write_u8(p->out, tag);
    return 0;
}

/* ---- numbers ---- */

static bool take_digits(struct parser *p)
{
    const uint8_t *start = p->pos;
    while (p->pos < p->end && *p->pos >= '0' && *p->pos <= '9')
        p->pos++;
    return p->pos > start;
}

static void write_number(struct crdt_buf *out, double value)
{
    double size = fabs(value);
    if (size <= MAX_ANY_INT && trunc(value) == value) {
        lib0_write_u8(out, CRDT_ANY_INT);
        lib0_write_int(out, (uint64_t)size, signbit(value));
        return;
    }
    /* The comparison first: a double beyond the floats must not be converted. */
    if (isinf(value) || (size <= (double)FLT_MAX && (double)(float)value == value)) {
        float narrow = (float)value;
        uint32_t bits;
        memcpy(&bits, &narrow, sizeof(bits));
        bits = htobe32(bits);
        lib0_write_u8(out, CRDT_ANY_FLOAT32);
        lib0_write_bytes(out, &bits, sizeof(bits));
        return;
    }
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    bits = htobe64(bits);
    lib0_write_u8(out, CRDT_ANY_FLOAT64);
    lib0_write_bytes(out, &bits, sizeof(bits));
}

static int parse_number(struct parser *p)
{
    const uint8_t *start = p->pos;
    (void)take(p, '-');
    if (!take(p, '0') && !take_digits(p))
        return -EBADMSG;
    if (take(p, '.') && !take_digits(p))
        return -EBADMSG;
    if (take(p, 'e') || take(p, 'E')) {
        if (!take(p, '+'))
            (void)take(p, '-');
        if (!take_digits(p))
            return -EBADMSG;
    }
    if (!p->out)
        return 0;
    p->text.len = 0;
    lib0_write_bytes(&p->text, start, (size_t)(p->pos - start));
    lib0_write_u8(&p->text, 0);
    if (p->text.error)
        return p->text.error;
    write_number(p->out, strtod((const char *)p->text.data, NULL));
    return 0;
}

/* ---- strings ---- */

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Four hex digits at `at`, or -1. */
static int32_t hex4(const struct parser *p, const uint8_t *at)
{
    int32_t unit = 0;
    if (p->end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int value = hex_value(at[i]);
        if (value < 0)
            return -1;
        unit = unit * 16 + value;
    }
    return unit;
}

static void write_code_point(struct crdt_buf *out, uint32_t c)
{
    if (c < 0x80) {
        lib0_write_u8(out, (uint8_t)c);
        return;
    }
    if (c < 0x800) {
        lib0_write_u8(out, (uint8_t)(0xc0 | c >> 6));
    } else if (c < 0x10000) {
        lib0_write_u8(out, (uint8_t)(0xe0 | c >> 12));
        lib0_write_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    } else {
        lib0_write_u8(out, (uint8_t)(0xf0 | c >> 18));
        lib0_write_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        lib0_write_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    }
    lib0_write_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
}

/* What follows "\u"; two escapes that make a surrogate pair are one character. */
static int parse_unicode_escape(struct parser *p)
{
    int32_t unit = hex4(p, p->pos);
    if (unit < 0)
        return -EBADMSG;
    p->pos += 4;
    uint32_t c = (uint32_t)unit;
    if (c >= 0xd800 && c <= 0xdfff) {
        int32_t low = -1;
        if (c <= 0xdbff && p->end - p->pos >= 6 && p->pos[0] == '\\' && p->pos[1] == 'u')
            low = hex4(p, p->pos + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            p->pos += 6;
            c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
        } else {
            c = 0xfffd;
        }
    }
    if (p->out)
        write_code_point(&p->text, c);
    return 0;
}

static int parse_escape(struct parser *p)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (p->pos == p->end)
        return -EBADMSG;
    uint8_t letter = *p->pos++;
    if (letter == 'u')
        return parse_unicode_escape(p);
    const char *found = memchr(letters, letter, sizeof(letters) - 1);
    if (!found)
        return -EBADMSG;
    if (p->out)
        lib0_write_u8(&p->text, (uint8_t)meanings[found - letters]);
    return 0;
}

/* A string from after its opening quote on: where its text lies. It holds until the next one. */
static int parse_string(struct parser *p, struct crdt_slice *ret_text)
{
    const uint8_t *start = p->pos;
    bool has_escape = false;
    p->text.len = 0;
    for (;;) {
        while (p->pos < p->end && *p->pos >= 0x20 && *p->pos != '"' && *p->pos != '\\')
            p->pos++;
        if (p->pos == p->end || *p->pos < 0x20)
            return -EBADMSG;
        bool is_end = *p->pos == '"';
        if (p->out && (has_escape || !is_end))
            lib0_write_bytes(&p->text, start, (size_t)(p->pos - start));
        if (is_end)
            break;
        has_escape = true;
        p->pos++;
        int rc = parse_escape(p);
        if (rc < 0)
            return rc;
        start = p->pos;
    }
    *ret_text = has_escape ? (struct crdt_slice){p->text.data, p->text.len}
                           : (struct crdt_slice){start, (size_t)(p->pos - start)};
    p->pos++;
    return p->text.error;
}

static int parse_string_value(struct parser *p)
{
    struct crdt_slice text;
    int rc = parse_string(p, &text);
    if (rc < 0 || !p->out)
        return rc;
    lib0_write_u8(p->out, CRDT_ANY_STRING);
    lib0_write_slice(p->out, text.data, text.len);
    return 0;
}

/* ---- arrays and objects ---- */

/* Puts a count in front of what was written from `at` on. */
static void insert_count(struct crdt_buf *out, size_t at, size_t count)
{
    size_t body = out->len - at;
    lib0_write_uint(out, count);
    if (out->error)
        return;
    uint8_t bytes[10];
    size_t len = out->len - at - body;
    memcpy(bytes, out->data + at + body, len);
    memmove(out->data + at + len, out->data + at, body);
    memcpy(out->data + at, bytes, len);
}

static int parse_array(struct parser *p, uint32_t nesting)
{
    size_t count = 0, at = 0;
    if (nesting == 0)
        return -E2BIG;
    if (p->out) {
        lib0_write_u8(p->out, CRDT_ANY_ARRAY);
        at = p->out->len;
    }
    skip_space(p);
    if (!take(p, ']')) {
        do {
            int rc = parse_value(p, nesting - 1);
            if (rc < 0)
                return rc;
            count++;
        } while (take(p, ','));
        if (!take(p, ']'))
            return -EBADMSG;
    }
    if (p->out)
        insert_count(p->out, at, count);
    return 0;
}

static int parse_member(struct parser *p, size_t body, uint32_t nesting)
{
    struct crdt_slice key;
    size_t start = 0, text = 0;
    skip_space(p);
    if (!take(p, '"'))
        return -EBADMSG;
    int rc = parse_string(p, &key);
    if (rc < 0)
        return rc;
    if (p->out) {
        start = p->out->len;
        lib0_write_slice(p->out, key.data, key.len);
        text = p->out->len - key.len;
        if (p->out->error)
            return p->out->error;
    }
    skip_space(p);
    if (!take(p, ':'))
        return -EBADMSG;
    rc = parse_value(p, nesting);
    if (rc < 0 || !p->out)
        return rc;
    return crdt_members_push(&p->members, (struct crdt_member){
                                              .key = text - body,
                                              .key_len = key.len,
                                              .start = start,
                                              .end = p->out->len,
                                          });
}

/* Orders the members of an object that starts at `body`, then puts their count in front. */
static int finish_object(struct parser *p, size_t first, size_t body)
{
    size_t count;
    struct crdt_buf *out = p->out;
    if (out->error)
        return out->error;
    int rc = crdt_members_order(&p->members, first, out->data + body, 0, out, &count);
    if (rc < 0)
        return rc;
    insert_count(out, body, count);
    return 0;
}

static int parse_object(struct parser *p, uint32_t nesting)
{
    size_t first = p->members.len, body = 0;
    if (nesting == 0)
        return -E2BIG;
    if (p->out) {
        lib0_write_u8(p->out, CRDT_ANY_OBJECT);
        body = p->out->len;
    }
    skip_space(p);
    if (!take(p, '}')) {
        do {
            int rc = parse_member(p, body, nesting - 1);
            if (rc < 0)
                return rc;
        } while (take(p, ','));
        if (!take(p, '}'))
            return -EBADMSG;
    }
    return p->out ? finish_object(p, first, body) : 0;
}

/* One value and the space around it. */
static int parse_value(struct parser *p, uint32_t nesting)
{
    int rc;
    skip_space(p);
    if (p->pos == p->end)
        return -EBADMSG;
    if (p->out && p->out->error)
        return p->out->error;
    switch (*p->pos) {
    case '"':
        p->pos++;
        rc = parse_string_value(p);
        break;
    case '[':
        p->pos++;
        rc = parse_array(p, nesting);
        break;
    case '{':
        p->pos++;
        rc = parse_object(p, nesting);
        break;
    case 't':
        rc = take_word(p, "true", CRDT_ANY_TRUE);
        break;
    case 'f':
        rc = take_word(p, "false", CRDT_ANY_FALSE);
        break;
    case 'n':
        rc = take_word(p, "null", CRDT_ANY_NULL);
        break;
    default:
        rc = parse_number(p);
        break;
    }
    if (rc == 0)
        skip_space(p);
    return rc;
}

static int parse(const uint8_t *text, size_t len, uint32_t nesting, struct crdt_buf *out)
{
    struct parser p = {.pos = text, .end = text ? text + len : text, .out = out};
    int rc = parse_value(&p, nesting < CRDT_ANY_MAX_NESTING ? nesting : CRDT_ANY_MAX_NESTING);
    if (rc == 0 && p.pos != p.end)
        rc = -EBADMSG;
    if (rc == 0 && out && out->error)
        rc = out->error;
    crdt_buf_done(&p.text);
    crdt_members_done(&p.members);
    return rc;
}

int crdt_json_validate(const uint8_t *text, size_t len, uint32_t nesting)
{
    return parse(text, len, nesting, NULL);
}

int crdt_json_to_any(const uint8_t *text, size_t len, uint32_t nesting, struct crdt_buf *out)
{
    return parse(text, len, nesting, out);
}
