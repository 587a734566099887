/* A text by the ids of its units: whoever follows what is said of it holds what is there. */
#include "crdt/text_units.h"

#include <errno.h>
#include <stdlib.h>

#include "bytes.h"

#define MAX_UNITS  4096
#define EMBED      0xfffc
#define SITE_A     1001
#define SITE_B     1002
#define REPLICAS   3
#define MAX_QUEUED 512

static const struct crdt_slice root = {(const uint8_t *)"t", 1};

/* ---- a client that follows to the letter ---- */

struct unit {
    struct crdt_id id;
    uint16_t code;
};

struct follower {
    struct unit units[MAX_UNITS];
    size_t count;
    bool is_in_order; /* what is read comes where the last one ended */
};

static size_t index_of(const struct follower *f, struct crdt_id id)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->units[i].id.client == id.client && f->units[i].id.clock == id.clock)
            return i;
    return SIZE_MAX;
}

static void take_away(struct follower *f, const struct crdt_units *units)
{
    for (uint64_t n = 0; n < units->len; n++) {
        size_t at = index_of(f, (struct crdt_id){units->id.client, units->id.clock + n});
        cr_assert_neq(at, SIZE_MAX, "what goes was there");
        f->count--;
        memmove(&f->units[at], &f->units[at + 1], (f->count - at) * sizeof(f->units[0]));
    }
}

static uint32_t next_code(struct crdt_slice *text)
{
    const uint8_t *p = text->data;
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t code = len == 1 ? p[0] : p[0] & (0x7fu >> len);

    for (size_t i = 1; i < len; i++)
        code = code << 6 | (p[i] & 0x3fu);
    *text = (struct crdt_slice){p + len, text->len - len};
    return code;
}

static void put_unit(struct follower *f, size_t at, struct crdt_id id, uint16_t code)
{
    cr_assert_lt(f->count, MAX_UNITS);
    cr_assert_eq(index_of(f, id), SIZE_MAX, "what comes was not there");
    memmove(&f->units[at + 1], &f->units[at], (f->count - at) * sizeof(f->units[0]));
    f->units[at] = (struct unit){id, code};
    f->count++;
}

static void follow(void *ctx, const struct crdt_units *units)
{
    struct follower *f = ctx;
    struct crdt_slice text = units->text;
    size_t at = 0;
    uint64_t done = 0;

    if (units->is_deleted) {
        take_away(f, units);
        return;
    }
    if (units->has_after) {
        at = index_of(f, units->after);
        cr_assert_neq(at, SIZE_MAX, "what it comes behind is there");
        at++;
    }
    cr_assert(!f->is_in_order || at == f->count);
    while (done < units->len) {
        struct crdt_id id = {units->id.client, units->id.clock + done};
        uint32_t code = text.data ? next_code(&text) : EMBED;
        put_unit(f, at++, id,
                 (uint16_t)(code >= 0x10000 ? 0xd800 + ((code - 0x10000) >> 10) : code));
        done++;
        if (code < 0x10000)
            continue;
        id.clock++;
        put_unit(f, at++, id, (uint16_t)(0xdc00 + (code & 0x3ff)));
        done++;
    }
    cr_assert(done == units->len && (!text.data || text.len == 0));
}

static struct follower *new_follower(void)
{
    struct follower *f = calloc(1, sizeof(*f));

    cr_assert(f);
    return f;
}

static void expect_same(const struct follower *f, const struct crdt_doc *doc, const char *what)
{
    struct follower *now = new_follower();

    now->is_in_order = true;
    crdt_doc_read_units(doc, root, follow, now);
    cr_assert_eq(f->count, now->count, "%s: %zu units instead of %zu", what, f->count, now->count);
    cr_assert_eq(memcmp(f->units, now->units, now->count * sizeof(now->units[0])), 0, "%s", what);
    free(now);
}

static void apply_followed(struct crdt_doc *doc, struct crdt_slice update, struct follower *f,
                           const char *what)
{
    struct crdt_applied applied;

    cr_assert_eq(crdt_doc_apply_units(doc, CRDT_V1, update, root, follow, f, &applied), 0, "%s",
                 what);
    expect_same(f, doc, what);
}

