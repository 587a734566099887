#include "roomd/room_internal.h"

#include <errno.h>

/* The store hears of new edits at most when it has read what it was told before. */
#define ANNOUNCE_QUEUE_MAX (4u << 10)

void store_link_detach(struct room *room)
{
    struct msg_room_detached m = {};

    log_debug("the connection to the store is gone");
    store_link_close(room);
    room_tell(room, proto_encode_room_detached(&m));
}

static void open_store(struct room *room)
{
    struct msg_store_open m = {.has_segment = document_has_segment(room->document),
                               .last_seq = document_last_seq(room->document),
                               .lineage = document_lineage(room->document),
                               .stored_seq = document_stored_seq(room->document)};

    room->store.opened_seq = m.last_seq;
    room->store.announced_seq = m.last_seq;
    ipc_send_new(room->store.ipc, proto_encode_store_open(&m));
}

static int handle_store_update(struct room *room, const struct msg_store_update *m)
{
    int r = document_merge_part(room->document, m->update);

    if (r == 0)
        return 0;
    log_error("the store holds what cannot be applied: %s", strerror(-r));
    /* A room that is open has all of its own; the store keeps the part. */
    if (room->state != ROOM_READY)
        room_fail(room, REFUSAL_LOAD_FAILED, ROOM_EXIT_FAILED, "the store's copy is damaged");
    return 0;
}

static int handle_store_loaded(struct room *room, const struct msg_store_loaded *m)
{
    room_loaded(room, m->stored_seq);
    return 0;
}

static int handle_store_failed(struct room *room, const struct msg_store_failed *m)
{
    if (room->state == ROOM_READY)
        store_link_detach(room);
    else
        room_fail(room, (enum refusal)m->refusal, ROOM_EXIT_FAILED, "the store cannot load it");
    return 0;
}

static int handle_store_stored(struct room *room, const struct msg_store_stored *m)
{
    if (room->state == ROOM_READY && document_set_stored(room->document, m->stored_seq))
        room->has_stored_news = true;
    return 0;
}

PROTO_ROUTE_FN(store_update, struct room, handle_store_update)
PROTO_ROUTE_FN(store_loaded, struct room, handle_store_loaded)
PROTO_ROUTE_FN(store_failed, struct room, handle_store_failed)
PROTO_ROUTE_FN(store_stored, struct room, handle_store_stored)

static const struct proto_route routes[] = {
    PROTO_ROUTE(store_update, STORE_UPDATE),
    PROTO_ROUTE(store_loaded, STORE_LOADED),
    PROTO_ROUTE(store_failed, STORE_FAILED),
    PROTO_ROUTE(store_stored, STORE_STORED),
};

static void on_frame(void *ctx, struct slice body)
{
    const struct room *room = ctx;

    if (room->state == ROOM_ENDING)
        return;
    if (proto_dispatch(routes, sizeof(routes) / sizeof(routes[0]), ctx, body) < 0)
        log_panic("the store sent %s that makes no sense", proto_name(proto_code_of(body)));
}

static void on_end(void *ctx, int error)
{
    struct room *room = ctx;

    if (error == -EBADMSG)
        log_panic("the store sent what is no frame");
    store_link_detach(room);
}

static const struct ipc_handler handler = {.on_frame = on_frame, .on_end = on_end};

void store_link_attach(struct room *room, int fd)
{
    store_link_close(room);
    if (room->state == ROOM_WAITING)
        room->state = ROOM_LOADING;
    else
        room_flush(room); /* what STORE_OPEN says must be in the segment */
    room->store.ipc = ipc_new(room->loop, fd, &handler, room);
    open_store(room);
}

void store_link_close(struct room *room)
{
    ipc_close(room->store.ipc);
    room->store.ipc = NULL;
    /* The parts that came are no harm: they come again and change nothing. */
    if (room->state == ROOM_LOADING)
        room->state = ROOM_WAITING;
}

void store_link_renew(struct room *room)
{
    room->store.announced_seq = 0;
    store_link_announce(room);
}

void store_link_announce(struct room *room)
{
    struct msg_store_dirty m = {.last_seq = document_last_seq(room->document)};

    if (!room->store.ipc || room->state != ROOM_READY || m.last_seq == room->store.announced_seq ||
        ipc_queued_bytes(room->store.ipc) > ANNOUNCE_QUEUE_MAX)
        return;
    room->store.announced_seq = m.last_seq;
    ipc_send_new(room->store.ipc, proto_encode_store_dirty(&m));
}
