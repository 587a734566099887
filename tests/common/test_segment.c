#include "common/segment.h"

#include "common/crc32c.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const struct slice tenant = {(const uint8_t *)"t", 1};
static const struct slice room = {(const uint8_t *)"demo", 4};
static const struct slice checkpoint = {(const uint8_t *)"\0\0", 2};

static int new_file(void)
{
    int fd = memfd_create("segment", MFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

static struct segment *create(int fd)
{
    struct segment *s;
    cr_assert_eq(segment_create(dup(fd), tenant, room, 7, checkpoint, &s), 0);
    return s;
}

static struct segment_view *view(int fd)
{
    struct segment_view *v;
    cr_assert_eq(segment_view_open(dup(fd), &v), 0);
    return v;
}

static void append(struct segment *s, uint64_t seq, const char *text)
{
    struct segment_record r = {
        .seq = seq, .session = 5, .kind = SEGMENT_UPDATE_V1, .payload = slice_str(text)};
    cr_assert_eq(segment_append(s, &r, 1), 0);
}

static size_t count_records(int fd)
{
    struct segment_view *v = view(fd);
    struct segment_record r;
    uint64_t offset = 0;
    size_t n = 0;

    while (segment_view_next(v, &offset, &r) == 1)
        n++;
    segment_view_free(v);
    return n;
}

Test(segment, crc32c_is_castagnoli)
{
    cr_expect_eq(crc32c(0, "123456789", 9), 0xe3069283u);
    cr_expect_eq(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}

Test(segment, readers_see_what_is_published_while_it_grows)
{
    int fd = new_file();
    struct segment *s = create(fd);
    struct segment_view *v = view(fd);
    struct segment_record r;
    struct slice got;
    uint64_t offset = 0;
    char text[300];

    cr_expect_eq(segment_view_checkpoint(v, &got), 0);
    cr_expect(slice_equal(got, checkpoint));
    cr_expect_eq(segment_view_header(v)->base_seq, 7);
    cr_expect_eq(memcmp(segment_view_header(v)->room, "demo", 4), 0);
    cr_expect_eq(segment_view_next(v, &offset, &r), 0);
    for (uint64_t i = 0; i < 5000; i++) { /* beyond what was mapped at first */
        (void)snprintf(text, sizeof(text), "%0*d", (int)(1 + i % 250), (int)i);
        append(s, 8 + i, text);
        cr_assert_eq(segment_view_next(v, &offset, &r), 1);
        cr_assert_eq(r.seq, 8 + i);
        cr_assert_eq(r.session, 5);
        cr_assert_eq(r.kind, SEGMENT_UPDATE_V1);
        cr_assert(slice_equal(r.payload, slice_str(text)));
        cr_assert_eq(segment_view_next(v, &offset, &r), 0);
    }
    cr_expect_eq(segment_view_header(v)->last_seq, 5007);
    segment_view_free(v);
    segment_free(s);
    close(fd);
}

Test(segment, a_batch_is_published_together)
{
    struct segment_record batch[200];
    int fd = new_file();
    struct segment *s = create(fd);

    for (uint64_t i = 0; i < 200; i++)
        batch[i] = (struct segment_record){.seq = 8 + i, .kind = 1, .payload = slice_str("abc")};
    cr_assert_eq(segment_append(s, batch, 200), 0);
    cr_expect_eq(count_records(fd), 200);
    segment_free(s);
    close(fd);
}

Test(segment, recovery_keeps_everything_published)
{
    int fd = new_file();
    struct segment *s = create(fd);

    append(s, 8, "one");
    append(s, 9, "two two two two");
    segment_free(s);
    cr_assert_eq(segment_recover(dup(fd), &s, NULL), 0);
    cr_expect_eq(segment_header(s)->last_seq, 9);
    append(s, 10, "three");
    cr_expect_eq(count_records(fd), 3);
    segment_free(s);
    close(fd);
}

Test(segment, a_torn_tail_is_cut_and_cannot_come_back)
{
    int fd = new_file();
    struct segment *s = create(fd);
    struct segment_recovery found;
    append(s, 8, "one");
    uint64_t end = segment_header(s)->committed;
    append(s, 9, "a record that was never published");
    append(s, 10, "nor this");
    /* As if the process had died before it published them, with the first one torn. */
    segment_header(s)->committed = end;
    segment_header(s)->last_seq = 8;
    segment_free(s);
    cr_assert_eq(pwrite(fd, "X", 1, (off_t)end + 40), 1);

    cr_assert_eq(segment_recover(dup(fd), &s, &found), 0);
    cr_expect(found.has_torn_tail);
    cr_expect_eq(found.end, end);
    cr_expect_eq(segment_header(s)->last_seq, 8);
    append(s, 9, "a");
    cr_expect_eq(count_records(fd), 2);
    segment_free(s);
    cr_assert_eq(segment_recover(dup(fd), &s, NULL), 0);
    cr_expect_eq(segment_header(s)->last_seq, 9);
    segment_free(s);
    close(fd);
}

Test(segment, damage_before_the_committed_end_is_refused)
{
    int fd = new_file();
    struct segment *s = create(fd);
    struct segment_view *v;
    struct segment_record r;
    struct segment_recovery found;
    uint64_t start = segment_header(s)->committed;
    uint64_t offset = 0;

    append(s, 8, "one");
    append(s, 9, "two");
    segment_free(s);
    cr_assert_eq(pwrite(fd, "X", 1, (off_t)start + 32), 1);
    cr_expect_eq(segment_recover(dup(fd), &s, &found), -EBADMSG);
    cr_expect_eq(found.end, start, "names the record");
    v = view(fd);
    cr_expect_eq(segment_view_next(v, &offset, &r), -EBADMSG);
    segment_view_free(v);
    close(fd);
}

Test(segment, a_damaged_checkpoint_is_refused)
{
    int fd = new_file();
    struct segment *s = create(fd);

    segment_free(s);
    cr_assert_eq(pwrite(fd, "X", 1, SEGMENT_HEADER_BYTES), 1);
    cr_expect_eq(segment_recover(dup(fd), &s, NULL), -EBADMSG);
    close(fd);
}

Test(segment, bytes_of_another_file_are_no_records)
{
    int fd = new_file();
    int other = new_file();
    struct segment *s = create(fd);
    struct segment *t = create(other);
    uint64_t start = segment_header(s)->committed;
    char record[64];

    append(s, 8, "one");
    segment_free(s);
    segment_free(t);
    cr_assert_eq(pread(fd, record, 40, (off_t)start), 40);
    cr_assert_eq(pwrite(other, record, 40, (off_t)start), 40);
    cr_assert_eq(segment_recover(dup(other), &t, NULL), 0);
    cr_expect_eq(segment_header(t)->last_seq, 7);
    segment_free(t);
    close(fd);
    close(other);
}

Test(segment, unfinished_and_foreign_files_are_told_apart)
{
    struct segment_view *v;
    struct segment *s;
    char page[2 * SEGMENT_HEADER_BYTES] = {0};
    int fd = new_file();

    cr_expect_eq(segment_view_open(fd, &v), -ENODATA);
    cr_expect_eq(segment_recover(fd, &s, NULL), -ENODATA);
    cr_assert_eq(write(fd, page, sizeof(page)), (ssize_t)sizeof(page));
    cr_expect_eq(segment_recover(fd, &s, NULL), -ENODATA);
    cr_assert_eq(pwrite(fd, "garbage!", 8, 0), 8);
    cr_expect_eq(segment_recover(fd, &s, NULL), -EBADMSG);
    close(fd);
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    cr_expect_eq(segment_view_open(fd, &v), -EBADMSG);
    close(fd);
}

Test(segment, header_lengths_are_not_trusted)
{
    int fd = new_file();
    struct segment *s = create(fd);
    struct segment_view *v;

    segment_header(s)->checkpoint_len = UINT64_MAX - 3;
    cr_expect_eq(segment_view_open(fd, &v), -EBADMSG);
    segment_header(s)->checkpoint_len = 2;
    segment_header(s)->committed = UINT64_MAX;
    cr_expect_eq(segment_view_open(fd, &v), -EBADMSG);
    segment_free(s);
    close(fd);
}

Test(segment, no_space_changes_nothing)
{
    int fd = memfd_create("segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct segment *s = create(fd);
    size_t big = 1 << 20;
    char *text CLEANUP_FREE = xcalloc(1, big);
    struct segment_record r = {.seq = 8, .kind = 1, .payload = slice_of(text, big)};

    /* A file that must not grow stands for a file system that cannot. */
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    cr_expect_eq(segment_reserve(s, segment_record_bytes(big)), -EPERM);
    cr_expect_eq(segment_append(s, &r, 1), -EPERM);
    cr_expect_eq(segment_header(s)->last_seq, 7);
    append(s, 8, "what was reserved before still fits");
    cr_expect_eq(count_records(fd), 1);
    segment_free(s);
    close(fd);
}
