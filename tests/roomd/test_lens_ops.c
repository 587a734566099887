/* The lens `ops`: what its operations do, and what it says of them. */
#include "roomd/lens.h"

#include "common/buffer.h"
#include "crdt/text_units.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct crdt_doc *new_doc(void)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    cr_assert(doc);
    return doc;
}

static int edit(struct crdt_doc *doc, const char *op, struct crdt_buf *ret_update)
{
    return lens_ops.edit(doc, slice_str(op), ret_update);
}

/* Applies an operation and compares what is said of it. */
static void expect_said(struct crdt_doc *doc, const char *op, const char *said)
{
    struct crdt_buf update = {0}, change = {0};

    cr_assert_eq(edit(doc, op, &update), 0, "%s", op);
    cr_assert_eq(lens_ops.apply(doc, slice_of(update.data, update.len), NULL, &change), 0);
    lib0_write_u8(&change, 0);
    cr_assert_str_eq((const char *)change.data, said);
    crdt_buf_done(&update);
    crdt_buf_done(&change);
}

static void expect_view(const struct crdt_doc *doc, const char *expected)
{
    struct crdt_buf state = {0};

    cr_assert_eq(lens_ops.view(doc, &state), 0);
    lib0_write_u8(&state, 0);
    cr_assert_str_eq((const char *)state.data, expected);
    crdt_buf_done(&state);
}

static void apply_edit(struct crdt_doc *doc, struct crdt_buf *update)
{
    cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update->data, update->len, NULL), 0);
    update->len = 0;
}

#define ID(site, counter) "{\"site\":\"" site "\",\"counter\":" #counter "}"

Test(lens_ops, says_what_the_contract_says)
{
    struct crdt_doc *doc = new_doc();

    expect_view(doc, "[]");
    expect_said(doc,
                "{\"kind\":\"insert\",\"id\":" ID("a3f9", 1) ",\"after\":null,\"value\":\"hi\"}",
                "{\"kind\":\"insert\",\"id\":" ID("a3f9", 1) ",\"after\":null,\"value\":\"hi\"}\n");
    expect_said(
        doc,
        "{\"kind\":\"insert\",\"id\":" ID("b", 1) ",\"after\":" ID("a3f9", 1) ",\"before\":" ID(
            "a3f9", 2) ",\"value\":\"\\\"\\u0000\\ud83d\\ude00\"}",
        "{\"kind\":\"insert\",\"id\":" ID("b", 1) ",\"after\":" ID(
            "a3f9", 1) ",\"value\":\"\\\"\\u0000\xf0\x9f\x98\x80\"}\n");
    expect_view(
        doc,
        "[{\"id\":" ID("a3f9", 1) ",\"value\":\"h\"},{\"id\":" ID(
            "b",
            1) ",\"value\":\"\\\"\\u0000\xf0\x9f\x98\x80\"},{\"id\":" ID("a3f9",
                                                                         2) ",\"value\":\"i\"}]");
    expect_said(doc, "{\"kind\":\"delete\",\"id\":" ID("a3f9", 1) "}",
                "{\"kind\":\"delete\",\"id\":" ID("a3f9", 1) ",\"length\":1}\n");
    expect_said(doc, "{\"kind\":\"delete\",\"id\":" ID("b", 1) ",\"length\":4}",
                "{\"kind\":\"delete\",\"id\":" ID("b", 1) ",\"length\":4}\n");
    expect_said(doc, "{\"kind\":\"delete\",\"id\":" ID("b", 1) ",\"length\":4}", "");
    expect_said(doc,
                "{\"kind\":\"insert\",\"id\":" ID("b", 5) ",\"after\":" ID(
                    "b", 4) ",\"before\":null,\"value\":\"!\",\"more\":1}",
                "{\"kind\":\"insert\",\"id\":" ID("b", 5) ",\"after\":null,\"value\":\"!\"}\n");
    crdt_doc_free(doc);
}

Test(lens_ops, other_clients_embeds_and_marks)
{
    struct crdt_path body = crdt_root("body", 4);
    struct crdt_doc *doc = new_doc();
    struct crdt_slice bold = {(const uint8_t *)"{\"b\":1}", 7};

    cr_assert_eq(crdt_text_insert(doc, 77, body, 0, "abc", 3, NULL, NULL), 0);
    cr_assert_eq(crdt_text_format(doc, 77, body, 1, 1, bold, NULL), 0);
    cr_assert_eq(
        crdt_array_insert(doc, 77, body, 3, (struct crdt_slice){(const uint8_t *)"[1,2]", 5}, NULL),
        0);
    expect_view(doc, "[{\"id\":" ID("#77", 1) ",\"value\":\"abc\"},{\"id\":" ID(
                         "#77", 6) ",\"value\":\"\xef\xbf\xbc\xef\xbf\xbc\"}]");
    expect_said(
        doc,
        "{\"kind\":\"insert\",\"id\":" ID("z", 1) ",\"after\":" ID("#77", 2) ",\"value\":\"x\"}",
        "{\"kind\":\"insert\",\"id\":" ID("z", 1) ",\"after\":" ID("#77", 2) ",\"value\":\"x\"}\n");
    expect_said(doc, "{\"kind\":\"delete\",\"id\":" ID("#77", 6) ",\"length\":2}",
                "{\"kind\":\"delete\",\"id\":" ID("#77", 6) ",\"length\":2}\n");
    crdt_doc_free(doc);
}

