#include "common/segment.h"

#include "common/crc32c.h"
#include "common/names.h"
#include "common/segment_record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define WINDOW (64u << 10) /* of the log, read at once */
/* How often a header that changes under the eye is looked at again. */
#define LOOKS_MAX 16

struct segment_view {
    int fd;
    struct segment_header header; /* as it was at the last refresh */
    uint8_t *bytes;               /* of the file, `len` of them from `at` on; NULL: none are held */
    uint64_t at;
    size_t len;
};

/* ---- checksums ---- */

uint32_t segment_header_crc(const struct segment_header *h)
{
    size_t from = offsetof(struct segment_header, version);

    return crc32c(0, &h->version, offsetof(struct segment_header, header_crc) - from);
}

uint32_t segment_checkpoint_crc(uint64_t file_id, const void *checkpoint, size_t len)
{
    return crc32c(crc32c(0, &file_id, sizeof(file_id)), checkpoint, len);
}

uint32_t segment_record_crc(uint64_t file_id, const struct segment_record_header *rh,
                            const void *payload)
{
    uint32_t crc = crc32c(0, &file_id, sizeof(file_id));

    crc = crc32c(crc, &rh->len, sizeof(rh->len));
    crc = crc32c(crc, &rh->seq, sizeof(*rh) - offsetof(struct segment_record_header, seq));
    return crc32c(crc, payload, rh->len);
}

size_t segment_record_bytes(size_t payload_len)
{
    return sizeof(struct segment_record_header) + (size_t)segment_align(payload_len);
}

/* ---- bytes ---- */

