/* Clients of a room that see it through a lens, and clients that may only read: a real room process
 * (room_fixture.h). */
#include "crdt/lib0.h"
#include "proto/lens.h"
#include "proto/refusal.h"
#include "room_fixture.h"
#include "updates.h"

#include <criterion/criterion.h>

#define ID(site, counter) "{\"site\":\"" site "\",\"counter\":" #counter "}"
#define INSERT(site, counter, after, value)                                                        \
    "{\"kind\":\"insert\",\"id\":" ID(site, counter) ",\"after\":" after ",\"value\":\"" value "\"}"
#define DELETE(site, counter, length)                                                              \
    "{\"kind\":\"delete\",\"id\":" ID(site, counter) ",\"length\":" #length "}"
#define RUN(site, counter, value) "{\"id\":" ID(site, counter) ",\"value\":\"" value "\"}"

static void join_lens(struct peer *link, uint64_t session)
{
    SEND(link, session_join, .session = session, .format = CRDT_V1, .lens = LENS_OPS);
}

static void send_op(struct peer *link, uint64_t session, uint64_t op, const char *body)
{
    SEND(link, session_op, .session = session, .op = op, .body = slice_str(body));
}

static void expect_view(struct peer *link, uint64_t session, uint64_t seq, const char *body)
{
    struct msg_room_view view = EXPECT(link, room_view, ROOM_VIEW);

    cr_assert_eq(view.session, session);
    cr_assert_eq(view.seq, seq);
    cr_assert(slice_equal(view.body, slice_str(body)), "%.*s", (int)view.body.len,
              (const char *)view.body.data);
}

static void expect_change(struct peer *link, uint64_t session, uint64_t seq, const char *body)
{
    struct msg_room_change change = EXPECT(link, room_change, ROOM_CHANGE);

    cr_assert_eq(change.lens, LENS_OPS);
    cr_assert_eq(change.session, session);
    cr_assert_eq(change.seq, seq);
    cr_assert(slice_equal(change.body, slice_str(body)), "%.*s", (int)change.body.len,
              (const char *)change.body.data);
}

static void expect_update(struct peer *link, uint64_t seq)
{
    cr_assert_eq(EXPECT(link, room_update, ROOM_UPDATE).seq, seq);
}

static void expect_applied(struct peer *link, uint64_t op, uint64_t seq)
{
    struct msg_room_applied applied = EXPECT(link, room_applied, ROOM_APPLIED);

    cr_assert_eq(applied.op, op);
    cr_assert_eq(applied.seq, seq);
}

static void expect_rejected(struct peer *link, uint64_t op, uint32_t refusal)
{
    struct msg_room_rejected rejected = EXPECT(link, room_rejected, ROOM_REJECTED);

    cr_assert_eq(rejected.op, op);
    cr_assert_eq(rejected.refusal, refusal);
}

/* One character at the start of `body`, as Yjs writes it. */
#define BODY_UPDATE(client, c)                                                                     \
    slice_of(((const uint8_t[]){1, 1, client, 0, 4, 1, 4, 'b', 'o', 'd', 'y', 1, c, 0}), 14)

Test(room_lens, an_edit_is_told_to_who_looks)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer thin = fixture_new_link(&f, false, 0), editor = fixture_new_client(&f, 2);

    join_lens(&thin, 1);
    expect_view(&thin, 1, 0, "[]");
    send_op(&thin, 1, 7, INSERT("a3f9", 1, "null", "hi"));
    expect_update(&thin, 1);
    expect_change(&thin, 1, 1, INSERT("a3f9", 1, "null", "hi") "\n");
    expect_applied(&thin, 7, 1);
    expect_update(&editor, 1); /* and no change: nobody there looks */

    send_edit(&editor, 2, 1, BODY_UPDATE(9, 'x'));
    expect_update(&editor, 2);
    expect_applied(&editor, 1, 2);
    expect_update(&thin, 2);
    expect_change(&thin, 2, 2, INSERT("#9", 1, "null", "x") "\n");
    send_edit(&editor, 2, 2, CHAR_UPDATE(10, 'y')); /* in another root */
    expect_update(&editor, 3);
    expect_applied(&editor, 2, 3);
    expect_update(&thin, 3);
    send_op(&thin, 1, 8, DELETE("a3f9", 1, 2));
    expect_update(&thin, 4);
    expect_change(&thin, 1, 4, DELETE("a3f9", 1, 2) "\n");
    expect_applied(&thin, 8, 4);
    peer_close(&thin);
    peer_close(&editor);
    fixture_finish(&f);
}

