/*
 * Snapshots, relative positions and awareness updates: vectors of npm yjs 13.6.33, refusals, and
 * each allocation failing in turn.
 */
#include <errno.h>

#include "bytes.h"
#include "failing_malloc.h"
#include "crdt/awareness_update.h"
#include "crdt/crdt.h"

/* "abXc" by client 1, of which "a" is deleted, and "é" in front of all by client 300. */
static const char history[] = "02 01 ac02 00 44 01 00 02 c3a9 "
                              "03 01 00 01 01 01 74 01 84 01 00 02 6263 c4 01 00 01 01 01 58 "
                              "01 01 01 00 01";

static struct crdt_doc *load(const char *hex)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct bytes update = from_hex(hex);

    cr_assert(doc);
    cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update.data, update.len, NULL), 0);
    return doc;
}

static struct crdt_snapshot *decode(enum crdt_format format, const char *hex)
{
    struct bytes bytes = from_hex(hex);
    struct crdt_snapshot *snapshot = NULL;

    cr_assert_eq(crdt_snapshot_decode(format, slice_of(&bytes), NULL, &snapshot), 0, "%s", hex);
    return snapshot;
}

/* ---- snapshots ---- */

Test(snapshot, of_a_document)
{
    struct crdt_doc *doc = load(history);
    struct crdt_snapshot *snapshot;
    struct crdt_buf out = {0};

    cr_assert_eq(crdt_doc_snapshot(doc, &snapshot), 0);
    cr_assert_eq(crdt_snapshot_encode(snapshot, CRDT_V1, &out), 0);
    assert_buf(&out, "01 01 01 00 01 02 ac02 01 01 04", "v1");
    cr_assert_eq(crdt_snapshot_encode(snapshot, CRDT_V2, &out), 0);
    assert_buf(&out, "01 01 01 00 00 02 ac02 01 01 04", "v2");
    crdt_snapshot_free(snapshot);
    crdt_doc_free(doc);
}

/* Decoded and encoded: { v1, v2 } */
static const char *const snapshots[][2] = {
    {"00 00", "00 00"},
    {"01 05 02 02 03 09 01 01 05 0a", "01 05 02 02 02 04 00 01 05 0a"},
    {"01 05 02 02 01 03 01 00", "01 05 02 02 00 00 00 00"}, /* ranges that touch stay */
    {"00 02 07 00 05 01", "00 02 07 00 05 01"},
};

Test(snapshot, changes_formats)
{
    for (size_t i = 0; i < sizeof(snapshots) / sizeof(snapshots[0]); i++) {
        for (int from = 0; from < 2; from++) {
            struct crdt_snapshot *s = decode(from ? CRDT_V2 : CRDT_V1, snapshots[i][from]);
            struct crdt_buf out = {0};

            cr_assert_eq(crdt_snapshot_encode(s, CRDT_V1, &out), 0);
            assert_buf(&out, snapshots[i][0], "v1");
            cr_assert_eq(crdt_snapshot_encode(s, CRDT_V2, &out), 0);
            assert_buf(&out, snapshots[i][1], "v2");
            crdt_snapshot_free(s);
        }
    }
}

Test(snapshot, refuses_what_is_none)
{
    static const struct {
        const char *hex;
        int error;
    } bad[] = {
        {"", -EBADMSG},
        {"00", -EBADMSG},
        {"00 01 01", -EBADMSG},
        {"01 01 02 00 01", -EBADMSG},
        {"01 01 01 00 80 80 80 80 10 00", -EBADMSG},
        {"00 01 01 80 80 80 80 10", -EBADMSG},
        {"ff ff ff 7f 00 00", -E2BIG},
        {"00 ff ff ff 7f 00", -E2BIG},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct bytes bytes = from_hex(bad[i].hex);
        struct crdt_snapshot *snapshot = NULL;

        cr_assert_eq(crdt_snapshot_decode(CRDT_V1, slice_of(&bytes), NULL, &snapshot), bad[i].error,
                     "%s", bad[i].hex);
        cr_assert_null(snapshot);
    }
}

