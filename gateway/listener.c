#include "gateway/listener.h"

#include "common/listen_fd.h"
#include "common/log.h"

#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define ACCEPTS_PER_TURN 64
#define PAUSE_MS         200 /* without descriptors: until the next try */

struct listener {
    int fd;
    struct event *on_connection;
    struct event *on_pause_end;
    void (*on_accept)(void *ctx, int fd);
    void *ctx;
};

/* Accepting again at once would spin: the connection stays ready while there is no descriptor. */
static void pause_accepting(struct listener *l, int error)
{
    struct timeval pause = {.tv_usec = PAUSE_MS * 1000};

    log_warn("no connections are accepted for %d ms: %s", PAUSE_MS, strerror(error));
    (void)event_del(l->on_connection);
    (void)event_add(l->on_pause_end, &pause);
}

static void on_pause_end(evutil_socket_t fd, short what, void *ctx)
{
    struct listener *l = ctx;

    (void)fd;
    (void)what;
    (void)event_add(l->on_connection, NULL);
}

/* False: there are no more, or no descriptors. */
static bool accept_some(struct listener *l)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int client = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            l->on_accept(l->ctx, client);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(l, errno);
        if (errno != EINTR && errno != ECONNABORTED)
            return false;
    }
    return true;
}

static void on_connection(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)accept_some(ctx);
}

/* A socket that listens at this address, or -errno. */
static int listen_at(const struct addrinfo *ai)
{
    int fd CLEANUP_FD = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)) < 0)
        return -errno;
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int listen_at_name(const char *host, uint32_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list;
    char service[8];
    int r = -EADDRNOTAVAIL;

    (void)snprintf(service, sizeof(service), "%u", port & 0xffff);
    if (getaddrinfo(host, service, &hints, &list) != 0)
        return -EADDRNOTAVAIL;
    for (struct addrinfo *ai = list; ai && r < 0; ai = ai->ai_next)
        r = listen_at(ai);
    freeaddrinfo(list);
    return r;
}

int listener_new(struct loop *loop, const char *host, uint32_t port,
                 void (*on_accept)(void *ctx, int fd), void *ctx, struct listener **ret)
{
    int fd = listen_fd_take();
    if (fd == -ENOENT)
        fd = listen_at_name(host, port);
    if (fd < 0)
        return fd;

    struct listener *l = xcalloc(1, sizeof(*l));
    l->fd = fd;
    l->on_accept = on_accept;
    l->ctx = ctx;
    l->on_connection = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, on_connection, l);
    l->on_pause_end = event_new(loop_base(loop), -1, 0, on_pause_end, l);
    if (!l->on_connection || !l->on_pause_end || event_add(l->on_connection, NULL) < 0)
        log_panic("a socket cannot be watched");
    *ret = l;
    return 0;
}

void listener_accept(struct listener *l)
{
    int rounds = SOMAXCONN / ACCEPTS_PER_TURN;

    while (rounds-- > 0 && accept_some(l))
        continue;
}

void listener_free(struct listener *l)
{
    if (!l)
        return;
    event_free(l->on_connection);
    event_free(l->on_pause_end);
    (void)close(l->fd);
    free(l);
}

uint32_t listener_port(const struct listener *l)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);

    if (getsockname(l->fd, (struct sockaddr *)&addr, &len) < 0)
        return 0;
    return addr.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&addr)->sin6_port)
                                      : ntohs(((struct sockaddr_in *)&addr)->sin_port);
}
