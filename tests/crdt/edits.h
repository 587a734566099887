/* edits: edits of the roots "t", "m" and "l" in the tests of the engine, as client 1. */
#pragma once

#include "bytes.h"

#define CLIENT 1

static inline struct crdt_slice slice(const char *text)
{
    return (struct crdt_slice){(const uint8_t *)text, strlen(text)};
}

static inline int text_insert(struct crdt_doc *doc, uint64_t index, const char *text,
                              const char *attributes, struct crdt_buf *out)
{
    struct crdt_slice json = slice(attributes ? attributes : "");

    return crdt_text_insert(doc, CLIENT, crdt_root("t", 1), index, text, strlen(text),
                            attributes ? &json : NULL, out);
}

static inline int text_delete(struct crdt_doc *doc, uint64_t index, uint64_t len,
                              struct crdt_buf *out)
{
    return crdt_text_delete(doc, crdt_root("t", 1), index, len, out);
}

static inline int text_format(struct crdt_doc *doc, uint64_t index, uint64_t len,
                              const char *attributes, struct crdt_buf *out)
{
    return crdt_text_format(doc, CLIENT, crdt_root("t", 1), index, len, slice(attributes), out);
}

static inline int text_become(struct crdt_doc *doc, const char *text, struct crdt_buf *out)
{
    return crdt_text_become(doc, CLIENT, crdt_root("t", 1), text, strlen(text), out);
}

static inline int map_set(struct crdt_doc *doc, const char *key, const char *json,
                          struct crdt_buf *out)
{
    return crdt_map_set(doc, CLIENT, crdt_root("m", 1), slice(key), slice(json), out);
}

static inline int map_delete(struct crdt_doc *doc, const char *key, struct crdt_buf *out)
{
    return crdt_map_delete(doc, crdt_root("m", 1), slice(key), out);
}

static inline int array_insert(struct crdt_doc *doc, uint64_t index, const char *json,
                               struct crdt_buf *out)
{
    return crdt_array_insert(doc, CLIENT, crdt_root("l", 1), index, slice(json), out);
}

static inline int array_push(struct crdt_doc *doc, const char *json, struct crdt_buf *out)
{
    return crdt_array_push(doc, CLIENT, crdt_root("l", 1), slice(json), out);
}

static inline int array_delete(struct crdt_doc *doc, uint64_t index, uint64_t len,
                               struct crdt_buf *out)
{
    return crdt_array_delete(doc, crdt_root("l", 1), index, len, out);
}

/* Applies an update that must be good. */
static inline void apply_hex(struct crdt_doc *doc, const char *hex)
{
    struct bytes update = from_hex(hex);

    cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update.data, update.len, NULL), 0);
}

static inline void assert_root(const struct crdt_doc *doc, enum crdt_kind kind, const char *name,
                               const char *expected)
{
    struct crdt_buf out = {0};

    cr_assert_eq(crdt_doc_read(doc, kind, name, strlen(name), &out), 0);
    assert_text(&out, expected);
}
