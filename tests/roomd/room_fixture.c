#include "room_fixture.h"

#include "common/ipc.h"
#include "crdt/crdt.h"
#include "roomd/room.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void run_room(int control_fd, int segment_fd, uint32_t idle_ms)
{
    struct room_boot boot = {.tenant = slice_str("default"),
                             .room = slice_str("demo"),
                             .control_fd = control_fd,
                             .segment_fd = segment_fd,
                             .idle_ms = idle_ms,
                             .log_level = LOG_LEVEL_ERROR};

    log_init("room", LOG_LEVEL_ERROR);
    _exit(room_run(&boot));
}

void fixture_start(struct fixture *f)
{
    int fds[2];

    if (f->segment_fd <= 0)
        f->segment_fd = memfd_create("segment", MFD_CLOEXEC);
    cr_assert_eq(ipc_pair(fds), 0);
    f->pid = fork();
    cr_assert_geq(f->pid, 0);
    if (f->pid == 0) {
        (void)close(fds[0]);
        run_room(fds[1], fcntl(f->segment_fd, F_DUPFD_CLOEXEC, 0), f->is_hasty ? 0 : 60000);
    }
    (void)close(fds[1]);
    f->control = peer_new(fds[0]);
    f->links = 0;
}

void fixture_give_store(struct fixture *f)
{
    int fds[2];

    cr_assert_eq(ipc_pair(fds), 0);
    peer_send_fd(&f->control, proto_encode_room_store(&(struct msg_room_store){}), fds[1]);
    f->store = peer_new(fds[0]);
}

void fixture_start_ready(struct fixture *f, uint64_t last_seq)
{
    fixture_start(f);
    fixture_give_store(f);
    struct msg_store_open m = EXPECT(&f->store, store_open, STORE_OPEN);
    cr_assert_eq(m.has_segment, last_seq > 0);
    cr_assert_eq(m.last_seq, last_seq);
    SEND(&f->store, store_loaded, .stored_seq = 0);
    (void)EXPECT(&f->control, room_ready, ROOM_READY);
}

struct peer fixture_new_link(struct fixture *f, bool has_seen, uint64_t seen_seq)
{
    int fds[2];

    cr_assert_eq(ipc_pair(fds), 0);
    struct msg_room_link m = {.links = ++f->links};
    peer_send_fd(&f->control, proto_encode_room_link(&m), fds[1]);
    struct peer link = peer_new(fds[0]);
    SEND(&link, link_open, .has_seen = has_seen, .seen_seq = seen_seq, .lineage = f->lineage);
    struct msg_link_welcome welcome = EXPECT(&link, link_welcome, LINK_WELCOME);
    cr_assert_neq(welcome.lineage, 0);
    f->lineage = welcome.lineage;
    f->stored_seq = welcome.stored_seq;
    return link;
}

struct peer fixture_new_client(struct fixture *f, uint64_t session)
{
    struct peer link = fixture_new_link(f, false, 0);

    SEND(&link, session_join, .session = session, .format = CRDT_V1);
    return link;
}

void send_edit(struct peer *link, uint64_t session, uint64_t op, struct slice update)
{
    SEND(link, session_update, .session = session, .op = op, .format = CRDT_V1, .update = update);
}

int fixture_wait(struct fixture *f)
{
    int status;

    cr_assert_eq(waitpid(f->pid, &status, 0), f->pid);
    return status;
}

void fixture_expect_exit(struct fixture *f, int expected)
{
    int status = fixture_wait(f);

    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == expected, "status %x", (unsigned)status);
}

void fixture_finish(struct fixture *f)
{
    (void)kill(f->pid, SIGKILL);
    (void)fixture_wait(f);
    peer_close(&f->control);
    peer_close(&f->store);
    (void)close(f->segment_fd);
}

void fixture_crash(struct fixture *f, struct peer *link)
{
    (void)kill(f->pid, SIGKILL);
    (void)fixture_wait(f);
    peer_close(link);
    peer_close(&f->control);
    peer_close(&f->store);
}

void fixture_start_from(struct fixture *f, int fd, uint64_t seq)
{
    (void)close(f->segment_fd);
    f->segment_fd = fd;
    fixture_start_ready(f, seq);
}
