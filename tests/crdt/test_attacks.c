/*
 * Updates made to cost more than they weigh, or to leave something behind. Each is refused, or
 * taken as Yjs takes it, in bounded time; what is refused leaves the document as it was. The linker
 * puts the functions below in place of the allocator's, to see that no number in an update is
 * believed.
 */
#include <errno.h>
#include <stdlib.h>

#include "bytes.h"
#include "crdt/any.h"
#include "crdt/codec.h"
#include "crdt/doc.h"

#define HANG_SECONDS 60 /* sanitized, on a busy machine; what is quadratic takes minutes */

static size_t largest_request;

static void *requested(void *memory, size_t size)
{
    if (size > largest_request)
        largest_request = size;
    return memory;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
    return requested(__real_malloc(size), size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return requested(__real_calloc(count, size), count * size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return requested(__real_realloc(old, size), size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return requested(__real_reallocarray(old, count, size), count * size);
}

/* ---- helpers ---- */

static const char start[] = "01 01 01 00 04 01 01 74 01 61 00";

static int apply_buf(struct crdt_doc *doc, enum crdt_format format, const struct crdt_buf *update)
{
    return crdt_doc_apply(doc, format, update->data, update->len, NULL);
}

static int apply_hex(struct crdt_doc *doc, enum crdt_format format, const char *hex)
{
    struct bytes update = from_hex(hex);

    return crdt_doc_apply(doc, format, update.data, update.len, NULL);
}

static void encode(const struct crdt_doc *doc, enum crdt_format format, struct crdt_buf *out)
{
    out->len = 0;
    cr_assert_eq(crdt_doc_encode(doc, format, NULL, 0, out), 0);
}

static void assert_doc(const struct crdt_doc *doc, const char *hex, const char *what)
{
    struct crdt_buf out = {0};

    encode(doc, CRDT_V1, &out);
    assert_buf(&out, hex, what);
}

static struct crdt_doc *new_doc(const struct crdt_limits *limits)
{
    struct crdt_doc *doc = crdt_doc_new(limits);

    cr_assert(doc);
    return doc;
}

/* Writes an update: `count` structs of client 1, made by `fn`. */
static void make_update(enum crdt_format format, uint64_t count,
                        void (*fn)(uint64_t i, struct crdt_struct *s), struct crdt_buf *out)
{
    struct crdt_writer *w = crdt_writer_new(format, NULL);
    uint64_t clock = 0;

    cr_assert(w);
    for (uint64_t i = 0; i < count; i++) {
        struct crdt_struct s = {.id = {1, clock}, .len = 1};

        fn(i, &s);
        crdt_writer_append(w, &s, 0);
        clock = s.id.clock + s.len;
    }
    crdt_writer_deletes(w, 0);
    cr_assert_eq(crdt_writer_finish(w, out), 0);
    crdt_writer_free(w);
}

static void chain_of_types(uint64_t i, struct crdt_struct *s)
{
    s->info = CRDT_REF_TYPE;
    s->parent = CRDT_PARENT_ROOT;
    s->parent_name = (struct crdt_slice){(const uint8_t *)"l", 1};
    if (i > 0) {
        s->info |= CRDT_INFO_ORIGIN;
        s->parent = CRDT_PARENT_IMPLIED;
        s->origin = (struct crdt_id){1, i - 1};
    }
}

static void nested_types(uint64_t i, struct crdt_struct *s)
{
    chain_of_types(0, s);
    if (i > 0) {
        s->parent = CRDT_PARENT_ITEM;
        s->parent_id = (struct crdt_id){1, i - 1};
    }
}

/* ---- amplification ---- */

Test(attacks, endless_runs_are_refused)
{
    static const char bomb[] = "00010000000001000100010200001602000001fdffffffff7f0000";
    struct bytes update = from_hex(bomb);
    struct crdt_slice twice[2] = {slice_of(&update), slice_of(&update)};
    struct crdt_doc *doc = new_doc(NULL);
    struct crdt_buf out = {0};

    cr_assert_lt(crdt_update_validate(CRDT_V2, update.data, update.len, NULL), 0);
    cr_assert_lt(crdt_update_merge(CRDT_V2, twice, 2, NULL, &out), 0);
    cr_assert_lt(crdt_update_diff(CRDT_V2, twice[0], (struct crdt_slice){0}, NULL, &out), 0);
    cr_assert_lt(crdt_update_convert(CRDT_V2, twice[0], CRDT_V1, NULL, &out), 0);
    cr_assert_lt(crdt_update_state_vector(CRDT_V2, twice[0], NULL, &out), 0);
    cr_assert_lt(apply_hex(doc, CRDT_V2, bomb), 0);
    cr_assert_eq(out.len, 0);
    assert_doc(doc, "0000", "nothing");
    cr_assert_lt(largest_request, 1u << 20);
    crdt_doc_free(doc);
}

/* That many structs in so few bytes are in order: it is the structs that are limited. */
Test(attacks, many_structs_in_few_bytes_are_taken)
{
    const uint64_t count = 100000;
    struct crdt_buf update = {0}, whole = {0};
    struct crdt_limits few = {.structs = 99999};
    struct crdt_doc *doc = new_doc(NULL), *limited = new_doc(&few);
    struct crdt_stats stats;

    make_update(CRDT_V2, count, chain_of_types, &update);
    cr_assert_lt(update.len, 436);
    cr_assert_eq(apply_buf(doc, CRDT_V2, &update), 0);
    crdt_doc_stats(doc, &stats);
    cr_assert_eq(stats.structs, count);
    encode(doc, CRDT_V1, &whole);
    cr_assert_gt(whole.len, 5 * count);
    encode(doc, CRDT_V2, &whole);
    cr_assert(whole.len == update.len && !memcmp(whole.data, update.data, whole.len));

    cr_assert_eq(apply_buf(limited, CRDT_V2, &update), -E2BIG);
    assert_doc(limited, "0000", "nothing");
    crdt_buf_done(&update);
    crdt_buf_done(&whole);
    crdt_doc_free(doc);
    crdt_doc_free(limited);
}

/* The output of a key that is named again and again is limited, too. */
Test(attacks, output_is_limited)
{
    struct crdt_limits limits = {.output_bytes = 100000};
    struct crdt_buf update = {0}, out = {0};
    struct crdt_doc *doc = new_doc(&limits);

    make_update(CRDT_V2, 100000, chain_of_types, &update);
    cr_assert_eq(crdt_update_convert(CRDT_V2, (struct crdt_slice){update.data, update.len}, CRDT_V1,
                                     &limits, &out),
                 -E2BIG);
    cr_assert_eq(apply_buf(doc, CRDT_V2, &update), 0);
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &out), -E2BIG);
    cr_assert_eq(out.len, 0);
    crdt_buf_done(&update);
    crdt_doc_free(doc);
}

static const struct {
    const char *what;
    enum crdt_format format;
    const char *update;
} announcements[] = {
    {"clients", CRDT_V1, "ff ff ff ff ff ff ff 0f 01 01 00 00 01 00"},
    {"structs", CRDT_V1, "01 ff ff ff ff ff ff ff 0f 01 00 00 01 00"},
    {"a string", CRDT_V1, "01 01 01 00 04 01 01 74 ff ff ff ff ff ff ff 0f 61 00"},
    {"a root's name", CRDT_V1, "01 01 01 00 04 01 ff ff ff ff ff ff ff 0f 74 01 61 00"},
    {"values", CRDT_V1, "01 01 01 00 08 01 01 6c ff ff ff ff 0f 7e 00"},
    {"old JSON", CRDT_V1, "01 01 01 00 02 01 01 6c ff ff ff ff 0f 01 31 00"},
    {"members", CRDT_V1, "01 01 01 00 08 01 01 6c 01 76 ff ff ff ff ff ff ff 0f 01 61 7e 00"},
    {"elements", CRDT_V1, "01 01 01 00 08 01 01 6c 01 75 ff ff ff ff ff ff ff 0f 7e 00"},
    {"bytes", CRDT_V1, "01 01 01 00 03 01 01 6c ff ff ff ff ff ff ff 0f 00"},
    {"clients of deletes", CRDT_V1, "00 ff ff ff ff ff ff ff 0f 01 01 00 01"},
    {"deletes", CRDT_V1, "00 01 01 ff ff ff ff ff ff ff 0f 00 01"},
    {"a column", CRDT_V2, "00 ff ff ff ff ff ff ff 0f 00 00 00 00 01 00 00 00 00 00 00"},
    {"the strings", CRDT_V2, "00 00 00 00 00 00 09 ff ff ff ff ff ff ff 0f 61 00 00 00 00 00"},
    {"structs without bytes", CRDT_V2,
     "00 00 01 01 00 00 01 00 01 00 00 00 01 05 "
     "01 ff ff ff ff ff ff ff 0f 00 00"},
};

Test(attacks, announced_sizes_are_not_believed)
{
    for (size_t i = 0; i < sizeof(announcements) / sizeof(announcements[0]); i++) {
        struct crdt_doc *doc = new_doc(NULL);

        cr_assert_eq(apply_hex(doc, CRDT_V1, start), 0);
        cr_assert_lt(apply_hex(doc, announcements[i].format, announcements[i].update), 0, "%s",
                     announcements[i].what);
        assert_doc(doc, start, announcements[i].what);
        crdt_doc_free(doc);
    }
    cr_assert_lt(largest_request, 1u << 20);
}

Test(attacks, announced_sizes_of_state_vectors_are_not_believed)
{
    static const char *const vectors[] = {"ff ff ff ff ff ff ff 0f 01 01", "05 01 01",
                                          "ff ff 3f 01 01 02 02"};
    struct crdt_doc *doc = new_doc(NULL);
    struct crdt_buf out = {0};

    cr_assert_eq(apply_hex(doc, CRDT_V1, start), 0);
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct bytes sv = from_hex(vectors[i]), update = from_hex(start);

        cr_assert_lt(crdt_doc_encode(doc, CRDT_V1, sv.data, sv.len, &out), 0);
        cr_assert_lt(crdt_update_diff(CRDT_V1, slice_of(&update), slice_of(&sv), NULL, &out), 0);
        cr_assert_eq(out.len, 0);
    }
    cr_assert_lt(largest_request, 1u << 20);
    crdt_doc_free(doc);
}

