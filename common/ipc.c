#include "common/ipc.h"

#include "common/log.h"
#include "common/txq.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define READ_CHUNK      (64u << 10)
#define READS_PER_TURN  4 /* chunks read from one connection before the others have their turn */
#define ACCEPT_PAUSE_US 200000 /* without descriptors: until the next try */

/* A descriptor that waits until `sent` reaches the first byte of its frame. */
struct fd_mark {
    uint64_t at;
    int fd;
};

struct ipc {
    struct loop *loop;
    const struct ipc_handler *handler;
    void *ctx;
    struct event *on_read;
    struct event *on_write;
    int fd;
    bool is_closed;
    bool is_paused;

    /* Input: what was read and not yet delivered; a frame may be in part. */
    uint8_t *in;
    size_t in_len;
    size_t in_cap;
    int fds_in[IPC_FDS_MAX];
    size_t fds_in_count;

    /* Output: frames, and the descriptors that travel with some of them. */
    struct txq out;
    uint64_t queued; /* bytes ever queued */
    uint64_t sent;   /* bytes ever written */
    struct fd_mark *fds_out;
    size_t fds_out_count;
    size_t fds_out_cap;
};

static void release(void *ctx)
{
    struct ipc *ipc = ctx;

    free(ipc->in);
    free(ipc->fds_out);
    free(ipc);
}

static void end(struct ipc *ipc, int error)
{
    if (ipc->is_closed)
        return;
    (void)event_del(ipc->on_read);
    (void)event_del(ipc->on_write);
    ipc->handler->on_end(ipc->ctx, error);
}

/* ---- input ---- */

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Delivers every whole frame; 0, or -EBADMSG for a length that no frame has. */
static int deliver(struct ipc *ipc)
{
    size_t pos = 0;
    int r = 0;

    while (!ipc->is_closed && !ipc->is_paused && ipc->in_len - pos >= IPC_HEADER) {
        uint32_t len = read_u32(ipc->in + pos);
        if (len == 0 || len > IPC_FRAME_MAX) {
            r = -EBADMSG;
            break;
        }
        if (ipc->in_len - pos - IPC_HEADER < len)
            break;
        struct slice body = slice_of(ipc->in + pos + IPC_HEADER, len);
        pos += IPC_HEADER + len;
        ipc->handler->on_frame(ipc->ctx, body);
    }
    ipc->in_len -= pos;
    if (ipc->in_len > 0 && pos > 0)
        memmove(ipc->in, ipc->in + pos, ipc->in_len);
    return r;
}

/* Room for a chunk. A large frame doubles the buffer as its bytes come: its length alone is no
 * reason to allocate. */
static void make_room(struct ipc *ipc)
{
    if (ipc->in_cap - ipc->in_len >= READ_CHUNK)
        return;
    ipc->in_cap = ipc->in_len + (ipc->in_len > READ_CHUNK ? ipc->in_len : READ_CHUNK);
    ipc->in = xrealloc(ipc->in, ipc->in_cap);
}

/* Most connections are quiet most of the time: what is read next finds the same memory, whoever
 * reads it, and a fork shares no pages that every connection wrote to. */
static void give_room_back(struct ipc *ipc)
{
    if (ipc->in_len == 0) {
        free(ipc->in);
        ipc->in = NULL;
        ipc->in_cap = 0;
    }
}

static int keep_fd(struct ipc *ipc, int fd)
{
    if (ipc->fds_in_count < IPC_FDS_MAX) {
        ipc->fds_in[ipc->fds_in_count++] = fd;
        return 0;
    }
    if (fd >= 0)
        (void)close(fd);
    return -EBADMSG;
}

static int keep_fds(struct ipc *ipc, struct msghdr *msg)
{
    size_t kept = 0;
    int r = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (keep_fd(ipc, fd) < 0)
                r = -EBADMSG;
            kept++;
        }
    }
    if (!(msg->msg_flags & MSG_CTRUNC) || r < 0)
        return r;
    /* A frame brings one descriptor and there was no number free for it (unix(7)). It has its place
     * in the row all the same: the next one is another frame's. */
    return kept == 0 ? keep_fd(ipc, -EMFILE) : -EBADMSG;
}

