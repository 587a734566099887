#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "doc_read.h"
#include "members.h"

/* ---- contents as values ---- */

static void write_any_string(struct crdt_buf *out, const void *data, size_t len)
{
    lib0_write_u8(out, CRDT_ANY_STRING);
    lib0_write_slice(out, data, len);
}

static int json_to_any(struct crdt_slice json, struct crdt_buf *out)
{
    static const char undefined[] = "undefined";

    if (json.len == sizeof(undefined) - 1 && !memcmp(json.data, undefined, json.len)) {
        lib0_write_u8(out, CRDT_ANY_UNDEFINED);
        return out->error;
    }
    return crdt_json_to_any(json.data, json.len, CRDT_ANY_MAX_NESTING, out);
}

int read_unit_any(const struct crdt_doc *doc, const struct item *item, uint32_t unit,
                  struct crdt_buf *out)
{
    struct crdt_slice bytes = item_bytes(doc, item);
    struct lib0_reader reader;
    size_t start;
    bool is_inside = false;

    switch ((enum crdt_ref)item->ref) {
    case CRDT_REF_STRING:
        /* Half of a surrogate pair is not representable as a value. */
        start = lib0_utf16_offset(bytes.data, bytes.len, unit, &is_inside);
        if (is_inside || bytes.data[start] >= 0xf0)
            write_any_string(out, REPLACEMENT, REPLACEMENT_LEN);
        else
            write_any_string(
                out, bytes.data + start,
                lib0_utf16_offset(bytes.data + start, bytes.len - start, 1, &is_inside));
        return out->error;
    case CRDT_REF_ANY:
        start = values_offset(CRDT_REF_ANY, bytes, unit);
        lib0_reader_init(&reader, bytes.data + start, bytes.len - start);
        if (crdt_any_skip(&reader, CRDT_ANY_MAX_NESTING) < 0)
            return -EBADMSG;
        lib0_write_bytes(out, bytes.data + start, bytes.len - start - lib0_remaining(&reader));
        return out->error;
    case CRDT_REF_JSON:
        start = values_offset(CRDT_REF_JSON, bytes, unit);
        lib0_reader_init(&reader, bytes.data + start, bytes.len - start);
        return json_to_any(lib0_read_slice(&reader), out);
    case CRDT_REF_EMBED:
    case CRDT_REF_FORMAT:
        if (!(item->flags & ITEM_VALUE_IS_ANY))
            return json_to_any(bytes, out);
        lib0_write_bytes(out, bytes.data, bytes.len);
        return out->error;
    case CRDT_REF_BINARY:
        lib0_write_u8(out, CRDT_ANY_BYTES);
        lib0_write_slice(out, bytes.data, bytes.len);
        return out->error;
    case CRDT_REF_DOC:
        lib0_write_u8(out, CRDT_ANY_OBJECT);
        lib0_write_uint(out, 0);
        return out->error;
    case CRDT_REF_GC:
    case CRDT_REF_DELETED:
    case CRDT_REF_TYPE:
    case CRDT_REF_SKIP:
        break;
    }
    lib0_write_u8(out, CRDT_ANY_UNDEFINED);
    return out->error;
}

/* ---- String() ---- */

static void write_number(struct crdt_buf *out, double value)
{
    if (isnan(value))
        write_text(out, "NaN");
    else if (isinf(value))
        write_text(out, value < 0 ? "-Infinity" : "Infinity");
    else
        crdt_json_write_number(out, value);
}

static void write_float(struct lib0_reader *r, size_t size, struct crdt_buf *out)
{
    double value = crdt_any_read_float(r, size);

    if (!r->has_failed)
        write_number(out, value);
}

static void write_decimal(struct crdt_buf *out, bool is_negative, uint64_t magnitude)
{
    char text[32];

    snprintf(text, sizeof(text), "%s%llu", is_negative && magnitude ? "-" : "",
             (unsigned long long)magnitude);
    write_text(out, text);
}

static void write_bytes_joined(struct lib0_reader *r, struct crdt_buf *out)
{
    struct crdt_slice bytes = lib0_read_slice(r);

    for (size_t i = 0; i < bytes.len; i++) {
        if (i > 0)
            lib0_write_u8(out, ',');
        write_decimal(out, false, bytes.data[i]);
    }
}

static int write_string_of(struct lib0_reader *r, bool is_element, uint32_t nesting,
                           struct crdt_buf *out);

