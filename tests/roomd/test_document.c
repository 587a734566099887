#include "roomd/document.h"

#include "crdt/codec.h"
#include "fault.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct slice tenant;
static struct slice name;
static bool is_careful;

static int new_file(void)
{
    int fd = memfd_create("segment", MFD_CLOEXEC);

    cr_assert_geq(fd, 0);
    tenant = slice_str("default");
    name = slice_str("demo");
    return fd;
}

static char reason[DOCUMENT_REASON_BYTES];

static int try_open(int fd, struct document **ret_document)
{
    struct document_start start = {.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0),
                                   .tenant = tenant,
                                   .room = name,
                                   .is_careful = is_careful};
    int r = document_open(&start, ret_document, reason);

    if (r < 0)
        (void)close(start.fd);
    return r;
}

static struct document *open_document(int fd)
{
    struct document *d;

    cr_assert_eq(try_open(fd, &d), 0);
    return d;
}

static struct document *new_document(int fd, uint64_t stored_seq)
{
    struct document *d = open_document(fd);

    cr_assert(!document_has_segment(d));
    cr_assert_eq(document_loaded(d, 0, stored_seq), 0);
    cr_assert(document_has_segment(d));
    return d;
}

static uint64_t edit(struct document *d, struct slice update)
{
    uint64_t seq;

    cr_assert_eq(document_edit(d, 1, CRDT_V1, update, &seq), 0);
    return seq;
}

static void append(struct document *d)
{
    cr_assert_eq(document_append(d), 0);
    document_clear_batch(d);
}

static void apply_to(void *doc, uint64_t seq, uint64_t session, struct slice update)
{
    (void)seq;
    (void)session;
    cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update.data, update.len, NULL), 0);
}

static size_t text_len(const struct document *d)
{
    struct crdt_buf text = {0};
    struct crdt_doc *copy = crdt_doc_new(NULL);

    /* The numbers of another lineage stand for nothing: all of it comes. */
    cr_assert_eq(document_since(d, document_lineage(d) + 1, 0, apply_to, copy), 0);
    cr_assert_eq(crdt_doc_read(copy, CRDT_KIND_TEXT, "t", 1, &text), 0);
    size_t len = text.len;
    crdt_doc_free(copy);
    crdt_buf_done(&text);
    return len;
}

struct seen {
    size_t count;
    uint64_t first;
    uint64_t last;
    size_t bytes;
    uint64_t session; /* of the last */
};

static void on_edit(void *ctx, uint64_t seq, uint64_t session, struct slice update)
{
    struct seen *seen = ctx;

    if (seen->count++ == 0)
        seen->first = seq;
    seen->last = seq;
    seen->bytes += update.len;
    seen->session = session;
}

static struct seen since(const struct document *d, uint64_t seq)
{
    struct seen seen = {0};

    cr_assert_eq(document_since(d, document_lineage(d), seq, on_edit, &seen), 0);
    return seen;
}

Test(document, edits_are_a_batch_until_appended)
{
    int fd = new_file();
    struct document *d = new_document(fd, 7);
    const struct edit *edits;

    cr_assert_eq(document_last_seq(d), 7);
    cr_assert_eq(edit(d, CHAR_UPDATE(1, 'a')), 8);
    cr_assert_eq(edit(d, CHAR_UPDATE(1, 'a')), 8); /* nothing new */
    cr_assert_eq(edit(d, CHAR_UPDATE(2, 'b')), 9);
    cr_assert_eq(document_batch(d, &edits), 2);
    cr_assert_eq(edits[0].seq, 8);
    cr_assert_eq(edits[1].session, 1);
    cr_assert_eq(atomic_load(&document_header(d)->last_seq), 7);
    append(d);
    cr_assert_eq(document_batch(d, &edits), 0);
    cr_assert_eq(atomic_load(&document_header(d)->last_seq), 9);
    cr_assert_eq(document_stored_seq(d), 7);
    cr_assert(document_set_stored(d, 8));
    cr_assert(!document_set_stored(d, 8));
    cr_assert(document_set_stored(d, 100)); /* never above the last */
    cr_assert_eq(document_stored_seq(d), 9);
    document_free(d);
    (void)close(fd);
}

