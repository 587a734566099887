/*
 * Memory runs out at each allocation in turn: the call says so, the document stays as it was, and
 * the same call succeeds when there is memory again.
 */
#include <errno.h>

#include "crdt/text_units.h"
#include "edits.h"
#include "failing_malloc.h"

/* A history with everything that takes memory: text with a split pair, marks, nested types, maps,
 * deletes of types, and structs and deletes which wait and are then taken up. */
static const struct {
    enum crdt_format format;
    const char *hex;
} history[] = {
    {CRDT_V1, "01010100040101740661f09f98806200"},
    {CRDT_V1, "01010104c401010102015800"},
    {CRDT_V1, "010105054601000131077b2261223a317dc60105010004626f6c640474727565840104016184010a017a"
              "84010b017900"},
    {CRDT_V1, "010103004401000162010109020303"},
    {CRDT_V1, "010201000701016c00880100017d0700"},
    {CRDT_V1, "010204000701016c00880400017d0700"},
    {CRDT_V1, "0102040207000400018804020177017800"},
    {CRDT_V1, "0101040428000402016b0177017600"},
    {CRDT_V1, "0101050028000402046c617465017d0100"},
    {CRDT_V1, "0001040200010203"},
    {CRDT_V1, "01010602c406010100015a00"},
    {CRDT_V1, "01010700c4060201000171010601 0203"},
    {CRDT_V1, "01010600040101740577616974 7300"},
    {CRDT_V2, "0003000300024204050100040204000b0700280007000600840086130d787063626f6c646869626f6c64"
              "41010204030100000203060101010600770164787e00"},
};

#define UPDATES (sizeof(history) / sizeof(history[0]))

static void encode(const struct crdt_doc *doc, struct crdt_buf *out)
{
    out->len = 0;
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, out), 0);
}

static int apply(struct crdt_doc *doc, size_t index)
{
    struct bytes update = from_hex(history[index].hex);

    return crdt_doc_apply(doc, history[index].format, update.data, update.len, NULL);
}

static void ignore_units(void *ctx, const struct crdt_units *units)
{
    (void)ctx;
    (void)units;
}

/* While somebody follows the text. */
static int apply_watched(struct crdt_doc *doc, size_t index)
{
    struct bytes update = from_hex(history[index].hex);

    return crdt_doc_apply_units(doc, history[index].format, slice_of(&update), slice("t"),
                                ignore_units, NULL, NULL);
}

static int ask(struct crdt_doc *doc, size_t index)
{
    struct bytes update = from_hex(history[index].hex);
    bool has;

    return crdt_doc_has(doc, history[index].format, update.data, update.len, &has);
}

typedef int (*call_fn)(struct crdt_doc *doc, size_t index);

/* Applies one update, or asks for it, with less and less missing; the reference has it already. */
static void call_under_pressure(struct crdt_doc *doc, size_t index, call_fn call)
{
    struct crdt_buf before = {0}, after = {0};
    int r = -ENOMEM;

    encode(doc, &before);
    for (long n = 0; r != 0; n++) {
        allocations_left = n;
        r = call(doc, index);
        allocations_left = -1;
        if (r == 0)
            break;
        cr_assert_eq(r, -ENOMEM, "update %zu, allocation %ld: %d", index, n, r);
        encode(doc, &after);
        cr_assert(before.len == after.len && !memcmp(before.data, after.data, before.len),
                  "update %zu, allocation %ld", index, n);
    }
    crdt_buf_done(&before);
    crdt_buf_done(&after);
}

static void run_history(call_fn call)
{
    struct crdt_doc *doc = crdt_doc_new(NULL), *reference = crdt_doc_new(NULL);
    struct crdt_buf expected = {0}, got = {0};

    for (size_t i = 0; i < UPDATES; i++) {
        int r = apply(reference, i);

        cr_assert(r == 0 || r == -EBADMSG, "update %zu: %d", i, r);
        if (r == 0) {
            call_under_pressure(doc, i, ask);
            call_under_pressure(doc, i, call);
        }
        encode(reference, &expected);
        encode(doc, &got);
        cr_assert(expected.len == got.len && !memcmp(expected.data, got.data, got.len),
                  "update %zu", i);
    }
    crdt_buf_done(&expected);
    crdt_buf_done(&got);
    crdt_doc_free(doc);
    crdt_doc_free(reference);
}

Test(memory, a_failed_update_leaves_no_trace)
{
    run_history(apply);
    run_history(apply_watched);
}

