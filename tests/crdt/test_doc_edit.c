/* Edits by position: one after the other with npm yjs's answers, and at random on three replicas.
 */
#include <errno.h>

#include "bytes.h"
#include "crdt/crdt.h"

#define NAME     "t"
#define NAME_LEN 1

static int insert(struct crdt_doc *doc, uint64_t client, uint64_t index, const char *text,
                  struct crdt_buf *out)
{
    return crdt_text_insert(doc, client, crdt_root(NAME, NAME_LEN), index, text, strlen(text), NULL,
                            out);
}

static int delete (struct crdt_doc *doc, uint64_t index, uint64_t len, struct crdt_buf *out)
{
    return crdt_text_delete(doc, crdt_root(NAME, NAME_LEN), index, len, out);
}

static void read_value(const struct crdt_doc *doc, struct crdt_buf *out)
{
    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, NAME, NAME_LEN, out), 0);
}

static void assert_value(const struct crdt_doc *doc, const char *text)
{
    struct crdt_buf out = {0};

    read_value(doc, &out);
    assert_text(&out, text);
}

Test(edit, makes_the_updates_of_yjs)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    cr_assert_eq(insert(doc, 1, 0, "abc", &out), 0);
    assert_buf(&out, "01010100040101740361626300", "into nothing");
    cr_assert_eq(insert(doc, 1, 1, "X", &out), 0);
    assert_buf(&out, "01010103c401000101015800", "between");
    cr_assert_eq(insert(doc, 2, 0, "<", &out), 0);
    assert_buf(&out, "0101020044 0100 013c00", "at the start");
    cr_assert_eq(insert(doc, 2, 5, ">", &out), 0);
    assert_buf(&out, "01010201840102013e00", "at the end");
    assert_value(doc, "<aXbc>");
    cr_assert_eq(delete (doc, 1, 4, &out), 0);
    assert_buf(&out, "000101010004", "all of one client");
    cr_assert_eq(insert(doc, 3, 1, "-", &out), 0);
    assert_buf(&out, "01010300c401020201012d00", "behind what is deleted");
    cr_assert_eq(delete (doc, 0, 3, &out), 0);
    assert_buf(&out, "00020301000102010002", "the rest");
    assert_value(doc, "");
    crdt_doc_free(doc);
}

Test(edit, keeps_surrogate_pairs_whole)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    cr_assert_eq(insert(doc, 1, 0,
                        "a\xf0\x9f\x98\x80"
                        "b",
                        NULL),
                 0);
    cr_assert_eq(insert(doc, 1, 2, "X", NULL), 0);
    assert_value(doc, "aX\xf0\x9f\x98\x80"
                      "b");
    cr_assert_eq(delete (doc, 2, 1, NULL), 0);
    assert_value(doc, "aX\xf0\x9f\x98\x80"
                      "b");
    cr_assert_eq(delete (doc, 3, 1, NULL), 0);
    assert_value(doc, "aXb");
    crdt_doc_free(doc);
}

Test(edit, refuses_what_is_outside)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    cr_assert_eq(insert(doc, 1, 1, "x", &out), -ERANGE);
    cr_assert_eq(delete (doc, 0, 1, &out), -ERANGE);
    cr_assert_eq(insert(doc, 1, 0, "\xc3", &out), -EINVAL);
    cr_assert_eq(insert(doc, UINT64_C(1) << 53, 0, "x", &out), -EINVAL);
    cr_assert_eq(out.len, 0);
    cr_assert_eq(insert(doc, 1, 0, "ab", NULL), 0);
    cr_assert_eq(insert(doc, 1, 3, "x", &out), -ERANGE);
    cr_assert_eq(delete (doc, 1, 2, &out), -ERANGE);
    cr_assert_eq(delete (doc, 2, UINT64_MAX, &out), -ERANGE);
    cr_assert_eq(out.len, 0);
    cr_assert_eq(insert(doc, 1, 1, "", &out), 0);
    assert_buf(&out, "0000", "an empty insertion");
    cr_assert_eq(delete (doc, 2, 0, &out), 0);
    assert_buf(&out, "0000", "an empty deletion");
    assert_value(doc, "ab");
    crdt_doc_free(doc);
}

/* ---- at random ---- */

#define DOCS        3
#define ROUNDS      1000
#define EDITS       40
#define MAX_UPDATES (EDITS * 2)

static uint64_t random_state;

static uint32_t below(uint32_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((random_state >> 33) % limit);
}

struct round {
    struct crdt_doc *docs[DOCS];
    struct crdt_buf updates[MAX_UPDATES];
    size_t count;
};

/* Units of a text of ASCII, two-byte and four-byte characters. */
static uint64_t text_units(const struct crdt_doc *doc)
{
    struct crdt_buf out = {0};
    uint64_t units;

    read_value(doc, &out);
    units = lib0_utf16_len(out.data, out.len);
    crdt_buf_done(&out);
    return units;
}

static void edit_once(struct round *round, uint32_t index)
{
    static const char *const texts[] = {
        "a", "bc", "long text", "\xc3\xa9", "\xf0\x9f\x98\x80", "x\xf0\x9f\x98\x80y"};
    struct crdt_doc *doc = round->docs[index];
    struct crdt_buf *out = &round->updates[round->count++];
    uint64_t units = text_units(doc), at = below((uint32_t)units + 1);

    if (below(3) == 0)
        cr_assert_eq(delete (doc, at, below((uint32_t)(units - at < 6 ? units - at : 6) + 1), out),
                     0);
    else
        cr_assert_eq(insert(doc, index + 1, at, texts[below(6)], out), 0);
}

