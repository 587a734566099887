#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "any.h"
#include "doc_read.h"

/* A unit of a string, which may be half of a surrogate pair. */
static void write_string_unit(struct crdt_buf *out, struct crdt_slice text, uint32_t unit)
{
    char escape[16];
    bool is_low, is_inside;
    size_t start = lib0_utf16_offset(text.data, text.len, unit, &is_low);
    const uint8_t *p = text.data + start;

    if (*p < 0xf0) {
        size_t len = lib0_utf16_offset(p, text.len - start, 1, &is_inside);

        crdt_json_write_string(out, p, len);
        return;
    }

    uint32_t point =
        (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);

    point -= 0x10000;
    snprintf(escape, sizeof(escape), "\"\\u%04x\"",
             is_low ? 0xdc00 + (point & 0x3ff) : 0xd800 + (point >> 10));
    write_text(out, escape);
}

int read_unit_json(struct reading *reading, const struct item *item, uint32_t unit)
{
    struct crdt_buf value = {0};
    struct lib0_reader reader;
    int r;

    if (item->ref == CRDT_REF_TYPE)
        return read_type_json(reading, item->content);
    if (item->ref == CRDT_REF_STRING) {
        write_string_unit(reading->out, item_bytes(reading->doc, item), unit);
        return reading->out->error;
    }
    r = read_unit_any(reading->doc, item, unit, &value);
    lib0_reader_init(&reader, value.data, value.len);
    if (r == 0)
        r = crdt_any_to_json(&reader, CRDT_ANY_MAX_NESTING, reading->out);
    crdt_buf_done(&value);
    return r;
}

/* ---- arrays ---- */

/* Separates, and stands for the values which JSON has not. */
struct elements {
    struct crdt_buf *out;
    bool is_first;
    size_t start;
};

static void begin_element(struct elements *elements)
{
    if (!elements->is_first)
        lib0_write_u8(elements->out, ',');
    elements->is_first = false;
    elements->start = elements->out->len;
}

static void end_element(struct elements *elements)
{
    if (elements->out->len == elements->start)
        write_text(elements->out, "null");
}

/* The values of an ANY are read one after the other, not each from the start. */
static int read_any_elements(struct reading *reading, const struct item *item,
                             struct elements *elements)
{
    struct crdt_slice bytes = item_bytes(reading->doc, item);
    struct lib0_reader reader;
    int r = 0;

    lib0_reader_init(&reader, bytes.data, bytes.len);
    for (uint32_t n = 0; n < item->len && r == 0; n++) {
        begin_element(elements);
        r = crdt_any_to_json(&reader, CRDT_ANY_MAX_NESTING, reading->out);
        end_element(elements);
    }
    return r;
}

static int read_string_elements(struct reading *reading, const struct item *item,
                                struct elements *elements)
{
    struct crdt_slice text = item_bytes(reading->doc, item);
    bool is_inside;

    while (text.len > 0) {
        uint32_t units = text.data[0] >= 0xf0 ? 2 : 1;
        size_t len = lib0_utf16_offset(text.data, text.len, units, &is_inside);

        for (uint32_t n = 0; n < units; n++) {
            begin_element(elements);
            write_string_unit(reading->out, (struct crdt_slice){text.data, len}, n);
        }
        text = (struct crdt_slice){text.data + len, text.len - len};
    }
    return reading->out->error;
}

static int read_json_elements(struct reading *reading, const struct item *item,
                              struct elements *elements)
{
    struct crdt_slice bytes = item_bytes(reading->doc, item);
    struct lib0_reader reader;
    int r = 0;

    lib0_reader_init(&reader, bytes.data, bytes.len);
    for (uint32_t n = 0; n < item->len && r == 0; n++) {
        struct item one = *item;
        const uint8_t *start = reader.pos;

        lib0_read_slice(&reader);
        one.content = item->content + (uint32_t)(start - bytes.data);
        one.content_len = (uint32_t)(reader.pos - start);
        begin_element(elements);
        r = read_unit_json(reading, &one, 0);
        end_element(elements);
    }
    return r;
}

int read_array(struct reading *reading, uint32_t type)
{
    const struct crdt_doc *doc = reading->doc;
    struct elements elements = {.out = reading->out, .is_first = true};
    int r = 0;

    lib0_write_u8(reading->out, '[');
    for (uint32_t i = doc->types[type].start; i != NIL && r == 0; i = doc->items[i].right) {
        const struct item *item = &doc->items[i];

        if (item_is_deleted(item) || !item_is_countable(item))
            continue;
        if (item->ref == CRDT_REF_ANY) {
            r = read_any_elements(reading, item, &elements);
        } else if (item->ref == CRDT_REF_JSON) {
            r = read_json_elements(reading, item, &elements);
        } else if (item->ref == CRDT_REF_STRING) {
            r = read_string_elements(reading, item, &elements);
        } else {
            begin_element(&elements);
            r = read_unit_json(reading, item, 0);
            end_element(&elements);
        }
    }
    lib0_write_u8(reading->out, ']');
    return r ? r : reading->out->error;
}

