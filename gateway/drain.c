#include "gateway/drain.h"

#include "common/log.h"
#include "common/memory.h"
#include "common/siphash.h"
#include "gateway/conn.h"
#include "gateway/ws.h"

#include <event2/event.h>
#include <stdio.h>

#define CHECK_MS 20

struct drain {
    struct conns *conns;
    struct event *on_check;
    uint64_t start_ms;
    uint32_t spread_ms;
};

/* When this client's turn is, after the start: the same whenever it is asked for. */
static uint64_t moment_of(const struct drain *d, const struct conn *c)
{
    uintptr_t number = (uintptr_t)c;

    return d->spread_ms == 0
               ? 0
               : siphash(siphash_process_key(), slice_of(&number, sizeof(number))) % d->spread_ms;
}

static void close_websocket(struct conn *c)
{
    uint32_t ms = DRAIN_ADVICE_MS + arc4random_uniform(DRAIN_ADVICE_MAX - DRAIN_ADVICE_MS + 1);
    char reason[DRAIN_REASON_BYTES];

    (void)snprintf(reason, sizeof(reason), "service restart: reconnect in %u ms", (unsigned)ms);
    conn_close(c, WS_CLOSE_RESTART, reason);
}

static void visit(void *ctx, struct conn *c)
{
    const struct drain *d = ctx;
    uint64_t elapsed = mono_now_ms() - d->start_ms;

    if (elapsed >= moment_of(d, c))
        close_websocket(c);
    conn_finish(c, elapsed >= DRAIN_HTTP_MS || elapsed >= d->spread_ms);
}

static void on_check(evutil_socket_t fd, short what, void *ctx)
{
    struct drain *d = ctx;

    (void)fd;
    (void)what;
    conns_for_each(d->conns, visit, d);
}

struct drain *drain_new(struct loop *loop, struct conns *conns, uint32_t spread_ms)
{
    struct drain *d = xcalloc(1, sizeof(*d));

    d->conns = conns;
    d->start_ms = mono_now_ms();
    d->spread_ms = spread_ms;
    d->on_check = event_new(loop_base(loop), -1, EV_PERSIST, on_check, d);
    if (!d->on_check || event_add(d->on_check, &(struct timeval){.tv_usec = CHECK_MS * 1000}) < 0)
        log_panic("a timer cannot be set");
    conns_for_each(conns, visit, d);
    return d;
}

void drain_free(struct drain *d)
{
    if (!d)
        return;
    event_free(d->on_check);
    free(d);
}
