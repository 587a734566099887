/* Edits of maps, of arrays and of types inside of others: npm yjs's answers, and refusals. */
#include <errno.h>

#include "edits.h"

Test(edit_map, makes_the_updates_of_yjs)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_step step = {.key = slice("n")};
    struct crdt_path nested = {.root = slice("m"), .steps = &step, .step_count = 1};
    struct crdt_buf out = {0};

    cr_assert_eq(map_set(doc, "k", "\"v\"", &out), 0);
    assert_buf(&out, "010101002801016d016b0177017600", "the first value");
    cr_assert_eq(map_set(doc, "k", " {\"b\":1, \"2\":[null,1.5,-0]} ", &out), 0);
    assert_buf(&out, "01010101a80100017602013275037e7c3fc000007d4001627d010101010001",
               "another value");
    apply_hex(doc, "010101022701016d016e0100");
    cr_assert_eq(crdt_map_set(doc, CLIENT, nested, slice("x"), slice("true"), &out), 0);
    assert_buf(&out, "01010103280001020178017800", "in a map inside");
    cr_assert_eq(map_set(doc, "n", "1", &out), 0);
    assert_buf(&out, "01010104a80102017d010101010202", "over a map, with what is in it");
    cr_assert_eq(map_delete(doc, "n", &out), 0);
    assert_buf(&out, "000101010401", "a deletion");
    cr_assert_eq(map_delete(doc, "n", &out), 0);
    assert_buf(&out, "0000", "of what is deleted");
    cr_assert_eq(map_delete(doc, "nothing", &out), 0);
    assert_buf(&out, "0000", "of what never was");
    assert_root(doc, CRDT_KIND_MAP, "m", "{\"k\":{\"2\":[null,1.5,0],\"b\":1}}");
    crdt_doc_free(doc);
}

Test(edit_array, makes_the_updates_of_yjs)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    cr_assert_eq(array_insert(doc, 0, "[1,\"a\",null]", &out), 0);
    assert_buf(&out, "010101000801016c037d017701617e00", "values");
    cr_assert_eq(array_insert(doc, 1, "[[2],{}]", &out), 0);
    assert_buf(&out, "01010103c8010001010275017d02760000", "between");
    cr_assert_eq(array_delete(doc, 3, 2, &out), 0);
    assert_buf(&out, "000101010102", "a deletion");
    cr_assert_eq(array_insert(doc, 3, "[\"end\"]", &out), 0);
    assert_buf(&out, "01010105c801040101017703656e6400", "in front of what is deleted");
    cr_assert_eq(array_push(doc, "[true]", &out), 0);
    assert_buf(&out, "01010106880102017800", "behind it");
    cr_assert_eq(array_insert(doc, 2, "[]", &out), 0);
    assert_buf(&out, "0000", "no values");
    cr_assert_eq(array_delete(doc, 5, 0, &out), 0);
    assert_buf(&out, "0000", "no elements");
    assert_root(doc, CRDT_KIND_ARRAY, "l", "[1,[2],{},\"end\",true]");
    crdt_doc_free(doc);
}

Test(edit_array, pushes_to_an_empty_one)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    cr_assert_eq(array_push(doc, "[1]", NULL), 0);
    cr_assert_eq(array_delete(doc, 0, 1, NULL), 0);
    cr_assert_eq(array_push(doc, "[2]", NULL), 0);
    cr_assert_eq(array_insert(doc, 0, "[3]", NULL), 0);
    assert_root(doc, CRDT_KIND_ARRAY, "l", "[3,2]");
    crdt_doc_free(doc);
}

