/* Questions of clients and their answers, from segments that this test writes. */
#include "harness.h"

#include "common/loop.h"
#include "gateway/joins.h"
#include "proto/refusal.h"

#include <criterion/criterion.h>

static struct gateway_under_test g;

static void start(void)
{
    harness_start(&g);
}

static void stop(void)
{
    harness_stop(&g);
}

TestSuite(joins, .init = start, .fini = stop, .timeout = 120);

#define BIN(s)  2, s, sizeof(s) - 1
#define TEXT(s) 1, s, strlen(s)

#define ASK_ALL "\0\0\1\0" /* step 1 of a client that has nothing */
#define EMPTY   slice_of("\0\0", 2)

/* `hello` of client 5 at clock 0 of a document; what it becomes in a message. */
#define HELLO        "\1\1\5\0\4\1\1t\5hello\0"
#define HELLO_VECTOR "\1\5\5"

static struct slice hello(void)
{
    return slice_of(HELLO, sizeof(HELLO) - 1);
}

/* Reads a message of y-protocols: its kind (0 to 2, 3 for awareness) and the length of its body. */
static unsigned receive(int client, size_t *ret_len)
{
    struct blob *frame CLEANUP_BLOB = NULL;
    size_t at = 1;
    size_t len = 0;

    cr_assert(client_receive(client, &frame) == 2, "no binary frame");
    unsigned kind = frame->data[0] == 1 ? 3 : frame->data[at++];
    for (unsigned shift = 0;; shift += 7) {
        len |= (size_t)(frame->data[at] & 0x7f) << shift;
        if (!(frame->data[at++] & 0x80))
            break;
    }
    cr_assert(frame->len == at + len);
    *ret_len = len;
    return kind;
}

static void expect_message(int client, unsigned kind, size_t min_len, size_t max_len)
{
    size_t len;
    unsigned got = receive(client, &len);

    cr_expect(got == kind, "message %u, not %u", got, kind);
    cr_expect(len >= min_len && len <= max_len, "%zu bytes", len);
}

/* A client that has joined the room `r`. */
static int join(int *room)
{
    int client = client_open(&g, "/yjs/r");

    if (*room < 0)
        *room = roomd_open_room(&g, "r", -1);
    (void)room_expect_join(*room, 1);
    return client;
}

/* ---- answers ---- */

Test(joins, the_document_comes_from_the_segment)
{
    struct segment *segment = room_segment(&g, "r", 0, hello());
    int room = -1;
    int client = join(&room);

    client_send(client, BIN(ASK_ALL));
    client_expect(client, BIN("\0\1\x0f" HELLO));
    client_expect(client, BIN("\0\0\3" HELLO_VECTOR));
    /* What the room appends is in the next answer, whether or not it was broadcast. */
    struct blob *more CLEANUP_BLOB = text_update(5, 5, '!', 1);
    segment_add(segment, 1, blob_slice(more));
    PEER_SEND(room, room_stored, .stored_seq = 1);
    client_send(client, BIN("\0\0\3\1\5\5"));
    expect_message(client, 1, more->len, more->len);
    client_expect(client, BIN("\0\0\3\1\5\6"));
    client_send(client, BIN("\0\0\3\1\5\6"));
    client_expect(client, BIN("\0\1\2\0\0"));
    client_expect(client, BIN("\0\0\3\1\5\6"));
    cr_expect(peer_is_quiet(room), "the room is asked nothing");
    segment_free(segment);
}

Test(joins, json_clients_get_the_same)
{
    struct segment *segment = room_segment(&g, "r", 0, EMPTY);
    int client = client_open(&g, "/rooms/r/ws?since=AQUF");
    struct blob *got CLEANUP_BLOB = NULL;
    struct blob *more CLEANUP_BLOB = text_update(5, 0, 'x', 6);

    segment_add(segment, 1, blob_slice(more));
    cr_assert(client_receive(client, &got) == 1); /* hello */
    int room = roomd_open_room(&g, "r", -1);
    (void)room_expect_join(room, 2);
    blob_unref(got);
    cr_assert(client_receive(client, &got) == 1);
    static const char begin[] = "{\"t\":\"sync\",\"state\":\"";
    static const char end[] = "\",\"sv\":\"AQUG\"}";
    cr_assert(got->len > sizeof(begin) + sizeof(end));
    cr_expect(memcmp(got->data, begin, sizeof(begin) - 1) == 0);
    cr_expect(memcmp(got->data + got->len - sizeof(end) + 1, end, sizeof(end) - 1) == 0);
    segment_free(segment);
}

