#include "roomd/slot_state.h"

#include <criterion/criterion.h>

struct step {
    enum slot_state state;
    enum slot_event event;
    struct slot_facts facts;
    enum slot_state next;
};

static void check(const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum slot_state next = slot_next(steps[i].state, steps[i].event, &steps[i].facts);
        cr_assert_eq(next, steps[i].next, "row %zu: %s, expected %s", i, slot_state_name(next),
                     slot_state_name(steps[i].next));
    }
}

#define PARKED  .has_parked = true
#define LINKS   .has_links_on_way = true
#define STOP    .is_stopping = true
#define EDITS   .rest = SLOT_REST_EDITS
#define DAMAGED .rest = SLOT_REST_DAMAGED

Test(slot_state, life)
{
    static const struct step steps[] = {
        {SLOT_STARTING, SLOT_EVENT_READY, {0}, SLOT_OPEN},
        {SLOT_STARTING, SLOT_EVENT_READY, {PARKED}, SLOT_OPEN},
        {SLOT_OPEN, SLOT_EVENT_IDLE, {0}, SLOT_CLOSING},
        {SLOT_CLOSING, SLOT_EVENT_ENDED, {0}, SLOT_GONE},
        {SLOT_CRASHED, SLOT_EVENT_RETRY, {EDITS}, SLOT_STARTING},
        {SLOT_CRASHED, SLOT_EVENT_RETRY, {PARKED}, SLOT_STARTING},
        {SLOT_CRASHED, SLOT_EVENT_RETRY, {0}, SLOT_GONE},
    };
    check(steps, sizeof(steps) / sizeof(steps[0]));
}

Test(slot_state, nobody_joins_a_dying_room)
{
    static const struct step steps[] = {
        /* somebody is coming: stay open */
        {SLOT_OPEN, SLOT_EVENT_IDLE, {PARKED}, SLOT_OPEN},
        {SLOT_OPEN, SLOT_EVENT_IDLE, {LINKS}, SLOT_OPEN},
        /* said again while it closes */
        {SLOT_CLOSING, SLOT_EVENT_IDLE, {0}, SLOT_CLOSING},
        {SLOT_CLOSING, SLOT_EVENT_READY, {PARKED}, SLOT_CLOSING},
        /* who came meanwhile starts it again */
        {SLOT_CLOSING, SLOT_EVENT_ENDED, {PARKED}, SLOT_STARTING},
    };
    check(steps, sizeof(steps) / sizeof(steps[0]));
}

Test(slot_state, what_is_not_stored_is_started_again)
{
    static const struct step steps[] = {
        {SLOT_STARTING, SLOT_EVENT_ENDED, {EDITS}, SLOT_CRASHED},
        {SLOT_OPEN, SLOT_EVENT_ENDED, {EDITS}, SLOT_CRASHED},
        {SLOT_OPEN, SLOT_EVENT_ENDED, {EDITS, PARKED}, SLOT_CRASHED},
        {SLOT_CLOSING, SLOT_EVENT_ENDED, {EDITS}, SLOT_CRASHED},
        /* nothing to lose, nobody waits */
        {SLOT_STARTING, SLOT_EVENT_ENDED, {0}, SLOT_GONE},
        {SLOT_STARTING, SLOT_EVENT_ENDED, {PARKED}, SLOT_CRASHED},
        /* starting on a damaged segment does not help */
        {SLOT_STARTING, SLOT_EVENT_ENDED, {DAMAGED}, SLOT_QUARANTINED},
        {SLOT_STARTING, SLOT_EVENT_ENDED, {DAMAGED, PARKED}, SLOT_QUARANTINED},
        {SLOT_CLOSING, SLOT_EVENT_ENDED, {DAMAGED, PARKED}, SLOT_QUARANTINED},
    };
    check(steps, sizeof(steps) / sizeof(steps[0]));
}

Test(slot_state, stopping)
{
    static const struct step steps[] = {
        {SLOT_STARTING, SLOT_EVENT_READY, {STOP}, SLOT_OPEN},
        {SLOT_OPEN, SLOT_EVENT_IDLE, {STOP}, SLOT_CLOSING},
        {SLOT_STARTING, SLOT_EVENT_ENDED, {STOP}, SLOT_GONE},
        {SLOT_OPEN, SLOT_EVENT_ENDED, {STOP, PARKED}, SLOT_GONE},
        {SLOT_OPEN, SLOT_EVENT_ENDED, {STOP, DAMAGED}, SLOT_QUARANTINED},
        {SLOT_CRASHED, SLOT_EVENT_RETRY, {STOP}, SLOT_GONE},
        /* what is not stored is, before the end */
        {SLOT_STARTING, SLOT_EVENT_ENDED, {STOP, EDITS}, SLOT_CRASHED},
        {SLOT_OPEN, SLOT_EVENT_ENDED, {STOP, EDITS}, SLOT_CRASHED},
        {SLOT_CLOSING, SLOT_EVENT_ENDED, {STOP, EDITS}, SLOT_CRASHED},
        {SLOT_CRASHED, SLOT_EVENT_RETRY, {STOP, EDITS}, SLOT_STARTING},
    };
    check(steps, sizeof(steps) / sizeof(steps[0]));
}

