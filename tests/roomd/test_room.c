/* A real room process; the test plays its supervisor, its gateways and snapshotd. */
#include "roomd/room.h"

#include "common/ipc.h"
#include "common/segment.h"
#include "crdt/crdt.h"
#include "crdt/lib0.h"
#include "proto/refusal.h"
#include "room_fixture.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct slice awareness_update(struct crdt_buf *buf, uint64_t id, uint64_t clock,
                                     const char *state)
{
    buf->len = 0;
    lib0_write_uint(buf, 1);
    lib0_write_uint(buf, id);
    lib0_write_uint(buf, clock);
    lib0_write_slice(buf, state, strlen(state));
    return slice_of(buf->data, buf->len);
}

/* The state of `id` in an update of one entry. */
static bool awareness_is(struct slice update, uint64_t id, const char *state)
{
    struct lib0_reader r;

    lib0_reader_init(&r, update.data, update.len);
    if (lib0_read_uint(&r) != 1 || lib0_read_uint(&r) != id)
        return false;
    (void)lib0_read_uint(&r);
    struct crdt_slice s = lib0_read_slice(&r);
    return !r.has_failed && slice_equal(slice_of(s.data, s.len), slice_str(state));
}

Test(room, an_edit_is_applied_stored_and_the_room_closes)
{
    struct fixture f = {.is_hasty = true};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);

    send_edit(&link, 1, 77, CHAR_UPDATE(1, 'a'));
    struct msg_room_update update = EXPECT(&link, room_update, ROOM_UPDATE);
    cr_assert_eq(update.seq, 1);
    cr_assert_eq(update.session, 1);
    cr_assert(slice_equal(update.update, CHAR_UPDATE(1, 'a')));
    cr_assert_eq(update.update_v2.len, 0);
    struct msg_room_applied applied = EXPECT(&link, room_applied, ROOM_APPLIED);
    cr_assert_eq(applied.session, 1);
    cr_assert_eq(applied.op, 77);
    cr_assert_eq(applied.seq, 1);
    struct msg_store_dirty dirty = EXPECT(&f.store, store_dirty, STORE_DIRTY);
    cr_assert_eq(dirty.last_seq, 1);
    SEND(&f.store, store_stored, .stored_seq = 1);
    struct msg_room_stored stored = EXPECT(&link, room_stored, ROOM_STORED);
    cr_assert_eq(stored.stored_seq, 1);

    peer_close(&link);
    struct msg_room_idle idle = EXPECT(&f.control, room_idle, ROOM_IDLE);
    while (idle.links != 1) /* said before the link came */
        idle = EXPECT(&f.control, room_idle, ROOM_IDLE);
    SEND(&f.control, room_close);
    fixture_expect_exit(&f, ROOM_EXIT_CLOSED);
    struct segment_view *v;
    cr_assert_eq(segment_view_open(fcntl(f.segment_fd, F_DUPFD_CLOEXEC, 0), &v), 0);
    const struct segment_header *h = segment_view_header(v);
    cr_assert(atomic_load(&h->flags) & SEGMENT_CLOSED);
    cr_assert_eq(atomic_load(&h->stored_seq), 1);
    cr_assert_eq(atomic_load(&h->updates), 1);
    cr_assert_eq(atomic_load(&h->clients), 0);
    cr_assert_eq(atomic_load(&h->pid), (uint32_t)f.pid);
    segment_view_free(v);
    (void)close(f.segment_fd);
    peer_close(&f.control);
    peer_close(&f.store);
}