/* ---- what is said, as text ---- */

static void print_units(void *ctx, const struct crdt_units *u)
{
    struct crdt_buf *out = ctx;
    char line[200];
    int n;

    if (u->is_deleted)
        n = snprintf(line, sizeof(line), "-%d:%d+%d ", (int)u->id.client, (int)u->id.clock,
                     (int)u->len);
    else if (u->has_after)
        n = snprintf(line, sizeof(line), "%d:%d@%d:%d'%.*s' ", (int)u->id.client, (int)u->id.clock,
                     (int)u->after.client, (int)u->after.clock, (int)u->text.len,
                     (const char *)u->text.data);
    else
        n = snprintf(line, sizeof(line), "%d:%d@'%.*s' ", (int)u->id.client, (int)u->id.clock,
                     (int)u->text.len, (const char *)u->text.data);
    lib0_write_bytes(out, line, (size_t)n);
}

/* Applies an update of the script and compares what is said of it. */
static void expect_said(struct crdt_doc *doc, struct crdt_buf *update, const char *said)
{
    struct crdt_buf out = {0};
    struct crdt_slice bytes = {update->data, update->len};

    cr_assert_eq(crdt_doc_apply_units(doc, CRDT_V1, bytes, root, print_units, &out, NULL), 0);
    assert_text(&out, said);
    crdt_buf_done(update);
    *update = (struct crdt_buf){0};
}

static struct crdt_units_insertion insertion(uint64_t client, uint64_t clock, const char *text)
{
    return (struct crdt_units_insertion){
        .id = {client, clock},
        .before_kind = CRDT_BEFORE_CURRENT,
        .text = {(const uint8_t *)text, strlen(text)},
    };
}

static struct crdt_units_insertion behind(uint64_t client, uint64_t clock, uint64_t after_client,
                                          uint64_t after_clock, const char *text)
{
    struct crdt_units_insertion i = insertion(client, clock, text);

    i.has_after = true;
    i.after = (struct crdt_id){after_client, after_clock};
    return i;
}

static void expect_inserted(struct crdt_doc *doc, struct crdt_units_insertion i, const char *said)
{
    struct crdt_buf update = {0};

    cr_assert_eq(crdt_doc_insert_units(doc, root, &i, &update), 0);
    expect_said(doc, &update, said);
}

static void expect_deleted(struct crdt_doc *doc, uint64_t client, uint64_t clock, uint64_t len,
                           const char *said)
{
    struct crdt_buf update = {0};

    cr_assert_eq(crdt_doc_delete_units(doc, root, (struct crdt_id){client, clock}, len, &update),
                 0);
    expect_said(doc, &update, said);
}

static void expect_text(const struct crdt_doc *doc, const char *text)
{
    struct crdt_buf out = {0};

    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "t", 1, &out), 0);
    assert_text(&out, text);
}

Test(text_units, what_is_typed_is_told_as_it_is_typed)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    expect_inserted(doc, insertion(1, 0, "ab"), "1:0@'ab' ");
    expect_inserted(doc, behind(1, 2, 1, 1, "c"), "1:2@1:1'c' ");
    expect_inserted(doc, behind(2, 0, 1, 0, "x"), "2:0@1:0'x' ");
    expect_inserted(doc, behind(2, 0, 1, 0, "x"), "");
    expect_inserted(doc, insertion(2, 1, "!"), "2:1@'!' ");
    expect_text(doc, "!axbc");
    expect_deleted(doc, 1, 1, 2, "-1:1+2 ");
    expect_deleted(doc, 1, 0, 3, "-1:0+1 ");
    expect_inserted(doc, behind(1, 3, 1, 2, "z"), "1:3@2:0'z' ");
    expect_text(doc, "!xz");
    crdt_doc_free(doc);
}

Test(text_units, what_waited_is_told_when_it_comes)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    expect_inserted(doc, behind(2, 0, 1, 1, "x"), "");
    expect_inserted(doc, behind(2, 1, 2, 0, "y"), "");
    expect_deleted(doc, 1, 0, 1, "");
    expect_deleted(doc, 2, 1, 1, "");
    expect_inserted(doc, insertion(1, 0, "ab"), "1:1@'b' 2:0@1:1'x' ");
    expect_text(doc, "bx");
    crdt_doc_free(doc);
}

