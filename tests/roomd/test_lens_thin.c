/*
 * Thin clients of the lens `ops`: they keep what they are told, follow it to the letter, and know
 * nothing else. Their operations come late, twice and out of order.
 */
#include "roomd/lens.h"

#include "common/buffer.h"
#include "crdt/lib0.h"

#include <criterion/criterion.h>
#include <jansson.h>

static struct crdt_doc *new_doc(void)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    cr_assert(doc);
    return doc;
}

/* ---- a thin client ---- */

#define CLIENTS     3
#define QUEUE_MAX   256
#define UNITS_MAX   4096
#define HISTORY_OPS 80

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(*state >> 33);
}

/* A unit as a thin client keeps it: no more than it was told. */
struct unit {
    char site[24];
    json_int_t counter;
    uint16_t code;
};

struct text {
    struct unit units[UNITS_MAX];
    size_t count;
};

static size_t find_unit(const struct text *t, const json_t *id)
{
    const char *site = json_string_value(json_object_get(id, "site"));
    json_int_t counter = json_integer_value(json_object_get(id, "counter"));
    size_t i = 0;

    while (i < t->count && (t->units[i].counter != counter || strcmp(t->units[i].site, site) != 0))
        i++;
    return i;
}

static void put_unit(struct text *t, size_t at, const json_t *id, json_int_t more, uint32_t code)
{
    struct unit unit = {.counter = json_integer_value(json_object_get(id, "counter")) + more,
                        .code = (uint16_t)code};

    cr_assert_lt(t->count, UNITS_MAX);
    (void)snprintf(unit.site, sizeof(unit.site), "%s",
                   json_string_value(json_object_get(id, "site")));
    memmove(&t->units[at + 1], &t->units[at], (t->count - at) * sizeof(unit));
    t->units[at] = unit;
    t->count++;
}

/* Puts the units of `value` from `at` on. */
static void put_value(struct text *t, size_t at, const json_t *id, const json_t *value)
{
    const char *p = json_string_value(value), *end = p + json_string_length(value);

    for (json_int_t more = 0; p < end; more++) {
        uint8_t lead = (uint8_t)*p;
        int len = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        uint32_t code = len == 1 ? lead : lead & (0x7fu >> len);
        for (int i = 1; i < len; i++)
            code = code << 6 | ((uint8_t)p[i] & 0x3fu);
        p += len;
        if (code >= 0x10000) {
            put_unit(t, at++, id, more++, 0xd800 + ((code - 0x10000) >> 10));
            code = 0xdc00 + (code & 0x3ff);
        }
        put_unit(t, at++, id, more, code);
    }
}

static void follow_line(struct text *t, const char *line, size_t len)
{
    json_t *op = json_loadb(line, len, JSON_ALLOW_NUL, NULL);
    const json_t *id = json_object_get(op, "id"), *after = json_object_get(op, "after");

    cr_assert(op && id);
    if (strcmp(json_string_value(json_object_get(op, "kind")), "insert") == 0) {
        size_t at = json_is_null(after) ? 0 : find_unit(t, after) + 1;
        cr_assert_leq(at, t->count, "%.*s", (int)len, line);
        put_value(t, at, id, json_object_get(op, "value"));
    } else {
        json_t *gone = json_deep_copy(id);
        for (json_int_t n = json_integer_value(json_object_get(op, "length")); n > 0; n--) {
            size_t at = find_unit(t, gone);
            cr_assert_lt(at, t->count, "%.*s", (int)len, line);
            t->count--;
            memmove(&t->units[at], &t->units[at + 1], (t->count - at) * sizeof(t->units[0]));
            json_t *counter = json_object_get(gone, "counter");
            (void)json_integer_set(counter, json_integer_value(counter) + 1);
        }
        json_decref(gone);
    }
    json_decref(op);
}

static void follow(struct text *t, struct slice lines)
{
    const char *p = (const char *)lines.data, *end = p + lines.len;

    while (p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        cr_assert(line_end);
        follow_line(t, p, (size_t)(line_end - p));
        p = line_end + 1;
    }
}

