/*
 * What documents do differently when there is much of something: large updates are streamed into an
 * empty document, positions are looked up in an index, insertions at one place pass each other by
 * landmarks, and what is deleted bit by bit is joined.
 */
#include <errno.h>
#include <stdlib.h>

#include "bytes.h"
#include "crdt/crdt.h"

static uint32_t random_below(uint32_t bound)
{
    static uint64_t state = 1;

    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) % bound);
}

static uint64_t count_structs(const struct crdt_doc *doc)
{
    struct crdt_stats stats;

    crdt_doc_stats(doc, &stats);
    return stats.structs;
}

static void assert_same_state(const struct crdt_doc *doc, const struct crdt_doc *other)
{
    struct crdt_buf state = {0}, expected = {0};

    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &state), 0);
    cr_assert_eq(crdt_doc_encode(other, CRDT_V1, NULL, 0, &expected), 0);
    cr_assert_eq(state.len, expected.len);
    cr_assert_arr_eq(state.data, expected.data, state.len);
    crdt_buf_done(&state);
    crdt_buf_done(&expected);
}

/* ---- insertions at one place ---- */

/* Client `id` inserts a letter between two units of client 1, or into an empty text (`left` -1). */
static void insert_between(struct crdt_doc *doc, uint64_t id, int left)
{
    struct crdt_buf update = {0};

    lib0_write_bytes(&update, "\1\1", 2);
    lib0_write_uint(&update, id);
    lib0_write_u8(&update, 0);
    if (left < 0) {
        lib0_write_bytes(&update, "\x04\1\1t", 4);
    } else {
        uint8_t ids[] = {0xc4, 1, (uint8_t)left, 1, (uint8_t)(left + 1)};

        lib0_write_bytes(&update, ids, sizeof(ids));
    }
    lib0_write_u8(&update, 1);
    lib0_write_u8(&update, (uint8_t)('a' + id % 26));
    lib0_write_u8(&update, 0);
    cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update.data, update.len, NULL), 0);
    crdt_buf_done(&update);
}

/* The text of `count` clients in ascending order, as everybody has it in the end. */
static void append_ascending(struct crdt_buf *text, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        lib0_write_u8(text, (uint8_t)('a' + (1000 + i) % 26));
}

static void assert_ascending(struct crdt_doc *doc, const uint64_t *ids, uint32_t count)
{
    struct crdt_buf text = {0}, expected = {0};

    for (uint32_t i = 0; i < count; i++)
        insert_between(doc, ids[i], -1);
    append_ascending(&expected, count);
    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "t", 1, &text), 0);
    cr_assert_eq(text.len, expected.len);
    cr_assert_arr_eq(text.data, expected.data, text.len);
    crdt_buf_done(&text);
    crdt_buf_done(&expected);
}

Test(large, insertions_at_one_place_stand_in_the_order_of_clients)
{
    enum { COUNT = 2000 };
    static uint64_t ids[COUNT];

    for (int order = 0; order < 3; order++) {
        struct crdt_doc *doc = crdt_doc_new(NULL);

        for (uint32_t i = 0; i < COUNT; i++)
            ids[i] = 1000 + (order == 1 ? COUNT - 1 - i : i);
        for (uint32_t i = COUNT - 1; order == 2 && i > 0; i--) {
            uint32_t j = random_below(i + 1);
            uint64_t id = ids[i];

            ids[i] = ids[j];
            ids[j] = id;
        }
        assert_ascending(doc, ids, COUNT);
        crdt_doc_free(doc);
    }
}

/* Two places, by turns, while the text around them is deleted. */
Test(large, landmarks_outlive_deletes)
{
    enum { COUNT = 300 };
    struct bytes text = from_hex("01010100040101740661626364656600");
    struct bytes delete = from_hex("000101010301");
    struct crdt_doc *doc = crdt_doc_new(NULL), *other = crdt_doc_new(NULL);

    cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, text.data, text.len, NULL), 0);
    cr_assert_eq(crdt_doc_apply(other, CRDT_V1, text.data, text.len, NULL), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        insert_between(doc, 1000 + i, i % 2 ? 1 : 3);
        insert_between(other, 1000 + COUNT - 1 - i, (COUNT - 1 - i) % 2 ? 1 : 3);
        if (i == COUNT / 2)
            cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, delete.data, delete.len, NULL), 0);
    }
    cr_assert_eq(crdt_doc_apply(other, CRDT_V1, delete.data, delete.len, NULL), 0);
    assert_same_state(doc, other);
    crdt_doc_free(doc);
    crdt_doc_free(other);
}

/* ---- positions ---- */