/* Versions of one update, cut out by a v1 snapshot. */
static const struct {
    const char *what;
    const char *update;
    const char *snapshot;
    int error;
    const char *version;
} versions[] = {
    {"nothing", "01 01 01 00 04 01 01 74 03 616263 00", "00 00", 0, "0000"},
    {"a part", "01 01 01 00 04 01 01 74 03 616263 00", "00 01 01 02", 0,
     "01 01 01 00 04 01 01 74 02 6162 00"},
    {"deleted later", "01 01 01 00 04 01 01 74 03 616263 01 01 01 00 02", "00 01 01 03", 0,
     "01 01 01 00 04 01 01 74 03 616263 00"},
    {"deleted before", "01 02 01 00 01 01 01 74 01 84 01 00 02 6162 01 01 01 00 01",
     "01 01 01 00 01 01 01 02", 0, "01 02 01 00 01 01 01 74 01 84 01 00 01 61 01 01 01 00 01"},
    {"collected", "01 01 01 00 01 01 01 74 03 01 01 01 00 03", "01 01 01 00 02 01 01 03", -ESTALE,
     NULL},
    {"collected, by two ranges that cover it", "01 01 01 00 01 01 01 74 03 01 01 01 00 03",
     "01 01 02 00 02 02 01 01 01 03", 0, "01 01 01 00 01 01 01 74 03 01 01 02 00 02 02 01"},
    {"GC that is not seen", "01 02 01 00 04 01 01 74 01 61 00 04 00", "00 01 01 01", 0,
     "01 01 01 00 04 01 01 74 01 61 00"},
    {"a pair cut in two", "01 01 01 00 04 01 01 74 05 61f09f9880 00", "00 01 01 02", 0,
     "01 01 01 00 04 01 01 74 04 61efbfbd 00"},
    {"values", "01 01 01 00 08 01 01 6c 03 7d01 7701 61 7e 00", "00 01 01 02", 0,
     "01 01 01 00 08 01 01 6c 02 7d01 7701 61 00"},
    {"old JSON", "01 01 01 00 02 01 01 6c 02 01 31 01 32 00", "00 01 01 01", 0,
     "01 01 01 00 02 01 01 6c 01 01 31 00"},
    {"one client of two", "02 01 05 00 84 01 00 01 78 01 01 00 04 01 01 74 02 6162 00",
     "00 01 01 02", 0, "01 01 01 00 04 01 01 74 02 6162 00"},
    {"clocks that nobody has", "01 01 01 00 04 01 01 74 01 61 00", "00 01 01 02", -ERANGE, NULL},
    {"a client that nobody knows", "01 01 01 00 04 01 01 74 01 61 00", "00 01 02 01", -ERANGE,
     NULL},
    {"a gap", "01 03 01 00 04 01 01 74 01 61 0a 01 84 01 01 01 63 00", "00 01 01 03", -ERANGE,
     NULL},
    {"a gap later on", "01 03 01 00 04 01 01 74 01 61 0a 01 84 01 01 01 63 00", "00 01 01 01", 0,
     "01 01 01 00 04 01 01 74 01 61 00"},
    {"a struct that comes twice",
     "02 01 01 00 04 01 01 74 03 616263 01 01 00 04 01 01 74 03 616263 00", "00 01 01 02", 0,
     "01 01 01 00 04 01 01 74 02 6162 00"},
    {"a client in two places", "03 01 01 00 00 01 01 02 00 00 01 01 01 01 00 01 00",
     "02 02 01 00 01 01 01 00 02 02 02 01 01 02", -EBADMSG, NULL},
};

Test(snapshot, cuts_versions_out_of_updates)
{
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        struct bytes update = from_hex(versions[i].update);
        struct crdt_snapshot *snapshot = decode(CRDT_V1, versions[i].snapshot);
        struct crdt_buf out = {0};
        int r = crdt_update_at_snapshot(CRDT_V1, slice_of(&update), snapshot, NULL, &out);

        cr_assert_eq(r, versions[i].error, "%s: %d", versions[i].what, r);
        if (r == 0)
            assert_buf(&out, versions[i].version, versions[i].what);
        cr_assert_eq(out.len, 0);
        crdt_snapshot_free(snapshot);
    }
}

