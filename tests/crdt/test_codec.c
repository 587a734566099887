#include "crdt/codec.h"

#include <errno.h>

#include "bytes.h"
#include "crdt/delete_set.h"
#include "vectors.h"

/* Reads an update and writes it in the format `to`, as it stands. */
static int copy(enum crdt_format from, struct crdt_slice update, enum crdt_format to,
                const struct crdt_limits *limits, struct crdt_buf *out)
{
    struct crdt_reader *r;
    struct crdt_struct s;
    struct crdt_delete_set set = {0};
    int rc = crdt_reader_new(from, update.data, update.len, limits, &r);
    if (rc < 0)
        return rc;
    struct crdt_writer *w = crdt_writer_new(to, limits);
    while ((rc = crdt_reader_struct(r, &s)) > 0)
        crdt_writer_append(w, &s, 0);
    if (rc == 0)
        rc = crdt_delete_set_read(&set, r);
    if (rc == 0) {
        crdt_delete_set_write(&set, w);
        rc = crdt_writer_finish(w, out);
    }
    crdt_delete_set_done(&set);
    crdt_writer_free(w);
    crdt_reader_free(r);
    return rc;
}

static int copy_hex(enum crdt_format from, const char *hex, const struct crdt_limits *limits)
{
    struct bytes b = from_hex(hex);
    struct crdt_buf out = {0};
    int rc = copy(from, slice_of(&b), CRDT_V1, limits, &out);
    crdt_buf_done(&out);
    return rc;
}

Test(codec, copies_the_vectors_from_format_to_format)
{
    for (size_t i = 0; i < VECTORS; i++) {
        struct bytes v1 = from_hex(vectors[i].v1);
        struct crdt_buf same = {0}, v2 = {0}, back = {0};
        cr_assert_eq(copy(CRDT_V1, slice_of(&v1), CRDT_V1, NULL, &same), 0);
        assert_buf(&same, vectors[i].v1, vectors[i].what);
        cr_assert_eq(copy(CRDT_V1, slice_of(&v1), CRDT_V2, NULL, &v2), 0);
        cr_assert_eq(copy(CRDT_V2, (struct crdt_slice){v2.data, v2.len}, CRDT_V1, NULL, &back), 0);
        assert_buf(&back, vectors[i].v1, vectors[i].what);
        if (vectors[i].v2)
            assert_bytes(v2.data, v2.len, vectors[i].v2, vectors[i].what);
        crdt_buf_done(&v2);
    }
}

Test(codec, refuses_every_beginning_of_an_update)
{
    for (size_t i = 0; i < VECTORS; i++) {
        for (int format = CRDT_V1; format <= CRDT_V2; format++) {
            const char *hex = format == CRDT_V1 ? vectors[i].v1 : vectors[i].v2;
            struct bytes b = from_hex(hex ? hex : "");
            for (size_t len = 0; len < b.len; len++) {
                struct crdt_buf out = {0};
                int rc = copy((enum crdt_format)format, (struct crdt_slice){b.data, len}, CRDT_V1,
                              NULL, &out);
                cr_assert_eq(rc, -EBADMSG, "%s, %zu bytes: %d", vectors[i].what, len, rc);
                crdt_buf_done(&out);
            }
        }
    }
}

Test(codec, gives_what_a_struct_holds)
{
    struct bytes b = from_hex(vectors[1].v1);
    struct crdt_reader *r;
    struct crdt_struct s;
    struct crdt_id id;
    uint64_t len;
    cr_assert_eq(crdt_reader_new(CRDT_V1, b.data, b.len, NULL, &r), 0);

    cr_assert_eq(crdt_reader_struct(r, &s), 1);
    cr_assert(s.id.client == 1 && s.id.clock == 0 && s.len == 1);
    cr_assert(crdt_struct_ref(&s) == CRDT_REF_DELETED && s.parent == CRDT_PARENT_ROOT);
    cr_assert(s.parent_name.len == 1 && s.parent_name.data[0] == 't' && !s.parent_sub.data);

    cr_assert_eq(crdt_reader_struct(r, &s), 1);
    cr_assert(s.id.clock == 1 && s.len == 2 && s.info == (CRDT_REF_STRING | CRDT_INFO_ORIGIN));
    cr_assert(s.origin.client == 1 && s.origin.clock == 0 && s.parent == CRDT_PARENT_IMPLIED);
    cr_assert(s.content.bytes.len == 2 && memcmp(s.content.bytes.data, "bc", 2) == 0);

    cr_assert_eq(crdt_reader_struct(r, &s), 1);
    cr_assert(s.info & CRDT_INFO_RIGHT_ORIGIN && s.right_origin.clock == 1);
    cr_assert_eq(crdt_reader_struct(r, &s), 0);
    cr_assert_eq(crdt_reader_struct(r, &s), 0);
    cr_assert_eq(crdt_reader_delete(r, &id, &len), 1);
    cr_assert(id.client == 1 && id.clock == 0 && len == 1);
    cr_assert_eq(crdt_reader_delete(r, &id, &len), 0);
    cr_assert_eq(crdt_reader_delete(r, &id, &len), 0);
    crdt_reader_free(r);
}

