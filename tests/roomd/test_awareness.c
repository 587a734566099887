#include "roomd/awareness.h"

#include "common/buffer.h"
#include "crdt/lib0.h"

#include <criterion/criterion.h>
#include <errno.h>

/* Of the times that changes are handed out. */
static uint64_t now_ms;

/* Sessions 1, 2 and 3 have joined. */
static struct awareness *make(void)
{
    struct awareness *a = awareness_new(NULL, 0);

    for (uint64_t session = 1; session <= 3; session++)
        awareness_join(a, session);
    return a;
}

static int apply(struct awareness *a, uint64_t session, uint64_t id, uint64_t clock,
                 const char *state, uint64_t at_ms)
{
    struct crdt_buf update = {0};

    lib0_write_uint(&update, 1);
    lib0_write_uint(&update, id);
    lib0_write_uint(&update, clock);
    lib0_write_slice(&update, state, strlen(state));
    int r = awareness_apply(a, session, slice_of(update.data, update.len), at_ms);
    crdt_buf_done(&update);
    return r;
}

/* Appends "except:id@clock=state;…|" for each update. */
static void print_update(struct buffer *out, uint64_t except, struct slice update)
{
    struct lib0_reader r;

    lib0_reader_init(&r, update.data, update.len);
    buffer_printf(out, "%llu:", (unsigned long long)except);
    for (uint64_t count = lib0_read_uint(&r); count > 0; count--) {
        uint64_t id = lib0_read_uint(&r);
        uint64_t clock = lib0_read_uint(&r);
        struct crdt_slice state = lib0_read_slice(&r);
        buffer_printf(out, "%llu@%llu=%.*s;", (unsigned long long)id, (unsigned long long)clock,
                      (int)state.len, (const char *)state.data);
    }
    cr_assert(!r.has_failed && lib0_remaining(&r) == 0);
    buffer_append_str(out, "|");
}

static void on_change(void *ctx, uint64_t except, struct slice update)
{
    print_update(ctx, except, update);
}

/* Of all ticks up to now. */
static void expect_changes(struct awareness *a, const char *expected)
{
    struct buffer out = {0};

    now_ms += AWARENESS_TICK_MS;
    cr_assert_eq(awareness_take_changes(a, now_ms, on_change, &out), 0);
    buffer_append(&out, "", 1);
    cr_assert_str_eq((const char *)out.data, expected);
    buffer_done(&out);
}

static void expect_others(struct awareness *a, uint64_t session, const char *expected)
{
    struct crdt_buf states = {0};
    struct buffer out = {0};

    if (awareness_encode_others(a, session, &states) > 0)
        print_update(&out, session, slice_of(states.data, states.len));
    buffer_append(&out, "", 1);
    cr_assert_str_eq((const char *)out.data, expected);
    buffer_done(&out);
    crdt_buf_done(&states);
}

Test(awareness, newer_states_go_to_the_others)
{
    struct awareness *a = make();

    cr_assert_eq(apply(a, 1, 10, 1, "{\"n\":1}", 0), 0);
    expect_changes(a, "1:10@1={\"n\":1};|");
    expect_changes(a, "");
    cr_assert_eq(apply(a, 1, 10, 1, "{\"n\":2}", 0), 0); /* the same clock: not newer */
    cr_assert_eq(apply(a, 1, 10, 0, "{\"n\":2}", 0), 0);
    expect_changes(a, "");
    cr_assert_eq(apply(a, 1, 10, 5, "{\"n\":3}", 0), 0);
    cr_assert_eq(apply(a, 1, 10, 6, "{\"n\":4}", 0), 0); /* one turn: only the latest */
    expect_changes(a, "1:10@6={\"n\":4};|");
    expect_others(a, 2, "2:10@6={\"n\":4};|");
    expect_others(a, 1, "");
    awareness_free(a);
}

Test(awareness, null_with_the_same_clock_removes)
{
    struct awareness *a = make();

    cr_assert_eq(apply(a, 1, 10, 3, "{}", 0), 0);
    cr_assert_eq(apply(a, 1, 10, 3, "null", 0), 0);
    expect_changes(a, "1:10@4=null;|");
    cr_assert_eq(awareness_count(a), 0);
    cr_assert_eq(apply(a, 1, 10, 4, "null", 0), 0); /* it is gone already */
    cr_assert_eq(apply(a, 1, 11, 4, "null", 0), 0); /* never was here */
    expect_changes(a, "");
    cr_assert_eq(apply(a, 1, 10, 4, "{}", 0), 0);
    expect_changes(a, "1:10@5={};|");
    cr_assert_eq(apply(a, 1, 10, 4, " null\n", 0), 0); /* what JSON.parse makes null of */
    expect_changes(a, "1:10@6=null;|");
    awareness_free(a);
}

