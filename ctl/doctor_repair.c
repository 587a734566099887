#include "ctl/doctor_repair.h"

#include "common/loop.h"
#include "ctl/doctor_replay.h"
#include "ctl/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#define BACKUPS_MAX 1000

static const uint8_t empty_update[] = {0, 0};

/* ---- begin ---- */

static int lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

int repair_begin(const char *rooms_dir, const char *hash, struct store_key key, int *ret_fd,
                 bool *ret_marked)
{
    struct quarantine mark = {.reason = QUARANTINE_REPAIR, .since_ms = wall_now_ms()};
    char *path CLEANUP_FREE = xasprintf("%s/%s", rooms_dir, hash);
    int fd CLEANUP_FD = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno != ENOENT)
        return -errno;
    int r = fd < 0 ? 0 : lock(fd);
    if (r < 0)
        return r;
    bool is_set = quarantine_is_set(rooms_dir, hash);
    if (!is_set) {
        quarantine_set_names(&mark, key.tenant, key.room);
        r = quarantine_set(rooms_dir, hash, &mark);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    *ret_marked = !is_set && r == 0;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* ---- what is taken away is kept ---- */

/* `what`: "record" or "row". */
static int keep(const char *dir, const char *hash, const char *what, const struct slice bytes,
                uint64_t seq, struct buffer *out)
{
    char *path CLEANUP_FREE = xasprintf("%s/%s.dropped-%s-%" PRIu64 ".v1", dir, hash, what, seq);
    int r = output_write(path, bytes);

    if (r == 0)
        buffer_printf(out, "its bytes are kept in %s\n", path);
    return r;
}

/* The file keeps a name of its own when another one takes its place. */
static int keep_file(const char *path, struct buffer *out)
{
    for (unsigned n = 1; n < BACKUPS_MAX; n++) {
        char *backup CLEANUP_FREE = xasprintf("%s.before-repair.%u", path, n);
        if (link(path, backup) == 0) {
            buffer_printf(out, "the segment as it was is kept in %s\n", backup);
            return 0;
        }
        if (errno != EEXIST)
            return -errno;
    }
    return -EMFILE;
}

/* ---- the segment ---- */

static bool is_stored(const struct part *part)
{
    return part->kind == PART_SNAPSHOT || part->kind == PART_ROW;
}

static bool is_meant(const struct scan_piece *piece, uint64_t seq)
{
    switch (piece->kind) {
    case SCAN_CHECKPOINT:
        return seq == REPAIR_CHECKPOINT;
    case SCAN_RECORD:
    case SCAN_UNPUBLISHED:
        return piece->seq == seq;
    case SCAN_DAMAGE:
        return seq == piece->seq || (seq > piece->seq && seq != REPAIR_CHECKPOINT &&
                                     (seq <= piece->last_missing || piece->last_missing == 0));
    }
    return false;
}

static const struct scan_piece *find_piece(const struct scan *scan, uint64_t seq)
{
    for (size_t i = 0; i < scan->count; i++) {
        if (is_meant(&scan->pieces[i], seq))
            return &scan->pieces[i];
    }
    return NULL;
}

/* The published records, the dropped ones as updates that hold nothing; newly allocated. */
static struct segment_record *list_records(const struct scan *scan, uint64_t seq, size_t *ret_count)
{
    struct segment_record *records = xcalloc(scan->count + 1, sizeof(*records));
    uint64_t last_seq = scan->header.base_seq;
    size_t count = 0;

    for (size_t i = 0; i < scan->count; i++) {
        const struct scan_piece *piece = &scan->pieces[i];
        if (piece->kind != SCAN_RECORD)
            continue;
        bool is_dropped = piece->seq == seq;
        records[count++] = (struct segment_record){
            .seq = piece->seq,
            .session = is_dropped ? 0 : piece->session,
            .kind = SEGMENT_UPDATE_V1,
            .payload = is_dropped ? slice_of(empty_update, sizeof(empty_update)) : piece->payload};
        last_seq = piece->seq;
    }
    if (scan->last_seq > last_seq)
        records[count++] =
            (struct segment_record){.seq = scan->last_seq,
                                    .kind = SEGMENT_UPDATE_V1,
                                    .payload = slice_of(empty_update, sizeof(empty_update))};
    *ret_count = count;
    return records;
}

/* Fills `fd` (taken over on success). */
static int fill(const struct scan *scan, uint64_t seq, struct slice checkpoint, int fd,
                struct segment **ret_segment)
{
    const struct segment_header *h = &scan->header;
    struct segment_start start = {.tenant = slice_of(h->tenant, h->tenant_len),
                                  .room = slice_of(h->room, h->room_len),
                                  .lineage = h->lineage,
                                  .boot_id = &h->boot_id, /* what it lost then is still unknown */
                                  .base_seq = h->base_seq,
                                  .checkpoint = checkpoint};
    struct segment *segment;
    size_t count;
    int r = segment_start(fd, &start, &segment);

    if (r < 0)
        return r;
    struct segment_record *records = list_records(scan, seq, &count);
    r = segment_append(segment, records, count);
    free(records);
    atomic_store(&segment_header(segment)->stored_seq, atomic_load(&h->stored_seq));
    *ret_segment = segment;
    return r;
}

/* Whoever still reads the old file opens the name again. */
static int supersede(int fd, const struct segment_header *h)
{
    uint32_t flags = atomic_load(&h->flags) | SEGMENT_SUPERSEDED;
    ssize_t n = pwrite(fd, &flags, sizeof(flags), offsetof(struct segment_header, flags));

    if (n < 0)
        return -errno;
    return n == sizeof(flags) ? 0 : -EIO;
}

/* Writes the new segment beside the old one, and then in its place. */
static int rewrite(const struct patient *p, int old_fd, uint64_t seq, struct slice checkpoint,
                   struct buffer *out)
{
    char *path CLEANUP_FREE = xasprintf("%s/%s", p->rooms_dir, p->hash);
    char *next CLEANUP_FREE = xasprintf("%s.repair", path);
    struct segment *segment = NULL;

    if (unlink(next) < 0 && errno != ENOENT) /* of a repair that was broken off */
        return -errno;
    int fd = open(next, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = lock(fd);
    if (r == 0)
        r = fill(&p->scan, seq, checkpoint, fd, &segment);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0)
        r = keep_file(path, out);
    if (r == 0 && rename(next, path) < 0)
        r = -errno;
    if (r == 0)
        r = supersede(old_fd, &p->scan.header);
    else
        (void)unlink(next);
    if (segment)
        segment_free(segment);
    else
        (void)close(fd);
    return r;
}

static void tell_others(const struct scan *scan, uint64_t seq, struct buffer *out)
{
    for (size_t i = 0; i < scan->count; i++) {
        const struct scan_piece *piece = &scan->pieces[i];
        if (piece->kind == SCAN_DAMAGE)
            buffer_printf(out, "cut out %" PRIu64 " damaged bytes at byte %" PRIu64 "\n",
                          piece->size, piece->offset);
        else if (piece->kind == SCAN_UNPUBLISHED && piece->seq != seq)
            buffer_printf(out,
                          "left out record %" PRIu64 " (number %" PRIu64
                          "): it was never published, its author still has it\n",
                          piece->index, piece->seq);
    }
}

/* The checkpoint of the new segment. A room gets from the store only what is beyond its own
 * numbers: so what the store has of the numbers that were lost must be in the segment before. */
static int make_checkpoint(const struct patient *p, bool is_dropped, struct buffer *out)
{
    struct slice *parts = xcalloc(p->count + 1, sizeof(*parts));
    size_t count = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct part *part = &p->parts[i];
        if (part->kind == PART_CHECKPOINT ? !is_dropped : is_stored(part) && !part->wrong)
            parts[count++] = part->update;
    }
    int r = replay_merge(parts, count, out);
    free(parts);
    return r;
}