static void load_view(struct text *t, const struct crdt_doc *doc)
{
    struct crdt_buf state = {0};
    size_t i;
    json_t *run;

    cr_assert_eq(lens_ops.view(doc, &state), 0);
    json_t *runs = json_loadb((const char *)state.data, state.len, JSON_ALLOW_NUL, NULL);
    cr_assert(json_is_array(runs));
    t->count = 0;
    json_array_foreach(runs, i, run)
        put_value(t, t->count, json_object_get(run, "id"), json_object_get(run, "value"));
    json_decref(runs);
    crdt_buf_done(&state);
}

static void expect_same(const struct text *t, const struct crdt_doc *doc, struct text *scratch,
                        uint64_t seed)
{
    load_view(scratch, doc);
    cr_assert_eq(t->count, scratch->count, "seed %llu", (unsigned long long)seed);
    cr_assert_eq(memcmp(t->units, scratch->units, t->count * sizeof(t->units[0])), 0, "seed %llu",
                 (unsigned long long)seed);
}

/* ---- a room of them ---- */

struct queue {
    struct slice items[QUEUE_MAX];
    size_t count;
};

static void push(struct queue *q, const void *data, size_t len)
{
    uint8_t *copy = xmalloc(len + 1);

    cr_assert_lt(q->count, QUEUE_MAX);
    memcpy(copy, data, len);
    q->items[q->count++] = slice_of(copy, len);
}

static void drop(struct queue *q, size_t at)
{
    free((void *)(uintptr_t)q->items[at].data);
    q->count--;
    memmove(&q->items[at], &q->items[at + 1], (q->count - at) * sizeof(q->items[0]));
}

struct thin {
    struct text text;
    struct queue inbox; /* lines, in order */
    json_int_t counter; /* of its next unit */
    bool has_last;
};

struct room {
    uint64_t random;
    uint64_t seed;
    struct crdt_doc *doc;
    struct crdt_doc *replica; /* somebody who has the document */
    struct thin clients[CLIENTS];
    struct text now; /* follows at once */
    struct text scratch;
    struct queue ops;     /* on their way, in any order */
    struct queue updates; /* of the replica */
};

static const char *const values[] = {"a", "bcd", "\xc3\xa9", "\xf0\x9f\x98\x80",
                                     "x\xf0\x9f\x98\x80\xf0\x9f\x98\x80y"};

static const char *any_value(struct room *room)
{
    return values[next_random(&room->random) % (sizeof(values) / sizeof(values[0]))];
}

static void print_unit(struct buffer *op, const struct unit *u)
{
    buffer_printf(op, "{\"site\":\"%s\",\"counter\":%lld}", u->site, (long long)u->counter);
}

/* Where: behind what the client sees there, or behind what it has just sent. */
static void print_insertion(struct room *room, size_t who, struct buffer *op)
{
    struct thin *c = &room->clients[who];
    const char *value = any_value(room);
    size_t at = next_random(&room->random) % (c->text.count + 1);

    buffer_printf(op, "{\"kind\":\"insert\",\"id\":{\"site\":\"c%zu\",\"counter\":%lld},\"after\":",
                  who, (long long)c->counter);
    if (c->has_last && next_random(&room->random) % 3 == 0) {
        buffer_printf(op, "{\"site\":\"c%zu\",\"counter\":%lld}", who, (long long)c->counter - 1);
    } else {
        if (at > 0)
            print_unit(op, &c->text.units[at - 1]);
        else
            buffer_append_str(op, "null");
        if (next_random(&room->random) % 2) {
            buffer_append_str(op, ",\"before\":");
            if (at < c->text.count)
                print_unit(op, &c->text.units[at]);
            else
                buffer_append_str(op, "null");
        }
    }
    buffer_printf(op, ",\"value\":\"%s\"}", value);
    c->counter += (json_int_t)lib0_utf16_len((const uint8_t *)value, strlen(value));
    c->has_last = true;
}

static void make_op(struct room *room, size_t who)
{
    struct thin *c = &room->clients[who];
    struct buffer op = {0};

    if (c->text.count > 0 && next_random(&room->random) % 3 == 0) {
        buffer_append_str(&op, "{\"kind\":\"delete\",\"id\":");
        print_unit(&op, &c->text.units[next_random(&room->random) % c->text.count]);
        buffer_append_str(&op, "}");
    } else {
        print_insertion(room, who, &op);
    }
    push(&room->ops, op.data, op.len);
    buffer_done(&op);
}

