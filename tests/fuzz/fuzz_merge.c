/*
 * Input: the format, then either updates, each with its length, or a script of edits. Hostile
 * updates need not give one document whatever their order, so of those only the merge itself is
 * checked; the updates of a script are sound, and there merging them, or applying one after the
 * other in any order, is the same.
 */
#include "fuzz.h"

#define MAX_UPDATES  12
#define MAX_REPLICAS 3

/* ---- updates of the input ---- */

static void check_merge(enum crdt_format format, const struct crdt_slice *updates, size_t count)
{
    struct crdt_buf merged = {0}, again = {0}, sv = {0};
    int rc = crdt_update_merge(format, updates, count, &fuzz_limits, &merged);
    bool are_valid = true;
    for (size_t i = 0; i < count; i++)
        are_valid &=
            crdt_update_validate(format, updates[i].data, updates[i].len, &fuzz_limits) == 0;
    if (rc < 0) {
        check_refusal(rc);
        CHECK(merged.len == 0);
        CHECK(!are_valid || rc == -E2BIG);
    } else {
        struct crdt_slice twice[2] = {slice_of_buf(&merged), slice_of_buf(&merged)};
        CHECK(are_valid);
        CHECK(crdt_update_state_vector(format, twice[0], &fuzz_limits, &sv) == 0);
        CHECK(crdt_update_validate(format, merged.data, merged.len, &fuzz_limits) == 0);
        rc = crdt_update_merge(format, twice, 2, &fuzz_limits, &again);
        CHECK(rc == 0 || rc == -E2BIG);
        if (rc == 0 && count > 1 && !has_empty_struct(format, merged.data, merged.len))
            CHECK(is_equal(&merged, &again));
    }
    crdt_buf_done(&merged);
    crdt_buf_done(&again);
    crdt_buf_done(&sv);
}

static void merge_parts(enum crdt_format format, struct crdt_slice rest)
{
    struct crdt_slice updates[MAX_UPDATES] = {0};
    size_t count = 0;
    while (rest.len > 0 && count < MAX_UPDATES)
        take_part(&rest, &updates[count++]);
    check_merge(format, updates, count);
    for (size_t i = 0; i < count; i++)
        free_slice(&updates[i]);
}

/* ---- updates of a script ---- */

struct history {
    struct crdt_doc *replicas[MAX_REPLICAS];
    struct crdt_buf updates[MAX_UPDATES]; /* v1 */
    size_t count;
};

static const char *const texts[] = {"a", "bcd", "\xc3\xa9", "\xf0\x9f\x98\x80",
                                    "x\xf0\x9f\x98\x80"};

static void edit(struct history *h, struct crdt_slice *script)
{
    uint8_t what = take_byte(script), where = take_byte(script);
    size_t replica = what % MAX_REPLICAS;
    struct crdt_doc *doc = h->replicas[replica];
    struct crdt_buf *out = &h->updates[h->count];
    int rc;
    if (what & 0x40) {
        rc = crdt_text_delete(doc, crdt_root("t", 1), where % 8, where / 8 % 8, out);
    } else {
        const char *text = texts[where % (sizeof(texts) / sizeof(texts[0]))];
        rc = crdt_text_insert(doc, replica + 1, crdt_root("t", 1), where / 16, text, strlen(text),
                              NULL, out);
    }
    CHECK(rc == 0 || rc == -ERANGE);
    if (rc == 0)
        h->count++;
    if (rc == 0 && what & 0x80) /* and another one hears of it */
        CHECK(crdt_doc_apply(h->replicas[(replica + 1) % MAX_REPLICAS], CRDT_V1, out->data,
                             out->len, NULL) == 0);
}

/* All updates from `first` on and then those before it, each as it is in `format`. */
static struct crdt_doc *apply_all(const struct history *h, enum crdt_format format, size_t first)
{
    struct crdt_doc *doc = new_doc();
    struct crdt_buf converted = {0};
    for (size_t i = 0; i < h->count; i++) {
        struct crdt_slice update = slice_of_buf(&h->updates[(first + i) % h->count]);
        converted.len = 0;
        CHECK(crdt_update_convert(CRDT_V1, update, format, &fuzz_limits, &converted) == 0);
        CHECK(crdt_doc_apply(doc, format, converted.data, converted.len, NULL) == 0);
    }
    CHECK(!crdt_doc_has_pending(doc));
    crdt_buf_done(&converted);
    return doc;
}

/* The same by way of a merge of some of them with a merge of the others. */
static struct crdt_doc *merge_all(const struct history *h, uint8_t choice)
{
    struct crdt_slice sides[2][MAX_UPDATES], merged[2];
    size_t counts[2] = {0};
    struct crdt_buf bufs[3] = {0};
    for (size_t i = 0; i < h->count; i++) {
        size_t side = choice >> (i % 8) & 1;
        sides[side][counts[side]++] = slice_of_buf(&h->updates[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        CHECK(crdt_update_merge(CRDT_V1, sides[i], counts[i], &fuzz_limits, &bufs[i]) == 0);
        merged[i] = slice_of_buf(&bufs[i]);
    }
    CHECK(crdt_update_merge(CRDT_V1, merged, 2, &fuzz_limits, &bufs[2]) == 0);
    struct crdt_doc *doc = load_doc(CRDT_V1, &bufs[2]);
    for (size_t i = 0; i < 3; i++)
        crdt_buf_done(&bufs[i]);
    return doc;
}

static void run_script(enum crdt_format format, struct crdt_slice script)
{
    struct history h = {0};
    uint8_t choice = take_byte(&script);
    for (size_t i = 0; i < MAX_REPLICAS; i++)
        h.replicas[i] = new_doc();
    while (script.len > 0 && h.count < MAX_UPDATES)
        edit(&h, &script);
    struct crdt_doc *one_by_one = apply_all(&h, format, 0);
    struct crdt_doc *turned = apply_all(&h, format, choice);
    struct crdt_doc *merged = merge_all(&h, choice);
    check_same(one_by_one, turned, CRDT_V1);
    check_same(one_by_one, merged, CRDT_V1);
    crdt_doc_free(one_by_one);
    crdt_doc_free(turned);
    crdt_doc_free(merged);
    for (size_t i = 0; i < MAX_REPLICAS; i++)
        crdt_doc_free(h.replicas[i]);
    for (size_t i = 0; i < MAX_UPDATES; i++)
        crdt_buf_done(&h.updates[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size};
    uint8_t mode = take_byte(&rest);
    enum crdt_format format = mode % 2 ? CRDT_V2 : CRDT_V1;
    if (mode / 2 % 2)
        run_script(format, rest);
    else
        merge_parts(format, rest);
    return 0;
}