Test(codec, ignores_bytes_after_a_v1_update)
{
    cr_assert_eq(copy_hex(CRDT_V1, "0000 ffff", NULL), 0);
    cr_assert_eq(copy_hex(CRDT_V2, "00 00000000000100000000 0000 ffff", NULL), 0);
}

Test(codec, drops_the_flags_of_gc_and_skip)
{
    struct bytes b = from_hex("01 02 07 00 e0 03 ea 04 00");
    struct crdt_buf out = {0};
    cr_assert_eq(copy(CRDT_V1, slice_of(&b), CRDT_V1, NULL, &out), 0);
    assert_buf(&out, "01 02 07 00 00 03 0a 04 00", "flags");
}

Test(codec, refuses_what_yjs_does_not_know)
{
    static const char *const bad[] = {
        "01 01 07 00 0b 01 01 74 01 61 00",             /* reference 11 */
        "01 01 07 00 1f 01 01 74 01 61 00",             /* reference 31 */
        "01 01 07 00 07 01 01 74 07 00",                /* type 7 */
        "01 01 07 00 04 01 01 74 01 ff 00",             /* text is not UTF-8 */
        "01 01 07 00 05 01 01 74 01 7b 00",             /* embed is not JSON */
        "01 01 07 00 06 01 01 74 01 62 00 00",          /* mark without a value */
        "01 01 07 00 02 01 01 74 01 03 6e 75 6c 00",    /* old JSON content */
        "01 01 07 00 08 01 01 74 01 00 00",             /* any of tag 0 */
        "01 01 07 00 09 01 01 6d 01 67 7e 00",          /* subdocument without options */
        "01 01 07 00 00 ff ff ff ff 10 00",             /* length beyond the clocks */
        "01 01 07 ff ff ff ff 0f 00 01 00",             /* end beyond the clocks */
        "01 01 07 ff ff ff ff 10 00 01 00",             /* start beyond the clocks */
        "01 01 07 00 84 08 ff ff ff ff 10 01 61 00",    /* origin beyond the clocks */
        "01 01 ff ff ff ff ff ff ff ff 7f 00 00 01 00", /* client beyond 53 bits */
        "00 01 07 01 ff ff ff ff 0f 01",                /* deletion beyond the clocks */
        "01 05 07 00 00 01 00",                         /* more structs than bytes */
        "00 01 07 05 00 01",                            /* more deletions than bytes */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(copy_hex(CRDT_V1, bad[i], NULL), -EBADMSG, "%s", bad[i]);
}

Test(codec, takes_old_json_content)
{
    static const char v1[] = "01 01 07 00 02 01 01 74 03 09 756e646566696e6564 01 31 02 7b7d 00";
    struct bytes b = from_hex(v1);
    struct crdt_buf v2 = {0}, back = {0};
    cr_assert_eq(copy(CRDT_V1, slice_of(&b), CRDT_V2, NULL, &v2), 0);
    cr_assert_eq(copy(CRDT_V2, (struct crdt_slice){v2.data, v2.len}, CRDT_V1, NULL, &back), 0);
    assert_buf(&back, v1, "JSON");
    crdt_buf_done(&v2);
}

/* Writes one struct of an update from its unit `offset` on. */
static void assert_cut(const char *hex, uint64_t offset, const char *want)
{
    struct bytes b = from_hex(hex);
    struct crdt_buf out = {0};
    struct crdt_reader *r;
    struct crdt_struct s;
    cr_assert_eq(crdt_reader_new(CRDT_V1, b.data, b.len, NULL, &r), 0);
    cr_assert_eq(crdt_reader_struct(r, &s), 1);
    struct crdt_writer *w = crdt_writer_new(CRDT_V1, NULL);
    crdt_writer_clients(w, 1);
    crdt_writer_client(w, s.id.client, 1, s.id.clock + offset);
    crdt_writer_struct(w, &s, offset);
    crdt_writer_deletes(w, 0);
    cr_assert_eq(crdt_writer_finish(w, &out), 0);
    assert_buf(&out, want, hex);
    crdt_writer_free(w);
    crdt_reader_free(r);
}

Test(codec, writes_the_end_of_a_struct)
{
    static const char text[] = "01 01 07 00 04 01 01 74 06 61 f09f9880 62 00";
    assert_cut(text, 0, text);
    assert_cut(text, 1, "01 01 07 01 84 07 00 05 f09f9880 62 00");
    assert_cut(text, 2, "01 01 07 02 84 07 01 04 efbfbd 62 00");
    assert_cut(text, 3, "01 01 07 03 84 07 02 01 62 00");
    assert_cut("01 01 07 00 08 01 01 74 03 7d01 75017e 78 00", 2, "01 01 07 02 88 07 01 01 78 00");
    assert_cut("01 01 07 00 02 01 01 74 02 0131 0132 00", 1, "01 01 07 01 82 07 00 01 0132 00");
    assert_cut("01 01 07 00 c1 08 00 09 05 03 00", 1, "01 01 07 01 c1 07 00 09 05 02 00");
    assert_cut("01 01 07 00 00 03 00", 2, "01 01 07 02 00 01 00");
    assert_cut("01 01 07 00 0a 03 00", 2, "01 01 07 02 0a 01 00");
}

/* The columns are named in the order in which they stand: flags, key clocks, clients, left clocks,
 * right clocks, info, strings, parent info, type references, lengths; then the rest. */
static const struct {
    const char *what;
    const char *v2;
    const char *v1;
} columns[] = {
    {"a pair that two strings share",
     "00 00 024701 020002 00 03040084 09 0674f09f988078 4102 0101 00 00 010300 00",
     "01 03 07 00 04 01 01 74 03 efbfbd 84 07 00 03 efbfbd 84 07 01 01 78 00"},
    {"a key that is named again",
     "00 020100 024700 0100 00 03060086 05 027462 4100 0101 00 00 010200 78 7e 00",
     "01 02 07 00 06 01 01 74 01 62 04 74727565 86 07 00 01 62 04 6e756c6c 00"},
};

Test(codec, reads_columns_that_yjs_does_not_write)
{
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        struct bytes v2 = from_hex(columns[i].v2);
        struct crdt_buf out = {0};
        cr_assert_eq(copy(CRDT_V2, slice_of(&v2), CRDT_V1, NULL, &out), 0, "%s", columns[i].what);
        assert_buf(&out, columns[i].v1, columns[i].what);
    }
}

