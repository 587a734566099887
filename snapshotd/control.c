#include "snapshotd/control.h"

#include "common/ipc.h"
#include "common/log.h"
#include "common/names.h"
#include "proto/proto.h"

#include <errno.h>
#include <sys/queue.h>

/* A connection of roomd. */
struct peer {
    struct control *control;
    struct ipc *ipc;
    LIST_ENTRY(peer) entry;
};

struct control {
    struct loop *loop;
    struct persist *persist;
    LIST_HEAD(, peer) peers;
};

static void drop_peer(struct peer *peer)
{
    LIST_REMOVE(peer, entry);
    ipc_close(peer->ipc);
    free(peer);
}

static int handle_store_room(struct peer *peer, const struct msg_store_room *m)
{
    struct store_key key = {.tenant = m->tenant, .room = m->room};
    int fd = ipc_take_fd(peer->ipc);

    if (fd == -EMFILE) { /* the room sees the end of its connection, and asks for another */
        log_error("room '%.*s' cannot be followed: no descriptors are left", (int)m->room.len,
                  (const char *)m->room.data);
        return 0;
    }
    if (fd < 0)
        return fd;
    if (!name_is_valid(m->tenant) || !name_is_valid(m->room)) {
        (void)close(fd);
        return -EBADMSG;
    }
    persist_follow(peer->control->persist, key, fd);
    return 0;
}

PROTO_ROUTE_FN(store_room, struct peer, handle_store_room)

static const struct proto_route routes[] = {
    PROTO_ROUTE(store_room, STORE_ROOM),
};

static void on_frame(void *ctx, struct slice body)
{
    if (proto_dispatch(routes, sizeof(routes) / sizeof(routes[0]), ctx, body) < 0)
        log_panic("roomd sent a message (%s) that makes no sense", proto_name(proto_code_of(body)));
}

static void on_end(void *ctx, int error)
{
    struct peer *peer = ctx;

    if (error == -EBADMSG)
        log_panic("roomd sent bytes that are no message");
    log_debug("roomd is gone");
    drop_peer(peer);
}

static void on_accept(void *ctx, int fd)
{
    static const struct ipc_handler handler = {.on_frame = on_frame, .on_end = on_end};
    struct peer *peer = xcalloc(1, sizeof(*peer));

    peer->control = ctx;
    peer->ipc = ipc_new(peer->control->loop, fd, &handler, peer);
    LIST_INSERT_HEAD(&peer->control->peers, peer, entry);
}

int control_new(struct loop *loop, const struct config *config, struct persist *persist,
                struct control **ret_control)
{
    char *path CLEANUP_FREE = config_snapshotd_socket(config);
    struct control *control = xcalloc(1, sizeof(*control));

    control->loop = loop;
    control->persist = persist;
    LIST_INIT(&control->peers);
    int r = ipc_listen(loop, path, on_accept, control);
    if (r < 0)
        free(control);
    else
        *ret_control = control;
    return r;
}

void control_free(struct control *control)
{
    if (!control)
        return;
    while (!LIST_EMPTY(&control->peers))
        drop_peer(LIST_FIRST(&control->peers));
    free(control);
}