Test(text_units, halves_of_a_pair_go_and_come)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    expect_inserted(doc, insertion(1, 0, "a\xf0\x9f\x98\x80z\xf0\x9f\x98\x80"),
                    "1:0@'a\xf0\x9f\x98\x80z\xf0\x9f\x98\x80' ");
    expect_inserted(doc, behind(2, 0, 1, 1, "x"),
                    "-1:1+1 -1:2+1 1:1@1:0'\xef\xbf\xbd' 2:0@1:1'x' 1:2@2:0'\xef\xbf\xbd' ");
    expect_deleted(doc, 1, 4, 1, "-1:4+1 -1:5+1 1:5@1:3'\xef\xbf\xbd' ");
    expect_deleted(doc, 1, 5, 1, "-1:5+1 ");
    expect_text(doc, "a\xef\xbf\xbdx\xef\xbf\xbdz");
    crdt_doc_free(doc);
}

Test(text_units, neighbours_of_other_types_are_refused)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};
    struct crdt_units_insertion bad[] = {
        behind(2, 0, 1, 3, "x"),          /* of another root, */
        behind(2, 0, 1, 0, "x"),          /* of a map, */
        behind(2, 4, 2, 4, "x"),          /* of itself */
        behind(2, 4, 2, 9, "x"),          /* and of what comes later */
        insertion(2, 0, ""),              /* nothing */
        insertion(2, 0, "\xff"),          /* no text */
        insertion(2, UINT32_MAX, "x"),    /* no clock */
        insertion(UINT64_MAX, 0, "x"),    /* no client */
        behind(2, 0, 9, UINT32_MAX, "x"), /* no neighbour */
    };

    cr_assert_eq(crdt_map_set(doc, 1, crdt_root("t", 1), slice_of(&(struct bytes){"k", 1}),
                              slice_of(&(struct bytes){"1", 1}), NULL),
                 0);
    cr_assert_eq(crdt_text_insert(doc, 1, crdt_root("u", 1), 0, "abc", 3, NULL, NULL), 0);
    cr_assert_eq(
        crdt_array_insert(doc, 1, crdt_root("t", 1), 0, slice_of(&(struct bytes){"[7]", 3}), NULL),
        0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int r = crdt_doc_insert_units(doc, root, &bad[i], &out);
        cr_assert_eq(r, -EINVAL, "%zu", i);
    }
    out.len = 0;
    cr_assert_eq(crdt_doc_delete_units(doc, root, (struct crdt_id){1, 2}, 9, &out), -EINVAL);
    cr_assert_eq(crdt_doc_delete_units(doc, root, (struct crdt_id){1, 0}, 1, &out), -EINVAL);
    cr_assert_eq(crdt_doc_delete_units(doc, root, (struct crdt_id){9, 0}, 0, &out), -EINVAL);
    cr_assert_eq(out.len, 0);
    struct crdt_units_insertion i = behind(2, 0, 7, 7, "x");
    i.before_kind = CRDT_BEFORE_UNIT;
    i.before = (struct crdt_id){1, 2};
    cr_assert_eq(crdt_doc_insert_units(doc, root, &i, &out), -EINVAL);
    crdt_buf_done(&out);
    crdt_doc_free(doc);
}

/* ---- random histories ---- */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(*state >> 33);
}

struct history {
    uint64_t random;
    struct crdt_doc *replicas[REPLICAS]; /* of Yjs, so to say */
    struct crdt_doc *doc;
    struct follower *follower;
    struct crdt_buf queue[MAX_QUEUED]; /* updates on their way to `doc` */
    size_t count;
    uint64_t site_clocks[2];
};

static const char *const texts[] = {
    "a",           "bcd", "\xc3\xa9", "\xf0\x9f\x98\x80", "x\xf0\x9f\x98\x80\xf0\x9f\x98\x80y",
    "\xef\xbf\xbc"};