static int make_snapshot(const struct crdt_doc *doc, struct crdt_buf *out)
{
    struct crdt_snapshot *snapshot = NULL;
    int r = crdt_doc_snapshot(doc, &snapshot);

    if (r < 0) {
        cr_assert_null(snapshot);
        return r;
    }
    r = crdt_snapshot_encode(snapshot, CRDT_V1, out);
    crdt_snapshot_free(snapshot);
    return r;
}

static int make_version(const struct crdt_doc *doc, struct crdt_buf *out)
{
    struct bytes bytes = from_hex("01 01 01 00 01 01 01 02");
    struct crdt_snapshot *snapshot;
    int r = crdt_snapshot_decode(CRDT_V1, slice_of(&bytes), NULL, &snapshot);

    if (r < 0)
        return r;
    r = crdt_doc_at_snapshot(doc, CRDT_V2, snapshot, out);
    crdt_snapshot_free(snapshot);
    return r;
}

static int cut_a_pair(const struct crdt_doc *doc, struct crdt_buf *out)
{
    struct bytes bytes = from_hex("00 01 01 02");
    struct bytes update = from_hex("01 01 01 00 04 01 01 74 05 61f09f9880 00");
    struct crdt_snapshot *snapshot;
    int r = crdt_snapshot_decode(CRDT_V1, slice_of(&bytes), NULL, &snapshot);

    (void)doc;
    if (r < 0)
        return r;
    r = crdt_update_at_snapshot(CRDT_V1, slice_of(&update), snapshot, NULL, out);
    crdt_snapshot_free(snapshot);
    return r;
}

static int make_position(const struct crdt_doc *doc, struct crdt_buf *out)
{
    struct crdt_relative_position position;

    crdt_doc_position_at(doc, "t", 1, 1, 0, &position);
    return crdt_relative_position_encode(&position, out);
}

static int (*const calls[])(const struct crdt_doc *doc, struct crdt_buf *out) = {
    make_snapshot,
    make_version,
    cut_a_pair,
    make_position,
};

Test(versions, fail_cleanly_wherever_memory_runs_out)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct crdt_doc *doc = load(history);
        int r = -ENOMEM;

        for (long n = 0; r < 0; n++) {
            struct crdt_buf out = {0};

            allocations_left = n;
            r = calls[i](doc, &out);
            allocations_left = -1;
            cr_assert(r == 0 || (r == -ENOMEM && out.len == 0), "call %zu, n %ld: %d", i, n, r);
            cr_assert_lt(n, 1000);
            crdt_buf_done(&out);
        }
        crdt_doc_free(doc);
    }
}

/* ---- positions ---- */

/* In the text "éXbc": its indices as relative positions and back. */
static const struct {
    uint64_t index;
    int64_t assoc;
    const char *bytes;
    uint64_t resolved;
} positions[] = {
    {0, 0, "00 ac02 00 00", 0},   {1, 0, "00 01 03 00", 1},    {2, 0, "00 01 01 00", 2},
    {3, 0, "00 01 02 00", 3},     {4, 0, "01 01 74 00", 4},    {9, 0, "01 01 74 00", 4},
    {0, -1, "01 01 74 41", 0},    {1, -1, "00 ac02 00 41", 1}, {2, -1, "00 01 03 41", 2},
    {4, -1, "00 01 02 41", 4},    {9, -1, "00 01 02 41", 4},   {2, 5, "00 01 01 05", 2},
    {2, -70, "00 01 03 c601", 2},
};