/* -EBADMSG if the file ends before. */
static int read_exactly(int fd, void *data, size_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = pread(fd, data, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EBADMSG;
        data = (uint8_t *)data + n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static void let_go(struct segment_view *v)
{
    free(v->bytes);
    v->bytes = NULL;
    v->len = 0;
}

/* Holds at least `need` bytes from `at` on, and more if they are before `limit`: `*ret` is the
 * first.
 */
static int hold(struct segment_view *v, uint64_t at, uint64_t need, uint64_t limit,
                const uint8_t **ret)
{
    if (at < v->at || at - v->at > v->len || v->len - (at - v->at) < need) {
        uint64_t len = limit - at < WINDOW ? limit - at : WINDOW;
        len = len < need ? need : len;
        let_go(v);
        if (len > SEGMENT_PAYLOAD_MAX + sizeof(struct segment_record_header))
            return -EBADMSG;
        v->bytes = try_alloc((size_t)len);
        if (!v->bytes)
            return -ENOMEM;
        int r = read_exactly(v->fd, v->bytes, (size_t)len, at);
        if (r < 0) {
            let_go(v);
            return r;
        }
        v->at = at;
        v->len = (size_t)len;
    }
    *ret = v->bytes + (at - v->at);
    return 0;
}

/* The record at `at`, which must lie before `limit`: 0 or -EBADMSG, -ENOMEM, other -errno. */
static int read_record(struct segment_view *v, uint64_t at, uint64_t limit,
                       struct segment_record *ret)
{
    struct segment_record_header rh;
    const uint8_t *bytes;

    if (limit - at < sizeof(rh))
        return -EBADMSG;
    int r = hold(v, at, sizeof(rh), limit, &bytes);
    if (r < 0)
        return r;
    memcpy(&rh, bytes, sizeof(rh));
    if (rh.len == 0 || rh.len > SEGMENT_PAYLOAD_MAX || rh.len > limit - at - sizeof(rh))
        return -EBADMSG;
    r = hold(v, at, sizeof(rh) + rh.len, limit, &bytes);
    if (r < 0)
        return r;
    if (segment_record_crc(v->header.file_id, &rh, bytes + sizeof(rh)) != rh.crc)
        return -EBADMSG;
    *ret = (struct segment_record){.seq = rh.seq,
                                   .session = rh.session,
                                   .kind = rh.kind,
                                   .payload = slice_of(bytes + sizeof(rh), rh.len)};
    return 0;
}

/* ---- the header ---- */

int segment_is_of_other_boot(const struct segment_header *h, bool *ret_is)
{
    struct boot_id now;
    int r = boot_id_read(&now);

    if (r == 0)
        *ret_is = memcmp(&h->boot_id, &now, sizeof(now)) != 0;
    return r;
}

/* The lengths are checked too: whoever writes the header can write its checksum. */
static bool is_sound(const struct segment_header *h)
{
    return h->header_crc == segment_header_crc(h) && h->header_bytes == SEGMENT_HEADER_BYTES &&
           h->tenant_len < sizeof(h->tenant) && h->room_len < sizeof(h->room) &&
           h->checkpoint_len <= SEGMENT_PAYLOAD_MAX &&
           atomic_load(&h->committed) >= segment_log_start(h);
}

static int check_header(const struct segment_header *h)
{
    bool is_of_other_boot;

    if (h->magic != SEGMENT_MAGIC)
        return h->magic == 0 ? -ENODATA : -EBADMSG;
    if (h->version != SEGMENT_VERSION)
        return -ENOTSUP;
    if (is_sound(h))
        return 0;
    /* A sector of the page did not reach the disk, or only an old state of it. */
    int r = segment_is_of_other_boot(h, &is_of_other_boot);
    if (r < 0)
        return r;
    return is_of_other_boot ? -ENODATA : -EBADMSG;
}

bool segment_is_done(const struct segment_header *h)
{
    return (atomic_load(&h->flags) & SEGMENT_CLOSED) &&
           atomic_load(&h->stored_seq) == atomic_load(&h->last_seq);
}

int segment_read_foreign(int fd, struct segment_foreign *ret)
{
    struct segment_header h;
    int r = read_exactly(fd, &h, sizeof(h), 0);

    if (r == 0 && (h.magic != SEGMENT_MAGIC || h.version == SEGMENT_VERSION))
        r = -EBADMSG;
    if (r == 0)
        *ret = (struct segment_foreign){.version = h.version, .is_done = segment_is_done(&h)};
    return r;
}

const struct segment_header *segment_view_header(const struct segment_view *v)
{
    return &v->header;
}

int segment_view_refresh(struct segment_view *v)
{
    const size_t from = offsetof(struct segment_header, committed);
    uint64_t known = atomic_load(&v->header.committed);
    uint64_t before = known;

    /* Nothing promises that a read copies a number whole which is just being stored: a new one
     * counts once it was read twice. */
    for (int i = 0; i < LOOKS_MAX; i++) {
        int r = read_exactly(v->fd, (uint8_t *)&v->header + from, sizeof(v->header) - from, from);
        if (r < 0)
            return r;
        uint64_t committed = atomic_load(&v->header.committed);
        if (committed == before) {
            /* The records that it covers are read after it. */
            atomic_thread_fence(memory_order_acquire);
            return committed < segment_log_start(&v->header) ? -EBADMSG : 0;
        }
        before = committed;
    }
    atomic_store(&v->header.committed, known);
    return 0;
}

/* ---- life ---- */

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
    int r = read_exactly(fd, &view.header, sizeof(view.header), 0);
    if (r < 0)
        return r;
    /* The first field is stored last. Until it is there the others may be anything. */
    if (view.header.magic == SEGMENT_MAGIC)
        r = read_exactly(fd, &view.header, sizeof(view.header), 0);
    if (r == 0)
        r = check_header(&view.header);
    if (r == 0)
        r = segment_view_refresh(&view);
    if (r < 0)
        return r;
    *ret_view = xmalloc(sizeof(view));
    memcpy(*ret_view, &view, sizeof(view));
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
    let_go(v);
    (void)close(v->fd);
    free(v);
}

/* ---- contents ---- */

static int check_checkpoint(const struct segment_header *h, const void *bytes)
{
    uint32_t crc = segment_checkpoint_crc(h->file_id, bytes, h->checkpoint_len);

    return crc == h->checkpoint_crc ? 0 : -EBADMSG;
}

int segment_view_checkpoint(struct segment_view *v, struct slice *ret_update)
{
    const struct segment_header *h = &v->header;
    const uint8_t *bytes = (const uint8_t *)"";

    if (h->checkpoint_len > 0) {
        int r = hold(v, h->header_bytes, h->checkpoint_len, h->header_bytes + h->checkpoint_len,
                     &bytes);
        if (r < 0)
            return r;
    }
    int r = check_checkpoint(h, bytes);
    if (r == 0)
        *ret_update = slice_of(bytes, h->checkpoint_len);
    return r;
}

int segment_view_read_checkpoint(const struct segment_view *v, void *bytes)
{
    const struct segment_header *h = &v->header;
    int r = read_exactly(v->fd, bytes, h->checkpoint_len, h->header_bytes);

    return r < 0 ? r : check_checkpoint(h, bytes);
}

int segment_view_next(struct segment_view *v, uint64_t *offset, struct segment_record *ret)
{
    uint64_t at = *offset ? *offset : segment_log_start(&v->header);
    int r = 0;

    if (at >= atomic_load(&v->header.committed))
        r = segment_view_refresh(v);
    uint64_t committed = atomic_load(&v->header.committed);
    if (r < 0 || at >= committed) {
        let_go(v);
        return r;
    }
    r = read_record(v, at, committed, ret);
    if (r < 0)
        return r;
    *offset = at + segment_record_bytes(ret->payload.len);
    return 1;
}

static int visit_record(segment_visit_fn visit, void *ctx, const struct segment_record *record,
                        struct segment_contents *contents)
{
    int r = visit ? visit(ctx, record) : 0;

    contents->is_visit_refused = r < 0;
    return r;
}

int segment_view_read_all(struct segment_view *v, segment_visit_fn visit, void *ctx,
                          struct segment_contents *ret_contents)
{
    struct segment_contents *c = ret_contents;
    struct segment_record record = {.seq = v->header.base_seq, .kind = SEGMENT_UPDATE_V1};
    uint64_t offset = 0;

    *c = (struct segment_contents){.end = v->header.header_bytes, .last_seq = record.seq};
    int r = segment_view_checkpoint(v, &record.payload);
    if (r == 0)
        r = visit_record(visit, ctx, &record, c);
    if (r < 0)
        return r;
    c->end = segment_log_start(&v->header);
    while ((r = segment_view_next(v, &offset, &record)) > 0) {
        if (record.seq <= c->last_seq)
            return -EBADMSG;
        r = visit_record(visit, ctx, &record, c);
        if (r < 0)
            return r;
        c->records++;
        c->last_seq = record.seq;
        c->end = offset;
    }
    return r;
}

int segment_view_unpublished(struct segment_view *v, struct segment_record *ret)
{
    struct stat st;
    int r = segment_view_refresh(v);

    if (r < 0)
        return r;
    uint64_t at = atomic_load(&v->header.committed);
    if (fstat(v->fd, &st) < 0)
        return -errno;
    if (at >= (uint64_t)st.st_size)
        return 0;
    r = read_record(v, at, (uint64_t)st.st_size, ret);
    if (r < 0)
        return r == -EBADMSG ? 0 : r;
    /* A room that died while it published it has told of it already. */
    return ret->seq >= atomic_load(&v->header.last_seq);
}
