#include "roomd/supervisor_internal.h"

#include "common/metrics.h"
#include "common/quarantine.h"
#include "common/segment.h"
#include "roomd/room.h"
#include "roomd/spawn.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

/* While another process has the segment: a room that is just ending, or one of an earlier
 * supervisor that has not come yet. */
#define BUSY_MIN_MS 50u
#define BUSY_MAX_MS 1000u

static const struct ipc_handler handler;

static int name_len(const struct slot *slot)
{
    return (int)slot->room->len;
}

static const char *name_text(const struct slot *slot)
{
    return (const char *)slot->room->data;
}

struct slot *slot_find(const struct supervisor *s, const char *hash)
{
    struct slot *slot;

    HASH_FIND_STR(s->slots, hash, slot);
    return slot;
}

/* ---- states ---- */

/* What a room says by its exit is a failure, all else is a crash. */
static bool has_crashed(const struct slot *slot)
{
    if (slot->was_adopted)
        return slot->rest != SLOT_REST_NOTHING;
    if (!WIFEXITED(slot->status))
        return true;
    int status = WEXITSTATUS(slot->status);
    return status != ROOM_EXIT_CLOSED && status != ROOM_EXIT_FAILED && status != ROOM_EXIT_DAMAGED;
}

static bool is_hopeless(const struct slot *slot)
{
    return slot_crashes_recent(&slot->crashes, mono_now_ms()) >= SLOT_CRASHES_MAX ||
           quarantine_is_set(slot->supervisor->rooms_dir, slot->hash);
}

static void count_failure(struct slot *slot)
{
    if (mono_now_us() - slot->started_us >= SLOT_STABLE_MS * UINT64_C(1000))
        slot->failures = 0;
    slot->failures++;
}

static uint32_t next_busy_ms(struct slot *slot)
{
    uint32_t ms = slot->busy_ms;

    slot->busy_ms = ms < BUSY_MAX_MS / 2 ? 2 * ms : BUSY_MAX_MS;
    return ms;
}

static void shut_down(struct slot *slot)
{
    struct msg_room_shutdown m = {};

    ipc_send_new(slot->control, proto_encode_room_shutdown(&m));
}

/* The slot has a process from here on. */
static void take_control(struct slot *slot, struct ipc *control)
{
    struct supervisor *s = slot->supervisor;

    s->processes++;
    metric_set(METRIC_ROOMS, s->processes);
    slot->control = control;
    if (s->is_stopping)
        shut_down(slot);
}

/* A new process. 0, or the milliseconds after which to try again. */
static uint32_t spawn(struct slot *slot)
{
    struct supervisor *s = slot->supervisor;
    char *path CLEANUP_FREE = xasprintf("%s/%s", s->rooms_dir, slot->hash);
    struct spawn args = {.segment_path = path,
                         .tenant = blob_slice(slot->tenant),
                         .room = blob_slice(slot->room),
                         .adopt_path = s->adopt_path,
                         .is_careful = slot->crashes.count > 0,
                         .idle_ms = s->config->room_idle_ms,
                         .presence = {.session_ids = s->config->limits.awareness_ids,
                                      .state_bytes = s->config->limits.awareness_bytes},
                         .memory_mib = s->config->room_memory_mib,
                         .turn_cpu_ms = s->config->room_turn_cpu_ms,
                         .log_level = s->config->log_level};
    struct spawned spawned;

    slot->started_us = mono_now_us();
    int r = spawn_room(&args, &spawned);
    if (r == -ENOENT && config_make_run(s->config) == 0) /* the directory was removed */
        r = spawn_room(&args, &spawned);
    if (r == -EBUSY)
        return next_busy_ms(slot);
    slot->busy_ms = BUSY_MIN_MS;
    if (r < 0) {
        log_error("room '%.*s' cannot be started: %s", name_len(slot), name_text(slot),
                  strerror(-r));
        count_failure(slot);
        return SLOT_BACKOFF_MIN_MS + slot_backoff_ms(slot->failures);
    }
    metric_add(METRIC_ROOM_STARTS, 1);
    metric_add(METRIC_ROOM_RESTARTS, slot->crashes.count > 0);
    next_file_remove(slot);
    slot->was_adopted = false;
    slot->refusal = 0;
    free(TAKE_PTR(slot->reason));
    slot->pid = spawned.pid;
    HASH_ADD(hh_pid, s->by_pid, pid, sizeof(slot->pid), slot);
    log_debug("room '%.*s' runs as %d", name_len(slot), name_text(slot), (int)slot->pid);
    slot->links_sent = 0;
    slot->wants_store = true;
    take_control(slot, ipc_new(s->loop, spawned.control_fd, &handler, slot));
    return 0;
}