/* All of it arrives at once: one batch, broadcast before it is answered, answered in order. */
Test(room, a_turn_is_one_batch)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);
    struct buffer frames = {0};

    for (uint8_t i = 1; i <= 3; i++) {
        struct slice bytes = i == 2 ? slice_str("\xff") : CHAR_UPDATE(i, 'x');
        struct blob *b = proto_encode_session_update(&(struct msg_session_update){
            .session = 1, .op = i, .format = CRDT_V1, .update = bytes});
        buffer_append(&frames, b->data, b->len);
        blob_unref(b);
    }
    cr_assert_eq(write(link.fd, frames.data, frames.len), (ssize_t)frames.len);
    buffer_done(&frames);
    cr_assert_eq(EXPECT(&link, room_update, ROOM_UPDATE).seq, 1);
    cr_assert_eq(EXPECT(&link, room_update, ROOM_UPDATE).seq, 2);
    cr_assert_eq(EXPECT(&link, room_applied, ROOM_APPLIED).op, 1);
    struct msg_room_rejected rejected = EXPECT(&link, room_rejected, ROOM_REJECTED);
    cr_assert_eq(rejected.op, 2);
    cr_assert_eq(rejected.refusal, REFUSAL_BAD_UPDATE);
    struct msg_room_applied applied = EXPECT(&link, room_applied, ROOM_APPLIED);
    cr_assert_eq(applied.op, 3);
    cr_assert_eq(applied.seq, 2);
    /* Nothing new: answered, not broadcast. */
    send_edit(&link, 1, 4, CHAR_UPDATE(1, 'x'));
    cr_assert_eq(EXPECT(&link, room_applied, ROOM_APPLIED).seq, 2);
    peer_close(&link);
    fixture_finish(&f);
}

Test(room, edits_come_in_both_formats_where_somebody_wants_both)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);

    send_edit(&link, 1, 1, CHAR_UPDATE(1, 'a'));
    struct msg_room_update update = EXPECT(&link, room_update, ROOM_UPDATE);
    cr_assert_eq(update.update_v2.len, 0);
    (void)EXPECT(&link, room_applied, ROOM_APPLIED);
    SEND(&link, session_join, .session = 2, .format = CRDT_V2);
    send_edit(&link, 1, 2, CHAR_UPDATE(2, 'a'));
    update = EXPECT(&link, room_update, ROOM_UPDATE);
    cr_assert_eq(crdt_update_validate(CRDT_V2, update.update_v2.data, update.update_v2.len, NULL),
                 0);
    peer_close(&link);
    fixture_finish(&f);
}

Test(room, what_was_acknowledged_survives_a_kill)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);

    for (uint8_t i = 1; i <= 2; i++) {
        send_edit(&link, 1, i, CHAR_UPDATE(i, 'x'));
        (void)EXPECT(&link, room_update, ROOM_UPDATE);
        (void)EXPECT(&link, room_applied, ROOM_APPLIED);
    }
    (void)kill(f.pid, SIGKILL);
    (void)fixture_wait(&f);
    peer_expect_end(&link);
    peer_close(&link);
    peer_close(&f.control);
    peer_close(&f.store);

    fixture_start_ready(&f, 2);
    link = fixture_new_link(&f, true, 1);
    struct msg_room_update missed = EXPECT(&link, room_update, ROOM_UPDATE);
    cr_assert_eq(missed.seq, 2);
    cr_assert_eq(missed.session, 1, "its author must not take it for stored");
    cr_assert(slice_equal(missed.update, CHAR_UPDATE(2, 'x')));
    cr_assert_eq(f.stored_seq, 0);
    /* Sent again, because the answer was lost. */
    SEND(&link, session_join, .session = 1, .format = CRDT_V1);
    send_edit(&link, 1, 2, CHAR_UPDATE(2, 'x'));
    cr_assert_eq(EXPECT(&link, room_applied, ROOM_APPLIED).seq, 2);
    peer_close(&link);
    fixture_finish(&f);
}

Test(room, loads_what_the_store_holds)
{
    struct fixture f = {0};
    fixture_start(&f);
    fixture_give_store(&f);
    (void)EXPECT(&f.store, store_open, STORE_OPEN);
    SEND(&f.store, store_update, .update = CHAR_UPDATE(1, 'a'));
    SEND(&f.store, store_update, .update = CHAR_UPDATE(2, 'b'));
    SEND(&f.store, store_loaded, .stored_seq = 40);
    (void)EXPECT(&f.control, room_ready, ROOM_READY);
    struct peer link = fixture_new_link(&f, false, 0);
    cr_assert_eq(f.stored_seq, 40);
    SEND(&link, session_join, .session = 1, .format = CRDT_V1);
    send_edit(&link, 1, 1, CHAR_UPDATE(2, 'b')); /* it has that */
    cr_assert_eq(EXPECT(&link, room_applied, ROOM_APPLIED).seq, 40);
    send_edit(&link, 1, 2, CHAR_UPDATE(3, 'c'));
    cr_assert_eq(EXPECT(&link, room_update, ROOM_UPDATE).seq, 41);
    peer_close(&link);
    fixture_finish(&f);
}