static struct crdt_buf *next_update(struct history *h)
{
    cr_assert_lt(h->count, MAX_QUEUED);
    h->queue[h->count] = (struct crdt_buf){0};
    return &h->queue[h->count];
}

static uint64_t text_len(struct crdt_doc *doc)
{
    struct crdt_relative_position end = {.anchor = CRDT_ANCHOR_ROOT, .root = root};
    struct crdt_absolute_position at;

    cr_assert_eq(crdt_doc_position_resolve(doc, &end, &at), 0);
    return at.index;
}

static int edit_replica(struct history *h, struct crdt_doc *doc, uint64_t client,
                        struct crdt_buf *out)
{
    struct crdt_path path = crdt_root("t", 1);
    uint64_t len = text_len(doc), at = next_random(&h->random) % (len + 1);
    const char *text = texts[next_random(&h->random) % (sizeof(texts) / sizeof(texts[0]))];
    uint64_t some = next_random(&h->random) % 6;

    some = some < len - at ? some : len - at;
    switch (next_random(&h->random) % 8) {
    case 0:
    case 1:
        return crdt_text_delete(doc, path, at, some, out);
    case 2:
        return crdt_text_format(doc, client, path, at, some,
                                (struct crdt_slice){(const uint8_t *)"{\"b\":true}", 10}, out);
    case 3:
        return crdt_array_insert(doc, client, path, at,
                                 (struct crdt_slice){(const uint8_t *)"[1,2]", 5}, out);
    case 4:
        return crdt_text_insert(doc, client, crdt_root("u", 1), 0, text, strlen(text), NULL, out);
    default:
        return crdt_text_insert(doc, client, path, at, text, strlen(text), NULL, out);
    }
}

/* Any unit that the follower sees; also a half of a pair. */
static struct crdt_id any_unit(struct history *h)
{
    if (h->follower->count == 0)
        return (struct crdt_id){SITE_A, 0};
    return h->follower->units[next_random(&h->random) % h->follower->count].id;
}

static int edit_by_units(struct history *h, struct crdt_buf *out)
{
    size_t site = next_random(&h->random) % 2;
    const char *text = texts[next_random(&h->random) % (sizeof(texts) / sizeof(texts[0]))];
    struct crdt_units_insertion i = insertion(SITE_A + site, h->site_clocks[site], text);
    int r;

    if (next_random(&h->random) % 3 == 0)
        return crdt_doc_delete_units(h->doc, root, any_unit(h), 1 + next_random(&h->random) % 2,
                                     out) == 0
                   ? 0
                   : -EINVAL;
    if (next_random(&h->random) % 4 > 0 && h->follower->count > 0) {
        i.has_after = true;
        i.after = any_unit(h);
    }
    r = crdt_doc_insert_units(h->doc, root, &i, out);
    if (r == 0)
        h->site_clocks[site] += lib0_utf16_len((const uint8_t *)text, strlen(text));
    return r;
}

static void make_edit(struct history *h)
{
    uint32_t who = next_random(&h->random) % (REPLICAS + 2);
    struct crdt_buf *out = next_update(h);
    int r =
        who < REPLICAS ? edit_replica(h, h->replicas[who], who + 1, out) : edit_by_units(h, out);

    if (r < 0) {
        crdt_buf_done(out);
        return;
    }
    h->count++;
    if (who < REPLICAS && next_random(&h->random) % 2)
        cr_assert_eq(
            crdt_doc_apply(h->replicas[(who + 1) % REPLICAS], CRDT_V1, out->data, out->len, NULL),
            0);
}

/* Any of the updates, or several of them as one; it may come again. */
static void deliver(struct history *h, bool is_last)
{
    size_t at = next_random(&h->random) % h->count, second = next_random(&h->random) % h->count;
    struct crdt_slice both[2] = {{h->queue[at].data, h->queue[at].len},
                                 {h->queue[second].data, h->queue[second].len}};
    struct crdt_buf merged = {0};
    char what[40];

    snprintf(what, sizeof(what), "%016llx", (unsigned long long)h->random);
    cr_assert_eq(crdt_update_merge(CRDT_V1, both, 2, NULL, &merged), 0);
    if (next_random(&h->random) % 2)
        apply_followed(h->doc, both[0], h->follower, what);
    else
        apply_followed(h->doc, (struct crdt_slice){merged.data, merged.len}, h->follower, what);
    crdt_buf_done(&merged);
    if (!is_last && next_random(&h->random) % 4 == 0)
        return;
    apply_followed(h->doc, both[0], h->follower, what);
    crdt_buf_done(&h->queue[at]);
    h->queue[at] = h->queue[--h->count];
}