static void leave_leftovers(struct slot *slot)
{
    if (slot->is_leftover)
        slot->supervisor->leftover_active--;
    slot->is_leftover = false;
}

static void set_state(struct slot *slot, enum slot_state state, uint32_t delay_ms)
{
    struct msg_room_close close_room = {};

    log_debug("room '%.*s': %s to %s", name_len(slot), name_text(slot),
              slot_state_name(slot->state), slot_state_name(state));
    slot->state = state;
    (void)event_del(slot->timer);
    switch (state) {
    case SLOT_STARTING:
        delay_ms = slot->control ? 0 : spawn(slot); /* an adopted one runs */
        if (delay_ms > 0)
            set_state(slot, SLOT_CRASHED, delay_ms);
        else
            store_feed_attach(slot);
        break;
    case SLOT_OPEN:
        leave_leftovers(slot);
        opens_grant(slot);
        break;
    case SLOT_CLOSING:
        ipc_send_new(slot->control, proto_encode_room_close(&close_room));
        timer_arm(slot->timer, SLOT_CLOSING_MS);
        break;
    case SLOT_CRASHED:
        leave_leftovers(slot);
        timer_arm(slot->timer, delay_ms);
        break;
    case SLOT_GONE:
        opens_refuse(slot, REFUSAL_UNAVAILABLE);
        slot_free(slot);
        break;
    case SLOT_QUARANTINED:
        quarantine_slot(slot);
        opens_refuse(slot, REFUSAL_ROOM_QUARANTINED);
        slot_free(slot);
        break;
    }
}

/* `facts`: what the event is about; the rest is known here. */
static void handle_event(struct slot *slot, enum slot_event event, struct slot_facts facts)
{
    facts.has_parked = !TAILQ_EMPTY(&slot->parked);
    facts.is_stopping = slot->supervisor->is_stopping;
    enum slot_state next = slot_next(slot->state, event, &facts);

    if (next != slot->state)
        set_state(slot, next, slot_backoff_ms(slot->failures));
}

static void retry(struct slot *slot)
{
    handle_event(slot, SLOT_EVENT_RETRY,
                 (struct slot_facts){.rest = slot->rest, .is_hopeless = is_hopeless(slot)});
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct slot *slot = ctx;

    (void)fd;
    (void)what;
    if (slot->state == SLOT_CRASHED) {
        retry(slot);
    } else {
        log_warn("room '%.*s' does not end and is killed", name_len(slot), name_text(slot));
        slot_kill(slot);
    }
}

/* ---- the end of a process ---- */

/* Looks into the segment; removes the file if nothing in it is needed any more. */
static enum slot_rest inspect_rest(const struct slot *slot)
{
    const struct supervisor *s = slot->supervisor;
    struct segment_view *v;
    bool is_done = true;

    if (WIFEXITED(slot->status) && WEXITSTATUS(slot->status) == ROOM_EXIT_DAMAGED)
        return SLOT_REST_DAMAGED;
    int r =
        segment_view_open_room(s->rooms_dir, blob_slice(slot->tenant), blob_slice(slot->room), &v);
    if (r == -EBADMSG)
        return SLOT_REST_DAMAGED;
    if (r < 0 && r != -ENODATA)
        return r == -ENOENT ? SLOT_REST_NOTHING : SLOT_REST_EDITS;
    if (r == 0) {
        is_done = segment_is_done(segment_view_header(v));
        segment_view_free(v);
    }
    if (!is_done)
        return SLOT_REST_EDITS;
    char *path CLEANUP_FREE = xasprintf("%s/%s", s->rooms_dir, slot->hash);
    if (unlink(path) < 0)
        log_warn("%s: %s", path, strerror(errno));
    return SLOT_REST_NOTHING;
}

static void log_end(const struct slot *slot)
{
    if (slot->was_adopted)
        log_info("room '%.*s', which was adopted, has ended", name_len(slot), name_text(slot));
    else if (WIFSIGNALED(slot->status))
        log_warn("room '%.*s' ended by signal %d", name_len(slot), name_text(slot),
                 WTERMSIG(slot->status));
    else if (WEXITSTATUS(slot->status) != ROOM_EXIT_CLOSED)
        log_warn("room '%.*s' ended with status %d", name_len(slot), name_text(slot),
                 WEXITSTATUS(slot->status));
}

static void let_go_of_process(struct slot *slot)
{
    if (slot->adopted_fd >= 0)
        (void)close(slot->adopted_fd);
    slot->adopted_fd = -1;
}