Test(codec, refuses_columns_that_run_dry)
{
    static const char *const bad[] = {
        "00 00 0107 00 00 0104 04 02746141 0101 00 00 010100 00",    /* half a run of lengths */
        "00 00 0107 00 00 0104 05 027461 0102 0101 00 00 010100 00", /* text too short */
        "00 00 0107 00 00 00 05 027461 4100 0101 00 00 010100 00",   /* no info */
        "00 00 00 00 00 0104 05 027461 4100 0101 00 00 010100 00",   /* no client */
        "00 00 0107 00 00 0104 05 027461 4100 00 00 00 010100 00",   /* no parent info */
        "00 00 0107 00 00 0107 03 017401 0101 00 00 010100 00",      /* no type */
        "00 00 0107 00 00 0100 02 0000 00 00 00 010100 00",          /* no length */
        "00 00 024700 00 00 0184 03 016101 00 00 00 010100 00",      /* no left clock */
        "00 00 024700 00 00 0144 03 016101 00 00 00 010100 00",      /* no right clock */
        "00 00 024700 0141 00 0184 03 016101 00 00 00 010100 00",    /* a left clock below 0 */
        "00 00 00 00 00 00 00 00 00 00 00 00",                       /* no text at all */
        "00 00 00 00 00 00 01",                                      /* a column beyond the end */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(copy_hex(CRDT_V2, bad[i], NULL), -EBADMSG, "%s", bad[i]);
}

Test(codec, refuses_bombs_at_once)
{
    static const char *const bombs[] = {
        "00 00 0147 00 00 0100 020000 00 00 0141 01 fdffffffff7f 00 00",
        "00 00 0147 00 00 0100 020000 00 00 0141 01 ffffffffffff0f 00 00",
        "00 00 00 00 00 00 0100 00 00 00 ffffffffffff0f",
        "00 00 00 00 00 00 0100 00 00 00 00 ffffffffffff0f",
    };
    for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++)
        cr_assert_eq(copy_hex(CRDT_V2, bombs[i], NULL), -E2BIG, "%s", bombs[i]);
    cr_assert_eq(copy_hex(CRDT_V1, "ffffffffffff0f", NULL), -E2BIG);
    cr_assert_eq(copy_hex(CRDT_V1, "01 ffffffffffff0f 07 00", NULL), -E2BIG);
    cr_assert_eq(copy_hex(CRDT_V1, "00 ffffffffffff0f", NULL), -E2BIG);
}

/* `count` equal structs, each at the one before, as a v2 update. */
static void write_many(struct crdt_struct s, uint64_t count, struct crdt_buf *out)
{
    struct crdt_writer *w = crdt_writer_new(CRDT_V2, NULL);
    for (uint64_t i = 0; i < count; i++) {
        s.id.clock = i * s.len;
        s.origin = (struct crdt_id){s.id.client, s.id.clock};
        crdt_writer_append(w, &s, 0);
    }
    crdt_writer_deletes(w, 0);
    cr_assert_eq(crdt_writer_finish(w, out), 0);
    crdt_writer_free(w);
}