/* The end of the synchronisation is the last that comes, also where the large part is shared. */
Test(joins, what_followed_a_large_document_comes_before_it)
{
    enum { LARGE = 1 << 20 };
    struct blob *large CLEANUP_BLOB = text_update(5, 0, 'x', LARGE);
    struct blob *more CLEANUP_BLOB = text_update(5, LARGE, 'y', 10);
    struct segment *segment = room_segment(&g, "r", 0, blob_slice(large));
    int room = -1;
    int first = join(&room);
    int second = join(&room);

    segment_add(segment, 1, blob_slice(more));
    for (int i = 0; i < 2; i++) {
        int client = i == 0 ? first : second;
        client_send(client, BIN(ASK_ALL));
        expect_message(client, 2, more->len, more->len);
        expect_message(client, 1, large->len, large->len);
        client_expect(client, BIN("\0\0\5\1\5\x8a\x80\x40"));
    }
    segment_free(segment);
}

/* ---- when ---- */

/* An edit that is appended after the reading must be broadcast to us. */
Test(joins, nobody_is_answered_before_the_link_is_subscribed)
{
    struct segment *segment = room_segment(&g, "r", 0, hello());
    int client = client_open(&g, "/yjs/r");

    client_send(client, BIN("\0\0\3\1\5\2"));
    int room = roomd_open_room_only(&g, "r", -1);
    (void)room_expect_join(room, 1);
    cr_expect(peer_is_quiet(client));
    client_send(client, BIN("\0\0\3\1\5\3"));
    client_send(client, BIN(ASK_ALL));
    cr_expect(peer_is_quiet(client));
    room_subscribe(room);
    client_expect(client, BIN("\0\1\x0f" HELLO));
    client_expect(client, BIN("\0\0\3" HELLO_VECTOR));
    cr_expect(peer_is_quiet(client), "the latest question is the one that is answered");
    segment_free(segment);
}

Test(joins, a_room_that_is_started_anew_keeps_nobody_waiting)
{
    struct segment *segment = room_segment(&g, "r", 3, hello());
    int room = -1;
    int first = join(&room);

    client_send(first, BIN(ASK_ALL));
    client_expect(first, BIN("\0\1\x0f" HELLO));
    client_expect(first, BIN("\0\0\3" HELLO_VECTOR));
    (void)close(room);
    int second = client_open(&g, "/yjs/r");
    client_send(second, BIN(ASK_ALL));
    client_expect(second, BIN("\0\1\x0f" HELLO));
    client_expect(second, BIN("\0\0\3" HELLO_VECTOR));
    /* What followed the first answer may not have been broadcast. */
    room = roomd_open_room(&g, "r", 3);
    (void)room_expect_join(room, 1);
    segment_free(segment);
}

Test(joins, a_segment_that_was_replaced)
{
    struct segment *old = room_segment(&g, "r", 0, EMPTY);
    int room = -1;
    int client = join(&room);

    client_send(client, BIN(ASK_ALL));
    client_expect(client, BIN("\0\1\2\0\0"));
    client_expect(client, BIN("\0\0\1\0"));
    struct segment *new = room_segment(&g, "r", 0, hello());
    atomic_fetch_or(&segment_header(old)->flags, SEGMENT_SUPERSEDED);
    client_send(client, BIN(ASK_ALL));
    client_expect(client, BIN("\0\1\x0f" HELLO));
    client_expect(client, BIN("\0\0\3" HELLO_VECTOR));
    segment_free(old);
    segment_free(new);
}

/* ---- refusals ---- */

Test(joins, a_segment_that_cannot_be_read_is_told)
{
    int room = -1;
    int client = join(&room);

    client_send(client, BIN(ASK_ALL));
    client_expect_close(client, 1013);
    PEER_EXPECT(room, session_leave, SESSION_LEAVE, leave)
    (void)close(room);
    struct segment *segment = room_segment(&g, "r", 0, slice_str("no update"));
    room = -1;
    client = join(&room);
    int other = join(&room);
    client_send(client, BIN(ASK_ALL));
    client_expect_close(client, 1013);
    segment_free(segment);
    segment = room_segment(&g, "r", 0, hello());
    client_send(other, BIN(ASK_ALL));
    client_expect(other, BIN("\0\1\x0f" HELLO));
    segment_free(segment);
}

Test(joins, a_state_vector_that_does_not_decode)
{
    struct segment *segment = room_segment(&g, "r", 0, hello());
    int room = -1;
    int client = join(&room);
    int json = client_open(&g, "/rooms/r/ws?since=__8");
    struct blob *got CLEANUP_BLOB = NULL;

    client_send(client, BIN("\0\0\2\xff\xff"));
    client_expect_close(client, 1007);
    cr_assert(client_receive(json, &got) == 1); /* hello */
    client_expect(json, TEXT("{\"t\":\"error\",\"code\":\"bad_message\",\"message\":"
                             "\"the message does not decode\"}"));
    client_expect_close(json, 1007);
    segment_free(segment);
}

