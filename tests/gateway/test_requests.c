/* Requests with a body and answers that come late: from a room, which this test plays. */
#include "harness.h"

#include "gateway/conn.h"
#include "gateway/exchange.h"
#include "proto/refusal.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
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

TestSuite(requests, .init = start, .fini = stop, .timeout = 90);

#define H "Host: localhost\r\n"

/* An answer's head and its body, which is short. */
static unsigned read_answer(int fd, char body[256])
{
    char head[2048] = "";
    unsigned status = 0;
    size_t len = 0;

    while (!strstr(head, "\r\n\r\n") && len < sizeof(head) - 1)
        cr_assert(recv(fd, head + len++, 1, 0) == 1, "an answer comes: %s", head);
    cr_assert(sscanf(head, "HTTP/1.1 %u ", &status) == 1, "%s", head);
    const char *length = strstr(head, "Content-Length: ");
    len = length ? (size_t)atoi(length + strlen("Content-Length: ")) : 0;
    cr_assert(len < 256);
    if (len > 0)
        cr_assert(recv(fd, body, len, MSG_WAITALL) == (ssize_t)len);
    body[len] = '\0';
    return status;
}

static void expect_answer(int fd, unsigned status, const char *body)
{
    char got[256];
    unsigned got_status = read_answer(fd, got);

    cr_expect(got_status == status, "%u, not %u", got_status, status);
    cr_expect(strcmp(got, body) == 0, "%s", got);
}

static void write_text(int fd, const char *text)
{
    client_write(fd, text, strlen(text));
}

/* The socket has nothing to read for a while. */
static bool is_quiet(int fd)
{
    return peer_is_quiet(fd);
}

/* ---- bodies ---- */

#define NEW  "POST /doc/new HTTP/1.1\r\n" H
#define DOC  "{\"docId\":\"a\"}"
#define NEXT "GET /healthz HTTP/1.1\r\n" H "\r\n"

Test(requests, a_body_in_pieces)
{
    static const char request[] = NEW "Content-Length: 13\r\n\r\n{\"docId\":\"a\"}" NEXT;
    int fd = client_connect(&g);

    for (size_t i = 0; i < sizeof(request) - 1; i++)
        client_write(fd, request + i, 1);
    expect_answer(fd, 200, DOC);
    expect_answer(fd, 200, "ok\n");
    write_text(fd, request);
    expect_answer(fd, 200, DOC);
    expect_answer(fd, 200, "ok\n");
}

