/* Who asks for a room waits for it, however many there are. */
#include "supervisor_fixture.h"

#include "proto/refusal.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

/* A process that does not end must not hold the tests up. */
TestSuite(opens, .timeout = 60);

/* The store does not answer: nobody waits forever, and the room is there once it does. */
Test(opens, an_open_waits_only_so_long)
{
    struct fixture f;
    fixture_start(&f);

    fixture_ask(&f, "demo");
    (void)EXPECT(&f.store, store_room, STORE_ROOM);
    struct peer store = peer_new(peer_take_fd(&f.store));
    (void)EXPECT(&store, store_open, STORE_OPEN);
    struct msg_room_refused m = EXPECT(&f.gateway, room_refused, ROOM_REFUSED);
    cr_assert_eq(m.request, f.requests);
    cr_assert_eq(m.refusal, REFUSAL_UNAVAILABLE);
    fixture_ask(&f, "demo");
    SEND(&store, store_loaded, .stored_seq = 0);
    struct peer link = fixture_take_link(&f);
    fixture_finish_demo(&f, &store, &link, SIGKILL);
}

/* More than a connection carries descriptors at a time, in both directions. */
Test(opens, many_rooms_at_once)
{
    enum { ROOMS = 150 };
    struct peer *stores = xcalloc(ROOMS, sizeof(*stores));
    struct peer *links = xcalloc(ROOMS, sizeof(*links));
    size_t opened = 0;
    size_t served = 0;
    struct fixture f;
    fixture_start(&f);

    for (unsigned i = 0; i < ROOMS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "room-%u", i);
        fixture_ask(&f, name);
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
    fixture_end_supervisor(&f, SIGTERM);
    for (size_t i = 0; i < served; i++)
        peer_close(&stores[i]);
    free(stores);
    free(links);
    fixture_finish(&f);
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
            fixture_ask(f, "demo");
        fixture_ask(f, ""); /* refused at once, when those before it have been looked at */
        while (peer_peek(&f->gateway) == PROTO_ROOM_OPENED)
            opened += take_opened(f);
        struct msg_room_refused m = EXPECT(&f->gateway, room_refused, ROOM_REFUSED);
        cr_assert_eq(m.request, f->requests);
    }
    return opened;
}

/* They are all for one room, and granted in one turn while the gateway does not read. */
Test(opens, links_wait_for_a_gateway_that_reads_late)
{
    struct fixture f;
    fixture_start(&f);

    size_t opened = ask_for_many_links(&f);
    cr_assert_eq(opened, 0);
    struct peer store = fixture_serve_store(&f, false);
    struct pollfd pfd = {.fd = f.gateway.fd, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    struct fixture other = f; /* when that gateway has its answer, the turn is over */
    fixture_connect_gateway(&other);
    fixture_ask(&other, "");
    (void)EXPECT(&other.gateway, room_refused, ROOM_REFUSED);
    peer_close(&other.gateway);
    while (opened < MANY_LINKS)
        opened += take_opened(&f);
    peer_close(&store);
    fixture_end_supervisor(&f, SIGTERM);
    fixture_finish(&f);
}

Test(opens, links_wait_for_a_room_that_reads_late)
{
    struct fixture f;
    struct peer store, link;

    fixture_start_demo(&f, &store, &link);
    pid_t pid = fixture_room_pid(&f);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    size_t opened = ask_for_many_links(&f);
    cr_assert_lt(opened, MANY_LINKS);
    cr_assert_eq(kill(pid, SIGCONT), 0);
    while (opened < MANY_LINKS)
        opened += take_opened(&f);
    fixture_finish_demo(&f, &store, &link, SIGTERM);
}
