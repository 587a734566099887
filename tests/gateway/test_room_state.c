/* A room's document as its segment holds it, of segments that this test writes. */
#include "gateway/room_state.h"

#include "common/names.h"
#include "common/segment.h"
#include "crdt/crdt.h"
#include "crdt/lib0.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define LARGE (1u << 20) /* of a base that is not merged anew for each record */

static char dir[] = "/tmp/concord-room-state-XXXXXX";
static size_t memory;

static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    char *command CLEANUP_FREE = xasprintf("rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(room_state, .init = make_dir, .fini = remove_dir, .timeout = 60);

/* ---- segments ---- */

static char *segment_path(void)
{
    char hash[NAME_HASH_HEX + 1];

    name_hash(slice_str("t"), slice_str("r"), hash);
    return xasprintf("%s/%s", dir, hash);
}

static struct segment *new_segment(uint64_t base_seq, struct slice checkpoint)
{
    char *path CLEANUP_FREE = segment_path();
    char *next CLEANUP_FREE = xasprintf("%s.next", path);
    int fd = open(next, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct segment *s;

    cr_assert_geq(fd, 0);
    cr_assert_eq(segment_create(fd, slice_str("t"), slice_str("r"), base_seq, checkpoint, &s), 0);
    cr_assert_eq(rename(next, path), 0);
    return s;
}

static void append(struct segment *s, uint64_t seq, struct slice update)
{
    struct segment_record r = {.seq = seq, .kind = SEGMENT_UPDATE_V1, .payload = update};

    cr_assert_eq(segment_append(s, &r, 1), 0);
}

/* ---- documents ---- */

/* A document that is edited as `client`; each edit is an update in `update`. */
struct author {
    struct crdt_doc *doc;
    uint64_t client;
    struct crdt_buf update;
};

static struct author new_author(uint64_t client)
{
    return (struct author){.doc = crdt_doc_new(NULL), .client = client};
}

static void author_done(struct author *a)
{
    crdt_doc_free(a->doc);
    crdt_buf_done(&a->update);
}

static struct slice insert(struct author *a, size_t len)
{
    char *text CLEANUP_FREE = xmalloc(len);

    memset(text, 'x', len);
    a->update.len = 0;
    cr_assert_eq(
        crdt_text_insert(a->doc, a->client, crdt_root("t", 1), 0, text, len, NULL, &a->update), 0);
    return slice_of(a->update.data, a->update.len);
}

static struct slice remove_first(struct author *a)
{
    a->update.len = 0;
    cr_assert_eq(crdt_text_delete(a->doc, crdt_root("t", 1), 0, 1, &a->update), 0);
    return slice_of(a->update.data, a->update.len);
}

/* The length of the text that base and tail make, in the order in which clients get them. */
static size_t text_len(struct room_state *s)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    const struct blob *parts[] = {room_state_tail(s), room_state_base(s)};
    struct crdt_buf text = {0};

    for (size_t i = 0; i < 2; i++)
        if (parts[i])
            cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, parts[i]->data, parts[i]->len, NULL), 0);
    cr_assert(!crdt_doc_has_pending(doc));
    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "t", 1, &text), 0);
    size_t len = text.len;
    crdt_buf_done(&text);
    crdt_doc_free(doc);
    return len;
}

static bool vector_is_of(struct room_state *s, const struct crdt_doc *doc)
{
    struct crdt_buf sv = {0};

    cr_assert_eq(crdt_doc_state_vector(doc, &sv), 0);
    bool is = slice_equal(blob_slice(room_state_vector(s)), slice_of(sv.data, sv.len));
    crdt_buf_done(&sv);
    return is;
}

static struct room_state *new_state(void)
{
    return room_state_new(dir, slice_str("t"), slice_str("r"), &memory);
}

/* ---- tests ---- */

Test(room_state, follows_the_segment)
{
    static const size_t sizes[] = {1, 10, 1000, 50000};
    struct author a = new_author(7);
    struct segment *segment = new_segment(5, slice_of("\0\0", 2));
    struct room_state *s = new_state();
    uint64_t seq = 5;
    size_t len = 0;

    cr_assert_eq(room_state_refresh(s), 0);
    cr_expect_eq(room_state_seq(s), 5);
    cr_expect_eq(text_len(s), 0);
    for (size_t i = 0; i < 4; i++) {
        uint64_t version = room_state_version(s);
        append(segment, ++seq, insert(&a, sizes[i]));
        len += sizes[i];
        cr_assert_eq(room_state_refresh(s), 0);
        cr_expect_eq(room_state_seq(s), seq);
        cr_expect_neq(room_state_version(s), version);
        cr_expect_eq(text_len(s), len);
        cr_expect(vector_is_of(s, a.doc));
        cr_expect_null(room_state_tail(s), "a small document is one update");
        version = room_state_version(s);
        cr_assert_eq(room_state_refresh(s), 0);
        cr_expect_eq(room_state_version(s), version);
    }
    author_done(&a);
    segment_free(segment);
    room_state_free(s);
    cr_expect_eq(memory, 0);
}