/* ---- numbers at their ends ---- */

static const struct {
    const char *what;
    const char *update;
} too_large[] = {
    {"a client of 2^53", "01 01 80 80 80 80 80 80 80 10 00 04 01 01 74 01 61 00"},
    {"a client of 2^60", "01 01 80 80 80 80 80 80 80 80 10 00 04 01 01 74 01 61 00"},
    {"a clock of 2^32", "01 01 02 80 80 80 80 10 04 01 01 74 01 61 00"},
    {"a length of 2^32", "01 01 02 00 00 80 80 80 80 10 00"},
    {"a length of 2^53 - 1", "01 01 02 00 01 01 01 74 ff ff ff ff ff ff ff 0f 00"},
    {"a Skip of 2^53 - 1", "01 02 02 00 0a ff ff ff ff ff ff ff 0f 00 01 00"},
    {"clocks that add up", "01 02 02 00 00 ff ff ff ff 0f 00 01 00"},
    {"an origin of 2^32", "01 01 02 00 84 01 80 80 80 80 10 01 61 00"},
    {"a right origin of 2^32", "01 01 02 00 44 01 80 80 80 80 10 01 61 00"},
    {"a parent of 2^32", "01 01 02 00 04 00 01 80 80 80 80 10 01 61 00"},
    {"a delete of 2^32", "00 01 01 01 00 80 80 80 80 10"},
    {"a delete that ends too late", "00 01 01 01 01 ff ff ff ff 0f"},
};