Test(lens_ops, an_operation_may_wait)
{
    struct crdt_doc *doc = new_doc();

    expect_said(
        doc, "{\"kind\":\"insert\",\"id\":" ID("a", 2) ",\"after\":" ID("a", 1) ",\"value\":\"y\"}",
        "");
    expect_said(doc, "{\"kind\":\"delete\",\"id\":" ID("b", 1) "}", "");
    expect_said(doc,
                "{\"kind\":\"insert\",\"id\":" ID("b", 1) ",\"after\":" ID(
                    "a", 2) ",\"before\":null,\"value\":\"xz\"}",
                "");
    cr_assert(crdt_doc_has_pending(doc));
    expect_said(doc, "{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"after\":null,\"value\":\"x\"}",
                "{\"kind\":\"insert\",\"id\":" ID(
                    "a", 1) ",\"after\":null,\"value\":\"xy\"}\n"
                            "{\"kind\":\"insert\",\"id\":" ID("b", 2) ",\"after\":" ID(
                                "a", 2) ",\"value\":\"z\"}\n");
    expect_said(doc, "{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"after\":null,\"value\":\"x\"}",
                "");
    crdt_doc_free(doc);
}

/* As Yjs would: what was deleted there counts. */
Test(lens_ops, without_before_the_right_neighbour_of_the_moment_is_taken)
{
    static const char first[] =
        "{\"kind\":\"insert\",\"id\":" ID("m", 1) ",\"after\":null,\"value\":\"ab\"}";
    static const char second[] =
        "{\"kind\":\"insert\",\"id\":" ID("n", 1) ",\"after\":" ID("m", 1) ",\"value\":\"x\"}";
    static const char at_start[] =
        "{\"kind\":\"insert\",\"id\":" ID("o", 1) ",\"after\":null,\"value\":\"y\"}";
    struct crdt_doc *doc = new_doc();
    struct crdt_buf update = {0};
    struct crdt_reader *r;
    struct crdt_struct s;

    cr_assert_eq(edit(doc, first, &update), 0);
    apply_edit(doc, &update);
    cr_assert_eq(edit(doc, "{\"kind\":\"delete\",\"id\":" ID("m", 2) "}", &update), 0);
    apply_edit(doc, &update);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(edit(doc, i ? at_start : second, &update), 0);
        cr_assert_eq(crdt_reader_new(CRDT_V1, update.data, update.len, NULL, &r), 0);
        cr_assert_eq(crdt_reader_struct(r, &s), 1);
        cr_assert(s.info & CRDT_INFO_RIGHT_ORIGIN);
        cr_assert_eq(s.right_origin.clock, i ? 0 : 1);
        cr_assert_eq((s.info & CRDT_INFO_ORIGIN) != 0, !i);
        crdt_reader_free(r);
        update.len = 0;
    }
    crdt_buf_done(&update);
    crdt_doc_free(doc);
}