Test(codec, takes_many_structs_of_few_bytes_within_the_limits)
{
    static const struct crdt_struct kinds[] = {
        {.id = {7, 0}, .len = 1, .info = CRDT_REF_DELETED | CRDT_INFO_ORIGIN},
        {.id = {7, 0},
         .len = 1,
         .info = CRDT_REF_TYPE | CRDT_INFO_ORIGIN,
         .content = {.type_ref = CRDT_TYPE_XML_ELEMENT}},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const uint32_t count = 100000;
        struct crdt_buf update = {0}, out = {0};
        struct crdt_limits limits = {.structs = count};
        write_many(kinds[i], count, &update);
        struct crdt_slice bytes = {update.data, update.len};
        cr_assert_lt(update.len, 100);
        cr_assert_eq(crdt_update_validate(CRDT_V2, bytes.data, bytes.len, &limits), 0);
        limits.structs--;
        cr_assert_eq(crdt_update_validate(CRDT_V2, bytes.data, bytes.len, &limits), -E2BIG);

        limits = (struct crdt_limits){.output_bytes = 1000};
        cr_assert_eq(copy(CRDT_V2, bytes, CRDT_V1, &limits, &out), -E2BIG);
        cr_assert_eq(out.len, 0);
        crdt_buf_done(&update);
        crdt_buf_done(&out);
    }
}

Test(codec, keeps_to_the_limits)
{
    static const char clients[] = "02 01 08 00 00 01 01 07 00 00 01 02 08 01 00 01 07 01 00 01";
    static const char deep[] = "01 01 07 00 08 01 01 74 01 7501 7501 7e 00";
    static const char deep_json[] = "01 01 07 00 05 01 01 74 04 5b5b5d5d 00";
    cr_assert_eq(copy_hex(CRDT_V1, clients, &(struct crdt_limits){.clients = 2}), 0);
    cr_assert_eq(copy_hex(CRDT_V1, clients, &(struct crdt_limits){.clients = 1}), -E2BIG);
    cr_assert_eq(copy_hex(CRDT_V1, clients, &(struct crdt_limits){.structs = 2}), 0);
    cr_assert_eq(copy_hex(CRDT_V1, clients, &(struct crdt_limits){.structs = 1}), -E2BIG);
    cr_assert_eq(copy_hex(CRDT_V1, deep, &(struct crdt_limits){.nesting = 2}), 0);
    cr_assert_eq(copy_hex(CRDT_V1, deep, &(struct crdt_limits){.nesting = 1}), -E2BIG);
    cr_assert_eq(copy_hex(CRDT_V1, deep_json, &(struct crdt_limits){.nesting = 2}), 0);
    cr_assert_eq(copy_hex(CRDT_V1, deep_json, &(struct crdt_limits){.nesting = 1}), -E2BIG);
}

Test(codec, puts_deletions_in_order)
{
    static const struct {
        const char *what;
        struct crdt_delete_range ranges[6];
        size_t len;
        const char *hex;
    } sets[] = {
        {"nothing", {{0}}, 0, "00 00"},
        {"clients descending", {{1, 0, 1}, {9, 4, 2}}, 2, "00 02 09 01 04 02 01 01 00 01"},
        {"ranges that touch", {{1, 3, 2}, {1, 0, 3}}, 2, "00 01 01 01 00 05"},
        {"ranges that overlap", {{1, 0, 9}, {1, 2, 3}, {1, 8, 2}}, 3, "00 01 01 01 00 0a"},
        {"empty ranges", {{1, 5, 0}, {2, 0, 0}, {1, 7, 1}}, 3, "00 01 01 01 07 01"},
        {"a gap", {{1, 5, 1}, {1, 0, 1}}, 2, "00 01 01 02 00 01 05 01"},
    };
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        struct crdt_delete_set set = {0};
        struct crdt_buf out = {0};
        struct crdt_writer *w = crdt_writer_new(CRDT_V1, NULL);
        for (size_t k = 0; k < sets[i].len; k++) {
            const struct crdt_delete_range *range = &sets[i].ranges[k];
            cr_assert_eq(crdt_delete_set_add(&set, range->client, range->clock, range->len), 0);
        }
        crdt_delete_set_normalise(&set);
        cr_assert(crdt_delete_set_is_ordered(&set));
        crdt_delete_set_write(&set, w);
        cr_assert_eq(crdt_writer_finish(w, &out), 0);
        assert_buf(&out, sets[i].hex, sets[i].what);
        crdt_writer_free(w);
        crdt_delete_set_done(&set);
    }
}
