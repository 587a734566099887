#include "roomd/supervisor_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* A room of an earlier supervisor that has not yet said which one. */
struct adoptee {
    struct supervisor *supervisor;
    struct ipc *ipc;
    pid_t pid;
    int process_fd; /* of pidfd_open() */
    TAILQ_ENTRY(adoptee) adoptees;
};

static void drop(struct adoptee *a)
{
    TAILQ_REMOVE(&a->supervisor->adoptees, a, adoptees);
    ipc_close(a->ipc);
    if (a->process_fd >= 0)
        (void)close(a->process_fd);
    loop_reap(a->supervisor->loop, free, a);
}

/* Whether `fd` is the open file that has the room's segment locked. Only the room itself, its one
 * writer, can have that. -ESTALE: the segment is another file; -EAGAIN: somebody else has it. */
static int check_segment(const char *path, int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat named, shown;

    if (stat(path, &named) < 0)
        return errno == ENOENT ? -ESTALE : -errno;
    if (fstat(fd, &shown) < 0)
        return -errno;
    if (named.st_dev != shown.st_dev || named.st_ino != shown.st_ino)
        return -ESTALE;
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

static int adopt(struct adoptee *a, const struct msg_room_adopt *m, int segment_fd)
{
    struct supervisor *s = a->supervisor;
    char hash[NAME_HASH_HEX + 1];

    if (!name_is_valid(m->tenant) || !name_is_valid(m->room))
        return -EBADMSG;
    name_hash(m->tenant, m->room, hash);
    char *path CLEANUP_FREE = xasprintf("%s/%s", s->rooms_dir, hash);
    int r = check_segment(path, segment_fd);
    if (r == 0)
        r = slot_adopt(s, m, a->ipc, a->process_fd);
    if (r < 0)
        return r;
    log_info("room '%.*s', process %d, is adopted", (int)m->room.len, (const char *)m->room.data,
             (int)a->pid);
    a->ipc = NULL;
    a->process_fd = -1;
    return 0;
}

static int handle_room_adopt(struct adoptee *a, const struct msg_room_adopt *m)
{
    int fd CLEANUP_FD = ipc_take_fd(a->ipc);

    if (fd == -EMFILE) { /* it comes again */
        drop(a);
        return 0;
    }
    int r = fd < 0 ? fd : adopt(a, m, fd);
    if (r < 0)
        return r;
    drop(a);
    return 0;
}

PROTO_ROUTE_FN(room_adopt, struct adoptee, handle_room_adopt)

static const struct proto_route routes[] = {
    PROTO_ROUTE(room_adopt, ROOM_ADOPT),
};

/* A room that can never be adopted, as its segment is no longer the room's, must not go on: there
 * would be two of it. */
static void refuse(struct adoptee *a, int error)
{
    log_error("process %d is no room to adopt (%s) and is killed", (int)a->pid, strerror(-error));
    (void)pidfd_send_signal(a->process_fd, SIGKILL, NULL, 0);
    drop(a);
}

static void on_frame(void *ctx, struct slice body)
{
    int r = proto_dispatch(routes, sizeof(routes) / sizeof(routes[0]), ctx, body);

    if (r < 0)
        refuse(ctx, r);
}

static void on_end(void *ctx, int error)
{
    if (error == -EBADMSG)
        refuse(ctx, error);
    else
        drop(ctx);
}

static const struct ipc_handler handler = {.on_frame = on_frame, .on_end = on_end};

/* The peer's process as a descriptor. A number may be given anew once a process is gone, so the
 * connection must still stand when the descriptor is there. */
static int open_process(int fd, pid_t *ret_pid)
{
    struct pollfd pfd = {.fd = fd};
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    if (cred.uid != geteuid() || cred.pid <= 0)
        return -EPERM;
    int process CLEANUP_FD = pidfd_open(cred.pid, 0);
    if (process < 0)
        return -errno;
    if (poll(&pfd, 1, 0) < 0 || (pfd.revents & POLLHUP))
        return -ESRCH;
    *ret_pid = cred.pid;
    return TAKE_FD(process);
}

void adopt_accept(void *ctx, int fd)
{
    struct supervisor *s = ctx;
    pid_t pid = 0;
    int process_fd = open_process(fd, &pid);

    if (process_fd < 0) {
        log_warn("who wants to be adopted cannot be told: %s", strerror(-process_fd));
        (void)close(fd);
        return;
    }
    struct adoptee *a = xcalloc(1, sizeof(*a));
    *a = (struct adoptee){.supervisor = s, .pid = pid, .process_fd = process_fd};
    TAILQ_INSERT_TAIL(&s->adoptees, a, adoptees);
    a->ipc = ipc_new(s->loop, fd, &handler, a);
}

void adopt_stop(struct supervisor *s)
{
    struct adoptee *a;

    while ((a = TAILQ_FIRST(&s->adoptees)))
        drop(a);
}
