/* A real supervisor with real rooms in a temporary directory; the test plays gateway and snapshotd.
 */
#include "roomd/supervisor.h"

#include "common/ipc.h"
#include "common/names.h"
#include "common/quarantine.h"
#include "common/segment.h"
#include "crdt/crdt.h"
#include "peer.h"
#include "proto/refusal.h"
#include "roomd/slot_state.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
    (void)close_range(3, UINT_MAX, 0); /* the test's ends of connections */
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
    /* Rooms that lose their supervisor become this process's, and do not outlive it. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
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

static void kill_rooms(void)
{
    char *path CLEANUP_FREE = xasprintf("/proc/self/task/%d/children", (int)getpid());
    FILE *children = fopen(path, "r");
    int pid;

    cr_assert_not_null(children);
    while (fscanf(children, "%d", &pid) == 1)
        (void)kill(pid, SIGKILL);
    (void)fclose(children);
    while (waitpid(-1, NULL, 0) > 0)
        continue;
}

static void teardown(struct fixture *f)
{
    kill_rooms();
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
    (void)EXPECT(&link, link_welcome, LINK_WELCOME);
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

/* A process that does not end must not hold the tests up. */
TestSuite(supervisor, .timeout = 60);

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
        SEND(&link, session_update, .session = 1, .op = 1, .format = 9);
        (void)EXPECT(&link, room_rejected, ROOM_REJECTED);
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
    pid_t pid = room_pid(&f);
    end_supervisor(&f, SIGKILL);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    peer_expect_end(&link);
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
        (void)EXPECT(&links[i], link_welcome, LINK_WELCOME);
        peer_close(&links[i]);
    }
    end_supervisor(&f, SIGTERM);
    for (size_t i = 0; i < served; i++)
        peer_close(&stores[i]);
    free(stores);
    free(links);
    teardown(&f);
}

/* More links than the connections take, of the room and of the gateway. */
enum { LINKS_PER_BATCH = 100, MANY_LINKS = 4 * LINKS_PER_BATCH };

static size_t take_opened(struct fixture *f)
{
    (void)EXPECT(&f->gateway, room_opened, ROOM_OPENED);
    (void)close(peer_take_fd(&f->gateway));
    return 1;
}

/* Asks MANY_LINKS times; returns how many links came until all requests were looked at. */
static size_t ask_for_many_links(struct fixture *f)
{
    size_t opened = 0;

    for (size_t i = 0; i < MANY_LINKS; i += LINKS_PER_BATCH) {
        for (size_t j = 0; j < LINKS_PER_BATCH; j++)
            ask(f, "demo");
        ask(f, ""); /* refused at once, when those before it have been looked at */
        while (peer_peek(&f->gateway) == PROTO_ROOM_OPENED)
            opened += take_opened(f);
        struct msg_room_refused m = EXPECT(&f->gateway, room_refused, ROOM_REFUSED);
        cr_assert_eq(m.request, f->requests);
    }
    return opened;
}