/* ---- maps ---- */

struct member {
    uint32_t key;
    uint32_t item;
};

/* The keys that have a value, in the order of the object. */
static int list_members(const struct crdt_doc *doc, uint32_t type, struct member **ret_members,
                        size_t *ret_count)
{
    struct member *members;
    size_t count = 0;
    int r;

    for (uint32_t e = doc->types[type].first_entry; e != NIL; e = doc->entries[e].next)
        count++;
    members = calloc(count + 1, sizeof(*members));
    if (!members)
        return -ENOMEM;
    count = 0;
    for (uint32_t e = doc->types[type].first_entry; e != NIL; e = doc->entries[e].next) {
        const struct entry *entry = &doc->entries[e];

        if (entry_is_read(doc, entry))
            members[count++] = (struct member){entry->key, entry->tail};
    }
    r = order_members(doc, members, count, sizeof(*members));
    if (r < 0) {
        free(members);
        return r;
    }
    *ret_members = members;
    *ret_count = count;
    return 0;
}

int read_map(struct reading *reading, uint32_t type)
{
    const struct crdt_doc *doc = reading->doc;
    struct crdt_buf *out = reading->out;
    struct member *members;
    size_t count;
    bool is_first = true;
    int r = list_members(doc, type, &members, &count);

    if (r < 0)
        return r;
    lib0_write_u8(out, '{');
    for (size_t i = 0; i < count && r == 0; i++) {
        const struct item *item = &doc->items[members[i].item];
        struct crdt_slice key = name_slice(doc, members[i].key);
        size_t start = out->len, value;

        /* A format is no value, though it may stand where one is expected. */
        if (!item_is_countable(item))
            continue;
        if (!is_first)
            lib0_write_u8(out, ',');
        crdt_json_write_string(out, key.data, key.len);
        lib0_write_u8(out, ':');
        value = out->len;
        r = read_unit_json(reading, item, item->len - 1);
        if (out->len == value)
            out->len = start;
        else
            is_first = false;
    }
    lib0_write_u8(out, '}');
    free(members);
    return r ? r : out->error;
}

/* ---- nested types ---- */

static int read_string_json(struct reading *reading, uint32_t type)
{
    struct crdt_buf text = {0}, *out = reading->out;
    int r;

    reading->out = &text;
    r = read_type_string(reading, type);
    reading->out = out;
    if (r == 0)
        crdt_json_write_string(out, text.data, text.len);
    crdt_buf_done(&text);
    return r ? r : out->error;
}

int read_type_json(struct reading *reading, uint32_t type)
{
    int r;

    if (reading->nesting == 0)
        return -E2BIG;
    reading->nesting--;
    switch ((enum crdt_type_ref)reading->doc->types[type].type_ref) {
    case CRDT_TYPE_ARRAY:
        r = read_array(reading, type);
        break;
    case CRDT_TYPE_MAP:
    case CRDT_TYPE_XML_HOOK:
        r = read_map(reading, type);
        break;
    case CRDT_TYPE_TEXT:
    case CRDT_TYPE_XML_ELEMENT:
    case CRDT_TYPE_XML_FRAGMENT:
    case CRDT_TYPE_XML_TEXT:
    default:
        r = read_string_json(reading, type);
        break;
    }
    reading->nesting++;
    return r;
}

int crdt_doc_read(const struct crdt_doc *doc, enum crdt_kind kind, const char *name,
                  size_t name_len, struct crdt_buf *out)
{
    struct reading reading = {.doc = doc, .out = out, .nesting = doc->limits.nesting};
    uint32_t type = root_find(doc, (struct crdt_slice){(const uint8_t *)name, name_len});
    size_t start = out->len;
    int r = 0;

    if (reading.nesting > CRDT_ANY_MAX_NESTING)
        reading.nesting = CRDT_ANY_MAX_NESTING;
    switch (kind) {
    case CRDT_KIND_TEXT:
        r = type == NIL ? 0 : read_text(&reading, type);
        break;
    case CRDT_KIND_XML:
        r = type == NIL ? 0 : read_xml(&reading, type);
        break;
    case CRDT_KIND_DELTA:
        if (type != NIL)
            r = read_delta(&reading, type);
        else
            write_text(out, "[]");
        break;
    case CRDT_KIND_ARRAY:
        if (type != NIL)
            r = read_array(&reading, type);
        else
            write_text(out, "[]");
        break;
    case CRDT_KIND_MAP:
        if (type != NIL)
            r = read_map(&reading, type);
        else
            write_text(out, "{}");
        break;
    }
    if (r == 0)
        r = out->error;
    if (r == 0 && out->len - start > doc->limits.output_bytes)
        r = -E2BIG;
    if (r < 0)
        out->len = start;
    return r;
}