/* What goes with a type: the value of a key, a list, a text with marks, and what is in those. */
Test(edit_array, deletes_what_is_inside)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    /* l = [Map{a: Array[1, Map{}], t: Text("xy" with a mark)}], and a deleted key d */
    apply_hex(doc, "0101010007 01016c 0100");
    apply_hex(doc, "01010101 27 00 0100 0161 00 00");
    apply_hex(doc, "01010102 08 00 0101 01 7d01 00");
    apply_hex(doc, "01010103 87 0102 01 00");
    apply_hex(doc, "01010104 27 00 0100 0174 02 00");
    apply_hex(doc, "01020105 06 00 0104 0162 0131 84 0105 02 7879 00");
    apply_hex(doc, "01010108 28 00 0100 0164 01 7e 01010108 01");
    assert_root(doc, CRDT_KIND_ARRAY, "l", "[{\"a\":[1,{}],\"t\":\"xy\"}]");
    cr_assert_eq(array_delete(doc, 0, 1, &out), 0);
    assert_buf(&out, "000101010008", "all but what was deleted before");
    assert_root(doc, CRDT_KIND_ARRAY, "l", "[]");
    crdt_doc_free(doc);
}

/* ---- paths ---- */

/* l = [0, Map{t: Text("ab"), l: Array[1]}, XmlFragment[XmlText("x"), XmlElement("p")]] */
static struct crdt_doc *new_nested(void)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    apply_hex(doc, "01 03 01 00 08 01 01 6c 01 7d00 87 01 00 01 87 01 01 04 00");
    apply_hex(doc, "01 01 01 03 27 00 01 01 01 74 02 00");
    apply_hex(doc, "01 01 01 04 04 00 01 03 02 6162 00");
    apply_hex(doc, "01 01 01 06 27 00 01 01 01 6c 00 00");
    apply_hex(doc, "01 01 01 07 08 00 01 06 01 7d01 00");
    apply_hex(doc, "01 02 01 08 07 00 01 02 06 87 01 08 03 01 70 00");
    apply_hex(doc, "01 01 01 0a 04 00 01 08 01 78 00");
    assert_root(doc, CRDT_KIND_ARRAY, "l", "[0,{\"t\":\"ab\",\"l\":[1]},\"x<p></p>\"]");
    return doc;
}

static struct crdt_step key_step(const char *key)
{
    return (struct crdt_step){.key = slice(key)};
}

static struct crdt_step index_step(uint64_t index)
{
    return (struct crdt_step){.index = index};
}

Test(edit_paths, lead_to_types_inside)
{
    struct crdt_doc *doc = new_nested();
    struct crdt_step text[] = {index_step(1), key_step("t")};
    struct crdt_step list[] = {index_step(1), key_step("l")};
    struct crdt_step xml[] = {index_step(2), index_step(0)};
    struct crdt_path path = {slice("l"), text, 2};

    cr_assert_eq(crdt_text_insert(doc, 2, path, 1, "-", 1, NULL, NULL), 0);
    cr_assert_eq(crdt_text_format(doc, 2, path, 0, 2, slice("{\"b\":1}"), NULL), 0);
    cr_assert_eq(crdt_text_become(doc, 2, path, "A-b", 3, NULL), 0);
    cr_assert_eq(crdt_text_delete(doc, path, 2, 1, NULL), 0);
    path.steps = list;
    cr_assert_eq(crdt_array_delete(doc, path, 0, 1, NULL), 0);
    cr_assert_eq(crdt_array_insert(doc, 2, path, 0, slice("[2]"), NULL), 0);
    cr_assert_eq(crdt_array_push(doc, 2, path, slice("[3]"), NULL), 0);
    path.step_count = 1;
    cr_assert_eq(crdt_map_set(doc, 2, path, slice("k"), slice("null"), NULL), 0);
    path = (struct crdt_path){slice("l"), xml, 2};
    cr_assert_eq(crdt_text_insert(doc, 2, path, 1, "y", 1, NULL, NULL), 0);
    assert_root(doc, CRDT_KIND_ARRAY, "l",
                "[0,{\"t\":\"A-\",\"l\":[2,3],\"k\":null},\"xy<p></p>\"]");
    crdt_doc_free(doc);
}

