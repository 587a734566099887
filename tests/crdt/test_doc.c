/* Documents, against what npm yjs 13.6.33 makes of the same updates. */
#include "crdt/crdt.h"

#include <errno.h>

#include "bytes.h"

#define MAX_UPDATES 8

struct scenario {
    const char *what;
    const char *updates[MAX_UPDATES];
    const char *state;
    enum crdt_kind kind;
    const char *root;
    const char *value;
};

static const struct scenario scenarios[] = {
    {"concurrent insertions",
     {"010101000401017402616200", "01010300c401000101013300", "01010102c401000101013100",
      "01010200c401000101013200"},
     "03010300c4010001010133010200c40100010101320301000401017401618401000162c401000101013100",
     CRDT_KIND_TEXT,
     "t",
     "a123b"},
    {"structs that wait",
     {"01010300c401000101013300", "01010102c401000101013100", "01010200c401000101013200"},
     "03010300c4010001010133010200c4010001010132010102c401000101013100",
     CRDT_KIND_TEXT,
     "t",
     ""},
    {"structs that have waited",
     {"01010300c401000101013300", "01010102c401000101013100", "01010200c401000101013200",
      "010101000401017402616200"},
     "03010300c4010001010133010200c40100010101320301000401017401618401000162c401000101013100",
     CRDT_KIND_TEXT,
     "t",
     "a123b"},
    {"a split surrogate pair",
     {"01010100040101740661f09f98806200", "01010104c401010102015800"},
     "01030100040101740461efbfbd84010104efbfbd62c401010102015800",
     CRDT_KIND_TEXT,
     "t",
     "a\xef\xbf\xbdX\xef\xbf\xbd"
     "b"},
    {"a map set by two",
     {"010101002801016d016b0177016100", "010101012801016d0132017d0100",
      "010101022801016d0131017d0200", "010102002801016d016b0177016200"},
     "020102002801016d016b017701620301002101016d016b012801016d0132017d012801016d0131017d0201010100"
     "01",
     CRDT_KIND_MAP,
     "m",
     "{\"1\":2,\"2\":1,\"k\":\"b\"}"},
    {"a map set by two, the other way round",
     {"010102002801016d016b0177016200", "010101002801016d016b0177016100",
      "010101012801016d0132017d0100", "010101022801016d0131017d0200"},
     "020102002801016d016b017701620301002101016d016b012801016d0132017d012801016d0131017d0201010100"
     "01",
     CRDT_KIND_MAP,
     "m",
     "{\"1\":2,\"2\":1,\"k\":\"b\"}"},
    {"an insertion into a type that is gone",
     {"010201000701016c00880100017d0700", "0102010207000100018801020177017800",
      "0101010428000102016b0177017600", "0001010200010203", "0101020028000102046c617465017d0100"},
     "0201020000010301000101016c01880100017d0700030202010001010200010203",
     CRDT_KIND_ARRAY,
     "l",
     "[7]"},
    {"an insertion into a type that goes",
     {"010201000701016c00880100017d0700", "0102010207000100018801020177017800",
      "0101010428000102016b0177017600", "0101020028000102046c617465017d0100", "0001010200010203"},
     "0201020000010301000101016c01880100017d0700030202010001010200010203",
     CRDT_KIND_ARRAY,
     "l",
     "[7]"},
    {"a delete that waits", {"000101010101"}, "000101010101", CRDT_KIND_TEXT, "t", ""},
    {"a delete before its insertion",
     {"000101010101", "01010100040101740361626300"},
     "010301000401017401618101000184010101630101010101",
     CRDT_KIND_TEXT,
     "t",
     "ac"},
    {"marks and an embed",
     {"01010100040101740568656c6c6f00",
      "010401054601000131077b2261223a317dc60105010004626f6c640474727565c6010201030131046e756c6cc6"
      "0107010304626f6c64046e756c6c00",
      "01050109c6010101020131046e756c6cc60109010204626f6c64046e756c6cc5010a0102097b22696d67223a31"
      "7dc6010b01020131077b2261223a317dc6010c010204626f6c64047472756500"},
     "010c010004010174026865840101016c840102026c6f4601000131077b2261223a317dc60105010004626f6c6404"
     "74727565c6010201030131046e756c6cc60107010304626f6c64046e756c6cc6010101020131046e756c6cc60109"
     "010204626f6c64046e756c6cc5010a0102097b22696d67223a317dc6010b01020131077b2261223a317dc6010c01"
     "0204626f6c64047472756500",
     CRDT_KIND_DELTA,
     "t",
     "[{\"insert\":\"he\",\"attributes\":{\"1\":{\"a\":1},\"bold\":true}},{\"insert\":{\"img\":1}},"
     "{\"insert\":\"l\",\"attributes\":{\"1\":{\"a\":1},\"bold\":true}},{\"insert\":\"lo\"}]"},
    {"xml",
     {"0101010007010178030344495600", "010101012800010001620177013100",
      "010101022800010001610177013200", "0102010307000100060400010302686900",
      "0102010646010402656d097b226b223a2276227dc60104010502656d046e756c6c00"},
     "010801000701017803034449562800010001620177013128000100016101770132070001000604000103016884010"
     "4016946010402656d097b226b223a2276227dc60104010502656d046e756c6c00",
     CRDT_KIND_XML,
     "x",
     "<div a=\"2\" b=\"1\"><em k=\"v\">h</em>i</div>"},
    {"a struct without length",
     {"01010100040101740000"},
     "01010100040101740000",
     CRDT_KIND_TEXT,
     "t",
     ""},
    {"neighbours from two roots",
     {"0101010004010174016100", "0101020004010175016200", "01010300c401000200016300"},
     "03010300c401000200016301020004010175016201010004010174016100",
     CRDT_KIND_TEXT,
     "t",
     "ac"},
};

