/*
 * The limit on steps of integration: what it counts, and that a refused update leaves nothing in
 * the document, whatever of it had been integrated before the limit was reached. The latter on
 * random documents and updates, which use all that a struct can be.
 */
#include <errno.h>
#include <stdlib.h>

#include "bytes.h"
#include "crdt/codec.h"

#define CLIENTS 6u
#define WRITER  (UINT64_C(1) << 40)

static int apply_buf(struct crdt_doc *doc, const struct crdt_buf *update, uint64_t *ret_steps)
{
    struct crdt_applied applied = {0};
    int r = crdt_doc_apply(doc, CRDT_V1, update->data, update->len, &applied);

    *ret_steps = applied.steps;
    return r;
}

static void encode(const struct crdt_doc *doc, enum crdt_format format, struct crdt_buf *out)
{
    out->len = 0;
    cr_assert_eq(crdt_doc_encode(doc, format, NULL, 0, out), 0);
}

static bool is_equal(const struct crdt_buf *a, const struct crdt_buf *b)
{
    return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

static void finish(struct crdt_writer *w, struct crdt_buf *out)
{
    crdt_writer_deletes(w, 0);
    cr_assert_eq(crdt_writer_finish(w, out), 0);
    crdt_writer_free(w);
}

/* ---- what a step is ---- */

/* `count` clients insert behind the first of many characters, each knowing more of these: each is
 * compared with all that lies between. */
static void insert_across(uint64_t count, struct crdt_buf *out)
{
    struct crdt_writer *w = crdt_writer_new(CRDT_V1, NULL);

    cr_assert(w);
    for (uint64_t i = count; i > 0; i--) {
        struct crdt_struct s = {
            .id = {i, 0},
            .len = 1,
            .info = CRDT_REF_STRING | CRDT_INFO_ORIGIN | CRDT_INFO_RIGHT_ORIGIN,
            .origin = {WRITER, 0},
            .right_origin = {WRITER, i},
            .content.bytes = {(const uint8_t *)"x", 1},
        };

        crdt_writer_append(w, &s, 0);
    }
    finish(w, out);
}

static struct crdt_doc *text_of(uint64_t len, const struct crdt_limits *limits)
{
    struct crdt_doc *doc = crdt_doc_new(limits);
    char *text = malloc(len);

    cr_assert(doc && text);
    memset(text, 'a', len);
    cr_assert_eq(crdt_text_insert(doc, WRITER, crdt_root("t", 1), 0, text, len, NULL, NULL), 0);
    free(text);
    return doc;
}

Test(steps, typing_takes_none)
{
    struct crdt_doc *doc = text_of(100, NULL), *copy = crdt_doc_new(NULL);
    struct crdt_buf update = {0};
    uint64_t steps;

    for (uint64_t i = 0; i < 1000; i++)
        cr_assert_eq(crdt_text_insert(doc, 1 + i % 7, crdt_root("t", 1), i * 31 % (100 + i), "x", 1,
                                      NULL, NULL),
                     0);
    encode(doc, CRDT_V1, &update);
    cr_assert_eq(apply_buf(copy, &update, &steps), 0);
    cr_assert_leq(steps, 1000);
    crdt_buf_done(&update);
    crdt_doc_free(doc);
    crdt_doc_free(copy);
}

Test(steps, what_was_passed_is_counted)
{
    const uint64_t count = 1000;
    struct crdt_doc *doc = text_of(count + 1, NULL);
    struct crdt_buf update = {0};
    uint64_t steps;

    insert_across(count, &update);
    cr_assert_eq(apply_buf(doc, &update, &steps), 0);
    cr_assert(steps >= count * count / 2 && steps <= count * (count + 10));
    cr_assert_eq(apply_buf(doc, &update, &steps), 0);
    cr_assert_eq(steps, 0, "nothing is new");
    crdt_buf_done(&update);
    crdt_doc_free(doc);
}

/* `count` letters of one client, each put in front of the one before, at the head of one text or,
 * by turns, of two. */
static struct crdt_doc *prepended(uint64_t client, uint64_t count, unsigned texts)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    const char letter = (char)('a' + client);

    cr_assert(doc);
    for (uint64_t i = 0; i < count; i++)
        cr_assert_eq(crdt_text_insert(doc, client, crdt_root(i % texts ? "u" : "t", 1), 0, &letter,
                                      1, NULL, NULL),
                     0);
    return doc;
}