Test(edit_paths, refuses_those_that_lead_nowhere)
{
    struct crdt_doc *doc = new_nested();
    struct crdt_step rows[][2] = {
        {index_step(0), key_step("t")},          /* through a value */
        {index_step(3), key_step("t")},          /* outside */
        {index_step(UINT64_MAX), key_step("t")}, /* far outside */
        {index_step(1), key_step("nothing")},    /* no such key */
        {index_step(1), index_step(0)},          /* a map has no list */
        {key_step("l"), key_step("t")},          /* an array has no keys */
        {index_step(1), key_step("k")},          /* to a value */
        {index_step(1), key_step("\xc3")},       /* not UTF-8 */
    };
    struct crdt_path path = {slice("l"), rows[0], 2};
    struct crdt_buf out = {0};

    cr_assert_eq(crdt_map_set(doc, 2, (struct crdt_path){slice("l"), rows[3], 1}, slice("k"),
                              slice("1"), NULL),
                 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        path.steps = rows[i];
        cr_assert_eq(crdt_text_insert(doc, 2, path, 0, "x", 1, NULL, &out), -ENOENT, "%zu", i);
        cr_assert_eq(crdt_map_set(doc, 2, path, slice("k"), slice("1"), &out), -ENOENT, "%zu", i);
        cr_assert_eq(crdt_array_push(doc, 2, path, slice("[1]"), &out), -ENOENT, "%zu", i);
    }
    path.root = slice("nothing");
    cr_assert_eq(crdt_text_delete(doc, path, 0, 0, &out), -ENOENT);
    cr_assert_eq(out.len, 0);
    crdt_doc_free(doc);
}

Test(edit_paths, refuses_types_of_another_kind)
{
    struct crdt_doc *doc = new_nested();
    struct crdt_step text[] = {index_step(1), key_step("t")};
    struct crdt_step list[] = {index_step(1), key_step("l")};
    struct crdt_step element[] = {index_step(2), index_step(1)};
    struct {
        struct crdt_path path;
        bool is_text;
        bool is_map;
        bool is_array;
    } rows[] = {
        {{slice("l"), text, 2}, true, false, false},
        {{slice("l"), list, 2}, false, false, true},
        {{slice("l"), list, 1}, false, true, false},
        {{slice("l"), element, 2}, false, false, false},
        {{slice("l"), element, 1}, false, false, false},
        {{slice("l"), NULL, 0}, true, true, true},
        {{slice("new"), NULL, 0}, true, true, true},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct crdt_path path = rows[i].path;
        int text_error = rows[i].is_text ? 0 : -EINVAL, map_error = rows[i].is_map ? 0 : -EINVAL;
        int array_error = rows[i].is_array ? 0 : -EINVAL;

        cr_assert_eq(crdt_text_insert(doc, 2, path, 0, "", 0, NULL, NULL), text_error, "%zu", i);
        cr_assert_eq(crdt_text_delete(doc, path, 0, 0, NULL), text_error, "%zu", i);
        cr_assert_eq(crdt_text_format(doc, 2, path, 0, 0, slice("{}"), NULL), text_error);
        cr_assert_eq(crdt_map_delete(doc, path, slice("none"), NULL), map_error, "%zu", i);
        cr_assert_eq(crdt_array_insert(doc, 2, path, 0, slice("[]"), NULL), array_error, "%zu", i);
        cr_assert_eq(crdt_array_delete(doc, path, 0, 0, NULL), array_error, "%zu", i);
        if (text_error)
            cr_assert_eq(crdt_text_become(doc, 2, path, "", 0, NULL), text_error, "%zu", i);
        if (map_error)
            cr_assert_eq(crdt_map_set(doc, 2, path, slice("k"), slice("1"), NULL), map_error);
        if (array_error)
            cr_assert_eq(crdt_array_push(doc, 2, path, slice("[1]"), NULL), array_error);
    }
    crdt_doc_free(doc);
}

/* ---- refusals ---- */