static int apply_hex(struct crdt_doc *doc, const char *hex, struct crdt_applied *applied)
{
    struct bytes update = from_hex(hex);

    return crdt_doc_apply(doc, CRDT_V1, update.data, update.len, applied);
}

static void assert_state(const struct crdt_doc *doc, const char *hex, const char *what)
{
    struct crdt_buf out = {0};

    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &out), 0);
    assert_buf(&out, hex, what);
}

static void assert_value(const struct crdt_doc *doc, enum crdt_kind kind, const char *root,
                         const char *value)
{
    struct crdt_buf out = {0};

    cr_assert_eq(crdt_doc_read(doc, kind, root, strlen(root), &out), 0);
    assert_text(&out, value);
}

Test(doc, agrees_with_yjs)
{
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        const struct scenario *s = &scenarios[i];
        struct crdt_doc *doc = crdt_doc_new(NULL);

        for (size_t n = 0; n < MAX_UPDATES && s->updates[n]; n++)
            cr_assert_eq(apply_hex(doc, s->updates[n], NULL), 0, "%s", s->what);
        assert_state(doc, s->state, s->what);
        assert_value(doc, s->kind, s->root, s->value);
        crdt_doc_free(doc);
    }
}

Test(doc, takes_every_update_twice)
{
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        const struct scenario *s = &scenarios[i];
        struct crdt_doc *doc;
        struct crdt_applied applied;

        /* Yjs, too, adds a struct without length each time. */
        if (!strcmp(s->what, "a struct without length"))
            continue;
        doc = crdt_doc_new(NULL);
        for (int round = 0; round < 2; round++) {
            for (size_t n = 0; n < MAX_UPDATES && s->updates[n]; n++) {
                cr_assert_eq(apply_hex(doc, s->updates[n], &applied), 0, "%s", s->what);
                cr_assert_eq(applied.has_changed, round == 0, "%s, update %zu", s->what, n);
                cr_assert_eq(applied.has_pending, crdt_doc_has_pending(doc));
            }
        }
        assert_state(doc, s->state, s->what);
        crdt_doc_free(doc);
    }
}

static bool has_hex(struct crdt_doc *doc, const char *hex)
{
    struct bytes update = from_hex(hex);
    bool has = false;

    cr_assert_eq(crdt_doc_has(doc, CRDT_V1, update.data, update.len, &has), 0, "%s", hex);
    return has;
}

/* As applying it would say, and without a trace: the state at the end is that of Yjs. */
Test(doc, knows_what_it_has)
{
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        const struct scenario *s = &scenarios[i];
        struct crdt_doc *doc = crdt_doc_new(NULL);
        struct crdt_applied applied;

        for (size_t n = 0; n < MAX_UPDATES && s->updates[n]; n++) {
            for (size_t other = 0; other < MAX_UPDATES && s->updates[other]; other++)
                (void)has_hex(doc, s->updates[other]);
            bool has = has_hex(doc, s->updates[n]);
            cr_assert_eq(apply_hex(doc, s->updates[n], &applied), 0);
            cr_assert_eq(has, !applied.has_changed, "%s, update %zu", s->what, n);
        }
        assert_state(doc, s->state, s->what);
        crdt_doc_free(doc);
    }
}