Test(attacks, clocks_are_32_bits_and_clients_53)
{
    for (size_t i = 0; i < sizeof(too_large) / sizeof(too_large[0]); i++) {
        struct crdt_doc *doc = new_doc(NULL);

        cr_assert_eq(apply_hex(doc, CRDT_V1, start), 0);
        cr_assert_eq(apply_hex(doc, CRDT_V1, too_large[i].update), -EBADMSG, "%s",
                     too_large[i].what);
        assert_doc(doc, start, too_large[i].what);
        crdt_doc_free(doc);
    }
}

/* All clocks of a client in one struct: it can write no more, and nothing else suffers. */
Test(attacks, a_client_may_use_up_its_clocks)
{
    static const char all[] = "01 01 05 00 00 ff ff ff ff 0f 00";
    struct crdt_doc *doc = new_doc(NULL), *copy = new_doc(NULL);
    struct crdt_buf out = {0};

    cr_assert_eq(apply_hex(doc, CRDT_V1, all), 0);
    cr_assert_eq(apply_hex(doc, CRDT_V1, "00 01 05 01 ff ff ff ff 07 10"), 0);
    cr_assert_eq(crdt_text_insert(doc, 5, crdt_root("t", 1), 0, "x", 1, NULL, NULL), -E2BIG);
    cr_assert_eq(crdt_text_insert(doc, 6, crdt_root("t", 1), 0, "x", 1, NULL, NULL), 0);
    encode(doc, CRDT_V2, &out);
    cr_assert_eq(apply_buf(copy, CRDT_V2, &out), 0);
    assert_doc(copy,
               "02 01 06 00 04 01 01 74 01 78 01 05 00 00 ff ff ff ff 0f "
               "01 05 01 00 ff ff ff ff 0f",
               "all clocks");
    crdt_buf_done(&out);
    crdt_doc_free(doc);
    crdt_doc_free(copy);
}