Test(awareness, a_session_takes_its_ids_along)
{
    struct awareness *a = make();

    cr_assert_eq(apply(a, 1, 10, 1, "{}", 0), 0);
    cr_assert_eq(apply(a, 1, 11, 1, "{}", 0), 0);
    cr_assert_eq(apply(a, 2, 20, 1, "{}", 0), 0);
    expect_changes(a, "1:10@1={};11@1={};|2:20@1={};|");
    awareness_leave(a, 1);
    awareness_leave(a, 1);
    expect_changes(a, "0:10@2=null;11@2=null;|");
    expect_others(a, 3, "3:20@1={};|");
    awareness_free(a);
}

/* y-websocket #122: the client kept its clock, and nobody may ignore it. */
Test(awareness, a_client_that_reconnects_is_seen_at_once)
{
    struct awareness *a = make();

    cr_assert_eq(apply(a, 1, 10, 7, "{}", 0), 0);
    expect_changes(a, "1:10@7={};|");
    awareness_leave(a, 1);
    expect_changes(a, "0:10@8=null;|");
    awareness_join(a, 4);
    cr_assert_eq(apply(a, 4, 10, 7, "{}", 0), 0);
    expect_changes(a, "4:10@9={};|");
    cr_assert_eq(apply(a, 4, 10, 8, "{\"n\":1}", 0), 0);
    expect_changes(a, "4:10@10={\"n\":1};|");
    awareness_free(a);
}

Test(awareness, also_within_one_turn)
{
    struct awareness *a = make();

    cr_assert_eq(apply(a, 1, 10, 7, "{}", 0), 0);
    expect_changes(a, "1:10@7={};|");
    awareness_leave(a, 1);
    awareness_join(a, 4);
    cr_assert_eq(apply(a, 4, 10, 7, "{}", 0), 0);
    expect_changes(a, "4:10@9={};|");
    awareness_free(a);
}

/* y-websocket clients send on what they receive. */
Test(awareness, echoes_change_nothing)
{
    struct awareness *a = make();

    cr_assert_eq(apply(a, 1, 10, 1, "{}", 0), 0);
    awareness_leave(a, 1);
    awareness_join(a, 1);
    cr_assert_eq(apply(a, 1, 10, 1, "{}", 0), 0);
    expect_changes(a, "1:10@3={};|"); /* the room's clock is ahead of the client's */
    cr_assert_eq(apply(a, 2, 10, 3, "{}", 0), 0);
    cr_assert_eq(apply(a, 2, 10, 3, "null", 0), 0); /* a client that timed it out */
    expect_changes(a, "");
    cr_assert_eq(apply(a, 1, 10, 2, "{\"n\":1}", 0), 0); /* and its owner is still heard */
    expect_changes(a, "1:10@4={\"n\":1};|");
    awareness_leave(a, 1);
    cr_assert_eq(apply(a, 2, 10, 4, "{\"n\":1}", 0), 0); /* an echo on the way brings no ghost */
    expect_changes(a, "0:10@5=null;|");
    cr_assert_eq(awareness_count(a), 0);
    awareness_free(a);
}

Test(awareness, an_id_moves_to_the_session_with_news)
{
    struct awareness *a = make();

    cr_assert_eq(apply(a, 1, 10, 1, "{}", 0), 0);
    expect_changes(a, "1:10@1={};|");
    cr_assert_eq(apply(a, 2, 10, 2, "{}", 0), 0);
    expect_changes(a, "2:10@2={};|");
    awareness_leave(a, 1);
    expect_changes(a, "");
    awareness_leave(a, 2);
    expect_changes(a, "0:10@3=null;|");
    awareness_free(a);
}

