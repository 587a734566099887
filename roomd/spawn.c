#include "roomd/spawn.h"

#include "common/ipc.h"
#include "common/metrics.h"
#include "roomd/room.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* A link a gateway, the store, the segment and what the loop needs; two while something is
 * replaced. */
#define ROOM_FDS_MAX 512

/* Above the links. The kernel lets go of the highest descriptor first when a process ends: so the
 * supervisor hears of it before a gateway that has lost its link can ask for the room again. Not
 * higher than libevent has room for from the start. */
#define CONTROL_FD 31

#define ORPHAN_MS 60000u

#define TIDYING_BYTES (64u << 10) /* more than the C library has lists for */

#ifdef CONCORD_ASAN
const bool spawn_can_bound_memory = false;
#else
const bool spawn_can_bound_memory = true;
#endif

static int open_segment(const char *path, int *ret_fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd CLEANUP_FD = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
        return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Closes everything but the standard streams and two descriptors. The supervisor's event base goes
 * with it: its epoll is shared, so nothing in it may be deleted, only let go. */
static void close_others(int a, int b)
{
    unsigned low = (unsigned)(a < b ? a : b);
    unsigned high = (unsigned)(a < b ? b : a);

    if (low > 3)
        (void)close_range(3, low - 1, 0);
    if (high > low + 1)
        (void)close_range(low + 1, high - 1, 0);
    (void)close_range(high + 1, UINT_MAX, 0);
}

/* Moves a descriptor to the lowest free number from `least` on. A process keeps a row up to the
 * highest that it watches, and the supervisor's numbers are as high as it has rooms. */
static int lower_fd(int fd, int least)
{
    int low = fcntl(fd, F_DUPFD_CLOEXEC, least);

    if (low < 0)
        return fd;
    (void)close(low < fd ? fd : low);
    return low < fd ? low : fd;
}

static void set_limit(__rlimit_resource_t resource, rlim_t limit)
{
    struct rlimit r = {.rlim_cur = limit, .rlim_max = limit};

    if (setrlimit(resource, &r) < 0)
        log_warn("setrlimit: %s", strerror(errno));
}

/* The supervisor decides when a room ends: a signal to the whole group or service must not. */
static void reset_signals(const sigset_t *mask)
{
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGCHLD, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
}

/* The first allocation after others were freed puts all of them in order, and writes into each to
 * do so: done here, no room gets its own copy of the pages that they are in. */
static void tidy_free_memory(void)
{
    void *volatile large = malloc(TIDYING_BYTES); /* volatile: a compiler leaves out the pair */

    free(large);
}

static _Noreturn void run_child(const struct spawn *spawn, int control_fd, int segment_fd,
                                const sigset_t *mask)
{
    struct room_boot boot = {.tenant = spawn->tenant,
                             .room = spawn->room,
                             .adopt_path = spawn->adopt_path,
                             .is_careful = spawn->is_careful,
                             .turn_cpu_ms = spawn->turn_cpu_ms,
                             .orphan_ms = ORPHAN_MS,
                             .idle_ms = spawn->idle_ms,
                             .presence = spawn->presence,
                             .log_level = spawn->log_level};

    log_init("room", spawn->log_level);
    metrics_leave();
    (void)prctl(PR_SET_NAME, "room");
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    close_others(control_fd, segment_fd);
    boot.control_fd = lower_fd(control_fd, CONTROL_FD);
    boot.segment_fd = lower_fd(segment_fd, STDERR_FILENO + 1);
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_NOFILE, ROOM_FDS_MAX);
    if (spawn_can_bound_memory && spawn->memory_mib > 0)
        set_limit(RLIMIT_AS, (rlim_t)spawn->memory_mib << 20);
    reset_signals(mask);
    /* Not exit(): what the supervisor registered for its own end is not the room's. */
    _exit(room_run(&boot));
}

int spawn_room(const struct spawn *spawn, struct spawned *ret_spawned)
{
    int segment_fd CLEANUP_FD = -1;
    int control[2];
    sigset_t all, before;

    int r = open_segment(spawn->segment_path, &segment_fd);
    if (r < 0)
        return r;
    r = ipc_pair(control);
    if (r < 0)
        return r;
    /* A signal that came between fork and reset_signals() would run the supervisor's handler in the
     * child, and tell the supervisor over the descriptors that both have. */
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    /* Not fork(): there is one thread, so the C library has no lock to put in order in the child,
     * which costs every room the pages that these locks are in. */
    tidy_free_memory();
    pid_t pid = _Fork();
    if (pid == 0)
        run_child(spawn, control[1], TAKE_FD(segment_fd), &before);
    r = pid < 0 ? -errno : 0;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)close(control[1]);
    if (r < 0) {
        (void)close(control[0]);
        return r;
    }
    *ret_spawned = (struct spawned){.pid = pid, .control_fd = control[0]};
    return 0;
}
