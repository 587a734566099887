/* Edits of texts with marks, and texts that become others: npm yjs's answers, refusals, and what is
 * promised. That it is what Yjs does in general is for tests/differential/edits.test.mjs. */
#include <errno.h>
#include <stdlib.h>

#include "edits.h"

static const char not_utf8[] = "\xc3";

/* ---- marks ---- */

Test(edit_text, sets_the_marks_of_yjs)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    cr_assert_eq(text_insert(doc, 0, "abcdef", NULL, &out), 0);
    assert_buf(&out, "01010100040101740661626364656600", "plain");
    cr_assert_eq(text_format(doc, 1, 3, "{\"bold\":true}", &out), 0);
    assert_buf(&out,
               "01020106c60100010104626f6c640474727565c60103010404626f6c64046e756c6c"
               "00",
               "a mark and its end");
    cr_assert_eq(text_insert(doc, 4, "X", NULL, &out), 0);
    assert_buf(&out, "01010108c401030107015800", "inherits");
    cr_assert_eq(text_insert(doc, 2, "Y", "{}", &out), 0);
    assert_buf(&out,
               "01030109c60101010204626f6c64046e756c6cc4010901020159c6010a010204626f6c640474"
               "72756500",
               "without marks between marks");
    cr_assert_eq(text_insert(doc, 0, "Z", "{\"i\":1, \"7\":\"x\", \"bold\":true}", &out), 0);
    assert_buf(&out,
               "0107010c460100013703227822c6010c010001690131c6010d010004626f6c640474727565c4"
               "010e0100015ac6010f01000137046e756c6cc6011001000169046e756c6cc601110100"
               "04626f6c64046e756c6c00",
               "several, in the order of JavaScript");
    cr_assert_eq(text_format(doc, 0, 9, "{\"bold\":null}", &out), 0);
    assert_buf(&out, "00010105060209010b010e011201", "takes marks away");
    cr_assert_eq(text_format(doc, 2, 2, "{\"link\":{\"href\":\"a\"}}", &out), 0);
    assert_buf(&out,
               "01020113c601060101046c696e6b0c7b2268726566223a2261227dc6010b0102046c696e6b04"
               "6e756c6c00",
               "an object");
    cr_assert_eq(text_delete(doc, 1, 5, &out), 0);
    assert_buf(&out, "0001010300040a011302", "marks go with their text");
    assert_root(doc, CRDT_KIND_DELTA, "t",
                "[{\"insert\":\"Z\",\"attributes\":{\"7\":\"x\",\"i\":1}},{\"insert\":\"Xef\"}]");
    crdt_doc_free(doc);
}

Test(edit_text, does_nothing_for_marks_that_are_there)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    cr_assert_eq(text_insert(doc, 0, "ab", "{\"bold\":{\"x\":1,\"y\":\"z\"}}", NULL), 0);
    cr_assert_eq(text_format(doc, 0, 2, "{\"bold\":{\"y\":\"z\",\"x\":1.0}}", &out), 0);
    assert_buf(&out, "0000", "the same members");
    cr_assert_eq(text_format(doc, 0, 2, "{\"italic\":null}", &out), 0);
    assert_buf(&out, "0000", "no mark to take away");
    cr_assert_eq(text_format(doc, 0, 2, "{}", &out), 0);
    assert_buf(&out, "0000", "no attributes");
    cr_assert_eq(text_format(doc, 1, 0, "{\"bold\":null}", &out), 0);
    assert_buf(&out, "0000", "no text");
    crdt_doc_free(doc);
}

/* A mark that was set twice, as two users do at once, is not given back once more. */
Test(edit_text, uses_marks_that_follow)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    cr_assert_eq(text_insert(doc, 0, "ac", NULL, NULL), 0);
    cr_assert_eq(text_format(doc, 0, 2, "{\"b\":1}", NULL), 0);
    apply_hex(doc, "01 01 02 00 c6 0100 0101 0162 0131 00");
    cr_assert_eq(text_insert(doc, 1, "X", "{}", &out), 0);
    assert_buf(&out, "01020104c6010002000162046e756c6cc401040200015800", "in front of it");
    assert_root(doc, CRDT_KIND_DELTA, "t",
                "[{\"insert\":\"a\",\"attributes\":{\"b\":1}},{\"insert\":\"X\"},"
                "{\"insert\":\"c\",\"attributes\":{\"b\":1}}]");
    crdt_doc_free(doc);
}

