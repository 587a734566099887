/* What rooms and roomd see of snapshotd: a whole one in a child process, with real segments. */
#include "common/buffer.h"
#include "planted.h"
#include "tests/snapshotd/daemon_helpers.h"
#include "tests/snapshotd/store_helpers.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define NEVER_FOLD 1000000
#define EMPTY      slice_of("\0\0", 2) /* the update of an empty document */

static struct daemon d;
static struct crdt_doc *doc;

static void set_up(void)
{
    make_test_dir(d.dir, sizeof(d.dir));
    doc = crdt_doc_new(NULL);
}

static void tear_down(void)
{
    daemon_done(&d);
    crdt_doc_free(doc);
    remove_test_dir(d.dir);
}

TestSuite(persist, .init = set_up, .fini = tear_down, .timeout = 120);

static void stop_in_order(void)
{
    int status = daemon_stop(&d, SIGTERM);

    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

/* What the store holds, when no daemon has it. */
static struct store_stat stored(const char *room)
{
    struct store *s = open_store(d.data);
    struct loaded l = load_room(s, key_of("t", room));

    cr_assert_eq(l.error, 0);
    buffer_done(&l.parts);
    store_close(s);
    return l.stat;
}

/* A new room that types "ab" in two edits, which are stored. */
static int typed_room(const char *name, struct segment **ret_segment)
{
    int fd = daemon_follow(&d, name);

    room_send_open(fd, false, 0);
    cr_assert_eq(room_receive_loaded(fd, NULL, NULL), 0);
    *ret_segment = segment_of(&d, name, 0, EMPTY);
    segment_type(*ret_segment, doc, 1, "a");
    segment_type(*ret_segment, doc, 2, "b");
    room_send_dirty(fd, 2);
    room_expect_stored(fd, 2);
    return fd;
}

/* The room is opened without a segment and reads `text`. */
static int assert_loads(const char *name, uint64_t seq, const char *text, int *ret_parts)
{
    struct crdt_doc *loaded = crdt_doc_new(NULL);
    int fd = daemon_follow(&d, name);

    room_send_open(fd, false, 0);
    cr_assert_eq(room_receive_loaded(fd, loaded, ret_parts), seq);
    assert_body(loaded, text);
    crdt_doc_free(loaded);
    return fd;
}

Test(persist, a_room_is_stored_folded_at_the_end_and_loaded_again)
{
    struct segment *s;
    int parts;

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    int fd = typed_room("r", &s);
    segment_type(s, doc, 3, "c");
    room_send_dirty(fd, 3);
    room_expect_stored(fd, 3);
    stop_in_order();
    struct store_stat stat = stored("r");
    cr_assert_eq(stat.op_seq, 3);
    cr_assert_eq(stat.snapshot_op_seq, 3);
    cr_assert_eq(stat.updates, 0);
    (void)close(fd);
    segment_free(s);

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    fd = assert_loads("r", 3, "abc", &parts);
    cr_assert_eq(parts, 1);
    (void)close(fd);
    stop_in_order();
}

Test(persist, nothing_stored_is_lost_by_a_kill)
{
    struct segment *s;
    int parts;

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    int fd = typed_room("r", &s);
    (void)daemon_stop(&d, SIGKILL);
    expect_end(fd);
    /* The room goes on, and hands over what it has since. */
    segment_type(s, doc, 3, "c");
    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    fd = daemon_follow(&d, "r");
    room_send_open(fd, true, 3);
    cr_assert_eq(room_receive_loaded(fd, NULL, NULL), 2);
    room_expect_stored(fd, 3);
    (void)close(fd);
    fd = assert_loads("r", 3, "abc", &parts);
    cr_assert_leq(parts, 3);
    (void)close(fd);
    segment_free(s);
    stop_in_order();
}

Test(persist, what_a_room_published_before_it_crashed_is_stored)
{
    struct segment *s;

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    int fd = typed_room("r", &s);
    segment_type(s, doc, 3, "c");
    (void)close(fd); /* without a word about it */
    segment_free(s);
    stop_in_order();
    cr_assert_eq(stored("r").op_seq, 3);
}

Test(persist, a_checkpoint_beyond_the_store_is_stored_first)
{
    struct crdt_buf checkpoint = {0};

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    cr_assert_eq(crdt_text_insert(doc, 7, crdt_root("body", 4), 0, "abc", 3, NULL, &checkpoint), 0);
    struct segment *s = segment_of(&d, "r", 3, slice_of(checkpoint.data, checkpoint.len));
    segment_type(s, doc, 4, "d");
    int fd = daemon_follow(&d, "r");
    room_send_open(fd, true, 4);
    cr_assert_eq(room_receive_loaded(fd, NULL, NULL), 0);
    room_expect_stored(fd, 4);
    (void)close(fd);
    fd = assert_loads("r", 2, "abcd", NULL); /* two updates, by the store's count */
    (void)close(fd);
    segment_free(s);
    crdt_buf_done(&checkpoint);
    stop_in_order();
}

Test(persist, a_store_ahead_of_the_segment_is_sent_to_the_room)
{
    struct segment *s;

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    int fd = typed_room("r", &s);
    (void)close(fd);
    fd = daemon_follow(&d, "r");
    room_send_open(fd, true, 1);
    struct crdt_doc *loaded = crdt_doc_new(NULL);
    cr_assert_eq(room_receive_loaded(fd, loaded, NULL), 2);
    assert_body(loaded, "ab");
    crdt_doc_free(loaded);
    (void)close(fd);
    segment_free(s);
    stop_in_order();
}

#define OTHER (LINEAGE + 1)

/* A room that was loaded, of which nothing was edited, outlives snapshotd. */
Test(persist, a_segment_made_of_what_is_stored_is_not_stored_again)
{
    struct segment *s;
    struct crdt_buf state = {0};

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    (void)close(typed_room("r", &s)); /* as OTHER loads it, it is at 2 */
    segment_free(s);
    (void)daemon_stop(&d, SIGTERM);
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &state), 0);
    s = segment_of(&d, "r", 2, slice_of(state.data, state.len));
    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    int fd = daemon_follow(&d, "r");
    room_send_open_as(fd, OTHER, 2, 2);
    cr_assert_eq(room_receive_loaded(fd, NULL, NULL), 2);
    segment_type(s, doc, 3, "c");
    room_send_dirty(fd, 3);
    room_expect_stored(fd, 3);
    (void)close(fd);
    fd = assert_loads("r", 3, "abc", NULL);
    (void)close(fd);
    segment_free(s);
    crdt_buf_done(&state);
    stop_in_order();
}

