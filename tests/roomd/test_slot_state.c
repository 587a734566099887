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
        {SLOT_CRASHED, SLOT_EVENT_RETRY, {0}, SLOT_STARTING},
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
        /* a damaged segment is not tried over and over, only when somebody asks */
        {SLOT_STARTING, SLOT_EVENT_ENDED, {DAMAGED}, SLOT_GONE},
        {SLOT_STARTING, SLOT_EVENT_ENDED, {DAMAGED, PARKED}, SLOT_CRASHED},
        {SLOT_CLOSING, SLOT_EVENT_ENDED, {DAMAGED, PARKED}, SLOT_CRASHED},
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
        {SLOT_OPEN, SLOT_EVENT_ENDED, {STOP, DAMAGED}, SLOT_GONE},
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