Test(position, of_indices)
{
    struct crdt_doc *doc = load(history);

    for (size_t i = 0; i < sizeof(positions) / sizeof(positions[0]); i++) {
        struct crdt_relative_position position;
        struct crdt_absolute_position at;
        struct bytes bytes = from_hex(positions[i].bytes);
        struct crdt_buf out = {0};

        crdt_doc_position_at(doc, "t", 1, positions[i].index, positions[i].assoc, &position);
        cr_assert_eq(crdt_relative_position_encode(&position, &out), 0);
        assert_buf(&out, positions[i].bytes, "position");
        cr_assert_eq(crdt_relative_position_decode(slice_of(&bytes), &position), 0);
        cr_assert_eq(position.assoc, positions[i].assoc);
        cr_assert_eq(crdt_doc_position_resolve(doc, &position, &at), 0);
        cr_assert(at.is_root && at.root.len == 1 && at.root.data[0] == 't');
        cr_assert_eq(at.index, positions[i].resolved, "%zu: %llu", i, (unsigned long long)at.index);
    }
    crdt_doc_free(doc);
}

/* An array "l" whose element 1:0 is an array of 1:1 and 1:2; 1:3, an array, is gone with 1:4. */
Test(position, of_what_is_nested_or_gone)
{
    struct crdt_doc *doc = load("01 04 01 00 07 01 01 6c 00 08 00 01 00 02 7d01 7d02 87 01 00 00 "
                                "08 00 01 03 01 7e 01 01 01 03 01");
    static const struct {
        const char *bytes;
        int error;
        uint64_t index;
        uint64_t clock;
        bool is_root;
    } cases[] = {
        {"00 01 02 00", 0, 1, 0, false},       {"02 01 00 00", 0, 2, 0, false},
        {"02 01 00 41", 0, 0, 0, false},       {"02 01 03 00", -ENOENT, 0, 0, false},
        {"00 01 04 00", -ENOENT, 0, 0, false}, {"00 01 03 00", 0, 1, 0, true},
        {"00 01 03", 0, 1, 0, true},           {"00 01 09 00", -ENOENT, 0, 0, false},
        {"00 07 00 00", -ENOENT, 0, 0, false}, {"02 01 01 00", -ENOENT, 0, 0, false},
        {"01 04 6e6f6e65 00", 0, 0, 0, true},  {"01 01 6c 00", 0, 1, 0, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct crdt_relative_position position;
        struct crdt_absolute_position at = {0};
        struct bytes bytes = from_hex(cases[i].bytes);

        cr_assert_eq(crdt_relative_position_decode(slice_of(&bytes), &position), 0);
        cr_assert_eq(crdt_doc_position_resolve(doc, &position, &at), cases[i].error, "%s",
                     cases[i].bytes);
        cr_assert(at.index == cases[i].index && at.clock == cases[i].clock, "%s: %llu",
                  cases[i].bytes, (unsigned long long)at.index);
        cr_assert_eq(at.is_root, cases[i].is_root, "%s", cases[i].bytes);
    }
    crdt_doc_free(doc);
}

/* The first clock is that of the first struct which has a length. */
Test(position, passes_over_structs_without_length)
{
    struct crdt_doc *doc = load("01 02 01 00 00 00 04 01 01 74 01 61 00");
    struct crdt_relative_position position;
    struct crdt_absolute_position at;

    crdt_doc_position_at(doc, "t", 1, 0, 0, &position);
    cr_assert(position.anchor == CRDT_ANCHOR_ITEM && position.clock == 0);
    cr_assert_eq(crdt_doc_position_resolve(doc, &position, &at), 0);
    cr_assert(at.is_root && at.index == 0);
    crdt_doc_free(doc);
}

Test(position, refuses_what_is_none)
{
    static const char *const bad[] = {
        "", "03", "00 01", "01 05 61", "01 01 ff 00", "00 01 01 bf", "ff ff ff ff ff ff ff ff ff"};
    struct crdt_relative_position position = {.anchor = CRDT_ANCHOR_ROOT};
    struct crdt_buf out = {0};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct bytes bytes = from_hex(bad[i]);

        cr_assert_eq(crdt_relative_position_decode(slice_of(&bytes), &position), -EBADMSG, "%s",
                     bad[i]);
    }
    position.root = (struct crdt_slice){(const uint8_t *)"\xff", 1};
    cr_assert_eq(crdt_relative_position_encode(&position, &out), -EINVAL);
    position = (struct crdt_relative_position){.assoc = INT64_MIN};
    cr_assert_eq(crdt_relative_position_encode(&position, &out), -EINVAL);
    cr_assert_eq(out.len, 0);
}