Test(room_lens, an_operation_that_came_before_is_applied_again_to_no_effect)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_link(&f, false, 0);

    join_lens(&link, 1);
    expect_view(&link, 1, 0, "[]");
    send_op(&link, 1, 1, INSERT("b", 1, ID("a", 1), "y")); /* waits, and is kept */
    expect_update(&link, 1);
    expect_applied(&link, 1, 1);
    send_op(&link, 1, 2, INSERT("b", 1, ID("a", 1), "y"));
    expect_applied(&link, 2, 1);
    fixture_crash(&f, &link);
    fixture_start_ready(&f, 1);
    link = fixture_new_link(&f, false, 0);
    join_lens(&link, 1);
    expect_view(&link, 1, 1, "[]");
    send_op(&link, 1, 3, INSERT("a", 1, "null", "x"));
    expect_update(&link, 2);
    expect_change(&link, 1, 2,
                  INSERT("a", 1, "null", "x") "\n" INSERT("b", 1, ID("a", 1), "y") "\n");
    expect_applied(&link, 3, 2);
    send_op(&link, 1, 4, INSERT("a", 1, "null", "x"));
    expect_applied(&link, 4, 2);
    send_op(&link, 1, 5, "{\"kind\":\"insert\"}");
    expect_rejected(&link, 5, REFUSAL_BAD_UPDATE);
    peer_close(&link);
    fixture_finish(&f);
}

/* Over a new link, in the middle of a batch, and when it asks. */
Test(room_lens, the_whole_state_comes_with_each_join)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer first = fixture_new_link(&f, false, 0), second = fixture_new_link(&f, false, 0);
    struct buffer frames = {0};

    join_lens(&first, 1);
    expect_view(&first, 1, 0, "[]");
    struct msg_session_op op = {
        .session = 1, .op = 1, .body = slice_str(INSERT("a", 1, "null", "x"))};
    struct msg_session_join join = {.session = 2, .format = CRDT_V1, .lens = LENS_OPS};
    struct blob *messages[] = {proto_encode_session_op(&op), proto_encode_session_join(&join)};
    for (size_t i = 0; i < 2; i++) {
        buffer_append(&frames, messages[i]->data, messages[i]->len);
        blob_unref(messages[i]);
    }
    cr_assert_eq(write(first.fd, frames.data, frames.len), (ssize_t)frames.len);
    buffer_done(&frames);
    expect_update(&first, 1);
    expect_change(&first, 1, 1, INSERT("a", 1, "null", "x") "\n");
    expect_applied(&first, 1, 1);
    expect_view(&first, 2, 1, "[" RUN("a", 1, "x") "]");

    join_lens(&second, 1);
    expect_update(&second, 1);
    expect_view(&second, 1, 1, "[" RUN("a", 1, "x") "]");
    SEND(&second, session_view, .session = 1);
    expect_view(&second, 1, 1, "[" RUN("a", 1, "x") "]");
    SEND(&second, session_view, .session = 99); /* gone meanwhile */
    SEND(&second, session_leave, .session = 1);
    SEND(&first, session_leave, .session = 2);
    send_op(&first, 2, 2, INSERT("a", 2, "null", "y"));
    SEND(&first, session_join, .session = 3, .format = CRDT_V1);
    send_edit(&first, 3, 3, BODY_UPDATE(9, 'z')); /* nobody looks any more */
    expect_update(&first, 2);
    expect_applied(&first, 3, 2);
    peer_close(&first);
    peer_close(&second);
    fixture_finish(&f);
}

/* What the store gave later is in no change. */
Test(room_lens, what_the_store_brings_is_shown_as_a_whole)
{
    struct fixture f = {0};
    fixture_start_ready(&f, 0);
    struct peer link = fixture_new_link(&f, false, 0);

    join_lens(&link, 1);
    expect_view(&link, 1, 0, "[]");
    peer_close(&f.store);
    (void)EXPECT(&f.control, room_detached, ROOM_DETACHED);
    fixture_give_store(&f);
    (void)EXPECT(&f.store, store_open, STORE_OPEN);
    SEND(&f.store, store_update, .update = BODY_UPDATE(9, 'z'));
    SEND(&f.store, store_loaded, .stored_seq = 0);
    expect_update(&link, 1);
    expect_view(&link, 1, 1, "[" RUN("#9", 1, "z") "]");
    peer_close(&link);
    fixture_finish(&f);
}

/* ---- clients that may only read ---- */

static const uint8_t known_deletes[] = {0, 1, 1, 1, 0, 1};
static const uint8_t new_deletes[] = {0, 1, 2, 1, 0, 1};
static const uint8_t waiting[] = {1, 1, 5, 3, 0x84, 5, 2, 1, 'w', 0};
static const uint8_t waiting_deletes[] = {0, 1, 5, 1, 9, 1};