Test(edit_text, formats_whole_pairs)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    cr_assert_eq(text_insert(doc, 0, "a\xf0\x9f\x98\x80z", NULL, NULL), 0);
    cr_assert_eq(text_format(doc, 2, 0, "{\"b\":1}", NULL), 0);
    cr_assert_eq(text_format(doc, 0, 2, "{\"b\":1}", NULL), 0);
    assert_root(doc, CRDT_KIND_DELTA, "t",
                "[{\"insert\":\"a\",\"attributes\":{\"b\":1}},"
                "{\"insert\":\"\xf0\x9f\x98\x80z\"}]");
    cr_assert_eq(text_format(doc, 2, 1, "{\"c\":1}", NULL), 0);
    assert_root(doc, CRDT_KIND_DELTA, "t",
                "[{\"insert\":\"a\",\"attributes\":{\"b\":1}},"
                "{\"insert\":\"\xf0\x9f\x98\x80\",\"attributes\":{\"c\":1}},{\"insert\":\"z\"}]");
    cr_assert_eq(text_format(doc, 1, 1, "{\"d\":1}", &out), 0);
    assert_buf(&out, "0000", "half a pair from its start on");
    /* With marks, as without. */
    cr_assert_eq(text_insert(doc, 2, "X", "{}", NULL), 0);
    cr_assert_eq(text_delete(doc, 2, 1, &out), 0);
    assert_buf(&out, "0000", "half a pair, up to its middle");
    cr_assert_eq(text_delete(doc, 3, 1, NULL), 0);
    assert_root(doc, CRDT_KIND_TEXT, "t", "aXz");
    crdt_doc_free(doc);
}

Test(edit_text, refuses_what_is_not_meant)
{
    static const char *const no_attributes[] = {"",         "{",     "[]",       "null",
                                                "{\"a\":}", "{} {}", "\"\xc3\"", "{\"a\":tru}"};
    struct crdt_doc *doc = crdt_doc_new(&(struct crdt_limits){.nesting = 3});
    struct crdt_buf out = {0}, before = {0};

    cr_assert_eq(text_insert(doc, 0, "abc", "{\"b\":1}", NULL), 0);
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V2, NULL, 0, &before), 0);
    for (size_t i = 0; i < sizeof(no_attributes) / sizeof(no_attributes[0]); i++) {
        cr_assert_eq(text_insert(doc, 0, "x", no_attributes[i], &out), -EINVAL, "%zu", i);
        cr_assert_eq(text_format(doc, 0, 1, no_attributes[i], &out), -EINVAL, "%zu", i);
    }
    cr_assert_eq(text_insert(doc, 4, "x", NULL, &out), -ERANGE);
    cr_assert_eq(text_insert(doc, 4, "x", "{}", &out), -ERANGE);
    cr_assert_eq(text_insert(doc, 0, not_utf8, "{}", &out), -EINVAL);
    cr_assert_eq(text_delete(doc, 3, 1, &out), -ERANGE);
    cr_assert_eq(text_delete(doc, 1, UINT64_MAX, &out), -ERANGE);
    cr_assert_eq(text_format(doc, 3, 1, "{\"b\":2}", &out), -ERANGE);
    cr_assert_eq(text_format(doc, 4, 0, "{\"b\":2}", &out), -ERANGE);
    cr_assert_eq(text_format(doc, 1, UINT64_MAX, "{\"b\":2}", &out), -ERANGE);
    cr_assert_eq(text_become(doc, not_utf8, &out), -EINVAL);
    cr_assert_eq(
        crdt_text_format(doc, UINT64_C(1) << 53, crdt_root("t", 1), 0, 1, slice("{}"), &out),
        -EINVAL);
    cr_assert_eq(crdt_text_become(doc, UINT64_C(1) << 53, crdt_root("t", 1), "x", 1, &out),
                 -EINVAL);
    cr_assert_eq(crdt_text_become(doc, 1, crdt_root(not_utf8, 1), "x", 1, &out), -EINVAL);
    cr_assert_eq(text_format(doc, 0, 1, "{\"b\":[[[[]]]]}", &out), -E2BIG);
    cr_assert_eq(text_insert(doc, 0, "x", "{\"b\":[[[[]]]]}", &out), -E2BIG);
    cr_assert_eq(out.len, 0);
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V2, NULL, 0, &out), 0);
    cr_assert(out.len == before.len && !memcmp(out.data, before.data, out.len));
    cr_assert_eq(text_format(doc, 0, 1, "{\"b\":[[[]]]}", NULL), 0);
    crdt_buf_done(&out);
    crdt_buf_done(&before);
    crdt_doc_free(doc);
}

