/* A real supervisor with real rooms in a temporary directory; the test plays gateway and snapshotd.
 */
#include "roomd/supervisor.h"

#include "common/ipc.h"
#include "common/names.h"
#include "common/segment.h"
#include "crdt/crdt.h"
#include "peer.h"
#include "proto/refusal.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define POLL_MS   5
#define POLLS_MAX 3000

struct fixture {
    char dir[64];
    struct config config;
    pid_t pid;
    int store_listener;
    struct peer store;   /* the supervisor's connection to snapshotd */
    struct peer gateway; /* ours to the supervisor */
    uint32_t requests;
};

static void run_supervisor(const struct fixture *f)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    log_init("roomd", LOG_LEVEL_ERROR);
    _exit(supervisor_run(&f->config));
}

static void connect_gateway(struct fixture *f)
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

static void accept_store(struct fixture *f)
{
    struct pollfd pfd = {.fd = f->store_listener, .events = POLLIN};

    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    f->store = peer_new(accept4(f->store_listener, NULL, NULL, SOCK_CLOEXEC));
    cr_assert_geq(f->store.fd, 0);
}

static void start_supervisor(struct fixture *f)
{
    f->pid = fork();
    cr_assert_geq(f->pid, 0);
    if (f->pid == 0)
        run_supervisor(f);
    connect_gateway(f);
    accept_store(f);
}

static void setup(struct fixture *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char *path;
    int rest;

    *f = (struct fixture){.dir = "/tmp/concord-roomd-XXXXXX"};
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
    start_supervisor(f);
}

/* `sig` 0: it ends on its own, in order. */
static void end_supervisor(struct fixture *f, int sig)
{
    int status;

    (void)kill(f->pid, sig);
    cr_assert_eq(waitpid(f->pid, &status, 0), f->pid);
    if (sig != SIGKILL)
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    peer_close(&f->gateway);
    peer_close(&f->store);
}

static void teardown(struct fixture *f)
{
    char *command = xasprintf("rm -rf '%s'", f->dir);

    (void)close(f->store_listener);
    config_done(&f->config);
    cr_assert_eq(system(command), 0);
    free(command);
}

/* snapshotd's part: takes the next room and answers that the store holds nothing beyond it. */
static struct peer serve_store(struct fixture *f, bool has_segment)
{
    struct msg_store_room room = EXPECT(&f->store, store_room, STORE_ROOM);

    cr_assert(slice_equal(room.room, slice_str("demo")));
    struct peer store = peer_new(peer_take_fd(&f->store));
    struct msg_store_open m = EXPECT(&store, store_open, STORE_OPEN);
    cr_assert_eq(m.has_segment, has_segment);
    SEND(&store, store_loaded, .stored_seq = 0);
    return store;
}

static void ask(struct fixture *f, const char *room)
{
    SEND(&f->gateway, room_open, .request = ++f->requests, .tenant = slice_str("default"),
         .room = slice_str(room));
}

/* The link that the last ask() brings. */
static struct peer take_link(struct fixture *f)
{
    struct msg_room_opened m = EXPECT(&f->gateway, room_opened, ROOM_OPENED);

    cr_assert_eq(m.request, f->requests);
    struct peer link = peer_new(peer_take_fd(&f->gateway));
    SEND(&link, link_open, .has_seen = false);
    (void)EXPECT(&link, room_stored, ROOM_STORED);
    return link;
}

static void make_edit(struct peer *link, uint8_t client)
{
    SEND(link, session_join, .session = client, .format = CRDT_V1);
    SEND(link, session_update, .session = client, .op = 1, .format = CRDT_V1,
         .update = CHAR_UPDATE(client, 'x'));
    (void)EXPECT(link, room_update, ROOM_UPDATE);
    (void)EXPECT(link, room_applied, ROOM_APPLIED);
}

static int open_segment(const struct fixture *f, struct segment_view **ret_view)
{
    char *dir CLEANUP_FREE = config_rooms_dir(&f->config);

    return segment_view_open_room(dir, slice_str("default"), slice_str("demo"), ret_view);
}

static pid_t room_pid(const struct fixture *f)
{
    struct segment_view *v;

    cr_assert_eq(open_segment(f, &v), 0);
    pid_t pid = (pid_t)atomic_load(&segment_view_header(v)->pid);
    segment_view_free(v);
    return pid;
}

/* Another process than `before` has opened the segment. */
static pid_t new_room_pid(const struct fixture *f, pid_t before)
{
    pid_t pid = room_pid(f);

    for (int i = 0; i < POLLS_MAX && pid == before; i++) {
        (void)poll(NULL, 0, POLL_MS);
        pid = room_pid(f);
    }
    cr_assert_neq(pid, before);
    return pid;
}