/* What many who join share stays, until what came since is a fair part of it. */
Test(room_state, a_large_base_is_kept)
{
    struct author a = new_author(7);
    struct segment *segment = new_segment(0, insert(&a, LARGE));
    struct room_state *s = new_state();
    size_t len = LARGE;
    bool was_folded = false;

    cr_assert_eq(room_state_refresh(s), 0);
    const struct blob *base = room_state_base(s);
    cr_expect_null(room_state_tail(s));
    for (uint64_t seq = 1; seq <= 16; seq++) {
        append(segment, seq, insert(&a, 20000));
        append(segment, seq + 100, remove_first(&a));
        len += 20000 - 1;
        cr_assert_eq(room_state_refresh(s), 0);
        cr_expect_eq(text_len(s), len);
        cr_expect(vector_is_of(s, a.doc));
        if (room_state_tail(s))
            cr_expect_leq(room_state_tail(s)->len, room_state_base(s)->len / 8);
        was_folded = was_folded || room_state_base(s) != base;
        cr_expect(seq > 6 || !was_folded);
        if (room_state_base(s) != base && !room_state_tail(s))
            cr_expect_gt(room_state_base(s)->len, LARGE + LARGE / 8);
    }
    cr_expect(was_folded);
    author_done(&a);
    segment_free(segment);
    room_state_free(s);
    cr_expect_eq(memory, 0);
}

/* More records than are merged at once. */
Test(room_state, a_long_log)
{
    enum { RECORDS = 5000 };
    struct author a = new_author(7);
    struct segment *segment = new_segment(0, slice_of("\0\0", 2));
    struct room_state *s = new_state();

    for (uint64_t seq = 1; seq <= RECORDS; seq++)
        append(segment, seq, insert(&a, 1));
    cr_assert_eq(room_state_refresh(s), 0);
    cr_expect_eq(text_len(s), RECORDS);
    cr_expect(vector_is_of(s, a.doc));
    author_done(&a);
    segment_free(segment);
    room_state_free(s);
}

static void expect_diff(struct room_state *s, const struct crdt_doc *old, size_t max_len,
                        const struct crdt_doc *now)
{
    struct crdt_buf sv = {0};
    struct crdt_buf before = {0};
    struct crdt_buf after = {0};
    struct blob *diff;
    struct crdt_doc *copy = crdt_doc_new(NULL);

    cr_assert_eq(crdt_doc_state_vector(old, &sv), 0);
    cr_assert_eq(room_state_check_vector(slice_of(sv.data, sv.len)), 0);
    cr_assert_eq(room_state_diff(s, slice_of(sv.data, sv.len), &diff), 0);
    cr_expect_leq(diff->len, max_len);
    cr_assert_eq(crdt_doc_encode(old, CRDT_V1, NULL, 0, &before), 0);
    cr_assert_eq(crdt_doc_apply(copy, CRDT_V1, before.data, before.len, NULL), 0);
    cr_assert_eq(crdt_doc_apply(copy, CRDT_V1, diff->data, diff->len, NULL), 0);
    before.len = 0;
    cr_assert_eq(crdt_doc_encode(copy, CRDT_V1, NULL, 0, &before), 0);
    cr_assert_eq(crdt_doc_encode(now, CRDT_V1, NULL, 0, &after), 0);
    cr_expect(slice_equal(slice_of(before.data, before.len), slice_of(after.data, after.len)));
    blob_unref(diff);
    crdt_buf_done(&sv);
    crdt_buf_done(&before);
    crdt_buf_done(&after);
    crdt_doc_free(copy);
}

Test(room_state, cuts_to_what_a_client_lacks)
{
    struct author a = new_author(7);
    struct author old = new_author(8);
    struct crdt_buf v2 = {0};
    struct crdt_doc *copy = crdt_doc_new(NULL);
    struct slice checkpoint = insert(&a, LARGE);
    struct segment *segment = new_segment(0, checkpoint);
    struct room_state *s = new_state();

    cr_assert_eq(crdt_doc_apply(old.doc, CRDT_V1, checkpoint.data, checkpoint.len, NULL), 0);
    append(segment, 1, insert(&a, 100));
    append(segment, 2, remove_first(&a));
    cr_assert_eq(room_state_refresh(s), 0);
    cr_expect_not_null(room_state_tail(s));
    expect_diff(s, old.doc, 200, a.doc);
    expect_diff(s, a.doc, 50, a.doc);
    cr_assert_eq(room_state_whole_v2(s, &v2), 0);
    cr_assert_eq(crdt_doc_apply(copy, CRDT_V2, v2.data, v2.len, NULL), 0);
    cr_expect(vector_is_of(s, copy));
    crdt_buf_done(&v2);
    crdt_doc_free(copy);
    author_done(&a);
    author_done(&old);
    segment_free(segment);
    room_state_free(s);
    cr_expect_eq(memory, 0);
}