Test(edit_text, refuses_an_update_over_the_limit)
{
    struct crdt_doc *doc = crdt_doc_new(&(struct crdt_limits){.output_bytes = 64});
    struct crdt_buf out = {0};

    cr_assert_eq(text_insert(doc, 0, "0123456789", NULL, NULL), 0);
    cr_assert_eq(text_become(doc,
                             "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 "
                             "0123456789",
                             &out),
                 -E2BIG);
    cr_assert_eq(text_format(doc, 0, 5,
                             "{\"a\":\"0123456789 0123456789 0123456789 0123456789 0123456789\"}",
                             &out),
                 -E2BIG);
    cr_assert_eq(out.len, 0);
    assert_root(doc, CRDT_KIND_DELTA, "t", "[{\"insert\":\"0123456789\"}]");
    crdt_doc_free(doc);
}

/* Marks whose values JSON has not, as only a v2 update brings them: {"n": NaN, "u": undefined, "b":
 * Uint8Array} of "ab". An edit puts back what JSON makes of them. */
Test(edit_text, gives_back_values_that_json_has_not)
{
    struct bytes update =
        from_hex("00030003030242070504024408020201010704004600c601860e097461626e75626e756201024104"
                 "010100000107007b7ff80000000000007f7401017e7e7e00");
    struct crdt_doc *doc = crdt_doc_new(NULL);

    cr_assert_eq(crdt_doc_apply(doc, CRDT_V2, update.data, update.len, NULL), 0);
    cr_assert_eq(text_format(doc, 0, 1, "{\"u\":1,\"n\":1,\"b\":1}", NULL), 0);
    assert_root(doc, CRDT_KIND_DELTA, "t",
                "[{\"insert\":\"a\",\"attributes\":{\"u\":1,\"n\":1,\"b\":1}},"
                "{\"insert\":\"b\",\"attributes\":{\"b\":{\"0\":1}}}]");
    crdt_doc_free(doc);
}

/* ---- becoming ---- */

/* A text of marks, embeds, pairs and deleted text: "ab😀", embed, "cd", "é". */
static struct crdt_doc *new_text(void)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    cr_assert_eq(text_insert(doc, 0, "ab\xf0\x9f\x98\x80 gone cd\xc3\xa9", NULL, NULL), 0);
    cr_assert_eq(text_delete(doc, 4, 6, NULL), 0);
    cr_assert_eq(text_format(doc, 1, 4, "{\"b\":1}", NULL), 0);
    /* insertEmbed(4, {}), by client 2: behind clock 3, in front of what is gone. */
    apply_hex(doc, "01 01 02 00 c5 01 03 01 04 02 7b7d 00");
    return doc;
}

Test(edit_text, becomes_another_by_the_least_edit)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    cr_assert_eq(text_become(doc, "hello world", &out), 0);
    assert_buf(&out, "010101000401 01740b68656c6c6f20776f726c6400", "out of nothing");
    cr_assert_eq(text_become(doc, "hello world", &out), 0);
    assert_buf(&out, "0000", "the same");
    cr_assert_eq(text_become(doc, "hello, worlds", &out), 0);
    assert_buf(&out, "0102010bc401040105012c84010a017300", "two insertions");
    cr_assert_eq(text_become(doc, "hell, words", &out), 0);
    assert_buf(&out, "0001010204010901", "two deletions");
    cr_assert_eq(text_become(doc, "", &out), 0);
    assert_root(doc, CRDT_KIND_TEXT, "t", "");
    crdt_buf_done(&out);
    crdt_doc_free(doc);
}

