#include "ctl/doctor_segment.h"

#include "common/segment_record.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>

#define READ_BYTES   (1u << 20)
#define RECORD_MIN   (sizeof(struct segment_record_header) + SEGMENT_RECORD_ALIGN)
#define SEARCH_BYTES ((uint64_t)4 << 30) /* of CRCs, while looking for records behind damage */

/* ---- the bytes ---- */

/* Appends the file's bytes up to `end`, or to its end if that comes first. */
static int read_until(int fd, uint64_t end, struct buffer *out)
{
    while (out->len < end) {
        uint64_t left = end - out->len;
        size_t want = left < READ_BYTES ? (size_t)left : READ_BYTES;
        ssize_t n = pread(fd, buffer_reserve(out, want), want, (off_t)out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        buffer_add_len(out, (size_t)n);
    }
    return 0;
}

/* Of a living room only what it has published, which it never touches again. */
static int read_file(int fd, bool is_living, struct buffer *out)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size > SCAN_FILE_MAX)
        return -EFBIG;
    int r = read_until(fd, SEGMENT_HEADER_BYTES, out);
    if (r < 0 || out->len < SEGMENT_HEADER_BYTES)
        return r;
    uint64_t committed;
    uint64_t end = (uint64_t)st.st_size;
    memcpy(&committed, out->data + offsetof(struct segment_header, committed), sizeof(committed));
    return read_until(fd, is_living && committed < end ? committed : end, out);
}

/* ---- the header ---- */

/* What is written once. */
static bool is_sound(const struct segment_header *h)
{
    return segment_header_crc(h) == h->header_crc && h->header_bytes == SEGMENT_HEADER_BYTES &&
           h->tenant_len < sizeof(h->tenant) && h->room_len < sizeof(h->room) &&
           h->checkpoint_len <= SCAN_FILE_MAX;
}

/* What is wrong with the file as a whole, or NULL. */
static const char *check_header(const struct scan *s)
{
    const struct segment_header *h = &s->header;
    uint64_t committed = atomic_load(&h->committed);

    if (!s->is_header_sound)
        return "the header is damaged";
    if (SEGMENT_HEADER_BYTES + h->checkpoint_len > s->bytes.len)
        return "the file is shorter than its checkpoint";
    if (committed > segment_align(s->bytes.len))
        return "the file is shorter than what was published";
    if (committed < SEGMENT_HEADER_BYTES + segment_align(h->checkpoint_len))
        return "the header is damaged: what was published ends before it begins";
    return NULL;
}

/* Without the end that was published, all that is there counts. */
static uint64_t published_end(const struct scan *s)
{
    return s->problem ? s->bytes.len : atomic_load(&s->header.committed);
}

/* ---- pieces ---- */

static void add(struct scan *s, const struct scan_piece *piece)
{
    if (s->count % 64 == 0)
        s->pieces = xrealloc(s->pieces, (s->count + 64) * sizeof(*s->pieces));
    s->pieces[s->count++] = *piece;
    s->damaged += piece->is_damaged;
}

static void add_checkpoint(struct scan *s)
{
    const struct segment_header *h = &s->header;
    bool is_there = SEGMENT_HEADER_BYTES + h->checkpoint_len <= s->bytes.len &&
                    h->checkpoint_len <= SCAN_FILE_MAX;
    struct scan_piece piece = {.kind = SCAN_CHECKPOINT,
                               .is_damaged = true,
                               .offset = SEGMENT_HEADER_BYTES,
                               .size = h->checkpoint_len,
                               .seq = h->base_seq};

    if (is_there)
        piece.payload = slice_of(s->bytes.data + SEGMENT_HEADER_BYTES, h->checkpoint_len);
    if (is_there && segment_checkpoint_crc(h->file_id, piece.payload.data, piece.payload.len) ==
                        h->checkpoint_crc)
        piece.is_damaged = false;
    add(s, &piece);
}

/* Where the log is read, and what the records there must follow. */
struct cursor {
    uint64_t at;
    uint64_t last_seq;
    uint64_t index;
    uint64_t searched; /* bytes */
};

static bool can_be_record(const struct segment_record_header *rh, const struct cursor *c,
                          uint64_t room)
{
    return rh->len > 0 && rh->len <= room && rh->reserved == 0 && rh->kind == SEGMENT_UPDATE_V1 &&
           rh->seq > c->last_seq && rh->seq <= INT64_MAX;
}

/* The record at c->at, if a whole one that follows the last lies before `limit`. */
static bool read_record(const struct scan *s, struct cursor *c, uint64_t limit,
                        struct scan_piece *ret)
{
    struct segment_record_header rh;

    if (limit < c->at || limit - c->at < sizeof(rh))
        return false;
    memcpy(&rh, s->bytes.data + c->at, sizeof(rh));
    if (!can_be_record(&rh, c, limit - c->at - sizeof(rh)))
        return false;
    c->searched += rh.len;
    if (segment_record_crc(s->header.file_id, &rh, s->bytes.data + c->at + sizeof(rh)) != rh.crc)
        return false;
    *ret = (struct scan_piece){.kind = SCAN_RECORD,
                               .index = c->index,
                               .offset = c->at,
                               .size = segment_record_bytes(rh.len),
                               .seq = rh.seq,
                               .session = rh.session,
                               .payload = slice_of(s->bytes.data + c->at + sizeof(rh), rh.len)};
    return true;
}

static void advance(struct cursor *c, const struct scan_piece *record)
{
    c->at = record->offset + record->size;
    c->last_seq = record->seq;
    c->index++;
}