Test(document, recovers_from_its_segment)
{
    int fd = new_file();
    struct document *d = new_document(fd, 0);

    for (uint8_t i = 0; i < 100; i++) {
        cr_assert_eq(edit(d, CHAR_UPDATE((uint8_t)(i + 1), 'x')), i + 1u);
        append(d);
    }
    document_free(d);
    d = open_document(fd);
    cr_assert(document_has_segment(d));
    cr_assert_eq(document_last_seq(d), 100);
    cr_assert_eq(text_len(d), 100);
    cr_assert_eq(document_loaded(d, 0, 0), 0);
    cr_assert_eq(edit(d, CHAR_UPDATE(50, 'x')), 100);
    document_free(d);
    (void)close(fd);
}

Test(document, format_2_is_kept_as_format_1)
{
    int fd = new_file();
    struct document *d = new_document(fd, 0);
    struct slice v1 = CHAR_UPDATE(1, 'a');
    struct crdt_buf v2 = {0};
    const struct edit *edits;
    uint64_t seq;

    cr_assert_eq(
        crdt_update_convert(CRDT_V1, (struct crdt_slice){v1.data, v1.len}, CRDT_V2, NULL, &v2), 0);
    cr_assert_eq(document_edit(d, 1, CRDT_V2, slice_of(v2.data, v2.len), &seq), 0);
    cr_assert_eq(document_batch(d, &edits), 1);
    cr_assert(slice_equal(blob_slice(edits[0].update), v1));
    crdt_buf_done(&v2);
    document_free(d);
    (void)close(fd);
}

Test(document, refuses_what_does_not_decode)
{
    int fd = new_file();
    struct document *d = new_document(fd, 0);
    const struct edit *edits;
    uint64_t seq = 99;

    for (int format = CRDT_V1; format <= CRDT_V2; format++) {
        enum crdt_format f = (enum crdt_format)format;
        cr_assert_eq(document_edit(d, 1, f, slice_of(NULL, 0), &seq), -EBADMSG);
        cr_assert_eq(document_edit(d, 1, f, slice_str("\xff\xff\xff"), &seq), -EBADMSG);
    }
    cr_assert_eq(seq, 99);
    cr_assert_eq(document_batch(d, &edits), 0);
    document_free(d);
    (void)close(fd);
}

/* So many arrays in an array, one behind the other: in format 2 some 40 bytes. */
static struct slice arrays(uint64_t client, uint64_t count)
{
    struct crdt_writer *w = crdt_writer_new(CRDT_V2, NULL);
    struct crdt_buf out = {0};

    cr_assert(w);
    for (uint64_t i = 0; i < count; i++) {
        struct crdt_struct s = {.id = {client, i}, .len = 1, .info = CRDT_REF_TYPE};

        if (i > 0) {
            s.info |= CRDT_INFO_ORIGIN;
            s.origin = (struct crdt_id){client, i - 1};
        } else {
            s.parent = CRDT_PARENT_ROOT;
            s.parent_name = (struct crdt_slice){(const uint8_t *)"a", 1};
        }
        crdt_writer_append(w, &s, 0);
    }
    crdt_writer_deletes(w, 0);
    cr_assert_eq(crdt_writer_finish(w, &out), 0);
    crdt_writer_free(w);
    cr_assert_lt(out.len, 100);
    return slice_of(out.data, out.len);
}

static void keep_whole(void *ctx, uint64_t seq, uint64_t session, struct slice update)
{
    struct crdt_buf *whole = ctx;

    (void)seq;
    (void)session;
    whole->len = update.len;
    whole->data = malloc(update.len);
    cr_assert(whole->data);
    memcpy(whole->data, update.data, update.len);
}

