#include "common/segment.h"

#include "common/crc32c.h"
#include "common/names.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define RECORD_ALIGN      8u
#define GROW_MIN          (64u << 10)
#define GROW_MAX          (4u << 20)
#define RECORDS_PER_WRITE 64u
#define IOVS_PER_RECORD   3u /* header, payload, padding */

struct segment {
    int fd;
    struct segment_header *header; /* the first page, shared with every reader */
    uint64_t end;                  /* where the next record goes */
    uint64_t allocated;            /* reserved in the file system */
};

struct segment_view {
    int fd;
    const uint8_t *map;
    size_t mapped;
};

static uint64_t align_up(uint64_t n)
{
    return (n + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}

static uint64_t log_start(const struct segment_header *h)
{
    return h->header_bytes + align_up(h->checkpoint_len);
}

size_t segment_record_bytes(size_t payload_len)
{
    return sizeof(struct segment_record_header) + (size_t)align_up(payload_len);
}

static uint32_t record_crc(uint64_t file_id, const struct segment_record_header *rh,
                           const void *payload)
{
    uint32_t crc = crc32c(0, &file_id, sizeof(file_id));

    crc = crc32c(crc, &rh->len, sizeof(rh->len));
    crc = crc32c(crc, &rh->seq, sizeof(*rh) - offsetof(struct segment_record_header, seq));
    return crc32c(crc, payload, rh->len);
}

/* The record at `offset`, if a whole valid one lies before `limit`. 1; 0 if the log ends here;
 * -EBADMSG if the bytes are no record. */
static int read_record(const uint8_t *map, uint64_t file_id, uint64_t offset, uint64_t limit,
                       struct segment_record *ret)
{
    struct segment_record_header rh;

    if (limit - offset < sizeof(rh))
        return 0;
    memcpy(&rh, map + offset, sizeof(rh));
    if (rh.len == 0)
        return 0;
    const uint8_t *payload = map + offset + sizeof(rh);
    if (rh.len > limit - offset - sizeof(rh) || record_crc(file_id, &rh, payload) != rh.crc)
        return -EBADMSG;
    *ret = (struct segment_record){.seq = rh.seq,
                                   .session = rh.session,
                                   .kind = rh.kind,
                                   .payload = slice_of(payload, rh.len)};
    return 1;
}

static bool header_is_sane(const struct segment_header *h, uint64_t file_bytes)
{
    return h->version == SEGMENT_VERSION && h->header_bytes == SEGMENT_HEADER_BYTES &&
           h->tenant_len < sizeof(h->tenant) && h->room_len < sizeof(h->room) &&
           h->checkpoint_len <= file_bytes && log_start(h) <= file_bytes &&
           atomic_load(&h->committed) >= log_start(h) && atomic_load(&h->committed) <= file_bytes;
}

/* ---- writer ---- */

static int allocate(int fd, uint64_t offset, uint64_t len)
{
    while (fallocate(fd, 0, (off_t)offset, (off_t)len) < 0) {
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

    *s = (struct segment){.fd = fd, .header = header, .end = end, .allocated = allocated};
    return s;
}

int segment_create(int fd, struct slice tenant, struct slice room, uint64_t base_seq,
                   struct slice checkpoint, struct segment **ret_segment)
{
    struct segment_header *h;
    uint64_t start = SEGMENT_HEADER_BYTES + align_up(checkpoint.len);
    uint64_t allocated = start + GROW_MIN;
    uint64_t file_id;

    assert(tenant.len < sizeof(h->tenant) && room.len < sizeof(h->room));
    if (getrandom(&file_id, sizeof(file_id), 0) != sizeof(file_id))
        return -errno;
    /* What an unfinished attempt left must not be taken for records. */
    if (ftruncate(fd, 0) < 0)
        return -errno;
    int r = allocate(fd, 0, allocated);
    if (r < 0)
        return r;
    struct iovec iov = {(void *)checkpoint.data, checkpoint.len};
    r = write_all(fd, &iov, 1, SEGMENT_HEADER_BYTES);
    if (r == 0)
        r = map_header(fd, &h);
    if (r < 0)
        return r;
    h->version = SEGMENT_VERSION;
    h->header_bytes = SEGMENT_HEADER_BYTES;
    h->file_id = file_id;
    h->base_seq = base_seq;
    h->checkpoint_len = checkpoint.len;
    h->checkpoint_crc = crc32c(0, checkpoint.data, checkpoint.len);
    h->tenant_len = (uint16_t)tenant.len;
    h->room_len = (uint16_t)room.len;
    memcpy(h->tenant, tenant.data, tenant.len);
    memcpy(h->room, room.data, room.len);
    atomic_store(&h->committed, start);
    atomic_store(&h->last_seq, base_seq);
    atomic_thread_fence(memory_order_release);
    h->magic = SEGMENT_MAGIC;
    *ret_segment = new_segment(fd, h, start, allocated);
    return 0;
}

/* Finds the end of the valid records: -EBADMSG if that is before the committed end. */
static int find_end(const struct segment_view *v, struct segment_recovery *ret,
                    uint64_t *ret_last_seq)
{
    const struct segment_header *h = segment_view_header(v);
    uint64_t offset = log_start(h);
    uint64_t last_seq = h->base_seq;
    struct segment_record record;
    int r;

    while ((r = read_record(v->map, h->file_id, offset, v->mapped, &record)) > 0 &&
           record.seq > last_seq) {
        offset += segment_record_bytes(record.payload.len);
        last_seq = record.seq;
        /* The padding of the last record may lie behind the end of the file. */
        if (offset > v->mapped)
            break;
    }
    *ret = (struct segment_recovery){.end = offset, .has_torn_tail = r < 0};
    *ret_last_seq = last_seq;
    return offset < atomic_load(&h->committed) ? -EBADMSG : 0;
}

/* Checks everything that is there. */
static int examine(int fd, struct segment_recovery *ret, uint64_t *ret_last_seq)
{
    struct segment_view *v;
    struct slice checkpoint;
    int duplicate CLEANUP_FD = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (duplicate < 0)
        return -errno;
    int r = segment_view_open(duplicate, &v);
    if (r < 0)
        return r;
    (void)TAKE_FD(duplicate);
    *ret = (struct segment_recovery){.end = SEGMENT_HEADER_BYTES};
    r = segment_view_checkpoint(v, &checkpoint);
    if (r == 0)
        r = find_end(v, ret, ret_last_seq);
    segment_view_free(v);
    return r;
}

int segment_recover(int fd, struct segment **ret_segment, struct segment_recovery *ret_recovery)
{
    struct segment_recovery found = {0};
    struct segment_header *h;
    uint64_t last_seq = 0;
    int r = examine(fd, &found, &last_seq);

    if (ret_recovery && (r == 0 || r == -EBADMSG))
        *ret_recovery = found;
    if (r < 0)
        return r;
    /* Cutting the file clears what lies behind the end, so that no later record can lead into it.
     */
    if (ftruncate(fd, (off_t)found.end) < 0)
        return -errno;
    r = allocate(fd, found.end, GROW_MIN);
    if (r == 0)
        r = map_header(fd, &h);
    if (r < 0)
        return r;
    atomic_store(&h->last_seq, last_seq);
    atomic_store_explicit(&h->committed, found.end, memory_order_release);
    atomic_fetch_and(&h->flags, ~(uint32_t)SEGMENT_CLOSED);
    *ret_segment = new_segment(fd, h, found.end, found.end + GROW_MIN);
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

struct segment_header *segment_header(struct segment *s)
{
    return s->header;
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
    static const uint8_t zeros[RECORD_ALIGN];
    struct segment_record_header headers[RECORDS_PER_WRITE];
    struct iovec iov[RECORDS_PER_WRITE * IOVS_PER_RECORD];
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        const struct slice *payload = &records[i].payload;
        struct segment_record_header *rh = &headers[i];
        size_t padding = (size_t)align_up(payload->len) - payload->len;
        *rh = (struct segment_record_header){.len = (uint32_t)payload->len,
                                             .seq = records[i].seq,
                                             .session = records[i].session,
                                             .kind = records[i].kind};
        rh->crc = record_crc(s->header->file_id, rh, payload->data);
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
        assert(records[i].payload.len > 0 && records[i].payload.len <= UINT32_MAX);
        bytes += segment_record_bytes(records[i].payload.len);
    }
    return bytes;
}

int segment_append(struct segment *s, const struct segment_record *records, size_t count)
{
    uint64_t offset = s->end;
    int r = segment_reserve(s, batch_bytes(records, count));

    for (size_t i = 0; r == 0 && i < count; i += RECORDS_PER_WRITE) {
        size_t n = count - i < RECORDS_PER_WRITE ? count - i : RECORDS_PER_WRITE;
        r = write_records(s, records + i, n, offset);
        offset += batch_bytes(records + i, n);
    }
    if (r < 0 || count == 0)
        return r;
    s->end = offset;
    atomic_store(&s->header->last_seq, records[count - 1].seq);
    atomic_store_explicit(&s->header->committed, offset, memory_order_release);
    return 0;
}

/* ---- reader ---- */

/* Maps the file up to its present size, which must be at least `need`. */
static int map_file(struct segment_view *v, uint64_t need)
{
    struct stat st;

    if (fstat(v->fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size < need)
        return -EBADMSG;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, v->fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    if (v->map)
        (void)munmap((void *)v->map, v->mapped);
    v->map = p;
    v->mapped = (size_t)st.st_size;
    return 0;
}

const struct segment_header *segment_view_header(const struct segment_view *v)
{
    return (const struct segment_header *)v->map;
}

int segment_view_open(int fd, struct segment_view **ret_view)
{
    struct segment_view view = {.fd = fd};
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EBADMSG;
    if (st.st_size < SEGMENT_HEADER_BYTES)
        return -ENODATA;
    int r = map_file(&view, SEGMENT_HEADER_BYTES);
    if (r < 0)
        return r;
    const struct segment_header *h = segment_view_header(&view);
    uint64_t magic = h->magic;
    atomic_thread_fence(memory_order_acquire);
    if (magic != SEGMENT_MAGIC)
        r = magic == 0 ? -ENODATA : -EBADMSG;
    else if (!header_is_sane(h, view.mapped))
        r = -EBADMSG;
    if (r < 0) {
        (void)munmap((void *)view.map, view.mapped);
        return r;
    }
    *ret_view = xmalloc(sizeof(view));
    **ret_view = view;
    return 0;
}

int segment_view_open_room(const char *dir, struct slice tenant, struct slice room,
                           struct segment_view **ret_view)
{
    char hash[NAME_HASH_HEX + 1];

    name_hash(tenant, room, hash);
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    int fd CLEANUP_FD = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    int r = segment_view_open(fd, ret_view);
    if (r == 0)
        (void)TAKE_FD(fd);
    return r;
}

void segment_view_free(struct segment_view *v)
{
    if (!v)
        return;
    (void)munmap((void *)v->map, v->mapped);
    (void)close(v->fd);
    free(v);
}

int segment_view_checkpoint(struct segment_view *v, struct slice *ret_update)
{
    const struct segment_header *h = segment_view_header(v);
    const uint8_t *data = v->map + h->header_bytes;

    if (crc32c(0, data, h->checkpoint_len) != h->checkpoint_crc)
        return -EBADMSG;
    *ret_update = slice_of(data, h->checkpoint_len);
    return 0;
}

int segment_view_next(struct segment_view *v, uint64_t *offset, struct segment_record *ret)
{
    const struct segment_header *h = segment_view_header(v);
    uint64_t committed = atomic_load_explicit(&h->committed, memory_order_acquire);
    uint64_t at = *offset ? *offset : log_start(h);

    if (at >= committed)
        return 0;
    if (committed > v->mapped) {
        int r = map_file(v, committed);
        if (r < 0)
            return r;
        h = segment_view_header(v);
    }
    int r = read_record(v->map, h->file_id, at, committed, ret);
    if (r <= 0)
        return -EBADMSG; /* published bytes are records */
    *offset = at + segment_record_bytes(ret->payload.len);
    return 1;
}
