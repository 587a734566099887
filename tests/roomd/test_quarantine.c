/* Rooms that are not started again. */
#include "supervisor_fixture.h"

#include "common/quarantine.h"
#include "crdt/crdt.h"
#include "proto/refusal.h"
#include "roomd/slot_state.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>

/* A process that does not end must not hold the tests up. */
TestSuite(quarantine, .timeout = 60);

/* Kills the room of `link` so often that it is quarantined, with an open that waits for it. */
static void crash_until_quarantined(struct fixture *f, struct peer *store, struct peer *link)
{
    pid_t pid = fixture_room_pid(f);

    for (unsigned i = 1; i < SLOT_CRASHES_MAX; i++) {
        cr_assert_eq(kill(pid, SIGKILL), 0);
        peer_expect_end(link);
        peer_close(link);
        peer_close(store);
        fixture_ask(f, "demo");
        *store = fixture_serve_store(f, true);
        *link = fixture_take_link(f);
        pid = fixture_new_room_pid(f, pid);
    }
    cr_assert_eq(kill(pid, SIGTRAP), 0);
    peer_expect_end(link);
    peer_close(link);
    peer_close(store);
}

Test(quarantine, a_room_that_crashes_again_and_again_is_quarantined)
{
    char hash[NAME_HASH_HEX + 1];
    struct segment_view *v;
    struct quarantine q;
    struct fixture f;
    fixture_start(&f);
    char *dir CLEANUP_FREE = config_rooms_dir(&f.config);

    hash_of_demo(hash);
    fixture_ask(&f, "demo");
    struct peer store = fixture_serve_store(&f, false);
    struct peer link = fixture_take_link(&f);
    make_edit(&link, 1);
    crash_until_quarantined(&f, &store, &link);
    /* Parked meanwhile or asked later: the same answer. */
    cr_assert_eq(fixture_refusal(&f), REFUSAL_ROOM_QUARANTINED);
    cr_assert_eq(fixture_refusal(&f), REFUSAL_ROOM_QUARANTINED);
    cr_assert_eq(quarantine_read(dir, hash, &q), 0);
    cr_assert_eq(q.reason, QUARANTINE_CRASHES);
    cr_assert_eq(q.crashes, SLOT_CRASHES_MAX);
    cr_assert_eq(q.last_signal, SIGTRAP);
    cr_assert_str_eq(q.room, "demo");
    /* Its bytes are kept. */
    cr_assert_eq(fixture_open_segment(&f, &v), 0);
    cr_assert_eq(atomic_load(&segment_view_header(v)->last_seq), 1);
    segment_view_free(v);

    /* Neither a new supervisor starts it. */
    fixture_end_supervisor(&f, SIGTERM);
    fixture_start_supervisor(&f);
    cr_assert_eq(fixture_refusal(&f), REFUSAL_ROOM_QUARANTINED);

    /* Released, it is there again with all it had. */
    cr_assert_eq(quarantine_clear(dir, hash), 0);
    fixture_ask(&f, "demo");
    store = fixture_serve_store(&f, true);
    link = fixture_take_link(&f);
    SEND(&link, session_join, .session = 1, .format = CRDT_V1);
    SEND(&link, session_update, .session = 1, .op = 2, .format = CRDT_V1,
         .update = CHAR_UPDATE(1, 'x'));
    cr_assert_eq(EXPECT(&link, room_applied, ROOM_APPLIED).seq, 1);
    fixture_finish_demo(&f, &store, &link, SIGKILL);
}

/* Starting a room on a damaged segment does not help: not once more, and not for the next one. */
Test(quarantine, a_damaged_segment_is_quarantined_at_once)
{
    char hash[NAME_HASH_HEX + 1];
    struct quarantine q;
    struct fixture f;
    fixture_start(&f);
    char *dir CLEANUP_FREE = config_rooms_dir(&f.config);

    hash_of_demo(hash);
    fixture_ask(&f, "demo");
    struct peer store = fixture_serve_store(&f, false);
    struct peer link = fixture_take_link(&f);
    make_edit(&link, 1);
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    int fd CLEANUP_FD = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(kill(f.pid, SIGSTOP), 0);
    cr_assert_eq(kill(fixture_room_pid(&f), SIGKILL), 0);
    peer_expect_end(&link);
    /* The author of the first record, which its checksum covers. */
    cr_assert_eq(pwrite(fd, "\xff", 1, SEGMENT_HEADER_BYTES + 8 + 16), 1);
    cr_assert_eq(kill(f.pid, SIGCONT), 0);
    peer_close(&link);
    peer_close(&store);

    cr_assert_eq(fixture_refusal(&f), REFUSAL_ROOM_QUARANTINED);
    cr_assert_eq(quarantine_read(dir, hash, &q), 0);
    cr_assert_eq(q.reason, QUARANTINE_DAMAGE);
    cr_assert_not_null(strstr(q.detail, "record 1"));
    fixture_end_supervisor(&f, SIGTERM);
    fixture_finish(&f);
}