/* Of an edit: what the room has become by many of them has to load. */
Test(document, structs_of_an_edit_are_limited)
{
    int fd = new_file(), other = new_file();
    struct document *d = new_document(fd, 0), *copy = open_document(other);
    struct crdt_buf whole = {0};
    uint64_t seq;

    struct slice fits = arrays(1, 400000), more = arrays(2, 400000), bomb = arrays(3, 4000000);
    cr_assert_eq(document_edit(d, 1, CRDT_V2, fits, &seq), 0);
    cr_assert_eq(document_edit(d, 1, CRDT_V2, bomb, &seq), -E2BIG);
    cr_assert_eq(document_edit(d, 1, CRDT_V2, more, &seq), 0);
    append(d);
    document_take_stats(d);
    cr_assert_eq(document_stats(d)->structs, 800000);
    document_free(d);

    d = open_document(fd);
    cr_assert_eq(document_stats(d)->structs, 800000);
    cr_assert_eq(document_since(d, document_lineage(d) + 1, 0, keep_whole, &whole), 0);
    cr_assert_eq(document_merge_part(copy, slice_of(whole.data, whole.len)), 0);
    cr_assert_eq(document_loaded(copy, 0, 1), 0);
    cr_assert_eq(document_stats(copy)->structs, 800000);
    cr_assert_eq(document_edit(d, 1, CRDT_V1, slice_of(whole.data, whole.len), &seq), -E2BIG);
    document_free(d);
    document_free(copy);
    crdt_buf_done(&whole);
    free((void *)(uintptr_t)fits.data);
    free((void *)(uintptr_t)more.data);
    free((void *)(uintptr_t)bomb.data);
    (void)close(fd);
    (void)close(other);
}

Test(document, what_followed)
{
    int fd = new_file();
    struct document *d = new_document(fd, 10);

    for (uint8_t i = 1; i <= 5; i++)
        (void)edit(d, CHAR_UPDATE(i, 'x'));
    append(d);
    struct seen seen = since(d, 12);
    cr_assert_eq(seen.count, 3);
    cr_assert_eq(seen.first, 13);
    cr_assert_eq(seen.last, 15);
    cr_assert_eq(seen.session, 1);
    cr_assert_eq(since(d, 10).count, 5);
    cr_assert_eq(since(d, 14).count, 1);
    cr_assert_eq(since(d, 15).count, 0);
    cr_assert_eq(since(d, 1000).count, 0);
    seen = since(d, 9); /* before the log: all at once */
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.last, 15);
    document_free(d);
    (void)close(fd);
}

Test(document, a_store_that_followed_another_lineage)
{
    int fd = new_file();
    struct document *d = new_document(fd, 0);

    (void)edit(d, CHAR_UPDATE(1, 'a'));
    append(d);
    document_free(d);
    d = open_document(fd);
    cr_assert_eq(document_merge_part(d, CHAR_UPDATE(2, 'b')), 0);
    cr_assert_eq(document_loaded(d, 1, 20), 0);
    cr_assert_eq(document_last_seq(d), 21);
    append(d);
    cr_assert_eq(text_len(d), 2);
    /* The store's 20 is not ours: our 1 is not stored yet. */
    cr_assert_eq(document_stored_seq(d), 0);
    cr_assert(!document_set_stored(d, 20));
    cr_assert(document_set_stored(d, 21));
    cr_assert_eq(document_stored_seq(d), 21);
    cr_assert_eq(since(d, 1).count, 1);
    document_free(d);
    (void)close(fd);
}

/* The room went on while the store was asked, and has a number that the store gave to another edit.
 */
Test(document, a_lineage_that_was_overtaken)
{
    int fd = new_file();
    struct document *d = new_document(fd, 0);

    (void)edit(d, CHAR_UPDATE(1, 'a'));
    append(d);
    uint64_t opened_seq = document_last_seq(d);
    for (uint8_t client = 10; client < 15; client++)
        (void)edit(d, CHAR_UPDATE(client, 'x'));
    append(d);
    cr_assert_eq(document_last_seq(d), 6);
    cr_assert_eq(document_merge_part(d, CHAR_UPDATE(2, 'b')), 0);
    cr_assert_eq(document_loaded(d, opened_seq, 4), 0);
    cr_assert_eq(document_stored_seq(d), 0, "none of ours is stored");
    cr_assert_eq(document_last_seq(d), 7);
    append(d);
    cr_assert(!document_set_stored(d, 6));
    cr_assert(document_set_stored(d, 7));
    document_free(d);
    d = open_document(fd);
    cr_assert_eq(text_len(d), 7);
    document_free(d);
    (void)close(fd);
}