/* Passes over what is no record, to the next one or to `limit`. */
static void pass_damage(struct scan *s, struct cursor *c, uint64_t limit)
{
    struct scan_piece next = {0};
    struct scan_piece damage = {.kind = SCAN_DAMAGE,
                                .is_damaged = true,
                                .index = c->index,
                                .offset = c->at,
                                .seq = c->last_seq + 1};
    bool is_found = false;

    c->searched = 0;
    while (!is_found && c->at < limit && c->searched < SEARCH_BYTES) {
        c->at += SEGMENT_RECORD_ALIGN;
        is_found = read_record(s, c, limit, &next);
    }
    if (is_found)
        damage.last_missing = next.seq - 1;
    else
        c->at = limit;
    damage.size = c->at - damage.offset;
    c->index++;
    add(s, &damage);
}

static bool is_zero_from(const struct scan *s, uint64_t at)
{
    while (at < s->bytes.len && s->bytes.data[at] == 0)
        at++;
    return at >= s->bytes.len;
}

static void read_log(struct scan *s, struct cursor *c)
{
    uint64_t limit = published_end(s);
    uint64_t end = limit < s->bytes.len ? limit : s->bytes.len;
    struct scan_piece piece;

    while (c->at < end) {
        if (read_record(s, c, end, &piece)) {
            add(s, &piece);
            advance(c, &piece);
        } else if (s->problem && is_zero_from(s, c->at)) {
            break; /* the space behind the log */
        } else {
            pass_damage(s, c, end);
        }
    }
}

/* What a room was working on when it ended, and what a crash tore. */
static void read_unpublished(struct scan *s, struct cursor *c)
{
    uint64_t end = s->bytes.len;
    struct scan_piece piece;

    while (c->at < end && read_record(s, c, end, &piece)) {
        piece.kind = SCAN_UNPUBLISHED;
        add(s, &piece);
        advance(c, &piece);
    }
    for (uint64_t at = c->at; at < end && at < c->at + sizeof(struct segment_record_header); at++)
        s->is_torn |= s->bytes.data[at] != 0;
}

/* ---- the whole ---- */

/* The header's number is checked by nothing: it counts as far as there were bytes for records. */
static uint64_t find_last_seq(const struct scan *s)
{
    const struct scan_piece *last = &s->pieces[s->count - 1];
    uint64_t told = atomic_load(&s->header.last_seq);

    if (last->kind != SCAN_DAMAGE)
        return last->seq;
    uint64_t seen = last->seq - 1;
    return told > seen && told - seen <= last->size / RECORD_MIN ? told : seen;
}

static void examine(struct scan *s, bool is_living)
{
    const struct segment_header *h = &s->header;

    s->is_segment = true;
    s->is_header_sound = is_sound(h);
    s->problem = check_header(s);
    add_checkpoint(s);
    struct cursor c = {.at = SEGMENT_HEADER_BYTES, .last_seq = h->base_seq, .index = 1};
    if (h->checkpoint_len <= s->bytes.len)
        c.at += segment_align(h->checkpoint_len);
    read_log(s, &c);
    s->last_seq = find_last_seq(s);
    if (!is_living && !s->problem)
        read_unpublished(s, &c);
}

static bool is_checkpoint_whole(struct scan *s)
{
    add_checkpoint(s);
    return !s->pieces[0].is_damaged;
}

/* After a power loss, as a room takes it (proto/segment.md): what is whole at its beginning. What
 * follows is no damage, and nobody will see it. */
static void examine_remains(struct scan *s)
{
    const struct segment_header *h = &s->header;
    struct scan_piece piece;

    s->is_of_other_boot = true;
    if (!is_sound(h) || atomic_load(&h->committed) < segment_log_start(h) ||
        !is_checkpoint_whole(s)) {
        s->count = 0;
        s->damaged = 0;
        s->is_empty = true;
        return;
    }
    s->is_segment = true;
    s->is_header_sound = true;
    uint64_t committed = atomic_load(&h->committed);
    uint64_t end = committed < s->bytes.len ? committed : s->bytes.len;
    struct cursor c = {.at = segment_log_start(h), .last_seq = h->base_seq, .index = 1};
    while (read_record(s, &c, end, &piece)) {
        add(s, &piece);
        advance(&c, &piece);
    }
    s->last_seq = c.last_seq;
    s->is_cut = c.at < committed;
}

static void scan_foreign(struct scan *s, bool is_living)
{
    s->is_empty = !is_living && segment_is_done(&s->header);
    s->is_foreign = !s->is_empty;
}

int scan_read(int fd, bool is_living, struct scan *ret_scan)
{
    struct scan *s = ret_scan;
    bool is_of_other_boot = false;

    *s = (struct scan){0};
    int r = read_file(fd, is_living, &s->bytes);
    if (r == 0 && s->bytes.len >= SEGMENT_HEADER_BYTES) {
        memcpy(&s->header, s->bytes.data, sizeof(s->header));
        r = segment_is_of_other_boot(&s->header, &is_of_other_boot);
    }
    if (r < 0) {
        scan_done(s);
        return r;
    }
    if (s->header.magic == 0)
        s->is_empty = true;
    else if (s->header.magic != SEGMENT_MAGIC)
        s->problem = "the file is no segment";
    else if (s->header.version != SEGMENT_VERSION)
        scan_foreign(s, is_living);
    else if (is_of_other_boot && !is_living)
        examine_remains(s);
    else
        examine(s, is_living);
    return 0;
}

void scan_done(struct scan *scan)
{
    buffer_done(&scan->bytes);
    free(scan->pieces);
    *scan = (struct scan){0};
}
