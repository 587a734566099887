/* fuzz_update: one update, hostile, in a document. The targets of both formats are this. */
#pragma once

#include "fuzz.h"

/* All that can be read out of a document. The names are those that make_corpus.mjs uses. */
static inline void read_everything(const struct crdt_doc *doc)
{
    static const char *const roots[] = {"", "t", "text", "rich", "map", "list", "xml"};
    static const enum crdt_kind kinds[] = {CRDT_KIND_TEXT, CRDT_KIND_DELTA, CRDT_KIND_MAP,
                                           CRDT_KIND_ARRAY, CRDT_KIND_XML};
    struct crdt_buf out = {0};
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            out.len = 0;
            int rc = crdt_doc_read(doc, kinds[k], roots[i], strlen(roots[i]), &out);
            CHECK(rc == 0 || rc == -E2BIG);
        }
    }
    crdt_buf_done(&out);
}

/* What a document gives out makes a document of the same clocks; `is_exact`: the same document. */
static inline void check_round_trip(const struct crdt_doc *doc, enum crdt_format format,
                                    bool is_exact)
{
    struct crdt_buf update = {0}, sv = {0}, copy_sv = {0};
    if (encode_doc(doc, format, &update)) {
        CHECK(crdt_update_validate(format, update.data, update.len, &fuzz_limits) == 0);
        struct crdt_doc *copy = load_doc(format, &update);
        CHECK(crdt_doc_state_vector(doc, &sv) == 0);
        CHECK(crdt_doc_state_vector(copy, &copy_sv) == 0);
        CHECK(is_equal(&sv, &copy_sv));
        CHECK(crdt_doc_has_pending(copy) == crdt_doc_has_pending(doc));
        if (is_exact)
            check_same(doc, copy, format);
        crdt_doc_free(copy);
    }
    crdt_buf_done(&update);
    crdt_buf_done(&sv);
    crdt_buf_done(&copy_sv);
}

/* The update a second time changes nothing. */
static inline void check_repetition(struct crdt_doc *doc, enum crdt_format format,
                                    struct crdt_slice update)
{
    struct crdt_buf before = {0}, after = {0};
    bool has_before = encode_doc(doc, format, &before);
    CHECK(crdt_doc_apply(doc, format, update.data, update.len, NULL) == 0);
    if (has_before && encode_doc(doc, format, &after))
        CHECK(is_equal(&before, &after));
    crdt_buf_done(&before);
    crdt_buf_done(&after);
}

static inline void fuzz_update(enum crdt_format format, const uint8_t *data, size_t size)
{
    struct crdt_slice update = {data, size};
    struct crdt_doc *doc = new_doc();
    struct crdt_applied applied = {0};
    int verdict = crdt_update_validate(format, data, size, &fuzz_limits);
    int rc = crdt_doc_apply(doc, format, data, size, &applied);
    if (verdict < 0)
        CHECK(rc == verdict);
    if (rc < 0) {
        struct crdt_doc *empty = new_doc();
        check_refusal(rc);
        check_same(doc, empty, format);
        crdt_doc_free(empty);
    } else {
        CHECK(applied.has_pending == crdt_doc_has_pending(doc));
        read_everything(doc);
        if (!has_empty_struct(format, data, size)) {
            /* Not all values have a form in both formats. */
            bool is_exact = is_sound(format, update);
            check_round_trip(doc, CRDT_V1, is_exact && format == CRDT_V1);
            check_round_trip(doc, CRDT_V2, is_exact && format == CRDT_V2);
            check_repetition(doc, format, update);
        }
    }
    crdt_doc_free(doc);
}