Test(document, parts_that_the_segment_lacks_are_kept)
{
    int fd = new_file();
    struct document *d = new_document(fd, 0);

    (void)edit(d, CHAR_UPDATE(1, 'a'));
    append(d);
    cr_assert_eq(document_merge_part(d, CHAR_UPDATE(1, 'a')), 0);
    cr_assert_eq(document_loaded(d, 1, 1), 0); /* the usual case: nothing new */
    cr_assert_eq(document_last_seq(d), 1);
    cr_assert_eq(document_stored_seq(d), 1);
    cr_assert_eq(document_merge_part(d, CHAR_UPDATE(2, 'b')), 0);
    cr_assert_eq(document_loaded(d, 1, 1), 0);
    cr_assert_eq(document_last_seq(d), 2);
    append(d);
    document_free(d);
    d = open_document(fd);
    cr_assert_eq(text_len(d), 2);
    document_free(d);
    (void)close(fd);
}

Test(document, a_damaged_segment_is_refused)
{
    int fd = new_file();
    struct document *d = new_document(fd, 0);

    for (uint8_t i = 1; i <= 5; i++)
        (void)edit(d, CHAR_UPDATE(i, 'x'));
    append(d);
    document_free(d);
    uint8_t byte = 0xff;
    cr_assert_eq(pwrite(fd, &byte, 1, SEGMENT_HEADER_BYTES + 40), 1);
    cr_assert_eq(try_open(fd, &d), -EBADMSG);
    cr_expect_str_eq(reason, "record 1 at byte 4104, behind sequence 0, is damaged");
    (void)close(fd);
}

/* ---- a disk that fails ---- */

/* 40,000 characters of one client. */
static struct slice large_update(uint8_t client)
{
    static uint8_t bytes[11 + 40000 + 1] = {1, 1, 1, 0, 4, 1, 1, 't', 0xc0, 0xb8, 2};

    memset(bytes + 11, 'x', 40000);
    bytes[2] = client;
    return slice_of(bytes, sizeof(bytes));
}

/* A full file system looks like a file that may not grow. */
Test(document, a_full_file_system_refuses_edits_and_keeps_the_rest)
{
    struct rlimit limit = {.rlim_cur = 256u << 10, .rlim_max = 256u << 10};
    int fd = new_file();
    struct document *d = new_document(fd, 0);
    uint8_t client;
    uint64_t seq;
    int r = 0;

    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (client = 1; client < 20 && r == 0; client++) {
        r = document_edit(d, 1, CRDT_V1, large_update(client), &seq);
        if (r == 0)
            append(d);
    }
    cr_assert_eq(r, -ENOSPC);
    cr_assert_gt(client, 3);
    cr_assert_eq(text_len(d), (client - 2u) * 40000);
    cr_assert_eq(document_last_seq(d), client - 2u);
    document_free(d);
    (void)close(fd);
}

/* What could not be written is gone, as if the room had been started again; the next edit works. */
Test(document, what_cannot_be_written_is_rolled_back)
{
    const struct edit *edits;
    int fd = new_file();
    struct document *d = new_document(fd, 0);

    (void)edit(d, CHAR_UPDATE(1, 'a'));
    append(d);
    cr_assert_eq(edit(d, CHAR_UPDATE(2, 'b')), 2);
    cr_assert_eq(edit(d, CHAR_UPDATE(3, 'c')), 3);
    fault_set("pwritev:segment:1:EIO:once");
    cr_assert_eq(document_append(d), -EIO);
    cr_assert_eq(fault_hits(), 1);
    cr_assert_eq(document_roll_back(d), 0);
    cr_assert_eq(document_batch(d, &edits), 0);
    cr_assert_eq(document_last_seq(d), 1);
    cr_assert_eq(text_len(d), 1);
    cr_assert_eq(atomic_load(&document_header(d)->last_seq), 1);
    cr_assert_eq(edit(d, CHAR_UPDATE(3, 'c')), 2);
    append(d);
    document_free(d);
    d = open_document(fd);
    cr_assert_eq(text_len(d), 2);
    document_free(d);
    (void)close(fd);
}

