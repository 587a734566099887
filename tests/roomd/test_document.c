#include "roomd/document.h"

#include "updates.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

static struct slice tenant;
static struct slice name;

static int new_file(void)
{
    int fd = memfd_create("segment", MFD_CLOEXEC);

    cr_assert_geq(fd, 0);
    tenant = slice_str("default");
    name = slice_str("demo");
    return fd;
}

static struct document *open_document(int fd)
{
    struct document *d;

    cr_assert_eq(document_open(fcntl(fd, F_DUPFD_CLOEXEC, 0), tenant, name, &d), 0);
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

static size_t text_len(const struct document *d)
{
    struct crdt_buf update = {0};
    struct crdt_buf sv = {0};
    struct crdt_buf text = {0};
    struct crdt_doc *copy = crdt_doc_new(NULL);

    cr_assert_eq(document_sync(d, CRDT_V2, slice_of(NULL, 0), &update, &sv), 0);
    cr_assert_eq(crdt_doc_apply(copy, CRDT_V2, update.data, update.len, NULL), 0);
    cr_assert_eq(crdt_doc_read(copy, CRDT_KIND_TEXT, "t", 1, &text), 0);
    size_t len = text.len;
    crdt_doc_free(copy);
    crdt_buf_done(&text);
    crdt_buf_done(&sv);
    crdt_buf_done(&update);
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

    cr_assert_eq(document_since(d, seq, on_edit, &seen), 0);
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
    cr_assert_eq(document_open(fd, tenant, name, &d), -EBADMSG);
    (void)close(fd);
}

/* A full file system looks like a file that may not grow. */
Test(document, a_full_file_system_refuses_edits_and_keeps_the_rest)
{
    struct rlimit limit = {.rlim_cur = 256u << 10, .rlim_max = 256u << 10};
    int fd = new_file();
    struct document *d = new_document(fd, 0);
    uint8_t bytes[11 + 40000 + 1] = {1, 1, 1, 0, 4, 1, 1, 't', 0xc0, 0xb8, 2}; /* 40,000 */
    uint8_t client;
    uint64_t seq;
    int r = 0;

    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    memset(bytes + 11, 'x', 40000);
    for (client = 1; client < 20 && r == 0; client++) {
        bytes[2] = client;
        r = document_edit(d, 1, CRDT_V1, slice_of(bytes, sizeof(bytes)), &seq);
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
