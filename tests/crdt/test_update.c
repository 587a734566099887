#include "crdt/crdt.h"

#include <errno.h>

#include "bytes.h"
#include "vectors.h"

#define MAX_UPDATES 4

Test(update, validates_the_vectors)
{
    for (size_t i = 0; i < VECTORS; i++) {
        struct bytes v1 = from_hex(vectors[i].v1);
        cr_assert_eq(crdt_update_validate(CRDT_V1, v1.data, v1.len, NULL), 0);
        if (vectors[i].v2) {
            struct bytes v2 = from_hex(vectors[i].v2);
            cr_assert_eq(crdt_update_validate(CRDT_V2, v2.data, v2.len, NULL), 0);
        }
    }
    cr_assert_eq(crdt_update_validate(CRDT_V1, NULL, 0, NULL), -EBADMSG);
    cr_assert_eq(crdt_update_validate(CRDT_V2, NULL, 0, NULL), -EBADMSG);
}

Test(update, converts)
{
    for (size_t i = 0; i < VECTORS; i++) {
        /* Without a document nobody knows the key that the second "k" implies: its flag goes. */
        if (!vectors[i].v2 || strcmp(vectors[i].what, "map with a deleted type") == 0)
            continue;
        struct bytes v1 = from_hex(vectors[i].v1), v2 = from_hex(vectors[i].v2);
        struct crdt_buf out = {0};
        cr_assert_eq(crdt_update_convert(CRDT_V1, slice_of(&v1), CRDT_V2, NULL, &out), 0);
        assert_buf(&out, vectors[i].v2, vectors[i].what);
        cr_assert_eq(crdt_update_convert(CRDT_V2, slice_of(&v2), CRDT_V1, NULL, &out), 0);
        assert_buf(&out, vectors[i].v1, vectors[i].what);
    }
}

static const struct {
    const char *what;
    const char *updates[MAX_UPDATES];
    const char *merged;
} merges[] = {
    {"nothing", {NULL}, "0000"},
    {"one update, to the byte", {"0000 ff"}, "0000 ff"},
    {"a gap",
     {"01 01 05 00 04 01 01 74 01 61 00", "01 01 05 02 84 05 01 01 63 00"},
     "01 03 05 00 04 01 01 74 01 61 0a 01 84 05 01 01 63 00"},
    {"a gap, the later part first",
     {"01 01 05 02 84 05 01 01 63 00", "01 01 05 00 04 01 01 74 01 61 00"},
     "01 03 05 00 04 01 01 74 01 61 0a 01 84 05 01 01 63 00"},
    {"a gap that is filled",
     {"01 03 05 00 04 01 01 74 01 61 0a 01 84 05 01 01 63 00", "01 01 05 01 84 05 00 01 62 00"},
     "01 03 05 00 04 01 01 74 01 61 84 05 00 01 62 84 05 01 01 63 00"},
    {"the same twice",
     {"01 01 05 00 04 01 01 74 01 61 00", "01 01 05 00 04 01 01 74 01 61 00"},
     "01 01 05 00 04 01 01 74 01 61 00"},
    {"an overlap",
     {"01 01 05 00 04 01 01 74 02 6162 00", "01 01 05 01 84 05 00 03 626364 00"},
     "01 02 05 00 04 01 01 74 02 6162 84 05 01 02 6364 00"},
    {"GCs that touch and overlap",
     {"01 01 05 00 00 03 00", "01 01 05 02 00 04 00", "01 01 05 06 00 01 00"},
     "01 01 05 00 00 07 00"},
    {"clients descending",
     {"01 01 05 00 00 01 00", "01 01 09 00 00 01 00"},
     "02 01 09 00 00 01 01 05 00 00 01 00"},
    {"deletions",
     {"00 01 05 01 03 01", "00 02 09 01 00 01 05 02 00 03 07 01"},
     "00 02 09 01 00 01 05 02 00 04 07 01"},
    {"clients in the wrong order",
     {"02 01 05 00 00 01 01 09 00 00 01 00", "01 01 07 00 00 01 00"},
     "03 01 09 00 00 01 01 07 00 00 01 01 05 00 00 01 00"},
    {"a client in two places",
     {"02 01 05 02 00 01 01 05 00 01 01 01 74 02 00", "0000"},
     "01 02 05 00 01 01 01 74 02 00 01 00"},
};

Test(update, merges)
{
    for (size_t i = 0; i < sizeof(merges) / sizeof(merges[0]); i++) {
        struct bytes bytes[MAX_UPDATES];
        struct crdt_slice updates[MAX_UPDATES];
        struct crdt_buf out = {0};
        size_t count = 0;
        for (; count < MAX_UPDATES && merges[i].updates[count]; count++) {
            bytes[count] = from_hex(merges[i].updates[count]);
            updates[count] = slice_of(&bytes[count]);
        }
        cr_assert_eq(crdt_update_merge(CRDT_V1, updates, count, NULL, &out), 0, "%s",
                     merges[i].what);
        assert_buf(&out, merges[i].merged, merges[i].what);
    }
}

