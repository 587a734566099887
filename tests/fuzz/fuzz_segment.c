/*
 * Any bytes as the file of a segment: what its readers, recovery and the doctor make of it. An
 * input is a byte of what is to be mended, since no search finds a checksum, the beginning of the
 * header (a part, see fuzz.h), and what follows the header page.
 */
#include "fuzz.h"

#include "common/segment.h"
#include "common/segment_record.h"
#include "ctl/doctor_segment.h"

#include <fcntl.h>
#include <sys/mman.h>

enum mend {
    MEND_PAGE = 1u << 0,       /* the file has a whole header page, zeros behind what is given */
    MEND_HEADER = 1u << 1,     /* magic, version, size and checksum */
    MEND_BOOT = 1u << 2,       /* it was written in this run of the machine */
    MEND_CHECKPOINT = 1u << 3, /* checksum */
    MEND_RECORDS = 1u << 4,    /* checksums of all that lie one behind the other */
    MEND_END = 1u << 5,        /* published up to the end of the file */
};

/* ---- the file ---- */

static void mend_header(struct segment_header *h, unsigned mend, size_t file_bytes)
{
    if (mend & MEND_BOOT)
        CHECK(boot_id_read(&h->boot_id) == 0);
    if (mend & MEND_END)
        atomic_store(&h->committed, segment_align(file_bytes));
    if (mend & MEND_HEADER) {
        h->magic = SEGMENT_MAGIC;
        h->version = SEGMENT_VERSION;
        h->header_bytes = SEGMENT_HEADER_BYTES;
        h->header_crc = segment_header_crc(h);
    }
}

static void mend_checkpoint(uint8_t *file, size_t len, struct segment_header *h)
{
    if (h->checkpoint_len <= len - SEGMENT_HEADER_BYTES)
        h->checkpoint_crc = segment_checkpoint_crc(h->file_id, file + SEGMENT_HEADER_BYTES,
                                                   (size_t)h->checkpoint_len);
}

static void mend_records(uint8_t *file, size_t len, const struct segment_header *h)
{
    size_t at = SEGMENT_HEADER_BYTES;

    if (h->checkpoint_len > len)
        return;
    at += (size_t)segment_align(h->checkpoint_len);
    while (at < len && len - at > sizeof(struct segment_record_header)) {
        struct segment_record_header rh;
        memcpy(&rh, file + at, sizeof(rh));
        if (rh.len == 0 || rh.len > len - at - sizeof(rh))
            return;
        rh.crc = segment_record_crc(h->file_id, &rh, file + at + sizeof(rh));
        memcpy(file + at, &rh, sizeof(rh));
        at += segment_record_bytes(rh.len);
    }
}

/* Of exactly `*ret_len` bytes, for the caller to free. */
static uint8_t *make_file(struct crdt_slice input, size_t *ret_len)
{
    struct segment_header h;
    struct crdt_slice header;
    unsigned mend = take_byte(&input);

    take_part(&input, &header);
    size_t page = mend & MEND_PAGE ? SEGMENT_HEADER_BYTES : header.len;
    size_t len = page + input.len;
    uint8_t *file = calloc(1, len + 1);
    CHECK(file);
    memcpy(file, header.data, header.len < page ? header.len : page);
    if (input.len > 0)
        memcpy(file + page, input.data, input.len);
    free_slice(&header);
    *ret_len = len;
    if (len < SEGMENT_HEADER_BYTES)
        return file;
    memcpy(&h, file, sizeof(h));
    if (mend & MEND_CHECKPOINT)
        mend_checkpoint(file, len, &h);
    if (mend & MEND_RECORDS)
        mend_records(file, len, &h);
    mend_header(&h, mend, len);
    memcpy(file, &h, sizeof(h));
    return file;
}

static int open_file(const uint8_t *file, size_t len)
{
    int fd = memfd_create("segment", MFD_CLOEXEC);

    CHECK(fd >= 0);
    CHECK(pwrite(fd, file, len, 0) == (ssize_t)len);
    return fd;
}

static void check_untouched(int fd, const uint8_t *file, size_t len)
{
    uint8_t *now = malloc(len + 1);

    CHECK(now);
    CHECK(pread(fd, now, len + 1, 0) == (ssize_t)len);
    CHECK(memcmp(now, file, len) == 0);
    free(now);
}

/* ---- readers ---- */

static void check_refused(int r)
{
    CHECK(r == -ENODATA || r == -ENOTSUP || r == -EBADMSG);
}

/* Without fail a record at a time, as those who follow a room read it. Returns how many. */
static uint64_t follow(struct segment_view *v, size_t len, int *ret_error)
{
    struct segment_record record;
    uint64_t offset = 0, count = 0;
    int r;

    while ((r = segment_view_next(v, &offset, &record)) > 0) {
        CHECK(offset > SEGMENT_HEADER_BYTES && record.payload.len <= len);
        count++;
    }
    *ret_error = r;
    return count;
}