static void make_update(struct room *room)
{
    static const struct crdt_slice bold = {(const uint8_t *)"{\"b\":true}", 10};
    static const struct crdt_slice array = {(const uint8_t *)"[7]", 3};
    struct crdt_path body = crdt_root("body", 4);
    struct crdt_relative_position end = {.anchor = CRDT_ANCHOR_ROOT, .root = body.root};
    struct crdt_absolute_position length;
    struct crdt_buf update = {0};
    const char *value = any_value(room);
    int r;

    cr_assert_eq(crdt_doc_position_resolve(room->replica, &end, &length), 0);
    uint64_t at = next_random(&room->random) % (length.index + 1), left = length.index - at;
    uint64_t some = left < 4 ? left : 4;
    switch (next_random(&room->random) % 5) {
    case 0:
        r = crdt_text_delete(room->replica, body, at, some, &update);
        break;
    case 1:
        r = crdt_text_format(room->replica, 9, body, at, some, bold, &update);
        break;
    case 2:
        r = crdt_array_insert(room->replica, 9, body, at, array, &update);
        break;
    default:
        r = crdt_text_insert(room->replica, 9, body, at, value, strlen(value), NULL, &update);
        break;
    }
    cr_assert_eq(r, 0);
    push(&room->updates, update.data, update.len);
    crdt_buf_done(&update);
}

static void take_update(struct room *room, struct slice update)
{
    struct crdt_buf change = {0};

    cr_assert_eq(lens_ops.apply(room->doc, update, NULL, &change), 0);
    follow(&room->now, slice_of(change.data, change.len));
    expect_same(&room->now, room->doc, &room->scratch, room->seed);
    for (size_t i = 0; i < CLIENTS && change.len > 0; i++)
        push(&room->clients[i].inbox, change.data, change.len);
    cr_assert_eq(crdt_doc_apply(room->replica, CRDT_V1, update.data, update.len, NULL), 0);
    crdt_buf_done(&change);
}

/* Any of the operations on their way; it may come again. */
static void take_op(struct room *room, bool is_last)
{
    size_t at = next_random(&room->random) % room->ops.count;
    struct crdt_buf update = {0};

    cr_assert_eq(lens_ops.edit(room->doc, room->ops.items[at], &update), 0);
    take_update(room, slice_of(update.data, update.len));
    crdt_buf_done(&update);
    if (is_last || next_random(&room->random) % 4 > 0)
        drop(&room->ops, at);
}

static void hear(struct thin *c)
{
    follow(&c->text, c->inbox.items[0]);
    drop(&c->inbox, 0);
}

static void take_step(struct room *room)
{
    size_t who = next_random(&room->random) % CLIENTS;

    if (next_random(&room->random) % 4 > 0)
        make_op(room, who);
    else
        make_update(room);
    if (room->ops.count > 0 && (room->ops.count > 20 || next_random(&room->random) % 3 > 0))
        take_op(room, false);
    if (room->updates.count > 0 && next_random(&room->random) % 2) {
        take_update(room, room->updates.items[0]);
        drop(&room->updates, 0);
    }
    who = next_random(&room->random) % CLIENTS;
    while (room->clients[who].inbox.count > next_random(&room->random) % 8)
        hear(&room->clients[who]);
}

static void settle(struct room *room)
{
    while (room->ops.count > 0)
        take_op(room, true);
    while (room->updates.count > 0) {
        take_update(room, room->updates.items[0]);
        drop(&room->updates, 0);
    }
    cr_assert(!crdt_doc_has_pending(room->doc));
    for (size_t i = 0; i < CLIENTS; i++) {
        while (room->clients[i].inbox.count > 0)
            hear(&room->clients[i]);
        expect_same(&room->clients[i].text, room->doc, &room->scratch, room->seed);
    }
}

/* The text without the embeds is what a reader of the document reads. */
static void expect_read(const struct text *t, const struct crdt_doc *doc)
{
    struct crdt_buf text = {0};
    uint64_t units = 0;

    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "body", 4, &text), 0);
    for (size_t i = 0; i < t->count; i++)
        units += t->units[i].code != 0xfffc;
    cr_assert_eq(lib0_utf16_len(text.data, text.len), units);
    crdt_buf_done(&text);
}