/* ---- depth ---- */

Test(attacks, nested_types_are_deleted_without_recursion)
{
    const uint64_t depths[] = {6000, 200000};

    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        struct crdt_doc *doc = new_doc(NULL);
        struct crdt_buf update = {0}, json = {0}, out = {0};
        struct crdt_reader *r;
        struct crdt_struct s;

        make_update(CRDT_V2, depths[i], nested_types, &update);
        cr_assert_eq(apply_buf(doc, CRDT_V2, &update), 0);
        cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_ARRAY, "l", 1, &json), -E2BIG);
        cr_assert_eq(json.len, 0);
        cr_assert_eq(apply_hex(doc, CRDT_V1, "00 01 01 01 00 01"), 0);
        encode(doc, CRDT_V1, &out);
        cr_assert_eq(crdt_reader_new(CRDT_V1, out.data, out.len, NULL, &r), 0);
        cr_assert_eq(crdt_reader_struct(r, &s), 1);
        cr_assert_eq(crdt_struct_ref(&s), CRDT_REF_DELETED);
        cr_assert_eq(crdt_reader_struct(r, &s), 1);
        cr_assert(crdt_struct_ref(&s) == CRDT_REF_GC && s.len == depths[i] - 1);
        crdt_reader_free(r);
        crdt_buf_done(&update);
        crdt_buf_done(&out);
        crdt_buf_done(&json);
        crdt_doc_free(doc);
    }
}

/* `depth` times `open`, then `inner`. */
static void nest(struct crdt_buf *out, size_t depth, const char *open, size_t len)
{
    for (size_t i = 0; i < depth; i++)
        lib0_write_bytes(out, open, len);
}

Test(attacks, nested_values_are_limited)
{
    struct crdt_buf any = {0}, json = {0}, out = {0};
    struct crdt_doc *doc = new_doc(NULL);
    struct lib0_reader r;

    nest(&any, 100000, "\x75\x01", 2);
    lib0_write_u8(&any, CRDT_ANY_NULL);
    lib0_reader_init(&r, any.data, any.len);
    cr_assert_eq(crdt_any_skip(&r, UINT32_MAX), -E2BIG);
    lib0_reader_init(&r, any.data, any.len);
    cr_assert_eq(crdt_any_to_json(&r, UINT32_MAX, &out), -E2BIG);

    nest(&json, 100000, "[", 1);
    nest(&json, 100000, "]", 1);
    cr_assert_eq(crdt_json_validate(json.data, json.len, UINT32_MAX), -E2BIG);
    out.len = 0;
    cr_assert_eq(crdt_json_to_any(json.data, json.len, UINT32_MAX, &out), -E2BIG);

    struct bytes head = from_hex("01 01 01 00 08 01 01 6c 01");
    out.len = 0;
    lib0_write_bytes(&out, head.data, head.len);
    lib0_write_bytes(&out, any.data, any.len);
    lib0_write_u8(&out, 0);
    cr_assert_eq(apply_buf(doc, CRDT_V1, &out), -E2BIG);
    assert_doc(doc, "0000", "nothing");
    crdt_buf_done(&any);
    crdt_buf_done(&json);
    crdt_buf_done(&out);
    crdt_doc_free(doc);
}

/* ---- what waits ---- */

/* One more struct of client 9 that waits for what never comes: that of clock 0. */
static int wait_for_ever(struct crdt_doc *doc, uint64_t clock)
{
    struct crdt_buf update = {0};

    lib0_write_bytes(&update, "\x01\x01\x09", 3);
    lib0_write_uint(&update, clock);
    lib0_write_bytes(&update, "\x04\x01\x01t\x05hello\x00", 11);

    int r = apply_buf(doc, CRDT_V1, &update);
    crdt_buf_done(&update);
    return r;
}