/* At once, so that the room has not yet ended when the second frame is sent: that one must not open
 * the room any more. */
static void send_bad_document(struct peer *store)
{
    struct msg_store_update update = {.update = slice_str("\xff\xff")};
    struct msg_store_loaded loaded = {.stored_seq = 3};
    struct blob *first = proto_encode_store_update(&update);
    struct blob *second = proto_encode_store_loaded(&loaded);
    struct blob *both = blob_new(first->len + second->len);

    memcpy(both->data, first->data, first->len);
    memcpy(both->data + first->len, second->data, second->len);
    blob_unref(first);
    blob_unref(second);
    peer_send(store, both);
}

Test(room, a_load_that_fails_is_said_and_ends_it)
{
    for (int i = 0; i < 2; i++) {
        struct fixture f = {0};
        fixture_start(&f);
        fixture_give_store(&f);
        (void)EXPECT(&f.store, store_open, STORE_OPEN);
        if (i == 0) {
            SEND(&f.store, store_failed, .refusal = REFUSAL_LOAD_FAILED);
        } else {
            send_bad_document(&f.store);
        }
        cr_assert_eq(EXPECT(&f.control, room_failed, ROOM_FAILED).refusal, REFUSAL_LOAD_FAILED);
        peer_expect_end(&f.control);
        fixture_expect_exit(&f, ROOM_EXIT_FAILED);
        peer_close(&f.control);
        peer_close(&f.store);
        (void)close(f.segment_fd);
    }
}

Test(room, a_damaged_segment_is_left_alone)
{
    struct fixture f = {0};
    uint8_t byte = 0xff;
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);

    for (uint8_t i = 1; i <= 2; i++) {
        send_edit(&link, 1, i, CHAR_UPDATE(i, 'x'));
        (void)EXPECT(&link, room_update, ROOM_UPDATE);
        (void)EXPECT(&link, room_applied, ROOM_APPLIED);
    }
    (void)kill(f.pid, SIGKILL);
    (void)fixture_wait(&f);
    peer_close(&link);
    peer_close(&f.control);
    peer_close(&f.store);
    cr_assert_eq(pwrite(f.segment_fd, &byte, 1, SEGMENT_HEADER_BYTES + 40), 1);

    fixture_start(&f);
    cr_assert_eq(EXPECT(&f.control, room_failed, ROOM_FAILED).refusal, REFUSAL_LOAD_FAILED);
    fixture_expect_exit(&f, ROOM_EXIT_DAMAGED);
    peer_close(&f.control);
    (void)close(f.segment_fd);
}

Test(room, goes_on_without_the_store)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);

    peer_close(&f.store);
    (void)EXPECT(&f.control, room_detached, ROOM_DETACHED);
    send_edit(&link, 1, 1, CHAR_UPDATE(1, 'a'));
    (void)EXPECT(&link, room_update, ROOM_UPDATE);
    (void)EXPECT(&link, room_applied, ROOM_APPLIED);
    fixture_give_store(&f);
    struct msg_store_open m = EXPECT(&f.store, store_open, STORE_OPEN);
    cr_assert(m.has_segment);
    cr_assert_eq(m.last_seq, 1);
    SEND(&f.store, store_loaded, .stored_seq = 1);
    cr_assert_eq(EXPECT(&link, room_stored, ROOM_STORED).stored_seq, 1);
    peer_close(&link);
    fixture_finish(&f);
}