/* ---- who comes back with edits that are not acknowledged ---- */

/* The answer has all deletions, so also those of the client: it is no word that they are stored. */
Test(joins, who_comes_back_is_answered_once_all_is_stored)
{
    struct segment *segment = room_segment(&g, "r", 3, hello());
    int room = -1;
    int back = join(&room);
    int new = join(&room);

    client_send(back, BIN("\0\0\3" HELLO_VECTOR));
    client_send(new, BIN(ASK_ALL));
    client_expect(new, BIN("\0\1\x0f" HELLO));
    client_expect(new, BIN("\0\0\3" HELLO_VECTOR));
    PEER_SEND(room, room_stored, .stored_seq = 2);
    PEER_SEND(room, room_update, .seq = 4, .session = 1, .update = slice_str("x"));
    client_expect(back, BIN("\0\2\1x"));
    cr_expect(peer_is_quiet(back), "the answer holds what is not stored");
    PEER_SEND(room, room_stored, .stored_seq = 3);
    client_expect(back, BIN("\0\1\2\0\0"));
    client_expect(back, BIN("\0\0\3" HELLO_VECTOR));
    segment_free(segment);
}

Test(joins, a_store_that_is_down_keeps_nobody_out)
{
    struct segment *segment = room_segment(&g, "r", 3, hello());
    int room = -1;
    int back = join(&room);

    client_send(back, BIN("\0\0\3" HELLO_VECTOR));
    client_expect(back, BIN("\0\1\2\0\0"));
    client_expect(back, BIN("\0\0\3" HELLO_VECTOR));
    segment_free(segment);
}

Test(joins, an_answer_does_not_wait_where_acknowledgements_do_not)
{
    struct segment *segment = room_segment(&g, "r", 3, hello());
    int client = client_open(&g, "/rooms/r/ws?since=AQUF");
    struct blob *got CLEANUP_BLOB = NULL;

    cr_assert(client_receive(client, &got) == 1); /* hello */
    int room = roomd_open_room(&g, "r", -1);
    (void)room_expect_join(room, 2);
    blob_unref(got);
    cr_assert(client_receive(client, &got) == 1);
    cr_expect(memcmp(got->data, "{\"t\":\"sync\"", 11) == 0);
    segment_free(segment);
}

/* ---- echoes that were forgotten ---- */

/* Sends `count` edits of 1 MB, which the room takes from sequence 1 on. */
static void send_large_edits(int client, int room, uint64_t session, uint64_t count)
{
    static const size_t size = 1 << 20;
    uint8_t *edit = calloc(1, size);

    memcpy(edit, "\0\2\xfb\xff\x3f", 5);
    for (uint64_t seq = 1; seq <= count; seq++) {
        client_send(client, 2, edit, size);
        PEER_EXPECT(room, session_update, SESSION_UPDATE, m)
        PEER_SEND(room, room_applied, .session = session, .op = m.op, .seq = seq);
    }
    free(edit);
}

Test(joins, a_store_that_is_down_for_long_costs_one_document)
{
    static const size_t size = (1 << 20) - 5;
    struct segment *segment = room_segment(&g, "r", 12, hello());
    int client = client_open(&g, "/yjs/r");
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);
    size_t len;
    unsigned kind;

    send_large_edits(client, room, session, 12);
    PEER_SEND(room, room_stored, .stored_seq = 12);
    do /* the edits after the last that was forgotten come one by one */
        kind = receive(client, &len);
    while (kind == 2 && len == size);
    cr_expect(kind == 1 && len == hello().len);
    client_expect(client, BIN("\0\0\3" HELLO_VECTOR));
    cr_expect(peer_is_quiet(client));
    segment_free(segment);
}

/* The whole document holds more than was forgotten: it is no word that all of it is stored. */
Test(joins, the_document_that_stands_for_echoes_waits_for_the_store)
{
    struct segment *segment = room_segment(&g, "r", 14, hello());
    int client = client_open(&g, "/yjs/r");
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);
    size_t len;
    unsigned kind;

    send_large_edits(client, room, session, 9);
    PEER_SEND(room, room_stored, .stored_seq = 9);
    PEER_SEND(room, room_stored, .stored_seq = 13);
    cr_expect(peer_is_quiet(room));
    PEER_SEND(room, room_awareness, .awareness = slice_str("who"));
    while ((kind = receive(client, &len)) != 3) /* echoes may come before; the document may not */
        cr_assert(kind == 2, "not yet");
    PEER_SEND(room, room_stored, .stored_seq = 14);
    client_expect(client, BIN("\0\1\x0f" HELLO));
    segment_free(segment);
}

