/* Sessions and links: what a gateway says to rooms and clients, with a room that this test plays.
 */
#include "harness.h"

#include "crdt/awareness_update.h"
#include "gateway/room_link.h"
#include "gateway/session.h"
#include "proto/lens.h"
#include "proto/refusal.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <sys/socket.h>

static struct gateway_under_test g;

static void start(void)
{
    harness_start(&g);
}

static void stop(void)
{
    harness_stop(&g);
}

TestSuite(rooms, .init = start, .fini = stop, .timeout = 60);

#define BIN(s)  2, s, sizeof(s) - 1
#define TEXT(s) 1, s, strlen(s)

static const char UPDATE[] = "\0\2\3abc"; /* an edit of the bytes "abc" */

static struct slice bytes(const char *s)
{
    return slice_str(s);
}

/* ---- y-websocket ---- */

Test(rooms, a_client_asks_and_is_answered)
{
    struct segment *segment = room_segment(&g, "a/b/c", 0, slice_of("\0\0", 2));
    int client = client_open(&g, "/yjs/a%2Fb/c");
    client_send(client, BIN("\0\0\1\0"));
    int room = roomd_open_room(&g, "a/b/c", -1);
    uint64_t session = room_expect_join(room, 1);
    client_expect(client, BIN("\0\1\2\0\0"));
    client_expect(client, BIN("\0\0\1\0"));
    PEER_SEND(room, room_awareness, .only = session, .awareness = bytes("who"));
    client_expect(client, BIN("\1\3who"));
    client_send(client, BIN("\3\3"));
    PEER_EXPECT(room, session_awareness, SESSION_AWARENESS, query)
    cr_expect(query.awareness.len == 0);
    cr_expect(peer_is_quiet(room), "one question is enough");
    (void)close(client);
    PEER_EXPECT(room, session_leave, SESSION_LEAVE, leave)
    cr_expect(leave.session == session);
    cr_expect(peer_has_ended(room), "the last client closes the link");
    segment_free(segment);
}

Test(rooms, an_edit_goes_to_others_at_once_and_back_when_stored)
{
    int author = client_open(&g, "/yjs/r");
    int room = roomd_open_room(&g, "r", -1);
    uint64_t a = room_expect_join(room, 1);
    int reader = client_open(&g, "/yjs/r");
    (void)room_expect_join(room, 1);
    client_send(author, 2, UPDATE, 6);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
    cr_expect(edit.session == a && edit.format == 1);
    cr_expect(slice_equal(edit.update, bytes("abc")));

    PEER_SEND(room, room_update, .seq = 7, .session = a, .update = bytes("abc"));
    client_expect(reader, 2, UPDATE, 6);
    PEER_SEND(room, room_applied, .session = a, .op = edit.op, .seq = 7);
    PEER_SEND(room, room_stored, .stored_seq = 6);
    cr_expect(peer_is_quiet(author), "an edit that is not stored is not acknowledged");
    PEER_SEND(room, room_stored, .stored_seq = 7);
    client_expect(author, 2, UPDATE, 6);
    cr_expect(peer_is_quiet(reader));

    client_send(author, 2, UPDATE, 6);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, again)
    PEER_SEND(room, room_applied, .session = a, .op = again.op, .seq = 7);
    client_expect(author, 2, UPDATE, 6);
    client_send(author, BIN("\0\1\2\0\0"));
    cr_expect(peer_is_quiet(room), "an update of nothing stays here");
}

/* A frame of one presence whose JSON is `depth` arrays inside each other. */
static void send_nested_presence(int client, unsigned depth)
{
    struct crdt_buf update = {0}, json = {0};
    uint8_t frame[300] = {1};

    for (unsigned i = 0; i < 2 * depth; i++)
        lib0_write_u8(&json, i < depth ? '[' : ']');
    crdt_awareness_write_count(&update, 1);
    crdt_awareness_write_state(
        &update, &(struct crdt_awareness_state){.client = 5, .json = {json.data, json.len}});
    uint8_t *end = lib0_put_uint(frame + 1, update.len);
    memcpy(end, update.data, update.len);
    client_send(client, 2, frame, (size_t)(end - frame) + update.len);
    crdt_buf_done(&update);
    crdt_buf_done(&json);
}

