#include "ctl/doctor_room.h"

#include "ctl/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define WRONG_MAX 8 /* parts; a room with more of them is looked at again after a repair */

/* ---- words ---- */

static void find(struct patient *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void find(struct patient *p, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        abort();
    va_end(args);
    buffer_printf(&p->findings, "%s%s", p->finding_count++ > 0 ? "\n" : "", text);
    free(text);
}

void part_print(const struct part *part, struct buffer *out)
{
    switch (part->kind) {
    case PART_CHECKPOINT:
        buffer_printf(out, "the checkpoint (up to number %" PRIu64 ", %zu bytes)", part->seq,
                      part->update.len);
        return;
    case PART_SNAPSHOT:
        buffer_printf(out, "the stored snapshot (up to number %" PRIu64 ", %zu bytes)", part->seq,
                      part->update.len);
        return;
    case PART_ROW:
        buffer_printf(out, "the stored update %" PRIu64 " (%zu bytes)", part->seq,
                      part->update.len);
        return;
    case PART_RECORD:
    case PART_UNPUBLISHED:
        buffer_printf(out,
                      "record %" PRIu64 " at byte %" PRIu64 " (number %" PRIu64
                      ", %zu bytes, session %" PRIu64 "%s)",
                      part->index, part->offset, part->seq, part->update.len, part->session,
                      part->kind == PART_UNPUBLISHED ? ", not yet published" : "");
        return;
    }
}

static void find_part(struct patient *p, const struct part *part)
{
    struct buffer text = {0};

    part_print(part, &text);
    find(p, "%.*s %s", (int)text.len, (const char *)text.data, part->wrong);
    buffer_done(&text);
}

/* ---- the segment ---- */

static bool is_locked(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static void find_damage(struct patient *p, const struct scan_piece *piece)
{
    if (piece->kind == SCAN_CHECKPOINT)
        find(p, "the checkpoint (up to number %" PRIu64 ", %" PRIu64 " bytes) is damaged",
             piece->seq, piece->size);
    else if (piece->last_missing >= piece->seq)
        find(p,
             "record %" PRIu64 " at byte %" PRIu64 " is damaged: numbers %" PRIu64 " to %" PRIu64
             " are missing",
             piece->index, piece->offset, piece->seq, piece->last_missing);
    else if (piece->last_missing > 0)
        find(p,
             "%" PRIu64 " bytes before record %" PRIu64 " at byte %" PRIu64
             " are damaged; no record is missing",
             piece->size, piece->index + 1, piece->offset);
    else
        find(p,
             "record %" PRIu64 " at byte %" PRIu64 " is damaged, and no whole one follows it: what "
             "came from number %" PRIu64 " on is missing",
             piece->index, piece->offset, piece->seq);
}

static void check_names(struct patient *p)
{
    const struct segment_header *h = &p->scan.header;
    struct slice tenant = slice_of(h->tenant, h->tenant_len);
    struct slice room = slice_of(h->room, h->room_len);
    char expected[NAME_HASH_HEX + 1];

    if (h->tenant_len >= sizeof(h->tenant) || h->room_len >= sizeof(h->room))
        return;
    name_hash(tenant, room, expected);
    if (strcmp(expected, p->hash) != 0) {
        find(p, "the segment has the name of another room");
    } else if (p->room.len == 0) {
        p->tenant = tenant;
        p->room = room;
    }
}

static int examine_segment(struct patient *p, int fd)
{
    p->has_segment = true;
    p->is_living = is_locked(fd);
    int r = scan_read(fd, p->is_living, &p->scan);
    if (r < 0)
        return r;
    if (p->scan.problem)
        find(p, "%s", p->scan.problem);
    if (p->scan.is_foreign)
        find(
            p,
            "the segment is of format version %" PRIu32 ", this is version %u: the release that "
            "wrote it must store what is in it, or the file be removed and what is not stored lost",
            p->scan.header.version, SEGMENT_VERSION);
    if (p->scan.is_segment)
        check_names(p);
    for (size_t i = 0; i < p->scan.count; i++) {
        if (p->scan.pieces[i].is_damaged)
            find_damage(p, &p->scan.pieces[i]);
    }
    return 0;
}

/* ---- the store ---- */

/* What the room was told is stored must be. A lineage that the store has forgotten, because others
 * came after it, is no finding. */
static void check_stored(struct patient *p)
{
    const struct store_stat *stat = &p->stored.stat;
    bool is_known = stat->lineage_seq > 0 || stat->op_seq == 0;

    if (!p->scan.is_segment || p->scan.problem || !is_known)
        return;
    uint64_t told = atomic_load(&p->scan.header.stored_seq);
    if (told > stat->lineage_seq)
        find(p,
             "the store has lost what was stored: it goes up to number %" PRIu64
             ", and was at %" PRIu64,
             stat->lineage_seq, told);
}

/* 0, or an error of store.h that is none of the room's. */
static int examine_store(struct patient *p, struct doctor_store *store)
{
    struct store_key key = {.tenant = p->tenant, .room = p->room};
    uint64_t lineage = p->scan.is_header_sound ? p->scan.header.lineage : 0;

    if (!store || p->room.len == 0)
        return 0;
    int r = doctor_store_load(store, key, lineage, &p->stored);
    if (r == -EBADMSG || r == -EFBIG)
        find(p, "what is stored cannot be read: %s", store_strerror(r));
    if (r < 0)
        return r == -EBADMSG || r == -EFBIG ? 0 : r;
    p->is_store_open = true;
    check_stored(p);
    return 0;
}

/* ---- the parts ---- */

static void add_pieces(struct patient *p, bool is_published)
{
    for (size_t i = 0; i < p->scan.count; i++) {
        const struct scan_piece *piece = &p->scan.pieces[i];
        enum part_kind kind = PART_RECORD;
        if (piece->is_damaged || (piece->kind != SCAN_UNPUBLISHED) != is_published)
            continue;
        if (piece->kind == SCAN_CHECKPOINT)
            kind = PART_CHECKPOINT;
        else if (piece->kind == SCAN_UNPUBLISHED)
            kind = PART_UNPUBLISHED;
        p->parts[p->count++] = (struct part){.kind = kind,
                                             .index = piece->index,
                                             .offset = piece->offset,
                                             .seq = piece->seq,
                                             .session = piece->session,
                                             .update = piece->payload};
    }
}

static void add_stored(struct patient *p)
{
    for (size_t i = 0; i < p->stored.count; i++) {
        const struct stored_part *s = &p->stored.parts[i];
        enum part_kind kind = s->kind == STORE_PART_SNAPSHOT ? PART_SNAPSHOT : PART_ROW;
        p->parts[p->count++] =
            (struct part){.kind = kind,
                          .seq = s->op_seq,
                          .update = slice_of(p->stored.bytes.data + s->offset, s->len)};
    }
}

/* As a room does it: its segment, the store, and then what it was working on. */
static void list_parts(struct patient *p)
{
    p->parts = xcalloc(p->scan.count + p->stored.count + 1, sizeof(*p->parts));
    add_pieces(p, true);
    add_stored(p);
    add_pieces(p, false);
}

/* Finds every part that a room does not survive, by leaving out those that are known. */
static int replay(struct patient *p, const struct replay_limits *limits)
{
    struct replay_item *items = xcalloc(p->count + 1, sizeof(*items));
    struct replay_result result;
    int r;

    for (size_t i = 0; i < p->count; i++)
        items[i].update = p->parts[i].update;
    while ((r = replay_run(items, p->count, limits, &result)) == 0 &&
           result.verdict != REPLAY_FINE) {
        char *wrong = replay_describe(&result);
        if (result.item == p->count || p->wrong == WRONG_MAX) {
            find(p, "the whole document %s", wrong);
            free(wrong);
            break;
        }
        items[result.item].is_left_out = true;
        p->parts[result.item].wrong = wrong;
        p->wrong++;
        find_part(p, &p->parts[result.item]);
    }
    if (r == 0)
        p->pending_bytes = result.pending_bytes;
    free(items);
    return r;
}

/* ---- the whole ---- */

static void examine_marker(struct patient *p)
{
    int r = quarantine_read(p->rooms_dir, p->hash, &p->quarantine);

    p->is_quarantined = r != -ENOENT;
    if (!p->is_quarantined)
        return;
    struct buffer why = {0};
    if (p->quarantine.crashes > 0)
        buffer_printf(&why, " after %" PRIu32 " crashes", p->quarantine.crashes);
    if (p->quarantine.last_signal > 0)
        buffer_printf(&why, ", the last by signal %" PRIu32, p->quarantine.last_signal);
    find(p, "in quarantine (%s)%.*s", quarantine_reason_name(p->quarantine.reason), (int)why.len,
         (const char *)why.data);
    buffer_done(&why);
}

int patient_examine(struct patient *p, const struct clinic *clinic, const char *hash,
                    struct store_key key, int fd)
{
    *p = (struct patient){.tenant = key.tenant, .room = key.room, .rooms_dir = clinic->rooms_dir};
    (void)snprintf(p->hash, sizeof(p->hash), "%s", hash);
    examine_marker(p);
    int r = fd >= 0 ? examine_segment(p, fd) : 0;
    if (r == 0)
        r = examine_store(p, clinic->store);
    if (r < 0)
        return r;
    list_parts(p);
    return replay(p, &clinic->limits);
}

void patient_done(struct patient *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->parts[i].wrong);
    free(p->parts);
    scan_done(&p->scan);
    stored_done(&p->stored);
    buffer_done(&p->findings);
}

/* ---- printing ---- */

void patient_print_name(const struct patient *p, struct buffer *out)
{
    if (p->room.len == 0) {
        buffer_append_str(out, p->hash);
        return;
    }
    escape_append(out, p->room);
    if (!slice_equal(p->tenant, slice_str(PATIENT_TENANT))) {
        buffer_append_str(out, " of tenant ");
        escape_append(out, p->tenant);
    }
}

static const char *describe_origin(const struct patient *p)
{
    if (p->is_living)
        return "of a running room";
    return p->scan.is_of_other_boot ? "from before the machine started" : "of no running room";
}

static const char *describe_end(const struct scan *s)
{
    if (s->is_cut)
        return ", what followed was lost with the machine";
    return s->is_torn ? ", a torn end" : "";
}

static const char *describe_no_segment(const struct scan *s)
{
    if (s->is_empty && s->is_of_other_boot)
        return "from before the machine started, not whole: it holds nothing";
    return s->is_empty ? "holds nothing that is needed" : "cannot be read";
}

static void print_segment(const struct patient *p, struct buffer *out)
{
    size_t records = 0, unpublished = 0;

    if (!p->has_segment) {
        buffer_append_str(out, "segment   none: the room is not open\n");
        return;
    }
    if (!p->scan.is_segment) {
        buffer_printf(out, "segment   %s\n", describe_no_segment(&p->scan));
        return;
    }
    for (size_t i = 0; i < p->scan.count; i++) {
        records += p->scan.pieces[i].kind == SCAN_RECORD;
        unpublished += p->scan.pieces[i].kind == SCAN_UNPUBLISHED;
    }
    buffer_printf(out,
                  "segment   %s: a checkpoint up to number %" PRIu64
                  ", %zu whole records up to %" PRIu64
                  ", %zu not published, %zu damaged places%s\n",
                  describe_origin(p), p->scan.header.base_seq, records, p->scan.last_seq,
                  unpublished, p->scan.damaged, describe_end(&p->scan));
}

static void print_store(const struct patient *p, struct buffer *out)
{
    const struct store_stat *s = &p->stored.stat;

    if (!p->is_store_open)
        buffer_append_str(out, "store     not read\n");
    else if (p->stored.count == 0)
        buffer_append_str(out, "store     has nothing of the room\n");
    else
        buffer_printf(out,
                      "store     a snapshot up to number %" PRIu64 ", %" PRIu64
                      " updates up to %" PRIu64 "\n",
                      s->snapshot_op_seq, s->updates, s->op_seq);
}

void patient_print(const struct patient *p, struct buffer *out)
{
    buffer_append_str(out, "room      ");
    patient_print_name(p, out);
    buffer_printf(out, "\nfile      %s/%s\n", p->rooms_dir, p->hash);
    print_segment(p, out);
    print_store(p, out);
    if (p->pending_bytes > 0)
        buffer_printf(out, "pending   %" PRIu64 " bytes wait for updates that are not there\n",
                      p->pending_bytes);
    if (p->finding_count == 0) {
        buffer_append_str(out, "finding   none: the room is healthy\n");
        return;
    }
    const char *line = (const char *)p->findings.data;
    const char *end = line + p->findings.len;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline ? newline : end;
        buffer_printf(out, "finding   %.*s\n", (int)(stop - line), line);
        line = stop + 1;
    }
}
