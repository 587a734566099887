#include "roomd/room.h"

#include "roomd/room_internal.h"
#include "roomd/watchdog.h"

#include <errno.h>
#include <event2/event.h>

#define LOAD_MS 3000u /* for the store's answer, if the segment holds the document */

static void end(struct room *room, enum room_exit status)
{
    room->state = ROOM_ENDING;
    loop_stop(room->loop, (int)status);
}

/* ---- loading ---- */

void room_fail(struct room *room, enum refusal refusal, enum room_exit status, const char *reason)
{
    struct msg_room_failed m = {.refusal = refusal, .reason = slice_str(reason)};

    room_tell(room, proto_encode_room_failed(&m));
    end(room, status);
}

void room_end_orphan(struct room *room, bool is_stored)
{
    if (is_stored)
        document_close(room->document);
    end(room, is_stored ? ROOM_EXIT_CLOSED : ROOM_EXIT_FAILED);
}

static void start_figures(struct room *room)
{
    struct segment_header *h = document_header(room->document);

    room->activity_ms = wall_now_ms();
    atomic_store(&h->pid, (uint32_t)getpid());
    atomic_store(&h->started_ms, room->activity_ms);
}

static void become_ready(struct room *room)
{
    struct msg_room_ready ready = {};

    room->state = ROOM_READY;
    room->unused_since_ms = mono_now_ms();
    start_figures(room);
    /* What the load itself added must be in the segment before anybody may ask for it. */
    room_flush(room);
    room_tell(room, proto_encode_room_ready(&ready));
}

/* What the store brought cannot be kept. A room with a segment goes on from that, and asks again.
 */
static void fail_to_load(struct room *room, int error)
{
    const char *reason = strerror(-error);

    log_error("what the store brought cannot be kept: %s", reason);
    if (!document_has_segment(room->document)) {
        room_fail(room, error == -ENOSPC ? REFUSAL_STORAGE_FULL : REFUSAL_LOAD_FAILED,
                  ROOM_EXIT_FAILED, reason);
        return;
    }
    store_link_detach(room);
    if (room->state != ROOM_READY)
        become_ready(room);
}

void room_loaded(struct room *room, uint64_t stored_seq)
{
    bool had_segment = document_has_segment(room->document);
    uint64_t before = document_stored_seq(room->document);
    int r = document_loaded(room->document, room->store.opened_seq, stored_seq);

    if (r < 0) {
        fail_to_load(room, r);
        return;
    }
    if (document_stored_seq(room->document) != before)
        room->has_stored_news = true;
    if (!had_segment) /* all that it holds is what the store gave */
        room->store.announced_seq = document_last_seq(room->document);
    if (room->state != ROOM_READY)
        become_ready(room);
}

uint64_t room_check_load(struct room *room, uint64_t now_ms)
{
    if ((room->state != ROOM_WAITING && room->state != ROOM_LOADING) ||
        !document_has_segment(room->document))
        return 0;
    if (now_ms < room->go_on_ms)
        return room->go_on_ms - now_ms;
    log_warn("the store does not answer; the room goes on from its segment");
    become_ready(room);
    return 0;
}

/* ---- the supervisor ---- */

/* Without a descriptor the peer sees the end of its connection, and asks for another. */
int room_take_fd(struct room *room)
{
    int fd = ipc_take_fd(room->control);

    if (fd < 0 && fd != -EMFILE)
        log_panic("the supervisor announced a descriptor and sent none");
    return fd;
}

static int handle_room_link(struct room *room, const struct msg_room_link *m)
{
    if (room->state != ROOM_READY || m->links != room->links_received + 1)
        return -EBADMSG;
    room->links_received = m->links;
    int fd = room_take_fd(room);
    if (fd >= 0)
        link_open(room, fd);
    return 0;
}

static int handle_room_store(struct room *room, const struct msg_room_store *m)
{
    (void)m;
    int fd = room_take_fd(room);
    if (fd >= 0)
        store_link_attach(room, fd);
    else
        store_link_detach(room);
    return 0;
}

/* The supervisor has compared the links: none is on its way, and nobody is served any more. */
static int handle_room_close(struct room *room, const struct msg_room_close *m)
{
    (void)m;
    if (!document_has_segment(room->document) || !TAILQ_EMPTY(&room->links))
        return -EBADMSG;
    document_close(room->document);
    end(room, ROOM_EXIT_CLOSED);
    return 0;
}

static int handle_room_shutdown(struct room *room, const struct msg_room_shutdown *m)
{
    (void)m;
    room->is_shutting_down = true;
    room->idle_ms = 0;
    room->next_idle_ms = 0;
    return 0;
}

