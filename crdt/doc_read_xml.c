#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "doc_read.h"
#include "lower.h"

/* A unit of an item's content as String() gives it. */
static int read_unit_string(struct reading *reading, const struct item *item, uint32_t unit)
{
    struct crdt_buf value = {0};
    int r;

    if (item->ref == CRDT_REF_TYPE)
        return read_type_string(reading, item->content);
    r = read_unit_any(reading->doc, item, unit, &value);
    if (r == 0)
        r = any_to_string((struct crdt_slice){value.data, value.len}, CRDT_ANY_MAX_NESTING,
                          reading->out);
    crdt_buf_done(&value);
    return r;
}

int read_xml(struct reading *reading, uint32_t type)
{
    const struct crdt_doc *doc = reading->doc;
    int r = 0;

    for (uint32_t i = doc->types[type].start; i != NIL && r == 0; i = doc->items[i].right) {
        const struct item *item = &doc->items[i];

        if (item_is_deleted(item) || !item_is_countable(item))
            continue;
        if (item->ref == CRDT_REF_STRING) {
            lib0_write_bytes(reading->out, doc->text + item->content, item->content_len);
            continue;
        }
        for (uint32_t n = 0; n < item->len && r == 0; n++)
            r = read_unit_string(reading, item, n);
    }
    return r ? r : reading->out->error;
}

/* ---- elements ---- */

struct attribute {
    struct crdt_slice key;
    uint32_t item;
};

static int compare_attributes(const void *a, const void *b)
{
    const struct attribute *x = a, *y = b;

    return compare_utf16(x->key, y->key);
}

static int read_attributes(struct reading *reading, uint32_t type)
{
    const struct crdt_doc *doc = reading->doc;
    struct attribute *list;
    size_t count = 0;
    int r = 0;

    for (uint32_t e = doc->types[type].first_entry; e != NIL; e = doc->entries[e].next)
        count++;
    list = calloc(count + 1, sizeof(*list));
    if (!list)
        return -ENOMEM;
    count = 0;
    for (uint32_t e = doc->types[type].first_entry; e != NIL; e = doc->entries[e].next) {
        const struct entry *entry = &doc->entries[e];

        if (entry_is_read(doc, entry))
            list[count++] = (struct attribute){name_slice(doc, entry->key), entry->tail};
    }
    qsort(list, count, sizeof(*list), compare_attributes);
    for (size_t i = 0; i < count && r == 0; i++) {
        const struct item *item = &doc->items[list[i].item];

        lib0_write_u8(reading->out, ' ');
        lib0_write_bytes(reading->out, list[i].key.data, list[i].key.len);
        write_text(reading->out, "=\"");
        r = read_unit_string(reading, item, item->len - 1);
        lib0_write_u8(reading->out, '"');
    }
    free(list);
    return r;
}

int read_xml_element(struct reading *reading, uint32_t type)
{
    struct crdt_slice name = {NULL, 0};
    int r;

    if (reading->doc->types[type].name != NIL)
        name = name_slice(reading->doc, reading->doc->types[type].name);
    lib0_write_u8(reading->out, '<');
    crdt_write_lower(reading->out, name);
    r = read_attributes(reading, type);
    lib0_write_u8(reading->out, '>');
    if (r == 0)
        r = read_xml(reading, type);
    write_text(reading->out, "</");
    crdt_write_lower(reading->out, name);
    lib0_write_u8(reading->out, '>');
    return r;
}

/* ---- texts: each mark is an element around its text, with the mark's members as attributes ----
 */

struct text_member {
    struct crdt_slice key;
    struct crdt_slice value; /* `any` */
};

struct text_mark {
    struct crdt_slice name;
    uint32_t item;
};

static int compare_members(const void *a, const void *b)
{
    const struct text_member *x = a, *y = b;

    return compare_utf16(x->key, y->key);
}

static int compare_text_marks(const void *a, const void *b)
{
    const struct text_mark *x = a, *y = b;

    return compare_utf16(x->name, y->name);
}

/* The members of an object, sorted; of equal keys the last one counts. */
static int list_members(struct crdt_slice any, struct text_member **ret_list, size_t *ret_count)
{
    struct lib0_reader r;
    struct text_member *list;
    uint64_t members;
    size_t count = 0, kept = 0;

    lib0_reader_init(&r, any.data, any.len);
    lib0_read_u8(&r);
    members = lib0_read_uint(&r);
    list = calloc((size_t)members + 1, sizeof(*list));
    if (!list)
        return -ENOMEM;
    for (uint64_t i = 0; i < members; i++) {
        struct crdt_slice key = lib0_read_slice(&r);
        const uint8_t *start = r.pos;
        size_t same = 0;

        if (crdt_any_skip(&r, CRDT_ANY_MAX_NESTING) < 0) {
            free(list);
            return -EBADMSG;
        }
        while (same < count && compare_utf16(list[same].key, key) != 0)
            same++;
        list[same] = (struct text_member){key, {start, (size_t)(r.pos - start)}};
        if (same == count)
            count++;
    }
    for (size_t i = 0; i < count; i++)
        if (list[i].key.len != 9 || memcmp(list[i].key.data, "__proto__", 9) != 0)
            list[kept++] = list[i];
    qsort(list, kept, sizeof(*list), compare_members);
    *ret_list = list;
    *ret_count = kept;
    return 0;
}

static void write_index(struct crdt_buf *out, uint64_t index)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)index);

    lib0_write_slice(out, text, (size_t)len);
}

