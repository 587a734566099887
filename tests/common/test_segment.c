#include "common/segment.h"

#include "common/crc32c.h"
#include "fault.h"

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
    cr_assert_eq(segment_recover(dup(fd), NULL, NULL, &s, NULL), 0);
    cr_expect_eq(segment_header(s)->last_seq, 9);
    append(s, 10, "three");
    cr_expect_eq(count_records(fd), 3);
    segment_free(s);
    close(fd);
}

/* As if the process had died between the bytes and their publication. */
static void write_unpublished(struct segment *s, uint64_t seq, const char *text)
{
    struct segment_record r = {
        .seq = seq, .session = 5, .kind = SEGMENT_UPDATE_V1, .payload = slice_str(text)};

    cr_assert_eq(segment_write(s, &r, 1), 0);
}

Test(segment, what_was_never_published_is_cut_and_cannot_come_back)
{
    struct segment_contents found;
    struct segment_view *v;
    struct segment_record r;
    int fd = new_file();
    struct segment *s = create(fd);

    append(s, 8, "one");
    uint64_t end = segment_header(s)->committed;
    write_unpublished(s, 9, "a record that was never published");
    cr_expect_eq(count_records(fd), 1);
    segment_free(s);
    v = view(fd);
    cr_assert_eq(segment_view_unpublished(v, &r), 1);
    cr_expect_eq(r.seq, 9);
    cr_expect(slice_equal(r.payload, slice_str("a record that was never published")));
    segment_view_free(v);

    cr_assert_eq(segment_recover(dup(fd), NULL, NULL, &s, &found), 0);
    cr_expect(found.has_torn_tail);
    cr_expect_eq(found.end, end);
    cr_expect_eq(found.records, 1);
    cr_expect_eq(segment_header(s)->last_seq, 8);
    append(s, 9, "a");
    cr_expect_eq(count_records(fd), 2);
    segment_free(s);
    cr_assert_eq(segment_recover(dup(fd), NULL, NULL, &s, &found), 0);
    cr_expect(!found.has_torn_tail);
    cr_expect_eq(segment_header(s)->last_seq, 9);
    segment_free(s);
    close(fd);
}

Test(segment, what_is_taken_back_is_not_found)
{
    struct segment_record r;
    int fd = new_file();
    struct segment *s = create(fd);

    append(s, 8, "one");
    write_unpublished(s, 9, "two");
    cr_assert_eq(segment_take_back(s), 0);
    segment_publish(s); /* there is nothing to publish */
    struct segment_view *v = view(fd);
    cr_expect_eq(segment_view_unpublished(v, &r), 0);
    segment_view_free(v);
    write_unpublished(s, 9, "a long one that is replaced");
    write_unpublished(s, 9, "short");
    segment_publish(s);
    v = view(fd);
    cr_expect_eq(segment_view_unpublished(v, &r), 0, "the rest of the long one is no record");
    segment_view_free(v);
    cr_expect_eq(count_records(fd), 2);
    segment_free(s);
    close(fd);
}

/* A write that tore is no record, and is cut all the same. */
Test(segment, a_torn_tail_is_no_record)
{
    struct segment_contents found;
    struct segment_record r;
    int fd = new_file();
    struct segment *s = create(fd);

    append(s, 8, "one");
    uint64_t end = segment_header(s)->committed;
    write_unpublished(s, 9, "a record that was never published");
    segment_free(s);
    cr_assert_eq(pwrite(fd, "X", 1, (off_t)end + 40), 1);
    struct segment_view *v = view(fd);
    cr_expect_eq(segment_view_unpublished(v, &r), 0);
    segment_view_free(v);
    cr_assert_eq(segment_recover(dup(fd), NULL, NULL, &s, &found), 0);
    cr_expect(found.has_torn_tail);
    cr_expect_eq(found.end, end);
    segment_free(s);
    close(fd);
}