/* Every site is one client, and comes back as it was. */
Test(lens_ops, sites_are_clients)
{
    static const struct {
        const char *site;
        uint64_t client;
    } rows[] = {
        {"0", (UINT64_C(1) << 52) + 1},
        {"_", (UINT64_C(1) << 52) + 64},
        {"00", (UINT64_C(1) << 52) + 65},
        {"01", (UINT64_C(1) << 52) + 66},
        {"10", (UINT64_C(1) << 52) + 129},
        {"________", (UINT64_C(1) << 52) + (UINT64_C(18014398509481984) - 64) / 63},
        {"a-Z_09b", 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct crdt_doc *doc = new_doc();
        struct crdt_buf update = {0};
        struct buffer op = {0};
        struct crdt_reader *r;
        struct crdt_struct s;

        buffer_printf(&op,
                      "{\"kind\":\"insert\",\"id\":{\"site\":\"%s\",\"counter\":1},\"after\":null,"
                      "\"value\":\"x\"}\n",
                      rows[i].site);
        buffer_append(&op, "", 1);
        cr_assert_eq(edit(doc, (const char *)op.data, &update), 0);
        cr_assert_eq(crdt_reader_new(CRDT_V1, update.data, update.len, NULL, &r), 0);
        cr_assert_eq(crdt_reader_struct(r, &s), 1);
        cr_assert(rows[i].client == 0 || s.id.client == rows[i].client, "%s", rows[i].site);
        cr_assert_lt(s.id.client, UINT64_C(1) << 53);
        crdt_reader_free(r);
        crdt_buf_done(&update);
        expect_said(doc, (const char *)op.data, (const char *)op.data);
        buffer_done(&op);
        crdt_doc_free(doc);
    }
}

Test(lens_ops, what_is_none_is_refused)
{
    static const struct {
        const char *op;
        int error;
    } rows[] = {
        {"", -EBADMSG},
        {"[]", -EBADMSG},
        {"{}", -EBADMSG},
        {"{\"kind\":7}", -EBADMSG},
        {"{\"kind\":\"move\",\"id\":" ID("a", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\"}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("123456789", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a b", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("\xc3\xa9", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a\\u0000", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a", 0) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a", -1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a", 1.0) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a", 4294967296) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a", 4294967295) ",\"length\":9}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a", 1) ",\"length\":0}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a", 1) ",\"length\":-1}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a", 1) ",\"length\":\"1\"}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a", 1) ",\"id\":" ID("b", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("a", 1) "} x", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("#", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("#01", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("#+1", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("#9007199254740992", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("#99999999999999999999", 1) "}", -EBADMSG},
        {"{\"kind\":\"delete\",\"id\":" ID("#4503599627370497", 1) "}", -EBADMSG}, /* a site */
        {"{\"kind\":\"delete\",\"id\":" ID("#4503599627370496", 1) "}", 0},
        {"{\"kind\":\"delete\",\"id\":" ID("#9007199254740991", 1) "}", 0},
        {"{\"kind\":\"delete\",\"id\":" ID("#77", 1) "}", -EBADMSG}, /* of another root */
        {"{\"kind\":\"delete\",\"id\":" ID("#77", 9) "}", 0},
        {"{\"kind\":\"insert\",\"id\":" ID("#7", 1) ",\"after\":null,\"value\":\"x\"}", -EBADMSG},
        {"{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"value\":\"x\"}", -EBADMSG},
        {"{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"after\":null}", -EBADMSG},
        {"{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"after\":null,\"value\":\"\"}", -EBADMSG},
        {"{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"after\":null,\"value\":7}", -EBADMSG},
        {"{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"after\":7,\"value\":\"x\"}", -EBADMSG},
        {"{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"after\":null,\"before\":7,\"value\":\"x\"}",
         -EBADMSG},
        {"{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"after\":null,\"value\":\"\\ud83d\"}",
         -EBADMSG},
        {"{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"after\":null,\"value\":\"\\ude00x\"}",
         -EBADMSG},
        {"{\"kind\":\"insert\",\"id\":" ID("a", 2) ",\"after\":" ID("a", 2) ",\"value\":\"x\"}",
         -EBADMSG},
        {"{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"after\":" ID("#77", 1) ",\"value\":\"x\"}",
         -EBADMSG},
        {"{\"kind\":\"insert\",\"id\":" ID("a", 4294967295) ",\"after\":null,\"value\":\"xy\"}",
         -EBADMSG},
    };
    struct crdt_doc *doc = new_doc();
    struct crdt_buf update = {0};

    cr_assert_eq(crdt_text_insert(doc, 77, crdt_root("other", 5), 0, "x", 1, NULL, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int r = edit(doc, rows[i].op, &update);
        cr_assert_eq(r, rows[i].error, "%s: %d", rows[i].op, r);
        cr_assert(r == 0 || update.len == 0);
        update.len = 0;
    }
    crdt_buf_done(&update);
    crdt_doc_free(doc);
}

/* `head`, so many times `unit`, `tail`. */
static int edit_long(const char *head, const char *unit, size_t count, const char *tail)
{
    struct crdt_doc *doc = new_doc();
    struct crdt_buf update = {0};
    struct buffer op = {0};

    buffer_append_str(&op, head);
    for (size_t i = 0; i < count; i++)
        buffer_append_str(&op, unit);
    buffer_append_str(&op, tail);
    int r = lens_ops.edit(doc, buffer_slice(&op), &update);
    buffer_done(&op);
    crdt_buf_done(&update);
    crdt_doc_free(doc);
    return r;
}

Test(lens_ops, an_operation_is_bounded)
{
    static const char head[] =
        "{\"kind\":\"insert\",\"id\":" ID("a", 1) ",\"after\":null,\"value\":\"";

    cr_expect_eq(edit_long(head, "x", 1u << 20, "\"}"), 0);
    cr_expect_eq(edit_long(head, "[", 1u << 20, "\"}"), 0, "in a string it is text");
    cr_expect_eq(edit_long(head, "x", (1u << 20) + 1, "\"}"), -E2BIG);
    cr_expect_eq(edit_long(head, "\\u0001", 2u << 20, "\"}"), -E2BIG);
    cr_expect_eq(edit_long("{\"kind\":", "[", 1u << 20, ""), -EBADMSG);
    cr_expect_eq(edit_long("{\"kind\":[7", ",7", 1u << 20, "]}"), -EBADMSG);
}