/* They are all for one room, and granted in one turn while the gateway does not read. */
Test(supervisor, links_wait_for_a_gateway_that_reads_late)
{
    struct fixture f;
    setup(&f);

    size_t opened = ask_for_many_links(&f);
    cr_assert_eq(opened, 0);
    struct peer store = serve_store(&f, false);
    struct pollfd pfd = {.fd = f.gateway.fd, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    struct fixture other = f; /* when that gateway has its answer, the turn is over */
    connect_gateway(&other);
    ask(&other, "");
    (void)EXPECT(&other.gateway, room_refused, ROOM_REFUSED);
    peer_close(&other.gateway);
    while (opened < MANY_LINKS)
        opened += take_opened(&f);
    peer_close(&store);
    end_supervisor(&f, SIGTERM);
    teardown(&f);
}

Test(supervisor, links_wait_for_a_room_that_reads_late)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    pid_t pid = room_pid(&f);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    size_t opened = ask_for_many_links(&f);
    cr_assert_lt(opened, MANY_LINKS);
    cr_assert_eq(kill(pid, SIGCONT), 0);
    while (opened < MANY_LINKS)
        opened += take_opened(&f);
    peer_close(&link);
    peer_close(&store);
    end_supervisor(&f, SIGTERM);
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
    cr_assert_eq(kill(pid, SIGKILL), 0);
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

/* ---- quarantine ---- */

static void hash_of_demo(char ret_hash[NAME_HASH_HEX + 1])
{
    name_hash(slice_str("default"), slice_str("demo"), ret_hash);
}

static uint32_t refusal_of_demo(struct fixture *f)
{
    ask(f, "demo");
    struct msg_room_refused m = EXPECT(&f->gateway, room_refused, ROOM_REFUSED);
    cr_assert_eq(m.request, f->requests);
    return m.refusal;
}

/* Kills the room of `link` so often that it is quarantined, with an open that waits for it. */
static void crash_until_quarantined(struct fixture *f, struct peer *store, struct peer *link)
{
    pid_t pid = room_pid(f);

    for (unsigned i = 1; i < SLOT_CRASHES_MAX; i++) {
        cr_assert_eq(kill(pid, SIGKILL), 0);
        peer_expect_end(link);
        peer_close(link);
        peer_close(store);
        ask(f, "demo");
        *store = serve_store(f, true);
        *link = take_link(f);
        pid = new_room_pid(f, pid);
    }
    cr_assert_eq(kill(pid, SIGTRAP), 0);
    peer_expect_end(link);
    peer_close(link);
    peer_close(store);
}

Test(supervisor, a_room_that_crashes_again_and_again_is_quarantined)
{
    char hash[NAME_HASH_HEX + 1];
    struct segment_view *v;
    struct quarantine q;
    struct fixture f;
    setup(&f);
    char *dir CLEANUP_FREE = config_rooms_dir(&f.config);

    hash_of_demo(hash);
    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    make_edit(&link, 1);
    crash_until_quarantined(&f, &store, &link);
    /* Parked meanwhile or asked later: the same answer. */
    cr_assert_eq(refusal_of_demo(&f), REFUSAL_ROOM_QUARANTINED);
    cr_assert_eq(refusal_of_demo(&f), REFUSAL_ROOM_QUARANTINED);
    cr_assert_eq(quarantine_read(dir, hash, &q), 0);
    cr_assert_eq(q.reason, QUARANTINE_CRASHES);
    cr_assert_eq(q.crashes, SLOT_CRASHES_MAX);
    cr_assert_eq(q.last_signal, SIGTRAP);
    cr_assert_str_eq(q.room, "demo");
    /* Its bytes are kept. */
    cr_assert_eq(open_segment(&f, &v), 0);
    cr_assert_eq(atomic_load(&segment_view_header(v)->last_seq), 1);
    segment_view_free(v);

    /* Neither a new supervisor starts it. */
    end_supervisor(&f, SIGTERM);
    start_supervisor(&f);
    cr_assert_eq(refusal_of_demo(&f), REFUSAL_ROOM_QUARANTINED);

    /* Released, it is there again with all it had. */
    cr_assert_eq(quarantine_clear(dir, hash), 0);
    ask(&f, "demo");
    store = serve_store(&f, true);
    link = take_link(&f);
    SEND(&link, session_join, .session = 1, .format = CRDT_V1);
    SEND(&link, session_update, .session = 1, .op = 2, .format = CRDT_V1,
         .update = CHAR_UPDATE(1, 'x'));
    cr_assert_eq(EXPECT(&link, room_applied, ROOM_APPLIED).seq, 1);
    peer_close(&link);
    peer_close(&store);
    end_supervisor(&f, SIGKILL);
    teardown(&f);
}

/* Starting a room on a damaged segment does not help: not once more, and not for the next one. */
Test(supervisor, a_damaged_segment_is_quarantined_at_once)
{
    char hash[NAME_HASH_HEX + 1];
    struct quarantine q;
    struct fixture f;
    setup(&f);
    char *dir CLEANUP_FREE = config_rooms_dir(&f.config);

    hash_of_demo(hash);
    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    make_edit(&link, 1);
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    int fd CLEANUP_FD = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(kill(f.pid, SIGSTOP), 0);
    cr_assert_eq(kill(room_pid(&f), SIGKILL), 0);
    peer_expect_end(&link);
    /* The author of the first record, which its checksum covers. */
    cr_assert_eq(pwrite(fd, "\xff", 1, SEGMENT_HEADER_BYTES + 8 + 16), 1);
    cr_assert_eq(kill(f.pid, SIGCONT), 0);
    peer_close(&link);
    peer_close(&store);

    cr_assert_eq(refusal_of_demo(&f), REFUSAL_ROOM_QUARANTINED);
    cr_assert_eq(quarantine_read(dir, hash, &q), 0);
    cr_assert_eq(q.reason, QUARANTINE_DAMAGE);
    cr_assert_not_null(strstr(q.detail, "record 1"));
    end_supervisor(&f, SIGTERM);
    teardown(&f);
}

/* ---- rooms that outlive their supervisor ---- */

/* Nobody but the room has the segment locked, whoever supervises it. */
static void expect_locked(const struct fixture *f)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *dir CLEANUP_FREE = config_rooms_dir(&f->config);
    char hash[NAME_HASH_HEX + 1];

    hash_of_demo(hash);
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    int fd CLEANUP_FD = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fcntl(fd, F_OFD_SETLK, &lock), -1);
    cr_assert(errno == EAGAIN || errno == EACCES);
}