/* Done, or out of memory without a result. */
static void check_result(int r, struct crdt_buf *out)
{
    allocations_left = -1;
    cr_assert(r == 0 || (r == -ENOMEM && out->len == 0), "%d", r);
    crdt_buf_done(out);
    *out = (struct crdt_buf){0};
}

Test(memory, encoding_and_reading_fail_cleanly)
{
    static const enum crdt_kind kinds[] = {CRDT_KIND_TEXT, CRDT_KIND_DELTA, CRDT_KIND_MAP,
                                           CRDT_KIND_ARRAY, CRDT_KIND_XML};
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    for (size_t i = 0; i < UPDATES; i++)
        (void)!apply(doc, i);
    for (int format = CRDT_V1; format <= CRDT_V2; format++) {
        int r = -ENOMEM;

        for (long n = 0; r != 0; n++) {
            allocations_left = n;
            r = crdt_doc_encode(doc, (enum crdt_format)format, NULL, 0, &out);
            check_result(r, &out);
        }
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        int r = -ENOMEM;

        for (long n = 0; r != 0; n++) {
            allocations_left = n;
            r = crdt_doc_read(doc, kinds[i], i < 3 ? "t" : "l", 1, &out);
            check_result(r, &out);
        }
    }
    crdt_doc_free(doc);
}

static int edit_plainly(struct crdt_doc *doc, struct crdt_buf *out)
{
    return text_insert(doc, 0, "some text", NULL, out);
}

static int insert_marked(struct crdt_doc *doc, struct crdt_buf *out)
{
    return text_insert(doc, 4, " and \xf0\x9f\x98\x80", "{\"b\":{\"x\":1},\"1\":[true]}", out);
}

static int insert_between(struct crdt_doc *doc, struct crdt_buf *out)
{
    return text_insert(doc, 6, "inherited", NULL, out);
}

static int format(struct crdt_doc *doc, struct crdt_buf *out)
{
    return text_format(doc, 2, 12, "{\"b\":{\"x\":1},\"i\":\"y\"}", out);
}

static int delete_some(struct crdt_doc *doc, struct crdt_buf *out)
{
    return text_delete(doc, 2, 9, out);
}

static int become(struct crdt_doc *doc, struct crdt_buf *out)
{
    return text_become(doc, "another text, and more", out);
}

static int set_value(struct crdt_doc *doc, struct crdt_buf *out)
{
    return map_set(doc, "key", "{\"a\":[1,2,{\"9\":null,\"8\":\"\\n\"}]}", out);
}

static int delete_value(struct crdt_doc *doc, struct crdt_buf *out)
{
    return map_delete(doc, "key", out);
}

static int insert_values(struct crdt_doc *doc, struct crdt_buf *out)
{
    return array_insert(doc, 0, "[1,\"two\",[3]]", out);
}

static int push_values(struct crdt_doc *doc, struct crdt_buf *out)
{
    return array_push(doc, "[4]", out);
}

/* With the types inside of it. */
static int delete_values(struct crdt_doc *doc, struct crdt_buf *out)
{
    return array_delete(doc, 1, 3, out);
}

static int (*const edits[])(struct crdt_doc *doc, struct crdt_buf *out) = {
    edit_plainly, edit_plainly, insert_marked, insert_between, format,      delete_some,   become,
    set_value,    set_value,    delete_value,  insert_values,  push_values, delete_values,
};

Test(memory, a_failed_edit_leaves_no_trace, .timeout = 120)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf before = {0}, after = {0}, out = {0};

    /* l = [Map{k: Array[]}] */
    apply_hex(doc, "01 02 02 00 07 01 01 6c 01 27 00 0200 01 6b 00 00");
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        int r = -ENOMEM;

        encode(doc, &before);
        for (long n = 0; r != 0; n++) {
            cr_assert_lt(n, 10000);
            allocations_left = n;
            r = edits[i](doc, &out);
            check_result(r, &out);
            encode(doc, &after);
            cr_assert((r == 0) !=
                          (before.len == after.len && !memcmp(before.data, after.data, before.len)),
                      "edit %zu, allocation %ld", i, n);
        }
    }
    assert_root(doc, CRDT_KIND_TEXT, "t", "another text, and more");
    assert_root(doc, CRDT_KIND_MAP, "m", "{}");
    assert_root(doc, CRDT_KIND_ARRAY, "l", "[1,4]");
    crdt_buf_done(&before);
    crdt_buf_done(&after);
    crdt_doc_free(doc);
}