/* ---- awareness ---- */

Test(awareness_update, reads_and_writes)
{
    struct bytes update = from_hex("03 0a 01 09 7b2275223a2278227d 0a 02 04 6e756c6c "
                                   "ffffffffffffff0f 80808080 10 06 206e756c6c20");
    struct crdt_awareness_limits limits = {.nesting = 1};
    struct crdt_awareness_reader r;
    struct crdt_awareness_state state;
    struct crdt_buf out = {0};

    cr_assert_eq(crdt_awareness_validate(slice_of(&update), &limits), 0);
    cr_assert_eq(crdt_awareness_reader_init(&r, slice_of(&update), NULL), 0);
    crdt_awareness_write_count(&out, 3);
    cr_assert_eq(crdt_awareness_reader_next(&r, &state), 1);
    cr_assert(state.client == 10 && state.clock == 1 && !state.is_gone);
    cr_assert(state.json.len == 9 && memcmp(state.json.data, "{\"u\":\"x\"}", 9) == 0);
    crdt_awareness_write_state(&out, &state);
    cr_assert_eq(crdt_awareness_reader_next(&r, &state), 1);
    cr_assert(state.client == 10 && state.clock == 2 && state.is_gone);
    crdt_awareness_write_state(&out, &state);
    cr_assert_eq(crdt_awareness_reader_next(&r, &state), 1);
    cr_assert(state.client == (UINT64_C(1) << 53) - 1 && state.clock == UINT64_C(1) << 32);
    cr_assert(state.is_gone);
    crdt_awareness_write_state(&out, &state);
    cr_assert_eq(crdt_awareness_reader_next(&r, &state), 0);
    assert_buf(&out,
               "03 0a 01 09 7b2275223a2278227d 0a 02 04 6e756c6c "
               "ffffffffffffff0f 80808080 10 04 6e756c6c",
               "written");
}

static const struct {
    const char *what;
    const char *update;
    struct crdt_awareness_limits limits;
    int error;
} awareness_updates[] = {
    {"nobody", "00", {0}, 0},
    {"nothing", "", {0}, -EBADMSG},
    {"cut off", "01 0a 01 04 6e75", {0}, -EBADMSG},
    {"more states than bytes", "ffffffff0f 0a 01 02 7b7d", {0}, -EBADMSG},
    {"bytes at the end", "01 0a 01 02 7b7d 00", {0}, -EBADMSG},
    {"bytes at the end of nobody", "00 00", {0}, -EBADMSG},
    {"no UTF-8", "01 0a 01 02 c328", {0}, -EBADMSG},
    {"no JSON", "01 0a 01 01 7b", {.nesting = 9}, -EBADMSG},
    {"no JSON, which nobody asks for", "01 0a 01 01 7b", {0}, 0},
    {"no text", "01 0a 01 00", {.nesting = 9}, -EBADMSG},
    {"deep JSON", "01 0a 01 06 5b5b5b5d5d5d", {.nesting = 2}, -E2BIG},
    {"JSON as deep as may be", "01 0a 01 06 5b5b5b5d5d5d", {.nesting = 3}, 0},
    {"too many states", "02 0a 01 02 7b7d 0b 01 02 7b7d", {.states = 1}, -E2BIG},
    {"a long state", "01 0a 01 03 7b207d", {.state_bytes = 2}, -E2BIG},
    {"a clock too high", "01 0a 81 01 02 7b7d", {.clock = 128}, -E2BIG},
    {"the highest clock", "01 0a 80 01 02 7b7d", {.clock = 128}, 0},
};

Test(awareness_update, keeps_to_its_limits)
{
    for (size_t i = 0; i < sizeof(awareness_updates) / sizeof(awareness_updates[0]); i++) {
        struct bytes update = from_hex(awareness_updates[i].update);

        cr_assert_eq(crdt_awareness_validate(slice_of(&update), &awareness_updates[i].limits),
                     awareness_updates[i].error, "%s", awareness_updates[i].what);
    }
}
