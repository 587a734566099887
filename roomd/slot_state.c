#include "roomd/slot_state.h"

static enum slot_state after_end(enum slot_state state, const struct slot_facts *facts)
{
    if (facts->is_hopeless || facts->rest == SLOT_REST_DAMAGED)
        return SLOT_QUARANTINED;
    if (facts->rest == SLOT_REST_EDITS)
        return SLOT_CRASHED;
    if (facts->is_stopping || !facts->has_parked)
        return SLOT_GONE;
    /* An orderly end is no failure: those who came meanwhile need not wait. */
    return state == SLOT_CLOSING && facts->rest == SLOT_REST_NOTHING ? SLOT_STARTING : SLOT_CRASHED;
}

static enum slot_state next_starting(enum slot_event event, const struct slot_facts *facts)
{
    switch (event) {
    case SLOT_EVENT_READY:
        return SLOT_OPEN;
    case SLOT_EVENT_ENDED:
        return after_end(SLOT_STARTING, facts);
    case SLOT_EVENT_IDLE:
    case SLOT_EVENT_RETRY:
    case SLOT_EVENT_ADOPTED:
        break;
    }
    return SLOT_STARTING;
}

static enum slot_state next_open(enum slot_event event, const struct slot_facts *facts)
{
    switch (event) {
    case SLOT_EVENT_IDLE:
        return facts->has_parked || facts->has_links_on_way ? SLOT_OPEN : SLOT_CLOSING;
    case SLOT_EVENT_ENDED:
        return after_end(SLOT_OPEN, facts);
    case SLOT_EVENT_READY:
    case SLOT_EVENT_RETRY:
    case SLOT_EVENT_ADOPTED:
        break;
    }
    return SLOT_OPEN;
}

static enum slot_state next_crashed(enum slot_event event, const struct slot_facts *facts)
{
    switch (event) {
    case SLOT_EVENT_ADOPTED:
        return SLOT_STARTING;
    case SLOT_EVENT_RETRY:
        if (facts->is_hopeless)
            return SLOT_QUARANTINED;
        return facts->rest != SLOT_REST_EDITS && (facts->is_stopping || !facts->has_parked)
                   ? SLOT_GONE
                   : SLOT_STARTING;
    case SLOT_EVENT_READY:
    case SLOT_EVENT_IDLE:
    case SLOT_EVENT_ENDED:
        break;
    }
    return SLOT_CRASHED;
}

enum slot_state slot_next(enum slot_state state, enum slot_event event,
                          const struct slot_facts *facts)
{
    switch (state) {
    case SLOT_STARTING:
        return next_starting(event, facts);
    case SLOT_OPEN:
        return next_open(event, facts);
    case SLOT_CLOSING:
        return event == SLOT_EVENT_ENDED ? after_end(state, facts) : state;
    case SLOT_CRASHED:
        return next_crashed(event, facts);
    case SLOT_GONE:
    case SLOT_QUARANTINED:
        break;
    }
    return state;
}

uint32_t slot_backoff_ms(unsigned failures)
{
    if (failures <= 1)
        return 0;
    unsigned shift = failures - 2;
    if (shift >= 6) /* 100 ms << 6 is above the maximum */
        return SLOT_BACKOFF_MAX_MS;
    return SLOT_BACKOFF_MIN_MS << shift;
}

void slot_crashes_add(struct slot_crashes *crashes, uint64_t now_ms)
{
    crashes->at_ms[crashes->count++ % SLOT_CRASHES_MAX] = now_ms;
}

unsigned slot_crashes_recent(const struct slot_crashes *crashes, uint64_t now_ms)
{
    unsigned kept = crashes->count < SLOT_CRASHES_MAX ? crashes->count : SLOT_CRASHES_MAX;
    unsigned recent = 0;

    for (unsigned i = 0; i < kept; i++)
        recent += now_ms - crashes->at_ms[i] <= SLOT_CRASHES_WINDOW_MS;
    return recent;
}

const char *slot_state_name(enum slot_state state)
{
    static const char *const names[] = {
        [SLOT_STARTING] = "starting", [SLOT_OPEN] = "open", [SLOT_CLOSING] = "closing",
        [SLOT_CRASHED] = "crashed",   [SLOT_GONE] = "gone", [SLOT_QUARANTINED] = "quarantined",
    };

    return names[state];
}
