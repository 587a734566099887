#include "gateway/roomd_client.h"

#include "common/ipc.h"
#include "common/log.h"
#include "proto/proto.h"
#include "proto/refusal.h"

#include <errno.h>
#include <event2/event.h>

#define RETRY_FIRST_MS 50u
#define RETRY_MAX_MS   2000u

struct roomd_client {
    struct loop *loop;
    char *path;
    const struct roomd_handler *handler;
    void *ctx;
    struct ipc *ipc; /* NULL while there is no connection */
    struct event *on_retry;
    uint32_t retry_ms;
};

static int handle_opened(struct roomd_client *r, const struct msg_room_opened *m)
{
    int fd = ipc_take_fd(r->ipc);

    if (fd == -EMFILE) { /* clients hold them all: it may be otherwise soon */
        r->handler->on_refused(r->ctx, m->request, REFUSAL_UNAVAILABLE);
        return 0;
    }
    if (fd < 0)
        return fd;
    r->handler->on_opened(r->ctx, m->request, fd);
    return 0;
}

static int handle_refused(struct roomd_client *r, const struct msg_room_refused *m)
{
    r->handler->on_refused(r->ctx, m->request, m->refusal);
    return 0;
}

static int handle_access_cap(struct roomd_client *r, const struct msg_access_cap *m)
{
    struct access_cap cap = {.tenant = m->tenant,
                             .room = m->room,
                             .user = m->user,
                             .access = (enum access)m->access,
                             .issued_s = m->issued_s};

    if (m->access > ACCESS_ADMIN)
        return -EBADMSG;
    r->handler->on_access_cap(r->ctx, &cap);
    return 0;
}

PROTO_ROUTE_FN(access_cap, struct roomd_client, handle_access_cap)
PROTO_ROUTE_FN(room_opened, struct roomd_client, handle_opened)
PROTO_ROUTE_FN(room_refused, struct roomd_client, handle_refused)

static const struct proto_route routes[] = {
    PROTO_ROUTE(access_cap, ACCESS_CAP),
    PROTO_ROUTE(room_opened, ROOM_OPENED),
    PROTO_ROUTE(room_refused, ROOM_REFUSED),
};

static void on_frame(void *ctx, struct slice body)
{
    if (proto_dispatch(routes, sizeof(routes) / sizeof(routes[0]), ctx, body) < 0)
        log_panic("roomd sent a message that makes no sense: %s", proto_name(proto_code_of(body)));
}

static void arm_retry(struct roomd_client *r)
{
    struct timeval pause = {r->retry_ms / 1000, (suseconds_t)(r->retry_ms % 1000) * 1000};

    (void)event_add(r->on_retry, &pause);
    r->retry_ms = r->retry_ms * 2 < RETRY_MAX_MS ? r->retry_ms * 2 : RETRY_MAX_MS;
}

static void on_end(void *ctx, int error)
{
    struct roomd_client *r = ctx;

    if (error == -EBADMSG)
        log_panic("roomd broke the framing");
    log_warn("the connection to roomd is lost; open rooms go on");
    ipc_close(r->ipc);
    r->ipc = NULL;
    r->retry_ms = RETRY_FIRST_MS;
    arm_retry(r);
}

static const struct ipc_handler ipc_handler = {.on_frame = on_frame, .on_end = on_end};

static void on_retry(evutil_socket_t unused, short what, void *ctx)
{
    struct roomd_client *r = ctx;
    int fd = ipc_connect(r->path);

    (void)unused;
    (void)what;
    if (fd < 0) {
        log_debug("roomd does not answer yet");
        arm_retry(r);
        return;
    }
    r->retry_ms = RETRY_FIRST_MS;
    r->ipc = ipc_new(r->loop, fd, &ipc_handler, r);
    r->handler->on_up(r->ctx);
}

struct roomd_client *roomd_client_new(struct loop *loop, const char *path,
                                      const struct roomd_handler *handler, void *ctx)
{
    struct roomd_client *r = xcalloc(1, sizeof(*r));

    r->loop = loop;
    r->path = xstrdup(path);
    r->handler = handler;
    r->ctx = ctx;
    r->retry_ms = RETRY_FIRST_MS;
    r->on_retry = event_new(loop_base(loop), -1, 0, on_retry, r);
    if (!r->on_retry || event_add(r->on_retry, &(struct timeval){0}) < 0)
        log_panic("a timer cannot be set");
    return r;
}

void roomd_client_free(struct roomd_client *r)
{
    if (!r)
        return;
    ipc_close(r->ipc);
    event_free(r->on_retry);
    free(r->path);
    free(r);
}

bool roomd_client_is_up(const struct roomd_client *r)
{
    return r->ipc != NULL;
}

void roomd_client_open(struct roomd_client *r, uint32_t request, struct slice tenant,
                       struct slice room)
{
    struct msg_room_open m = {.request = request, .tenant = tenant, .room = room};

    if (r->ipc)
        ipc_send_new(r->ipc, proto_encode_room_open(&m));
}

void roomd_client_cap(struct roomd_client *r, const struct access_cap *cap)
{
    struct msg_access_cap m = {.tenant = cap->tenant,
                               .room = cap->room,
                               .user = cap->user,
                               .access = cap->access,
                               .issued_s = cap->issued_s};

    if (r->ipc)
        ipc_send_new(r->ipc, proto_encode_access_cap(&m));
}