/* What waits for something that nobody has sent yet is not claimed: else whoever has it would keep
 * it. */
Test(room_state, the_state_vector_stops_at_a_hole)
{
    struct author a = new_author(7);
    struct author lost = new_author(9);
    struct segment *segment = new_segment(0, insert(&a, LARGE));
    struct room_state *s = new_state();

    append(segment, 1, insert(&lost, 3));
    (void)insert(&lost, 5); /* this one did not come */
    append(segment, 2, insert(&lost, 2));
    cr_assert_eq(room_state_refresh(s), 0);
    cr_expect(slice_equal(blob_slice(room_state_vector(s)), slice_of("\2\x09\3\7\x80\x80\x40", 7)));
    author_done(&a);
    author_done(&lost);
    segment_free(segment);
    room_state_free(s);
}

Test(room_state, a_new_file_under_the_name)
{
    struct author a = new_author(7);
    struct segment *old = new_segment(0, insert(&a, LARGE));
    struct room_state *s = new_state();

    append(old, 1, insert(&a, 10));
    cr_assert_eq(room_state_refresh(s), 0);
    cr_expect_eq(text_len(s), LARGE + 10);
    struct author b = new_author(8);
    struct segment *new = new_segment(1, insert(&b, 5));
    atomic_fetch_or(&segment_header(old)->flags, SEGMENT_SUPERSEDED);
    uint64_t version = room_state_version(s);
    cr_assert_eq(room_state_refresh(s), 0);
    cr_expect_neq(room_state_version(s), version);
    cr_expect_eq(room_state_seq(s), 1);
    cr_expect_eq(text_len(s), 5);
    cr_expect(vector_is_of(s, b.doc));
    /* The mark without another file: somebody is in the middle of it, or worse. */
    atomic_fetch_or(&segment_header(new)->flags, SEGMENT_SUPERSEDED);
    cr_expect_eq(room_state_refresh(s), -EAGAIN);
    cr_expect(!room_state_is_held(s));
    author_done(&a);
    author_done(&b);
    segment_free(old);
    segment_free(new);
    room_state_free(s);
    cr_expect_eq(memory, 0);
}

static void expect_refused(struct room_state *s, int error)
{
    cr_expect_eq(room_state_refresh(s), error);
    cr_expect(!room_state_is_held(s));
    cr_expect_eq(memory, 0);
}

Test(room_state, what_is_no_document_is_refused_and_can_be_replaced)
{
    struct room_state *s = new_state();
    char *path CLEANUP_FREE = segment_path();

    expect_refused(s, -ENOENT);
    struct segment *segment = new_segment(0, slice_str("no update"));
    expect_refused(s, -EBADMSG);
    segment_free(segment);
    segment = new_segment(0, slice_of("\0\0", 2));
    append(segment, 1, slice_str("no update"));
    expect_refused(s, -EBADMSG);
    segment_free(segment);
    segment = new_segment(0, slice_of("\0\0", 2));
    append(segment, 1, slice_of("\0\0", 2));
    cr_assert_eq(room_state_refresh(s), 0);
    append(segment, 2, slice_of("\0\0", 2));
    cr_assert_eq(truncate(path, SEGMENT_HEADER_BYTES), 0); /* a room that was taken over */
    expect_refused(s, -EBADMSG);
    segment_free(segment);
    cr_assert_eq(truncate(path, 0), 0);
    expect_refused(s, -ENODATA);
    segment = new_segment(0, slice_of("\0\0", 2));
    cr_expect_eq(room_state_refresh(s), 0);
    segment_free(segment);
    room_state_free(s);
}

Test(room_state, state_vectors_of_clients)
{
    cr_expect_eq(room_state_check_vector(slice_of("\0", 1)), 0);
    cr_expect_eq(room_state_check_vector(slice_of("\1\7\3", 3)), 0);
    cr_expect_eq(room_state_check_vector(slice_of("\xff\xff", 2)), -EBADMSG);
    cr_expect_eq(room_state_check_vector(slice_of(NULL, 0)), 0);
    cr_expect(room_state_is_nothing(slice_of("\0", 1)));
    cr_expect(room_state_is_nothing(slice_of(NULL, 0)));
    cr_expect(!room_state_is_nothing(slice_of("\1\7\3", 3)));
}