/* The same when the store is another: whatever the room was told, everything is stored. */
Test(persist, a_segment_whose_store_is_gone_is_stored_as_a_whole)
{
    struct crdt_buf state = {0};

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    cr_assert_eq(crdt_text_insert(doc, 7, crdt_root("body", 4), 0, "ab", 2, NULL, &state), 0);
    struct segment *s = segment_of(&d, "r", 2, slice_of(state.data, state.len));
    segment_type(s, doc, 3, "c");
    int fd = daemon_follow(&d, "r");
    room_send_open_as(fd, OTHER, 3, 3);
    cr_assert_eq(room_receive_loaded(fd, NULL, NULL), 0);
    room_expect_stored(fd, 3);
    (void)close(fd);
    fd = assert_loads("r", 2, "abc", NULL); /* by the store's count */
    (void)close(fd);
    segment_free(s);
    crdt_buf_done(&state);
    stop_in_order();
}

Test(persist, what_another_host_has_stored_since_is_sent_to_a_room_that_comes_back)
{
    struct segment *s;
    struct crdt_doc *all = crdt_doc_new(NULL);
    struct crdt_buf theirs = {0};

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    int fd = typed_room("r", &s);
    cr_assert_eq(crdt_text_insert(all, 9, crdt_root("body", 4), 0, "X", 1, NULL, &theirs), 0);
    struct store *other = open_store(d.data);
    struct store_update update = {1, slice_of(theirs.data, theirs.len)};
    struct store_append append = {key_of("t", "r"), OTHER, &update, 1};
    cr_assert_eq(append_many(other, &append, 1), 0);
    store_close(other);
    /* Numbers of two hosts do not meet. */
    segment_type(s, doc, 3, "c");
    room_send_dirty(fd, 3);
    room_expect_stored(fd, 3);
    (void)close(fd);
    fd = daemon_follow(&d, "r");
    room_send_open(fd, true, 3);
    cr_assert_eq(room_receive_loaded(fd, NULL, NULL), 3); /* the last is its own: nothing is new */
    other = open_store(d.data);
    update.seq = 2;
    cr_assert_eq(append_many(other, &append, 1), 0);
    store_close(other);
    (void)close(fd);
    fd = daemon_follow(&d, "r");
    room_send_open(fd, true, 3);
    cr_assert_eq(room_receive_loaded(fd, all, NULL), 3);
    struct crdt_buf body = {0};
    cr_assert_eq(crdt_doc_read(all, CRDT_KIND_TEXT, "body", 4, &body), 0);
    cr_assert_eq(body.len, 4); /* "abc" and "X" */
    (void)close(fd);
    segment_free(s);
    crdt_buf_done(&body);
    crdt_buf_done(&theirs);
    crdt_doc_free(all);
    stop_in_order();
}