Test(edit_text, keeps_marks_and_embeds_where_the_text_stays)
{
    static const struct {
        const char *wanted;
        const char *delta;
    } rows[] = {
        {"ab\xf0\x9f\x98\x80"
         "cd\xc3\xa9",
         "[{\"insert\":\"a\"},{\"insert\":\"b\xf0\x9f\x98\x80\",\"attributes\":{\"b\":1}},"
         "{\"insert\":{},\"attributes\":{\"b\":1}},{\"insert\":\"c\",\"attributes\":{\"b\":1}},"
         "{\"insert\":\"d\xc3\xa9\"}]"},
        {"ab\xf0\x9f\x98\x81"
         "cd\xc3\xa9",
         "[{\"insert\":\"a\"},{\"insert\":\"b\xf0\x9f\x98\x81\",\"attributes\":{\"b\":1}},"
         "{\"insert\":{},\"attributes\":{\"b\":1}},{\"insert\":\"c\",\"attributes\":{\"b\":1}},"
         "{\"insert\":\"d\xc3\xa9\"}]"},
        {"aXd\xc3\xa9", "[{\"insert\":\"aX\"},{\"insert\":{},\"attributes\":{\"b\":1}},"
                        "{\"insert\":\"d\xc3\xa9\"}]"},
        {"", "[{\"insert\":{},\"attributes\":{\"b\":1}}]"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct crdt_doc *doc = new_text();

        cr_assert_eq(text_become(doc, rows[i].wanted, NULL), 0);
        assert_root(doc, CRDT_KIND_TEXT, "t", rows[i].wanted);
        assert_root(doc, CRDT_KIND_DELTA, "t", rows[i].delta);
        crdt_doc_free(doc);
    }
}

/* ---- at random ---- */

static uint64_t random_state;

static uint32_t below(uint32_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((random_state >> 33) % limit);
}

/* Up to `limit` characters of one to four bytes. */
static void random_text(char *text, uint32_t limit)
{
    static const char *const alphabet[] = {
        "a", "b", "\xc3\xa9", "\xe6\x97\xa5", "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x81"};

    *text = '\0';
    for (uint32_t n = below(limit + 1); n > 0; n--)
        strcat(text, alphabet[below(6)]);
}

/* Whatever was done to a text before: it becomes what it shall become, and another replica, which
 * gets the updates, as well. */
Test(edit_text, becomes_whatever_it_shall, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct crdt_doc *doc = new_text(), *other = new_text();

        random_state = seed;
        for (int i = 0; i < 20; i++) {
            struct crdt_buf out = {0};
            char text[64 * 4 + 1];

            random_text(text, 64);
            cr_assert_eq(text_become(doc, text, &out), 0);
            assert_root(doc, CRDT_KIND_TEXT, "t", text);
            cr_assert_eq(crdt_doc_apply(other, CRDT_V1, out.data, out.len, NULL), 0);
            assert_root(other, CRDT_KIND_TEXT, "t", text);
            crdt_buf_done(&out);
        }
        crdt_doc_free(doc);
        crdt_doc_free(other);
    }
}

/* What peers can make of a text for an edit to walk through: as many marks as fit, each with a key
 * of its own, all between two characters. */
Test(edit_text, walks_over_many_marks, .timeout = 120)
{
    enum { MARKS = 60000 };
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf attributes = {0};

    cr_assert_eq(text_insert(doc, 0, "abc", NULL, NULL), 0);
    lib0_write_u8(&attributes, '{');
    for (int i = 0; i < MARKS; i++) {
        char member[32];
        int len = snprintf(member, sizeof(member), "%s\"k%d\":1", i > 0 ? "," : "", i);

        lib0_write_bytes(&attributes, member, (size_t)len);
    }
    lib0_write_u8(&attributes, '}');
    cr_assert_eq(crdt_text_format(doc, CLIENT, crdt_root("t", 1), 1, 1,
                                  (struct crdt_slice){attributes.data, attributes.len}, NULL),
                 0);
    cr_assert_eq(text_insert(doc, 2, "x", NULL, NULL), 0);
    cr_assert_eq(text_insert(doc, 2, "y", "{}", NULL), 0);
    cr_assert_eq(text_become(doc, "acb", NULL), 0);
    cr_assert_eq(text_delete(doc, 0, 2, NULL), 0);
    assert_root(doc, CRDT_KIND_TEXT, "t", "b");
    crdt_buf_done(&attributes);
    crdt_doc_free(doc);
}