Test(awareness, silence_ends_after_30_seconds)
{
    struct awareness *a = make();

    cr_assert_eq(apply(a, 1, 10, 1, "{}", 1000), 0);
    cr_assert_eq(apply(a, 2, 20, 1, "{}", 2000), 0);
    expect_changes(a, "1:10@1={};|2:20@1={};|");
    cr_assert_eq(apply(a, 1, 10, 2, "{}", 16000), 0);
    expect_changes(a, "1:10@2={};|");
    cr_assert_eq(awareness_sweep(a, 31999), 1);
    expect_changes(a, "");
    cr_assert_eq(awareness_sweep(a, 32000), 14000);
    expect_changes(a, "2:20@2=null;|");
    cr_assert_eq(awareness_sweep(a, 46000), 0);
    expect_changes(a, "1:10@3=null;|");
    cr_assert_eq(apply(a, 1, 10, 3, "{}", 50000), 0); /* it wakes up */
    expect_changes(a, "1:10@4={};|");
    awareness_free(a);
}

/* The first change after a silence at once, then one round a tick, the latest of each. */
Test(awareness, changes_go_out_once_a_tick)
{
    struct awareness *a = make();
    struct buffer out = {0};

    cr_assert_eq(awareness_take_changes(a, 1000, on_change, &out), 0);
    cr_assert_eq(apply(a, 1, 10, 1, "{\"n\":1}", 1000), 0);
    cr_assert_eq(awareness_take_changes(a, 1000, on_change, &out), 0);
    cr_assert_eq(awareness_take_changes(a, 1001, on_change, &out), 0, "nothing waits");
    cr_assert_eq(apply(a, 1, 10, 2, "{\"n\":2}", 1010), 0);
    cr_assert_eq(awareness_take_changes(a, 1010, on_change, &out), 40);
    cr_assert_eq(apply(a, 2, 20, 1, "{}", 1020), 0);
    cr_assert_eq(apply(a, 1, 10, 3, "{\"n\":3}", 1030), 0);
    awareness_leave(a, 3);
    cr_assert_eq(awareness_take_changes(a, 1049, on_change, &out), 1);
    cr_assert_eq(awareness_take_changes(a, 1050, on_change, &out), 0);
    awareness_leave(a, 2); /* who is gone waits no longer than others */
    cr_assert_eq(awareness_take_changes(a, 1060, on_change, &out), 40);
    cr_assert_eq(awareness_take_changes(a, 1200, on_change, &out), 0);
    buffer_append(&out, "", 1);
    cr_assert_str_eq((const char *)out.data,
                     "1:10@1={\"n\":1};|1:10@3={\"n\":3};|2:20@1={};|0:20@2=null;|");
    buffer_done(&out);
    awareness_free(a);
}

/* Two tabs of a browser: the second one is heard from the first before it has a connection. */
Test(awareness, an_id_is_that_of_its_own_session)
{
    struct awareness *a = awareness_new(NULL, 1000);

    awareness_join(a, 1);
    cr_assert_eq(apply(a, 1, 10, 5, "{}", 0), 0);
    cr_assert_eq(apply(a, 1, 20, 3, "{}", 0), 0); /* of the tab that is not there yet */
    expect_changes(a, "1:10@1001={};20@1001={};|");
    awareness_join(a, 2);
    cr_assert_eq(apply(a, 2, 20, 3, "{}", 0), 0); /* itself: it takes its id over */
    expect_changes(a, "2:20@1002={};|");
    cr_assert_eq(apply(a, 1, 20, 4, "{\"n\":4}", 0), 0); /* repeated by the other: not news */
    expect_changes(a, "");
    cr_assert_eq(apply(a, 2, 20, 4, "{\"n\":4}", 0), 0);
    expect_changes(a, "2:20@1003={\"n\":4};|");
    /* Who only watches repeats what it hears; that makes it nobody's owner. */
    awareness_join(a, 3);
    cr_assert_eq(apply(a, 3, 20, 1003, "{\"n\":4}", 0), 0);
    expect_changes(a, "");
    awareness_leave(a, 3);
    expect_changes(a, "");
    /* And nobody takes the id of another who is there. */
    awareness_join(a, 4);
    cr_assert_eq(apply(a, 4, 20, 5, "{\"n\":5}", 0), 0);
    expect_changes(a, "");
    awareness_leave(a, 1);
    expect_changes(a, "0:10@1002=null;|");
    awareness_leave(a, 2);
    expect_changes(a, "0:20@1004=null;|");
    awareness_free(a);
}