static void read_as_others(const uint8_t *file, size_t len)
{
    struct segment_contents contents;
    struct segment_record record;
    struct segment_view *v;
    struct slice checkpoint;
    int fd = open_file(file, len), error;
    int r = segment_view_open(fd, &v);

    if (r < 0) {
        check_refused(r);
        close(fd);
        return;
    }
    r = segment_view_checkpoint(v, &checkpoint);
    CHECK(r == 0 || r == -EBADMSG);
    CHECK(r < 0 || checkpoint.len <= len);
    uint64_t count = follow(v, len, &error);
    CHECK(error == 0 || error == -EBADMSG);
    int all = segment_view_read_all(v, NULL, NULL, &contents);
    CHECK(all == 0 || all == -EBADMSG);
    CHECK(all < 0 || (r == 0 && error == 0 && contents.records == count));
    r = segment_view_unpublished(v, &record);
    CHECK(r == 0 || r == 1);
    check_untouched(fd, file, len);
    segment_view_free(v);
}

/* ---- recovery ---- */

static int refuse_second(void *ctx, const struct segment_record *record)
{
    (void)record;
    return ++*(int *)ctx == 2 ? -EPROTO : 0;
}

static void refuse(const uint8_t *file, size_t len)
{
    struct segment_contents contents;
    struct segment *s = NULL;
    int fd = open_file(file, len), visits = 0;
    int r = segment_recover(fd, refuse_second, &visits, &s, &contents);

    if (visits == 2)
        CHECK(r == -EPROTO && contents.is_visit_refused);
    if (r == 0) {
        segment_free(s);
        return;
    }
    check_untouched(fd, file, len);
    close(fd);
}

/* What was recovered is a segment like any other: it takes records, and is recovered again. */
static void go_on(struct segment *s, const struct segment_contents *before)
{
    struct segment_record record = {
        .seq = before->last_seq + 1, .kind = SEGMENT_UPDATE_V1, .payload = slice_str("next")};
    struct segment_contents after;
    uint64_t lineage = segment_header(s)->lineage;
    uint64_t added = record.seq > before->last_seq;
    int fd = segment_dup(s);

    CHECK(fd >= 0);
    if (added)
        CHECK(segment_append(s, &record, 1) == 0);
    segment_free(s);
    CHECK(segment_recover(fd, NULL, NULL, &s, &after) == 0);
    CHECK(!after.is_of_other_boot && !after.has_torn_tail && !after.is_cut);
    CHECK(after.records == before->records + added);
    CHECK(after.last_seq == before->last_seq + added);
    CHECK(segment_header(s)->lineage == lineage);
    segment_free(s);
}

static void check_told(const struct scan *scan, int r, const struct segment_contents *contents)
{
    if (scan->is_of_other_boot) {
        CHECK(scan->is_empty == (r == -ENODATA) && scan->damaged == 0 && !scan->problem);
        return;
    }
    if (scan->is_segment && !scan->problem && scan->damaged == 0) {
        CHECK(r == 0 && scan->last_seq == contents->last_seq);
    } else if (scan->is_empty) {
        CHECK(r == -ENODATA);
    }
}

static void recover(const uint8_t *file, size_t len, const struct scan *scan)
{
    struct segment_contents contents;
    struct segment *s;
    int fd = open_file(file, len);
    int r = segment_recover(fd, NULL, NULL, &s, &contents);

    check_told(scan, r, &contents);
    if (r < 0) {
        check_refused(r);
        check_untouched(fd, file, len);
        close(fd);
        return;
    }
    if (contents.is_of_other_boot)
        CHECK(atomic_load(&segment_header(s)->stored_seq) == 0);
    go_on(s, &contents);
}

/* ---- the doctor ---- */

static void check_piece(const struct scan *scan, const struct scan_piece *piece)
{
    const uint8_t *begin = scan->bytes.data, *end = begin + scan->bytes.len;

    if (piece->payload.len > 0)
        CHECK(piece->payload.data >= begin && piece->payload.data + piece->payload.len <= end);
    CHECK(piece->kind != SCAN_DAMAGE || (piece->is_damaged && piece->size > 0));
}

static void scan_file(const uint8_t *file, size_t len, bool is_living, struct scan *ret_scan)
{
    int fd = open_file(file, len);

    CHECK(scan_read(fd, is_living, ret_scan) == 0);
    size_t damaged = 0;
    for (size_t i = 0; i < ret_scan->count; i++) {
        check_piece(ret_scan, &ret_scan->pieces[i]);
        damaged += ret_scan->pieces[i].is_damaged;
    }
    CHECK(damaged == ret_scan->damaged);
    check_untouched(fd, file, len);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scan scan;
    size_t len;
    uint8_t *file = make_file((struct crdt_slice){data, size}, &len);

    scan_file(file, len, true, &scan);
    scan_done(&scan);
    scan_file(file, len, false, &scan);
    read_as_others(file, len);
    refuse(file, len);
    recover(file, len, &scan);
    scan_done(&scan);
    free(file);
    return 0;
}