Test(rooms, presence_that_others_could_not_parse_stays_here)
{
    static const struct {
        const char *what;
        const char *frame;
        size_t len;
    } rows[] = {
        {"no JSON", "\1\6\1\5\1\2{{", 8},
        {"no UTF-8", "\1\6\1\5\1\2\"\xff", 8},
        {"fewer states than announced", "\1\6\2\5\1\2{}", 8},
        {"more states than announced", "\1\7\1\5\1\2{}\0", 9},
        {"no count", "\1\0", 2},
    };
    int client = client_open(&g, "/yjs/r");
    int room = roomd_open_room(&g, "r", -1);

    (void)room_expect_join(room, 1);
    send_nested_presence(client, 64);
    PEER_EXPECT(room, session_awareness, SESSION_AWARENESS, presence)
    cr_expect(presence.awareness.len == 1 + 1 + 1 + 2 + 128);
    send_nested_presence(client, 65);
    client_expect_close(client, 1007);
    PEER_EXPECT(room, session_leave, SESSION_LEAVE, leave)
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        client = client_open(&g, "/yjs/r");
        client_send(client, 2, rows[i].frame, rows[i].len);
        client_expect_close(client, 1007);
    }
}

Test(rooms, a_lost_room_is_asked_for_again_with_all_that_was_not_answered)
{
    int client = client_open(&g, "/yjs/r");
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);
    client_send(client, BIN("\1\7\1\5\1\3{ }"));
    PEER_EXPECT(room, session_awareness, SESSION_AWARENESS, presence)
    client_send(client, 2, UPDATE, 6);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, first)
    PEER_SEND(room, room_applied, .session = session, .op = first.op, .seq = 8);
    PEER_SEND(room, room_update, .seq = 9, .session = 1, .update = bytes("x"));
    client_expect(client, BIN("\0\2\1x"));
    client_send(client, BIN("\0\2\3def"));
    PEER_EXPECT(room, session_update, SESSION_UPDATE, second)
    (void)close(room);

    room = roomd_open_room(&g, "r", 9);
    cr_expect(room_expect_join(room, 1) == session);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, second_again)
    cr_expect(second_again.op == second.op && slice_equal(second_again.update, bytes("def")));
    PEER_EXPECT(room, session_awareness, SESSION_AWARENESS, presence_again)
    cr_expect(slice_equal(presence_again.awareness, presence.awareness));
    PEER_SEND(room, room_applied, .session = session, .op = second.op, .seq = 10);
    PEER_SEND(room, room_stored, .stored_seq = 10);
    client_expect(client, 2, UPDATE, 6);
    client_expect(client, BIN("\0\2\3def"));
}

/* A room that no longer has what its gateway missed one by one sends the whole document, and in it
 * the edit that its author waits for. */
Test(rooms, a_whole_document_is_no_word_that_an_edit_is_stored)
{
    struct segment *segment = room_segment(&g, "r", 9, slice_of("\0\0", 2));
    int author = client_open(&g, "/yjs/r");
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);
    int reader = client_open(&g, "/yjs/r");
    uint64_t of_reader = room_expect_join(room, 1);
    client_send(author, 2, UPDATE, 6);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
    PEER_SEND(room, room_update, .seq = 7, .session = session, .update = bytes("abc"));
    client_expect(reader, 2, UPDATE, 6);
    PEER_SEND(room, room_applied, .session = session, .op = edit.op, .seq = 7);
    PEER_SEND(room, room_awareness, .only = session, .awareness = bytes("who"));
    client_expect(author, BIN("\1\3who"));
    (void)close(room);

    room = roomd_open_room(&g, "r", 7);
    (void)room_expect_join(room, 1);
    (void)room_expect_join(room, 1);
    PEER_SEND(room, room_update, .seq = 9, .update = bytes("whole"));
    client_expect(reader, BIN("\0\2\5whole"));
    PEER_SEND(room, room_stored, .stored_seq = 8);
    client_expect(author, 2, UPDATE, 6);
    cr_expect(peer_is_quiet(author), "not all of it is stored");
    PEER_SEND(room, room_update, .seq = 10, .session = of_reader, .update = bytes("x"));
    client_expect(author, BIN("\0\2\1x"));
    PEER_SEND(room, room_stored, .stored_seq = 9);
    client_expect(author, BIN("\0\1\2\0\0"));
    client_expect(author, BIN("\0\0\1\0"));
    segment_free(segment);
}