Test(attacks, what_waits_is_limited)
{
    struct crdt_limits limits = {.pending_bytes = 1000};
    struct crdt_doc *doc = new_doc(&limits);
    struct crdt_buf before = {0}, after = {0};
    struct crdt_stats stats;
    uint64_t clock = 1;
    int r;

    cr_assert_eq(apply_hex(doc, CRDT_V1, start), 0);
    while ((r = wait_for_ever(doc, clock)) == 0) {
        clock += 10;
        cr_assert_lt(clock, 10000);
        encode(doc, CRDT_V1, &before);
    }
    cr_assert_eq(r, -E2BIG);
    encode(doc, CRDT_V1, &after);
    cr_assert(before.len == after.len && !memcmp(before.data, after.data, before.len));
    crdt_doc_stats(doc, &stats);
    cr_assert_leq(stats.pending_bytes, 1000);

    /* The document is as good as ever, and what waits can be set free. */
    cr_assert_eq(crdt_text_insert(doc, 2, crdt_root("t", 1), 0, "x", 1, NULL, NULL), 0);
    cr_assert_eq(apply_hex(doc, CRDT_V1, "01 01 09 00 00 80 80 01 00"), 0);
    cr_assert_not(crdt_doc_has_pending(doc));
    crdt_buf_done(&before);
    crdt_buf_done(&after);
    crdt_doc_free(doc);
}

/* `count` structs in few bytes, which wait for their client's clock 0. */
static int wait_in_number(struct crdt_doc *doc, uint64_t client, uint64_t count)
{
    struct crdt_writer *w = crdt_writer_new(CRDT_V2, NULL);
    struct crdt_buf update = {0};

    cr_assert(w);
    for (uint64_t i = 1; i <= count; i++) {
        struct crdt_struct s = {.id = {client, i},
                                .len = 1,
                                .info = CRDT_REF_TYPE | CRDT_INFO_ORIGIN,
                                .origin = {client, i - 1}};

        crdt_writer_append(w, &s, 0);
    }
    crdt_writer_deletes(w, 0);
    cr_assert_eq(crdt_writer_finish(w, &update), 0);
    crdt_writer_free(w);

    int r = apply_buf(doc, CRDT_V2, &update);
    crdt_buf_done(&update);
    return r;
}

/* What waits may be set free at once, by an update that is not to blame. */
Test(attacks, structs_that_wait_are_limited)
{
    struct crdt_limits limits = {.structs = 1000};
    struct crdt_doc *doc = new_doc(&limits);
    struct crdt_buf before = {0}, after = {0};

    cr_assert_eq(wait_in_number(doc, 1, 600), 0);
    encode(doc, CRDT_V1, &before);
    cr_assert_eq(wait_in_number(doc, 2, 600), -E2BIG);
    encode(doc, CRDT_V1, &after);
    cr_assert(before.len == after.len && !memcmp(before.data, after.data, before.len));
    cr_assert_eq(wait_in_number(doc, 2, 399), 0);

    cr_assert_eq(apply_hex(doc, CRDT_V1, start), 0);
    cr_assert(crdt_doc_has_pending(doc));
    cr_assert_eq(apply_hex(doc, CRDT_V1, "01 01 02 00 04 01 01 74 01 61 00"), 0);
    cr_assert_not(crdt_doc_has_pending(doc));
    cr_assert_eq(wait_in_number(doc, 3, 600), 0);
    crdt_buf_done(&before);
    crdt_buf_done(&after);
    crdt_doc_free(doc);
}

/* Types and keys are numbered by less than 32 bits. To have so many would take a gigabyte. */
Test(attacks, types_and_keys_are_limited)
{
    struct crdt_doc *doc = new_doc(NULL);

    cr_assert_eq(apply_hex(doc, CRDT_V1, "01 01 01 00 28 01 01 6d 01 6b 01 7e 00"), 0);
    cr_assert(doc->type_count == 1 && doc->entry_count == 2);
    doc->type_count = NO_PLACE - 1;
    cr_assert_eq(apply_hex(doc, CRDT_V1, "01 01 02 00 07 01 01 6e 00 00"), -E2BIG);
    doc->type_count = 1;
    doc->entry_count = NO_PLACE - 1;
    cr_assert_eq(apply_hex(doc, CRDT_V1, "01 01 02 00 28 01 01 6d 01 6c 01 7e 00"), -E2BIG);
    doc->entry_count = 2;
    assert_doc(doc, "01 01 01 00 28 01 01 6d 01 6b 01 7e 00", "as it was");
    cr_assert_eq(apply_hex(doc, CRDT_V1, "01 01 02 00 28 01 01 6e 01 6c 01 7e 00"), 0);
    crdt_doc_free(doc);
}

