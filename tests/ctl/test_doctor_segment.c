#include "ctl/doctor_segment.h"

#include "boot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#define RECORDS 5u

static const char *const payloads[RECORDS] = {"one", "the second record", "3", "number four",
                                              "the fifth one"};
static const char checkpoint[] = "a checkpoint";

static int fd;
static struct segment *segment;

static struct segment_record record(uint64_t i)
{
    return (struct segment_record){.seq = 11 + i,
                                   .session = 100 + i,
                                   .kind = SEGMENT_UPDATE_V1,
                                   .payload = slice_str(payloads[i])};
}

/* Five records after number 10. The file outlives its writer. */
static void set_up(void)
{
    struct segment_record records[RECORDS];

    fd = memfd_create("segment", MFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(segment_create(fcntl(fd, F_DUPFD_CLOEXEC, 0), slice_str("t"), slice_str("r"), 10,
                                slice_str(checkpoint), &segment),
                 0);
    for (uint64_t i = 0; i < RECORDS; i++)
        records[i] = record(i);
    cr_assert_eq(segment_append(segment, records, RECORDS), 0);
}

static void tear_down(void)
{
    segment_free(segment);
    (void)close(fd);
}

TestSuite(doctor_segment, .init = set_up, .fini = tear_down);

static uint64_t committed(void)
{
    return atomic_load(&segment_header(segment)->committed);
}

static struct scan scan_file(void)
{
    struct scan scan;

    cr_assert_eq(scan_read(fd, false, &scan), 0);
    return scan;
}

static void flip(uint64_t offset)
{
    uint8_t byte;

    cr_assert_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 0x10;
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
}

static void assert_record(const struct scan_piece *piece, uint64_t i)
{
    cr_assert_eq(piece->kind, SCAN_RECORD);
    cr_assert_eq(piece->index, i + 1);
    cr_assert_eq(piece->seq, 11 + i);
    cr_assert_eq(piece->session, 100 + i);
    cr_assert(slice_equal(piece->payload, slice_str(payloads[i])));
}

Test(doctor_segment, a_healthy_one)
{
    struct scan scan = scan_file();

    cr_assert(scan.is_segment && scan.is_header_sound && !scan.problem && !scan.is_torn);
    cr_assert_eq(scan.count, RECORDS + 1);
    cr_assert_eq(scan.damaged, 0);
    cr_assert_eq(scan.last_seq, 15);
    cr_assert_eq(scan.pieces[0].kind, SCAN_CHECKPOINT);
    cr_assert_eq(scan.pieces[0].seq, 10);
    cr_assert(slice_equal(scan.pieces[0].payload, slice_str(checkpoint)));
    for (uint64_t i = 0; i < RECORDS; i++)
        assert_record(&scan.pieces[i + 1], i);
    scan_done(&scan);
}

/* Every byte of every record: just that one is named, and all others are found. */
Test(doctor_segment, each_flipped_byte_is_one_damaged_record)
{
    struct scan whole = scan_file();

    for (size_t i = 0; i < RECORDS; i++) {
        const struct scan_piece *hit = &whole.pieces[i + 1];
        size_t bytes = sizeof(struct segment_record_header) + hit->payload.len;
        for (uint64_t at = hit->offset; at < hit->offset + bytes; at++) {
            flip(at);
            struct scan scan = scan_file();
            cr_assert_eq(scan.damaged, 1);
            cr_assert_eq(scan.count, RECORDS + 1, "byte %zu", (size_t)at);
            cr_assert_eq(scan.last_seq, 15, "byte %zu: %zu", (size_t)at, (size_t)scan.last_seq);
            for (size_t k = 0; k < RECORDS; k++) {
                if (k != i)
                    assert_record(&scan.pieces[k + 1], k);
            }
            const struct scan_piece *damage = &scan.pieces[i + 1];
            cr_assert_eq(damage->kind, SCAN_DAMAGE);
            cr_assert_eq(damage->offset, hit->offset);
            cr_assert_eq(damage->seq, hit->seq);
            cr_assert_eq(damage->last_missing, i + 1 < RECORDS ? hit->seq : 0);
            scan_done(&scan);
            flip(at);
        }
    }
    scan_done(&whole);
}

Test(doctor_segment, several_records_in_a_row)
{
    struct scan whole = scan_file();
    flip(whole.pieces[2].offset + 4);
    flip(whole.pieces[3].offset);
    scan_done(&whole);

    struct scan scan = scan_file();
    cr_assert_eq(scan.count, RECORDS);
    cr_assert_eq(scan.pieces[2].kind, SCAN_DAMAGE);
    cr_assert_eq(scan.pieces[2].seq, 12);
    cr_assert_eq(scan.pieces[2].last_missing, 13);
    cr_assert_eq(scan.pieces[3].seq, 14);
    scan_done(&scan);
}

Test(doctor_segment, a_damaged_checkpoint)
{
    flip(SEGMENT_HEADER_BYTES + 3);
    struct scan scan = scan_file();
    cr_assert_eq(scan.damaged, 1);
    cr_assert(scan.pieces[0].is_damaged);
    cr_assert_eq(scan.count, RECORDS + 1);
    scan_done(&scan);
}

/* Without its header's word every whole record is found all the same. */
Test(doctor_segment, a_damaged_header)
{
    flip(offsetof(struct segment_header, room));
    struct scan scan = scan_file();
    cr_assert_not_null(scan.problem);
    cr_assert(!scan.is_header_sound);
    cr_assert_eq(scan.damaged, 0);
    cr_assert_eq(scan.count, RECORDS + 1);
    scan_done(&scan);
    flip(offsetof(struct segment_header, room));

    atomic_store(&segment_header(segment)->committed, (uint64_t)1 << 60);
    scan = scan_file();
    cr_assert_not_null(scan.problem);
    cr_assert(scan.is_header_sound);
    cr_assert_eq(scan.count, RECORDS + 1);
    scan_done(&scan);

    flip(0);
    scan = scan_file();
    cr_assert(!scan.is_segment);
    cr_assert_not_null(scan.problem);
    scan_done(&scan);
}

Test(doctor_segment, what_was_never_published)
{
    struct segment_record next = {
        .seq = 16, .session = 7, .kind = SEGMENT_UPDATE_V1, .payload = slice_str("the last straw")};

    cr_assert_eq(segment_write(segment, &next, 1), 0);
    struct scan scan = scan_file();
    cr_assert_eq(scan.count, RECORDS + 2);
    cr_assert_eq(scan.pieces[RECORDS + 1].kind, SCAN_UNPUBLISHED);
    cr_assert_eq(scan.pieces[RECORDS + 1].seq, 16);
    cr_assert_eq(scan.pieces[RECORDS + 1].offset, committed());
    cr_assert_eq(scan.last_seq, 15);
    cr_assert_eq(scan.damaged, 0);
    scan_done(&scan);

    cr_assert_eq(scan_read(fd, true, &scan), 0);
    cr_assert_eq(scan.count, RECORDS + 1, "of a living room it is no business");
    scan_done(&scan);

    flip(committed() + sizeof(struct segment_record_header));
    scan = scan_file();
    cr_assert_eq(scan.count, RECORDS + 1);
    cr_assert(scan.is_torn);
    cr_assert_eq(scan.damaged, 0, "a torn end is what a crash leaves");
    scan_done(&scan);
}

/* The tail is gone: the header still tells up to which number. */
Test(doctor_segment, a_file_that_was_cut)
{
    struct scan whole = scan_file();
    uint64_t cut = whole.pieces[4].offset + 8;

    for (size_t len = 0; len < whole.bytes.len && len < committed(); len++) {
        int part = memfd_create("part", MFD_CLOEXEC);
        struct scan scan;
        cr_assert_eq(write(part, whole.bytes.data, len), (ssize_t)len);
        cr_assert_eq(scan_read(part, false, &scan), 0);
        if (len < SEGMENT_HEADER_BYTES)
            cr_assert(scan.is_empty);
        else if (committed() - len >= SEGMENT_RECORD_ALIGN) /* more than padding */
            cr_assert(scan.problem, "%zu bytes", len);
        if (len == cut)
            cr_assert(scan.count == 5 && scan.pieces[4].kind == SCAN_DAMAGE);
        scan_done(&scan);
        (void)close(part);
    }
    scan_done(&whole);
}

/* What a room makes of it, in a copy; -ENODATA: nothing. */
static int recover_copy(const struct buffer *bytes, struct segment_contents *ret)
{
    struct segment *s;
    int copy = memfd_create("copy", MFD_CLOEXEC);

    cr_assert_eq(write(copy, bytes->data, bytes->len), (ssize_t)bytes->len);
    int r = segment_recover(copy, NULL, NULL, &s, ret);
    if (r == 0)
        segment_free(s);
    else
        (void)close(copy);
    return r;
}

static void assert_told_as_recovered(uint64_t at)
{
    struct segment_contents contents;
    struct scan scan = scan_file();
    int r = recover_copy(&scan.bytes, &contents);

    cr_assert(r == 0 || r == -ENODATA, "byte %zu: %d", (size_t)at, r);
    cr_assert(scan.is_of_other_boot && !scan.problem && scan.damaged == 0, "byte %zu", (size_t)at);
    cr_assert_eq(scan.is_empty, r == -ENODATA, "byte %zu", (size_t)at);
    cr_assert_eq(scan.is_segment, r == 0, "byte %zu", (size_t)at);
    if (r == 0) {
        cr_assert_eq(scan.count, contents.records + 1, "byte %zu", (size_t)at);
        cr_assert_eq(scan.last_seq, contents.last_seq);
        cr_assert_eq(scan.is_cut, contents.is_cut);
    }
    scan_done(&scan);
}

/* Whichever byte a power loss took: what is said is what a room makes of it. */
Test(doctor_segment, one_of_another_boot_is_told_as_a_room_takes_it)
{
    static const struct boot_id later = {{1, 2, 3}};
    struct scan scan;

    boot_pretend(&later);
    assert_told_as_recovered(0);
    for (uint64_t at = offsetof(struct segment_header, header_bytes); at < committed(); at++) {
        if (at == offsetof(struct segment_header, committed))
            at = SEGMENT_HEADER_BYTES; /* where it ends is not checked by anything */
        flip(at);
        assert_told_as_recovered(at);
        flip(at);
    }
    /* A room that lives has made it one of this boot, or is about to. */
    cr_assert_eq(scan_read(fd, true, &scan), 0);
    cr_assert(!scan.is_of_other_boot);
    scan_done(&scan);
}

static uint32_t seed = 12345;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)seed * n >> 32);
}