static void expect_text(const struct crdt_doc *doc, const char *expected)
{
    struct crdt_buf text = {0};

    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "t", 1, &text), 0);
    cr_expect(text.len == strlen(expected) && !memcmp(text.data, expected, text.len));
    crdt_buf_done(&text);
}

/* Two who were offline, and both put thousands of lines at the head of a document. */
Test(steps, what_is_put_in_front_again_and_again_takes_few)
{
    for (unsigned texts = 1; texts <= 2; texts++) {
        enum { COUNT = 10000 };
        struct crdt_doc *docs[] = {prepended(1, COUNT, texts), prepended(2, COUNT, texts)};
        struct crdt_buf updates[2] = {{0}, {0}}, whole = {0};
        char expected[2 * COUNT + 1];
        uint64_t steps;

        for (int i = 0; i < 2; i++)
            encode(docs[i], CRDT_V1, &updates[i]);
        memset(expected, 'b', COUNT / texts);
        memset(expected + COUNT / texts, 'c', COUNT / texts);
        expected[2 * COUNT / texts] = 0;
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(apply_buf(docs[i], &updates[1 - i], &steps), 0);
            cr_expect_leq(steps, 4 * COUNT, "%d: %lu", i, (unsigned long)steps);
            expect_text(docs[i], expected);
        }
        /* And whole, in one update. */
        struct crdt_doc *copy = crdt_doc_new(NULL);
        encode(docs[0], CRDT_V1, &whole);
        cr_assert_eq(apply_buf(copy, &whole, &steps), 0);
        cr_expect_leq(steps, 4 * COUNT, "%lu", (unsigned long)steps);
        expect_text(copy, expected);
        crdt_doc_free(copy);
        crdt_buf_done(&whole);
        for (int i = 0; i < 2; i++) {
            crdt_buf_done(&updates[i]);
            crdt_doc_free(docs[i]);
        }
    }
}

/* It makes no difference how many siblings have gathered at one place. */
Test(steps, siblings_take_few)
{
    struct crdt_doc *doc = text_of(2, NULL);
    uint64_t total = 0;

    for (uint64_t i = 1; i <= 20000; i++) {
        struct crdt_writer *w = crdt_writer_new(CRDT_V1, NULL);
        struct crdt_struct s = {
            .id = {i, 0},
            .len = 1,
            .info = CRDT_REF_STRING | CRDT_INFO_ORIGIN | CRDT_INFO_RIGHT_ORIGIN,
            .origin = {WRITER, 0},
            .right_origin = {WRITER, 1},
            .content.bytes = {(const uint8_t *)"x", 1},
        };
        struct crdt_buf update = {0};
        uint64_t steps;

        cr_assert(w);
        crdt_writer_append(w, &s, 0);
        finish(w, &update);
        cr_assert_eq(apply_buf(doc, &update, &steps), 0);
        total += steps;
        crdt_buf_done(&update);
    }
    cr_assert_leq(total, 40 * 20000);
    crdt_doc_free(doc);
}

Test(steps, default_refuses_what_is_quadratic)
{
    const uint64_t count = 8000;
    struct crdt_doc *doc = text_of(count + 1, NULL);
    struct crdt_buf update = {0}, before = {0}, after = {0};
    uint64_t steps;

    insert_across(count, &update);
    encode(doc, CRDT_V1, &before);
    cr_assert_eq(apply_buf(doc, &update, &steps), -E2BIG);
    encode(doc, CRDT_V1, &after);
    cr_assert(is_equal(&before, &after));
    crdt_buf_done(&update);
    crdt_buf_done(&before);
    crdt_buf_done(&after);
    crdt_doc_free(doc);
}