Test(segment, damage_before_the_committed_end_is_refused)
{
    int fd = new_file();
    struct segment *s = create(fd);
    struct segment_view *v;
    struct segment_record r;
    struct segment_contents found;
    uint64_t start = segment_header(s)->committed;
    uint64_t offset = 0;

    append(s, 8, "one");
    append(s, 9, "two");
    segment_free(s);
    cr_assert_eq(pwrite(fd, "X", 1, (off_t)start + 32), 1);
    cr_expect_eq(segment_recover(dup(fd), NULL, NULL, &s, &found), -EBADMSG);
    cr_expect_eq(found.end, start, "names the record");
    cr_expect_eq(found.records, 0);
    cr_expect_eq(found.last_seq, 7);
    cr_expect(!found.is_visit_refused);
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
    cr_expect_eq(segment_recover(dup(fd), NULL, NULL, &s, NULL), -EBADMSG);
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
    cr_assert_eq(segment_recover(dup(other), NULL, NULL, &t, NULL), 0);
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
    cr_expect_eq(segment_recover(fd, NULL, NULL, &s, NULL), -ENODATA);
    cr_assert_eq(write(fd, page, sizeof(page)), (ssize_t)sizeof(page));
    cr_expect_eq(segment_recover(fd, NULL, NULL, &s, NULL), -ENODATA);
    cr_assert_eq(pwrite(fd, "garbage!", 8, 0), 8);
    cr_expect_eq(segment_recover(fd, NULL, NULL, &s, NULL), -EBADMSG);
    close(fd);
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    cr_expect_eq(segment_view_open(fd, &v), -EBADMSG);
    close(fd);
}

