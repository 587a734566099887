#include "snapshotd/fold_server.h"

#include "common/log.h"
#include "proto/messages.h"
#include "snapshotd/fold_child.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

/*
 * Between snapshotd and its server, which are one program: a request is one packet, the limits,
 * with two descriptors, of the updates and of an empty file for the state. Each is answered by one
 * packet, in order.
 */
struct answer {
    int error;       /* 0, or -errno: there was no process */
    int wait_status; /* as of waitpid() */
};

struct request {
    struct fold_limits limits;
    int fds[2];
};

#define CONTROL_BYTES CMSG_SPACE(sizeof(((struct request *)NULL)->fds))

/* ---- the server ---- */

extern char **environ;

/* There may be a password in it. */
static void wipe_environment(void)
{
    for (char **variable = environ; variable && *variable; variable++)
        explicit_bzero(*variable, strlen(*variable));
    environ = NULL;
}

/* False when snapshotd is gone. */
static bool receive_request(int socket, struct request *ret)
{
    _Alignas(struct cmsghdr) char control[CONTROL_BYTES];
    struct iovec iov = {&ret->limits, sizeof(ret->limits)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    ssize_t n;

    do
        n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    struct cmsghdr *c = n == (ssize_t)sizeof(ret->limits) ? CMSG_FIRSTHDR(&msg) : NULL;
    if (!c || c->cmsg_len != CMSG_LEN(sizeof(ret->fds)))
        return false;
    memcpy(ret->fds, CMSG_DATA(c), sizeof(ret->fds));
    return true;
}

static struct answer fold_in_child(int socket, const struct request *request)
{
    struct answer answer = {0};
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid == 0) {
        (void)close(socket);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            fold_child_run(request->fds[0], request->fds[1], &request->limits);
        _exit(EIO);
    }
    if (pid < 0)
        answer.error = -errno;
    while (pid > 0 && waitpid(pid, &answer.wait_status, 0) < 0 && errno == EINTR)
        ;
    return answer;
}

static _Noreturn void serve(int socket)
{
    struct request request;

    while (receive_request(socket, &request)) {
        struct answer answer = fold_in_child(socket, &request);
        (void)close(request.fds[0]);
        (void)close(request.fds[1]);
        if (send(socket, &answer, sizeof(answer), MSG_NOSIGNAL) != (ssize_t)sizeof(answer))
            break;
    }
    _exit(0);
}

static _Noreturn void be_server(int socket)
{
    wipe_environment();
    (void)prctl(PR_SET_NAME, "fold server");
    if (socket > 3)
        (void)close_range(3, (unsigned)socket - 1, 0);
    (void)close_range((unsigned)socket + 1, UINT_MAX, 0);
    /* It ends with snapshotd, not by a signal to the whole group or service. */
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGCHLD, SIG_DFL);
    serve(socket);
}