static const struct {
    const char *what;
    const char *update;
    const char *sv;
    const char *diff;
} diffs[] = {
    {"nothing known", "01 01 05 00 04 01 01 74 03 616263 01 05 01 00 01", "00",
     "01 01 05 00 04 01 01 74 03 616263 01 05 01 00 01"},
    {"no state vector", "01 01 05 00 00 02 00", "", "01 01 05 00 00 02 00"},
    {"everything known", "01 01 05 00 04 01 01 74 03 616263 01 05 01 00 01", "01 05 03",
     "00 01 05 01 00 01"},
    {"more known than there is", "01 01 05 00 00 02 00", "01 05 09", "00 00"},
    {"a part known", "01 01 05 00 04 01 01 74 03 616263 00", "01 05 02",
     "01 01 05 02 84 05 01 01 63 00"},
    {"a client known twice, the last counts", "01 01 05 00 00 04 00", "02 05 03 05 01",
     "01 01 05 01 00 03 00"},
    {"a gap at the start goes", "01 03 05 00 00 01 0a 02 00 03 00", "01 05 01",
     "01 01 05 03 00 03 00"},
    {"a gap inside stays", "01 03 05 00 00 02 0a 02 00 03 00", "01 05 01",
     "01 03 05 01 00 01 0a 02 00 03 00"},
    {"one of several clients", "02 01 09 00 00 01 01 05 00 00 01 00", "01 09 01",
     "01 01 05 00 00 01 00"},
    {"deletions out of order", "00 01 05 02 04 01 00 02", "00", "00 01 05 02 00 02 04 01"},
    {"deletions that touch", "00 01 05 02 00 02 02 01", "00", "00 01 05 02 00 02 02 01"},
};

Test(update, diffs)
{
    for (size_t i = 0; i < sizeof(diffs) / sizeof(diffs[0]); i++) {
        struct bytes update = from_hex(diffs[i].update), sv = from_hex(diffs[i].sv);
        struct crdt_buf out = {0};
        cr_assert_eq(crdt_update_diff(CRDT_V1, slice_of(&update), slice_of(&sv), NULL, &out), 0);
        assert_buf(&out, diffs[i].diff, diffs[i].what);
    }
}

Test(update, refuses_bad_state_vectors)
{
    static const struct {
        const char *sv;
        int rc;
    } bad[] = {
        {"01 05", -EBADMSG},
        {"80", -EBADMSG},
        {"01 05 ffffffff10", -EBADMSG},
        {"ffffffff0f", -E2BIG},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct bytes update = from_hex("0000"), sv = from_hex(bad[i].sv);
        struct crdt_buf out = {0};
        cr_assert_eq(crdt_update_diff(CRDT_V1, slice_of(&update), slice_of(&sv), NULL, &out),
                     bad[i].rc, "%s", bad[i].sv);
    }
}

static const struct {
    const char *what;
    const char *update;
    const char *sv;
} states[] = {
    {"nothing", "0000", "00"},
    {"two clients", "02 01 14 00 00 02 01 0a 00 00 01 00", "02 14 02 0a 01"},
    {"not from 0 on", "02 01 14 01 00 02 01 0a 00 00 01 00", "01 0a 01"},
    {"up to a gap", "01 03 0a 00 00 02 0a 01 00 01 00", "01 0a 02"},
    {"clients in the wrong order", "02 01 0a 00 00 01 01 14 00 00 02 00", "02 14 02 0a 01"},
    {"one client in two places", "02 01 0a 00 00 01 01 0a 02 00 02 00", "01 0a 01"},
};

Test(update, has_a_state_vector)
{
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        struct bytes update = from_hex(states[i].update);
        struct crdt_buf out = {0};
        cr_assert_eq(crdt_update_state_vector(CRDT_V1, slice_of(&update), NULL, &out), 0);
        assert_buf(&out, states[i].sv, states[i].what);
    }
}

Test(update, leaves_the_output_as_it_was_on_failure)
{
    struct bytes good = from_hex("01 01 05 00 00 01 00"), bad = from_hex("01 01 05 00 00 01 01");
    struct crdt_slice updates[] = {slice_of(&good), slice_of(&bad)}, sv = {0};
    struct crdt_buf out = {0};
    lib0_write_bytes(&out, "kept", 4);
    cr_assert_eq(crdt_update_merge(CRDT_V1, updates, 2, NULL, &out), -EBADMSG);
    cr_assert_eq(crdt_update_merge(CRDT_V1, &updates[1], 1, NULL, &out), -EBADMSG);
    cr_assert_eq(crdt_update_diff(CRDT_V1, updates[1], sv, NULL, &out), -EBADMSG);
    cr_assert_eq(crdt_update_convert(CRDT_V1, updates[1], CRDT_V2, NULL, &out), -EBADMSG);
    cr_assert_eq(crdt_update_convert(CRDT_V1, updates[0], CRDT_V2,
                                     &(struct crdt_limits){.output_bytes = 5}, &out),
                 -E2BIG);
    assert_text(&out, "kept");
}

Test(update, appends_to_what_the_output_holds)
{
    struct bytes update = from_hex("01 01 05 00 00 01 00");
    struct crdt_slice twice[] = {slice_of(&update), slice_of(&update)}, sv = {0};
    struct crdt_buf out = {0};
    cr_assert_eq(crdt_update_merge(CRDT_V1, twice, 2, NULL, &out), 0);
    cr_assert_eq(crdt_update_merge(CRDT_V1, twice, 1, NULL, &out), 0);
    cr_assert_eq(crdt_update_diff(CRDT_V1, twice[0], sv, NULL, &out), 0);
    cr_assert_eq(crdt_update_state_vector(CRDT_V1, twice[0], NULL, &out), 0);
    assert_buf(&out, "01010500000100 01010500000100 01010500000100 010501", "appended");
}