/* A megabyte for each of 300 clients is not brought to them 20 times a second. */
Test(awareness, much_for_many_is_seldom)
{
    struct awareness *a = awareness_new(NULL, 0);
    char *state = xcalloc(1, AWARENESS_STATE_MAX + 1);
    struct buffer out = {0};
    uint64_t bytes = 0;

    memset(state, 'x', AWARENESS_STATE_MAX);
    for (uint64_t session = 1; session <= 300; session++)
        awareness_join(a, session);
    for (uint64_t id = 0; id < 64; id++, bytes += AWARENESS_STATE_MAX)
        cr_assert_eq(apply(a, 1 + id, id, 1, state, 0), 0);
    cr_assert_eq(awareness_take_changes(a, 1000, on_change, &out), 0);
    cr_assert_eq(apply(a, 300, 300, 1, "{}", 0), -EDQUOT);
    cr_assert_eq(apply(a, 1, 0, 2, "{}", 0), 0);
    uint64_t wait_ms = awareness_take_changes(a, 1000, on_change, &out);
    cr_expect_geq(wait_ms, 300 * bytes / AWARENESS_RATE);
    cr_assert_eq(awareness_take_changes(a, 1000 + wait_ms, on_change, &out), 0);
    cr_assert_eq(apply(a, 1, 0, 3, "{\"n\":1}", 0), 0);
    cr_assert_leq(awareness_take_changes(a, 1000 + wait_ms, on_change, &out), AWARENESS_TICK_MS,
                  "little is as soon as ever");
    buffer_done(&out);
    free(state);
    awareness_free(a);
}

/* It lives here, and with the others by what they are told every 10 seconds. */
Test(awareness, what_is_only_sent_again_goes_out_seldom)
{
    struct awareness *a = make();
    uint64_t clock = 1;

    cr_assert_eq(apply(a, 1, 10, clock, "{}", 0), 0);
    expect_changes(a, "1:10@1={};|");
    for (uint64_t at_ms = 1000; at_ms < 10000; at_ms += 1000)
        cr_assert_eq(apply(a, 1, 10, ++clock, "{}", at_ms), 0);
    expect_changes(a, "");
    cr_assert_eq(apply(a, 2, 10, clock, "{}", 9500), 0); /* heard from another side: no news */
    expect_changes(a, "");
    now_ms = 11000;
    cr_assert_eq(apply(a, 1, 10, ++clock, "{}", now_ms), 0);
    expect_changes(a, "1:10@11={};|");
    cr_assert_eq(apply(a, 1, 10, ++clock, "{\"n\":1}", now_ms), 0); /* another state: at once */
    expect_changes(a, "1:10@12={\"n\":1};|");
    cr_assert_eq(apply(a, 1, 10, ++clock, "{\"n\":1}", 40000), 0);
    cr_assert_eq(awareness_sweep(a, 60000), 10000);
    now_ms = 60000;
    expect_changes(a, "1:10@13={\"n\":1};|");
    cr_assert_eq(apply(a, 1, 10, ++clock, "{\"n\":1}", 61000), 0);
    cr_assert_eq(apply(a, 1, 10, clock, "null", 61000),
                 0); /* it was not told, and goes all the same */
    expect_changes(a, "1:10@14=null;|");
    awareness_free(a);
}

Test(awareness, limits_that_are_asked_for)
{
    struct awareness *a =
        awareness_new(&(struct awareness_limits){.session_ids = 2, .state_bytes = 4}, 0);

    awareness_join(a, 1);
    cr_assert_eq(apply(a, 1, 1, 1, "12345", 0), -E2BIG);
    cr_assert_eq(apply(a, 1, 1, 1, "1234", 0), 0);
    cr_assert_eq(apply(a, 1, 2, 1, "{}", 0), 0);
    cr_assert_eq(apply(a, 1, 3, 1, "{}", 0), -EDQUOT);
    awareness_free(a);
}

Test(awareness, clocks_ascend_from_room_to_room)
{
    struct awareness *a = awareness_new(NULL, 1000);

    awareness_join(a, 1);
    cr_assert_eq(apply(a, 1, 10, 7, "{}", 0), 0);
    expect_changes(a, "1:10@1001={};|");
    awareness_free(a);
}