/* What is streamed into an empty document is counted as well. */
Test(steps, loading_is_limited)
{
    const uint64_t count = 500;
    struct crdt_limits limits = {.steps = 1000};
    struct crdt_doc *doc = text_of(count + 1, NULL), *copy = crdt_doc_new(&limits);
    struct crdt_buf update = {0}, whole = {0}, out = {0};
    uint64_t steps;

    insert_across(count, &update);
    cr_assert_eq(apply_buf(doc, &update, &steps), 0);
    encode(doc, CRDT_V1, &whole);
    cr_assert_eq(apply_buf(copy, &whole, &steps), -E2BIG);
    encode(copy, CRDT_V1, &out);
    assert_bytes(out.data, out.len, "0000", "nothing");
    limits.steps = UINT64_MAX;
    crdt_doc_set_limits(copy, &limits);
    cr_assert_eq(apply_buf(copy, &whole, &steps), 0);
    encode(copy, CRDT_V1, &out);
    cr_assert(is_equal(&whole, &out));
    crdt_buf_done(&update);
    crdt_buf_done(&whole);
    crdt_buf_done(&out);
    crdt_doc_free(doc);
    crdt_doc_free(copy);
}

/* What waited counts with the update that sets it free: so no record of a log costs more than the
 * limit when it is read again. */
Test(steps, what_is_set_free_is_counted)
{
    const uint64_t count = 500;
    struct crdt_limits limits = {.steps = 1000};
    struct crdt_doc *doc = text_of(1, NULL), *writer = text_of(1, NULL);
    struct crdt_buf waiting = {0}, typed = {0}, before = {0}, after = {0};
    uint64_t steps;
    char text[500];

    memset(text, 'b', sizeof(text));
    cr_assert_eq(crdt_text_insert(writer, WRITER, crdt_root("t", 1), 1, text, count, NULL, &typed),
                 0);
    insert_across(count, &waiting);
    crdt_doc_set_limits(doc, &limits);
    cr_assert_eq(apply_buf(doc, &waiting, &steps), 0);
    cr_assert_eq(steps, 0, "it waits");
    encode(doc, CRDT_V1, &before);
    cr_assert_eq(apply_buf(doc, &typed, &steps), -E2BIG);
    encode(doc, CRDT_V1, &after);
    cr_assert(is_equal(&before, &after));
    cr_assert(crdt_doc_has_pending(doc));
    crdt_doc_set_limits(doc, NULL);
    cr_assert_eq(apply_buf(doc, &typed, &steps), 0);
    cr_assert_geq(steps, count * count / 2);
    cr_assert(!crdt_doc_has_pending(doc));
    crdt_buf_done(&waiting);
    crdt_buf_done(&typed);
    crdt_buf_done(&before);
    crdt_buf_done(&after);
    crdt_doc_free(writer);
    crdt_doc_free(doc);
}

/* ---- what is refused leaves nothing ---- */

/* One struct that is joined to what its client typed before, and two that meet at one place. */
Test(steps, typing_is_taken_back)
{
    static const char typed[] = "01 01 09 00 04 01 01 74 05 61f09f9880 00";
    static const char more[] = "03 01 09 03 84 09 02 03 626364 01 02 00 84 09 00 01 78 "
                               "01 01 00 84 09 00 01 79 00";
    struct crdt_limits limits = {.steps = 1};
    struct crdt_doc *doc = crdt_doc_new(&limits);
    struct bytes first = from_hex(typed), second = from_hex(more);
    struct crdt_buf out = {0};

    cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, first.data, first.len, NULL), 0);
    cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, second.data, second.len, NULL), -E2BIG);
    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "t", 1, &out), 0);
    assert_text(&out, "a\xf0\x9f\x98\x80");
    cr_assert_eq(crdt_text_insert(doc, 5, crdt_root("t", 1), 4, "z", 1, NULL, NULL), -ERANGE);
    cr_assert_eq(crdt_text_insert(doc, 5, crdt_root("t", 1), 3, "z", 1, NULL, NULL), 0);
    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "t", 1, &out), 0);
    assert_text(&out, "a\xf0\x9f\x98\x80z");
    crdt_doc_free(doc);
}

struct random {
    uint64_t state;
    uint32_t clocks[CLIENTS]; /* of each client: how many there are */
    uint32_t known[CLIENTS];  /* and how many of them before the update */
    struct crdt_id types[64]; /* items that hold a type */
    uint32_t type_count;
};

static uint32_t pick(struct random *r, uint32_t below)
{
    r->state = r->state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(r->state >> 33) % below;
}