Test(attacks, deletes_that_wait_are_limited)
{
    struct crdt_limits limits = {.pending_bytes = 1000};
    struct crdt_doc *doc = new_doc(&limits);
    struct crdt_buf update = {0};

    cr_assert_eq(apply_hex(doc, CRDT_V1, start), 0);
    lib0_write_bytes(&update, "\x00\x01\x07", 3);
    lib0_write_uint(&update, 5000);
    for (uint64_t i = 0; i < 5000; i++) {
        lib0_write_uint(&update, 2 * i);
        lib0_write_uint(&update, 1);
    }
    cr_assert_eq(apply_buf(doc, CRDT_V1, &update), -E2BIG);
    assert_doc(doc, start, "unchanged");
    crdt_buf_done(&update);
    crdt_doc_free(doc);
}

/* Ranges that overlap, backwards, in great number, of what is there and of what is not. */
Test(attacks, floods_of_deletes_end_soon, .timeout = HANG_SECONDS)
{
    const uint64_t count = 200000;
    struct crdt_doc *doc = new_doc(NULL);
    struct crdt_buf update = {0};
    char *text = malloc(count);

    cr_assert(text);
    memset(text, 'a', count);
    cr_assert_eq(crdt_text_insert(doc, 1, crdt_root("t", 1), 0, text, count, NULL, NULL), 0);
    lib0_write_bytes(&update, "\x00\x02", 2);
    for (uint64_t client = 1; client <= 2; client++) {
        lib0_write_uint(&update, client);
        lib0_write_uint(&update, count);
        for (uint64_t i = count; i > 0; i--) {
            lib0_write_uint(&update, 2 * i % count);
            lib0_write_uint(&update, i % 3);
        }
    }
    cr_assert_eq(apply_buf(doc, CRDT_V1, &update), 0);
    cr_assert_eq(apply_buf(doc, CRDT_V1, &update), 0);
    crdt_buf_done(&update);
    free(text);
    crdt_doc_free(doc);
}

/* So many items that nothing joins: written from right to left. */
static void write_backwards(struct crdt_buf *update, uint64_t count)
{
    lib0_write_bytes(update, "\x01", 1);
    lib0_write_uint(update, count);
    lib0_write_bytes(update, "\x01\x00\x04\x01\x01t\x01x", 8);
    for (uint64_t clock = 0; clock + 1 < count; clock++) {
        lib0_write_bytes(update, "\x44\x01", 2);
        lib0_write_uint(update, clock);
        lib0_write_bytes(update, "\x01x", 2);
    }
}

static void write_full_ranges(struct crdt_buf *update, uint64_t count, uint64_t len)
{
    lib0_write_bytes(update, "\x01\x01", 2);
    lib0_write_uint(update, count);
    for (uint64_t i = 0; i < count; i++) {
        lib0_write_uint(update, i % 2);
        lib0_write_uint(update, len - i % 2);
    }
}

/* Each range alone costs a walk over all items; also while an empty document is loaded. */
Test(attacks, ranges_that_all_cover_everything_end_soon, .timeout = HANG_SECONDS)
{
    const uint64_t count = 200000;

    for (int at_once = 0; at_once < 2; at_once++) {
        struct crdt_doc *doc = new_doc(NULL);
        struct crdt_buf update = {0}, text = {0};

        write_backwards(&update, count);
        if (!at_once) {
            lib0_write_bytes(&update, "", 1);
            cr_assert_eq(apply_buf(doc, CRDT_V1, &update), 0);
            update.len = 0;
            lib0_write_bytes(&update, "", 1);
        }
        write_full_ranges(&update, count, count);
        cr_assert_eq(apply_buf(doc, CRDT_V1, &update), 0);
        cr_assert_eq(apply_buf(doc, CRDT_V1, &update), 0);
        cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "t", 1, &text), 0);
        cr_assert_eq(text.len, 0);
        crdt_buf_done(&text);
        crdt_buf_done(&update);
        crdt_doc_free(doc);
    }
}

/* ---- one place ---- */