Test(awareness, bounds)
{
    struct awareness *a = make();
    char *state = xcalloc(1, AWARENESS_STATE_MAX + 2);

    memset(state, 'x', AWARENESS_STATE_MAX + 1);
    cr_assert_eq(apply(a, 1, 10, 1, state, 0), -E2BIG);
    state[AWARENESS_STATE_MAX] = 0;
    cr_assert_eq(apply(a, 1, 10, 1, state, 0), 0);
    free(state);

    for (uint64_t id = 0; id < AWARENESS_SESSION_IDS; id++)
        cr_assert_eq(apply(a, 2, 100 + id, 1, "{}", 0), 0);
    cr_assert_eq(apply(a, 2, 200, 1, "{}", 0), -EDQUOT);
    cr_assert_eq(apply(a, 2, 100, 2, "{}", 0), 0); /* what it has it may renew */
    cr_assert_eq(apply(a, 2, 100, 3, "null", 0), 0);
    cr_assert_eq(apply(a, 2, 200, 1, "{}", 0), 0); /* and replace */
    cr_assert_eq(apply(a, 1, 11, AWARENESS_CLOCK_MAX + 1, "{}", 0), -EBADMSG);
    cr_assert_eq(apply(a, 1, 11, AWARENESS_CLOCK_MAX, "{}", 0), 0);
    awareness_free(a);
}

Test(awareness, bounds_of_the_room)
{
    struct awareness *a = awareness_new(NULL, 0);
    struct buffer ignored = {0};

    for (uint64_t i = 0; i < AWARENESS_ROOM_IDS; i++) {
        awareness_join(a, 1 + i / AWARENESS_SESSION_IDS);
        cr_assert_eq(apply(a, 1 + i / AWARENESS_SESSION_IDS, i, 1, "{}", 0), 0);
    }
    awareness_join(a, 5000);
    cr_assert_eq(apply(a, 5000, 1000000, 1, "{}", 0), -EDQUOT);
    awareness_leave(a, 1);
    cr_assert_eq(apply(a, 5000, 1000000, 1, "{}", 0), 0);
    /* What is remembered of the removed is bounded too. */
    for (uint64_t i = 0; i < 3 * AWARENESS_REMEMBERED; i++) {
        cr_assert_eq(apply(a, 5000, 2000000 + i, 1, "{}", 0), 0);
        cr_assert_eq(apply(a, 5000, 2000000 + i, 1, "null", 0), 0);
        if (i % 100 == 0)
            (void)awareness_take_changes(a, now_ms += 60000, on_change, &ignored);
        ignored.len = 0;
    }
    buffer_done(&ignored);
    awareness_free(a);
}

Test(awareness, bytes_of_the_room)
{
    struct awareness *a = awareness_new(NULL, 0);
    char *state = xcalloc(1, AWARENESS_STATE_MAX + 1);
    uint64_t fitting = AWARENESS_ROOM_BYTES / AWARENESS_STATE_MAX;
    struct crdt_buf all = {0};

    memset(state, 'x', AWARENESS_STATE_MAX);
    for (uint64_t i = 0; i < fitting; i++) {
        awareness_join(a, 1 + i / AWARENESS_SESSION_IDS);
        cr_assert_eq(apply(a, 1 + i / AWARENESS_SESSION_IDS, i, 1, state, 0), 0);
    }
    awareness_join(a, 5000);
    cr_assert_eq(apply(a, 5000, 1000000, 1, "{}", 0), -EDQUOT);
    cr_assert_eq(apply(a, 1, 0, 2, state, 0), 0, "what is there may be renewed");
    cr_assert_eq(apply(a, 1, 1, 2, "{}", 0), 0, "and shrink");
    cr_assert_eq(apply(a, 5000, 1000000, 1, "{}", 0), 0);
    cr_assert_gt(awareness_encode_others(a, 0, &all), 0);
    cr_assert_leq(all.len, AWARENESS_ROOM_BYTES + fitting * 32);
    crdt_buf_done(&all);
    for (uint64_t session = 1; session <= 1 + fitting / AWARENESS_SESSION_IDS; session++)
        awareness_leave(a, session);
    awareness_leave(a, 5000);
    awareness_join(a, 1);
    cr_assert_eq(apply(a, 1, 0, 9, state, 0), 0, "what was removed counts no more");
    awareness_free(a);
    free(state);
}