static void check_ended(struct slot *slot)
{
    struct supervisor *s = slot->supervisor;

    if (slot->pid > 0 || slot->control)
        return;
    let_go_of_process(slot);
    metric_set(METRIC_ROOMS, --s->processes);
    log_end(slot);
    next_file_remove(slot);
    slot->rest = inspect_rest(slot);
    if (slot->state == SLOT_CLOSING && slot->rest == SLOT_REST_NOTHING)
        slot->failures = 0;
    else
        count_failure(slot);
    if (has_crashed(slot))
        slot_crashes_add(&slot->crashes, mono_now_ms());
    struct slot_facts facts = {.rest = slot->rest, .is_hopeless = is_hopeless(slot)};
    if (slot->refusal && !facts.is_hopeless && facts.rest != SLOT_REST_DAMAGED)
        opens_refuse(slot, slot->refusal);
    handle_event(slot, SLOT_EVENT_ENDED, facts);
}

void slot_reaped(struct supervisor *s, pid_t pid, int status)
{
    struct slot *slot;

    HASH_FIND(hh_pid, s->by_pid, &pid, sizeof(pid), slot);
    if (!slot)
        return;
    HASH_DELETE(hh_pid, s->by_pid, slot);
    slot->pid = 0;
    slot->status = status;
    check_ended(slot);
}

/* ---- what a room says ---- */

static int handle_room_ready(struct slot *slot, const struct msg_room_ready *m)
{
    (void)m;
    if (!slot->was_adopted)
        metric_observe(HISTOGRAM_ROOM_START, mono_now_us() - slot->started_us);
    handle_event(slot, SLOT_EVENT_READY, (struct slot_facts){0});
    return 0;
}

/* Those who wait hear of it when the process has ended: it may turn out to be worse. */
static int handle_room_failed(struct slot *slot, const struct msg_room_failed *m)
{
    free(slot->reason);
    slot->reason = xasprintf("%.*s", (int)m->reason.len, (const char *)m->reason.data);
    slot->refusal = m->refusal;
    return 0;
}

static int handle_room_idle(struct slot *slot, const struct msg_room_idle *m)
{
    /* A link that is still on its way makes the room busy; it says so when it is idle anew. */
    handle_event(slot, SLOT_EVENT_IDLE,
                 (struct slot_facts){.has_links_on_way = m->links != slot->links_sent});
    return 0;
}

static int handle_room_detached(struct slot *slot, const struct msg_room_detached *m)
{
    (void)m;
    slot->wants_store = true;
    store_feed_attach_later(slot);
    return 0;
}

PROTO_ROUTE_FN(room_ready, struct slot, handle_room_ready)
PROTO_ROUTE_FN(room_failed, struct slot, handle_room_failed)
PROTO_ROUTE_FN(room_idle, struct slot, handle_room_idle)
PROTO_ROUTE_FN(room_detached, struct slot, handle_room_detached)
PROTO_ROUTE_FN(room_replace, struct slot, next_file_handle_replace)
PROTO_ROUTE_FN(room_rename, struct slot, next_file_handle_rename)
PROTO_ROUTE_FN(room_replace_failed, struct slot, next_file_handle_failed)

static const struct proto_route routes[] = {
    PROTO_ROUTE(room_ready, ROOM_READY),
    PROTO_ROUTE(room_failed, ROOM_FAILED),
    PROTO_ROUTE(room_idle, ROOM_IDLE),
    PROTO_ROUTE(room_detached, ROOM_DETACHED),
    PROTO_ROUTE(room_replace, ROOM_REPLACE),
    PROTO_ROUTE(room_rename, ROOM_RENAME),
    PROTO_ROUTE(room_replace_failed, ROOM_REPLACE_FAILED),
};

/* A room digests hostile documents: what it says is not believed, it is started anew instead. */
static void kill_room(struct slot *slot)
{
    log_error("room '%.*s' sent what makes no sense and is killed", name_len(slot),
              name_text(slot));
    slot_kill(slot);
    ipc_close(slot->control);
    slot->control = NULL;
    check_ended(slot);
}

static void on_frame(void *ctx, struct slice body)
{
    struct slot *slot = ctx;

    if (proto_dispatch(routes, sizeof(routes) / sizeof(routes[0]), slot, body) < 0)
        kill_room(slot);
}

static void on_end(void *ctx, int error)
{
    struct slot *slot = ctx;

    if (error == -EBADMSG) {
        kill_room(slot);
        return;
    }
    ipc_close(slot->control);
    slot->control = NULL;
    if (slot->pid > 0)
        timer_arm(slot->timer, SLOT_CLOSING_MS);
    check_ended(slot);
}

static const struct ipc_handler handler = {.on_frame = on_frame, .on_end = on_end};