static void send_next_edit(struct peer *link, struct peer *store, uint8_t client, uint64_t seq)
{
    SEND(link, session_join, .session = client, .format = CRDT_V1);
    SEND(link, session_update, .session = client, .op = seq, .format = CRDT_V1,
         .update = CHAR_UPDATE(client, 'x'));
    (void)EXPECT(link, room_update, ROOM_UPDATE);
    cr_assert_eq(EXPECT(link, room_applied, ROOM_APPLIED).seq, seq);
    cr_assert_eq(EXPECT(store, store_dirty, STORE_DIRTY).last_seq, seq);
    SEND(store, store_stored, .stored_seq = seq);
    cr_assert_eq(EXPECT(link, room_stored, ROOM_STORED).stored_seq, seq);
}

Test(supervisor, a_room_outlives_its_supervisors)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    pid_t pid = room_pid(&f);
    for (uint8_t i = 0; i < 3; i++) {
        end_supervisor(&f, SIGKILL);
        /* Nobody supervises: edits are taken, and stored. */
        send_next_edit(&link, &store, 2 * i + 1, 2 * i + 1);
        expect_locked(&f);
        start_supervisor(&f);
        /* Somebody else joins the same process. */
        ask(&f, "demo");
        struct peer other = take_link(&f);
        cr_assert_eq(room_pid(&f), pid);
        expect_locked(&f);
        peer_close(&other);
        send_next_edit(&link, &store, 2 * i + 2, 2 * i + 2);
    }
    peer_close(&link); /* adopted, it closes as any other */
    peer_expect_end(&store);
    wait_until_closed(&f);
    peer_close(&store);
    end_supervisor(&f, SIGTERM);
    teardown(&f);
}

/* Its connection to the store breaks while nobody can give it another. */
Test(supervisor, an_adopted_room_gets_its_store_again)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    end_supervisor(&f, SIGKILL);
    peer_close(&store);
    make_edit(&link, 1);
    start_supervisor(&f);
    store = serve_store(&f, true);
    SEND(&store, store_stored, .stored_seq = 1);
    cr_assert_eq(EXPECT(&link, room_stored, ROOM_STORED).stored_seq, 1);
    peer_close(&link);
    peer_expect_end(&store);
    peer_close(&store);
    end_supervisor(&f, SIGTERM);
    wait_until_closed(&f);
    teardown(&f);
}