/* The units of a string as members; half of a surrogate pair is U+FFFD. */
static void spread_string(struct crdt_slice text, struct crdt_buf *out)
{
    uint64_t units = lib0_utf16_len(text.data, text.len);
    size_t pos = 0;

    lib0_write_uint(out, units);
    for (uint64_t i = 0; i < units;) {
        uint64_t width = text.data[pos] >= 0xf0 ? 2 : 1;
        bool is_inside;
        size_t len = lib0_utf16_offset(text.data + pos, text.len - pos, width, &is_inside);

        for (uint64_t n = 0; n < width; n++, i++) {
            write_index(out, i);
            lib0_write_u8(out, CRDT_ANY_STRING);
            if (width == 2)
                lib0_write_slice(out, REPLACEMENT, REPLACEMENT_LEN);
            else
                lib0_write_slice(out, text.data + pos, len);
        }
        pos += len;
    }
}

/* A value as the object that a `for (key in value)` sees: strings and arrays have indices. */
static int spread(struct crdt_slice any, struct crdt_buf *out)
{
    struct lib0_reader r;
    uint8_t tag;
    uint64_t count;
    int rc = 0;

    lib0_reader_init(&r, any.data, any.len);
    tag = lib0_read_u8(&r);
    lib0_write_u8(out, CRDT_ANY_OBJECT);
    if (tag == CRDT_ANY_OBJECT) {
        lib0_write_bytes(out, r.pos, lib0_remaining(&r));
    } else if (tag == CRDT_ANY_STRING) {
        spread_string(lib0_read_slice(&r), out);
    } else if (tag == CRDT_ANY_ARRAY || tag == CRDT_ANY_BYTES) {
        count = lib0_read_uint(&r);
        lib0_write_uint(out, count);
        for (uint64_t i = 0; i < count && rc == 0; i++) {
            const uint8_t *start = r.pos;

            write_index(out, i);
            if (tag == CRDT_ANY_BYTES) {
                lib0_write_u8(out, CRDT_ANY_INT);
                lib0_write_int(out, lib0_read_u8(&r), false);
            } else {
                rc = crdt_any_skip(&r, CRDT_ANY_MAX_NESTING);
                lib0_write_bytes(out, start, (size_t)(r.pos - start));
            }
        }
    } else {
        lib0_write_uint(out, 0);
    }
    return rc ? rc : out->error;
}

static int write_mark_members(struct reading *reading, struct crdt_slice any)
{
    struct text_member *list;
    size_t count;
    int r = list_members(any, &list, &count);

    if (r < 0)
        return r;
    for (size_t i = 0; i < count && r == 0; i++) {
        lib0_write_u8(reading->out, ' ');
        lib0_write_bytes(reading->out, list[i].key.data, list[i].key.len);
        write_text(reading->out, "=\"");
        r = any_to_string(list[i].value, CRDT_ANY_MAX_NESTING, reading->out);
        lib0_write_u8(reading->out, '"');
    }
    free(list);
    return r;
}

static int open_mark(struct reading *reading, const struct text_mark *mark)
{
    struct crdt_buf value = {0}, object = {0};
    int r = read_unit_any(reading->doc, &reading->doc->items[mark->item], 0, &value);

    if (r == 0)
        r = spread((struct crdt_slice){value.data, value.len}, &object);
    lib0_write_u8(reading->out, '<');
    lib0_write_bytes(reading->out, mark->name.data, mark->name.len);
    if (r == 0)
        r = write_mark_members(reading, (struct crdt_slice){object.data, object.len});
    lib0_write_u8(reading->out, '>');
    crdt_buf_done(&value);
    crdt_buf_done(&object);
    return r;
}

static int write_op(struct reading *reading, const struct delta_op *op, void *arg)
{
    struct text_mark *marks = calloc(op->mark_count + 1, sizeof(*marks));
    size_t count = 0;
    int r = 0;

    (void)arg;
    if (!marks)
        return -ENOMEM;
    for (size_t i = 0; i < op->mark_count; i++)
        if (!name_is_proto(reading->doc, op->marks[i].key))
            marks[count++] =
                (struct text_mark){name_slice(reading->doc, op->marks[i].key), op->marks[i].item};
    qsort(marks, count, sizeof(*marks), compare_text_marks);
    for (size_t i = 0; i < count && r == 0; i++)
        r = open_mark(reading, &marks[i]);
    if (op->item == NIL)
        lib0_write_bytes(reading->out, op->text.data, op->text.len);
    else if (r == 0)
        r = read_unit_string(reading, &reading->doc->items[op->item], 0);
    for (size_t i = count; i-- > 0;) {
        write_text(reading->out, "</");
        lib0_write_bytes(reading->out, marks[i].name.data, marks[i].name.len);
        lib0_write_u8(reading->out, '>');
    }
    free(marks);
    return r ? r : reading->out->error;
}

int read_xml_text(struct reading *reading, uint32_t type)
{
    return read_delta_ops(reading, type, write_op, NULL);
}

int read_type_string(struct reading *reading, uint32_t type)
{
    int r = 0;

    if (reading->nesting == 0)
        return -E2BIG;
    reading->nesting--;
    switch ((enum crdt_type_ref)reading->doc->types[type].type_ref) {
    case CRDT_TYPE_TEXT:
        r = read_text(reading, type);
        break;
    case CRDT_TYPE_XML_ELEMENT:
        r = read_xml_element(reading, type);
        break;
    case CRDT_TYPE_XML_FRAGMENT:
        r = read_xml(reading, type);
        break;
    case CRDT_TYPE_XML_TEXT:
        r = read_xml_text(reading, type);
        break;
    case CRDT_TYPE_ARRAY:
    case CRDT_TYPE_MAP:
    case CRDT_TYPE_XML_HOOK:
        write_text(reading->out, "[object Object]");
        break;
    }
    reading->nesting++;
    return r;
}
