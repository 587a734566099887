#include "roomd/supervisor_internal.h"

#include <errno.h>
#include <event2/event.h>

#define BACKOFF_MIN_MS 50u
#define BACKOFF_MAX_MS 2000u
#define RETRY_MS       20u   /* after a lack of descriptors */
#define DETACHED_MS    1000u /* before a room whose connection ended gets a new one */

static const struct ipc_handler handler;

static bool is_connectable(const struct slot *slot)
{
    return slot->wants_store && slot->control &&
           (slot->state == SLOT_STARTING || slot->state == SLOT_OPEN);
}

/* False if it has to wait. One at a time: a connection carries few descriptors (ipc.h). */
static bool attach(struct slot *slot)
{
    struct supervisor *s = slot->supervisor;
    struct msg_store_room to_store = {.tenant = blob_slice(slot->tenant),
                                      .room = blob_slice(slot->room)};
    struct msg_room_store to_room = {};
    int fds[2];

    if (ipc_queued_bytes(s->store) > 0 || ipc_queued_bytes(slot->control) > 0 || ipc_pair(fds) < 0)
        return false;
    slot->wants_store = false;
    ipc_send_fd(s->store, proto_encode_store_room(&to_store), fds[0]);
    ipc_send_fd(slot->control, proto_encode_room_store(&to_room), fds[1]);
    return true;
}

void store_feed_attach(struct slot *slot)
{
    struct supervisor *s = slot->supervisor;

    if (s->store && is_connectable(slot) && !attach(slot))
        s->has_unattached = true;
}

void store_feed_attach_later(struct slot *slot)
{
    struct supervisor *s = slot->supervisor;

    if (s->store && !event_pending(s->store_timer, EV_TIMEOUT, NULL))
        timer_arm(s->store_timer, DETACHED_MS);
}

void store_feed_continue(struct supervisor *s)
{
    struct slot *slot, *next;

    if (!s->store || !s->has_unattached || ipc_queued_bytes(s->store) > 0)
        return;
    s->has_unattached = false;
    HASH_ITER (hh, s->slots, slot, next) {
        if (!is_connectable(slot) || attach(slot))
            continue;
        s->has_unattached = true;
        /* snapshotd goes on reading, and then so does this. */
        if (ipc_queued_bytes(s->store) > 0)
            return;
        timer_arm(s->store_timer, RETRY_MS);
    }
}

static void connect_later(struct supervisor *s)
{
    timer_arm(s->store_timer, s->store_backoff_ms);
    s->store_backoff_ms *= 2;
    if (s->store_backoff_ms > BACKOFF_MAX_MS)
        s->store_backoff_ms = BACKOFF_MAX_MS;
}

static void on_timer(evutil_socket_t unused, short what, void *ctx)
{
    struct supervisor *s = ctx;

    (void)unused;
    (void)what;
    if (!s->store) {
        int fd = ipc_connect(s->store_path);
        if (fd < 0) {
            connect_later(s);
            return;
        }
        log_info("connected to snapshotd");
        s->store = ipc_new(s->loop, fd, &handler, s);
    }
    s->has_unattached = true;
}

static void on_frame(void *ctx, struct slice body)
{
    (void)ctx;
    log_panic("snapshotd sent %s that makes no sense", proto_name(proto_code_of(body)));
}

static void on_end(void *ctx, int error)
{
    struct supervisor *s = ctx;
    struct slot *slot, *next;

    if (error == -EBADMSG)
        log_panic("snapshotd sent what is no frame");
    log_warn("snapshotd is gone; rooms go on from their segments");
    ipc_close(s->store);
    s->store = NULL;
    HASH_ITER (hh, s->slots, slot, next)
        slot->wants_store = true;
    s->store_backoff_ms = BACKOFF_MIN_MS;
    connect_later(s);
}

static const struct ipc_handler handler = {.on_frame = on_frame, .on_end = on_end};

void store_feed_start(struct supervisor *s)
{
    s->store_path = config_snapshotd_socket(s->config);
    s->store_backoff_ms = BACKOFF_MIN_MS;
    s->store_timer = evtimer_new(loop_base(s->loop), on_timer, s);
    if (!s->store_timer)
        log_panic("no timer");
    timer_arm(s->store_timer, 0);
}

void store_feed_stop(struct supervisor *s)
{
    ipc_close(s->store);
    s->store = NULL;
    event_free(s->store_timer);
    free(s->store_path);
}
