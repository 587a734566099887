/* Rooms that outlive their supervisor. */
#include "supervisor_fixture.h"

#include "common/ipc.h"
#include "crdt/crdt.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* A process that does not end must not hold the tests up. */
TestSuite(adopt, .timeout = 60);

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

Test(adopt, a_room_outlives_its_supervisors)
{
    struct fixture f;
    struct peer store, link;

    fixture_start_demo(&f, &store, &link);
    pid_t pid = fixture_room_pid(&f);
    for (uint8_t i = 0; i < 3; i++) {
        fixture_end_supervisor(&f, SIGKILL);
        /* Nobody supervises: edits are taken, and stored. */
        send_next_edit(&link, &store, 2 * i + 1, 2 * i + 1);
        expect_locked(&f);
        fixture_start_supervisor(&f);
        /* Somebody else joins the same process. */
        fixture_ask(&f, "demo");
        struct peer other = fixture_take_link(&f);
        cr_assert_eq(fixture_room_pid(&f), pid);
        expect_locked(&f);
        peer_close(&other);
        send_next_edit(&link, &store, 2 * i + 2, 2 * i + 2);
    }
    peer_close(&link); /* adopted, it closes as any other */
    peer_expect_end(&store);
    fixture_expect_closed(&f);
    peer_close(&store);
    fixture_end_supervisor(&f, SIGTERM);
    fixture_finish(&f);
}

/* Its connection to the store breaks while nobody can give it another. */
Test(adopt, an_adopted_room_gets_its_store_again)
{
    struct fixture f;
    struct peer store, link;

    fixture_start_demo(&f, &store, &link);
    fixture_end_supervisor(&f, SIGKILL);
    peer_close(&store);
    make_edit(&link, 1);
    fixture_start_supervisor(&f);
    store = fixture_serve_store(&f, true);
    SEND(&store, store_stored, .stored_seq = 1);
    cr_assert_eq(EXPECT(&link, room_stored, ROOM_STORED).stored_seq, 1);
    peer_close(&link);
    peer_expect_end(&store);
    peer_close(&store);
    fixture_end_supervisor(&f, SIGTERM);
    fixture_expect_closed(&f);
    fixture_finish(&f);
}

Test(adopt, an_adopted_room_that_crashes_is_started_again)
{
    struct fixture f;
    struct peer store, link;

    fixture_start_demo(&f, &store, &link);
    make_edit(&link, 1);
    fixture_end_supervisor(&f, SIGKILL);
    fixture_start_supervisor(&f);
    fixture_ask(&f, "demo");
    struct peer other = fixture_take_link(&f);
    pid_t pid = fixture_room_pid(&f);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    peer_expect_end(&link);
    peer_close(&link);
    peer_close(&other);
    peer_close(&store);
    store = fixture_serve_store(&f, true);
    cr_assert_neq(fixture_new_room_pid(&f, pid), pid);
    SEND(&store, store_stored, .stored_seq = 1);
    peer_expect_end(&store);
    peer_close(&store);
    fixture_end_supervisor(&f, SIGTERM);
    fixture_expect_closed(&f);
    fixture_finish(&f);
}

/* Who asks for it meanwhile waits; there is no second one. */
Test(adopt, a_stopped_room_is_adopted_when_it_goes_on)
{
    struct fixture f;
    struct peer store, link;

    fixture_start_demo(&f, &store, &link);
    pid_t pid = fixture_room_pid(&f);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    fixture_end_supervisor(&f, SIGKILL);
    fixture_start_supervisor(&f);
    fixture_ask(&f, "demo");
    struct pollfd pfd = {.fd = f.gateway.fd, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 300), 0, "nobody answers for a stopped room");
    expect_locked(&f);
    cr_assert_eq(kill(pid, SIGCONT), 0);
    struct peer other = fixture_take_link(&f);
    cr_assert_eq(fixture_room_pid(&f), pid);
    send_next_edit(&link, &store, 1, 1);
    (void)EXPECT(&other, room_update, ROOM_UPDATE);
    peer_close(&other);
    fixture_finish_demo(&f, &store, &link, SIGTERM);
}

/* A stop ends rooms in order, and in time those that cannot: no supervisor is meant to come. */
Test(adopt, a_stop_ends_adopted_rooms)
{
    struct fixture f;
    struct peer store, link;

    fixture_start_demo(&f, &store, &link);
    pid_t pid = fixture_room_pid(&f);
    fixture_end_supervisor(&f, SIGKILL);
    fixture_start_supervisor(&f);
    fixture_ask(&f, "demo");
    struct peer other = fixture_take_link(&f);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    fixture_end_supervisor(&f, SIGTERM);
    peer_expect_end(&link);
    cr_assert_eq(waitpid(pid, NULL, 0), pid); /* by now it is a child of the test */
    peer_close(&link);
    peer_close(&other);
    peer_close(&store);
    fixture_finish(&f);
}

/* A process that says it is a room and shows the file at `path`. It does not live on. */
static void expect_killed_impostor(const struct fixture *f, const char *path)
{
    char *socket_path CLEANUP_FREE = config_adopt_socket(&f->config);
    int status;
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
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
Test(adopt, an_impostor_is_not_adopted)
{
    struct fixture f;
    fixture_start(&f);
    char *dir CLEANUP_FREE = config_rooms_dir(&f.config);
    char hash[NAME_HASH_HEX + 1];

    hash_of_demo(hash);
    char *segment CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    char *other CLEANUP_FREE = xasprintf("%s/other", f.dir);
    fixture_ask(&f, "demo");
    struct peer store = fixture_serve_store(&f, false);
    struct peer link = fixture_take_link(&f);
    pid_t pid = fixture_room_pid(&f);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    fixture_end_supervisor(&f, SIGKILL);
    fixture_start_supervisor(&f);
    expect_killed_impostor(&f, segment); /* which the room has locked */
    expect_killed_impostor(&f, other);
    cr_assert_eq(kill(pid, SIGCONT), 0);
    fixture_ask(&f, "demo");
    struct peer second = fixture_take_link(&f);
    cr_assert_eq(fixture_room_pid(&f), pid);
    expect_killed_impostor(&f, segment);
    send_next_edit(&link, &store, 1, 1);
    peer_close(&second);
    peer_close(&link);
    peer_expect_end(&store);
    peer_close(&store);
    fixture_end_supervisor(&f, SIGTERM);
    fixture_finish(&f);
}