static void apply_one(struct round *round, uint32_t doc, size_t update)
{
    const struct crdt_buf *u = &round->updates[update];

    cr_assert_eq(crdt_doc_apply(round->docs[doc], CRDT_V1, u->data, u->len, NULL), 0);
}

/* All updates in a random order, some of them twice. */
static void deliver(struct round *round, uint32_t doc)
{
    size_t order[MAX_UPDATES * 2], count = 0;

    for (size_t i = 0; i < round->count; i++) {
        order[count++] = i;
        if (below(4) == 0)
            order[count++] = i;
    }
    for (size_t i = count; i > 1; i--) {
        size_t j = below((uint32_t)i), swap = order[i - 1];

        order[i - 1] = order[j];
        order[j] = swap;
    }
    for (size_t i = 0; i < count; i++)
        apply_one(round, doc, order[i]);
}

static void assert_same(const struct round *round, uint64_t seed)
{
    struct crdt_buf states[DOCS] = {0}, texts[DOCS] = {0};

    for (int i = 0; i < DOCS; i++) {
        cr_assert(!crdt_doc_has_pending(round->docs[i]), "seed %llu", (unsigned long long)seed);
        cr_assert_eq(crdt_doc_encode(round->docs[i], CRDT_V1, NULL, 0, &states[i]), 0);
        read_value(round->docs[i], &texts[i]);
        cr_assert(states[i].len == states[0].len &&
                      !memcmp(states[i].data, states[0].data, states[0].len),
                  "states differ, seed %llu", (unsigned long long)seed);
        cr_assert(texts[i].len == texts[0].len &&
                      (texts[0].len == 0 || !memcmp(texts[i].data, texts[0].data, texts[0].len)),
                  "texts differ, seed %llu", (unsigned long long)seed);
    }
    for (int i = 0; i < DOCS; i++) {
        crdt_buf_done(&states[i]);
        crdt_buf_done(&texts[i]);
    }
}

Test(edit, converges_in_any_order, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct round round = {0};

        random_state = seed;
        for (int i = 0; i < DOCS; i++)
            round.docs[i] = crdt_doc_new(NULL);
        for (int i = 0; i < EDITS; i++) {
            edit_once(&round, below(DOCS));
            /* Now and then something comes in between. */
            if (below(3) == 0)
                apply_one(&round, below(DOCS), below((uint32_t)round.count));
        }
        for (uint32_t i = 0; i < DOCS; i++)
            deliver(&round, i);
        assert_same(&round, seed);
        for (int i = 0; i < DOCS; i++)
            crdt_doc_free(round.docs[i]);
        for (size_t i = 0; i < round.count; i++)
            crdt_buf_done(&round.updates[i]);
    }
}

/* Many edits at moving places: what the cursor must not get wrong. */
Test(edit, keeps_its_place, .timeout = 120)
{
    enum { MODEL = 20000 };
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};
    char *model = calloc(MODEL, 1);
    size_t len = 0, at = 0;

    random_state = 7;
    for (int i = 0; i < 5000; i++) {
        char c = (char)('a' + below(26));

        at = below(8) == 0 ? below((uint32_t)len + 1) : at;
        at = at > len ? len : at;
        if (below(4) == 0 && at > 0) {
            size_t n = 1 + below(at > 3 ? 3 : (uint32_t)at);

            at -= n;
            memmove(model + at, model + at + n, len - at - n);
            len -= n;
            cr_assert_eq(delete (doc, at, n, NULL), 0);
        } else {
            memmove(model + at + 1, model + at, len - at);
            model[at] = c;
            len++;
            cr_assert_eq(crdt_text_insert(doc, 1 + below(2), crdt_root(NAME, NAME_LEN), at, &c, 1,
                                          NULL, NULL),
                         0);
            at++;
        }
    }
    read_value(doc, &out);
    cr_assert(out.len == len && !memcmp(out.data, model, len));
    crdt_buf_done(&out);
    crdt_doc_free(doc);
    free(model);
}

/* Text that was deleted does not stay in memory for ever, and what moves to make room stays right.
 */
Test(edit, gives_back_deleted_text)
{
    enum { BLOCK = 10000, ROUNDS_OF_BLOCKS = 500 };
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_stats stats;
    struct crdt_buf out = {0};
    char *block = malloc(BLOCK);

    memset(block, 'x', BLOCK);
    cr_assert_eq(insert(doc, 1, 0, "<\xf0\x9f\x98\x80>", NULL), 0);
    for (int i = 0; i < ROUNDS_OF_BLOCKS; i++) {
        cr_assert_eq(
            crdt_text_insert(doc, 1, crdt_root(NAME, NAME_LEN), 1, block, BLOCK, NULL, NULL), 0);
        cr_assert_eq(delete (doc, 1, BLOCK - 1, NULL), 0);
    }
    crdt_doc_stats(doc, &stats);
    cr_assert_lt(stats.memory_bytes, 1u << 20);
    read_value(doc, &out);
    cr_assert_eq(out.len, ROUNDS_OF_BLOCKS + 6);
    cr_assert_eq(out.data[0], '<');
    cr_assert(!memcmp(out.data + out.len - 5, "\xf0\x9f\x98\x80>", 5));
    for (size_t i = 1; i + 5 < out.len; i++)
        cr_assert_eq(out.data[i], 'x');
    crdt_buf_done(&out);
    free(block);
    crdt_doc_free(doc);
}