static void wait_until_closed(const struct fixture *f)
{
    struct segment_view *v;
    int r = 0;

    for (int i = 0; i < POLLS_MAX && (r = open_segment(f, &v)) != -ENOENT; i++) {
        if (r == 0)
            segment_view_free(v);
        (void)poll(NULL, 0, POLL_MS);
    }
    cr_assert_eq(r, -ENOENT, "the segment is still there");
}

Test(supervisor, a_room_opens_stores_and_closes)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    make_edit(&link, 1);
    cr_assert_eq(EXPECT(&store, store_dirty, STORE_DIRTY).last_seq, 1);
    peer_close(&link);
    SEND(&store, store_stored, .stored_seq = 1);
    peer_expect_end(&store);
    wait_until_closed(&f);
    peer_close(&store);
    end_supervisor(&f, SIGTERM);
    teardown(&f);
}

/* Every open is answered with a room that lives, whenever it comes while the room closes. */
Test(supervisor, nobody_joins_a_dying_room)
{
    struct fixture f;
    setup(&f);

    for (int i = 0; i < 60; i++) {
        ask(&f, "demo");
        /* Either the room was still there, or a new one starts, which wants its store. */
        struct pollfd fds[2] = {{.fd = f.gateway.fd, .events = POLLIN},
                                {.fd = f.store.fd, .events = POLLIN}};
        struct peer store = {.fd = -1};
        cr_assert_gt(poll(fds, 2, 10000), 0);
        if (!(fds[0].revents & POLLIN))
            store = serve_store(&f, false);
        struct peer link = take_link(&f);
        SEND(&link, session_join, .session = 1, .format = CRDT_V1);
        SEND(&link, session_sync, .session = 1, .op = 1, .state_vector = slice_of("\0", 1));
        (void)EXPECT(&link, room_sync, ROOM_SYNC);
        peer_close(&link);
        if (i % 3 == 0)
            (void)poll(NULL, 0, i % 7); /* ask at different moments of its end */
        if (store.fd >= 0)
            peer_close(&store);
    }
    end_supervisor(&f, SIGTERM);
    teardown(&f);
}

Test(supervisor, a_killed_room_is_started_from_its_segment)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    make_edit(&link, 1);
    cr_assert_eq(kill(room_pid(&f), SIGKILL), 0);
    peer_expect_end(&link);
    peer_close(&link);
    peer_close(&store);
    ask(&f, "demo"); /* parked until it is back */
    store = serve_store(&f, true);
    link = take_link(&f);
    SEND(&link, session_join, .session = 1, .format = CRDT_V1);
    SEND(&link, session_update, .session = 1, .op = 2, .format = CRDT_V1,
         .update = CHAR_UPDATE(1, 'x'));
    cr_assert_eq(EXPECT(&link, room_applied, ROOM_APPLIED).seq, 1); /* it is all there */
    peer_close(&link);
    peer_close(&store);
    end_supervisor(&f, SIGKILL);
    teardown(&f);
}

/* What is not stored must get there although nobody asks for the room. */
Test(supervisor, the_next_supervisor_opens_what_was_left)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    make_edit(&link, 1);
    end_supervisor(&f, SIGKILL);
    peer_expect_end(&link); /* its rooms die with it */
    peer_close(&link);
    peer_close(&store);

    start_supervisor(&f);
    store = serve_store(&f, true);
    SEND(&store, store_stored, .stored_seq = 1);
    peer_expect_end(&store);
    peer_close(&store);
    wait_until_closed(&f);
    end_supervisor(&f, SIGTERM);
    teardown(&f);
}

Test(supervisor, a_new_snapshotd_gets_every_room)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    peer_close(&f.store);
    peer_close(&store);
    make_edit(&link, 1); /* works all the same */
    accept_store(&f);
    store = serve_store(&f, true);
    SEND(&store, store_stored, .stored_seq = 1);
    cr_assert_eq(EXPECT(&link, room_stored, ROOM_STORED).stored_seq, 1);
    peer_close(&link);
    peer_expect_end(&store);
    peer_close(&store);
    end_supervisor(&f, SIGTERM);
    teardown(&f);
}

Test(supervisor, refusals)
{
    struct fixture f;
    setup(&f);

    ask(&f, "");
    struct msg_room_refused m = EXPECT(&f.gateway, room_refused, ROOM_REFUSED);
    cr_assert_eq(m.request, f.requests);
    cr_assert_eq(m.refusal, REFUSAL_BAD_NAME);
    ask(&f, "\xff");
    cr_assert_eq(EXPECT(&f.gateway, room_refused, ROOM_REFUSED).refusal, REFUSAL_BAD_NAME);

    ask(&f, "demo");
    (void)EXPECT(&f.store, store_room, STORE_ROOM);
    struct peer store = peer_new(peer_take_fd(&f.store));
    (void)EXPECT(&store, store_open, STORE_OPEN);
    SEND(&store, store_failed, .refusal = REFUSAL_LOAD_FAILED);
    m = EXPECT(&f.gateway, room_refused, ROOM_REFUSED);
    cr_assert_eq(m.request, f.requests);
    cr_assert_eq(m.refusal, REFUSAL_LOAD_FAILED);
    peer_expect_end(&store);
    peer_close(&store);
    /* It held nothing, so nothing is left of it. */
    wait_until_closed(&f);
    ask(&f, "demo");
    store = serve_store(&f, false);
    struct peer link = take_link(&f);
    peer_close(&link);
    peer_close(&store);
    end_supervisor(&f, SIGKILL);
    teardown(&f);
}

