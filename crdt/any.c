#include "any.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "members.h"

static uint32_t bounded(uint32_t nesting)
{
    return nesting < CRDT_ANY_MAX_NESTING ? nesting : CRDT_ANY_MAX_NESTING;
}

static inline int status(const struct lib0_reader *r)
{
    return r->has_failed ? -EBADMSG : 0;
}

/* ---- checking ---- */

static int skip_value(struct lib0_reader *r, uint32_t nesting);

static int skip_members(struct lib0_reader *r, bool has_keys, uint32_t nesting)
{
    if (nesting == 0)
        return -E2BIG;
    uint64_t count = lib0_read_uint(r);
    for (uint64_t i = 0; i < count && !r->has_failed; i++) {
        if (has_keys)
            (void)lib0_read_string(r);
        int rc = skip_value(r, nesting - 1);
        if (rc < 0)
            return rc;
    }
    return status(r);
}

static int skip_value(struct lib0_reader *r, uint32_t nesting)
{
    bool is_negative;
    uint8_t tag = lib0_read_u8(r);
    switch (tag) {
    case CRDT_ANY_UNDEFINED:
    case CRDT_ANY_NULL:
    case CRDT_ANY_FALSE:
    case CRDT_ANY_TRUE:
        return 0;
    case CRDT_ANY_INT:
        (void)lib0_read_int(r, &is_negative);
        return status(r);
    case CRDT_ANY_FLOAT32:
        (void)lib0_read_bytes(r, 4);
        return status(r);
    case CRDT_ANY_FLOAT64:
    case CRDT_ANY_BIGINT:
        (void)lib0_read_bytes(r, 8);
        return status(r);
    case CRDT_ANY_STRING:
        (void)lib0_read_string(r);
        return status(r);
    case CRDT_ANY_BYTES:
        (void)lib0_read_slice(r);
        return status(r);
    case CRDT_ANY_OBJECT:
    case CRDT_ANY_ARRAY:
        return skip_members(r, tag == CRDT_ANY_OBJECT, nesting);
    default:
        return -EBADMSG;
    }
}

int crdt_any_skip(struct lib0_reader *r, uint32_t nesting)
{
    return skip_value(r, bounded(nesting));
}

/* ---- numbers ---- */

double crdt_any_read_float(struct lib0_reader *r, size_t size)
{
    const uint8_t *data = lib0_read_bytes(r, size);
    double value = 0;
    if (data && size == sizeof(float)) {
        uint32_t bits;
        float narrow;
        memcpy(&bits, data, sizeof(bits));
        bits = be32toh(bits);
        memcpy(&narrow, &bits, sizeof(narrow));
        value = (double)narrow;
    } else if (data) {
        uint64_t bits;
        memcpy(&bits, data, sizeof(bits));
        bits = be64toh(bits);
        memcpy(&value, &bits, sizeof(value));
    }
    return value;
}

/* ---- printing ---- */

struct printer {
    struct lib0_reader *in;
    const uint8_t *base; /* what member keys are offsets from */
    struct crdt_buf *out;
    struct crdt_members members;
};

static int print_value(struct printer *p, uint32_t nesting);

static void print_text(struct crdt_buf *out, const char *text)
{
    lib0_write_bytes(out, text, strlen(text));
}

static void print_float(struct printer *p, size_t size)
{
    double value = crdt_any_read_float(p->in, size);
    if (!p->in->has_failed)
        crdt_json_write_number(p->out, value);
}

static void print_int(struct printer *p)
{
    char text[32];
    bool is_negative;
    uint64_t value = lib0_read_int(p->in, &is_negative);
    snprintf(text, sizeof(text), "%s%llu", is_negative && value ? "-" : "",
             (unsigned long long)value);
    print_text(p->out, text);
}

static void print_bigint(struct printer *p)
{
    char text[32];
    uint64_t bits;
    const uint8_t *data = lib0_read_bytes(p->in, sizeof(bits));
    if (!data)
        return;
    memcpy(&bits, data, sizeof(bits));
    snprintf(text, sizeof(text), "%lld", (long long)be64toh(bits));
    print_text(p->out, text);
}

/* A Uint8Array has its indices as keys. */
static void print_bytes(struct printer *p)
{
    char text[48];
    struct crdt_slice bytes = lib0_read_slice(p->in);
    lib0_write_u8(p->out, '{');
    for (size_t i = 0; i < bytes.len; i++) {
        int len =
            snprintf(text, sizeof(text), "%s\"%zu\":%u", i ? "," : "", i, (unsigned)bytes.data[i]);
        lib0_write_bytes(p->out, text, (size_t)len);
    }
    lib0_write_u8(p->out, '}');
}