static int write_array_joined(struct lib0_reader *r, uint32_t nesting, struct crdt_buf *out)
{
    uint64_t count = lib0_read_uint(r);
    int rc = nesting == 0 ? -E2BIG : 0;

    for (uint64_t i = 0; i < count && rc == 0; i++) {
        if (i > 0)
            lib0_write_u8(out, ',');
        rc = write_string_of(r, true, nesting - 1, out);
    }
    return rc;
}

static int write_string_of(struct lib0_reader *r, bool is_element, uint32_t nesting,
                           struct crdt_buf *out)
{
    const struct lib0_reader before = *r;
    struct crdt_slice string;
    const uint8_t *data;
    uint64_t bits;
    bool is_negative;

    switch (lib0_read_u8(r)) {
    case CRDT_ANY_UNDEFINED:
        write_text(out, is_element ? "" : "undefined");
        break;
    case CRDT_ANY_NULL:
        write_text(out, is_element ? "" : "null");
        break;
    case CRDT_ANY_FALSE:
        write_text(out, "false");
        break;
    case CRDT_ANY_TRUE:
        write_text(out, "true");
        break;
    case CRDT_ANY_INT:
        bits = lib0_read_int(r, &is_negative);
        write_decimal(out, is_negative, bits);
        break;
    case CRDT_ANY_FLOAT32:
        write_float(r, sizeof(float), out);
        break;
    case CRDT_ANY_FLOAT64:
        write_float(r, sizeof(double), out);
        break;
    case CRDT_ANY_BIGINT:
        data = lib0_read_bytes(r, sizeof(bits));
        if (!data)
            return -EBADMSG;
        memcpy(&bits, data, sizeof(bits));
        bits = be64toh(bits);
        is_negative = bits >> 63;
        write_decimal(out, is_negative, is_negative ? -bits : bits);
        break;
    case CRDT_ANY_STRING:
        string = lib0_read_slice(r);
        lib0_write_bytes(out, string.data, string.len);
        break;
    case CRDT_ANY_BYTES:
        write_bytes_joined(r, out);
        break;
    case CRDT_ANY_ARRAY:
        return write_array_joined(r, nesting, out);
    case CRDT_ANY_OBJECT:
        write_text(out, "[object Object]");
        *r = before;
        return crdt_any_skip(r, nesting);
    default:
        return -EBADMSG;
    }
    return r->has_failed ? -EBADMSG : out->error;
}

int any_to_string(struct crdt_slice any, uint32_t nesting, struct crdt_buf *out)
{
    struct lib0_reader r;

    lib0_reader_init(&r, any.data, any.len);
    return write_string_of(&r, false, nesting, out);
}

/* ---- names as members ---- */

bool name_is_proto(const struct crdt_doc *doc, uint32_t name)
{
    static const char proto[] = "__proto__";
    struct crdt_slice text = name_slice(doc, name);

    return text.len == sizeof(proto) - 1 && !memcmp(text.data, proto, text.len);
}

struct rank {
    uint64_t index;
    size_t place;
};

static int compare_ranks(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;

    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

int order_members(const struct crdt_doc *doc, void *names, size_t count, size_t size)
{
    char *elements = names, *copy = NULL;
    struct rank *ranks = NULL;
    bool has_index = false;
    int r = 0;

    for (size_t i = 0; i < count && !has_index; i++) {
        uint32_t name;

        memcpy(&name, elements + i * size, sizeof(name));
        has_index = crdt_member_index(name_slice(doc, name)) != CRDT_NOT_AN_INDEX;
    }
    if (!has_index)
        return 0;
    ranks = reallocarray(NULL, count, sizeof(*ranks));
    copy = reallocarray(NULL, count, size);
    if (ranks && copy) {
        memcpy(copy, elements, count * size);
        for (size_t i = 0; i < count; i++) {
            uint32_t name;

            memcpy(&name, copy + i * size, sizeof(name));
            ranks[i] = (struct rank){crdt_member_index(name_slice(doc, name)), i};
        }
        qsort(ranks, count, sizeof(*ranks), compare_ranks);
        for (size_t i = 0; i < count; i++)
            memcpy(elements + i * size, copy + ranks[i].place * size, size);
    } else {
        r = -ENOMEM;
    }
    free(ranks);
    free(copy);
    return r;
}

int compare_utf16(struct crdt_slice a, struct crdt_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;

    for (size_t i = 0; i < len; i++) {
        uint8_t x = a.data[i], y = b.data[i];

        if (x == y)
            continue;
        /* Surrogates lie below U+E000..U+FFFF, whose UTF-8 begins with EE or EF. */
        if (x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0))
            return x >= 0xf0 ? -1 : 1;
        return x < y ? -1 : 1;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}