/* A store that followed another lineage, and no space to restate ours: nothing is taken for stored
 * until there is. */
Test(document, what_the_store_brought_waits_for_space)
{
    int fd = new_file();
    struct document *d = new_document(fd, 0);

    (void)edit(d, CHAR_UPDATE(1, 'a'));
    append(d);
    for (uint8_t client = 10; client < 15; client++)
        (void)edit(d, large_update(client)); /* all that was reserved is used */
    append(d);
    cr_assert_eq(document_merge_part(d, CHAR_UPDATE(2, 'b')), 0);
    fault_set("fallocate:segment:1:ENOSPC:on");
    cr_assert_eq(document_loaded(d, 1, 4), -ENOSPC);
    cr_assert(!document_set_stored(d, 4));
    cr_assert_eq(document_loaded(d, 6, 4), -ENOSPC, "although 4 is below our 6 by now");
    fault_set(NULL);
    cr_assert_eq(document_loaded(d, 6, 4), 0);
    cr_assert_eq(document_last_seq(d), 7);
    append(d);
    cr_assert_eq(document_stored_seq(d), 0);
    cr_assert(document_set_stored(d, 7));
    document_free(d);
    (void)close(fd);
}

/* ---- careful ---- */

static int unpublished(int fd, struct segment_record *ret, struct segment_view **ret_view)
{
    cr_assert_eq(segment_view_open(fcntl(fd, F_DUPFD_CLOEXEC, 0), ret_view), 0);
    return segment_view_unpublished(*ret_view, ret);
}

Test(document, a_careful_one_leaves_what_it_works_on)
{
    struct segment_record r;
    struct segment_view *v;
    int fd = new_file();
    uint64_t seq;

    is_careful = true;
    struct document *d = new_document(fd, 0);
    for (uint8_t client = 1; client <= 2; client++) {
        (void)edit(d, CHAR_UPDATE(client, 'a')); /* in the batch, and not yet appended */
        cr_assert_eq(unpublished(fd, &r, &v), 1);
        cr_assert_eq(r.seq, client);
        cr_assert_eq(r.session, 1);
        cr_assert(slice_equal(r.payload, CHAR_UPDATE(client, 'a')));
        segment_view_free(v);
    }
    append(d);
    cr_assert_eq(unpublished(fd, &r, &v), 0);
    segment_view_free(v);

    /* Neither what is refused nor what changes nothing is to blame for what comes later. */
    cr_assert_eq(document_edit(d, 1, CRDT_V1, slice_str("\xff\xff\xff"), &seq), -EBADMSG);
    cr_assert_eq(unpublished(fd, &r, &v), 0);
    segment_view_free(v);
    (void)edit(d, CHAR_UPDATE(1, 'a'));
    cr_assert_eq(unpublished(fd, &r, &v), 0);
    segment_view_free(v);

    (void)edit(d, CHAR_UPDATE(3, 'a'));
    document_free(d); /* dead before it was published */
    d = open_document(fd);
    cr_assert_eq(document_last_seq(d), 2);
    cr_assert_eq(text_len(d), 2);
    document_free(d);
    (void)close(fd);
}

Test(document, one_that_is_not_careful_writes_once)
{
    struct segment_record r;
    struct segment_view *v;
    int fd = new_file();
    struct document *d = new_document(fd, 0);

    (void)edit(d, CHAR_UPDATE(1, 'a'));
    cr_assert_eq(unpublished(fd, &r, &v), 0);
    segment_view_free(v);
    document_free(d);
    (void)close(fd);
}

/* ---- the next segment ---- */