/* A room with a character of client 2 and a deleted one of client 1, and session 2 that reads. */
static struct peer start_with_reader(struct fixture *f)
{
    fixture_start_ready(f, 0);
    struct peer link = fixture_new_client(f, 1);

    for (uint8_t client = 1; client <= 2; client++) {
        send_edit(&link, 1, client, CHAR_UPDATE(client, 'x'));
        expect_update(&link, client);
        expect_applied(&link, client, client);
    }
    send_edit(&link, 1, 3, slice_of(known_deletes, sizeof(known_deletes)));
    expect_update(&link, 3);
    expect_applied(&link, 3, 3);
    SEND(&link, session_join, .session = 2, .format = CRDT_V1, .is_read_only = true);
    return link;
}

Test(room_lens, a_reader_may_answer_with_what_is_there)
{
    struct fixture f = {0};
    struct peer link = start_with_reader(&f);
    struct slice known[] = {
        slice_of("\0", 2), slice_of(known_deletes, sizeof(known_deletes)),
        CHAR_UPDATE(2, 'x'), /* decided by its id: what is there stays */
    };
    struct slice news[] = {
        CHAR_UPDATE(3, 'x'),
        slice_of(new_deletes, sizeof(new_deletes)),
        slice_of(waiting, sizeof(waiting)),
        slice_of(waiting_deletes, sizeof(waiting_deletes)),
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        send_edit(&link, 2, 10 + i, known[i]);
        expect_applied(&link, 10 + i, 3);
    }
    for (size_t i = 0; i < sizeof(news) / sizeof(news[0]); i++) {
        send_edit(&link, 2, 20 + i, news[i]);
        expect_rejected(&link, 20 + i, REFUSAL_READ_ONLY);
    }
    send_edit(&link, 2, 30, slice_str("\xff"));
    expect_rejected(&link, 30, REFUSAL_BAD_UPDATE);
    SEND(&link, session_update, .session = 2, .op = 31, .format = 7, .update = slice_str("\0"));
    expect_rejected(&link, 31, REFUSAL_BAD_UPDATE);
    /* Nothing was left behind: all of it is new when somebody may write it. */
    for (size_t i = 0; i < sizeof(news) / sizeof(news[0]); i++) {
        send_edit(&link, 1, 40 + i, news[i]);
        expect_update(&link, 4 + i);
        expect_applied(&link, 40 + i, 4 + i);
    }
    /* And known when it waits. */
    send_edit(&link, 2, 50, slice_of(waiting, sizeof(waiting)));
    expect_applied(&link, 50, 7);
    peer_close(&link);
    fixture_finish(&f);
}

Test(room_lens, a_right_changes_with_the_next_message)
{
    struct fixture f = {0};
    struct peer link = start_with_reader(&f);

    SEND(&link, session_access, .session = 2, .is_read_only = false);
    send_edit(&link, 2, 1, CHAR_UPDATE(3, 'x'));
    expect_update(&link, 4);
    expect_applied(&link, 1, 4);
    SEND(&link, session_access, .session = 2, .is_read_only = true);
    send_edit(&link, 2, 2, CHAR_UPDATE(4, 'x'));
    expect_rejected(&link, 2, REFUSAL_READ_ONLY);
    SEND(&link, session_access, .session = 99, .is_read_only = true); /* gone meanwhile */
    send_edit(&link, 1, 3, CHAR_UPDATE(4, 'x'));
    expect_update(&link, 5);
    expect_applied(&link, 3, 5);
    peer_close(&link);
    fixture_finish(&f);
}

Test(room_lens, a_reader_with_a_lens_sees_and_is_seen)
{
    struct fixture f = {0};
    struct peer link = start_with_reader(&f);
    struct crdt_buf state = {0};

    SEND(&link, session_join, .session = 3, .format = CRDT_V1, .is_read_only = true,
         .lens = LENS_OPS);
    expect_view(&link, 3, 3, "[]");
    send_op(&link, 3, 1, INSERT("a", 1, "null", "x"));
    expect_rejected(&link, 1, REFUSAL_READ_ONLY);
    send_op(&link, 3, 2, "{");
    expect_rejected(&link, 2, REFUSAL_READ_ONLY);
    send_edit(&link, 1, 3, BODY_UPDATE(9, 'z'));
    expect_update(&link, 4);
    expect_change(&link, 1, 4, INSERT("#9", 1, "null", "z") "\n");
    expect_applied(&link, 3, 4);
    lib0_write_bytes(&state, "\1\7\1\2{}", 6);
    SEND(&link, session_awareness, .session = 3, .op = 4, .awareness = slice_of(state.data, 6));
    cr_assert_eq(EXPECT(&link, room_awareness, ROOM_AWARENESS).except, 3);
    crdt_buf_done(&state);
    peer_close(&link);
    fixture_finish(&f);
}
