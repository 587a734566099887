/*
 * doc_read: reading a document out, shared by doc_read_*.c. Each function appends to reading->out
 * what Yjs's toString(), toJSON() or toDelta() gives; values that were not made by Yjs's own types
 * (numbers inside of XML, say) go the way that JavaScript's String() takes them.
 *
 * The functions recurse into nested types, at most `nesting` deep: -E2BIG beyond that.
 */
#pragma once

#include "doc.h"

struct reading {
    const struct crdt_doc *doc;
    struct crdt_buf *out;
    uint32_t nesting; /* what is left of it */
};

/* One op of a delta. */
struct delta_mark {
    uint32_t key;  /* name */
    uint32_t item; /* the FORMAT whose value holds */
};

struct delta_op {
    struct crdt_slice text;         /* if item is NIL */
    uint32_t item;                  /* an embed or a type */
    const struct delta_mark *marks; /* in the order in which they were set */
    size_t mark_count;
};

typedef int (*delta_op_fn)(struct reading *reading, const struct delta_op *op, void *arg);

/* Calls back for each op of a text; stops at the first error. */
CRDT_WARN_UNUSED int read_delta_ops(struct reading *reading, uint32_t type, delta_op_fn fn,
                                    void *arg);

CRDT_WARN_UNUSED int read_text(struct reading *reading, uint32_t type);
CRDT_WARN_UNUSED int read_delta(struct reading *reading, uint32_t type);
CRDT_WARN_UNUSED int read_array(struct reading *reading, uint32_t type);
CRDT_WARN_UNUSED int read_map(struct reading *reading, uint32_t type);
/* A nested type as its toJSON(), as JSON. */
CRDT_WARN_UNUSED int read_type_json(struct reading *reading, uint32_t type);
/* The unit `unit` of an item's content as JSON; nothing for `undefined`. */
CRDT_WARN_UNUSED int read_unit_json(struct reading *reading, const struct item *item,
                                    uint32_t unit);

/* The children of a fragment. */
CRDT_WARN_UNUSED int read_xml(struct reading *reading, uint32_t type);
CRDT_WARN_UNUSED int read_xml_element(struct reading *reading, uint32_t type);
CRDT_WARN_UNUSED int read_xml_text(struct reading *reading, uint32_t type);
/* A nested type as its toString(). */
CRDT_WARN_UNUSED int read_type_string(struct reading *reading, uint32_t type);

/* ---- doc_read_value.c ---- */

/* The unit `unit` of an item's content as one `any`; for contents other than TYPE. */
CRDT_WARN_UNUSED int read_unit_any(const struct crdt_doc *doc, const struct item *item,
                                   uint32_t unit, struct crdt_buf *out);
/* Appends an `any` as String() gives it. */
CRDT_WARN_UNUSED int any_to_string(struct crdt_slice any, uint32_t nesting, struct crdt_buf *out);
/* Is this name what `object[name] = value` does not make a member of? */
bool name_is_proto(const struct crdt_doc *doc, uint32_t name);
/* Does a key have a value that a reader sees: one that is there, and a name that makes a member? */
static inline bool entry_is_read(const struct crdt_doc *doc, const struct entry *entry)
{
    return entry->tail != NIL && !item_is_deleted(&doc->items[entry->tail]) &&
           doc->items[entry->tail].len > 0 && !name_is_proto(doc, entry->key);
}
/* Puts names into the order of an object's members: array indices first. `names` are elements of
 * `size` bytes that begin with the name. -ENOMEM. */
CRDT_WARN_UNUSED int order_members(const struct crdt_doc *doc, void *names, size_t count,
                                   size_t size);
/* Compares UTF-8 as JavaScript compares strings: by UTF-16 units. */
int compare_utf16(struct crdt_slice a, struct crdt_slice b);

static inline void write_text(struct crdt_buf *out, const char *text)
{
    lib0_write_bytes(out, text, __builtin_strlen(text));
}