static struct document *long_document(int fd)
{
    struct document *d = new_document(fd, 0);

    for (uint8_t client = 1; !document_wants_next(d); client++) {
        cr_assert_lt(client, 10, "the log has grown enough");
        (void)edit(d, large_update(client));
        append(d);
    }
    return d;
}

static void begin_next(struct document *d, int next_fd)
{
    cr_assert_eq(document_begin_next(d, fcntl(next_fd, F_DUPFD_CLOEXEC, 0)), 0);
}

static size_t text_in(int fd)
{
    struct document *d = open_document(fd);
    size_t len = text_len(d);

    document_free(d);
    return len;
}

static uint32_t flags_of(int fd)
{
    struct segment_view *v;

    cr_assert_eq(segment_view_open(fcntl(fd, F_DUPFD_CLOEXEC, 0), &v), 0);
    uint32_t flags = atomic_load(&segment_view_header(v)->flags);
    segment_view_free(v);
    return flags;
}

Test(document, a_long_log_leads_to_a_next_segment)
{
    int fd = new_file();
    int next_fd = new_file();
    struct document *d = long_document(fd);
    uint64_t lineage = document_lineage(d);
    uint64_t base_seq = document_last_seq(d);
    size_t len = text_len(d);

    atomic_store(&document_header(d)->pid, 77);
    cr_assert(document_set_stored(d, 3));
    begin_next(d, next_fd);
    cr_assert(!document_wants_next(d), "there is one");
    (void)edit(d, CHAR_UPDATE(100, 'a'));
    append(d);
    cr_assert(document_set_stored(d, 4));
    /* Whoever dies now: each of them has it all. */
    cr_assert_eq(text_in(fd), len + 1);
    cr_assert_eq(text_in(next_fd), len + 1);
    document_take_next(d);
    cr_assert_eq(flags_of(next_fd), 0);
    cr_assert_eq(document_lineage(d), lineage);
    cr_assert_eq(document_header(d)->lineage, lineage);
    cr_assert_eq(document_header(d)->base_seq, base_seq);
    cr_assert_eq(document_header(d)->pid, 77);
    cr_assert_eq(document_stored_seq(d), 4);
    cr_assert(!document_wants_next(d));
    (void)edit(d, CHAR_UPDATE(101, 'a'));
    append(d);
    cr_assert_eq(since(d, base_seq).count, 2);
    cr_assert_eq(since(d, base_seq - 1).count, 1, "all at once");
    document_free(d);
    cr_assert_eq(text_in(next_fd), len + 2);
    (void)close(fd);
    (void)close(next_fd);
}

Test(document, the_old_one_is_marked_when_the_next_has_the_name)
{
    int fd = new_file();
    int next_fd = new_file();
    struct document *d = long_document(fd);

    begin_next(d, next_fd);
    cr_assert_eq(flags_of(fd), 0);
    document_take_next(d);
    cr_assert_eq(flags_of(fd), SEGMENT_SUPERSEDED);
    document_close(d);
    cr_assert_eq(flags_of(next_fd), SEGMENT_CLOSED);
    document_free(d);
    (void)close(fd);
    (void)close(next_fd);
}

/* Its end may come in between: both files say so, as either may have the name. */
Test(document, a_close_is_for_both)
{
    int fd = new_file();
    int next_fd = new_file();
    struct document *d = long_document(fd);

    begin_next(d, next_fd);
    document_close(d);
    cr_assert_eq(flags_of(fd), SEGMENT_CLOSED);
    cr_assert_eq(flags_of(next_fd), SEGMENT_CLOSED);
    document_free(d);
    (void)close(fd);
    (void)close(next_fd);
}

Test(document, a_next_one_that_is_dropped_gives_its_space_back)
{
    struct stat st;
    int fd = new_file();
    int next_fd = new_file();
    struct document *d = long_document(fd);
    size_t len = text_len(d);

    begin_next(d, next_fd);
    document_drop_next(d);
    cr_assert_eq(fstat(next_fd, &st), 0);
    cr_assert_eq(st.st_size, 0);
    cr_assert(document_wants_next(d));
    (void)edit(d, CHAR_UPDATE(100, 'a'));
    append(d);
    document_free(d);
    cr_assert_eq(text_in(fd), len + 1);
    (void)close(fd);
    (void)close(next_fd);
}