/* A clock that the update knows: of the document, or of its own client. */
static bool pick_id(struct random *r, uint32_t client, struct crdt_id *ret_id)
{
    uint32_t other = pick(r, 3) == 0 ? client : pick(r, CLIENTS);
    uint32_t below = other == client ? r->clocks[other] : r->known[other];

    if (below == 0)
        return false;
    /* Few places, for many conflicts. */
    *ret_id = (struct crdt_id){other + 1, pick(r, 4) == 0 ? pick(r, below) : pick(r, 9) % below};
    return true;
}

static void pick_parent(struct random *r, struct crdt_struct *s)
{
    static const char *const names[] = {"t", "m", "x", "new", "newer"};
    const char *name = names[pick(r, 5)];
    bool has_key = pick(r, 2);

    if (r->type_count > 0 && pick(r, 2)) {
        s->parent = CRDT_PARENT_ITEM;
        s->parent_id = r->types[pick(r, r->type_count)];
    } else {
        s->parent = CRDT_PARENT_ROOT;
        s->parent_name = (struct crdt_slice){(const uint8_t *)name, strlen(name)};
    }
    if (has_key) {
        name = names[pick(r, 5)];
        s->info |= CRDT_INFO_PARENT_SUB;
        s->parent_sub = (struct crdt_slice){(const uint8_t *)name, strlen(name)};
    }
}

static void pick_content(struct random *r, struct crdt_struct *s)
{
    static const struct {
        enum crdt_ref ref;
        uint64_t len;
        const char *bytes;
        const char *key;
    } contents[] = {
        {CRDT_REF_STRING, 1, "a", NULL},
        {CRDT_REF_STRING, 7, "b\xf0\x9f\x98\x80\xf0\x9f\x98\x81xy", NULL},
        {CRDT_REF_STRING, 2, "\xf0\x9f\x98\x82", NULL},
        {CRDT_REF_STRING, 0, "", NULL},
        {CRDT_REF_ANY, 3, "\x78\x79\x7e", NULL},
        {CRDT_REF_ANY, 0, "", NULL},
        {CRDT_REF_JSON, 2, "\x01\x31\x01\x32", NULL},
        {CRDT_REF_DELETED, 3, "", NULL},
        {CRDT_REF_GC, 2, "", NULL},
        {CRDT_REF_BINARY, 1, "zz", NULL},
        {CRDT_REF_FORMAT, 1, "true", "bold"},
        {CRDT_REF_FORMAT, 1, "null", "newkey"},
        {CRDT_REF_TYPE, 1, "", NULL},
        {CRDT_REF_TYPE, 1, "", NULL},
    };
    uint32_t i = pick(r, sizeof(contents) / sizeof(contents[0]));

    s->info = (uint8_t)contents[i].ref;
    s->len = contents[i].len;
    s->content = (struct crdt_content){
        .bytes = {(const uint8_t *)contents[i].bytes, strlen(contents[i].bytes)},
        .value_is_any = contents[i].ref == CRDT_REF_ANY,
    };
    if (contents[i].key)
        s->content.key =
            (struct crdt_slice){(const uint8_t *)contents[i].key, strlen(contents[i].key)};
}

static void make_struct(struct random *r, uint32_t client, struct crdt_struct *s)
{
    *s = (struct crdt_struct){.id = {client + 1, r->clocks[client]}};
    pick_content(r, s);
    if (crdt_struct_ref(s) == CRDT_REF_TYPE)
        s->content.type_ref = (uint8_t)pick(r, 3);
    if (crdt_struct_ref(s) != CRDT_REF_GC) {
        /* Often as while typing, which is joined. */
        if (r->clocks[client] > 0 && pick(r, 3) == 0) {
            s->info |= CRDT_INFO_ORIGIN;
            s->origin = (struct crdt_id){client + 1, r->clocks[client] - 1};
        } else if (pick(r, 4) && pick_id(r, client, &s->origin)) {
            s->info |= CRDT_INFO_ORIGIN;
        }
        if (pick(r, 3) && pick_id(r, client, &s->right_origin))
            s->info |= CRDT_INFO_RIGHT_ORIGIN;
        if (!(s->info & (CRDT_INFO_ORIGIN | CRDT_INFO_RIGHT_ORIGIN)))
            pick_parent(r, s);
    }
    if (crdt_struct_ref(s) == CRDT_REF_TYPE && r->type_count < 64)
        r->types[r->type_count++] = s->id;
    r->clocks[client] += (uint32_t)s->len;
}

