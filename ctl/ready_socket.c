#include "ctl/ready_socket.h"

#include "common/log.h"
#include "common/memory.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct ready_socket {
    int fd;
    struct event *event;
    void (*on_ready)(void *ctx, pid_t pid);
    void *ctx;
    char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
};

static pid_t sender_of(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        struct ucred cred;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
            continue;
        memcpy(&cred, CMSG_DATA(c), sizeof(cred));
        return cred.pid;
    }
    return 0;
}

/* Is READY=1 one of the lines? */
static bool says_ready(const char *text)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "READY=1", 7) == 0 && (line[7] == '\0' || line[7] == '\n'))
            return true;
    }
    return false;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct ready_socket *s = ctx;

    (void)what;
    for (;;) {
        char text[256];
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
        struct iovec iov = {text, sizeof(text) - 1};
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
            return;
        text[n] = '\0';
        pid_t pid = sender_of(&msg);
        if (pid > 0 && says_ready(text))
            s->on_ready(s->ctx, pid);
    }
}

struct ready_socket *ready_socket_new(struct loop *loop, void (*on_ready)(void *ctx, pid_t pid),
                                      void *ctx)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(addr);
    int on = 1;
    struct ready_socket *s = xcalloc(1, sizeof(*s));

    s->on_ready = on_ready;
    s->ctx = ctx;
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Without a name the kernel gives an abstract one that is free: no path, nothing to remove. */
    if (s->fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
        bind(s->fd, (struct sockaddr *)&addr, sizeof(addr.sun_family)) < 0 ||
        getsockname(s->fd, (struct sockaddr *)&addr, &len) < 0)
        log_fatal("no socket for the children: %s", strerror(errno));
    (void)snprintf(s->name, sizeof(s->name), "@%.*s",
                   (int)(len - offsetof(struct sockaddr_un, sun_path) - 1), addr.sun_path + 1);
    s->event = event_new(loop_base(loop), s->fd, EV_READ | EV_PERSIST, on_readable, s);
    if (!s->event || event_add(s->event, NULL) < 0)
        log_panic("a socket cannot be watched");
    return s;
}

void ready_socket_free(struct ready_socket *s)
{
    if (!s)
        return;
    event_free(s->event);
    (void)close(s->fd);
    free(s);
}

const char *ready_socket_name(const struct ready_socket *s)
{
    return s->name;
}
