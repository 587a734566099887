#include "supervisor_fixture.h"

#include "common/ipc.h"
#include "crdt/crdt.h"
#include "roomd/supervisor.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define POLL_MS   5
#define POLLS_MAX 3000

/* Rooms outlive their supervisor, and one that is stopped would outlive a test that fails: the
 * guard ends its process group, which they are all in, when the test's process is gone. */
static void run_guard(const int pipe_fds[2])
{
    char byte;

    (void)setpgid(0, 0);
    (void)close(pipe_fds[1]);
    while (read(pipe_fds[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    (void)kill(0, SIGKILL);
}

static void start_guard(struct fixture *f)
{
    int fds[2];

    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    f->guard = fork();
    cr_assert_geq(f->guard, 0);
    if (f->guard == 0)
        run_guard(fds);
    cr_assert_eq(setpgid(f->guard, f->guard), 0);
    (void)close(fds[0]);
    f->guard_fd = fds[1];
}

static void kill_rooms(const struct fixture *f)
{
    (void)kill(-f->guard, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        continue;
    (void)close(f->guard_fd);
}

static void run_supervisor(const struct fixture *f)
{
    (void)setpgid(0, f->guard);
    (void)close_range(3, UINT_MAX, 0); /* the test's ends of connections */
    log_init("roomd", LOG_LEVEL_ERROR);
    _exit(supervisor_run(&f->config));
}

void fixture_connect_gateway(struct fixture *f)
{
    char *path CLEANUP_FREE = config_roomd_socket(&f->config);
    int fd = -1;

    for (int i = 0; i < POLLS_MAX && fd < 0; i++) {
        fd = ipc_connect(path);
        if (fd < 0)
            (void)poll(NULL, 0, POLL_MS);
    }
    cr_assert_geq(fd, 0, "the supervisor does not listen");
    f->gateway = peer_new(fd);
}

void fixture_accept_store(struct fixture *f)
{
    struct pollfd pfd = {.fd = f->store_listener, .events = POLLIN};

    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    f->store = peer_new(accept4(f->store_listener, NULL, NULL, SOCK_CLOEXEC));
    cr_assert_geq(f->store.fd, 0);
}

void fixture_start_supervisor(struct fixture *f)
{
    f->pid = fork();
    cr_assert_geq(f->pid, 0);
    if (f->pid == 0)
        run_supervisor(f);
    fixture_connect_gateway(f);
    fixture_accept_store(f);
}

void fixture_start(struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char *path;
    int rest;

    *f = (struct fixture){.dir = "/tmp/concord-roomd-XXXXXX"};
    /* Rooms that lose their supervisor become this process's. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    start_guard(f);
    cr_assert_not_null(mkdtemp(f->dir));
    char *run = xasprintf("--run=%s/run", f->dir);
    char *data = xasprintf("--data=%s/data", f->dir);
    char *args[] = {run, data, (char[]){"--log-level=error"}};
    cr_assert_eq(config_parse(&f->config, 3, args, &rest), 0);
    f->config.room_idle_ms = 0;
    cr_assert_eq(config_make_run(&f->config), 0);
    free(run);
    free(data);
    path = config_snapshotd_socket(&f->config);
    cr_assert_lt(strlen(path), sizeof(addr.sun_path));
    memcpy(addr.sun_path, path, strlen(path) + 1);
    free(path);
    f->store_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(f->store_listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_eq(listen(f->store_listener, 16), 0);
    fixture_start_supervisor(f);
}

void fixture_end_supervisor(struct fixture *f, int sig)
{
    int status;

    (void)kill(f->pid, sig);
    cr_assert_eq(waitpid(f->pid, &status, 0), f->pid);
    if (sig != SIGKILL)
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    peer_close(&f->gateway);
    peer_close(&f->store);
}

void fixture_finish(struct fixture *f)
{
    kill_rooms(f);
    char *command = xasprintf("rm -rf '%s'", f->dir);

    (void)close(f->store_listener);
    config_done(&f->config);
    cr_assert_eq(system(command), 0);
    free(command);
}

struct peer fixture_serve_store(struct fixture *f, bool has_segment)
{
    struct msg_store_room room = EXPECT(&f->store, store_room, STORE_ROOM);

    cr_assert(slice_equal(room.room, slice_str("demo")));
    struct peer store = peer_new(peer_take_fd(&f->store));
    struct msg_store_open m = EXPECT(&store, store_open, STORE_OPEN);
    cr_assert_eq(m.has_segment, has_segment);
    SEND(&store, store_loaded, .stored_seq = 0);
    return store;
}

void fixture_ask(struct fixture *f, const char *room)
{
    SEND(&f->gateway, room_open, .request = ++f->requests, .tenant = slice_str("default"),
         .room = slice_str(room));
}

struct peer fixture_take_link(struct fixture *f)
{
    struct msg_room_opened m = EXPECT(&f->gateway, room_opened, ROOM_OPENED);

    cr_assert_eq(m.request, f->requests);
    struct peer link = peer_new(peer_take_fd(&f->gateway));
    SEND(&link, link_open, .has_seen = false);
    (void)EXPECT(&link, link_welcome, LINK_WELCOME);
    return link;
}

void make_edit(struct peer *link, uint8_t client)
{
    SEND(link, session_join, .session = client, .format = CRDT_V1);
    SEND(link, session_update, .session = client, .op = 1, .format = CRDT_V1,
         .update = CHAR_UPDATE(client, 'x'));
    (void)EXPECT(link, room_update, ROOM_UPDATE);
    (void)EXPECT(link, room_applied, ROOM_APPLIED);
}

int fixture_open_segment(const struct fixture *f, struct segment_view **ret_view)
{
    char *dir CLEANUP_FREE = config_rooms_dir(&f->config);

    return segment_view_open_room(dir, slice_str("default"), slice_str("demo"), ret_view);
}

pid_t fixture_room_pid(const struct fixture *f)
{
    struct segment_view *v;

    cr_assert_eq(fixture_open_segment(f, &v), 0);
    pid_t pid = (pid_t)atomic_load(&segment_view_header(v)->pid);
    segment_view_free(v);
    return pid;
}

pid_t fixture_new_room_pid(const struct fixture *f, pid_t before)
{
    pid_t pid = fixture_room_pid(f);

    for (int i = 0; i < POLLS_MAX && pid == before; i++) {
        (void)poll(NULL, 0, POLL_MS);
        pid = fixture_room_pid(f);
    }
    cr_assert_neq(pid, before);
    return pid;
}

void fixture_expect_closed(const struct fixture *f)
{
    struct segment_view *v;
    int r = 0;

    for (int i = 0; i < POLLS_MAX && (r = fixture_open_segment(f, &v)) != -ENOENT; i++) {
        if (r == 0)
            segment_view_free(v);
        (void)poll(NULL, 0, POLL_MS);
    }
    cr_assert_eq(r, -ENOENT, "the segment is still there");
}

void hash_of_demo(char ret_hash[NAME_HASH_HEX + 1])
{
    name_hash(slice_str("default"), slice_str("demo"), ret_hash);
}

uint32_t fixture_refusal(struct fixture *f)
{
    fixture_ask(f, "demo");
    struct msg_room_refused m = EXPECT(&f->gateway, room_refused, ROOM_REFUSED);
    cr_assert_eq(m.request, f->requests);
    return m.refusal;
}

void fixture_start_demo(struct fixture *f, struct peer *ret_store, struct peer *ret_link)
{
    fixture_start(f);
    fixture_ask(f, "demo");
    *ret_store = fixture_serve_store(f, false);
    *ret_link = fixture_take_link(f);
}

void fixture_finish_demo(struct fixture *f, struct peer *store, struct peer *link, int sig)
{
    peer_close(link);
    peer_close(store);
    fixture_end_supervisor(f, sig);
    fixture_finish(f);
}
