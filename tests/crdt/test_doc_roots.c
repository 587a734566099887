/* What a document tells of its roots. The updates are those of npm yjs. */
#include "crdt/crdt.h"

#include "bytes.h"

#define MAX_ROOTS 2

struct root_case {
    const char *what;
    const char *update;
    size_t count;
    struct {
        const char *name;
        enum crdt_kind kind;
        uint64_t length;
        uint64_t keys;
    } roots[MAX_ROOTS];
};

static const struct root_case cases[] = {
    {"no roots", "0000", 0, {{0}}},
    {"a text", "010101000401017402616200", 1, {{"t", CRDT_KIND_TEXT, 2, 0}}},
    {"a text with marks",
     "010301000601016404626f6c64047472756584010002616286010204626f6c64046e756c6c00",
     1,
     {{"d", CRDT_KIND_DELTA, 2, 0}}},
    {"an embed alone", "0101010005010165077b2278223a317d00", 1, {{"e", CRDT_KIND_DELTA, 1, 0}}},
    {"an array with a string and a map",
     "0102010008010161027d017701788701010100",
     1,
     {{"a", CRDT_KIND_ARRAY, 3, 0}}},
    {"a map, one key of it deleted",
     "010201002801016d016b017d012101016d04676f6e65010101010101",
     1,
     {{"m", CRDT_KIND_MAP, 0, 1}}},
    {"elements", "010101000701017803017000", 1, {{"x", CRDT_KIND_XML, 1, 0}}},
    {"a text that was emptied", "0101010001010174020101010002", 1, {{"t", CRDT_KIND_MAP, 0, 0}}},
    {"two, one without a name",
     "010201000401067365636f6e64026162080100017d0100",
     2,
     {{"second", CRDT_KIND_TEXT, 2, 0}, {"", CRDT_KIND_ARRAY, 1, 0}}},
    {"a text with an attribute",
     "010201000401017402616228010174046c616e67017702646500",
     1,
     {{"t", CRDT_KIND_TEXT, 2, 1}}},
};

struct seen {
    const struct root_case *expected;
    size_t count;
};

static void on_root(void *ctx, const struct crdt_root *root)
{
    struct seen *seen = ctx;
    const struct root_case *c = seen->expected;
    size_t i = seen->count++;

    cr_assert_lt(i, c->count, "%s", c->what);
    cr_assert_eq(root->name.len, strlen(c->roots[i].name), "%s", c->what);
    cr_assert_eq(memcmp(root->name.data, c->roots[i].name, root->name.len), 0, "%s", c->what);
    cr_assert_eq(root->kind, c->roots[i].kind, "%s: kind %d", c->what, root->kind);
    cr_assert_eq(root->length, c->roots[i].length, "%s", c->what);
    cr_assert_eq(root->keys, c->roots[i].keys, "%s", c->what);
}

Test(doc_roots, kinds_lengths_and_keys)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen seen = {.expected = &cases[i]};
        struct bytes update = from_hex(cases[i].update);
        struct crdt_doc *doc = crdt_doc_new(NULL);
        cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update.data, update.len, NULL), 0);
        crdt_doc_roots(doc, on_root, &seen);
        cr_assert_eq(seen.count, cases[i].count, "%s", cases[i].what);
        crdt_doc_free(doc);
    }
}