Test(supervisor, an_adopted_room_that_crashes_is_started_again)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    make_edit(&link, 1);
    end_supervisor(&f, SIGKILL);
    start_supervisor(&f);
    ask(&f, "demo");
    struct peer other = take_link(&f);
    pid_t pid = room_pid(&f);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    peer_expect_end(&link);
    peer_close(&link);
    peer_close(&other);
    peer_close(&store);
    store = serve_store(&f, true);
    cr_assert_neq(new_room_pid(&f, pid), pid);
    SEND(&store, store_stored, .stored_seq = 1);
    peer_expect_end(&store);
    peer_close(&store);
    end_supervisor(&f, SIGTERM);
    wait_until_closed(&f);
    teardown(&f);
}

/* Who asks for it meanwhile waits; there is no second one. */
Test(supervisor, a_stopped_room_is_adopted_when_it_goes_on)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    pid_t pid = room_pid(&f);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    end_supervisor(&f, SIGKILL);
    start_supervisor(&f);
    ask(&f, "demo");
    struct pollfd pfd = {.fd = f.gateway.fd, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 300), 0, "nobody answers for a stopped room");
    expect_locked(&f);
    cr_assert_eq(kill(pid, SIGCONT), 0);
    struct peer other = take_link(&f);
    cr_assert_eq(room_pid(&f), pid);
    send_next_edit(&link, &store, 1, 1);
    (void)EXPECT(&other, room_update, ROOM_UPDATE);
    peer_close(&other);
    peer_close(&link);
    peer_close(&store);
    end_supervisor(&f, SIGTERM);
    teardown(&f);
}

/* A stop ends rooms in order, and in time those that cannot: no supervisor is meant to come. */
Test(supervisor, a_stop_ends_adopted_rooms)
{
    struct fixture f;
    setup(&f);

    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    pid_t pid = room_pid(&f);
    end_supervisor(&f, SIGKILL);
    start_supervisor(&f);
    ask(&f, "demo");
    struct peer other = take_link(&f);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    end_supervisor(&f, SIGTERM);
    peer_expect_end(&link);
    cr_assert_eq(waitpid(pid, NULL, 0), pid); /* by now it is a child of the test */
    peer_close(&link);
    peer_close(&other);
    peer_close(&store);
    teardown(&f);
}

/* A process that says it is a room and shows the file at `path`. It does not live on. */
static void expect_killed_impostor(const struct fixture *f, const char *path)
{
    char *socket_path CLEANUP_FREE = config_adopt_socket(&f->config);
    int status;
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        struct peer p = peer_new(ipc_connect(socket_path));
        struct msg_room_adopt m = {
            .tenant = slice_str("default"), .room = slice_str("demo"), .is_ready = true};
        peer_send_fd(&p, proto_encode_room_adopt(&m), open(path, O_RDWR | O_CREAT, 0600));
        (void)pause();
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s", path);
}

/* While a room is waited for, and when it has come: nobody else passes for it. */
Test(supervisor, an_impostor_is_not_adopted)
{
    struct fixture f;
    setup(&f);
    char *dir CLEANUP_FREE = config_rooms_dir(&f.config);
    char hash[NAME_HASH_HEX + 1];

    hash_of_demo(hash);
    char *segment CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    char *other CLEANUP_FREE = xasprintf("%s/other", f.dir);
    ask(&f, "demo");
    struct peer store = serve_store(&f, false);
    struct peer link = take_link(&f);
    pid_t pid = room_pid(&f);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    end_supervisor(&f, SIGKILL);
    start_supervisor(&f);
    expect_killed_impostor(&f, segment); /* which the room has locked */
    expect_killed_impostor(&f, other);
    cr_assert_eq(kill(pid, SIGCONT), 0);
    ask(&f, "demo");
    struct peer second = take_link(&f);
    cr_assert_eq(room_pid(&f), pid);
    expect_killed_impostor(&f, segment);
    send_next_edit(&link, &store, 1, 1);
    peer_close(&second);
    peer_close(&link);
    peer_expect_end(&store);
    peer_close(&store);
    end_supervisor(&f, SIGTERM);
    teardown(&f);
}
