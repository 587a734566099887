/* A room and its segment: when it is replaced, when it cannot be written, whose numbers it holds.
 */
#include "common/segment.h"
#include "crdt/crdt.h"
#include "fault.h"
#include "proto/refusal.h"
#include "room_fixture.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/mman.h>

/* Edits until the log is long: the room asks for a file. Returns the sequence of the last. */
static uint64_t write_until_long(struct fixture *f, struct peer *link)
{
    static uint8_t bytes[12 + 40000] = {1, 1, 1, 0, 4, 1, 1, 't', 0xc0, 0xb8, 2};
    uint64_t seq = 0;

    memset(bytes + 11, 'x', 40000);
    for (uint8_t client = 1; client <= 7; client++) {
        bytes[2] = client;
        send_edit(link, 1, client, slice_of(bytes, sizeof(bytes)));
        (void)EXPECT(link, room_update, ROOM_UPDATE);
        seq = EXPECT(link, room_applied, ROOM_APPLIED).seq;
    }
    (void)EXPECT(&f->control, room_replace, ROOM_REPLACE);
    return seq;
}

/* Returns the file. */
static int give_next(struct fixture *f)
{
    struct msg_room_next m = {.has_file = true};
    int fd = memfd_create("next", MFD_CLOEXEC);

    peer_send_fd(&f->control, proto_encode_room_next(&m), fcntl(fd, F_DUPFD_CLOEXEC, 0));
    return fd;
}

static uint64_t edit_one(struct peer *link, uint8_t client)
{
    send_edit(link, 1, client, CHAR_UPDATE(client, 'y'));
    (void)EXPECT(link, room_update, ROOM_UPDATE);
    return EXPECT(link, room_applied, ROOM_APPLIED).seq;
}

static struct segment_view *view_of(int fd)
{
    struct segment_view *v;

    cr_assert_eq(segment_view_open(fcntl(fd, F_DUPFD_CLOEXEC, 0), &v), 0);
    return v;
}

Test(replacement, its_segment_is_replaced_while_clients_write)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);

    uint64_t base_seq = write_until_long(&f, &link);
    (void)edit_one(&link, 20);
    int next_fd = give_next(&f);
    (void)EXPECT(&f.control, room_rename, ROOM_RENAME);
    (void)edit_one(&link, 21);
    SEND(&f.control, room_renamed, .is_done = true);
    uint64_t seq = edit_one(&link, 22);
    struct segment_view *v = view_of(f.segment_fd);
    while (!(atomic_load(&segment_view_header(v)->flags) & SEGMENT_SUPERSEDED)) {
        seq = edit_one(&link, (uint8_t)(23 + seq - base_seq)); /* the answer is on its way */
        cr_assert_eq(segment_view_refresh(v), 0);
    }
    segment_view_free(v);

    v = view_of(next_fd);
    cr_assert_eq(segment_view_header(v)->lineage, f.lineage);
    cr_assert_eq(atomic_load(&segment_view_header(v)->pid), (uint32_t)f.pid);
    cr_assert_gt(segment_view_header(v)->base_seq, base_seq);
    segment_view_free(v);
    fixture_crash(&f, &link);
    fixture_start_from(&f, next_fd, seq);
    fixture_finish(&f);
}

/* Dead while both are written: each of them has all that was answered. */
Test(replacement, a_death_between_two_segments_loses_nothing)
{
    for (int i = 0; i < 2; i++) {
        struct fixture f = {0};
        fixture_start_ready(&f, 0);
        struct peer link = fixture_new_client(&f, 1);
        (void)write_until_long(&f, &link);
        int next_fd = give_next(&f);
        (void)EXPECT(&f.control, room_rename, ROOM_RENAME);
        uint64_t seq = edit_one(&link, 20);
        fixture_crash(&f, &link);
        if (i == 0) {
            (void)close(next_fd);
            next_fd = fcntl(f.segment_fd, F_DUPFD_CLOEXEC, 0);
        }
        fixture_start_from(&f, next_fd, seq);
        /* The same numbers go on: a gateway that has seen them misses nothing. */
        uint64_t lineage = f.lineage;
        link = fixture_new_link(&f, true, seq);
        cr_assert_eq(f.lineage, lineage);
        SEND(&link, session_join, .session = 1, .format = CRDT_V1);
        cr_assert_eq(edit_one(&link, 21), seq + 1);
        peer_close(&link);
        fixture_finish(&f);
    }
}

/* A room that died with a long log gets a next segment as soon as it runs. */
Test(replacement, a_long_log_is_replaced_after_a_crash)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);
    uint64_t seq = write_until_long(&f, &link);

    fixture_crash(&f, &link);
    fixture_start_from(&f, fcntl(f.segment_fd, F_DUPFD_CLOEXEC, 0), seq);
    (void)EXPECT(&f.control, room_replace, ROOM_REPLACE);
    fixture_finish(&f);
}