Test(lens_ops, thin_clients_and_a_document_come_to_one_text, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct room *room = xcalloc(1, sizeof(*room));
        room->seed = seed;
        room->random = seed * UINT64_C(0x9e3779b97f4a7c15);
        room->doc = new_doc();
        room->replica = new_doc();
        for (size_t i = 0; i < CLIENTS; i++)
            room->clients[i].counter = 1;
        for (int step = 0; step < HISTORY_OPS; step++)
            take_step(room);
        settle(room);
        expect_read(&room->now, room->doc);
        crdt_doc_free(room->doc);
        crdt_doc_free(room->replica);
        free(room);
    }
}

/* ---- the operations alone ---- */

/* What clients that name both neighbours sent, and heard of now and then. */
static void record_ops(struct room *room, struct queue *ops)
{
    for (int i = 0; i < HISTORY_OPS; i++) {
        size_t who = next_random(&room->random) % CLIENTS;
        struct thin *c = &room->clients[who];
        struct buffer op = {0};
        size_t at = next_random(&room->random) % (room->now.count + 1);
        const char *value = any_value(room);

        if (at < room->now.count && next_random(&room->random) % 3 == 0) {
            buffer_append_str(&op, "{\"kind\":\"delete\",\"id\":");
            print_unit(&op, &room->now.units[at]);
            buffer_append_str(&op, "}");
        } else {
            buffer_printf(&op, "{\"kind\":\"insert\",\"id\":{\"site\":\"c%zu\",\"counter\":%lld}",
                          who, (long long)c->counter);
            buffer_append_str(&op, ",\"after\":");
            if (at > 0)
                print_unit(&op, &room->now.units[at - 1]);
            buffer_append_str(&op, at > 0 ? ",\"before\":" : "null,\"before\":");
            if (at < room->now.count)
                print_unit(&op, &room->now.units[at]);
            buffer_append_str(&op, at < room->now.count ? "" : "null");
            buffer_printf(&op, ",\"value\":\"%s\"}", value);
            c->counter += (json_int_t)lib0_utf16_len((const uint8_t *)value, strlen(value));
        }
        push(ops, op.data, op.len);
        push(&room->ops, op.data, op.len);
        buffer_done(&op);
        while (room->ops.count > next_random(&room->random) % 6)
            take_op(room, true);
        for (size_t n = 0; n < CLIENTS; n++)
            while (room->clients[n].inbox.count > 0)
                drop(&room->clients[n].inbox, 0);
    }
}

static struct crdt_doc *replay(struct room *room, const struct queue *ops)
{
    struct crdt_doc *doc = new_doc();
    size_t order[2 * HISTORY_OPS];
    struct crdt_buf update = {0};

    for (size_t i = 0; i < 2 * ops->count; i++) {
        size_t other = next_random(&room->random) % (i + 1);
        order[i] = order[other];
        order[other] = i % ops->count;
    }
    for (size_t i = 0; i < 2 * ops->count; i++) {
        update.len = 0;
        cr_assert_eq(lens_ops.edit(doc, ops->items[order[i]], &update), 0);
        cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update.data, update.len, NULL), 0);
    }
    cr_assert(!crdt_doc_has_pending(doc));
    crdt_buf_done(&update);
    return doc;
}

Test(lens_ops, any_order_and_any_duplicates_give_one_text, .timeout = 120)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct room *room = xcalloc(1, sizeof(*room));
        struct queue ops = {0};
        room->seed = seed;
        room->random = seed * UINT64_C(0x9e3779b97f4a7c15);
        room->doc = new_doc();
        room->replica = new_doc();
        for (size_t i = 0; i < CLIENTS; i++)
            room->clients[i].counter = 1;
        record_ops(room, &ops);
        while (room->ops.count > 0)
            take_op(room, true);
        for (int i = 0; i < 5; i++) {
            struct crdt_doc *doc = replay(room, &ops);
            expect_same(&room->now, doc, &room->scratch, seed);
            crdt_doc_free(doc);
        }
        while (ops.count > 0)
            drop(&ops, 0);
        for (size_t i = 0; i < CLIENTS; i++)
            while (room->clients[i].inbox.count > 0)
                drop(&room->clients[i].inbox, 0);
        crdt_doc_free(room->doc);
        crdt_doc_free(room->replica);
        free(room);
    }
}
