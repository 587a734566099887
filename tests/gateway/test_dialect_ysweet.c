/* What the gateway says to clients of y-sweet, with a room that this test plays. */
#include "harness.h"

#include "common/config.h"
#include "common/ipc.h"
#include "common/loop.h"
#include "gateway/doc_key.h"
#include "gateway/doc_token.h"
#include "gateway/session.h"
#include "proto/refusal.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>

static struct gateway_under_test g;
static int client;
static int room;
static uint64_t session;

#define BIN(s) 2, s, sizeof(s) - 1

#define EDIT   "\0\2\3abc"
#define ANSWER "\0\1\2\0\0" /* step 2 of a client that has nothing */
#define STATUS "\x66\1"     /* and the number */
#define NOBODY "\1\1\0"     /* an empty presence message */

static void start(void)
{
    harness_start(&g);
    client = client_open(&g, "/d/r/ws/r?token=x");
    room = roomd_open_room(&g, "r", -1);
    session = room_expect_join(room, 1);
}

static void stop(void)
{
    harness_stop(&g);
}

TestSuite(ysweet, .init = start, .fini = stop, .timeout = 60);

static uint64_t expect_edit(void)
{
    PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
    cr_expect(edit.session == session && edit.format == 1);
    return edit.op;
}

static void apply(uint64_t op, uint64_t seq)
{
    PEER_SEND(room, room_applied, .session = session, .op = op, .seq = seq);
}

static void store(uint64_t seq)
{
    PEER_SEND(room, room_stored, .stored_seq = seq);
}

Test(ysweet, a_status_returns_at_once_when_nothing_waits)
{
    client_send(client, BIN(ANSWER));
    client_send(client, BIN(STATUS "\0"));
    client_expect(client, BIN(STATUS "\0"));
    client_send(client, BIN(STATUS "\0"));
    client_expect(client, BIN(STATUS "\0"));
    client_send(client, BIN("\x66\5\xff\xff\xff\xff\x0f"));
    client_expect(client, BIN("\x66\5\xff\xff\xff\xff\x0f"));
    client_send(client, BIN("\x66\0"));
    client_expect(client, BIN("\x66\0"));
}

Test(ysweet, a_status_returns_when_what_came_before_it_is_stored)
{
    client_send(client, BIN(ANSWER));
    client_send(client, BIN(EDIT));
    client_send(client, BIN(STATUS "\1"));
    client_send(client, BIN(EDIT STATUS "\2" STATUS "\3"));
    uint64_t first = expect_edit(), second = expect_edit();
    apply(first, 7);
    store(6);
    cr_expect(peer_is_quiet(client));
    store(7);
    client_expect(client, BIN(STATUS "\1"));
    cr_expect(peer_is_quiet(client));
    store(9);
    apply(second, 8);
    client_expect(client, BIN(STATUS "\2"));
    client_expect(client, BIN(STATUS "\3"));
}

Test(ysweet, the_first_status_waits_for_what_the_client_brings_along)
{
    client_send(client, BIN(STATUS "\5"));
    cr_expect(peer_is_quiet(client));
    client_send(client, BIN("\0\1\3abc"));
    uint64_t op = expect_edit();
    cr_expect(peer_is_quiet(client));
    apply(op, 1);
    cr_expect(peer_is_quiet(client));
    store(1);
    client_expect(client, BIN(STATUS "\5"));
}

/* The room had an edit of the client before that came back, and the store has it not. */
Test(ysweet, the_first_status_waits_for_what_the_room_has_already)
{
    struct blob *update CLEANUP_BLOB = text_update(1, 0, 'a', 1);
    struct segment *segment = room_segment(&g, "r", 0, slice_of("\0\0", 2));
    struct blob *got CLEANUP_BLOB = NULL;

    segment_add(segment, 1, blob_slice(update));
    client_send(client, BIN("\0\0\3\1\1\1")); /* it has that edit, */
    cr_assert(client_receive(client, &got) == 2);
    client_expect(client, BIN("\0\0\3\1\1\1")); /* as we have */
    client_send(client, BIN(STATUS "\1" ANSWER));
    cr_expect(peer_is_quiet(client));
    client_expect(client, BIN(NOBODY));
    store(1);
    client_expect(client, BIN(STATUS "\1"));
    segment_free(segment);
}

Test(ysweet, a_client_that_waits_hears_that_we_live)
{
    client_send(client, BIN(ANSWER));
    client_send(client, BIN(EDIT STATUS "\1"));
    uint64_t op = expect_edit();
    client_expect(client, BIN(NOBODY));
    client_expect(client, BIN(NOBODY));
    apply(op, 1);
    store(1);
    client_expect(client, BIN(STATUS "\1"));
}