Test(persist, a_superseded_segment_leads_to_the_new_one)
{
    struct segment *old;
    struct crdt_buf state = {0};

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    int fd = typed_room("r", &old);
    /* The third edit is only in the new checkpoint. */
    segment_type(old, doc, 3, "c");
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &state), 0);
    struct segment *s = segment_of(&d, "r", 3, slice_of(state.data, state.len));
    atomic_fetch_or(&segment_header(old)->flags, SEGMENT_SUPERSEDED);
    segment_type(s, doc, 4, "d");
    room_send_dirty(fd, 4);
    room_expect_stored(fd, 4);
    /* And once more, with a gap that only the checkpoint fills. */
    segment_type(s, doc, 5, "e");
    segment_type(s, doc, 6, "f");
    state.len = 0;
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &state), 0);
    segment_free(old);
    old = s;
    s = segment_of(&d, "r", 7, slice_of(state.data, state.len));
    atomic_fetch_or(&segment_header(old)->flags, SEGMENT_SUPERSEDED);
    room_send_dirty(fd, 7);
    room_expect_stored(fd, 7);
    (void)close(fd);
    fd = assert_loads("r", 7, "abcdef", NULL);
    (void)close(fd);
    segment_free(old);
    segment_free(s);
    crdt_buf_done(&state);
    stop_in_order();
}

Test(persist, a_damaged_segment_is_not_reported_as_stored)
{
    struct segment *s;
    struct segment *other;

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    int fd = typed_room("r", &s);
    segment_type(s, doc, 3, "c");
    uint64_t good = atomic_load(&segment_header(s)->committed);
    segment_type(s, doc, 4, "d");
    overwrite_segment(&d, "r", good + 40);
    room_send_dirty(fd, 4);
    room_expect_stored(fd, 3);
    /* The daemon lives, and other rooms with it. */
    crdt_doc_free(doc);
    doc = crdt_doc_new(NULL);
    int other_fd = typed_room("other", &other);
    room_send_dirty(fd, 4);
    (void)close(other_fd);
    (void)close(fd);
    segment_free(s);
    segment_free(other);
    stop_in_order();
    cr_assert_eq(stored("r").op_seq, 3);
}

static void survive(enum fault fault)
{
    struct segment *s;

    daemon_start(&d, fault, NEVER_FOLD);
    int fd = typed_room("r", &s); /* the first transaction */
    segment_type(s, doc, 3, "c");
    room_send_dirty(fd, 3);
    room_expect_stored(fd, 3); /* the second fails; what is told then is true */
    (void)daemon_stop(&d, SIGKILL);
    cr_assert_eq(stored("r").op_seq, 3);
    cr_assert_eq(stored("r").updates, 3);
    (void)close(fd);
    segment_free(s);
}

Test(persist, a_transaction_that_failed_is_found_missing_and_made_again)
{
    survive(FAULT_BEFORE);
}