/* Something is lost that the store may have. */
static bool is_lossy(const struct patient *p, uint64_t seq)
{
    return p->scan.damaged > 0 || p->scan.problem || seq == REPAIR_CHECKPOINT;
}

static int check_repair(const struct patient *p, const struct scan_piece *piece, uint64_t seq)
{
    if (!piece)
        return -ENOENT;
    if (!p->scan.is_header_sound || (p->scan.pieces[0].is_damaged && seq != REPAIR_CHECKPOINT))
        return -EUCLEAN;
    if (is_lossy(p, seq) && !p->is_store_open && atomic_load(&p->scan.header.stored_seq) > 0)
        return -ENODATA;
    return 0;
}

int repair_segment(const struct patient *p, int fd, uint64_t seq, struct buffer *out)
{
    const struct scan_piece *piece = fd < 0 ? NULL : find_piece(&p->scan, seq);
    struct slice checkpoint = {0};
    struct buffer merged = {0};
    int r = check_repair(p, piece, seq);

    if (r < 0)
        return r;
    if (!piece->is_damaged) {
        buffer_printf(out, "dropped %s\n",
                      piece->kind == SCAN_CHECKPOINT ? "the checkpoint" : "the record");
        r = keep(p->rooms_dir, p->hash, "record", piece->payload, piece->seq, out);
    }
    if (r == 0 && is_lossy(p, seq)) {
        r = make_checkpoint(p, seq == REPAIR_CHECKPOINT, &merged);
        checkpoint = buffer_slice(&merged);
    } else {
        checkpoint = p->scan.pieces[0].payload;
    }
    tell_others(&p->scan, seq, out);
    if (r == 0)
        r = rewrite(p, fd, seq, checkpoint, out);
    buffer_done(&merged);
    return r;
}