Test(doc, has_what_a_client_answers)
{
    static const struct {
        const char *what;
        const char *update;
        bool has;
    } cases[] = {
        {"nothing at all", "0000", true},
        {"a delete set that is known", "0001010101 01", true},
        {"one that goes further", "0001010101 02", false},
        {"one behind the state", "0001010109 01", false},
        {"one that waits", "0001070105 02", true},
        {"a part of it", "0001070106 01", true},
        {"more than that", "0001070105 03", false},
        {"ranges that overlap", "00010102000301 01", false},
        {"a struct that is there", "01010100040101740361626300", true},
        {"and one more unit", "0101010004010174046162636400", false},
        {"a struct of another client", "01010200040101740161 00", false},
        {"one that waits already", "010103058403040161 00", true},
        {"one that would wait", "010104058404040161 00", false},
        {"of two groups the last counts", "020101050401017401 61 0101 00 04 01 01 74 01 61 00",
         true},
        {"a Skip", "010102000a0500", true},
    };
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf before = {0}, after = {0};
    bool has;

    cr_assert_eq(apply_hex(doc, "010101000401017403616263 0101010101", NULL), 0);
    cr_assert_eq(apply_hex(doc, "010103058403040161 0107010502", NULL), 0);
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &before), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq(has_hex(doc, cases[i].update), cases[i].has, "%s", cases[i].what);
    has = true;
    cr_assert_eq(crdt_doc_has(doc, CRDT_V1, (const uint8_t *)"\x01", 1, &has), -EBADMSG);
    cr_assert(has, "untouched on failure");
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &after), 0);
    cr_assert(before.len == after.len && memcmp(before.data, after.data, after.len) == 0);
    crdt_buf_done(&before);
    crdt_buf_done(&after);
    crdt_doc_free(doc);
}

Test(doc, goes_through_v2)
{
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        const struct scenario *s = &scenarios[i];
        struct crdt_doc *doc = crdt_doc_new(NULL), *copy = crdt_doc_new(NULL);
        struct crdt_buf v2 = {0};

        for (size_t n = 0; n < MAX_UPDATES && s->updates[n]; n++)
            cr_assert_eq(apply_hex(doc, s->updates[n], NULL), 0);
        cr_assert_eq(crdt_doc_encode(doc, CRDT_V2, NULL, 0, &v2), 0);
        cr_assert_eq(crdt_doc_apply(copy, CRDT_V2, v2.data, v2.len, NULL), 0, "%s", s->what);
        assert_state(copy, s->state, s->what);
        assert_value(copy, s->kind, s->root, s->value);
        crdt_buf_done(&v2);
        crdt_doc_free(doc);
        crdt_doc_free(copy);
    }
}

Test(doc, is_empty_when_new)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    assert_state(doc, "0000", "state");
    cr_assert_eq(crdt_doc_state_vector(doc, &out), 0);
    assert_buf(&out, "00", "state vector");
    assert_value(doc, CRDT_KIND_TEXT, "t", "");
    assert_value(doc, CRDT_KIND_XML, "t", "");
    assert_value(doc, CRDT_KIND_DELTA, "t", "[]");
    assert_value(doc, CRDT_KIND_ARRAY, "t", "[]");
    assert_value(doc, CRDT_KIND_MAP, "t", "{}");
    crdt_doc_free(doc);
}

Test(doc, encodes_from_a_state_vector)
{
    static const struct {
        const char *sv;
        const char *update;
    } cases[] = {
        {"00", "01030100040101740161810100018401010263640101010101"},
        {"010101", "01020101810100018401010263640101010101"},
        {"010102", "010101028401010263640101010101"},
        {"010103", "0101010384010201640101010101"},
        {"010104", "000101010101"},
        {"010109", "000101010101"},
        {"010201", "01030100040101740161810100018401010263640101010101"},
    };
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf out = {0};

    cr_assert_eq(apply_hex(doc, "01010100040101740361626300", NULL), 0);
    cr_assert_eq(apply_hex(doc, "0101010384010201640101010101", NULL), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes sv = from_hex(cases[i].sv);

        cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, sv.data, sv.len, &out), 0);
        assert_buf(&out, cases[i].update, cases[i].sv);
    }
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, (const uint8_t *)"\x02\x01", 2, &out), -EBADMSG);
    cr_assert_eq(out.len, 0);
    crdt_buf_done(&out);
    crdt_doc_free(doc);
}

Test(doc, refuses_and_stays_as_it_was)
{
    static const struct {
        const char *what;
        const char *update;
        int error;
    } cases[] = {
        {"nothing", "", -EBADMSG},
        {"cut off", "0101020004010174", -EBADMSG},
        {"a struct that is its own origin", "01010200840200016100", -EBADMSG},
        {"a struct in itself", "0101020004000200016100", -EBADMSG},
        {"an origin that its client makes later", "0102020084020101618402000162 00", -EBADMSG},
        {"good structs, then a bad one", "01030200040101 74017a840200017a840209017100", -EBADMSG},
        {"an unknown content", "010102000b01017400", -EBADMSG},
        {"no delete set", "01010200040101740161", -EBADMSG},
    };
    struct crdt_doc *doc = crdt_doc_new(NULL);

    cr_assert_eq(apply_hex(doc, "01010100040101740361626300", NULL), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(apply_hex(doc, cases[i].update, NULL), cases[i].error, "%s", cases[i].what);
        assert_state(doc, "01010100040101740361626300", cases[i].what);
        cr_assert(!crdt_doc_has_pending(doc), "%s", cases[i].what);
    }
    crdt_doc_free(doc);
}