/* Whatever is in the file: pieces lie in it, in order, and what is called whole is whole. */
Test(doctor_segment, any_bytes)
{
    struct scan whole = scan_file();
    uint32_t len = (uint32_t)committed();
    uint8_t *bytes = xmalloc(len);

    for (int round = 0; round < 3000; round++) {
        memcpy(bytes, whole.bytes.data, len);
        for (uint32_t n = 1 + random_below(12); n > 0; n--)
            bytes[random_below(2) ? random_below(600) : random_below(len)] =
                (uint8_t)random_below(256);
        memcpy(bytes, whole.bytes.data, random_below(2) ? 12 : 0);
        int part = memfd_create("part", MFD_CLOEXEC);
        struct scan scan;
        cr_assert_eq(write(part, bytes, len), (ssize_t)len);
        cr_assert_eq(scan_read(part, random_below(2), &scan), 0);
        uint64_t end = 0;
        for (size_t i = 0; i < scan.count; i++) {
            const struct scan_piece *p = &scan.pieces[i];
            cr_assert(i <= 1 || p->offset >= end);
            cr_assert(p->payload.len == 0 || p->payload.data >= scan.bytes.data);
            cr_assert(p->payload.len == 0 ||
                      p->payload.data + p->payload.len <= scan.bytes.data + scan.bytes.len);
            end = p->offset + (i > 0 ? p->size : 0);
        }
        scan_done(&scan);
        (void)close(part);
    }
    free(bytes);
    scan_done(&whole);
}

/* Needed as long as something in it may not be stored, or its room still runs. */
Test(doctor_segment, another_version)
{
    struct segment_header *h = segment_header(segment);
    struct scan scan;

    h->version = SEGMENT_VERSION + 1;
    scan = scan_file();
    cr_expect(scan.is_foreign && !scan.is_empty && !scan.is_segment && !scan.problem);
    scan_done(&scan);
    atomic_store(&h->stored_seq, atomic_load(&h->last_seq));
    atomic_store(&h->flags, SEGMENT_CLOSED);
    scan = scan_file();
    cr_expect(!scan.is_foreign && scan.is_empty && !scan.problem);
    scan_done(&scan);
    cr_assert_eq(scan_read(fd, true, &scan), 0);
    cr_expect(scan.is_foreign);
    scan_done(&scan);
}

Test(doctor_segment, what_is_too_large_is_not_read)
{
    struct scan scan;

    cr_assert_eq(ftruncate(fd, (off_t)SCAN_FILE_MAX + 1), 0);
    cr_assert_eq(scan_read(fd, false, &scan), -EFBIG);
}
