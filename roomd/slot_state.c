#include "roomd/slot_state.h"

static enum slot_state after_end(enum slot_state state, const struct slot_facts *facts)
{
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
        break;
    }
    return SLOT_OPEN;
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
        if (event != SLOT_EVENT_RETRY)
            return state;
        return facts->is_stopping && facts->rest != SLOT_REST_EDITS ? SLOT_GONE : SLOT_STARTING;
    case SLOT_GONE:
        break;
    }
    return SLOT_GONE;
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

const char *slot_state_name(enum slot_state state)
{
    static const char *const names[] = {
        [SLOT_STARTING] = "starting", [SLOT_OPEN] = "open", [SLOT_CLOSING] = "closing",
        [SLOT_CRASHED] = "crashed",   [SLOT_GONE] = "gone",
    };

    return names[state];
}