PROTO_ROUTE_FN(room_link, struct room, handle_room_link)
PROTO_ROUTE_FN(room_store, struct room, handle_room_store)
PROTO_ROUTE_FN(room_close, struct room, handle_room_close)
PROTO_ROUTE_FN(room_shutdown, struct room, handle_room_shutdown)
PROTO_ROUTE_FN(room_next, struct room, replacement_handle_next)
PROTO_ROUTE_FN(room_renamed, struct room, replacement_handle_renamed)

static const struct proto_route routes[] = {
    PROTO_ROUTE(room_link, ROOM_LINK),   PROTO_ROUTE(room_store, ROOM_STORE),
    PROTO_ROUTE(room_close, ROOM_CLOSE), PROTO_ROUTE(room_shutdown, ROOM_SHUTDOWN),
    PROTO_ROUTE(room_next, ROOM_NEXT),   PROTO_ROUTE(room_renamed, ROOM_RENAMED),
};

static void on_frame(void *ctx, struct slice body)
{
    const struct room *room = ctx;

    if (room->state == ROOM_ENDING)
        return;
    if (proto_dispatch(routes, sizeof(routes) / sizeof(routes[0]), ctx, body) < 0)
        log_panic("the supervisor sent %s that makes no sense", proto_name(proto_code_of(body)));
}

/* A supervisor that went down in order wants no room to survive it. */
static void on_end(void *ctx, int error)
{
    struct room *room = ctx;

    if (error == -EBADMSG)
        log_panic("the supervisor sent what is no frame");
    ipc_close(room->control);
    room->control = NULL;
    if (room->state != ROOM_ENDING && !orphan_begin(room))
        end(room, ROOM_EXIT_FAILED);
}

static const struct ipc_handler handler = {.on_frame = on_frame, .on_end = on_end};

void room_set_control(struct room *room, int fd)
{
    room->control = ipc_new(room->loop, fd, &handler, room);
}

void room_tell(struct room *room, struct blob *frame)
{
    if (room->control)
        ipc_send(room->control, frame);
    blob_unref(frame);
}

/* ---- life ---- */

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    /* The end of the turn does the work. */
    (void)fd;
    (void)what;
    (void)ctx;
}

static void start(struct room *room, const struct room_boot *boot)
{
    room->loop = loop_new();
    room->tenant = boot->tenant;
    room->name = boot->room;
    room->idle_ms = boot->idle_ms;
    room->go_on_ms = mono_now_ms() + LOAD_MS;
    TAILQ_INIT(&room->links);
    room->awareness = awareness_new(&boot->presence, wall_now_ms() / 1000);
    room->wake = evtimer_new(loop_base(room->loop), on_wake, room);
    if (!room->wake)
        log_panic("no timer");
    int r = boot->turn_cpu_ms > 0 ? watchdog_start(room->loop, boot->turn_cpu_ms) : 0;
    if (r < 0)
        log_panic("no watchdog: %s", strerror(-r));
    orphan_init(room, boot->adopt_path, boot->orphan_ms);
    room_set_control(room, boot->control_fd);
}

static void finish(struct room *room)
{
    struct link *link;

    while ((link = TAILQ_FIRST(&room->links)))
        link_close(link);
    store_link_close(room);
    ipc_close(room->control);
    orphan_done(room);
    event_free(room->wake);
    awareness_free(room->awareness);
    document_free(room->document);
    free(room->answers);
    loop_free(room->loop);
}

static int open_document(struct room *room, const struct room_boot *boot)
{
    struct document_start start = {.fd = boot->segment_fd,
                                   .tenant = boot->tenant,
                                   .room = boot->room,
                                   .is_careful = boot->is_careful};
    char reason[DOCUMENT_REASON_BYTES];
    int r = document_open(&start, &room->document, reason);

    if (r == -EBADMSG) {
        log_error("the room's segment is damaged: %s", reason);
        room_fail(room, REFUSAL_LOAD_FAILED, ROOM_EXIT_DAMAGED, reason);
    } else if (r < 0) {
        log_error("the room's segment cannot be opened: %s", strerror(-r));
        room_fail(room, REFUSAL_LOAD_FAILED, ROOM_EXIT_FAILED, strerror(-r));
    }
    if (r < 0)
        (void)close(boot->segment_fd);
    return r;
}

int room_run(const struct room_boot *boot)
{
    struct room room = {.state = ROOM_WAITING};
    int status;

    start(&room, boot);
    if (open_document(&room, boot) == 0) {
        loop_add_turn_hook(room.loop, room_end_turn, &room);
        event_active(room.wake, EV_TIMEOUT, 0); /* a turn, also if nothing comes */
    }
    status = loop_run(room.loop);
    finish(&room);
    return status;
}