/* The store does not answer: nobody waits forever, and the room is there once it does. */
Test(supervisor, an_open_waits_only_so_long)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    (void)EXPECT(&f.store, store_room, STORE_ROOM);
    struct peer store = peer_new(peer_take_fd(&f.store));
    (void)EXPECT(&store, store_open, STORE_OPEN);
    struct msg_room_refused m = EXPECT(&f.gateway, room_refused, ROOM_REFUSED);
    cr_assert_eq(m.request, f.requests);
    cr_assert_eq(m.refusal, REFUSAL_UNAVAILABLE);
    ask(&f, "demo");
    SEND(&store, store_loaded, .stored_seq = 0);
    struct peer link = take_link(&f);
    peer_close(&link);
    peer_close(&store);
    end_supervisor(&f, SIGKILL);
    teardown(&f);
}

/* More than a connection carries descriptors at a time, in both directions. */
Test(supervisor, many_rooms_at_once)
{
    enum { ROOMS = 150 };
    struct peer *stores = xcalloc(ROOMS, sizeof(*stores));
    struct peer *links = xcalloc(ROOMS, sizeof(*links));
    size_t opened = 0;
    size_t served = 0;
    struct fixture f;
    setup(&f);

    for (unsigned i = 0; i < ROOMS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "room-%u", i);
        ask(&f, name);
    }
    while (opened < ROOMS) {
        struct pollfd fds[2] = {{.fd = f.gateway.fd, .events = POLLIN},
                                {.fd = f.store.fd, .events = POLLIN}};
        cr_assert_gt(poll(fds, 2, 10000), 0);
        if (fds[0].revents & POLLIN) {
            (void)EXPECT(&f.gateway, room_opened, ROOM_OPENED);
            links[opened++] = peer_new(peer_take_fd(&f.gateway));
        } else {
            (void)EXPECT(&f.store, store_room, STORE_ROOM);
            stores[served] = peer_new(peer_take_fd(&f.store));
            (void)EXPECT(&stores[served], store_open, STORE_OPEN);
            SEND(&stores[served], store_loaded, .stored_seq = 0);
            served++;
        }
    }
    for (size_t i = 0; i < ROOMS; i++) {
        SEND(&links[i], link_open, .has_seen = false);
        (void)EXPECT(&links[i], room_stored, ROOM_STORED);
        peer_close(&links[i]);
    }
    end_supervisor(&f, SIGTERM);
    for (size_t i = 0; i < served; i++)
        peer_close(&stores[i]);
    free(stores);
    free(links);
    teardown(&f);
}

/* A room that crashed, and segments that nobody has got to yet: a stop stores them first. */
Test(supervisor, a_stop_stores_what_was_left)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    make_edit(&link, 1);
    pid_t pid = room_pid(&f);
    end_supervisor(&f, SIGKILL);
    peer_expect_end(&link);
    peer_close(&link);
    peer_close(&store);

    start_supervisor(&f);
    store = serve_store(&f, true);
    pid = new_room_pid(&f, pid);
    cr_assert_eq(kill(f.pid, SIGTERM), 0);
    cr_assert_eq(kill(pid, SIGKILL), 0); /* in the middle of its end */
    peer_expect_end(&store);
    peer_close(&store);
    store = serve_store(&f, true);
    SEND(&store, store_stored, .stored_seq = 1);
    peer_expect_end(&store);
    peer_close(&store);
    end_supervisor(&f, 0);
    wait_until_closed(&f);
    teardown(&f);
}

/* With clients and without a store, the end is in time and the segment keeps the edit. */
Test(supervisor, a_stop_waits_only_so_long)
{
    struct fixture f;
    struct segment_view *v;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    make_edit(&link, 1);
    end_supervisor(&f, SIGTERM);
    peer_expect_end(&link);
    cr_assert_eq(open_segment(&f, &v), 0);
    cr_assert_eq(atomic_load(&segment_view_header(v)->last_seq), 1);
    cr_assert(!(atomic_load(&segment_view_header(v)->flags) & SEGMENT_CLOSED));
    segment_view_free(v);
    peer_close(&link);
    peer_close(&store);
    teardown(&f);
}