/* ---- limits ---- */

Test(joins, one_large_document_may_wait_for_a_slow_client)
{
    static const size_t size = 40 << 20;
    struct blob *large CLEANUP_BLOB = text_update(5, 0, 'x', size);
    struct segment *segment = room_segment(&g, "r", 0, blob_slice(large));
    struct blob *edit CLEANUP_BLOB = text_update(6, 0, 'y', 1 << 20);
    int room = -1;
    int client = join(&room);

    client_send(client, BIN(ASK_ALL));
    client_send(client, BIN("\0\2\1x"));
    PEER_EXPECT(room, session_update, SESSION_UPDATE, fence)
    for (uint64_t seq = 1; seq <= 5; seq++)
        PEER_SEND(room, room_update, .seq = seq, .session = 1, .update = blob_slice(edit));
    expect_message(client, 1, large->len, large->len);
    client_expect(client, BIN("\0\0\6\1\5\x80\x80\x80\x14"));
    for (int i = 0; i < 5; i++)
        expect_message(client, 2, edit->len, edit->len);
    segment_free(segment);
}

/* Who does not read an answer gets no other one, however often it asks. */
Test(joins, a_client_that_does_not_read_is_answered_once)
{
    static const size_t size = 30 << 20;
    const uint64_t enough_ms = 4 * size / JOINS_CLIENT_RATE; /* for three answers more */
    struct blob *large CLEANUP_BLOB = text_update(5, 0, 'x', size);
    struct segment *segment = room_segment(&g, "r", 0, blob_slice(large));
    int room = -1;
    int slow = join(&room);
    int other = join(&room);

    for (uint64_t end = mono_now_ms() + enough_ms; mono_now_ms() < end;) {
        client_send(slow, BIN(ASK_ALL));
        client_send(other, 9, "x", 1); /* makes it a turn of its own */
        client_expect(other, 10, "x", 1);
    }
    expect_message(slow, 1, large->len, large->len);
    client_expect(slow, BIN("\0\0\6\1\5\x80\x80\x80\x0f"));
    expect_message(slow, 1, large->len, large->len); /* to the latest question */
    client_expect(slow, BIN("\0\0\6\1\5\x80\x80\x80\x0f"));
    cr_expect(peer_is_quiet(slow));
    segment_free(segment);
}

/* What costs much and answers little: whoever asks for it again and again comes behind the others.
 */
Test(joins, a_client_that_asks_on_and_on_waits_for_its_turn)
{
    static const size_t size = 128 << 20; /* two seconds at JOINS_CLIENT_RATE */
    struct blob *large CLEANUP_BLOB = text_update(5, 0, 'x', size);
    struct segment *segment = room_segment(&g, "r", 0, blob_slice(large));
    int room = -1;
    int greedy = join(&room);
    int other = join(&room);

    client_send(greedy, BIN("\0\0\6\1\5\x80\x80\x80\x40"));
    client_expect(greedy, BIN("\0\1\2\0\0"));
    client_expect(greedy, BIN("\0\0\6\1\5\x80\x80\x80\x40"));
    client_send(greedy, BIN("\0\0\6\1\5\x81\x80\x80\x40"));
    client_send(greedy, 9, "x", 1);
    client_expect(greedy, 10, "x", 1);
    client_send(other, BIN("\0\0\6\1\5\x82\x80\x80\x40"));
    client_expect(other, BIN("\0\1\2\0\0"));
    cr_expect(peer_is_quiet(greedy));
    client_expect(greedy, BIN("\0\1\2\0\0"));
    segment_free(segment);
}

/* Many clients that ask for a large document and do not read it. Those who have nothing share it;
 * each of the others has one of its own. */
Test(joins, documents_that_wait_are_bounded_together)
{
    enum { SHARED = 5, OWN = 3 };
    static const size_t size = 180 << 20;
    struct blob *large CLEANUP_BLOB = text_update(5, 0, 'x', size);
    struct segment *segment = room_segment(&g, "r", 0, blob_slice(large));
    int room = -1;
    int clients[SHARED];
    int own[OWN];

    for (int i = 0; i < SHARED; i++) {
        clients[i] = join(&room);
        client_send(clients[i], BIN(ASK_ALL));
    }
    for (int i = 0; i < OWN; i++) {
        char question[] = "\0\0\3\1\5\1"; /* the first letters are there */
        question[5] = (char)(i + 1);
        own[i] = join(&room);
        client_send(own[i], 2, question, 6);
    }
    client_expect_close(own[OWN - 1], 1013);
    expect_message(clients[SHARED - 1], 1, large->len, large->len);
    expect_message(own[0], 1, size - 1, large->len);
    segment_free(segment);
}