/* Each row is one message that no room sends. */
Test(rooms, a_room_that_sends_nonsense_loses_the_link_and_nothing_else)
{
    static const char *const nonsense[] = {"\1\0\0\0\xc0", "\3\0\0\0\x92\x3d\1", "\2\0\0\0\x91\1",
                                           "\3\0\0\0\x92\x2c\1"};
    static const size_t lens[] = {5, 7, 6, 7};
    int client = client_open(&g, "/yjs/r");
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        client_write(room, nonsense[i], lens[i]);
        cr_expect(peer_has_ended(room));
        (void)close(room);
        room = roomd_open_room(&g, "r", -1);
        cr_expect(room_expect_join(room, 1) == session);
    }
    /* Sessions that are not here, and answers to what was not asked, are late and no nonsense. */
    PEER_SEND(room, room_applied, .session = session + 1, .op = 1, .seq = 1);
    PEER_SEND(room, room_applied, .session = session, .op = 999, .seq = 1);
    PEER_SEND(room, room_update, .seq = 2, .update = bytes("x"));
    client_expect(client, BIN("\0\2\1x"));
}

Test(rooms, a_room_that_is_lost_again_and_again_is_refused)
{
    int client = client_open(&g, "/yjs/r");

    for (unsigned i = 0; i <= ROOM_LOSSES_MAX; i++)
        (void)close(roomd_open_room(&g, "r", -1));
    client_expect_close(client, 1013);
}

Test(rooms, a_refused_room_closes_its_clients)
{
    int yjs = client_open(&g, "/yjs/r");
    PEER_EXPECT(g.roomd, room_open, ROOM_OPEN, asked)
    int json = client_open(&g, "/rooms/r/ws");
    struct blob *hello CLEANUP_BLOB = NULL;
    cr_expect(client_receive(json, &hello) == 1);
    PEER_SEND(g.roomd, room_refused, .request = asked.request, .refusal = REFUSAL_LOAD_FAILED);
    client_expect_close(yjs, 1013);
    client_expect(json, TEXT("{\"t\":\"error\",\"code\":\"load_failed\",\"message\":"
                             "\"the room cannot be loaded, try again later\"}"));
    client_expect_close(json, 1013);
    int again = client_open(&g, "/yjs/r");
    PEER_EXPECT(g.roomd, room_open, ROOM_OPEN, asked_again)
    cr_expect(asked_again.request != asked.request);
    (void)again;
}

Test(rooms, an_edit_outlives_its_client)
{
    int client = client_open(&g, "/yjs/r");
    client_send(client, 2, UPDATE, 6);
    client_send(client, 8, "\3\xe8", 2);
    client_expect_close(client, 1000);
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
    cr_expect(peer_is_quiet(room), "it waits for the answer");
    PEER_SEND(room, room_applied, .session = session, .op = edit.op, .seq = 1);
    PEER_EXPECT(room, session_leave, SESSION_LEAVE, leave)
    cr_expect(leave.session == session);
    cr_expect(peer_has_ended(room));
}

Test(rooms, a_room_that_opens_for_nobody_is_let_go)
{
    int pair[2];
    int client = client_open(&g, "/yjs/r");
    PEER_EXPECT(g.roomd, room_open, ROOM_OPEN, asked)
    client_send(client, 8, "\3\xe8", 2);
    client_expect_close(client, 1000);
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    peer_send_fd(g.roomd, proto_encode_room_opened(&(struct msg_room_opened){asked.request}),
                 pair[1]);
    cr_expect(peer_has_ended(pair[0]));
}

Test(rooms, roomd_may_go_away)
{
    int client = client_open(&g, "/yjs/open");
    int room = roomd_open_room(&g, "open", -1);
    (void)room_expect_join(room, 1);
    int waiting = client_open(&g, "/yjs/waiting");
    PEER_EXPECT(g.roomd, room_open, ROOM_OPEN, asked)
    (void)close(g.roomd);
    harness_accept_roomd(&g);
    int other = roomd_open_room(&g, "waiting", -1);
    (void)room_expect_join(other, 1);
    PEER_SEND(room, room_update, .seq = 2, .update = bytes("x"));
    client_expect(client, BIN("\0\2\1x"));
    PEER_SEND(other, room_update, .seq = 2, .update = bytes("y"));
    client_expect(waiting, BIN("\0\2\1y"));
}