/* One read: bytes, 0 at the end of the stream, -EAGAIN, or another -errno. */
static ssize_t receive(struct ipc *ipc)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
    make_room(ipc);
    struct iovec iov = {ipc->in + ipc->in_len, ipc->in_cap - ipc->in_len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};

    ssize_t n = recvmsg(ipc->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return -errno;
    int r = keep_fds(ipc, &msg);
    if (r < 0)
        return r;
    ipc->in_len += (size_t)n;
    return n;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct ipc *ipc = ctx;

    (void)fd;
    (void)what;
    int r = deliver(ipc); /* what a pause held back */
    for (int i = 0; i < READS_PER_TURN && r == 0 && !ipc->is_closed && !ipc->is_paused; i++) {
        ssize_t n = receive(ipc);
        if (n == -EINTR)
            continue;
        if (n == -EAGAIN)
            break;
        if (n <= 0) {
            end(ipc, (int)n);
            return;
        }
        bool was_full = ipc->in_len == ipc->in_cap;
        r = deliver(ipc);
        if (!was_full)
            break;
    }
    if (r < 0)
        end(ipc, r);
    else
        give_room_back(ipc);
}

/* A peer that is gone takes no more, but what it said before still counts. */
static void read_rest(struct ipc *ipc)
{
    int r = deliver(ipc);

    while (r == 0 && !ipc->is_closed && !ipc->is_paused) {
        ssize_t n = receive(ipc);
        if (n <= 0 && n != -EINTR)
            break;
        r = deliver(ipc);
    }
}

int ipc_take_fd(struct ipc *ipc)
{
    if (ipc->fds_in_count == 0)
        return -EBADMSG;
    int fd = ipc->fds_in[0];
    ipc->fds_in_count--;
    memmove(ipc->fds_in, ipc->fds_in + 1, ipc->fds_in_count * sizeof(int));
    return fd;
}

void ipc_set_paused(struct ipc *ipc, bool is_paused)
{
    if (ipc->is_closed || ipc->is_paused == is_paused)
        return;
    ipc->is_paused = is_paused;
    if (is_paused) {
        (void)event_del(ipc->on_read);
        return;
    }
    (void)event_add(ipc->on_read, NULL);
    /* Frames that were read before the pause have no event of their own to come. */
    event_active(ipc->on_read, EV_READ, 0);
}

/* ---- output ---- */

/* Sends the first byte of the frame that the first waiting descriptor belongs to, with it. */
static int send_with_fd(struct ipc *ipc)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {(void *)txq_front(&ipc->out).data, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &ipc->fds_out[0].fd, sizeof(int));
    if (sendmsg(ipc->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    txq_advance(&ipc->out, 1);
    ipc->sent++;
    (void)close(ipc->fds_out[0].fd);
    ipc->fds_out_count--;
    memmove(ipc->fds_out, ipc->fds_out + 1, ipc->fds_out_count * sizeof(ipc->fds_out[0]));
    return 1;
}

/* Writes until nothing is left (1) or the socket would block (0); -errno. */
static int flush(struct ipc *ipc)
{
    for (;;) {
        uint64_t stop = ipc->fds_out_count > 0 ? ipc->fds_out[0].at : ipc->queued;
        size_t before = ipc->out.bytes;
        int r = txq_flush_some(&ipc->out, ipc->fd, (size_t)(stop - ipc->sent));
        ipc->sent += before - ipc->out.bytes;
        if (r <= 0 || ipc->fds_out_count == 0)
            return r;
        r = send_with_fd(ipc);
        if (r <= 0)
            return r;
    }
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
    struct ipc *ipc = ctx;

    (void)fd;
    (void)what;
    int r = flush(ipc);
    if (r < 0) {
        (void)event_del(ipc->on_write);
        read_rest(ipc);
        end(ipc, r);
    } else if (r > 0) {
        (void)event_del(ipc->on_write);
    }
}

static void push(struct ipc *ipc, struct blob *frame)
{
    bool was_empty = ipc->out.count == 0;

    txq_push(&ipc->out, frame);
    ipc->queued += frame->len;
    if (!was_empty)
        return;
    int r = flush(ipc);
    if (r == 0)
        (void)event_add(ipc->on_write, NULL);
    else if (r < 0) /* on_writable meets the error again, and no caller of ours is on the stack */
        event_active(ipc->on_write, EV_WRITE, 0);
}

void ipc_send(struct ipc *ipc, struct blob *frame)
{
    if (!ipc->is_closed)
        push(ipc, frame);
}

void ipc_send_new(struct ipc *ipc, struct blob *frame)
{
    ipc_send(ipc, frame);
    blob_unref(frame);
}

void ipc_send_fd(struct ipc *ipc, struct blob *frame, int fd)
{
    if (ipc->is_closed) {
        (void)close(fd);
    } else {
        if (ipc->fds_out_count == ipc->fds_out_cap) {
            ipc->fds_out_cap = ipc->fds_out_cap ? 2 * ipc->fds_out_cap : 4;
            ipc->fds_out = xrealloc(ipc->fds_out, ipc->fds_out_cap * sizeof(ipc->fds_out[0]));
        }
        ipc->fds_out[ipc->fds_out_count++] = (struct fd_mark){.at = ipc->queued, .fd = fd};
        push(ipc, frame);
    }
    blob_unref(frame);
}

size_t ipc_queued_bytes(const struct ipc *ipc)
{
    return ipc->out.bytes;
}

bool ipc_has_peer(const struct ipc *ipc)
{
    struct pollfd p = {.fd = ipc->fd};

    return poll(&p, 1, 0) == 0;
}

/* ---- life ---- */

struct ipc *ipc_new(struct loop *loop, int fd, const struct ipc_handler *handler, void *ctx)
{
    struct ipc *ipc = xcalloc(1, sizeof(*ipc));

    ipc->loop = loop;
    ipc->handler = handler;
    ipc->ctx = ctx;
    ipc->fd = fd;
    if (evutil_make_socket_nonblocking(fd) < 0)
        log_panic("a socket cannot be made non-blocking");
    ipc->on_read = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, on_readable, ipc);
    ipc->on_write = event_new(loop_base(loop), fd, EV_WRITE | EV_PERSIST, on_writable, ipc);
    if (!ipc->on_read || !ipc->on_write || event_add(ipc->on_read, NULL) < 0)
        log_panic("a socket cannot be watched");
    return ipc;
}