/* ---- life ---- */

void slot_kill(const struct slot *slot)
{
    if (slot->pid > 0)
        (void)kill(slot->pid, SIGKILL);
    else if (slot->adopted_fd >= 0)
        (void)pidfd_send_signal(slot->adopted_fd, SIGKILL, NULL, 0);
}

static struct slot *new_slot(struct supervisor *s, struct slice tenant, struct slice room)
{
    struct slot *slot = xcalloc(1, sizeof(*slot));

    slot->supervisor = s;
    slot->tenant = blob_copy(tenant);
    slot->tenant_count = tenants_enter(&s->tenants, tenant);
    slot->room = blob_copy(room);
    name_hash(tenant, room, slot->hash);
    slot->rest = SLOT_REST_EDITS;
    slot->adopted_fd = -1;
    slot->busy_ms = BUSY_MIN_MS;
    TAILQ_INIT(&slot->parked);
    slot->timer = evtimer_new(loop_base(s->loop), on_timer, slot);
    if (!slot->timer)
        log_panic("no timer");
    HASH_ADD_STR(s->slots, hash, slot);
    return slot;
}

/* In how many milliseconds a client may have a room of the tenant started; or -errno. */
static int admit(struct supervisor *s, struct slice tenant)
{
    int r = tenants_admit(&s->tenants, tenant, mono_now_us());

    metric_add(METRIC_LIMITED_ROOMS_TENANT, r == -EDQUOT);
    metric_add(METRIC_LIMITED_ROOM_STARTS_PER_S, r == -EAGAIN || r > 0);
    return r;
}

uint32_t slot_start(struct supervisor *s, struct slice tenant, struct slice room,
                    struct slot **ret_slot)
{
    char hash[NAME_HASH_HEX + 1];

    name_hash(tenant, room, hash);
    if (HASH_COUNT(s->slots) >= ROOMS_MAX)
        return REFUSAL_TOO_MANY;
    if (quarantine_is_set(s->rooms_dir, hash))
        return REFUSAL_ROOM_QUARANTINED;
    if (other_version_holds(s, hash))
        return REFUSAL_OTHER_VERSION;
    int wait_ms = admit(s, tenant);
    if (wait_ms < 0)
        return REFUSAL_TOO_MANY;
    struct slot *slot = *ret_slot = new_slot(s, tenant, room);
    if (wait_ms > 0) {
        slot->rest = inspect_rest(slot);
        set_state(slot, SLOT_CRASHED, (uint32_t)wait_ms);
    } else {
        set_state(slot, SLOT_STARTING, 0);
    }
    return 0;
}

int slot_adopt(struct supervisor *s, const struct msg_room_adopt *m, struct ipc *control,
               int process_fd)
{
    char hash[NAME_HASH_HEX + 1];

    name_hash(m->tenant, m->room, hash);
    struct slot *slot = slot_find(s, hash);
    if (slot && (slot->pid > 0 || slot->control))
        return -EEXIST;
    if (!slot) { /* its life with us begins where we wait for it */
        slot = new_slot(s, m->tenant, m->room);
        slot->state = SLOT_CRASHED;
    }
    ipc_set_handler(control, &handler, slot);
    slot->was_adopted = true;
    slot->adopted_fd = process_fd;
    slot->started_us = mono_now_us();
    slot->links_sent = m->links;
    slot->wants_store = !m->has_store;
    take_control(slot, control);
    metric_add(METRIC_ROOM_ADOPTIONS, 1);
    handle_event(slot, SLOT_EVENT_ADOPTED, (struct slot_facts){0});
    if (m->is_ready)
        handle_event(slot, SLOT_EVENT_READY, (struct slot_facts){0});
    return 0;
}

void slot_stop(struct slot *slot)
{
    opens_refuse(slot, REFUSAL_UNAVAILABLE);
    if (slot->control)
        shut_down(slot);
    else if (slot->state == SLOT_CRASHED)
        retry(slot);
}

static void release(void *ctx)
{
    struct slot *slot = ctx;

    blob_unref(slot->tenant);
    blob_unref(slot->room);
    free(slot->reason);
    free(slot);
}

void slot_free(struct slot *slot)
{
    struct supervisor *s = slot->supervisor;

    leave_leftovers(slot);
    tenants_leave(&s->tenants, slot->tenant_count, mono_now_us());
    HASH_DELETE(hh, s->slots, slot);
    if (slot->pid > 0)
        HASH_DELETE(hh_pid, s->by_pid, slot);
    ipc_close(slot->control);
    let_go_of_process(slot);
    event_free(slot->timer);
    loop_reap(s->loop, release, slot);
}
