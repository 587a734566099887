#include "peer.h"

#include "common/ipc.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define DEADLINE_MS 15000

struct peer peer_new(int fd)
{
    return (struct peer){.fd = fd};
}

void peer_close(struct peer *p)
{
    (void)close(p->fd);
    for (size_t i = 0; i < p->fd_count; i++)
        (void)close(p->fds[i]);
    buffer_done(&p->in);
    *p = (struct peer){.fd = -1};
}

static void send_bytes(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        cr_assert(n > 0, "send: %s", strerror(errno));
        data += n;
        len -= (size_t)n;
    }
}

void peer_send(struct peer *p, struct blob *frame)
{
    send_bytes(p->fd, frame->data, frame->len);
    blob_unref(frame);
}

void peer_send_fd(struct peer *p, struct blob *frame, int fd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {frame->data, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    cr_assert_eq(sendmsg(p->fd, &msg, MSG_NOSIGNAL), 1);
    send_bytes(p->fd, frame->data + 1, frame->len - 1);
    (void)close(fd);
    blob_unref(frame);
}

static void keep_fds(struct peer *p, struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        cr_assert_eq(c->cmsg_type, SCM_RIGHTS);
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            cr_assert_lt(p->fd_count, PEER_FDS_MAX);
            memcpy(&p->fds[p->fd_count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        }
    }
}

/* Reads more; false at the end of the stream. */
static bool read_more(struct peer *p)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * PEER_FDS_MAX)];
    struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
    struct iovec iov = {buffer_reserve(&p->in, 65536), 65536};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};

    cr_assert_eq(poll(&pfd, 1, DEADLINE_MS), 1, "nothing came in time");
    ssize_t n = recvmsg(p->fd, &msg, MSG_CMSG_CLOEXEC);
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return false;
    cr_assert(n > 0, "recvmsg: %s", strerror(errno));
    keep_fds(p, &msg);
    buffer_add_len(&p->in, (size_t)n);
    return true;
}

/* Makes the next frame whole; its body, or nothing at the end of the stream. */
static struct slice next_frame(struct peer *p)
{
    uint32_t len = 0;

    buffer_consume(&p->in, p->delivered);
    p->delivered = 0;
    while (p->in.len < IPC_HEADER || p->in.len - IPC_HEADER < len || len == 0) {
        if (p->in.len >= IPC_HEADER)
            memcpy(&len, p->in.data, sizeof(len));
        if (len > 0 && p->in.len - IPC_HEADER >= len)
            break;
        if (!read_more(p))
            return slice_of(NULL, 0);
    }
    return slice_of(p->in.data + IPC_HEADER, len);
}

int peer_peek(struct peer *p)
{
    struct slice body = next_frame(p);

    return body.len == 0 ? -1 : proto_code_of(body);
}

struct slice peer_expect(struct peer *p, enum proto_code code)
{
    struct slice body = next_frame(p);

    cr_assert_gt(body.len, 0, "the stream ended instead of %s", proto_name((int)code));
    cr_assert_eq(proto_code_of(body), (int)code, "%s instead of %s",
                 proto_name(proto_code_of(body)), proto_name((int)code));
    p->delivered = IPC_HEADER + body.len;
    return body;
}

void peer_expect_end(struct peer *p)
{
    cr_assert_eq(peer_peek(p), -1);
}

int peer_take_fd(struct peer *p)
{
    cr_assert_gt(p->fd_count, 0, "no descriptor came");
    int fd = p->fds[0];
    p->fd_count--;
    memmove(p->fds, p->fds + 1, p->fd_count * sizeof(p->fds[0]));
    return fd;
}