/* ---- the store ---- */

static int keep_rows(const struct patient *p, const char *dir, uint64_t seq, struct buffer *out)
{
    int r = mkdir(dir, 0700) < 0 && errno != EEXIST ? -errno : 0;

    for (size_t i = 0; i < p->count && r == 0; i++) {
        const struct part *part = &p->parts[i];
        if (part->kind != PART_ROW || (part->seq != seq && !part->wrong))
            continue;
        buffer_printf(out, "dropped the stored update %" PRIu64 "\n", part->seq);
        r = keep(dir, p->hash, "row", part->update, part->seq, out);
    }
    return r;
}

int repair_store(const struct patient *p, struct doctor_store *store, const char *dir, uint64_t seq,
                 struct buffer *out)
{
    struct slice *rest = xcalloc(p->count + 1, sizeof(*rest));
    struct buffer state = {0};
    bool is_found = false;
    size_t count = 0;
    int r = 0;

    for (size_t i = 0; i < p->count && r == 0; i++) {
        const struct part *part = &p->parts[i];
        if (part->kind == PART_SNAPSHOT && part->wrong)
            r = -EUCLEAN;
        if (part->kind == PART_ROW && part->seq == seq)
            is_found = true;
        else if (is_stored(part) && !part->wrong)
            rest[count++] = part->update;
    }
    if (r == 0 && !is_found)
        r = -ENOENT;
    if (r == 0)
        r = replay_merge(rest, count, &state);
    if (r == 0)
        r = keep_rows(p, dir, seq, out);
    if (r == 0)
        r = doctor_store_replace(store, (struct store_key){p->tenant, p->room}, &p->stored,
                                 buffer_slice(&state));
    buffer_done(&state);
    free(rest);
    return r;
}

/* ---- export ---- */

int repair_export(const struct patient *p, struct buffer *out)
{
    struct slice *good = xcalloc(p->count + 1, sizeof(*good));
    size_t count = 0;

    for (size_t i = 0; i < p->count; i++) {
        if (!p->parts[i].wrong)
            good[count++] = p->parts[i].update;
    }
    int r = replay_merge(good, count, out);
    free(good);
    return r;
}
