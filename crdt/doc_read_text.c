#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "doc_read.h"

#define SHORT_TEXT 32u

int read_text(struct reading *reading, uint32_t type)
{
    const struct crdt_doc *doc = reading->doc;
    struct crdt_buf *out = reading->out;
    int r = lib0_reserve(out, doc->types[type].len + SHORT_TEXT);

    for (uint32_t i = doc->types[type].start; i != NIL && r == 0; i = doc->items[i].right) {
        const struct item *item = &doc->items[i];
        uint32_t len = item->content_len;

        if (item->ref != CRDT_REF_STRING)
            continue;
        /* Most are short, and cost less to copy if their length does not matter. */
        if (len <= SHORT_TEXT && out->cap - out->len >= SHORT_TEXT &&
            doc->text_cap - item->content >= SHORT_TEXT) {
            memcpy(out->data + out->len, doc->text + item->content, SHORT_TEXT);
            out->len += len;
        } else {
            lib0_write_bytes(out, doc->text + item->content, len);
            r = out->error;
        }
    }
    return r;
}

/* ---- ops ---- */

struct delta {
    struct reading *reading;
    delta_op_fn fn;
    void *arg;
    struct crdt_buf text; /* not yet given out */
    struct delta_mark *marks;
    size_t mark_count;
    size_t mark_cap;
};

static int give_op(struct delta *delta, struct crdt_slice text, uint32_t item)
{
    struct delta_op op = {text, item, delta->marks, delta->mark_count};

    return delta->fn(delta->reading, &op, delta->arg);
}

static int give_text(struct delta *delta)
{
    int r = delta->text.error;

    if (r == 0 && delta->text.len > 0)
        r = give_op(delta, (struct crdt_slice){delta->text.data, delta->text.len}, NIL);
    delta->text.len = 0;
    return r;
}

static bool is_null(struct delta *delta, const struct item *item, int *ret_error)
{
    struct crdt_buf value = {0};
    bool result;

    *ret_error = read_unit_any(delta->reading->doc, item, 0, &value);
    result = *ret_error == 0 && value.len == 1 && value.data[0] == CRDT_ANY_NULL;
    crdt_buf_done(&value);
    return result;
}

static void remove_mark(struct delta *delta, size_t index)
{
    delta->mark_count--;
    memmove(delta->marks + index, delta->marks + index + 1,
            (delta->mark_count - index) * sizeof(*delta->marks));
}

/* A mark stays in force until one of the same key; null takes it away. */
static int set_mark(struct delta *delta, uint32_t index)
{
    const struct crdt_doc *doc = delta->reading->doc;
    const struct item *item = &doc->items[index];
    uint32_t key = item_name(doc, item);
    bool removes;
    size_t at = 0;
    int r;

    removes = is_null(delta, item, &r);
    if (r < 0)
        return r;
    while (at < delta->mark_count && delta->marks[at].key != key)
        at++;
    if (removes) {
        if (at < delta->mark_count)
            remove_mark(delta, at);
        return 0;
    }
    if (at == delta->mark_count) {
        if (at == delta->mark_cap) {
            size_t cap = delta->mark_cap * 2 + 4;
            struct delta_mark *grown = reallocarray(delta->marks, cap, sizeof(*grown));

            if (!grown)
                return -ENOMEM;
            delta->marks = grown;
            delta->mark_cap = cap;
        }
        delta->mark_count++;
    }
    delta->marks[at] = (struct delta_mark){key, index};
    return 0;
}

/* Yjs keeps this key for its comparison of versions, and clears it before text. */
static int clear_ychange(struct delta *delta)
{
    static const char name[] = "ychange";

    for (size_t i = 0; i < delta->mark_count; i++) {
        struct crdt_slice key = name_slice(delta->reading->doc, delta->marks[i].key);
        int r;

        if (key.len != sizeof(name) - 1 || memcmp(key.data, name, key.len) != 0)
            continue;
        r = give_text(delta);
        remove_mark(delta, i);
        return r;
    }
    return 0;
}

