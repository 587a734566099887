/* What a document says of its edits to a lens, and of what it has. */
#include "common/segment.h"
#include "fault.h"
#include "roomd/document.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#define INSERT                                                                                     \
    "{\"kind\":\"insert\",\"id\":{\"site\":\"a\",\"counter\":1},\"after\":null,\"value\":\"x\"}"

static struct document *new_document(int *ret_fd, bool is_careful)
{
    char reason[DOCUMENT_REASON_BYTES];
    struct document *d;

    *ret_fd = memfd_create("segment", MFD_CLOEXEC);
    cr_assert_geq(*ret_fd, 0);
    struct document_start start = {.fd = fcntl(*ret_fd, F_DUPFD_CLOEXEC, 0),
                                   .tenant = slice_str("default"),
                                   .room = slice_str("demo"),
                                   .is_careful = is_careful};
    cr_assert_eq(document_open(&start, &d, reason), 0);
    cr_assert_eq(document_loaded(d, 0, 0), 0);
    return d;
}

static uint64_t insert(struct document *d)
{
    uint64_t seq;

    cr_assert_eq(document_op(d, 1, LENS_OPS, slice_str(INSERT), &seq), 0);
    return seq;
}

static void append(struct document *d)
{
    cr_assert_eq(document_append(d), 0);
    document_clear_batch(d);
}

Test(document_lens, edits_say_what_they_changed_while_somebody_looks)
{
    int fd;
    struct document *d = new_document(&fd, false);
    const struct edit *edits;
    uint64_t seq;

    document_set_lens(d, LENS_OPS);
    cr_assert_eq(insert(d), 1);
    cr_assert_eq(insert(d), 1); /* it has that */
    cr_assert_eq(document_edit(d, 2, CRDT_V1, CHAR_UPDATE(1, 'a'), &seq), 0);
    document_set_lens(d, LENS_NONE);
    cr_assert_eq(document_edit(d, 2, CRDT_V1, CHAR_UPDATE(2, 'b'), &seq), 0);
    cr_assert_eq(document_batch(d, &edits), 3);
    cr_assert(slice_equal(blob_slice(edits[0].change), slice_str(INSERT "\n")));
    cr_assert_eq(edits[0].session, 1);
    cr_assert(!edits[1].change && !edits[2].change, "of another root; and nobody looks");
    for (int i = 0; i < 3; i++)
        cr_assert(!edits[i].is_unseen);
    cr_assert_eq(document_op(d, 1, LENS_OPS, slice_str("{}"), &seq), -EBADMSG);
    append(d);
    document_free(d);
    (void)close(fd);
}

/* Until it is restated nobody has heard of it; then it comes as a whole. */
Test(document_lens, what_the_store_brought_cannot_be_said)
{
    int fd;
    struct document *d = new_document(&fd, false);
    const struct edit *edits;

    document_set_lens(d, LENS_OPS);
    cr_assert_eq(document_merge_part(d, CHAR_UPDATE(2, 'b')), 0);
    cr_assert_eq(insert(d), 1);
    cr_assert_eq(document_loaded(d, 0, 0), 0);
    cr_assert_eq(document_batch(d, &edits), 2);
    cr_assert(edits[0].is_unseen && !edits[0].change);
    cr_assert(edits[1].is_unseen && !edits[1].change);
    append(d);
    document_free(d);
    (void)close(fd);
}

Test(document_lens, a_view_is_of_what_is_written)
{
    int fd;
    struct document *d = new_document(&fd, false);
    struct crdt_buf state = {0};

    document_set_lens(d, LENS_OPS);
    (void)insert(d);
    fault_set("pwritev:segment:1:EIO:once");
    cr_assert_eq(document_append(d), -EIO);
    cr_assert_eq(document_roll_back(d), 0);
    cr_assert_eq(document_view(d, LENS_OPS, &state), 0);
    cr_assert(slice_equal(slice_of(state.data, state.len), slice_str("[]")));
    crdt_buf_done(&state);
    cr_assert_eq(insert(d), 1);
    append(d);
    cr_assert_eq(document_view(d, LENS_OPS, &state), 0);
    cr_assert(slice_equal(slice_of(state.data, state.len),
                          slice_str("[{\"id\":{\"site\":\"a\",\"counter\":1},\"value\":\"x\"}]")));
    crdt_buf_done(&state);
    document_free(d);
    (void)close(fd);
}

Test(document_lens, what_it_has_in_either_format)
{
    struct slice v1 = CHAR_UPDATE(1, 'a'), other = CHAR_UPDATE(2, 'a');
    struct crdt_buf v2 = {0};

    cr_assert_eq(
        crdt_update_convert(CRDT_V1, (struct crdt_slice){v1.data, v1.len}, CRDT_V2, NULL, &v2), 0);
    for (int is_careful = 0; is_careful < 2; is_careful++) {
        int fd;
        struct document *d = new_document(&fd, is_careful);
        const struct edit *edits;
        struct segment_record record;
        struct segment_view *v;
        bool has = true;
        uint64_t seq;

        cr_assert_eq(document_has(d, 1, CRDT_V1, v1, &has), 0);
        cr_assert(!has);
        cr_assert_eq(document_edit(d, 1, CRDT_V1, v1, &seq), 0);
        append(d);
        cr_assert_eq(document_has(d, 1, CRDT_V1, v1, &has), 0);
        cr_assert(has);
        cr_assert_eq(document_has(d, 1, CRDT_V2, slice_of(v2.data, v2.len), &has), 0);
        cr_assert(has);
        cr_assert_eq(document_has(d, 1, CRDT_V1, slice_of(NULL, 0), &has), -EBADMSG);
        cr_assert_eq(document_has(d, 1, CRDT_V2, slice_str("\xff"), &has), -EBADMSG);
        cr_assert_eq(document_has(d, 1, CRDT_V1, other, &has), 0);
        cr_assert(!has);
        cr_assert_eq(document_batch(d, &edits), 0);
        cr_assert_eq(document_last_seq(d), 1);
        cr_assert_eq(segment_view_open(fcntl(fd, F_DUPFD_CLOEXEC, 0), &v), 0);
        cr_assert_eq(segment_view_unpublished(v, &record), 0, "none of it is to blame");
        segment_view_free(v);
        document_free(d);
        (void)close(fd);
    }
    crdt_buf_done(&v2);
}