/* The store hangs, or is not there at all: who was in the room is not kept out of it. */
Test(room, goes_on_from_its_segment_when_the_store_does_not_answer)
{
    struct fixture f = {0};

    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);
    send_edit(&link, 1, 1, CHAR_UPDATE(1, 'a'));
    (void)EXPECT(&link, room_update, ROOM_UPDATE);
    (void)kill(f.pid, SIGKILL);
    (void)fixture_wait(&f);
    peer_close(&link);
    peer_close(&f.control);
    peer_close(&f.store);

    fixture_start(&f);
    (void)EXPECT(&f.control, room_ready, ROOM_READY); /* without any connection */
    link = fixture_new_client(&f, 2);
    send_edit(&link, 2, 1, CHAR_UPDATE(2, 'b'));
    cr_assert_eq(EXPECT(&link, room_update, ROOM_UPDATE).seq, 2);
    cr_assert_eq(EXPECT(&link, room_applied, ROOM_APPLIED).seq, 2);
    fixture_give_store(&f);
    cr_assert_eq(EXPECT(&f.store, store_open, STORE_OPEN).last_seq, 2);
    SEND(&f.store, store_loaded, .stored_seq = 1);
    cr_assert_eq(EXPECT(&link, room_stored, ROOM_STORED).stored_seq, 1);
    SEND(&f.store, store_stored, .stored_seq = 2);
    cr_assert_eq(EXPECT(&link, room_stored, ROOM_STORED).stored_seq, 2);
    peer_close(&link);
    fixture_finish(&f);
}

Test(room, the_store_is_lost_while_it_loads)
{
    struct fixture f = {0};
    fixture_start(&f);
    fixture_give_store(&f);
    (void)EXPECT(&f.store, store_open, STORE_OPEN);
    SEND(&f.store, store_update, .update = CHAR_UPDATE(1, 'a'));
    peer_close(&f.store);
    (void)EXPECT(&f.control, room_detached, ROOM_DETACHED);
    fixture_give_store(&f);
    cr_assert(!EXPECT(&f.store, store_open, STORE_OPEN).has_segment);
    SEND(&f.store, store_update, .update = CHAR_UPDATE(1, 'a'));
    SEND(&f.store, store_loaded, .stored_seq = 1);
    (void)EXPECT(&f.control, room_ready, ROOM_READY);
    fixture_finish(&f);
}

Test(room, presence)
{
    struct fixture f = {0};
    struct crdt_buf buf = {0};
    fixture_start_ready(&f, 0);
    struct peer a = fixture_new_client(&f, 1);
    struct peer b = fixture_new_client(&f, 2);

    /* B's join was handled: it is asked for and answers. */
    SEND(&b, session_update, .session = 2, .op = 1, .format = 9);
    (void)EXPECT(&b, room_rejected, ROOM_REJECTED);
    SEND(&a, session_awareness, .session = 1, .awareness = awareness_update(&buf, 10, 1, "{}"));
    struct msg_room_awareness m = EXPECT(&b, room_awareness, ROOM_AWARENESS);
    cr_assert_eq(m.except, 1);
    cr_assert_eq(m.only, 0);
    cr_assert(awareness_is(m.awareness, 10, "{}"));
    m = EXPECT(&a, room_awareness, ROOM_AWARENESS); /* for the others of its gateway */
    cr_assert_eq(m.except, 1);

    SEND(&b, session_join, .session = 3, .format = CRDT_V1);
    m = EXPECT(&b, room_awareness, ROOM_AWARENESS);
    cr_assert_eq(m.only, 3);
    cr_assert(awareness_is(m.awareness, 10, "{}"));
    SEND(&b, session_awareness, .session = 2); /* a query */
    cr_assert_eq(EXPECT(&b, room_awareness, ROOM_AWARENESS).only, 2);

    SEND(&b, session_awareness, .session = 2, .op = 9, .awareness = slice_str("\x05"));
    struct msg_room_rejected rejected = EXPECT(&b, room_rejected, ROOM_REJECTED);
    cr_assert_eq(rejected.op, 9);
    cr_assert_eq(rejected.refusal, REFUSAL_BAD_MESSAGE);

    peer_close(&a); /* the socket is lost: announced at once */
    m = EXPECT(&b, room_awareness, ROOM_AWARENESS);
    cr_assert(awareness_is(m.awareness, 10, "null"));
    crdt_buf_done(&buf);
    peer_close(&b);
    fixture_finish(&f);
}