static int walk_item(struct delta *delta, uint32_t index)
{
    const struct crdt_doc *doc = delta->reading->doc;
    const struct item *item = &doc->items[index];
    int r = 0;

    if (item->ref == CRDT_REF_STRING) {
        r = clear_ychange(delta);
        lib0_write_bytes(&delta->text, doc->text + item->content, item->content_len);
    } else if (item->ref == CRDT_REF_TYPE || item->ref == CRDT_REF_EMBED) {
        r = give_text(delta);
        if (r == 0)
            r = give_op(delta, (struct crdt_slice){NULL, 0}, index);
    } else if (item->ref == CRDT_REF_FORMAT) {
        r = give_text(delta);
        if (r == 0)
            r = set_mark(delta, index);
    }
    return r;
}

int read_delta_ops(struct reading *reading, uint32_t type, delta_op_fn fn, void *arg)
{
    struct delta delta = {.reading = reading, .fn = fn, .arg = arg};
    const struct crdt_doc *doc = reading->doc;
    int r = 0;

    for (uint32_t i = doc->types[type].start; i != NIL && r == 0; i = doc->items[i].right)
        if (!item_is_deleted(&doc->items[i]))
            r = walk_item(&delta, i);
    if (r == 0)
        r = give_text(&delta);
    crdt_buf_done(&delta.text);
    free(delta.marks);
    return r;
}

/* ---- delta as JSON ---- */

static int write_marks(struct reading *reading, const struct delta_op *op)
{
    const struct crdt_doc *doc = reading->doc;
    struct delta_mark *marks;
    bool is_first = true;
    int r;

    marks = reallocarray(NULL, op->mark_count, sizeof(*marks));
    if (!marks)
        return -ENOMEM;
    memcpy(marks, op->marks, op->mark_count * sizeof(*marks));
    r = order_members(doc, marks, op->mark_count, sizeof(*marks));
    for (size_t i = 0; i < op->mark_count && r == 0; i++) {
        struct crdt_slice key = name_slice(doc, marks[i].key);
        size_t start = reading->out->len, value;

        if (name_is_proto(doc, marks[i].key))
            continue;
        if (!is_first)
            lib0_write_u8(reading->out, ',');
        crdt_json_write_string(reading->out, key.data, key.len);
        lib0_write_u8(reading->out, ':');
        value = reading->out->len;
        r = read_unit_json(reading, &doc->items[marks[i].item], 0);
        if (reading->out->len == value)
            reading->out->len = start;
        else
            is_first = false;
    }
    free(marks);
    return r;
}

static int write_insert(struct reading *reading, const struct delta_op *op, bool *ret_is_written)
{
    struct crdt_buf *out = reading->out;
    size_t start = out->len, value;
    int r = 0;

    write_text(out, "\"insert\":");
    value = out->len;
    if (op->item == NIL)
        crdt_json_write_string(out, op->text.data, op->text.len);
    else
        r = read_unit_json(reading, &reading->doc->items[op->item], 0);
    *ret_is_written = out->len > value;
    if (!*ret_is_written)
        out->len = start;
    return r;
}

static int write_op(struct reading *reading, const struct delta_op *op, void *arg)
{
    bool *is_first = arg, has_insert;
    int r;

    write_text(reading->out, *is_first ? "{" : ",{");
    *is_first = false;
    r = write_insert(reading, op, &has_insert);
    if (r == 0 && op->mark_count > 0) {
        write_text(reading->out, has_insert ? ",\"attributes\":{" : "\"attributes\":{");
        r = write_marks(reading, op);
        lib0_write_u8(reading->out, '}');
    }
    lib0_write_u8(reading->out, '}');
    return r ? r : reading->out->error;
}

int read_delta(struct reading *reading, uint32_t type)
{
    bool is_first = true;
    int r;

    lib0_write_u8(reading->out, '[');
    r = read_delta_ops(reading, type, write_op, &is_first);
    lib0_write_u8(reading->out, ']');
    return r;
}