Test(awareness, a_refused_update_changes_nothing)
{
    static const struct {
        const char *what;
        size_t len;
        uint8_t bytes[16];
    } rows[] = {
        {"a count without entries", 1, {1}},
        {"a huge count", 8, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f}},
        {"a state cut short", 5, {1, 10, 1, 5, '{'}},
        {"the second entry cut short", 8, {2, 10, 1, 2, '{', '}', 11, 1}},
        {"bytes behind the end", 7, {1, 10, 1, 2, '{', '}', 0}},
        {"a state that is no UTF-8", 6, {1, 10, 1, 2, 0xff, 0xfe}},
        {"a number without end", 12, {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}},
    };
    struct awareness *a = make();

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int r = awareness_apply(a, 1, slice_of(rows[i].bytes, rows[i].len), 0);
        cr_assert_eq(r, -EBADMSG, "%s: %d", rows[i].what, r);
    }
    cr_assert_eq(awareness_apply(a, 1, slice_of("", 1), 0), 0); /* zero entries */
    expect_changes(a, "");
    awareness_free(a);
}

/* ---- random histories ---- */

#define IDS      12
#define SESSIONS 6

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(*state >> 33);
}

struct seen {
    uint64_t clock[IDS];
    bool is_present[IDS];
    uint32_t present;
};

/* What a client that gets every change would hold. Every one of them must be newer to it. */
static void follow(void *ctx, uint64_t except, struct slice update)
{
    struct seen *seen = ctx;
    struct lib0_reader r;

    (void)except;
    lib0_reader_init(&r, update.data, update.len);
    for (uint64_t count = lib0_read_uint(&r); count > 0; count--) {
        uint64_t id = lib0_read_uint(&r);
        uint64_t clock = lib0_read_uint(&r);
        struct crdt_slice state = lib0_read_slice(&r);
        cr_assert(!r.has_failed && id < IDS);
        cr_assert_gt(clock, seen->clock[id]);
        seen->clock[id] = clock;
        seen->is_present[id] = state.len != 4;
    }
    cr_assert_eq(lib0_remaining(&r), 0);
}

Test(awareness, whoever_gets_every_change_holds_what_the_room_holds)
{
    static const char *const states[] = {"{}", "{\"n\":1}", "null"};

    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct awareness *a = awareness_new(NULL, 0);
        bool is_joined[SESSIONS + 1] = {0};
        struct seen seen = {0};
        uint64_t random = seed;

        now_ms = 0;
        for (int step = 0; step < 2000; step++) {
            uint64_t session = 1 + next_random(&random) % SESSIONS;
            uint32_t action = next_random(&random) % 20;
            now_ms += next_random(&random) % 4000;
            if (action == 0) {
                awareness_leave(a, session);
                is_joined[session] = false;
            } else if (action == 1) {
                (void)awareness_sweep(a, now_ms);
            } else if (!is_joined[session]) {
                awareness_join(a, session);
                is_joined[session] = true;
            } else {
                cr_assert_eq(apply(a, session, next_random(&random) % IDS,
                                   next_random(&random) % 40, states[next_random(&random) % 3],
                                   now_ms),
                             0);
            }
            if (next_random(&random) % 3 == 0) {
                uint64_t wait_ms = awareness_take_changes(a, now_ms, follow, &seen);
                cr_assert_leq(wait_ms, AWARENESS_TICK_MS);
                if (wait_ms > 0)
                    cr_assert_eq(awareness_take_changes(a, now_ms += wait_ms, follow, &seen), 0);
                seen.present = 0;
                for (int id = 0; id < IDS; id++)
                    seen.present += seen.is_present[id];
                cr_assert_eq(seen.present, awareness_count(a));
            }
        }
        awareness_free(a);
    }
}

Test(awareness, bytes_of_chance)
{
    struct awareness *a = make();
    struct buffer ignored = {0};
    uint64_t random = 1;

    for (int i = 0; i < 50000; i++) {
        uint8_t bytes[24];
        size_t len = next_random(&random) % sizeof(bytes);
        for (size_t n = 0; n < len; n++)
            bytes[n] = (uint8_t)(next_random(&random) % (n == 0 ? 4 : 130));
        int r = awareness_apply(a, 1 + (uint64_t)(i % 3), slice_of(bytes, len), 0);
        cr_assert(r == 0 || r == -EBADMSG || r == -E2BIG || r == -EDQUOT);
        if (i % 64 == 0)
            (void)awareness_take_changes(a, now_ms += 60000, on_change, &ignored);
        ignored.len = 0;
    }
    buffer_done(&ignored);
    awareness_free(a);
}
