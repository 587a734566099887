#include "roomd/supervisor.h"

#include "common/metrics.h"
#include "common/notify.h"
#include "roomd/spawn.h"
#include "roomd/supervisor_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define STOP_MS 5000u /* what is not stored then stays in the segments */

static void on_child(evutil_socket_t sig, short what, void *ctx)
{
    int status;
    pid_t pid;

    (void)sig;
    (void)what;
    /* Every child of this process is a room. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        slot_reaped(ctx, pid, status);
}

static void on_parked_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    opens_on_timer(ctx);
}

static void on_stop_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct supervisor *s = ctx;

    (void)fd;
    (void)what;
    log_warn("%u rooms did not close in time; their segments keep what is not stored",
             HASH_COUNT(s->slots));
    loop_stop(s->loop, 0);
}

static void on_terminate(void *ctx)
{
    struct supervisor *s = ctx;
    struct slot *slot, *next;

    if (s->is_stopping) {
        loop_stop(s->loop, 0);
        return;
    }
    s->is_stopping = true;
    HASH_ITER (hh, s->slots, slot, next)
        slot_stop(slot);
    timer_arm(s->stop_timer, STOP_MS);
}

static void on_turn_end(void *ctx)
{
    struct supervisor *s = ctx;

    opens_continue(s);
    gateways_resume(s);
    leftovers_continue(s);
    store_feed_continue(s);
    if (s->is_stopping && HASH_COUNT(s->slots) == 0 && s->leftover_count == 0)
        loop_stop(s->loop, 0);
}

/* A room takes a descriptor for life and a few while it is connected. */
static void raise_fd_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return;
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) < 0)
        log_warn("setrlimit: %s", strerror(errno));
}

static void start(struct supervisor *s)
{
    s->loop = loop_new();
    s->rooms_dir = config_rooms_dir(s->config);
    s->adopt_path = config_adopt_socket(s->config);
    s->tenants.limits = &s->config->limits;
    TAILQ_INIT(&s->adoptees);
    TAILQ_INIT(&s->gateways);
    TAILQ_INIT(&s->parked);
    s->parked_timer = evtimer_new(loop_base(s->loop), on_parked_timer, s);
    s->stop_timer = evtimer_new(loop_base(s->loop), on_stop_timer, s);
    s->on_child = evsignal_new(loop_base(s->loop), SIGCHLD, on_child, s);
    if (!s->parked_timer || !s->stop_timer || !s->on_child || event_add(s->on_child, NULL) < 0)
        log_panic("the events cannot be set up");
    loop_on_terminate(s->loop, on_terminate, s);
    loop_add_turn_hook(s->loop, on_turn_end, s);
    store_feed_start(s);
    quarantine_start(s);
    access_start(s);
}

static void finish(struct supervisor *s)
{
    struct slot *slot, *next;
    struct gateway *gateway;

    while ((gateway = TAILQ_FIRST(&s->gateways)))
        gateway_free(gateway);
    adopt_stop(s);
    HASH_ITER (hh, s->slots, slot, next) {
        if (s->is_stopping) /* no other supervisor is meant to come */
            slot_kill(slot);
        slot_free(slot);
    }
    tenants_done(&s->tenants);
    quarantine_stop(s);
    access_stop(s);
    store_feed_stop(s);
    event_free(s->on_child);
    event_free(s->stop_timer);
    event_free(s->parked_timer);
    free(s->leftovers);
    free(s->rooms_dir);
    free(s->adopt_path);
    loop_free(s->loop);
}

int supervisor_run(const struct config *config)
{
    struct supervisor s = {.config = config};
    char *path CLEANUP_FREE = config_roomd_socket(config);
    int status = 1;

    int r = config_make_run(config);
    if (r < 0) {
        log_error("%s: %s", config->run, strerror(-r));
        return status;
    }
    if (config->room_memory_mib > 0 && !spawn_can_bound_memory)
        log_warn("this build has AddressSanitizer: room_memory_mib has no effect");
    raise_fd_limit();
    metrics_start(config, "roomd");
    start(&s);
    r = leftovers_scan(&s);
    if (r == 0)
        r = ipc_listen(s.loop, s.adopt_path, adopt_accept, &s);
    if (r == 0)
        r = ipc_listen(s.loop, path, gateway_accept, &s);
    if (r < 0) {
        log_error("cannot listen at %s: %s", path, strerror(-r));
    } else {
        log_info("listening at %s", path);
        notify_ready();
        leftovers_continue(&s);
        status = loop_run(s.loop);
    }
    finish(&s);
    return status;
}