Test(slot_state, other_events_mean_nothing)
{
    static const struct step steps[] = {
        {SLOT_STARTING, SLOT_EVENT_IDLE, {0}, SLOT_STARTING},
        {SLOT_STARTING, SLOT_EVENT_RETRY, {0}, SLOT_STARTING},
        {SLOT_OPEN, SLOT_EVENT_READY, {0}, SLOT_OPEN},
        {SLOT_OPEN, SLOT_EVENT_RETRY, {0}, SLOT_OPEN},
        {SLOT_CLOSING, SLOT_EVENT_RETRY, {0}, SLOT_CLOSING},
        {SLOT_CRASHED, SLOT_EVENT_READY, {0}, SLOT_CRASHED},
        {SLOT_CRASHED, SLOT_EVENT_IDLE, {0}, SLOT_CRASHED},
        {SLOT_CRASHED, SLOT_EVENT_ENDED, {0}, SLOT_CRASHED},
        {SLOT_GONE, SLOT_EVENT_READY, {0}, SLOT_GONE},
    };
    check(steps, sizeof(steps) / sizeof(steps[0]));
}

Test(slot_state, backoff)
{
    static const uint32_t expected[] = {0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000};

    for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        cr_assert_eq(slot_backoff_ms(i), expected[i], "%u", i);
    cr_assert_eq(slot_backoff_ms(UINT32_MAX), 5000);
}

#define HOPELESS .is_hopeless = true

Test(slot_state, what_crashes_too_often_is_quarantined)
{
    static const struct step steps[] = {
        {SLOT_STARTING, SLOT_EVENT_ENDED, {HOPELESS}, SLOT_QUARANTINED},
        {SLOT_STARTING, SLOT_EVENT_ENDED, {HOPELESS, PARKED}, SLOT_QUARANTINED},
        {SLOT_OPEN, SLOT_EVENT_ENDED, {HOPELESS, EDITS}, SLOT_QUARANTINED},
        {SLOT_OPEN, SLOT_EVENT_ENDED, {HOPELESS, EDITS, STOP}, SLOT_QUARANTINED},
        {SLOT_CLOSING, SLOT_EVENT_ENDED, {HOPELESS, EDITS}, SLOT_QUARANTINED},
        /* somebody put it there meanwhile */
        {SLOT_CRASHED, SLOT_EVENT_RETRY, {HOPELESS, EDITS}, SLOT_QUARANTINED},
        {SLOT_CRASHED, SLOT_EVENT_RETRY, {HOPELESS, EDITS, STOP}, SLOT_QUARANTINED},
        /* a room that lives is not touched */
        {SLOT_STARTING, SLOT_EVENT_READY, {HOPELESS}, SLOT_OPEN},
        {SLOT_OPEN, SLOT_EVENT_IDLE, {HOPELESS}, SLOT_CLOSING},
        {SLOT_QUARANTINED, SLOT_EVENT_RETRY, {0}, SLOT_QUARANTINED},
    };
    check(steps, sizeof(steps) / sizeof(steps[0]));
}

/* The moments of crashes, and whether the last one makes them too many. */
Test(slot_state, crashes_count_in_a_sliding_window)
{
    enum { MAX = SLOT_CRASHES_MAX, WINDOW = SLOT_CRASHES_WINDOW_MS };
    static const struct {
        uint64_t at_ms[7];
        size_t count;
        unsigned recent;
    } rows[] = {
        {{0}, 0, 0},
        {{100}, 1, 1},
        {{100, 100, 100, 100}, 4, 4},
        {{100, 100, 100, 100, 100}, 5, MAX},
        /* exactly a minute, and a millisecond more */
        {{7, 8, 9, 10, 7 + WINDOW}, 5, MAX},
        {{7, 8, 9, 10, 8 + WINDOW}, 5, MAX - 1},
        /* the oldest ones slide out */
        {{0, 20000, 40000, 60000, 80000, 100000, 120000}, 7, 4},
        {{0, 59000, 59000, 59000, 59000, 61000}, 6, MAX},
        {{0, 0, 0, 0, 1, 1000 * (uint64_t)WINDOW}, 6, 1},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slot_crashes crashes = {0};
        for (size_t k = 0; k < rows[i].count; k++)
            slot_crashes_add(&crashes, rows[i].at_ms[k]);
        uint64_t now = rows[i].count > 0 ? rows[i].at_ms[rows[i].count - 1] : 0;
        cr_assert_eq(slot_crashes_recent(&crashes, now), rows[i].recent, "row %zu", i);
    }
}