/* Replicas hear of what the document has. */
static void spread(struct history *h)
{
    struct crdt_buf all = {0};

    cr_assert_eq(crdt_doc_encode(h->doc, CRDT_V1, NULL, 0, &all), 0);
    cr_assert_eq(crdt_doc_apply(h->replicas[next_random(&h->random) % REPLICAS], CRDT_V1, all.data,
                                all.len, NULL),
                 0);
    crdt_buf_done(&all);
}

/* A text of which most was deleted, in pieces that nothing joins. */
static void make_ruin(struct history *h, uint64_t units)
{
    struct crdt_doc *doc = h->replicas[0];
    struct crdt_buf all = {0};

    for (uint64_t i = 0; i < units; i++)
        cr_assert_eq(crdt_text_insert(doc, 1, crdt_root("t", 1), 0, "-", 1, NULL, NULL), 0);
    for (uint64_t i = units; i > 0; i--)
        if (i % 150 != 75)
            cr_assert_eq(crdt_text_delete(doc, crdt_root("t", 1), i - 1, 1, NULL), 0);
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &all), 0);
    apply_followed(h->doc, (struct crdt_slice){all.data, all.len}, h->follower, "a ruin");
    for (size_t i = 1; i < REPLICAS; i++)
        cr_assert_eq(crdt_doc_apply(h->replicas[i], CRDT_V1, all.data, all.len, NULL), 0);
    crdt_buf_done(&all);
}

static void run_history(uint64_t seed, int steps, uint64_t ruin)
{
    struct history *h = calloc(1, sizeof(*h));

    h->random = seed * UINT64_C(0x9e3779b97f4a7c15);
    h->doc = crdt_doc_new(NULL);
    h->follower = new_follower();
    for (size_t i = 0; i < REPLICAS; i++)
        h->replicas[i] = crdt_doc_new(NULL);
    make_ruin(h, ruin);
    for (int step = 0; step < steps; step++) {
        make_edit(h);
        if (h->count > 0 && (next_random(&h->random) % 3 > 0 || h->count > 20))
            deliver(h, false);
        if (next_random(&h->random) % 10 == 0)
            spread(h);
    }
    while (h->count > 0)
        deliver(h, true);
    cr_assert(!crdt_doc_has_pending(h->doc));
    for (size_t i = 0; i < REPLICAS; i++)
        crdt_doc_free(h->replicas[i]);
    crdt_doc_free(h->doc);
    free(h->follower);
    free(h);
}

Test(text_units, who_follows_holds_what_is_there, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 150; seed++)
        run_history(seed, 120, 0);
    for (uint64_t seed = 1; seed <= 50; seed++)
        run_history(seed, 120, 700);
}

/* A large update into an empty document is taken in another way. */
Test(text_units, a_document_that_is_loaded_is_told)
{
    struct crdt_doc *doc = crdt_doc_new(NULL), *copy = crdt_doc_new(NULL);
    struct follower *f = new_follower();
    struct crdt_buf all = {0};
    uint64_t random = 7;

    for (int i = 0; i < 1000; i++)
        cr_assert_eq(crdt_text_insert(doc, 1, crdt_root("t", 1),
                                      next_random(&random) % (text_len(doc) + 1), "ab", 2, NULL,
                                      NULL),
                     0);
    cr_assert_eq(crdt_text_delete(doc, crdt_root("t", 1), 100, 900, NULL), 0);
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &all), 0);
    cr_assert_gt(all.len, 4096);
    apply_followed(copy, (struct crdt_slice){all.data, all.len}, f, "loaded");
    cr_assert_eq(f->count, 1100);
    crdt_buf_done(&all);
    free(f);
    crdt_doc_free(doc);
    crdt_doc_free(copy);
}
