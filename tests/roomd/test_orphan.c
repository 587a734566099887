/* A real room whose supervisor is lost; the test plays that one, the next one, snapshotd and a
 * gateway. What a real supervisor makes of it is in test_supervisor.c. */
#include "common/ipc.h"
#include "common/segment.h"
#include "crdt/crdt.h"
#include "peer.h"
#include "proto/refusal.h"
#include "roomd/room.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define SOON_MS  30u
#define NEVER_MS 3600000u

struct fixture {
    char dir[64];
    char *adopt_path;
    int listener;
    int segment_fd;
    pid_t pid;
    struct peer control;
    struct peer store;
};

static void run_room(const struct fixture *f, int control_fd, uint32_t orphan_ms)
{
    struct room_boot boot = {.tenant = slice_str("default"),
                             .room = slice_str("demo"),
                             .control_fd = control_fd,
                             .segment_fd = f->segment_fd,
                             .adopt_path = f->adopt_path,
                             .orphan_ms = orphan_ms,
                             .idle_ms = NEVER_MS,
                             .log_level = LOG_LEVEL_ERROR};

    log_init("room", LOG_LEVEL_ERROR);
    _exit(room_run(&boot));
}

static void listen_for_orphans(struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    cr_assert_lt(strlen(f->adopt_path), sizeof(addr.sun_path));
    memcpy(addr.sun_path, f->adopt_path, strlen(f->adopt_path) + 1);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(f->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_eq(listen(f->listener, 8), 0);
}

/* A process of the room, on what the segment holds. */
static void fork_room(struct fixture *f, uint32_t orphan_ms)
{
    int fds[2];

    cr_assert_eq(ipc_pair(fds), 0);
    f->pid = fork();
    cr_assert_geq(f->pid, 0);
    if (f->pid == 0) {
        (void)close(fds[0]);
        run_room(f, fds[1], orphan_ms);
    }
    (void)close(fds[1]);
    f->control = peer_new(fds[0]);
}

static void start(struct fixture *f, uint32_t orphan_ms)
{
    *f = (struct fixture){.dir = "/tmp/concord-orphan-XXXXXX", .store = {.fd = -1}};
    cr_assert_not_null(mkdtemp(f->dir));
    f->adopt_path = xasprintf("%s/adopt.sock", f->dir);
    f->segment_fd = memfd_create("segment", MFD_CLOEXEC);
    fork_room(f, orphan_ms);
    listen_for_orphans(f);
}

static void give_store(struct fixture *f)
{
    int fds[2];

    cr_assert_eq(ipc_pair(fds), 0);
    peer_send_fd(&f->control, proto_encode_room_store(&(struct msg_room_store){}), fds[1]);
    f->store = peer_new(fds[0]);
    (void)EXPECT(&f->store, store_open, STORE_OPEN);
}

static void start_ready(struct fixture *f, uint32_t orphan_ms)
{
    start(f, orphan_ms);
    give_store(f);
    SEND(&f->store, store_loaded, .stored_seq = 0);
    (void)EXPECT(&f->control, room_ready, ROOM_READY);
}

/* A gateway's link; its first edit is applied. */
static struct peer new_link(struct fixture *f, uint32_t number)
{
    struct msg_room_link m = {.links = number};
    int fds[2];

    cr_assert_eq(ipc_pair(fds), 0);
    peer_send_fd(&f->control, proto_encode_room_link(&m), fds[1]);
    struct peer link = peer_new(fds[0]);
    SEND(&link, link_open, .has_seen = false);
    SEND(&link, session_join, .session = number, .format = CRDT_V1);
    SEND(&link, session_update, .session = number, .op = 1, .format = CRDT_V1,
         .update = CHAR_UPDATE(number, 'x'));
    while (peer_peek(&link) != PROTO_ROOM_APPLIED)
        (void)peer_expect(&link, (enum proto_code)peer_peek(&link));
    (void)peer_expect(&link, PROTO_ROOM_APPLIED);
    return link;
}

static void lose_supervisor(struct fixture *f)
{
    peer_close(&f->control);
}

/* No other supervisor comes. */
static void stop_listening(struct fixture *f)
{
    (void)close(f->listener);
    f->listener = -1;
}

/* The room has come to the next supervisor. */
static struct msg_room_adopt accept_orphan(struct fixture *f)
{
    struct pollfd pfd = {.fd = f->listener, .events = POLLIN};

    cr_assert_eq(poll(&pfd, 1, 10000), 1, "nobody knocks");
    f->control = peer_new(accept4(f->listener, NULL, NULL, SOCK_CLOEXEC));
    struct msg_room_adopt m = EXPECT(&f->control, room_adopt, ROOM_ADOPT);
    cr_assert(slice_equal(m.tenant, slice_str("default")));
    cr_assert(slice_equal(m.room, slice_str("demo")));
    int fd = peer_take_fd(&f->control);
    struct segment_view *v;
    cr_assert_eq(segment_view_open(fd, &v), 0, "its segment comes with it");
    segment_view_free(v);
    return m;
}

static void expect_exit(struct fixture *f, int expected)
{
    int status;

    cr_assert_eq(waitpid(f->pid, &status, 0), f->pid);
    f->pid = 0;
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == expected, "status %x", (unsigned)status);
}