Test(requests, a_body_that_is_waited_for)
{
    int fd = client_connect(&g);

    write_text(fd, NEW "Expect: 100-Continue\r\nContent-Length: 13\r\n\r\n");
    expect_answer(fd, 100, "");
    write_text(fd, "{\"docId\":\"a\"}");
    expect_answer(fd, 200, DOC);
    write_text(fd, NEW "Expect: 100-continue\r\nContent-Length: 13\r\n\r\n{\"docId\":\"a\"}");
    expect_answer(fd, 200, DOC);
    write_text(fd, NEW "Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
    expect_answer(fd, 413, "Content Too Large\n");
    cr_expect(client_has_ended(fd));
}

Test(requests, bodies_that_are_not_read)
{
    static const struct {
        const char *head;
        unsigned status;
    } rows[] = {
        {NEW "Content-Length: 4097\r\n\r\n", 413},
        {NEW "Content-Length: 9223372036854775807\r\n\r\n", 413},
        {NEW "Content-Length: 18446744073709551616\r\n\r\n", 400},
        {NEW "Content-Length: -1\r\n\r\n", 400},
        {NEW "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {NEW "Transfer-Encoding: chunked\r\n\r\n", 411},
        {NEW "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST /d/r/update HTTP/1.1\r\n" H "Content-Length: 4194305\r\n\r\n", 413},
        {"GET /d/r/as-update HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n", 400},
        {"POST /nothing HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n", 405},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = client_connect(&g);
        unsigned status = client_request(fd, rows[i].head);
        cr_expect(status == rows[i].status, "%u, not %u: %s", status, rows[i].status, rows[i].head);
        (void)close(fd);
    }
}

static void be_patient(int fd, int seconds)
{
    struct timeval t = {.tv_sec = seconds};

    cr_assert(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0);
}

Test(requests, a_body_has_a_deadline)
{
    int fd = client_connect(&g);

    be_patient(fd, 60);
    write_text(fd, NEW "Content-Length: 13\r\n\r\n{\"doc");
    expect_answer(fd, 408, "Request Timeout\n");
    cr_expect(client_has_ended(fd));
}

/* ---- late answers ---- */

#define UPDATE "POST /d/r/update HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"

Test(requests, an_edit_is_answered_when_it_is_stored)
{
    int fd = client_connect(&g);

    write_text(fd, UPDATE NEXT);
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
    cr_expect(edit.session == session && edit.format == 1);
    cr_expect(slice_equal(edit.update, slice_str("abc")));
    PEER_SEND(room, room_awareness, .awareness = slice_str("\1\1\1\2{}"));
    PEER_SEND(room, room_applied, .session = session, .op = edit.op, .seq = 5);
    PEER_SEND(room, room_stored, .stored_seq = 4);
    cr_expect(is_quiet(fd), "neither it nor what is behind it");
    PEER_SEND(room, room_stored, .stored_seq = 5);
    expect_answer(fd, 204, "");
    expect_answer(fd, 200, "ok\n");
    PEER_EXPECT(room, session_leave, SESSION_LEAVE, leave)
    cr_expect(leave.session == session);
    cr_expect(peer_has_ended(room));

    write_text(fd, UPDATE);
    room = roomd_open_room(&g, "r", -1);
    (void)room_expect_join(room, 1);
}

Test(requests, an_edit_that_is_refused)
{
    static const struct {
        uint32_t refusal;
        unsigned status;
        const char *text;
    } rows[] = {
        {REFUSAL_BAD_UPDATE, 400, "the update does not decode\n"},
        {REFUSAL_OVER_LIMIT, 422, "the update is over a limit of the room\n"},
        {REFUSAL_READ_ONLY, 403, "this client may only read\n"},
        {REFUSAL_STORAGE_FULL, 507, "the server's storage is full\n"},
    };
    int fd = client_connect(&g);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        write_text(fd, UPDATE);
        int room = roomd_open_room(&g, "r", -1);
        uint64_t session = room_expect_join(room, 1);
        PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
        PEER_SEND(room, room_rejected, .session = session, .op = edit.op,
                  .refusal = rows[i].refusal);
        expect_answer(fd, rows[i].status, rows[i].text);
        PEER_EXPECT(room, session_leave, SESSION_LEAVE, leave)
        (void)close(room);
    }
}

Test(requests, a_room_that_is_refused)
{
    int fd = client_connect(&g);

    write_text(fd, "GET /d/r/as-update HTTP/1.1\r\n" H "\r\n");
    PEER_EXPECT(g.roomd, room_open, ROOM_OPEN, asked)
    PEER_SEND(g.roomd, room_refused, .request = asked.request, .refusal = REFUSAL_ROOM_QUARANTINED);
    expect_answer(fd, 503,
                  "the room is in quarantine after failures; its content is kept, an operator must "
                  "release it\n");
    write_text(fd, NEXT);
    expect_answer(fd, 200, "ok\n");
}

Test(requests, a_document_is_one_update)
{
    struct blob *first CLEANUP_BLOB = text_update(1, 0, 'a', 3);
    struct blob *second CLEANUP_BLOB = text_update(1, 3, 'b', 2);
    struct segment *segment = room_segment(&g, "r", 1, blob_slice(first));
    char body[256];
    int fd = client_connect(&g);

    write_text(fd, "GET /d/r/as-update HTTP/1.1\r\n" H "\r\n");
    int room = roomd_open_room(&g, "r", -1);
    (void)room_expect_join(room, 1);
    cr_assert(read_answer(fd, body) == 200);
    cr_expect(memcmp(body, first->data, first->len) == 0, "the checkpoint as it is");
    PEER_EXPECT(room, session_leave, SESSION_LEAVE, leave)
    (void)close(room);

    segment_add(segment, 2, blob_slice(second));
    write_text(fd, "HEAD /d/r/as-update HTTP/1.1\r\n" H "\r\n");
    room = roomd_open_room(&g, "r", -1);
    (void)room_expect_join(room, 1);
    cr_assert(client_request(fd, "") == 200);
    cr_expect(is_quiet(fd), "HEAD has no content");
    PEER_EXPECT(room, session_leave, SESSION_LEAVE, again)
    (void)close(room);

    write_text(fd, "GET /d/r/as-update HTTP/1.1\r\n" H "\r\n");
    room = roomd_open_room(&g, "r", -1);
    (void)room_expect_join(room, 1);
    cr_assert(read_answer(fd, body) == 200);
    cr_expect(memmem(body, sizeof(body), "aaa", 3) && memmem(body, sizeof(body), "bb", 2));
    segment_free(segment);
}

Test(requests, a_client_that_has_said_all_still_gets_its_answer)
{
    int fd = client_connect(&g);

    write_text(fd, UPDATE);
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
    cr_assert(shutdown(fd, SHUT_WR) == 0);
    PEER_SEND(room, room_applied, .session = session, .op = edit.op, .seq = 1);
    PEER_SEND(room, room_stored, .stored_seq = 1);
    expect_answer(fd, 204, "");
    cr_expect(client_has_ended(fd));
}

Test(requests, a_client_that_is_gone)
{
    int fd = client_connect(&g);

    write_text(fd, UPDATE);
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
    struct linger reset = {.l_onoff = 1};
    cr_assert(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0);
    (void)close(fd);
    PEER_SEND(room, room_applied, .session = session, .op = edit.op, .seq = 1);
    PEER_SEND(room, room_stored, .stored_seq = 1);
    PEER_EXPECT(room, session_leave, SESSION_LEAVE, leave)
    cr_expect(leave.session == session);
}

Test(requests, the_end_of_the_process_waits_for_answers)
{
    char head[2048] = "";
    int fd = client_connect(&g);

    write_text(fd, UPDATE);
    int room = roomd_open_room(&g, "r", -1);
    uint64_t session = room_expect_join(room, 1);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
    cr_assert(kill(g.pid, SIGTERM) == 0);
    cr_expect(is_quiet(fd));
    PEER_SEND(room, room_applied, .session = session, .op = edit.op, .seq = 1);
    PEER_SEND(room, room_stored, .stored_seq = 1);
    cr_assert(recv(fd, head, sizeof(head) - 1, 0) > 0);
    cr_expect(strstr(head, "HTTP/1.1 204 ") && strstr(head, "Connection: close\r\n"), "%s", head);
    cr_expect(client_has_ended(fd));
}

Test(requests, an_answer_has_a_deadline)
{
    int fd = client_connect(&g);

    be_patient(fd, 2 * EXCHANGE_MS / 1000);
    write_text(fd, UPDATE);
    int room = roomd_open_room(&g, "r", -1);
    (void)room_expect_join(room, 1);
    PEER_EXPECT(room, session_update, SESSION_UPDATE, edit)
    expect_answer(fd, 503, "the room is not available, try again later\n");
    write_text(fd, NEXT);
    expect_answer(fd, 200, "ok\n");
}