/* No file, no space, no name: it goes on with what it has, and asks again. */
Test(replacement, a_replacement_that_fails_is_tried_again)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);

    (void)write_until_long(&f, &link);
    SEND(&f.control, room_next, .has_file = false);
    (void)edit_one(&link, 20);
    (void)EXPECT(&f.control, room_replace, ROOM_REPLACE);
    fault_set("fallocate:next:1:ENOSPC:once");
    (void)close(give_next(&f));
    (void)EXPECT(&f.control, room_replace_failed, ROOM_REPLACE_FAILED);
    (void)edit_one(&link, 21);
    (void)EXPECT(&f.control, room_replace, ROOM_REPLACE);
    cr_assert_eq(fault_hits(), 1);
    (void)close(give_next(&f));
    (void)EXPECT(&f.control, room_rename, ROOM_RENAME);
    SEND(&f.control, room_renamed, .is_done = false);
    (void)edit_one(&link, 22);
    (void)EXPECT(&f.control, room_replace, ROOM_REPLACE);
    uint64_t seq = edit_one(&link, 23);
    fixture_crash(&f, &link);
    fixture_start_from(&f, fcntl(f.segment_fd, F_DUPFD_CLOEXEC, 0), seq);
    fixture_finish(&f);
}

/* ---- a disk that fails ---- */

Test(replacement, what_cannot_be_written_is_refused_and_the_room_lives)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);

    (void)edit_one(&link, 1);
    fault_set("pwritev:segment:1:EIO:once");
    send_edit(&link, 1, 2, CHAR_UPDATE(2, 'y'));
    struct msg_room_rejected rejected = EXPECT(&link, room_rejected, ROOM_REJECTED);
    cr_assert_eq(rejected.op, 2);
    cr_assert_eq(rejected.refusal, REFUSAL_STORAGE_FULL);
    cr_assert_eq(fault_hits(), 1);
    (void)EXPECT(&f.control, room_detached, ROOM_DETACHED);
    cr_assert_eq(edit_one(&link, 3), 2);
    send_edit(&link, 1, 4, CHAR_UPDATE(2, 'y')); /* the client tries again */
    cr_assert_eq(EXPECT(&link, room_update, ROOM_UPDATE).seq, 3);
    cr_assert_eq(EXPECT(&link, room_applied, ROOM_APPLIED).seq, 3);
    fixture_crash(&f, &link);
    fixture_start_from(&f, fcntl(f.segment_fd, F_DUPFD_CLOEXEC, 0), 3);
    fixture_finish(&f);
}

/* The store brings what the segment lacks, and there is no space for it: the room serves what it
 * has.
 */
Test(replacement, a_full_disk_at_the_start_does_not_keep_clients_out)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);
    (void)edit_one(&link, 1);
    fixture_crash(&f, &link);

    fault_set("fallocate:segment:1:ENOSPC:on");
    fixture_start(&f);
    fixture_give_store(&f);
    (void)EXPECT(&f.store, store_open, STORE_OPEN);
    SEND(&f.store, store_update, .update = CHAR_UPDATE(2, 'b'));
    SEND(&f.store, store_loaded, .stored_seq = 9);
    (void)EXPECT(&f.control, room_detached, ROOM_DETACHED);
    (void)EXPECT(&f.control, room_ready, ROOM_READY);
    link = fixture_new_client(&f, 1);
    cr_assert_eq(f.stored_seq, 0);
    send_edit(&link, 1, 1, CHAR_UPDATE(3, 'c'));
    cr_assert_eq(EXPECT(&link, room_rejected, ROOM_REJECTED).refusal, REFUSAL_STORAGE_FULL);
    fault_set(NULL);
    peer_close(&f.store);
    fixture_give_store(&f);
    (void)EXPECT(&f.store, store_open, STORE_OPEN);
    SEND(&f.store, store_loaded, .stored_seq = 9);
    cr_assert_eq(EXPECT(&link, room_update, ROOM_UPDATE).seq, 10); /* restated */
    cr_assert_eq(EXPECT(&f.store, store_dirty, STORE_DIRTY).last_seq, 10);
    cr_assert_eq(edit_one(&link, 4), 11);
    peer_close(&link);
    fixture_finish(&f);
}

Test(replacement, a_gateway_of_another_lineage_gets_the_whole_document)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);

    uint64_t seq = edit_one(&link, 1);
    f.lineage ^= 1;
    struct peer other = fixture_new_link(&f, true, seq + 5);
    struct msg_room_update m = EXPECT(&other, room_update, ROOM_UPDATE);
    cr_assert_eq(m.seq, seq);
    cr_assert_eq(m.session, 0);
    cr_assert(slice_equal(m.update, CHAR_UPDATE(1, 'y')));
    peer_close(&other);
    peer_close(&link);
    fixture_finish(&f);
}
