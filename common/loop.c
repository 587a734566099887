#include "common/loop.h"

#include "common/log.h"
#include "common/memory.h"

#include <assert.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#define TURN_HOOKS_MAX 8

struct work {
    loop_fn fn;
    void *ctx;
};

struct work_list {
    struct work *items;
    size_t count;
    size_t cap;
};

struct loop {
    struct event_base *base;
    struct event *on_sigterm;
    struct event *on_sigint;
    struct event *on_sighup;
    struct work terminate;
    struct work hangup;
    struct work hooks[TURN_HOOKS_MAX];
    size_t hook_count;
    struct work_list reap;
    struct work_list at_free;
    int status;
    bool is_stopped;
};

static uint64_t clock_us(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t wall_now_ms(void)
{
    return clock_us(CLOCK_REALTIME) / 1000;
}

uint64_t mono_now_ms(void)
{
    return clock_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t mono_now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

void timer_arm(struct event *timer, uint64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    if (event_add(timer, &tv) < 0)
        log_panic("a timer cannot be set");
}

struct loop *loop_new(void)
{
    struct loop *loop = xcalloc(1, sizeof(*loop));

    (void)signal(SIGPIPE, SIG_IGN);
    loop->base = event_base_new();
    if (!loop->base)
        log_panic("libevent does not start");
    return loop;
}

static void add_work(struct work_list *list, loop_fn fn, void *ctx)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 16;
        list->items = xrealloc(list->items, list->cap * sizeof(*list->items));
    }
    list->items[list->count++] = (struct work){fn, ctx};
}

static void run_work(struct work_list *list)
{
    /* What runs may put more on the list. */
    for (size_t i = 0; i < list->count; i++) {
        struct work work = list->items[i];
        work.fn(work.ctx);
    }
    list->count = 0;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    run_work(&loop->at_free);
    run_work(&loop->reap);
    if (loop->on_sigterm)
        event_free(loop->on_sigterm);
    if (loop->on_sigint)
        event_free(loop->on_sigint);
    if (loop->on_sighup)
        event_free(loop->on_sighup);
    event_base_free(loop->base);
    free(loop->reap.items);
    free(loop->at_free.items);
    free(loop);
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

static void turn(struct loop *loop, int flags)
{
    if (event_base_loop(loop->base, flags | EVLOOP_NO_EXIT_ON_EMPTY) < 0)
        log_panic("the event loop failed");
    for (size_t i = 0; i < loop->hook_count; i++)
        loop->hooks[i].fn(loop->hooks[i].ctx);
    run_work(&loop->reap);
}

int loop_run(struct loop *loop)
{
    while (!loop->is_stopped)
        turn(loop, EVLOOP_ONCE);
    return loop->status;
}

void loop_turn(struct loop *loop)
{
    turn(loop, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

void loop_stop(struct loop *loop, int status)
{
    loop->status = status;
    loop->is_stopped = true;
    (void)event_base_loopbreak(loop->base);
}

static void on_terminate(evutil_socket_t sig, short what, void *ctx)
{
    struct loop *loop = ctx;

    (void)sig;
    (void)what;
    if (loop->terminate.fn)
        loop->terminate.fn(loop->terminate.ctx);
    else
        loop_stop(loop, 0);
}

void loop_on_terminate(struct loop *loop, loop_fn fn, void *ctx)
{
    loop->terminate = (struct work){fn, ctx};
    if (loop->on_sigterm)
        return;
    loop->on_sigterm = evsignal_new(loop->base, SIGTERM, on_terminate, loop);
    loop->on_sigint = evsignal_new(loop->base, SIGINT, on_terminate, loop);
    if (!loop->on_sigterm || !loop->on_sigint || event_add(loop->on_sigterm, NULL) < 0 ||
        event_add(loop->on_sigint, NULL) < 0)
        log_panic("signals cannot be watched");
}

static void on_hangup(evutil_socket_t sig, short what, void *ctx)
{
    struct loop *loop = ctx;

    (void)sig;
    (void)what;
    loop->hangup.fn(loop->hangup.ctx);
}

void loop_on_hangup(struct loop *loop, loop_fn fn, void *ctx)
{
    loop->hangup = (struct work){fn, ctx};
    if (loop->on_sighup)
        return;
    loop->on_sighup = evsignal_new(loop->base, SIGHUP, on_hangup, loop);
    if (!loop->on_sighup || event_add(loop->on_sighup, NULL) < 0)
        log_panic("signals cannot be watched");
}

void loop_add_turn_hook(struct loop *loop, loop_fn fn, void *ctx)
{
    assert(loop->hook_count < TURN_HOOKS_MAX);
    loop->hooks[loop->hook_count++] = (struct work){fn, ctx};
}

void loop_reap(struct loop *loop, loop_fn fn, void *ctx)
{
    add_work(&loop->reap, fn, ctx);
}

void loop_on_free(struct loop *loop, loop_fn fn, void *ctx)
{
    add_work(&loop->at_free, fn, ctx);
}