Test(persist, a_transaction_that_was_stored_after_all_is_not_made_twice)
{
    survive(FAULT_AFTER);
}

Test(persist, a_transaction_that_is_there_already_is_asked_for_and_not_made_twice)
{
    survive(FAULT_STALE);
}

/* Types "x" into `name`, whose last edit is `seq`, until it is folded; returns its last then. */
static uint64_t type_until_folded(const char *name, int fd, struct segment *s, uint64_t seq)
{
    while (stored(name).snapshot_op_seq == 0) {
        segment_type(s, doc, ++seq, "x");
        room_send_dirty(fd, seq);
        room_expect_stored(fd, seq);
    }
    return seq;
}

Test(persist, many_updates_are_folded_while_the_room_is_open)
{
    struct segment *s;

    daemon_start(&d, FAULT_NONE, 10);
    int fd = typed_room("r", &s);
    uint64_t seq = type_until_folded("r", fd, s, 2);
    (void)daemon_stop(&d, SIGKILL);
    struct store_stat stat = stored("r");
    cr_assert_eq(stat.op_seq, seq);
    cr_assert_geq(stat.snapshot_op_seq, 10);
    cr_assert_eq(stat.updates, seq - stat.snapshot_op_seq);
    (void)close(fd);
    segment_free(s);
    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    struct crdt_buf body = {0};
    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "body", 4, &body), 0);
    char *text CLEANUP_FREE = xasprintf("%.*s", (int)body.len, (const char *)body.data);
    (void)close(assert_loads("r", seq, text, NULL));
    crdt_buf_done(&body);
    stop_in_order();
}

/* Folds go one after the other: that of "good" comes after that of "bad". */
static void assert_harmless(const char *word)
{
    struct segment *bad;
    struct segment *good;

    daemon_start(&d, FAULT_NONE, 3);
    int bad_fd = typed_room("bad", &bad);
    segment_type(bad, doc, 3, word);
    room_send_dirty(bad_fd, 3);
    room_expect_stored(bad_fd, 3);
    crdt_doc_free(doc);
    doc = crdt_doc_new(NULL);
    int good_fd = typed_room("good", &good);
    (void)type_until_folded("good", good_fd, good, 2);
    room_send_dirty(bad_fd, 3); /* it is still followed */
    (void)close(bad_fd);
    (void)close(good_fd);
    segment_free(bad);
    segment_free(good);
    stop_in_order();
    cr_assert_eq(stored("bad").updates, 3);
    cr_assert_eq(stored("bad").snapshot_op_seq, 0);
    cr_assert_eq(stored("good").updates, 0);
}

Test(persist, an_update_that_crashes_a_fold_harms_no_other_room)
{
    assert_harmless(PLANTED_CRASH);
}

Test(persist, an_update_that_does_not_end_harms_no_other_room)
{
    assert_harmless(PLANTED_LOOP);
}

/* The fold of "one" is under way when the second transaction, of "two", fails: what comes of that
 * fold is for a store that is closed. */
Test(persist, a_store_that_is_lost_during_a_fold_is_opened_again_and_folds)
{
    struct segment *one;
    struct segment *two;

    daemon_start(&d, FAULT_BEFORE, 2);
    pid_t server = daemon_fold_server(&d);
    cr_assert_eq(kill(server, SIGSTOP), 0);
    int one_fd = typed_room("one", &one);
    crdt_doc_free(doc);
    doc = crdt_doc_new(NULL);
    int two_fd = typed_room("two", &two);
    cr_assert_eq(kill(server, SIGCONT), 0);
    (void)type_until_folded("two", two_fd, two, 2);
    (void)close(one_fd);
    (void)close(two_fd);
    segment_free(one);
    segment_free(two);
    stop_in_order();
    cr_assert_eq(stored("one").updates, 0);
    cr_assert_eq(stored("two").updates, 0);
}