Test(edit_values, refuses_what_is_not_meant)
{
    static const char *const no_json[] = {"",    " ",        "{",   "tru", "[1,]",
                                          "1 2", "\"\xc3\"", "'a'", "NaN", "undefined"};
    struct crdt_doc *doc = crdt_doc_new(&(struct crdt_limits){.nesting = 3});
    struct crdt_path map = crdt_root("m", 1), bad_root = crdt_root("\xc3", 1);
    struct crdt_buf out = {0};

    for (size_t i = 0; i < sizeof(no_json) / sizeof(no_json[0]); i++) {
        cr_assert_eq(map_set(doc, "k", no_json[i], &out), -EINVAL, "%zu", i);
        cr_assert_eq(array_insert(doc, 0, no_json[i], &out), -EINVAL, "%zu", i);
        cr_assert_eq(array_push(doc, no_json[i], &out), -EINVAL, "%zu", i);
    }
    cr_assert_eq(array_insert(doc, 0, "{}", &out), -EINVAL, "not an array");
    cr_assert_eq(array_push(doc, "1", &out), -EINVAL, "not an array");
    cr_assert_eq(array_insert(doc, 1, "[1]", &out), -ERANGE);
    cr_assert_eq(array_delete(doc, 0, 1, &out), -ERANGE);
    cr_assert_eq(array_delete(doc, UINT64_MAX, 1, &out), -ERANGE);
    cr_assert_eq(map_set(doc, "\xc3", "1", &out), -EINVAL);
    cr_assert_eq(map_delete(doc, "\xc3", &out), -EINVAL);
    cr_assert_eq(crdt_map_set(doc, 1, bad_root, slice("k"), slice("1"), &out), -EINVAL);
    cr_assert_eq(crdt_array_push(doc, 1, bad_root, slice("[1]"), &out), -EINVAL);
    cr_assert_eq(crdt_map_set(doc, UINT64_C(1) << 53, map, slice("k"), slice("1"), &out), -EINVAL);
    cr_assert_eq(map_set(doc, "k", "[[[[]]]]", &out), -E2BIG);
    cr_assert_eq(array_insert(doc, 0, "[[[[[]]]]]", &out), -E2BIG);
    cr_assert_eq(out.len, 0);
    cr_assert_eq(crdt_doc_state_vector(doc, &out), 0);
    assert_buf(&out, "00", "nothing has happened");
    cr_assert_eq(map_set(doc, "k", "[[[]]]", NULL), 0);
    cr_assert_eq(array_insert(doc, 0, "[[[[]]]]", NULL), 0);
    crdt_doc_free(doc);
}

Test(edit_values, refuses_an_update_over_the_limit)
{
    static const char json[] =
        "[\"0123456789012345678901234567890123456789012345678901234567890\"]";
    struct crdt_doc *doc = crdt_doc_new(&(struct crdt_limits){.output_bytes = 64});
    struct crdt_buf out = {0};

    cr_assert_eq(map_set(doc, "k", json, &out), -E2BIG);
    cr_assert_eq(array_push(doc, json, &out), -E2BIG);
    cr_assert_eq(out.len, 0);
    cr_assert_eq(array_push(doc, "[1]", &out), 0);
    assert_buf(&out, "010101000801016c017d0100", "within it");
    crdt_doc_free(doc);
}

/* A client at the end of its clocks, whom a peer may have brought there. */
Test(edit_values, refuses_a_client_without_clocks)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    /* DELETED of 2^32 - 2 clocks in the root l */
    apply_hex(doc, "01 01 01 00 01 01 01 6c feffffff0f 00");
    cr_assert_eq(array_push(doc, "[1,2]", &out), -E2BIG);
    cr_assert_eq(text_insert(doc, 0, "ab", NULL, &out), -E2BIG);
    cr_assert_eq(text_insert(doc, 0, "a", "{\"b\":1}", &out), -E2BIG);
    cr_assert_eq(text_become(doc, "ab", &out), -E2BIG);
    cr_assert_eq(out.len, 0);
    cr_assert_eq(map_set(doc, "k", "1", NULL), 0);
    cr_assert_eq(map_set(doc, "k", "2", NULL), -E2BIG);
    assert_root(doc, CRDT_KIND_MAP, "m", "{\"k\":1}");
    crdt_doc_free(doc);
}