Test(large, edits_find_their_positions)
{
    enum { EDITS = 6000 };
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf text = {0};
    static char model[EDITS + 1];
    size_t len = 0;

    for (uint32_t i = 0; i < EDITS; i++) {
        uint32_t at = random_below((uint32_t)len + 1);

        if (len > 0 && random_below(4) == 0) {
            uint32_t count = 1 + random_below(5);

            if (count > len - at)
                count = (uint32_t)(len - at);
            memmove(model + at, model + at + count, len - at - count);
            len -= count;
            cr_assert_eq(crdt_text_delete(doc, crdt_root("t", 1), at, count, NULL), 0);
        } else {
            char letter = (char)('a' + random_below(26));

            memmove(model + at + 1, model + at, len - at);
            model[at] = letter;
            len++;
            cr_assert_eq(crdt_text_insert(doc, 1 + random_below(3), crdt_root("t", 1), at, &letter,
                                          1, NULL, NULL),
                         0);
        }
    }
    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "t", 1, &text), 0);
    cr_assert_eq(text.len, len);
    cr_assert_arr_eq(text.data, model, len);
    crdt_buf_done(&text);
    crdt_doc_free(doc);
}

/* ---- deletes ---- */

Test(large, what_is_deleted_bit_by_bit_becomes_one_struct)
{
    enum { LEN = 1000 };
    struct crdt_doc *doc = crdt_doc_new(NULL);
    static char text[LEN];

    memset(text, 'x', sizeof(text));
    cr_assert_eq(crdt_text_insert(doc, 1, crdt_root("t", 1), 0, text, LEN, NULL, NULL), 0);
    for (uint32_t left = LEN; left > 2; left--)
        cr_assert_eq(crdt_text_delete(doc, crdt_root("t", 1), 1 + random_below(left - 2), 1, NULL),
                     0);
    cr_assert_eq(count_structs(doc), 3);
    crdt_doc_free(doc);
}

/* ---- large updates ---- */

/* A text of many structs, each between two of those before, and some of them deleted. */
static void make_large(struct crdt_buf *update)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    for (uint32_t i = 0, len = 0; i < 3000; i++, len += 2)
        cr_assert_eq(crdt_text_insert(doc, 1 + i / 1500, crdt_root("t", 1), random_below(len + 1),
                                      "ab", 2, NULL, NULL),
                     0);
    for (uint32_t i = 0; i < 500; i++)
        cr_assert_eq(crdt_text_delete(doc, crdt_root("t", 1), random_below(4000), 3, NULL), 0);
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, update), 0);
    cr_assert_gt(update->len, 1u << 14);
    crdt_doc_free(doc);
}

Test(large, a_refused_update_leaves_an_empty_document)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf update = {0}, state = {0};

    make_large(&update);
    for (size_t len = update.len - 1; len > update.len / 2; len -= 997) {
        cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update.data, len, NULL), -EBADMSG);
        cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &state), 0);
        assert_buf(&state, "0000", "state");
        cr_assert_eq(count_structs(doc), 0);
    }
    cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update.data, update.len, NULL), 0);
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &state), 0);
    cr_assert_eq(state.len, update.len);
    cr_assert_arr_eq(state.data, update.data, state.len);
    crdt_buf_done(&state);
    crdt_buf_done(&update);
    crdt_doc_free(doc);
}

/* Streamed or not, the result is the same: also where a client has two groups, of which Yjs takes
 * the last. */
Test(large, streams_like_it_plans)
{
    struct bytes seed = from_hex("0101630004010175017300");
    struct crdt_buf update = {0};

    make_large(&update);
    for (int variant = 0; variant < 2; variant++) {
        struct crdt_doc *doc = crdt_doc_new(NULL), *other = crdt_doc_new(NULL);
        struct crdt_buf twice = {0};

        if (variant == 1) {
            /* Another group of client 2, which is the first of the update. */
            lib0_write_u8(&twice, 3);
            lib0_write_bytes(&twice, "\1\2\0\x04\1\1t\1z", 9);
            lib0_write_bytes(&twice, update.data + 1, update.len - 1);
        } else {
            lib0_write_bytes(&twice, update.data, update.len);
        }
        cr_assert_eq(crdt_doc_apply(other, CRDT_V1, seed.data, seed.len, NULL), 0);
        cr_assert_eq(crdt_doc_apply(other, CRDT_V1, twice.data, twice.len, NULL), 0);
        cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, twice.data, twice.len, NULL), 0);
        cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, seed.data, seed.len, NULL), 0);
        assert_same_state(doc, other);
        crdt_buf_done(&twice);
        crdt_doc_free(doc);
        crdt_doc_free(other);
    }
    crdt_buf_done(&update);
}