Test(rooms, rejected_messages_close_a_yjs_client)
{
    int client = client_open(&g, "/yjs/r");
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);
    client_send(client, 2, UPDATE, 6);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
    PEER_SEND(room, room_rejected, .session = session, .op = edit.op,
              .refusal = REFUSAL_BAD_UPDATE);
    client_expect_close(client, 1007);
}

/* Payloads of /yjs that the gateway itself refuses. */
Test(rooms, malformed_frames_of_a_yjs_client)
{
    static const struct {
        uint8_t opcode;
        const char *payload;
        size_t len;
        unsigned close;
    } rows[] = {
        {1, "text", 4, 1003},      {2, "\0", 1, 1007},       {2, "\0\7", 2, 1007},
        {2, "\0\2\x09x", 4, 1007}, {2, "\1\2\1\5", 4, 1007}, {2, "\1\6\1\5\1\2{{", 8, 1007},
        {8, "\3\xed", 2, 1002},
    };

    int first = client_open(&g, "/yjs/r");
    int room = roomd_open_room(&g, "r", -1);
    (void)room_expect_join(room, 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int client = client_open(&g, "/yjs/r");
        client_send(client, rows[i].opcode, rows[i].payload, rows[i].len);
        client_expect_close(client, rows[i].close);
        (void)close(client);
    }
    char many[4 * 1025];
    for (size_t i = 0; i < 1025; i++)
        memcpy(many + 4 * i, "\0\0\1\0", 4);
    int client = client_open(&g, "/yjs/r");
    client_send(client, 2, many, sizeof(many));
    client_expect_close(client, 1008);
    (void)first;
}

/* ---- limits ---- */

Test(rooms, a_client_whose_edits_are_not_answered_is_not_read)
{
    static const size_t size = 1 << 20;
    int client = client_open(&g, "/yjs/r");
    uint8_t *edit = calloc(1, size + 16);
    struct pollfd p = {.fd = client, .events = POLLOUT};
    size_t sent = 0;

    memcpy(edit, "\x82\xff\0\0\0\0\0\x10\0\0\0\0\0\0\0\2\xfb\xff\x3f", 19);
    cr_assert(setsockopt(client, SOL_SOCKET, SO_SNDBUF, &(int){65536}, sizeof(int)) == 0);
    /* A frame of 1 MiB: 14 bytes of header, 5 of message header, and the rest an edit. */
    while (sent < 64 * size && poll(&p, 1, 1000) > 0) {
        size_t at = sent % (size + 14);
        ssize_t n = send(client, edit + at, size + 14 - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else
            break;
    }
    cr_expect(sent > SESSION_UNANSWERED_MAX / 2 && sent < 48 * size, "%zu bytes were read", sent);
    free(edit);
}

/* Reads frames until one that is an update with this body; returns how many bytes came before. */
static size_t read_until_update(int client, struct slice body)
{
    size_t bytes = 0;

    for (;;) {
        struct blob *frame CLEANUP_BLOB = NULL;
        cr_assert(client_receive(client, &frame) == 2);
        size_t at = frame->len - body.len;
        if (frame->len > body.len && slice_equal(slice_of(frame->data + at, body.len), body))
            return bytes;
        bytes += frame->len;
    }
}

Test(rooms, a_client_that_does_not_read_gets_one_difference)
{
    static const size_t size = 1 << 20;
    struct blob *text CLEANUP_BLOB = text_update(7, 0, 'x', 1000);
    struct segment *segment = room_segment(&g, "r", 40, blob_slice(text));
    int slow = client_open(&g, "/yjs/r");
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);
    struct blob *body CLEANUP_BLOB = blob_new(size);

    memset(body->data, 1, size);
    for (uint64_t seq = 1; seq <= 40; seq++)
        PEER_SEND(room, room_update, .seq = seq, .update = blob_slice(body));
    /* It keeps its socket, and what waited for it is not more than the bound. */
    size_t before = read_until_update(slow, blob_slice(text));
    cr_expect(before > size && before < 30 * size, "%zu bytes", before);
    PEER_EXPECT(room, session_awareness, SESSION_AWARENESS, query)
    cr_expect(query.session == session && query.awareness.len == 0);
    PEER_SEND(room, room_update, .seq = 41, .update = slice_str("later"));
    client_expect(slow, 2, "\x00\x02\x05later", 8);
    segment_free(segment);
}