int fold_server_spawn(void)
{
    int sockets[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        be_server(sockets[1]);
    int r = pid < 0 ? -errno : sockets[0];
    (void)close(sockets[1]);
    if (r < 0)
        (void)close(sockets[0]);
    return r;
}

/* ---- updates ---- */

int fold_updates_new(void)
{
    int fd = memfd_create("updates", MFD_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int fold_updates_add(int fd, struct slice update)
{
    uint32_t len = (uint32_t)update.len;
    struct iovec iov[] = {{&len, sizeof(len)}, {(void *)update.data, update.len}};
    size_t bytes = sizeof(len) + update.len;
    ssize_t n = writev(fd, iov, 2);

    if (n == (ssize_t)bytes)
        return 0;
    return n < 0 ? -errno : -ENOSPC;
}

/* ---- in snapshotd ---- */

struct fold_server {
    int socket;
    struct event *readable;
    struct event *failed; /* the fold could not be handed over */
    struct fold_limits limits;
    loop_fn on_end;
    void *ctx;
    unsigned answers_due; /* the last is that of the fold under way, the others were cancelled */
    int state;            /* memfd of that fold */
    int error;            /* of handing it over */
    fold_done_fn done;    /* NULL: none is under way */
    void *done_ctx;
};

static void finish(struct fold_server *s, struct fold_result *result)
{
    fold_done_fn done = s->done;

    s->done = NULL;
    cleanup_fd(&s->state);
    s->state = -1;
    done(s->done_ctx, result);
}

/* The process that wrote the state had read hostile updates. */
static int read_state(int fd, struct buffer *out)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size == 0 || (uint64_t)st.st_size > FOLD_STATE_MAX)
        return -EBADMSG;
    size_t len = (size_t)st.st_size;
    uint8_t *data = try_alloc(len);
    if (!data)
        return -ENOMEM;
    if (pread(fd, data, len, 0) != (ssize_t)len) {
        free(data);
        return -EIO;
    }
    *out = (struct buffer){.data = data, .len = len, .cap = len};
    return 0;
}

static void judge(struct fold_server *s, const struct answer *answer)
{
    struct fold_result result = {.verdict = FOLD_FAILED, .error = answer->error};
    int status = answer->wait_status;

    if (answer->error == 0 && WIFSIGNALED(status)) {
        result.verdict = FOLD_KILLED;
        result.signal = WTERMSIG(status);
    } else if (answer->error == 0) {
        result.error =
            WEXITSTATUS(status) ? -WEXITSTATUS(status) : read_state(s->state, &result.state);
        result.verdict = result.error < 0 ? FOLD_REFUSED : FOLD_DONE;
    }
    finish(s, &result);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct fold_server *s = ctx;
    struct answer answer;
    ssize_t n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);

    (void)what;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n != (ssize_t)sizeof(answer)) {
        (void)event_del(s->readable);
        s->on_end(s->ctx);
        return;
    }
    assert(s->answers_due > 0);
    if (--s->answers_due == 0 && s->done && s->error == 0)
        judge(s, &answer);
}

static void on_failed(evutil_socket_t fd, short what, void *ctx)
{
    struct fold_server *s = ctx;
    struct fold_result result = {.verdict = FOLD_FAILED, .error = s->error};

    (void)fd;
    (void)what;
    if (!s->done || s->error == 0)
        return; /* it was cancelled meanwhile */
    s->error = 0;
    finish(s, &result);
}

static int hand_over(struct fold_server *s, int updates)
{
    _Alignas(struct cmsghdr) char control[CONTROL_BYTES] = {0};
    struct iovec iov = {&s->limits, sizeof(s->limits)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    s->state = memfd_create("state", MFD_CLOEXEC);
    if (s->state < 0)
        return -errno;
    int fds[] = {updates, s->state};
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(c), fds, sizeof(fds));
    return sendmsg(s->socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

void fold_server_start(struct fold_server *s, int updates, fold_done_fn done, void *ctx)
{
    assert(!s->done);
    s->done = done;
    s->done_ctx = ctx;
    s->error = hand_over(s, updates);
    if (s->error == 0)
        s->answers_due++;
    else
        event_active(s->failed, EV_TIMEOUT, 0);
}

void fold_server_cancel(struct fold_server *s)
{
    s->done = NULL;
    s->error = 0;
    cleanup_fd(&s->state);
    s->state = -1;
}

struct fold_server *fold_server_new(struct loop *loop, int fd, const struct fold_limits *limits,
                                    loop_fn on_end, void *ctx)
{
    struct fold_server *s = xcalloc(1, sizeof(*s));

    s->socket = fd;
    s->state = -1;
    s->limits = *limits;
    s->on_end = on_end;
    s->ctx = ctx;
    s->readable = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, on_readable, s);
    s->failed = evtimer_new(loop_base(loop), on_failed, s);
    if (!s->readable || !s->failed || event_add(s->readable, NULL) < 0)
        log_panic("the fold server cannot be watched");
    return s;
}

void fold_server_free(struct fold_server *s)
{
    if (!s)
        return;
    assert(!s->done);
    event_free(s->readable);
    event_free(s->failed);
    (void)close(s->socket);
    free(s);
}