void ipc_set_handler(struct ipc *ipc, const struct ipc_handler *handler, void *ctx)
{
    ipc->handler = handler;
    ipc->ctx = ctx;
}

void ipc_close(struct ipc *ipc)
{
    if (!ipc || ipc->is_closed)
        return;
    (void)flush(ipc);
    ipc->is_closed = true;
    event_free(ipc->on_read);
    event_free(ipc->on_write);
    for (size_t i = 0; i < ipc->fds_in_count; i++) {
        if (ipc->fds_in[i] >= 0)
            (void)close(ipc->fds_in[i]);
    }
    for (size_t i = 0; i < ipc->fds_out_count; i++)
        (void)close(ipc->fds_out[i].fd);
    txq_done(&ipc->out);
    (void)close(ipc->fd);
    loop_reap(ipc->loop, release, ipc);
}

/* ---- sockets ---- */

struct listener {
    void (*on_accept)(void *ctx, int fd);
    void *ctx;
    struct event *on_readable;
    struct event *on_pause_end;
    int fd;
};

static void free_listener(void *ctx)
{
    struct listener *l = ctx;

    event_free(l->on_readable);
    event_free(l->on_pause_end);
    (void)close(l->fd);
    free(l);
}

/* The connection that waits stays readable: asked again at once, it would fail again. */
static void pause_accepting(struct listener *l, int error)
{
    struct timeval pause = {.tv_usec = ACCEPT_PAUSE_US};

    log_warn("accept: %s", strerror(error));
    (void)event_del(l->on_readable);
    (void)event_add(l->on_pause_end, &pause);
}

static void on_pause_end(evutil_socket_t fd, short what, void *ctx)
{
    struct listener *l = ctx;

    (void)fd;
    (void)what;
    (void)event_add(l->on_readable, NULL);
}

static void on_connection(evutil_socket_t fd, short what, void *ctx)
{
    struct listener *l = ctx;

    (void)what;
    for (;;) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            if (errno != EAGAIN)
                pause_accepting(l, errno);
            return;
        }
        l->on_accept(l->ctx, client);
    }
}

static int make_address(const char *path, struct sockaddr_un *ret_addr)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, strlen(path) + 1);
    *ret_addr = addr;
    return 0;
}

int ipc_listen(struct loop *loop, const char *path, void (*on_accept)(void *ctx, int fd), void *ctx)
{
    struct sockaddr_un addr;
    int r = make_address(path, &addr);
    if (r < 0)
        return r;
    int fd CLEANUP_FD = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    mode_t mask = umask(0177);
    r = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
    (void)umask(mask);
    if (r < 0)
        return r;
    if (listen(fd, SOMAXCONN) < 0)
        return -errno;

    struct listener *l = xmalloc(sizeof(*l));
    *l = (struct listener){.on_accept = on_accept, .ctx = ctx, .fd = fd};
    l->on_readable = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, on_connection, l);
    l->on_pause_end = evtimer_new(loop_base(loop), on_pause_end, l);
    if (!l->on_readable || !l->on_pause_end || event_add(l->on_readable, NULL) < 0)
        log_panic("a socket cannot be watched");
    loop_on_free(loop, free_listener, l);
    (void)TAKE_FD(fd);
    return 0;
}

int ipc_connect(const char *path)
{
    struct sockaddr_un addr;
    int r = make_address(path, &addr);
    if (r < 0)
        return r;
    int fd CLEANUP_FD = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int ipc_pair(int ret_fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
}
