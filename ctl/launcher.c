#include "ctl/launcher.h"

#include "common/log.h"
#include "ctl/backoff.h"
#include "ctl/ready_socket.h"
#include "ctl/spawn.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>

/* Before everything was ready once, a process that dies this often in a row will not start at all:
 * better to end with an error than to go on trying. */
#define START_FAILURES_MAX 5

enum role { ROLE_SNAPSHOTD, ROLE_ROOMD, ROLE_GATEWAY, ROLE_COUNT };

static const struct {
    const char *name;
    bool keeps_lock; /* it owns what the locks protect */
    bool has_store;  /* no other process is told where it is */
} roles[ROLE_COUNT] = {
    [ROLE_SNAPSHOTD] = {"snapshotd", true, true},
    [ROLE_ROOMD] = {"roomd", true, false},
    [ROLE_GATEWAY] = {"gateway", false, false},
};

/* STARTING ─all ready─▶ RUNNING ─launcher_stop()─▶ STOPPING ─all gone─▶ STOPPED */
enum launcher_state {
    LAUNCHER_STARTING,
    LAUNCHER_RUNNING,
    LAUNCHER_STOPPING,
    LAUNCHER_STOPPED,
};

/* The order of the end, and how long each may take until it is killed. */
static const struct {
    enum role role;
    uint32_t timeout_ms;
} stop_stages[] = {
    {ROLE_GATEWAY, 5000}, /* and the time that clients are given */
    {ROLE_ROOMD, 6000},
    {ROLE_SNAPSHOTD, 15000},
};

#define STAGE_COUNT (sizeof(stop_stages) / sizeof(stop_stages[0]))

/* WAITING ─timer─▶ RUNNING ─notify─▶ READY; either dies: WAITING, or GONE when its role is stopped.
 */
enum child_state {
    CHILD_WAITING,
    CHILD_RUNNING,
    CHILD_READY,
    CHILD_GONE,
};

struct child {
    struct launcher *launcher;
    enum role role;
    enum child_state state;
    pid_t pid; /* 0: none */
    uint64_t started_ms;
    struct backoff backoff;
    struct event *timer;
};

struct launcher {
    struct loop *loop;
    const int *lock_fds;
    size_t lock_count;
    const struct launcher_hooks *hooks;
    enum launcher_state state;
    char *paths[ROLE_COUNT];
    char **options;    /* of every child */
    const char *store; /* of snapshotd */
    struct ready_socket *ready;
    struct event *on_sigchld;
    struct child *children;
    size_t count;
    size_t stage; /* of stopping */
    uint32_t drain_ms;
    struct event *stop_timer;
    int status; /* at the end */
};

/* ---- stopping ---- */

static bool is_any_left(const struct launcher *l, enum role role)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->children[i].role == role && l->children[i].state != CHILD_GONE)
            return true;
    }
    return false;
}

static void signal_role(struct launcher *l, enum role role, int sig)
{
    for (size_t i = 0; i < l->count; i++) {
        struct child *c = &l->children[i];
        if (c->role == role && c->pid > 0)
            (void)kill(c->pid, sig);
    }
}

/* The others may still need a role whose turn has not come: rooms their store, to be stored. Until
 * then its processes are started again as ever. */
static bool is_stopped_later(const struct launcher *l, enum role role)
{
    size_t stage = 0;

    while (stop_stages[stage].role != role)
        stage++;
    return stage > l->stage;
}

static void give_up_waiting(struct launcher *l, enum role role)
{
    for (size_t i = 0; i < l->count; i++) {
        struct child *c = &l->children[i];
        if (c->role != role || c->state != CHILD_WAITING)
            continue;
        (void)event_del(c->timer);
        c->state = CHILD_GONE;
    }
}

/* Begins the first stage that has something to stop, beginning with the present one. */
static void run_stage(struct launcher *l)
{
    for (; l->stage < STAGE_COUNT; l->stage++) {
        give_up_waiting(l, stop_stages[l->stage].role);
        signal_role(l, stop_stages[l->stage].role, SIGTERM);
        if (is_any_left(l, stop_stages[l->stage].role)) {
            uint32_t drain_ms = stop_stages[l->stage].role == ROLE_GATEWAY ? l->drain_ms : 0;
            timer_arm(l->stop_timer, (uint64_t)stop_stages[l->stage].timeout_ms + drain_ms);
            return;
        }
    }
    (void)event_del(l->stop_timer);
    l->state = LAUNCHER_STOPPED;
    log_info("stopped");
    loop_stop(l->loop, l->status);
}

