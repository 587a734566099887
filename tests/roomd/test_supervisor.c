/* Rooms start, stop and start again with their supervisor. */
#include "supervisor_fixture.h"

#include "crdt/crdt.h"
#include "proto/refusal.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>

/* A process that does not end must not hold the tests up. */
TestSuite(supervisor, .timeout = 60);

Test(supervisor, a_room_opens_stores_and_closes)
{
    struct fixture f;
    struct peer store, link;

    fixture_start_demo(&f, &store, &link);
    make_edit(&link, 1);
    cr_assert_eq(EXPECT(&store, store_dirty, STORE_DIRTY).last_seq, 1);
    peer_close(&link);
    SEND(&store, store_stored, .stored_seq = 1);
    peer_expect_end(&store);
    fixture_expect_closed(&f);
    peer_close(&store);
    fixture_end_supervisor(&f, SIGTERM);
    fixture_finish(&f);
}

/* Every open is answered with a room that lives, whenever it comes while the room closes. */
Test(supervisor, nobody_joins_a_dying_room)
{
    struct fixture f;
    fixture_start(&f);

    for (int i = 0; i < 60; i++) {
        fixture_ask(&f, "demo");
        /* Either the room was still there, or a new one starts, which wants its store. */
        struct pollfd fds[2] = {{.fd = f.gateway.fd, .events = POLLIN},
                                {.fd = f.store.fd, .events = POLLIN}};
        struct peer store = {.fd = -1};
        cr_assert_gt(poll(fds, 2, 10000), 0);
        if (!(fds[0].revents & POLLIN))
            store = fixture_serve_store(&f, false);
        struct peer link = fixture_take_link(&f);
        SEND(&link, session_join, .session = 1, .format = CRDT_V1);
        SEND(&link, session_update, .session = 1, .op = 1, .format = 9);
        (void)EXPECT(&link, room_rejected, ROOM_REJECTED);
        peer_close(&link);
        if (i % 3 == 0)
            (void)poll(NULL, 0, i % 7); /* ask at different moments of its end */
        if (store.fd >= 0)
            peer_close(&store);
    }
    fixture_end_supervisor(&f, SIGTERM);
    fixture_finish(&f);
}

Test(supervisor, a_killed_room_is_started_from_its_segment)
{
    struct fixture f;
    struct peer store, link;

    fixture_start_demo(&f, &store, &link);
    make_edit(&link, 1);
    cr_assert_eq(kill(fixture_room_pid(&f), SIGKILL), 0);
    peer_expect_end(&link);
    peer_close(&link);
    peer_close(&store);
    fixture_ask(&f, "demo"); /* parked until it is back */
    store = fixture_serve_store(&f, true);
    link = fixture_take_link(&f);
    SEND(&link, session_join, .session = 1, .format = CRDT_V1);
    SEND(&link, session_update, .session = 1, .op = 2, .format = CRDT_V1,
         .update = CHAR_UPDATE(1, 'x'));
    cr_assert_eq(EXPECT(&link, room_applied, ROOM_APPLIED).seq, 1); /* it is all there */
    fixture_finish_demo(&f, &store, &link, SIGKILL);
}

/* What is not stored must get there although nobody asks for the room. */
Test(supervisor, the_next_supervisor_opens_what_was_left)
{
    struct fixture f;
    struct peer store, link;

    fixture_start_demo(&f, &store, &link);
    make_edit(&link, 1);
    pid_t pid = fixture_room_pid(&f);
    fixture_end_supervisor(&f, SIGKILL);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    peer_expect_end(&link);
    peer_close(&link);
    peer_close(&store);

    fixture_start_supervisor(&f);
    store = fixture_serve_store(&f, true);
    SEND(&store, store_stored, .stored_seq = 1);
    peer_expect_end(&store);
    peer_close(&store);
    fixture_expect_closed(&f);
    fixture_end_supervisor(&f, SIGTERM);
    fixture_finish(&f);
}

Test(supervisor, a_new_snapshotd_gets_every_room)
{
    struct fixture f;
    struct peer store, link;

    fixture_start_demo(&f, &store, &link);
    peer_close(&f.store);
    peer_close(&store);
    make_edit(&link, 1); /* works all the same */
    fixture_accept_store(&f);
    store = fixture_serve_store(&f, true);
    SEND(&store, store_stored, .stored_seq = 1);
    cr_assert_eq(EXPECT(&link, room_stored, ROOM_STORED).stored_seq, 1);
    peer_close(&link);
    peer_expect_end(&store);
    peer_close(&store);
    fixture_end_supervisor(&f, SIGTERM);
    fixture_finish(&f);
}

Test(supervisor, refusals)
{
    struct fixture f;
    fixture_start(&f);

    fixture_ask(&f, "");
    struct msg_room_refused m = EXPECT(&f.gateway, room_refused, ROOM_REFUSED);
    cr_assert_eq(m.request, f.requests);
    cr_assert_eq(m.refusal, REFUSAL_BAD_NAME);
    fixture_ask(&f, "\xff");
    cr_assert_eq(EXPECT(&f.gateway, room_refused, ROOM_REFUSED).refusal, REFUSAL_BAD_NAME);

    fixture_ask(&f, "demo");
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
    fixture_expect_closed(&f);
    fixture_ask(&f, "demo");
    store = fixture_serve_store(&f, false);
    struct peer link = fixture_take_link(&f);
    fixture_finish_demo(&f, &store, &link, SIGKILL);
}

/* A room that crashed, and segments that nobody has got to yet: a stop stores them first. */
Test(supervisor, a_stop_stores_what_was_left)
{
    struct fixture f;
    struct peer store, link;

    fixture_start_demo(&f, &store, &link);
    make_edit(&link, 1);
    pid_t pid = fixture_room_pid(&f);
    fixture_end_supervisor(&f, SIGKILL);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    peer_expect_end(&link);
    peer_close(&link);
    peer_close(&store);

    fixture_start_supervisor(&f);
    store = fixture_serve_store(&f, true);
    pid = fixture_new_room_pid(&f, pid);
    cr_assert_eq(kill(f.pid, SIGTERM), 0);
    cr_assert_eq(kill(pid, SIGKILL), 0); /* in the middle of its end */
    peer_expect_end(&store);
    peer_close(&store);
    store = fixture_serve_store(&f, true);
    SEND(&store, store_stored, .stored_seq = 1);
    peer_expect_end(&store);
    peer_close(&store);
    fixture_end_supervisor(&f, 0);
    fixture_expect_closed(&f);
    fixture_finish(&f);
}

/* With clients and without a store, the end is in time and the segment keeps the edit. */
Test(supervisor, a_stop_waits_only_so_long)
{
    struct fixture f;
    struct segment_view *v;
    fixture_start(&f);

    fixture_ask(&f, "demo");
    struct peer store = fixture_serve_store(&f, false);
    struct peer link = fixture_take_link(&f);
    make_edit(&link, 1);
    fixture_end_supervisor(&f, SIGTERM);
    peer_expect_end(&link);
    cr_assert_eq(fixture_open_segment(&f, &v), 0);
    cr_assert_eq(atomic_load(&segment_view_header(v)->last_seq), 1);
    cr_assert(!(atomic_load(&segment_view_header(v)->flags) & SEGMENT_CLOSED));
    segment_view_free(v);
    peer_close(&link);
    peer_close(&store);
    fixture_finish(&f);
}
