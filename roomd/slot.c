#include "roomd/supervisor_internal.h"

#include "common/segment.h"
#include "roomd/room.h"
#include "roomd/spawn.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/wait.h>

#define BUSY_RETRY_MS 50u /* the room of an earlier supervisor is being killed */

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

static void count_failure(struct slot *slot)
{
    if (supervisor_now_ms() - slot->started_ms >= SLOT_STABLE_MS)
        slot->failures = 0;
    slot->failures++;
}

static void shut_down(struct slot *slot)
{
    struct msg_room_shutdown m = {};

    ipc_send_new(slot->control, proto_encode_room_shutdown(&m));
}

/* A new process. 0, or the milliseconds after which to try again. */
static uint32_t spawn(struct slot *slot)
{
    struct supervisor *s = slot->supervisor;
    char *path CLEANUP_FREE = xasprintf("%s/%s", s->rooms_dir, slot->hash);
    struct spawn args = {.segment_path = path,
                         .tenant = blob_slice(slot->tenant),
                         .room = blob_slice(slot->room),
                         .idle_ms = s->config->room_idle_ms,
                         .log_level = s->config->log_level};
    struct spawned spawned;

    int r = spawn_room(&args, &spawned);
    if (r == -EBUSY)
        return BUSY_RETRY_MS;
    slot->started_ms = supervisor_now_ms();
    if (r < 0) {
        log_error("room '%.*s' cannot be started: %s", name_len(slot), name_text(slot),
                  strerror(-r));
        count_failure(slot);
        return SLOT_BACKOFF_MIN_MS + slot_backoff_ms(slot->failures);
    }
    slot->pid = spawned.pid;
    HASH_ADD(hh_pid, s->by_pid, pid, sizeof(slot->pid), slot);
    slot->control = ipc_new(s->loop, spawned.control_fd, &handler, slot);
    slot->links_sent = 0;
    slot->wants_store = true;
    log_debug("room '%.*s' runs as %d", name_len(slot), name_text(slot), (int)slot->pid);
    store_feed_attach(slot);
    if (s->is_stopping)
        shut_down(slot);
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
        delay_ms = spawn(slot);
        if (delay_ms > 0)
            set_state(slot, SLOT_CRASHED, delay_ms);
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

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct slot *slot = ctx;

    (void)fd;
    (void)what;
    if (slot->state == SLOT_CRASHED) {
        handle_event(slot, SLOT_EVENT_RETRY, (struct slot_facts){.rest = slot->rest});
    } else if (slot->pid > 0) {
        log_warn("room '%.*s' does not end and is killed", name_len(slot), name_text(slot));
        (void)kill(slot->pid, SIGKILL);
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
        const struct segment_header *h = segment_view_header(v);
        is_done = (atomic_load(&h->flags) & SEGMENT_CLOSED) &&
                  atomic_load(&h->stored_seq) == atomic_load(&h->last_seq);
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
    if (WIFSIGNALED(slot->status))
        log_warn("room '%.*s' ended by signal %d", name_len(slot), name_text(slot),
                 WTERMSIG(slot->status));
    else if (WEXITSTATUS(slot->status) != ROOM_EXIT_CLOSED)
        log_warn("room '%.*s' ended with status %d", name_len(slot), name_text(slot),
                 WEXITSTATUS(slot->status));
}

static void check_ended(struct slot *slot)
{
    if (slot->pid > 0 || slot->control)
        return;
    log_end(slot);
    slot->rest = inspect_rest(slot);
    if (slot->state == SLOT_CLOSING && slot->rest == SLOT_REST_NOTHING)
        slot->failures = 0;
    else
        count_failure(slot);
    handle_event(slot, SLOT_EVENT_ENDED, (struct slot_facts){.rest = slot->rest});
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
    handle_event(slot, SLOT_EVENT_READY, (struct slot_facts){0});
    return 0;
}

static int handle_room_failed(struct slot *slot, const struct msg_room_failed *m)
{
    opens_refuse(slot, (enum refusal)m->refusal);
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

static const struct proto_route routes[] = {
    PROTO_ROUTE(room_ready, ROOM_READY),
    PROTO_ROUTE(room_failed, ROOM_FAILED),
    PROTO_ROUTE(room_idle, ROOM_IDLE),
    PROTO_ROUTE(room_detached, ROOM_DETACHED),
};

/* A room digests hostile documents: what it says is not believed, it is started anew instead. */
static void kill_room(struct slot *slot)
{
    log_error("room '%.*s' sent what makes no sense and is killed", name_len(slot),
              name_text(slot));
    ipc_close(slot->control);
    slot->control = NULL;
    if (slot->pid > 0)
        (void)kill(slot->pid, SIGKILL);
    else
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

struct slot *slot_start(struct supervisor *s, struct slice tenant, struct slice room)
{
    if (HASH_COUNT(s->slots) >= ROOMS_MAX)
        return NULL;
    struct slot *slot = xcalloc(1, sizeof(*slot));
    slot->supervisor = s;
    slot->tenant = blob_copy(tenant);
    slot->room = blob_copy(room);
    name_hash(tenant, room, slot->hash);
    slot->rest = SLOT_REST_EDITS;
    TAILQ_INIT(&slot->parked);
    slot->timer = evtimer_new(loop_base(s->loop), on_timer, slot);
    if (!slot->timer)
        log_panic("no timer");
    HASH_ADD_STR(s->slots, hash, slot);
    set_state(slot, SLOT_STARTING, 0);
    return slot;
}

void slot_stop(struct slot *slot)
{
    opens_refuse(slot, REFUSAL_UNAVAILABLE);
    if (slot->control)
        shut_down(slot);
    else if (slot->state == SLOT_CRASHED)
        handle_event(slot, SLOT_EVENT_RETRY, (struct slot_facts){.rest = slot->rest});
}

static void release(void *ctx)
{
    struct slot *slot = ctx;

    blob_unref(slot->tenant);
    blob_unref(slot->room);
    free(slot);
}

void slot_free(struct slot *slot)
{
    struct supervisor *s = slot->supervisor;

    leave_leftovers(slot);
    HASH_DELETE(hh, s->slots, slot);
    if (slot->pid > 0)
        HASH_DELETE(hh_pid, s->by_pid, slot);
    ipc_close(slot->control);
    event_free(slot->timer);
    loop_reap(s->loop, release, slot);
}