static void on_stop_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct launcher *l = ctx;

    (void)fd;
    (void)what;
    log_warn("%s does not end: killing it", roles[stop_stages[l->stage].role].name);
    signal_role(l, stop_stages[l->stage].role, SIGKILL);
}

static void begin_stop(struct launcher *l, int status)
{
    l->state = LAUNCHER_STOPPING;
    l->status = status;
    for (size_t i = 0; i < l->count; i++) {
        if (l->children[i].state == CHILD_WAITING)
            timer_arm(l->children[i].timer, 0); /* there is no time to lose */
    }
    run_stage(l);
}

static void kill_all(struct launcher *l)
{
    log_warn("killing what is left");
    for (int role = 0; role < ROLE_COUNT; role++)
        signal_role(l, (enum role)role, SIGKILL);
    l->state = LAUNCHER_STOPPED;
    loop_stop(l->loop, 1);
}

void launcher_reload(struct launcher *l)
{
    log_info("reloading");
    for (size_t i = 0; i < l->count; i++) {
        const struct child *c = &l->children[i];
        if (c->role == ROLE_GATEWAY && c->state == CHILD_READY) /* others are about to read it */
            (void)kill(c->pid, SIGHUP);
    }
}

void launcher_stop(struct launcher *l)
{
    switch (l->state) {
    case LAUNCHER_STARTING:
    case LAUNCHER_RUNNING:
        log_info("stopping");
        begin_stop(l, 0);
        break;
    case LAUNCHER_STOPPING:
        kill_all(l);
        break;
    case LAUNCHER_STOPPED:
        break;
    }
}

/* ---- children ---- */

static void wait_to_start(struct child *c)
{
    uint64_t uptime_ms = mono_now_ms() - c->started_ms;

    c->state = CHILD_WAITING;
    timer_arm(c->timer, backoff_next(&c->backoff, uptime_ms));
}

static void start_child(struct child *c)
{
    struct launcher *l = c->launcher;
    size_t options = 0;

    while (l->options[options])
        options++;
    char **argv CLEANUP_FREE = xcalloc(options + 2, sizeof(*argv));
    argv[0] = l->paths[c->role];
    memcpy(argv + 1, l->options, options * sizeof(*argv));
    struct spawn spawn = {
        .path = l->paths[c->role],
        .argv = argv,
        .notify_socket = ready_socket_name(l->ready),
        .store = roles[c->role].has_store ? l->store : NULL,
        .keep_fds = l->lock_fds,
        .keep_count = roles[c->role].keeps_lock ? l->lock_count : 0,
    };
    c->started_ms = mono_now_ms();
    pid_t pid = spawn_start(&spawn);
    if (pid < 0) {
        log_error("%s cannot be started: %s", roles[c->role].name, strerror(-pid));
        wait_to_start(c);
        return;
    }
    c->pid = pid;
    c->state = CHILD_RUNNING;
    log_debug("started %s[%d]", roles[c->role].name, (int)pid);
}

static void on_start_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    start_child(ctx);
}

static struct child *find_child(struct launcher *l, pid_t pid)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->children[i].pid == pid)
            return &l->children[i];
    }
    return NULL;
}

static bool are_all_ready(const struct launcher *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->children[i].state != CHILD_READY)
            return false;
    }
    return true;
}

static void on_child_ready(void *ctx, pid_t pid)
{
    struct launcher *l = ctx;
    struct child *c = find_child(l, pid);

    if (!c || c->state != CHILD_RUNNING)
        return;
    c->state = CHILD_READY;
    log_debug("%s[%d] is ready", roles[c->role].name, (int)pid);
    if (l->state != LAUNCHER_STARTING || !are_all_ready(l))
        return;
    l->state = LAUNCHER_RUNNING;
    l->hooks->on_ready(l->hooks->ctx);
}