/* Each call that writing it makes fails once; the old one goes on, and the next try succeeds. */
Test(document, a_next_one_that_cannot_be_written_changes_nothing)
{
    static const char *const functions[] = {"fallocate", "pwritev", "ftruncate"};

    for (size_t i = 0; i < 3; i++) {
        int fd = new_file();
        int next_fd = new_file();
        struct document *d = long_document(fd);
        size_t len = text_len(d);
        struct stat st;
        char *rule CLEANUP_FREE = xasprintf("%s:segment:1:ENOSPC:once", functions[i]);

        fault_set(rule);
        int copy = fcntl(next_fd, F_DUPFD_CLOEXEC, 0);
        cr_assert_eq(document_begin_next(d, copy), -ENOSPC, "%s", functions[i]);
        cr_assert_eq(fault_hits(), 1);
        cr_assert_eq(fstat(next_fd, &st), 0);
        cr_assert_eq(st.st_size, 0);
        cr_assert(document_wants_next(d));
        cr_assert_eq(document_begin_next(d, copy), 0);
        document_take_next(d);
        document_free(d);
        cr_assert_eq(text_in(next_fd), len);
        (void)close(fd);
        (void)close(next_fd);
    }
}

/* While both are written, what one of them cannot take is in neither. */
Test(document, a_failure_of_one_of_both_is_rolled_back)
{
    for (unsigned n = 1; n <= 2; n++) {
        int fd = new_file();
        int next_fd = new_file();
        struct document *d = long_document(fd);
        size_t len = text_len(d);
        char *rule CLEANUP_FREE = xasprintf("pwritev:segment:%u:EIO:once", n);

        begin_next(d, next_fd);
        (void)edit(d, CHAR_UPDATE(100, 'a'));
        fault_set(rule);
        cr_assert_eq(document_append(d), -EIO);
        cr_assert_eq(document_roll_back(d), 0);
        cr_assert_eq(text_in(fd), len);
        cr_assert_eq(text_in(next_fd), len);
        (void)edit(d, CHAR_UPDATE(101, 'a'));
        append(d);
        document_take_next(d);
        document_free(d);
        cr_assert_eq(text_in(next_fd), len + 1);
        (void)close(fd);
        (void)close(next_fd);
    }
}

/* A log that cannot grow is reason enough, however short it is beside the document. */
Test(document, no_space_asks_for_a_next_one_early)
{
    int fd = new_file();
    struct document *d = new_document(fd, 0);
    uint64_t seq;

    for (uint8_t client = 1; client <= 2; client++)
        (void)edit(d, large_update(client));
    append(d);
    cr_assert(!document_wants_next(d));
    fault_set("fallocate:segment:1:ENOSPC:on");
    int r = 0;
    for (uint8_t client = 3; r == 0; client++) {
        r = document_edit(d, 1, CRDT_V1, large_update(client), &seq);
        if (r == 0)
            append(d);
    }
    cr_assert_eq(r, -ENOSPC);
    cr_assert(document_wants_next(d));
    fault_set(NULL);
    (void)edit(d, CHAR_UPDATE(100, 'a'));
    cr_assert(!document_wants_next(d), "there is space again");
    document_free(d);
    (void)close(fd);
}

Test(document, numbers_of_another_lineage_bring_it_all)
{
    struct seen seen = {0};
    int fd = new_file();
    struct document *d = new_document(fd, 0);

    (void)edit(d, CHAR_UPDATE(1, 'a'));
    append(d);
    cr_assert_neq(document_lineage(d), 0);
    cr_assert_eq(document_since(d, document_lineage(d) + 1, 1, on_edit, &seen), 0);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.last, 1);
    cr_assert_eq(seen.session, 0);
    document_free(d);
    (void)close(fd);
}