Test(rooms, pings_without_reading_do_not_pile_up)
{
    int client = client_open(&g, "/yjs/r");
    int room = roomd_open_room(&g, "r", -1);
    (void)room_expect_join(room, 1);
    for (char i = 'a'; i <= 'j'; i++)
        client_send(client, 9, &i, 1);
    for (char i = 'a'; i <= 'j'; i++)
        client_expect(client, 10, &i, 1);
}

/* ---- JSON ---- */

/* The v2 update of nothing, and the state vector of nothing. */
#define EMPTY_SYNC "{\"t\":\"sync\",\"state\":\"AAAAAAAAAQAAAAAAAA==\",\"sv\":\"AA==\"}"

/* A JSON client that has its document; `*ret_session` is its number. */
static int join_json(int *room, uint64_t *ret_session)
{
    struct segment *segment = room_segment(&g, "r", 0, slice_of("\0\0", 2));
    int client = client_open(&g, "/rooms/r/ws");
    struct blob *hello CLEANUP_BLOB = NULL;

    cr_assert(client_receive(client, &hello) == 1);
    cr_expect(memcmp(hello->data, "{\"t\":\"hello\",\"room\":\"r\",", 24) == 0);
    if (*room < 0)
        *room = roomd_open_room(&g, "r", -1);
    *ret_session = room_expect_join(*room, 2);
    client_expect(client, TEXT(EMPTY_SYNC));
    segment_free(segment);
    return client;
}

Test(rooms, a_json_client)
{
    int room = -1;
    uint64_t a;
    int client = join_json(&room, &a);
    client_send(client, TEXT("{\"t\":\"op\",\"seq\":41,\"data\":{\"update\":\"AQID\"}}"));
    PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
    cr_expect(edit.format == 2 && slice_equal(edit.update, slice_of("\1\2\3", 3)));
    PEER_SEND(room, room_update, .seq = 2, .session = a, .update = bytes("x"),
              .update_v2 = bytes("x"));
    PEER_SEND(room, room_applied, .session = a, .op = edit.op, .seq = 2);
    cr_expect(peer_is_quiet(client));
    PEER_SEND(room, room_stored, .stored_seq = 2);
    client_expect(client, TEXT("{\"t\":\"ack\",\"seq\":41}"));
    PEER_SEND(room, room_update, .seq = 3, .session = 1, .update = bytes("x"),
              .update_v2 = slice_of("\1", 1));
    client_expect(client, TEXT("{\"t\":\"op\",\"seq\":3,\"data\":{\"update\":\"AQ==\"}}"));
    PEER_SEND(room, room_rejected, .session = a, .op = 77, .refusal = REFUSAL_OVER_LIMIT);
    client_expect(client, TEXT("{\"t\":\"error\",\"code\":\"over_limit\",\"message\":"
                               "\"the update is over a limit of the room\"}"));
    client_send(client, BIN("x"));
    client_expect_close(client, 1003);
}

Test(rooms, json_presence)
{
    int room = -1;
    uint64_t session;
    int client = join_json(&room, &session);
    client_send(client, TEXT("{\"t\":\"presence\",\"client\":5,\"user\":\"k\"}"));
    PEER_EXPECT(room, session_awareness, SESSION_AWARENESS, m)
    cr_expect(m.awareness.len == 2 + 5 + 1 + 12);
    cr_expect(memcmp(m.awareness.data, "\1\5", 2) == 0);
    cr_expect(memcmp(m.awareness.data + 7, "\x0c{\"user\":\"k\"}", 13) == 0);
    client_send(client, TEXT("{\"t\":\"presence\",\"client\":6}"));
    client_expect(client, TEXT("{\"t\":\"error\",\"code\":\"bad_message\",\"message\":"
                               "\"the message does not decode\"}"));
    PEER_SEND(room, room_awareness, .except = session, .awareness = bytes("\1\7\1\2{}"));
    PEER_SEND(room, room_awareness, .awareness = slice_of("\1\x08\1\2{}", 6));
    client_expect(client, TEXT("{\"t\":\"presence\",\"client\":8}"));
}

/* A room that does not know of the client yet sends v1 only. */
Test(rooms, a_json_client_gets_every_edit_in_v2)
{
    int room = -1;
    uint64_t session;
    int client = join_json(&room, &session);
    PEER_SEND(room, room_update, .seq = 2, .update = slice_of("\0\0", 2));
    client_expect(client, TEXT("{\"t\":\"op\",\"seq\":2,\"data\":{\"update\":"
                               "\"AAAAAAAAAQAAAAAAAA==\"}}"));
    PEER_SEND(room, room_update, .seq = 3, .update = bytes("what does not decode"));
    client_expect_close(client, 1013);
}