Test(segment, header_lengths_are_not_trusted)
{
    int fd = new_file();
    struct segment *s = create(fd);
    struct segment_record r;
    struct segment_view *v;
    uint64_t offset = 0;

    segment_header(s)->checkpoint_len = UINT64_MAX - 3;
    cr_expect_eq(segment_view_open(fd, &v), -EBADMSG);
    segment_header(s)->checkpoint_len = 2;
    segment_header(s)->committed = UINT64_MAX;
    v = view(fd);
    cr_expect_eq(segment_view_next(v, &offset, &r), -EBADMSG);
    segment_view_free(v);
    segment_header(s)->committed = 7;
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

static int refuse_second(void *ctx, const struct segment_record *record)
{
    size_t *seen = ctx;

    (*seen)++;
    return record->seq == 9 ? -E2BIG : 0;
}

Test(segment, recovery_shows_every_record_and_names_what_is_refused)
{
    struct segment_contents found;
    size_t seen = 0;
    int fd = new_file();
    struct segment *s = create(fd);

    append(s, 8, "one");
    uint64_t second = segment_header(s)->committed;
    append(s, 9, "two");
    append(s, 10, "three");
    segment_free(s);
    cr_expect_eq(segment_recover(dup(fd), refuse_second, &seen, &s, &found), -E2BIG);
    cr_expect_eq(seen, 3, "the checkpoint, and two records");
    cr_expect(found.is_visit_refused);
    cr_expect_eq(found.records, 1);
    cr_expect_eq(found.end, second);
    cr_expect_eq(found.last_seq, 8);
    cr_expect_eq(count_records(fd), 3, "it is left as it is");
    close(fd);
}

/* Whoever can write the file can cut it, and change it after it was looked at. */
Test(segment, a_reader_survives_what_becomes_of_the_file)
{
    struct segment_record r;
    struct slice got;
    uint64_t offset = 0;
    int fd = new_file();
    struct segment *s = create(fd);
    struct segment_view *v = view(fd);

    append(s, 8, "one");
    append(s, 9, "two");
    cr_assert_eq(segment_view_next(v, &offset, &r), 1);
    segment_header(s)->checkpoint_len = UINT64_MAX;
    segment_header(s)->tenant_len = UINT16_MAX;
    segment_header(s)->file_id++;
    cr_assert_eq(segment_view_refresh(v), 0);
    cr_expect_eq(segment_view_header(v)->checkpoint_len, checkpoint.len);
    cr_expect_eq(segment_view_header(v)->tenant_len, tenant.len);
    cr_assert_eq(segment_view_next(v, &offset, &r), 1);
    cr_assert_eq(segment_view_checkpoint(v, &got), 0);

    append(s, 10, "three");
    cr_assert_eq(segment_view_refresh(v), 0);
    cr_assert_eq(ftruncate(fd, SEGMENT_HEADER_BYTES), 0);
    cr_expect_eq(segment_view_next(v, &offset, &r), -EBADMSG);
    cr_expect_eq(segment_view_checkpoint(v, &got), -EBADMSG);
    cr_assert_eq(ftruncate(fd, 0), 0);
    cr_expect_eq(segment_view_refresh(v), -EBADMSG);
    cr_expect_eq(segment_view_next(v, &offset, &r), -EBADMSG);
    segment_view_free(v);
    segment_free(s);
    close(fd);
}

static void read_everything(int fd)
{
    struct segment_contents contents;
    struct segment_record r;
    struct segment_view *v;
    struct segment *s;

    if (segment_view_open(dup(fd), &v) == 0) {
        (void)!segment_view_read_all(v, NULL, NULL, &contents);
        (void)!segment_view_unpublished(v, &r);
        segment_view_free(v);
    }
    int copy = dup(fd);
    if (segment_recover(copy, NULL, NULL, &s, &contents) == 0)
        segment_free(s);
    else
        close(copy);
}

/* Every bit that counts, turned. What is damaged is found or does no harm; nothing crashes. */
Test(segment, no_damage_crashes_a_reader)
{
    enum { TAIL = 256 };
    uint8_t bytes[SEGMENT_HEADER_BYTES + TAIL];
    int fd = new_file();
    struct segment *s = create(fd);

    append(s, 8, "one");
    append(s, 9, "two two two");
    write_unpublished(s, 10, "three");
    segment_free(s);
    cr_assert_eq(pread(fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        if (i == sizeof(struct segment_header))
            i = SEGMENT_HEADER_BYTES; /* the rest of the page is not used */
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1u << bit);
            cr_assert_eq(pwrite(fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
            read_everything(fd);
            bytes[i] ^= (uint8_t)(1u << bit);
        }
    }
    close(fd);
}

/* ---- a file system that fails ---- */

/* One life of a segment. 0, or the error of the step that failed; what was published is counted. */
static int live(int fd, unsigned *ret_published)
{
    struct segment_record batch[2] = {{.seq = 8, .kind = 1, .payload = slice_str("one")},
                                      {.seq = 9, .kind = 1, .payload = slice_str("two")}};
    size_t large_len = 200000; /* makes it grow */
    char *large CLEANUP_FREE = xcalloc(1, large_len);
    struct segment_record third = {.seq = 10, .kind = 1, .payload = slice_of(large, large_len)};
    struct segment *s;

    int r = segment_create(fd, tenant, room, 7, checkpoint, &s);
    if (r < 0)
        return r;
    r = segment_append(s, batch, 2);
    if (r == 0)
        *ret_published = 2;
    if (r == 0)
        r = segment_append(s, &third, 1);
    if (r == 0)
        *ret_published = 3;
    int again = dup(fd);
    segment_free(s);
    if (r < 0) {
        close(again);
        return r;
    }
    r = segment_recover(again, NULL, NULL, &s, NULL);
    if (r == 0)
        segment_free(s);
    else
        close(again);
    return r;
}

static void fail_each(const char *function, const char *error, int expected)
{
    for (unsigned n = 1;; n++) {
        unsigned published = 0;
        int fd = new_file();
        int copy = dup(fd);
        char *rule CLEANUP_FREE = xasprintf("%s:segment:%u:%s:once", function, n, error);
        fault_set(rule);
        int r = live(fd, &published);
        unsigned hits = fault_hits();
        fault_set(NULL);
        if (r == 0) {
            cr_expect_eq(published, 3);
        } else {
            cr_expect_eq(r, expected, "%s %u: %d", function, n, r);
            struct segment_view *v;
            int opened = segment_view_open(dup(copy), &v);
            if (opened == 0)
                segment_view_free(v);
            cr_expect(opened == 0 || (opened == -ENODATA && published == 0));
            if (opened == 0)
                cr_expect_eq(count_records(copy), published, "%s %u", function, n);
        }
        close(copy);
        if (hits == 0) {
            cr_expect_eq(r, 0);
            cr_expect_gt(n, 1, "%s is called", function);
            break;
        }
    }
}

Test(segment, what_fails_is_not_published)
{
    fail_each("pwritev", "ENOSPC", -ENOSPC);
    fail_each("pwritev", "EIO", -EIO);
    fail_each("fallocate", "ENOSPC", -ENOSPC);
    fail_each("ftruncate", "EIO", -EIO);
}