/* Many clients write at one place, each without having heard of the others, the least favourable id
 * first: each of them has to pass all before it. */
Test(attacks, insertions_at_one_place_end_soon, .timeout = HANG_SECONDS)
{
    const uint64_t count = 8000;
    struct crdt_doc *doc = new_doc(NULL);
    struct crdt_buf text = {0};

    cr_assert_eq(apply_hex(doc, CRDT_V1, "01 01 00 00 04 01 01 74 02 6162 00"), 0);
    for (uint64_t client = 1; client <= count; client++) {
        struct crdt_buf update = {0};

        lib0_write_bytes(&update, "\x01\x01", 2);
        lib0_write_uint(&update, client);
        lib0_write_bytes(&update, "\x00\xc4\x00\x00\x00\x01\x01x\x00", 9);
        cr_assert_eq(apply_buf(doc, CRDT_V1, &update), 0);
        crdt_buf_done(&update);
    }
    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "t", 1, &text), 0);
    cr_assert(text.len == count + 2 && text.data[0] == 'a' && text.data[count + 1] == 'b');
    crdt_buf_done(&text);
    crdt_doc_free(doc);
}

/* ---- structs that are here in part ---- */

/* Its first part is in the root "c", and the whole names another root: an index of that one's items
 * knows nothing of the neighbour. */
Test(attacks, the_rest_of_a_struct_is_in_the_list_of_its_start)
{
    struct crdt_path path = crdt_root("t", 1);
    struct crdt_doc *doc = new_doc(NULL);
    struct crdt_buf text = {0};

    cr_assert_eq(apply_hex(doc, CRDT_V1, "01 01 01 00 04 01 01 63 01 61 00"), 0);
    for (uint64_t i = 0; i < 300; i++)
        cr_assert_eq(crdt_text_insert(doc, 3, path, i * 7919 % (i + 1), "x", 1, NULL, NULL), 0);
    cr_assert_eq(crdt_text_insert(doc, 3, path, 7, "y", 1, NULL, NULL), 0);
    cr_assert_eq(crdt_text_insert(doc, 3, path, 250, "y", 1, NULL, NULL), 0);
    cr_assert(doc->positions, "there is an index");
    cr_assert_eq(apply_hex(doc, CRDT_V1, "01 01 01 00 04 01 01 74 02 6162 00"), 0);
    for (uint64_t i = 0; i <= 302; i += 302)
        cr_assert_eq(crdt_text_insert(doc, 3, path, i, "z", 1, NULL, NULL), 0);
    cr_assert_eq(crdt_text_insert(doc, 3, path, 305, "z", 1, NULL, NULL), -ERANGE);
    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "c", 1, &text), 0);
    cr_assert(text.len == 2 && memcmp(text.data, "ab", 2) == 0);
    crdt_buf_done(&text);
    crdt_doc_free(doc);
}

/*
 * The rest of a struct goes in behind what its client made last, but Yjs looks for its origin
 * first, which cuts what was made before. However many items the client has: none is one too many
 * for what was reserved.
 */
Test(attacks, the_rest_of_a_struct_may_cut_what_is_before_it)
{
    for (uint64_t count = 0; count < 400; count++) {
        struct crdt_doc *doc = new_doc(NULL);
        struct crdt_buf update = {0};

        lib0_write_bytes(&update, "\x01", 1);
        lib0_write_uint(&update, count + 1);
        lib0_write_bytes(&update, "\x01\x00", 2);
        for (uint64_t i = 0; i < count; i++) /* a unit, a deleted one: these cannot be joined */
            lib0_write_bytes(&update, i % 2 ? "\x01\x01\x01t\x01" : "\x04\x01\x01t\x01x",
                             i % 2 ? 5 : 6);
        lib0_write_bytes(&update, "\x01\x01\x01u\x09\x00", 6); /* nine deleted ones */
        cr_assert_eq(apply_buf(doc, CRDT_V1, &update), 0);

        update.len = 0; /* what begins with the sixth of them, and something after it */
        lib0_write_bytes(&update, "\x01\x02\x01", 3);
        lib0_write_uint(&update, count + 5);
        lib0_write_bytes(&update, "\x84\x01", 2);
        lib0_write_uint(&update, count + 4);
        lib0_write_bytes(&update,
                         "\x06"
                         "abcdef\x00\x03\x00",
                         10);
        cr_assert_eq(apply_buf(doc, CRDT_V1, &update), 0);
        crdt_buf_done(&update);
        crdt_doc_free(doc);
    }
}