/* A struct that could never be integrated must not wait: the update that brings what it waits for
 * would be refused for it, each time. */
Test(doc, keeps_nothing_that_names_what_comes_later)
{
    static const char *const cases[] = {
        "01010101 84010901 7800",                    /* an origin */
        "01010101 84010101 7800",                    /* itself */
        "01010101 84010103 78787800",                /* a part of itself */
        "01010101 44010901 74017800",                /* a right origin */
        "01010101 0400010901 7800",                  /* a parent */
        "01010101 c4020001090178 00",                /* behind another client's, which is missing */
        "01020101 840100017884010901 7900",          /* behind one that waits rightly */
        "02010200 040101740161 010101 8401090178 00" /* with something good */
    };
    static const char honest[] = "01010100040101740361626300";
    struct crdt_doc *doc = crdt_doc_new(NULL);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(apply_hex(doc, cases[i], NULL), -EBADMSG, "%s", cases[i]);
        assert_state(doc, "0000", cases[i]);
        cr_assert(!crdt_doc_has_pending(doc), "%s", cases[i]);
    }
    cr_assert_eq(apply_hex(doc, honest, NULL), 0);
    assert_state(doc, honest, "what an honest client sends then");
    crdt_doc_free(doc);
}

Test(doc, bounds_what_waits)
{
    struct crdt_limits limits = {.pending_bytes = 64};
    struct crdt_doc *doc = crdt_doc_new(&limits);
    struct crdt_stats stats;
    char update[64];
    int r = 0, taken = 0;

    for (int clock = 0x10; clock < 0x70 && r == 0; clock += 2, taken++) {
        snprintf(update, sizeof(update), "010101%02x8401%02x016100", (unsigned)clock,
                 (unsigned)clock - 1);
        r = apply_hex(doc, update, NULL);
    }
    cr_assert_eq(r, -E2BIG);
    cr_assert_gt(taken, 1);
    crdt_doc_stats(doc, &stats);
    cr_assert_leq(stats.pending_bytes, limits.pending_bytes);
    cr_assert_eq(stats.structs, 0);

    crdt_doc_free(doc);

    doc = crdt_doc_new(&limits);
    r = 0;
    for (int clock = 0x10; clock < 0x70 && r == 0; clock += 2) {
        snprintf(update, sizeof(update), "00010101%02x01", (unsigned)clock);
        r = apply_hex(doc, update, NULL);
    }
    cr_assert_eq(r, -E2BIG);
    crdt_doc_free(doc);
}

Test(doc, deletes_deep_nesting_without_recursion)
{
    enum { DEPTH = 100000 };
    struct crdt_buf update = {0}, out = {0};
    struct crdt_doc *doc = crdt_doc_new(NULL);

    /* Arrays in arrays: each struct's parent is the one before it. */
    lib0_write_uint(&update, 1);
    lib0_write_uint(&update, DEPTH);
    lib0_write_uint(&update, 1);
    lib0_write_uint(&update, 0);
    lib0_write_bytes(&update,
                     "\x07\x01\x01"
                     "l\x00",
                     5);
    for (uint32_t i = 1; i < DEPTH; i++) {
        lib0_write_bytes(&update, "\x07\x00\x01", 3);
        lib0_write_uint(&update, i - 1);
        lib0_write_u8(&update, 0);
    }
    lib0_write_u8(&update, 0);
    cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update.data, update.len, NULL), 0);
    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_ARRAY, "l", 1, &out), -E2BIG);
    cr_assert_eq(out.len, 0);
    cr_assert_eq(apply_hex(doc, "000101010001", NULL), 0);
    assert_value(doc, CRDT_KIND_ARRAY, "l", "[]");
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &out), 0);
    assert_buf(&out, "0102010001 01016c01 009f8d06 01010100a08d06", "joined");
    crdt_buf_done(&update);
    crdt_doc_free(doc);
}

Test(doc, counts)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_stats stats;

    crdt_doc_stats(doc, &stats);
    cr_assert_eq(stats.structs, 0);
    cr_assert_eq(stats.clients, 0);
    cr_assert_eq(apply_hex(doc, "01010100040101740361626300", NULL), 0);
    cr_assert_eq(apply_hex(doc, "01010900840809016100", NULL), 0);
    crdt_doc_stats(doc, &stats);
    cr_assert_eq(stats.structs, 1);
    cr_assert_eq(stats.clients, 1);
    cr_assert_gt(stats.pending_bytes, 0);
    cr_assert_gt(stats.memory_bytes, 100);
    crdt_doc_free(doc);
}