/* What a client may choose, and what a gateway may still send for one that has left. */
Test(room, nothing_from_a_client_ends_it)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);
    struct slice junk = slice_str("\x01\x02\x03 junk");

    send_edit(&link, 99, 1, CHAR_UPDATE(1, 'a'));
    SEND(&link, session_awareness, .session = 99, .op = 3, .awareness = junk);
    SEND(&link, session_leave, .session = 99);
    SEND(&link, session_update, .session = 1, .op = 4, .format = 9, .update = junk);
    cr_assert_eq(EXPECT(&link, room_rejected, ROOM_REJECTED).op, 4);
    SEND(&link, session_update, .session = 1, .op = 5, .format = CRDT_V2, .update = junk);
    cr_assert_eq(EXPECT(&link, room_rejected, ROOM_REJECTED).refusal, REFUSAL_BAD_UPDATE);
    send_edit(&link, 1, 6, slice_of(NULL, 0));
    cr_assert_eq(EXPECT(&link, room_rejected, ROOM_REJECTED).refusal, REFUSAL_BAD_UPDATE);
    SEND(&link, session_leave, .session = 1);
    send_edit(&link, 1, 7, CHAR_UPDATE(1, 'a'));
    SEND(&link, session_join, .session = 1, .format = CRDT_V1);
    send_edit(&link, 1, 8, CHAR_UPDATE(1, 'a'));
    (void)EXPECT(&link, room_update, ROOM_UPDATE);
    cr_assert_eq(EXPECT(&link, room_applied, ROOM_APPLIED).op, 8);
    peer_close(&link);
    fixture_finish(&f);
}

/* A gateway that asks for much and reads nothing is not heard until it reads; then it gets it all.
 */
Test(room, a_slow_gateway_is_not_heard_until_it_reads)
{
    enum { STATE = 16000, QUERIES = 2000 };
    static char state[STATE + 3] = "\"";
    struct crdt_buf buf = {0};
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);

    memset(state + 1, 'x', STATE);
    state[STATE + 1] = '"';
    SEND(&link, session_join, .session = 2, .format = CRDT_V1);
    SEND(&link, session_awareness, .session = 1, .awareness = awareness_update(&buf, 10, 1, state));
    (void)EXPECT(&link, room_awareness, ROOM_AWARENESS);
    for (int i = 0; i < QUERIES; i++)
        SEND(&link, session_awareness, .session = 2);
    /* Meanwhile another gateway is served. */
    struct peer other = fixture_new_client(&f, 3);
    (void)EXPECT(&other, room_awareness, ROOM_AWARENESS);
    peer_close(&other);
    for (int i = 0; i < QUERIES; i++) {
        struct msg_room_awareness m = EXPECT(&link, room_awareness, ROOM_AWARENESS);
        cr_assert_eq(m.only, 2);
        cr_assert_gt(m.awareness.len, STATE);
    }
    crdt_buf_done(&buf);
    peer_close(&link);
    fixture_finish(&f);
}

Test(room, a_shutdown_waits_for_links_and_for_the_store)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_client(&f, 1);

    SEND(&f.control, room_shutdown);
    send_edit(&link, 1, 1, CHAR_UPDATE(1, 'a'));
    (void)EXPECT(&link, room_update, ROOM_UPDATE);
    (void)EXPECT(&link, room_applied, ROOM_APPLIED);
    (void)EXPECT(&f.store, store_dirty, STORE_DIRTY);
    peer_close(&link);
    SEND(&f.store, store_stored, .stored_seq = 1);
    cr_assert_eq(EXPECT(&f.control, room_idle, ROOM_IDLE).links, 1);
    SEND(&f.control, room_close);
    fixture_expect_exit(&f, ROOM_EXIT_CLOSED);
    peer_close(&f.control);
    peer_close(&f.store);
    (void)close(f.segment_fd);
}

Test(room, ends_with_its_supervisor)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    peer_close(&f.control);
    fixture_expect_exit(&f, ROOM_EXIT_FAILED);
    peer_close(&f.store);
    (void)close(f.segment_fd);
}
