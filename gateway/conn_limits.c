/* How many connections there may be, and how fast one may send. */
#include "gateway/conn_internal.h"

#include "common/metrics.h"

#include <event2/event.h>

#define LOOK_US      5000u      /* between two looks at those that wait */
#define INFLATED_MAX (1u << 20) /* bytes that compressed messages may become in a turn */

/* ---- how many ---- */

static struct slice address_key(const struct client_address *group)
{
    return slice_of(group->bytes, sizeof(group->bytes));
}

bool conn_enter(struct conn *c)
{
    const struct stream_setup *setup = c->conns->setup->stream;
    struct client_address group = client_address_group(&c->stream.client);
    struct limiter *limiter = c->conns->setup->limiter;

    if (!limiter_take(limiter, &c->seats, SEAT_ANY, slice_of("", 0)))
        return false;
    /* A proxy brings the connections of everybody. */
    if (group.family == CLIENT_FAMILY_UNKNOWN ||
        networks_have(&setup->trusted, c->stream.client.bytes))
        return true;
    return limiter_take(limiter, &c->seats, SEAT_HANDSHAKE, address_key(&group));
}

static bool take_seats(struct conn *c, const char *tenant, const char *subject)
{
    struct limiter *limiter = c->conns->setup->limiter;
    struct client_address group = client_address_group(&c->client);

    if (group.family != CLIENT_FAMILY_UNKNOWN &&
        !limiter_take(limiter, &c->seats, SEAT_ADDRESS, address_key(&group)))
        return false;
    if (tenant && !limiter_take(limiter, &c->seats, SEAT_TENANT, slice_str(tenant)))
        return false;
    if (!tenant || !subject[0])
        return true;
    /* With the NUL between them, which is in neither. */
    struct buffer user = {0};
    buffer_append(&user, tenant, strlen(tenant) + 1);
    buffer_append(&user, subject, strlen(subject));
    bool is_seated = limiter_take(limiter, &c->seats, SEAT_USER, buffer_slice(&user));
    buffer_done(&user);
    return is_seated;
}

bool conn_take_seats(struct conn *c, const char *tenant, const char *subject)
{
    struct seats before = c->seats;
    bool is_seated = take_seats(c, tenant, subject);

    for (unsigned kind = 0; !is_seated && kind < SEAT_KINDS; kind++)
        if (!before.taken[kind])
            limiter_give(c->conns->setup->limiter, &c->seats, kind);
    return is_seated;
}

/* ---- how fast ---- */

static void wait_until(struct conn *c, uint64_t until_us)
{
    struct conns *conns = c->conns;

    if (until_us > c->paced_until_us)
        c->paced_until_us = until_us;
    if (c->is_paced)
        return;
    c->is_paced = true;
    if (LIST_EMPTY(&conns->paced))
        (void)event_add(conns->on_paced, &(struct timeval){.tv_usec = LOOK_US});
    LIST_INSERT_HEAD(&conns->paced, c, paced);
    conn_pause(c);
}

/* Takes `n` from a bucket; what is owed is waited for. */
static void pace(struct conn *c, struct rate *rate, uint32_t per_s, uint64_t n, enum metric metric)
{
    uint64_t now_us = mono_now_us();
    uint64_t owed_us = n > 0 ? rate_take(rate, per_s, n, now_us) : 0;

    if (owed_us == 0 || c->state != CONN_OPEN)
        return;
    metric_add(metric, !c->is_paced);
    wait_until(c, now_us + owed_us);
}

void conn_pace_input(struct conn *c, size_t bytes)
{
    const struct client_limits *limits = c->conns->setup->limits;
    uint64_t frames = c->ws.frames - c->frames;
    uint64_t control_frames = c->ws.control_frames - c->control_frames;

    c->frames = c->ws.frames;
    c->control_frames = c->ws.control_frames;
    if (control_frames > 0 && rate_take(&c->control_rate, limits->control_frames_per_s,
                                        control_frames, mono_now_us()) > 0) {
        metric_add(METRIC_LIMITED_CONTROL_FRAMES_PER_S, 1);
        conn_fail(c, WS_CLOSE_POLICY, "too many control frames");
        return;
    }
    pace(c, &c->frame_rate, limits->frames_per_s, frames, METRIC_LIMITED_FRAMES_PER_S);
    pace(c, &c->byte_rate, limits->bytes_per_s, bytes, METRIC_LIMITED_BYTES_PER_S);
}

void conn_note_update(struct conn *c)
{
    const struct client_limits *limits = c->conns->setup->limits;

    if (c->state == CONN_OPEN)
        pace(c, &c->update_rate, limits->updates_per_s, 1, METRIC_LIMITED_UPDATES_PER_S);
}

void conn_stop_pacing(struct conn *c)
{
    if (!c->is_paced)
        return;
    c->is_paced = false;
    LIST_REMOVE(c, paced);
    conn_resume(c);
}

/* A few bytes may become many, and the others wait while they do. */
bool conns_have_inflated(const struct conns *conns)
{
    return conns->turn_inflated >= INFLATED_MAX;
}

void conn_hold(struct conn *c, const uint8_t *data, size_t len)
{
    buffer_append(&c->in, data, len);
    wait_until(c, mono_now_us());
}

static void go_on(struct conn *c)
{
    struct buffer held = c->in;

    conn_stop_pacing(c);
    c->in = (struct buffer){0};
    if (held.len > 0)
        conn_handle_frames(c, held.data, held.len);
    buffer_done(&held);
}

static void on_paced(evutil_socket_t fd, short what, void *ctx)
{
    struct conns *conns = ctx;
    uint64_t now_us = mono_now_us();
    struct conn *next;

    (void)fd;
    (void)what;
    for (struct conn *c = LIST_FIRST(&conns->paced); c; c = next) {
        next = LIST_NEXT(c, paced);
        if (now_us >= c->paced_until_us)
            go_on(c);
    }
    if (!LIST_EMPTY(&conns->paced))
        (void)event_add(conns->on_paced, &(struct timeval){.tv_usec = LOOK_US});
}

void conns_init_pacing(struct conns *conns)
{
    LIST_INIT(&conns->paced);
    conns->on_paced = evtimer_new(loop_base(conns->loop), on_paced, conns);
    if (!conns->on_paced)
        log_panic("a timer cannot be made");
}