static void make_update(struct random *r, uint32_t structs, struct crdt_buf *out)
{
    struct crdt_writer *w = crdt_writer_new(CRDT_V1, NULL);

    cr_assert(w);
    memcpy(r->known, r->clocks, sizeof(r->known));
    for (uint32_t client = CLIENTS; client-- > 0;)
        for (uint32_t i = 0; i < structs; i++) {
            struct crdt_struct s;

            make_struct(r, client, &s);
            crdt_writer_append(w, &s, 0);
        }
    crdt_writer_deletes(w, 1);
    crdt_writer_delete_client(w, 1 + pick(r, CLIENTS), 1);
    crdt_writer_delete(w, pick(r, 20), 1 + pick(r, 9));
    cr_assert_eq(crdt_writer_finish(w, out), 0);
    crdt_writer_free(w);
}

static struct crdt_doc *doc_of(const struct crdt_buf *updates, size_t count)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    cr_assert(doc);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, updates[i].data, updates[i].len, NULL), 0);
    return doc;
}

static void assert_refused(const struct crdt_buf *updates, size_t count, uint64_t limit)
{
    struct crdt_limits limits = {.steps = limit};
    struct crdt_doc *doc = doc_of(updates, count), *whole = doc_of(updates, count + 1);
    struct crdt_buf want[2] = {0}, got[2] = {0}, want_sv = {0}, got_sv = {0};
    struct crdt_stats want_stats, got_stats;
    uint64_t steps;

    for (int i = 0; i < 2; i++)
        encode(doc, i ? CRDT_V2 : CRDT_V1, &want[i]);
    cr_assert_eq(crdt_doc_state_vector(doc, &want_sv), 0);
    crdt_doc_stats(doc, &want_stats);
    crdt_doc_set_limits(doc, &limits);
    cr_assert_eq(apply_buf(doc, &updates[count], &steps), -E2BIG);
    crdt_doc_set_limits(doc, NULL);
    for (int i = 0; i < 2; i++) {
        encode(doc, i ? CRDT_V2 : CRDT_V1, &got[i]);
        cr_assert(is_equal(&want[i], &got[i]), "as it was, format %d", i + 1);
    }
    cr_assert_eq(crdt_doc_state_vector(doc, &got_sv), 0);
    cr_assert(is_equal(&want_sv, &got_sv));
    crdt_doc_stats(doc, &got_stats);
    cr_assert(want_stats.structs == got_stats.structs && want_stats.clients == got_stats.clients);

    /* And it goes on as if nothing had been. */
    cr_assert_eq(apply_buf(doc, &updates[count], &steps), 0);
    for (int i = 0; i < 2; i++) {
        encode(doc, i ? CRDT_V2 : CRDT_V1, &got[i]);
        encode(whole, i ? CRDT_V2 : CRDT_V1, &want[i]);
        cr_assert(is_equal(&want[i], &got[i]), "after it, format %d", i + 1);
        crdt_buf_done(&want[i]);
        crdt_buf_done(&got[i]);
    }
    crdt_buf_done(&want_sv);
    crdt_buf_done(&got_sv);
    crdt_doc_free(doc);
    crdt_doc_free(whole);
}

Test(steps, refused_updates_leave_nothing)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct random r = {.state = seed};
        struct crdt_buf updates[3] = {0};
        struct crdt_doc *doc;
        uint64_t steps;

        for (size_t i = 0; i < 3; i++)
            make_update(&r, 1 + pick(&r, 8), &updates[i]);
        doc = doc_of(updates, 2);
        cr_assert_eq(apply_buf(doc, &updates[2], &steps), 0);
        crdt_doc_free(doc);
        /* Zero would be the default. */
        for (uint64_t limit = 1; limit < steps; limit += 1 + steps / 16)
            assert_refused(updates, 2, limit);
        for (size_t i = 0; i < 3; i++)
            crdt_buf_done(&updates[i]);
    }
}
