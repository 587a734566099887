/*
 * fuzz: what the fuzz targets share. A target is LLVMFuzzerTestOneInput() in a file of its own; the
 * same file is linked to libFuzzer to look for inputs, and to replay.c to run those in corpus/ as a
 * test.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crdt/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process, for libFuzzer to keep the input. Unlike assert() not to be switched off. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Small enough that no input takes long, large enough that the limits are not all that is found. */
static const struct crdt_limits fuzz_limits = {
    .structs = 4096,
    .clients = 1024,
    .nesting = 32,
    .output_bytes = 1u << 20,
    .pending_bytes = 1u << 18,
};

static inline struct crdt_slice slice_of_buf(const struct crdt_buf *buf)
{
    return (struct crdt_slice){buf->data, buf->len};
}

static inline bool is_equal(const struct crdt_buf *a, const struct crdt_buf *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* Up to `len` bytes off the front of `rest`. They are copied, so that reading beyond them is found;
 * the caller frees `ret_copy->data`. */
static inline void take_copy(struct crdt_slice *rest, size_t len, struct crdt_slice *ret_copy)
{
    if (len > rest->len)
        len = rest->len;
    uint8_t *copy = malloc(len ? len : 1);
    CHECK(copy);
    if (len > 0)
        memcpy(copy, rest->data, len);
    *ret_copy = (struct crdt_slice){copy, len};
    *rest = (struct crdt_slice){rest->data + len, rest->len - len};
}

static inline void free_slice(struct crdt_slice *slice)
{
    free((void *)(uintptr_t)slice->data);
}

/* A part of an input: two bytes of length, little-endian, and the bytes. All of the rest if it is
 * shorter. */
static inline void take_part(struct crdt_slice *rest, struct crdt_slice *ret_part)
{
    size_t len = 0;
    for (unsigned shift = 0; shift < 16 && rest->len > 0; shift += 8) {
        len |= (size_t)rest->data[0] << shift;
        *rest = (struct crdt_slice){rest->data + 1, rest->len - 1};
    }
    take_copy(rest, len, ret_part);
}

static inline uint8_t take_byte(struct crdt_slice *rest)
{
    if (rest->len == 0)
        return 0;
    uint8_t byte = rest->data[0];
    *rest = (struct crdt_slice){rest->data + 1, rest->len - 1};
    return byte;
}

static inline enum crdt_format take_format(struct crdt_slice *rest)
{
    return take_byte(rest) % 2 ? CRDT_V2 : CRDT_V1;
}

static inline struct crdt_doc *new_doc(void)
{
    struct crdt_doc *doc = crdt_doc_new(&fuzz_limits);
    CHECK(doc);
    return doc;
}

/* A document made of one update that must be good. */
static inline struct crdt_doc *load_doc(enum crdt_format format, const struct crdt_buf *update)
{
    struct crdt_doc *doc = new_doc();
    CHECK(crdt_doc_apply(doc, format, update->data, update->len, NULL) == 0);
    return doc;
}

/* Whether the document as an update is within the limits. Replaces what `out` held. */
static inline bool encode_doc(const struct crdt_doc *doc, enum crdt_format format,
                              struct crdt_buf *out)
{
    out->len = 0;
    int rc = crdt_doc_encode(doc, format, NULL, 0, out);
    CHECK(rc == 0 || rc == -E2BIG);
    return rc == 0;
}

/* Do both hold the same, as far as the limits let one see it? Values keep the bytes that they came
 * with, so the format is the one that `b` got them in. */
static inline void check_same(const struct crdt_doc *a, const struct crdt_doc *b,
                              enum crdt_format format)
{
    struct crdt_buf x = {0}, y = {0};
    if (encode_doc(a, format, &x) && encode_doc(b, format, &y))
        CHECK(is_equal(&x, &y));
    crdt_buf_done(&x);
    crdt_buf_done(&y);
}

/*
 * Structs can be so odd that Yjs does not keep its promises for them, and neither do we, for we do
 * as it does. A struct without length is added again each time that it comes last of its client,
 * and lost where it waits or is merged.
 */
static inline bool has_empty_struct(enum crdt_format format, const uint8_t *update, size_t len)
{
    struct crdt_reader *r;
    struct crdt_struct s;
    bool has_empty = false;
    if (crdt_reader_new(format, update, len, &fuzz_limits, &r) < 0)
        return false;
    while (crdt_reader_struct(r, &s) > 0)
        has_empty |= s.len == 0;
    crdt_reader_free(r);
    return has_empty;
}

static inline bool is_sound_struct(const struct crdt_struct *s)
{
    const uint8_t both = CRDT_INFO_ORIGIN | CRDT_INFO_RIGHT_ORIGIN;
    if (s->len == 0 || s->info & CRDT_INFO_PARENT_SUB || crdt_struct_ref(s) == CRDT_REF_TYPE ||
        crdt_struct_ref(s) == CRDT_REF_GC)
        return false;
    if ((s->info & both) == both && s->origin.client == s->right_origin.client &&
        s->right_origin.clock <= s->origin.clock)
        return false;
    return s->parent == CRDT_PARENT_IMPLIED ||
           (s->parent == CRDT_PARENT_ROOT && s->parent_name.len == 1 &&
            s->parent_name.data[0] == 't');
}

/*
 * Is it certain that everything which is promised holds of this update? Neighbours in different
 * types, a right origin left of the origin, keys whose value is of several units: there the result
 * depends on how the content is cut into structs at the time, so that Yjs, and we with it, make
 * another document each time that one is written and read. It takes a document to find out about
 * them; certain is only what lies in one root text.
 */
static inline bool is_sound(enum crdt_format format, struct crdt_slice update)
{
    struct crdt_reader *r;
    struct crdt_struct s;
    bool is_fine = true;
    int rc = crdt_reader_new(format, update.data, update.len, &fuzz_limits, &r);
    if (rc < 0)
        return false;
    while ((rc = crdt_reader_struct(r, &s)) > 0)
        is_fine &= is_sound_struct(&s);
    crdt_reader_free(r);
    return is_fine && rc == 0;
}

/* An update refused by one of the functions of the library, and how. */
static inline void check_refusal(int rc)
{
    CHECK(rc == -EBADMSG || rc == -E2BIG);
}