static void handle_end(struct launcher *l, struct child *c, int wait_status)
{
    char *how CLEANUP_FREE = spawn_describe_end(wait_status);
    pid_t pid = c->pid;
    bool is_hopeless = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == SPAWN_FAILED;

    c->pid = 0;
    switch (l->state) {
    case LAUNCHER_STARTING:
        log_error("%s[%d] %s", roles[c->role].name, (int)pid, how);
        wait_to_start(c);
        if (is_hopeless || c->backoff.failures >= START_FAILURES_MAX) {
            log_error("%s does not start: giving up", roles[c->role].name);
            begin_stop(l, 1);
        }
        break;
    case LAUNCHER_RUNNING:
        log_error("%s[%d] %s: starting it again", roles[c->role].name, (int)pid, how);
        wait_to_start(c);
        break;
    case LAUNCHER_STOPPING:
        if (is_stopped_later(l, c->role)) {
            log_error("%s[%d] %s: starting it again", roles[c->role].name, (int)pid, how);
            wait_to_start(c);
            break;
        }
        log_debug("%s[%d] %s", roles[c->role].name, (int)pid, how);
        c->state = CHILD_GONE;
        if (!is_any_left(l, stop_stages[l->stage].role)) {
            l->stage++;
            run_stage(l);
        }
        break;
    case LAUNCHER_STOPPED:
        break;
    }
}

static void on_sigchld(evutil_socket_t sig, short what, void *ctx)
{
    struct launcher *l = ctx;
    pid_t pid;
    int status;

    (void)sig;
    (void)what;
    /* One signal may stand for several children. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *c = find_child(l, pid);
        if (c) /* else a room that outlived its roomd and became ours, as the container's first */
            handle_end(l, c, status);
    }
}

/* ---- life ---- */

static bool find_programs(struct launcher *l)
{
    for (int role = 0; role < ROLE_COUNT; role++) {
        l->paths[role] = spawn_find(roles[role].name);
        if (!l->paths[role]) {
            log_error("concord-%s is not beside this program", roles[role].name);
            return false;
        }
    }
    return true;
}

static struct event *new_timer(struct launcher *l, event_callback_fn fn, void *ctx)
{
    struct event *e = evtimer_new(loop_base(l->loop), fn, ctx);

    if (!e)
        log_panic("no timer can be made");
    return e;
}

static void add_child(struct launcher *l, enum role role)
{
    struct child *c = &l->children[l->count++];

    c->launcher = l;
    c->role = role;
    c->state = CHILD_WAITING;
    c->timer = new_timer(l, on_start_timer, c);
}

struct launcher *launcher_new(struct loop *loop, const struct config *config, const int *lock_fds,
                              size_t lock_count, const struct launcher_hooks *hooks)
{
    struct launcher *l = xcalloc(1, sizeof(*l));

    l->loop = loop;
    l->lock_fds = lock_fds;
    l->lock_count = lock_count;
    l->hooks = hooks;
    if (!find_programs(l)) {
        launcher_free(l);
        return NULL;
    }
    l->options = config_to_argv(config);
    l->store = config->store;
    l->drain_ms = config->drain_ms;
    l->ready = ready_socket_new(loop, on_child_ready, l);
    l->on_sigchld = evsignal_new(loop_base(loop), SIGCHLD, on_sigchld, l);
    if (!l->on_sigchld || event_add(l->on_sigchld, NULL) < 0)
        log_panic("signals cannot be watched");
    l->stop_timer = new_timer(l, on_stop_timer, l);
    l->children = xcalloc(2 + (size_t)config->gateways, sizeof(l->children[0]));
    add_child(l, ROLE_SNAPSHOTD);
    add_child(l, ROLE_ROOMD);
    for (uint32_t i = 0; i < config->gateways; i++)
        add_child(l, ROLE_GATEWAY);
    return l;
}

void launcher_free(struct launcher *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->count; i++)
        event_free(l->children[i].timer);
    free(l->children);
    if (l->stop_timer)
        event_free(l->stop_timer);
    if (l->on_sigchld)
        event_free(l->on_sigchld);
    ready_socket_free(l->ready);
    for (size_t i = 0; l->options && l->options[i]; i++)
        free(l->options[i]);
    free(l->options);
    for (int role = 0; role < ROLE_COUNT; role++)
        free(l->paths[role]);
    free(l);
}

void launcher_start(struct launcher *l)
{
    for (size_t i = 0; i < l->count; i++)
        start_child(&l->children[i]);
}