static void print_string(struct printer *p)
{
    struct crdt_slice s = lib0_read_string(p->in);
    crdt_json_write_string(p->out, s.data, s.len);
}

static int print_array(struct printer *p, uint32_t nesting)
{
    if (nesting == 0)
        return -E2BIG;
    uint64_t count = lib0_read_uint(p->in);
    lib0_write_u8(p->out, '[');
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            lib0_write_u8(p->out, ',');
        size_t before = p->out->len;
        int rc = print_value(p, nesting - 1);
        if (rc < 0)
            return rc;
        if (p->out->len == before)
            print_text(p->out, "null");
    }
    lib0_write_u8(p->out, ']');
    return status(p->in);
}

/* `obj.__proto__ = x` makes no member in JavaScript. */
static bool is_proto(struct crdt_slice key)
{
    static const char proto[] = "__proto__";
    return key.len == sizeof(proto) - 1 && memcmp(key.data, proto, key.len) == 0;
}

/* Prints one member; an undefined one leaves nothing but its entry, for it hides earlier ones. */
static int print_member(struct printer *p, bool is_first, uint32_t nesting)
{
    size_t begin = p->out->len;
    struct crdt_slice key = lib0_read_string(p->in);
    if (p->in->has_failed)
        return -EBADMSG;
    if (!is_first)
        lib0_write_u8(p->out, ',');
    size_t start = p->out->len;
    crdt_json_write_string(p->out, key.data, key.len);
    lib0_write_u8(p->out, ':');
    size_t value = p->out->len;
    int rc = print_value(p, nesting);
    if (rc < 0)
        return rc;
    if (p->out->error)
        return p->out->error;
    if (is_proto(key)) {
        p->out->len = begin;
        return 0;
    }
    if (p->out->len == value)
        p->out->len = start = begin;
    return crdt_members_push(&p->members, (struct crdt_member){
                                              .key = (size_t)(key.data - p->base),
                                              .key_len = key.len,
                                              .start = start,
                                              .end = p->out->len,
                                          });
}

static int print_object(struct printer *p, uint32_t nesting)
{
    if (nesting == 0)
        return -E2BIG;
    size_t first = p->members.len, count_left;
    uint64_t count = lib0_read_uint(p->in);
    lib0_write_u8(p->out, '{');
    size_t open = p->out->len;
    for (uint64_t i = 0; i < count; i++) {
        int rc = print_member(p, p->out->len == open, nesting - 1);
        if (rc < 0)
            return rc;
    }
    int rc = crdt_members_order(&p->members, first, p->base, ',', p->out, &count_left);
    lib0_write_u8(p->out, '}');
    return rc < 0 ? rc : status(p->in);
}

static int print_value(struct printer *p, uint32_t nesting)
{
    if (p->out->error)
        return p->out->error;
    switch (lib0_read_u8(p->in)) {
    case CRDT_ANY_UNDEFINED:
        break;
    case CRDT_ANY_NULL:
        print_text(p->out, "null");
        break;
    case CRDT_ANY_FALSE:
        print_text(p->out, "false");
        break;
    case CRDT_ANY_TRUE:
        print_text(p->out, "true");
        break;
    case CRDT_ANY_INT:
        print_int(p);
        break;
    case CRDT_ANY_FLOAT32:
        print_float(p, sizeof(uint32_t));
        break;
    case CRDT_ANY_FLOAT64:
        print_float(p, sizeof(uint64_t));
        break;
    case CRDT_ANY_BIGINT:
        print_bigint(p);
        break;
    case CRDT_ANY_STRING:
        print_string(p);
        break;
    case CRDT_ANY_BYTES:
        print_bytes(p);
        break;
    case CRDT_ANY_OBJECT:
        return print_object(p, nesting);
    case CRDT_ANY_ARRAY:
        return print_array(p, nesting);
    default:
        return -EBADMSG;
    }
    return status(p->in);
}

int crdt_any_to_json(struct lib0_reader *r, uint32_t nesting, struct crdt_buf *out)
{
    struct printer p = {.in = r, .base = r->pos, .out = out};
    int rc = print_value(&p, bounded(nesting));
    crdt_members_done(&p.members);
    if (rc == 0 && out->error)
        rc = out->error;
    return rc;
}