Test(persist, a_fold_that_could_not_read_is_made_later)
{
    struct segment *s;

    daemon_start(&d, FAULT_READ, 2);
    int fd = typed_room("r", &s);
    segment_type(s, doc, 3, "c");
    room_send_dirty(fd, 3);
    room_expect_stored(fd, 3);
    (void)close(fd);
    segment_free(s);
    stop_in_order();
    cr_assert_eq(stored("r").snapshot_op_seq, 3);
    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    (void)close(assert_loads("r", 3, "abc", NULL));
    stop_in_order();
}

Test(persist, rows_that_do_not_decode_are_kept)
{
    struct segment *s;
    static const char garbage[] = "\xff\xff\xff\xff this is no update";

    daemon_start(&d, FAULT_NONE, 3);
    int fd = typed_room("r", &s);
    struct segment_record record = {
        .seq = 3, .kind = SEGMENT_UPDATE_V1, .payload = slice_of(garbage, sizeof(garbage))};
    cr_assert_eq(segment_append(s, &record, 1), 0);
    segment_type(s, doc, 4, "c");
    room_send_dirty(fd, 4);
    room_expect_stored(fd, 4);
    (void)close(fd);
    segment_free(s);
    stop_in_order();
    struct store_stat stat = stored("r");
    cr_assert_eq(stat.updates, 4);
    cr_assert_eq(stat.snapshot_op_seq, 0);
}

Test(persist, a_new_connection_of_a_room_replaces_the_old_one)
{
    struct segment *s;

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    int old = typed_room("r", &s);
    int fd = daemon_follow(&d, "r");
    expect_end(old);
    segment_type(s, doc, 3, "c");
    room_send_open(fd, true, 3);
    cr_assert_eq(room_receive_loaded(fd, NULL, NULL), 2);
    room_expect_stored(fd, 3);
    (void)close(fd);
    segment_free(s);
    stop_in_order();
}

Test(persist, a_room_that_makes_no_sense_is_closed_and_others_go_on)
{
    struct msg_store_loaded wrong = {.stored_seq = 1};
    struct segment *s;

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    int fd = daemon_follow(&d, "dirty before it is open");
    room_send_dirty(fd, 1);
    expect_end(fd);
    fd = daemon_follow(&d, "opens twice");
    room_send_open(fd, false, 0);
    cr_assert_eq(room_receive_loaded(fd, NULL, NULL), 0);
    room_send_open(fd, false, 0);
    expect_end(fd);
    fd = daemon_follow(&d, "sends what only we send");
    send_frame(fd, proto_encode_store_loaded(&wrong));
    expect_end(fd);
    fd = daemon_follow(&d, "no frame");
    cr_assert_eq(send(fd, "\xff\xff\xff\xff....", 8, 0), 8);
    expect_end(fd);
    fd = typed_room("good", &s);
    (void)close(fd);
    segment_free(s);
    stop_in_order();
}

Test(persist, a_roomd_that_makes_no_sense_ends_the_process)
{
    struct msg_store_stored wrong = {.stored_seq = 1};
    int status;

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    send_frame(d.roomd, proto_encode_store_stored(&wrong));
    cr_assert_eq(waitpid(d.pid, &status, 0), d.pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    (void)close(d.roomd);
    d.pid = 0;
}

Test(persist, two_hundred_rooms_at_once)
{
    struct segment *segments[200];
    int fds[200];

    daemon_start(&d, FAULT_NONE, NEVER_FOLD);
    for (int i = 0; i < 200; i++) {
        char *name CLEANUP_FREE = xasprintf("room %d", i);
        fds[i] = daemon_follow(&d, name);
        room_send_open(fds[i], false, 0);
        cr_assert_eq(room_receive_loaded(fds[i], NULL, NULL), 0);
        segments[i] = segment_of(&d, name, 0, EMPTY);
    }
    for (uint64_t seq = 1; seq <= 3; seq++) {
        for (int i = 0; i < 200; i++) {
            segment_type(segments[i], doc, seq, "x");
            room_send_dirty(fds[i], seq);
        }
    }
    for (int i = 0; i < 200; i++) {
        room_expect_stored(fds[i], 3);
        (void)close(fds[i]);
        segment_free(segments[i]);
    }
    stop_in_order();
    cr_assert_eq(stored("room 199").op_seq, 3);
}
