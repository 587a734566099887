#include "roomd/room.h"

#include "roomd/room_internal.h"

#include <errno.h>
#include <event2/event.h>

#define LOAD_MS 3000u /* for the store's answer, if the segment holds the document */

static void end(struct room *room, enum room_exit status)
{
    room->state = ROOM_ENDING;
    loop_stop(room->loop, (int)status);
}

/* ---- loading ---- */

void room_fail(struct room *room, enum refusal refusal, enum room_exit status)
{
    struct msg_room_failed m = {.refusal = refusal};

    ipc_send_new(room->control, proto_encode_room_failed(&m));
    end(room, status);
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
    ipc_send_new(room->control, proto_encode_room_ready(&ready));
}

void room_loaded(struct room *room, uint64_t stored_seq)
{
    bool had_segment = document_has_segment(room->document);
    uint64_t before = document_stored_seq(room->document);
    int r = document_loaded(room->document, room->store.opened_seq, stored_seq);

    if (r < 0 && room->state == ROOM_READY)
        log_fatal("what the store brought cannot be kept: %s", strerror(-r));
    if (r < 0) {
        log_error("the room cannot be loaded: %s", strerror(-r));
        room_fail(room, r == -ENOSPC ? REFUSAL_STORAGE_FULL : REFUSAL_LOAD_FAILED,
                  ROOM_EXIT_FAILED);
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

/* -EMFILE: no descriptors are left. The peer then sees the end of its connection, and asks for
 * another. */
static int take_fd(struct room *room)
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
    int fd = take_fd(room);
    if (fd >= 0)
        link_open(room, fd);
    return 0;
}

static int handle_room_store(struct room *room, const struct msg_room_store *m)
{
    (void)m;
    int fd = take_fd(room);
    if (fd >= 0)
        store_link_attach(room, fd);
    else
        store_link_detach(room);
    return 0;
}

/* The supervisor has compared the links: none is on its way, and nobody is served any more. */
static int handle_room_close(struct room *room, const struct msg_room_close *m)
{
    struct segment_header *h = document_header(room->document);

    (void)m;
    if (!h || !TAILQ_EMPTY(&room->links))
        return -EBADMSG;
    atomic_fetch_or(&h->flags, (uint32_t)SEGMENT_CLOSED);
    end(room, ROOM_EXIT_CLOSED);
    return 0;
}

static int handle_room_shutdown(struct room *room, const struct msg_room_shutdown *m)
{
    (void)m;
    room->idle_ms = 0;
    room->next_idle_ms = 0;
    return 0;
}

PROTO_ROUTE_FN(room_link, struct room, handle_room_link)
PROTO_ROUTE_FN(room_store, struct room, handle_room_store)
PROTO_ROUTE_FN(room_close, struct room, handle_room_close)
PROTO_ROUTE_FN(room_shutdown, struct room, handle_room_shutdown)

static const struct proto_route routes[] = {
    PROTO_ROUTE(room_link, ROOM_LINK),
    PROTO_ROUTE(room_store, ROOM_STORE),
    PROTO_ROUTE(room_close, ROOM_CLOSE),
    PROTO_ROUTE(room_shutdown, ROOM_SHUTDOWN),
};

static void on_frame(void *ctx, struct slice body)
{
    const struct room *room = ctx;

    if (room->state == ROOM_ENDING)
        return;
    if (proto_dispatch(routes, sizeof(routes) / sizeof(routes[0]), ctx, body) < 0)
        log_panic("the supervisor sent %s that makes no sense", proto_name(proto_code_of(body)));
}

/* Without a supervisor nobody can reach this room; the next one starts it from its segment. */
static void on_end(void *ctx, int error)
{
    struct room *room = ctx;

    (void)error;
    end(room, ROOM_EXIT_FAILED);
}

static const struct ipc_handler handler = {.on_frame = on_frame, .on_end = on_end};

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
    room->idle_ms = boot->idle_ms;
    room->go_on_ms = mono_now_ms() + LOAD_MS;
    TAILQ_INIT(&room->links);
    room->awareness = awareness_new(wall_now_ms() / 1000);
    room->wake = evtimer_new(loop_base(room->loop), on_wake, room);
    if (!room->wake)
        log_panic("no timer");
    room->control = ipc_new(room->loop, boot->control_fd, &handler, room);
}

static void finish(struct room *room)
{
    struct link *link;

    while ((link = TAILQ_FIRST(&room->links)))
        link_close(link);
    store_link_close(room);
    ipc_close(room->control);
    event_free(room->wake);
    awareness_free(room->awareness);
    document_free(room->document);
    free(room->answers);
    loop_free(room->loop);
}

int room_run(const struct room_boot *boot)
{
    struct room room = {.state = ROOM_WAITING};
    int status;

    start(&room, boot);
    int r = document_open(boot->segment_fd, boot->tenant, boot->room, &room.document);
    if (r < 0) {
        log_error("the room's segment cannot be opened: %s", strerror(-r));
        room_fail(&room, r == -ENOSPC ? REFUSAL_STORAGE_FULL : REFUSAL_LOAD_FAILED,
                  r == -EBADMSG ? ROOM_EXIT_DAMAGED : ROOM_EXIT_FAILED);
        (void)close(boot->segment_fd);
    } else {
        loop_add_turn_hook(room.loop, room_end_turn, &room);
        event_active(room.wake, EV_TIMEOUT, 0); /* a turn, also if nothing comes */
    }
    status = loop_run(room.loop);
    finish(&room);
    return status;
}