/* ---- strings ---- */

static const struct {
    const char *what;
    enum crdt_format format;
    const char *update;
} no_utf8[] = {
    {"text", CRDT_V1, "01 01 02 00 04 01 01 74 02 c3 28 00"},
    {"an overlong form", CRDT_V1, "01 01 02 00 04 01 01 74 02 c0 80 00"},
    {"a surrogate", CRDT_V1, "01 01 02 00 04 01 01 74 03 ed a0 80 00"},
    {"above U+10FFFF", CRDT_V1, "01 01 02 00 04 01 01 74 04 f4 90 80 80 00"},
    {"cut off", CRDT_V1, "01 01 02 00 04 01 01 74 02 e2 82 00"},
    {"a root", CRDT_V1, "01 01 02 00 04 01 01 80 01 61 00"},
    {"a key", CRDT_V1, "01 01 02 00 28 01 01 6d 01 ff 01 7e 00"},
    {"a mark", CRDT_V1, "01 01 02 00 06 01 01 74 01 ff 04 74727565 00"},
    {"a mark's value", CRDT_V1, "01 01 02 00 06 01 01 74 01 62 03 22 ff 22 00"},
    {"a value", CRDT_V1, "01 01 02 00 08 01 01 6c 01 77 01 ff 00"},
    {"a member's key", CRDT_V1, "01 01 02 00 08 01 01 6c 01 76 01 01 ff 7e 00"},
    {"a guid", CRDT_V1, "01 01 02 00 09 01 01 6d 01 ff 76 00 00"},
    {"a node's name", CRDT_V1, "01 01 02 00 07 01 01 78 03 01 ff 00"},
    {"the strings", CRDT_V2, "00 00 01 02 00 00 01 04 05 02 74 ff 41 00 01 01 00 00 01 01 00 00"},
};

Test(attacks, strings_are_utf8)
{
    for (size_t i = 0; i < sizeof(no_utf8) / sizeof(no_utf8[0]); i++) {
        struct crdt_doc *doc = new_doc(NULL);

        cr_assert_eq(apply_hex(doc, CRDT_V1, start), 0);
        cr_assert_eq(apply_hex(doc, no_utf8[i].format, no_utf8[i].update), -EBADMSG, "%s",
                     no_utf8[i].what);
        assert_doc(doc, start, no_utf8[i].what);
        crdt_doc_free(doc);
    }
}

/* Contents and types that only other implementations know, in either format. */
Test(attacks, unknown_references_are_refused)
{
    for (int ref = 0; ref < 32; ref++) {
        struct crdt_doc *doc = new_doc(NULL);
        char v1[64], v2[96];

        snprintf(v1, sizeof(v1), "01 01 02 00 %02x 01 01 74 07 00 00", ref > 10 ? ref : 7);
        snprintf(v2, sizeof(v2), "00 00 01 02 00 00 01 %02x 03 01 74 01 01 01 01 07 00 01 01 00 00",
                 ref > 10 ? ref : 7);
        cr_assert_eq(apply_hex(doc, CRDT_V1, v1), -EBADMSG, "%s", v1);
        cr_assert_eq(apply_hex(doc, CRDT_V2, v2), -EBADMSG, "%s", v2);
        assert_doc(doc, "0000", v1);
        crdt_doc_free(doc);
    }
}

/* The good part of an update that is bad further on is not taken either. */
Test(attacks, updates_are_taken_whole_or_not)
{
    static const char *const bad_ends[] = {
        "01 02 02 00 04 01 01 74 01 62 0b 01 01 74 01 00 00",
        "02 01 03 00 04 01 01 74 01 62 01 02 00 84 02 00 01 61 00",
        "01 01 02 00 04 01 01 74 01 62 01 01 02 00 01",
        "01 01 02 00 04 01 01 74 01 62 01 01 01 00 80 80 80 80 10",
    };

    for (size_t i = 0; i < sizeof(bad_ends) / sizeof(bad_ends[0]); i++) {
        struct crdt_doc *doc = new_doc(NULL);

        cr_assert_eq(apply_hex(doc, CRDT_V1, start), 0);
        cr_assert_lt(apply_hex(doc, CRDT_V1, bad_ends[i]), 0, "%s", bad_ends[i]);
        assert_doc(doc, start, bad_ends[i]);
        crdt_doc_free(doc);
    }
}