Test(ysweet, many_that_wait)
{
    char status[] = STATUS "\0";

    client_send(client, BIN(ANSWER));
    client_send(client, BIN(EDIT));
    uint64_t op = expect_edit();
    for (int i = 1; i <= 100; i++) {
        status[2] = (char)i;
        client_send(client, BIN(status));
    }
    cr_expect(peer_is_quiet(client));
    apply(op, 1);
    store(1);
    for (int i = 69; i <= 100; i++) {
        status[2] = (char)i;
        client_expect(client, BIN(status));
    }
}

Test(ysweet, edits_of_others_come_as_they_are)
{
    client_send(client, BIN(ANSWER));
    PEER_SEND(room, room_update, .seq = 1, .session = 4711, .update = slice_str("abc"));
    client_expect(client, BIN(EDIT));
    client_send(client, BIN(EDIT));
    uint64_t op = expect_edit();
    PEER_SEND(room, room_update, .seq = 2, .session = session, .update = slice_str("abc"));
    apply(op, 2);
    store(2);
    cr_expect(peer_is_quiet(client), "its own do not return");
}

Test(ysweet, a_reader_stays_and_is_told_nothing_of_its_edits)
{
    client_send(client, BIN(ANSWER STATUS "\0"));
    client_expect(client, BIN(STATUS "\0"));
    client_send(client, BIN(EDIT STATUS "\1"));
    uint64_t op = expect_edit();
    PEER_SEND(room, room_rejected, .session = session, .op = op, .refusal = REFUSAL_READ_ONLY);
    client_expect(client, BIN(NOBODY));
    client_send(client, BIN(STATUS "\1"));
    client_expect(client, BIN(NOBODY));
    PEER_SEND(room, room_update, .seq = 1, .session = 4711, .update = slice_str("abc"));
    client_expect(client, BIN(EDIT));
}

Test(ysweet, any_other_refusal_closes)
{
    client_send(client, BIN(ANSWER));
    client_send(client, BIN(EDIT STATUS "\1"));
    uint64_t op = expect_edit();
    PEER_SEND(room, room_rejected, .session = session, .op = op, .refusal = REFUSAL_BAD_UPDATE);
    client_expect_close(client, 1007);
}

Test(ysweet, a_query_with_a_body_is_passed_over)
{
    client_send(client, BIN("\3\4\1\5\1\0" ANSWER STATUS "\0"));
    client_expect(client, BIN(STATUS "\0"));
    cr_expect(peer_is_quiet(room));
    client_send(client, BIN("\3"));
    PEER_EXPECT(room, session_awareness, SESSION_AWARENESS, query)
    cr_expect(query.awareness.len == 0);
}

Test(ysweet, frames_that_are_none)
{
    static const struct {
        const char *what;
        const char *frame;
        size_t len;
        unsigned code;
    } rows[] = {
        {"a status that is cut", "\x66\2\1", 3, 1007},
        {"a status without a length", "\x66", 1, 1007},
        {"a status that is no number",
         "\x66\x11"
         "0123456789abcdefg",
         19, 1007},
        {"a query that is cut", "\3\2\1", 3, 1007},
        {"a type that does not end", "\xff\xff", 2, 1007},
        {"an update that is cut", "\0\2\4abc", 6, 1007},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = client_open(&g, "/d/r/ws");
        client_send(fd, 2, rows[i].frame, rows[i].len);
        client_expect_close(fd, rows[i].code);
        (void)close(fd);
    }
    client_send(client, 1, "text", 4);
    client_expect_close(client, 1003);
}

/* A token of the gateway's key. */
static char *mint(enum access access, uint64_t valid_s)
{
    struct config config = {.run = g.dir, .doc_token_key = ""};
    uint64_t now_s = wall_now_ms() / 1000;
    struct blob *key CLEANUP_BLOB = NULL;
    struct doc_token token = {.issued_s = now_s,
                              .expires_s = now_s + valid_s,
                              .access = access,
                              .tenant = slice_str("acme"),
                              .doc = slice_str("r"),
                              .user = slice_str("ada")};

    cr_assert(doc_key_load(&config, &key) == 0);
    return doc_token_mint(blob_slice(key), &token);
}

Test(ysweet, a_client_goes_when_its_token_has_expired)
{
    char *token CLEANUP_FREE = mint(ACCESS_WRITE, 1);
    char *path CLEANUP_FREE = xasprintf("/d/r/ws/r?token=%s", token);
    struct timeval patience = {.tv_sec = 2 * SESSION_TOKEN_S};
    int fd = client_open(&g, path);
    int pair[2];

    cr_assert(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    PEER_EXPECT(g.roomd, room_open, ROOM_OPEN, asked)
    cr_expect(slice_equal(asked.tenant, slice_str("acme")), "the tenant is the token's");
    cr_assert(ipc_pair(pair) == 0);
    peer_send_fd(g.roomd,
                 proto_encode_room_opened(&(struct msg_room_opened){.request = asked.request}),
                 pair[1]);
    client_expect_close(fd, 4401);
    (void)close(pair[0]);
}
