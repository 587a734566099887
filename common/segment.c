#include "common/segment.h"

#include "common/segment_record.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* Of the file. Most rooms are read more than they are edited: a new one gets no page more than its
 * beginning needs; the rest of the last one is enough for the first edits. */
#define PAGE_BYTES        (4u << 10)
#define GROW_MIN          (16u << 10)
#define GROW_MAX          (4u << 20)
#define RECORDS_PER_WRITE 64u
#define IOVS_PER_RECORD   3u /* header, payload, padding */

struct segment {
    int fd;
    struct segment_header *header; /* the first page, shared with every reader */
    uint64_t end;                  /* behind what is published */
    uint64_t written_end;          /* behind what was written; `end` if that is all published */
    uint64_t written_seq;
    uint64_t allocated; /* reserved in the file system */
};

/* ---- the file ---- */

static int allocate(int fd, uint64_t offset, uint64_t len)
{
    while (fallocate(fd, 0, (off_t)offset, (off_t)len) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static int cut(int fd, uint64_t len)
{
    while (ftruncate(fd, (off_t)len) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static int write_all(int fd, struct iovec *iov, size_t count, uint64_t offset)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, iov, (int)count, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        offset += (size_t)n;
        while (count > 0 && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static int write_bytes(int fd, const void *data, size_t len, uint64_t offset)
{
    struct iovec iov = {(void *)data, len};

    return len == 0 ? 0 : write_all(fd, &iov, 1, offset);
}

static int map_header(int fd, struct segment_header **ret_header)
{
    void *p = mmap(NULL, SEGMENT_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        return -errno;
    *ret_header = p;
    return 0;
}

static struct segment *new_segment(int fd, struct segment_header *header, uint64_t end,
                                   uint64_t allocated)
{
    struct segment *s = xmalloc(sizeof(*s));

    *s = (struct segment){
        .fd = fd, .header = header, .end = end, .written_end = end, .allocated = allocated};
    return s;
}

/* ---- a new one ---- */

static uint64_t random_number(void)
{
    uint64_t n = 0;

    while (n == 0) {
        ssize_t len = getrandom(&n, sizeof(n), 0);
        assert(len == sizeof(n) || (len < 0 && errno == EINTR));
    }
    return n;
}

uint64_t segment_new_lineage(void)
{
    return random_number();
}

static void fill_header(struct segment_header *h, const struct segment_start *start,
                        const struct boot_id *boot_id, uint64_t committed)
{
    h->version = SEGMENT_VERSION;
    h->header_bytes = SEGMENT_HEADER_BYTES;
    h->boot_id = *boot_id;
    h->file_id = start->file_id ? start->file_id : random_number();
    h->lineage = start->lineage ? start->lineage : random_number();
    h->base_seq = start->base_seq;
    h->checkpoint_len = start->checkpoint.len;
    h->checkpoint_crc =
        segment_checkpoint_crc(h->file_id, start->checkpoint.data, start->checkpoint.len);
    h->tenant_len = (uint16_t)start->tenant.len;
    h->room_len = (uint16_t)start->room.len;
    memcpy(h->tenant, start->tenant.data, start->tenant.len);
    memcpy(h->room, start->room.data, start->room.len);
    h->header_crc = segment_header_crc(h);
    atomic_store(&h->committed, committed);
    atomic_store(&h->last_seq, start->base_seq);
    atomic_thread_fence(memory_order_release);
    h->magic = SEGMENT_MAGIC;
}

int segment_start(int fd, const struct segment_start *start, struct segment **ret_segment)
{
    struct segment_header *h;
    uint64_t end = SEGMENT_HEADER_BYTES + segment_align(start->checkpoint.len);
    uint64_t allocated = (end / PAGE_BYTES + 1) * PAGE_BYTES;
    struct boot_id boot_id = {0};

    assert(start->tenant.len < sizeof(h->tenant) && start->room.len < sizeof(h->room));
    if (start->checkpoint.len > SEGMENT_PAYLOAD_MAX)
        return -E2BIG;
    int r = 0;
    if (start->boot_id)
        boot_id = *start->boot_id;
    else
        r = boot_id_read(&boot_id);
    /* What an unfinished attempt left must not be taken for records. */
    if (r == 0)
        r = cut(fd, 0);
    if (r == 0)
        r = allocate(fd, 0, allocated);
    if (r == 0)
        r = write_bytes(fd, start->checkpoint.data, start->checkpoint.len, SEGMENT_HEADER_BYTES);
    if (r == 0)
        r = map_header(fd, &h);
    if (r < 0) {
        (void)cut(fd, 0); /* the space is somebody else's */
        return r;
    }
    fill_header(h, start, &boot_id, end);
    *ret_segment = new_segment(fd, h, end, allocated);
    return 0;
}

int segment_create(int fd, struct slice tenant, struct slice room, uint64_t base_seq,
                   struct slice checkpoint, struct segment **ret_segment)
{
    struct segment_start start = {
        .tenant = tenant, .room = room, .base_seq = base_seq, .checkpoint = checkpoint};

    return segment_start(fd, &start, ret_segment);
}

/* ---- recovery ---- */

/* Is there anything behind the end? What a room reserved and did not use is zeros. */
static int look_behind(int fd, uint64_t end, bool *ret_has_bytes)
{
    struct segment_record_header rh = {0};
    ssize_t n;

    do {
        n = pread(fd, &rh, sizeof(rh), (off_t)end);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    *ret_has_bytes = rh.len != 0 || rh.crc != 0 || rh.seq != 0;
    return 0;
}

/* What a power loss left: the records before the first that is not sound; nothing if even the
 * checkpoint is not. */
static int forgive(int error, struct segment_view *v, struct segment_contents *contents)
{
    struct slice checkpoint;

    if (error != -EBADMSG || contents->is_visit_refused)
        return error;
    int r = segment_view_checkpoint(v, &checkpoint);
    if (r < 0)
        return r == -EBADMSG ? -ENODATA : r;
    contents->is_cut = true;
    return 0;
}

static int examine(int fd, segment_visit_fn visit, void *ctx, struct segment_contents *contents,
                   struct segment_header *ret_header)
{
    bool is_of_other_boot = false;
    struct segment_view *v;
    int duplicate CLEANUP_FD = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (duplicate < 0)
        return -errno;
    int r = segment_view_open(duplicate, &v);
    if (r < 0)
        return r;
    (void)TAKE_FD(duplicate);
    memcpy(ret_header, segment_view_header(v), sizeof(*ret_header));
    r = segment_is_of_other_boot(ret_header, &is_of_other_boot);
    if (r == 0)
        r = segment_view_read_all(v, visit, ctx, contents);
    contents->is_of_other_boot = is_of_other_boot;
    if (is_of_other_boot)
        r = forgive(r, v, contents);
    else if (r == 0)
        r = look_behind(fd, contents->end, &contents->has_torn_tail);
    segment_view_free(v);
    return r;
}

/* Makes a segment of this boot of it, under a lineage of its own. In one write within one page, so
 * that the death of this process does not tear it. */
static int renew_header(int fd, struct segment_header *h, const struct segment_contents *contents)
{
    int r = boot_id_read(&h->boot_id);

    if (r < 0)
        return r;
    h->lineage = segment_new_lineage();
    h->header_crc = segment_header_crc(h);
    atomic_store(&h->committed, contents->end);
    atomic_store(&h->stored_seq, 0);
    return write_bytes(fd, h, sizeof(*h), 0);
}

int segment_recover(int fd, segment_visit_fn visit, void *ctx, struct segment **ret_segment,
                    struct segment_contents *ret_contents)
{
    struct segment_contents contents = {0};
    struct segment_header found;
    struct segment_header *h;
    int r = examine(fd, visit, ctx, &contents, &found);

    if (ret_contents)
        *ret_contents = contents;
    /* Cutting the file clears what lies behind the end, so that no later record can lead into it.
     */
    if (r == 0)
        r = cut(fd, contents.end);
    if (r == 0 && contents.is_of_other_boot)
        r = renew_header(fd, &found, &contents);
    if (r == 0)
        r = map_header(fd, &h);
    if (r < 0)
        return r;
    atomic_store(&h->last_seq, contents.last_seq); /* it is stored before `committed` is */
    atomic_fetch_and(&h->flags, ~(uint32_t)(SEGMENT_CLOSED | SEGMENT_SUPERSEDED));
    *ret_segment = new_segment(fd, h, contents.end, contents.end);
    return 0;
}

void segment_free(struct segment *s)
{
    if (!s)
        return;
    (void)munmap(s->header, SEGMENT_HEADER_BYTES);
    (void)close(s->fd);
    free(s);
}

void segment_discard(struct segment *s)
{
    (void)cut(s->fd, 0);
    segment_free(s);
}

bool segment_is_nameless(const struct segment *s)
{
    struct stat st;

    return fstat(s->fd, &st) == 0 && st.st_nlink == 0;
}

/* ---- the log ---- */

struct segment_header *segment_header(struct segment *s)
{
    return s->header;
}

uint64_t segment_log_bytes(const struct segment *s)
{
    return s->end - segment_log_start(s->header);
}

int segment_dup(const struct segment *s)
{
    int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

int segment_view_open_own(const struct segment *s, struct segment_view **ret_view)
{
    int fd CLEANUP_FD = segment_dup(s);

    if (fd < 0)
        return fd;
    int r = segment_view_open(fd, ret_view);
    if (r == 0)
        (void)TAKE_FD(fd);
    return r;
}

int segment_reserve(struct segment *s, size_t bytes)
{
    if (s->allocated - s->end >= bytes)
        return 0;
    uint64_t need = s->end + bytes - s->allocated;
    uint64_t grow = s->allocated < GROW_MIN ? GROW_MIN : s->allocated;
    grow = grow > GROW_MAX ? GROW_MAX : grow;
    grow = grow < need ? need : grow;
    int r = allocate(s->fd, s->allocated, grow);
    if (r < 0 && grow > need) {
        grow = need;
        r = allocate(s->fd, s->allocated, grow);
    }
    if (r == 0)
        s->allocated += grow;
    return r;
}

/* Writes at most RECORDS_PER_WRITE records at `offset`, contiguously. */
static int write_records(struct segment *s, const struct segment_record *records, size_t count,
                         uint64_t offset)
{
    static const uint8_t zeros[SEGMENT_RECORD_ALIGN];
    struct segment_record_header headers[RECORDS_PER_WRITE];
    struct iovec iov[RECORDS_PER_WRITE * IOVS_PER_RECORD];
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        const struct slice *payload = &records[i].payload;
        struct segment_record_header *rh = &headers[i];
        size_t padding = (size_t)segment_align(payload->len) - payload->len;
        *rh = (struct segment_record_header){.len = (uint32_t)payload->len,
                                             .seq = records[i].seq,
                                             .session = records[i].session,
                                             .kind = records[i].kind};
        rh->crc = segment_record_crc(s->header->file_id, rh, payload->data);
        iov[n++] = (struct iovec){rh, sizeof(*rh)};
        iov[n++] = (struct iovec){(void *)payload->data, payload->len};
        if (padding > 0)
            iov[n++] = (struct iovec){(void *)zeros, padding};
    }
    return write_all(s->fd, iov, n, offset);
}

static size_t batch_bytes(const struct segment_record *records, size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        assert(records[i].payload.len > 0 && records[i].payload.len <= SEGMENT_PAYLOAD_MAX);
        bytes += segment_record_bytes(records[i].payload.len);
    }
    return bytes;
}

int segment_write(struct segment *s, const struct segment_record *records, size_t count)
{
    uint64_t offset = s->end;
    int r = segment_reserve(s, batch_bytes(records, count));

    s->written_end = s->end;
    for (size_t i = 0; r == 0 && i < count; i += RECORDS_PER_WRITE) {
        size_t n = count - i < RECORDS_PER_WRITE ? count - i : RECORDS_PER_WRITE;
        r = write_records(s, records + i, n, offset);
        offset += batch_bytes(records + i, n);
    }
    if (r < 0 || count == 0)
        return r;
    s->written_end = offset;
    s->written_seq = records[count - 1].seq;
    return 0;
}

void segment_publish(struct segment *s)
{
    if (s->written_end == s->end)
        return;
    s->end = s->written_end;
    atomic_store(&s->header->last_seq, s->written_seq);
    atomic_store_explicit(&s->header->committed, s->end, memory_order_release);
}

int segment_take_back(struct segment *s)
{
    static const struct segment_record_header none;

    s->written_end = s->end;
    /* Where there is no room for a header there is no record. */
    if (s->allocated - s->end < sizeof(none))
        return 0;
    return write_bytes(s->fd, &none, sizeof(none), s->end);
}

int segment_append(struct segment *s, const struct segment_record *records, size_t count)
{
    int r = segment_write(s, records, count);

    if (r == 0)
        segment_publish(s);
    return r;
}