Test(rooms, a_join_that_the_room_refuses_closes_the_client)
{
    int room = -1;
    uint64_t session;
    int client = join_json(&room, &session);
    PEER_SEND(room, room_rejected, .session = session, .op = 0, .refusal = REFUSAL_TOO_MANY);
    client_expect(client, TEXT("{\"t\":\"error\",\"code\":\"too_many\",\"message\":"
                               "\"too many at once\"}"));
    client_expect_close(client, 1008);
}

/* ---- JSON through a lens ---- */

Test(rooms, a_client_with_a_lens_gets_what_that_shows)
{
    int client = client_open(&g, "/rooms/r/ws?data=ops");
    struct blob *hello CLEANUP_BLOB = NULL;

    cr_assert(client_receive(client, &hello) == 1);
    int room = roomd_open_room(&g, "r", -1);
    PEER_EXPECT(room, session_join, SESSION_JOIN, join)
    cr_expect(join.lens == LENS_OPS && !join.is_read_only);
    PEER_SEND(room, room_change, .lens = LENS_OPS, .seq = 1, .body = bytes("{\"early\":1}\n"));
    PEER_SEND(room, room_view, .session = join.session, .seq = 1, .body = bytes("[]"));
    client_expect(client, TEXT("{\"t\":\"sync\",\"state\":\"W10=\"}"));

    client_send(client, TEXT("{\"t\":\"op\",\"seq\":4,\"data\":{\"kind\":\"x\"}}"));
    PEER_EXPECT(room, session_op, SESSION_OP, op)
    cr_expect(op.session == join.session && slice_equal(op.body, bytes("{\"kind\":\"x\"}")));
    PEER_SEND(room, room_update, .seq = 2, .session = 1, .update = slice_of("\0\0", 2));
    PEER_SEND(room, room_change, .lens = LENS_OPS, .seq = 2, .session = join.session,
              .body = bytes("{\"a\":1}\n{\"b\":2}\n"));
    PEER_SEND(room, room_applied, .session = join.session, .op = op.op, .seq = 2);
    PEER_SEND(room, room_stored, .stored_seq = 2);
    client_expect(client, TEXT("{\"t\":\"op\",\"seq\":2,\"data\":{\"a\":1}}"));
    client_expect(client, TEXT("{\"t\":\"op\",\"seq\":2,\"data\":{\"b\":2}}"));
    client_expect(client, TEXT("{\"t\":\"ack\",\"seq\":4}"));
}

/* It cannot be given a difference, so it gets everything again. */
Test(rooms, a_client_with_a_lens_that_does_not_read_gets_all_again)
{
    static const char sync[] = "{\"t\":\"sync\",\"state\":\"WzFd\"}";
    int client = client_open(&g, "/rooms/r/ws?data=ops");
    int room = roomd_open_room(&g, "r", -1);
    PEER_EXPECT(room, session_join, SESSION_JOIN, join)
    struct blob *body CLEANUP_BLOB = blob_new(1 << 20);
    struct pollfd peers[] = {{.fd = room, .events = POLLIN}, {.fd = client, .events = POLLIN}};
    unsigned frames = 0;
    bool is_last = false;

    PEER_SEND(room, room_view, .session = join.session, .seq = 1, .body = bytes("[]"));
    memset(body->data, '1', body->len);
    for (uint64_t seq = 1; seq <= 40; seq++)
        PEER_SEND(room, room_change, .lens = LENS_OPS, .seq = seq, .body = blob_slice(body));
    while (!is_last) {
        struct blob *frame CLEANUP_BLOB = NULL;
        cr_assert(poll(peers, 2, 10000) > 0);
        if (peers[0].revents) {
            PEER_EXPECT(room, session_view, SESSION_VIEW, view)
            cr_expect(view.session == join.session);
            PEER_SEND(room, room_view, .session = view.session, .seq = 40, .body = bytes("[1]"));
            peers[0].fd = -1;
            continue;
        }
        cr_assert(client_receive(client, &frame) == 1);
        is_last = slice_equal(blob_slice(frame), slice_str(sync));
        frames++;
    }
    cr_expect(frames < 40, "some were dropped");
}