static uint32_t flags_of(const struct fixture *f)
{
    struct segment_view *v;

    cr_assert_eq(segment_view_open(fcntl(f->segment_fd, F_DUPFD_CLOEXEC, 0), &v), 0);
    uint32_t flags = atomic_load(&segment_view_header(v)->flags);
    segment_view_free(v);
    return flags;
}

static void finish(struct fixture *f)
{
    if (f->pid > 0) {
        (void)kill(f->pid, SIGKILL);
        (void)waitpid(f->pid, NULL, 0);
    }
    peer_close(&f->control);
    peer_close(&f->store);
    (void)close(f->listener);
    (void)close(f->segment_fd);
    (void)unlink(f->adopt_path);
    (void)rmdir(f->dir);
    free(f->adopt_path);
}

/* A process that does not end must not hold the tests up. */
TestSuite(orphan, .timeout = 60);

Test(orphan, tells_the_next_supervisor_how_it_is)
{
    struct fixture f;
    start_ready(&f, NEVER_MS);

    struct peer link = new_link(&f, 1);
    lose_supervisor(&f);
    struct msg_room_adopt m = accept_orphan(&f);
    cr_assert(m.is_ready);
    cr_assert(m.has_store);
    cr_assert_eq(m.links, 1);

    /* It goes on counting links where it was, and once more with the one after that. */
    struct peer other = new_link(&f, 2);
    lose_supervisor(&f);
    peer_close(&f.store);
    cr_assert_eq(accept_orphan(&f).links, 2);
    peer_close(&link);
    peer_close(&other);
    finish(&f);
}

Test(orphan, comes_again_when_it_is_not_taken)
{
    struct fixture f;
    start_ready(&f, NEVER_MS);

    struct peer link = new_link(&f, 1);
    lose_supervisor(&f);
    for (int i = 0; i < 4; i++) {
        (void)accept_orphan(&f);
        lose_supervisor(&f);
    }
    cr_assert_eq(accept_orphan(&f).links, 1);
    peer_close(&link);
    finish(&f);
}

/* One that loads from its segment is no less a room. */
Test(orphan, may_be_loading)
{
    struct fixture f;
    start_ready(&f, NEVER_MS);

    struct peer link = new_link(&f, 1);
    cr_assert_eq(kill(f.pid, SIGKILL), 0);
    (void)waitpid(f.pid, NULL, 0);
    peer_close(&link);
    lose_supervisor(&f);
    peer_close(&f.store);

    fork_room(&f, NEVER_MS);
    lose_supervisor(&f);
    struct msg_room_adopt m = accept_orphan(&f);
    cr_assert_not(m.is_ready);
    cr_assert_not(m.has_store);
    give_store(&f);
    SEND(&f.store, store_loaded, .stored_seq = 0);
    (void)EXPECT(&f.control, room_ready, ROOM_READY);
    finish(&f);
}

Test(orphan, with_clients_it_stays)
{
    struct fixture f;
    start_ready(&f, SOON_MS);
    stop_listening(&f);

    struct peer link = new_link(&f, 1);
    SEND(&f.store, store_stored, .stored_seq = 1);
    (void)EXPECT(&link, room_stored, ROOM_STORED);
    lose_supervisor(&f);
    struct pollfd pfd = {.fd = link.fd, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 5 * SOON_MS), 0);
    SEND(&link, session_update, .session = 1, .op = 2, .format = CRDT_V1,
         .update = CHAR_UPDATE(2, 'x'));
    (void)EXPECT(&link, room_update, ROOM_UPDATE);
    (void)EXPECT(&link, room_applied, ROOM_APPLIED);
    /* The last one leaves: it waits for the store, and ends. */
    peer_close(&link);
    (void)EXPECT(&f.store, store_dirty, STORE_DIRTY);
    (void)EXPECT(&f.store, store_dirty, STORE_DIRTY);
    SEND(&f.store, store_stored, .stored_seq = 2);
    expect_exit(&f, ROOM_EXIT_CLOSED);
    cr_assert(flags_of(&f) & SEGMENT_CLOSED);
    finish(&f);
}

/* The segment keeps what no store takes. */
Test(orphan, without_clients_and_store_it_ends)
{
    struct fixture f;
    start_ready(&f, SOON_MS);
    stop_listening(&f);

    struct peer link = new_link(&f, 1);
    lose_supervisor(&f);
    peer_close(&f.store);
    peer_close(&link);
    expect_exit(&f, ROOM_EXIT_FAILED);
    cr_assert_not(flags_of(&f) & SEGMENT_CLOSED);
    finish(&f);
}

Test(orphan, without_a_segment_there_is_nothing_to_keep)
{
    struct fixture f;
    start(&f, NEVER_MS);

    lose_supervisor(&f);
    expect_exit(&f, ROOM_EXIT_FAILED);
    finish(&f);
}

Test(orphan, a_supervisor_that_went_down_in_order_is_not_waited_for)
{
    struct fixture f;
    start_ready(&f, NEVER_MS);

    struct peer link = new_link(&f, 1);
    peer_send(&f.control, proto_encode_room_shutdown(&(struct msg_room_shutdown){}));
    lose_supervisor(&f);
    expect_exit(&f, ROOM_EXIT_FAILED);
    peer_close(&link);
    finish(&f);
}
