#include "roomd/document.h"

#include "common/log.h"
#include "proto/messages.h"
#include "roomd/lens.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#define MEMORY_MAX ((size_t)512 << 20) /* of the CRDT; edits are refused above it */
#define OUTPUT_MAX ((size_t)512 << 20)
/* Of one edit: a few bytes can hold any number of them, and each takes up to half a kilobyte while
 * it is applied. */
#define EDIT_STRUCTS_MAX (512u << 10)
#define UNMEASURED_MAX                                                                             \
    (256u << 10)                 /* bytes of edits after which the statistics are taken again      \
                                  */
#define CATCH_UP_MAX (16u << 20) /* log bytes; above, the whole document is sent */

struct document {
    struct crdt_doc *doc;
    const struct crdt_limits *limits; /* that it has */
    struct journal *journal;          /* NULL until there is one */
    int fd;                           /* of an empty file, until then */
    struct slice tenant;
    struct slice room;
    bool is_careful;
    struct crdt_stats stats;
    size_t unmeasured_bytes; /* of edits since they were taken */
    uint64_t lineage;
    uint64_t last_seq;
    uint64_t believe_from;  /* what the store says below this is about another lineage */
    bool has_foreign_parts; /* the store gave what the segment lacks */
    bool is_overtaken;      /* the store followed another lineage, and ours is not restated yet */
    const struct lens_type *lens; /* that edits are looked at with; NULL: none */

    struct edit *batch;
    size_t batch_count;
    size_t batch_cap;
    size_t batch_bytes; /* in the segment */
};

/* What was accepted must load, however much it has become. */
static const struct crdt_limits loading_limits = {.structs = UINT32_MAX,
                                                  .clients = UINT32_MAX,
                                                  .steps = UINT64_MAX,
                                                  .output_bytes = OUTPUT_MAX,
                                                  .pending_bytes = SIZE_MAX};
static const struct crdt_limits edit_limits = {.structs = EDIT_STRUCTS_MAX,
                                               .output_bytes = OUTPUT_MAX};
static const struct crdt_limits convert_limits = {.structs = EDIT_STRUCTS_MAX,
                                                  .output_bytes = DOCUMENT_EDIT_MAX};

static struct blob *copy_update(struct slice update)
{
    struct blob *b = blob_try_new(update.len);

    if (b)
        memcpy(b->data, update.data, update.len);
    return b;
}

static void set_limits(struct document *d, const struct crdt_limits *limits)
{
    if (d->limits != limits)
        crdt_doc_set_limits(d->doc, limits);
    d->limits = limits;
}

/* ---- life ---- */

static int apply_record(void *ctx, const struct segment_record *record)
{
    struct document *d = ctx;

    if (record->kind != SEGMENT_UPDATE_V1)
        return -EBADMSG;
    /* The checkpoint of a document that was never edited. */
    if (record->payload.len == 0)
        return 0;
    return crdt_doc_apply(d->doc, CRDT_V1, record->payload.data, record->payload.len, NULL);
}

static void describe_failure(int error, const struct segment_contents *c,
                             char reason[DOCUMENT_REASON_BYTES])
{
    if (error == -ENOTSUP)
        (void)snprintf(reason, DOCUMENT_REASON_BYTES, "it was written by another version");
    else if (c->end == 0)
        (void)snprintf(reason, DOCUMENT_REASON_BYTES, "its header is damaged");
    else if (c->end == SEGMENT_HEADER_BYTES)
        (void)snprintf(reason, DOCUMENT_REASON_BYTES, "its checkpoint %s",
                       c->is_visit_refused ? "cannot be applied" : "is damaged");
    else
        (void)snprintf(reason, DOCUMENT_REASON_BYTES,
                       "record %" PRIu64 " at byte %" PRIu64 ", behind sequence %" PRIu64 ", %s",
                       c->records + 1, c->end, c->last_seq,
                       c->is_visit_refused ? "cannot be applied" : "is damaged");
}

/* A file without a sound beginning is no segment yet; one that has bytes was one, before the
 * machine went down. */
static void note_nothing(const struct document *d)
{
    struct stat st;

    if (fstat(d->fd, &st) == 0 && st.st_size > 0)
        log_warn("room '%.*s': its segment is unfinished, or of another boot and torn: what the "
                 "store holds counts",
                 (int)d->room.len, (const char *)d->room.data);
}

static void note_contents(const struct document *d, const struct segment_contents *c)
{
    if (c->is_of_other_boot)
        log_warn("room '%.*s': its segment is of another boot: %" PRIu64 " records up to sequence "
                 "%" PRIu64 " are taken, %s byte %" PRIu64 "; all of it goes to the store again",
                 (int)d->room.len, (const char *)d->room.data, c->records, c->last_seq,
                 c->is_cut ? "the rest is torn and cut from" : "as it ends at", c->end);
    else if (c->has_torn_tail)
        log_warn("cut what was never published from byte %" PRIu64 " of the segment on", c->end);
}

static int recover(struct document *d, char reason[DOCUMENT_REASON_BYTES])
{
    struct segment_contents contents;
    int r = journal_open(d->fd, apply_record, d, &d->journal, &contents);

    if (r == -ENODATA) {
        note_nothing(d);
        d->lineage = segment_new_lineage();
        return 0;
    }
    if (r == -EBADMSG || r == -ENOTSUP || (r == -E2BIG && contents.is_visit_refused)) {
        describe_failure(r, &contents, reason);
        return -EBADMSG;
    }
    if (r < 0)
        return r;
    d->fd = -1;
    note_contents(d, &contents);
    d->lineage = journal_header(d->journal)->lineage;
    d->last_seq = contents.last_seq;
    document_take_stats(d);
    return 0;
}

int document_open(const struct document_start *start, struct document **ret_document,
                  char reason[DOCUMENT_REASON_BYTES])
{
    struct document *d = xcalloc(1, sizeof(*d));

    d->fd = start->fd;
    d->tenant = start->tenant;
    d->room = start->room;
    d->is_careful = start->is_careful;
    d->doc = crdt_doc_new(&loading_limits);
    d->limits = &loading_limits;
    int r = d->doc ? recover(d, reason) : -ENOMEM;
    if (r < 0) {
        d->fd = -1;
        document_free(d);
        return r;
    }
    *ret_document = d;
    return 0;
}

void document_free(struct document *d)
{
    if (!d)
        return;
    document_clear_batch(d);
    free(d->batch);
    journal_free(d->journal);
    crdt_doc_free(d->doc);
    if (d->fd >= 0)
        (void)close(d->fd);
    free(d);
}

bool document_has_segment(const struct document *d)
{
    return d->journal != NULL;
}

uint64_t document_lineage(const struct document *d)
{
    return d->lineage;
}

uint64_t document_last_seq(const struct document *d)
{
    return d->last_seq;
}

uint64_t document_stored_seq(const struct document *d)
{
    return d->journal ? atomic_load(&journal_header(d->journal)->stored_seq) : 0;
}

int document_dup_segment(const struct document *d)
{
    return journal_dup(d->journal);
}

struct segment_header *document_header(struct document *d)
{
    return d->journal ? journal_header(d->journal) : NULL;
}

const struct crdt_stats *document_stats(const struct document *d)
{
    return &d->stats;
}

bool document_has_new_stats(const struct document *d)
{
    return d->unmeasured_bytes > 0;
}

void document_take_stats(struct document *d)
{
    crdt_doc_stats(d->doc, &d->stats);
    d->unmeasured_bytes = 0;
}

/* ---- the batch ---- */

static int reserve(struct document *d, size_t update_len)
{
    int r = journal_reserve(d->journal, d->batch_bytes + segment_record_bytes(update_len));

    /* Whatever the file system says (quota, size limit, I/O), nothing more goes in. */
    return r < 0 ? -ENOSPC : 0;
}

/* Takes what is in `edit`. */
static void add_to_batch(struct document *d, const struct edit *edit)
{
    if (d->batch_count == d->batch_cap) {
        d->batch_cap = d->batch_cap ? 2 * d->batch_cap : 64;
        d->batch = xrealloc(d->batch, d->batch_cap * sizeof(*d->batch));
    }
    d->batch[d->batch_count++] = *edit;
    d->batch_bytes += segment_record_bytes(edit->update->len);
    d->unmeasured_bytes += edit->update->len;
    d->last_seq = edit->seq;
}

size_t document_batch(const struct document *d, const struct edit **ret_edits)
{
    *ret_edits = d->batch;
    return d->batch_count;
}

size_t document_batch_bytes(const struct document *d)
{
    return d->batch_bytes;
}

int document_append(struct document *d)
{
    if (d->batch_count == 0)
        return 0;
    struct segment_record *records = xmalloc(d->batch_count * sizeof(*records));
    for (size_t i = 0; i < d->batch_count; i++) {
        const struct edit *edit = &d->batch[i];
        records[i] = (struct segment_record){.seq = edit->seq,
                                             .session = edit->session,
                                             .kind = SEGMENT_UPDATE_V1,
                                             .payload = blob_slice(edit->update)};
    }
    int r = journal_write(d->journal, records, d->batch_count);
    if (r == 0)
        journal_publish(d->journal);
    free(records);
    if (d->unmeasured_bytes > UNMEASURED_MAX)
        document_take_stats(d);
    return r;
}

void document_clear_batch(struct document *d)
{
    for (size_t i = 0; i < d->batch_count; i++) {
        blob_unref(d->batch[i].update);
        blob_unref(d->batch[i].change);
    }
    d->batch_count = 0;
    d->batch_bytes = 0;
}

int document_roll_back(struct document *d)
{
    struct segment_contents contents;
    struct segment_view *v;

    document_clear_batch(d);
    crdt_doc_free(d->doc);
    d->doc = crdt_doc_new(&loading_limits);
    d->limits = &loading_limits;
    if (!d->doc)
        return -ENOMEM;
    int r = journal_view(d->journal, &v);
    if (r < 0)
        return r;
    r = segment_view_read_all(v, apply_record, d, &contents);
    segment_view_free(v);
    if (r < 0)
        return r;
    d->last_seq = contents.last_seq;
    d->has_foreign_parts = false;
    d->is_overtaken |= d->believe_from > d->last_seq;
    document_take_stats(d);
    return 0;
}

void document_close(struct document *d)
{
    journal_close(d->journal);
}

/* ---- loading ---- */

int document_merge_part(struct document *d, struct slice update)
{
    struct crdt_applied applied;

    set_limits(d, &loading_limits);
    int r = crdt_doc_apply(d->doc, CRDT_V1, update.data, update.len, &applied);

    if (r == 0 && d->journal && applied.has_changed)
        d->has_foreign_parts = true;
    return r;
}

static int create_segment(struct document *d, uint64_t stored_seq)
{
    struct crdt_buf state = {0};
    int r = crdt_doc_encode(d->doc, CRDT_V1, NULL, 0, &state);

    if (r == 0) {
        struct segment_start start = {.tenant = d->tenant,
                                      .room = d->room,
                                      .lineage = d->lineage,
                                      .base_seq = stored_seq,
                                      .checkpoint = slice_of(state.data, state.len)};
        r = journal_create(d->fd, &start, &d->journal);
    }
    crdt_buf_done(&state);
    if (r < 0)
        return r;
    d->fd = -1;
    d->last_seq = stored_seq;
    journal_set_stored(d->journal, stored_seq);
    return 0;
}

/* The whole document as one edit. */
static int restate(struct document *d, uint64_t seq)
{
    struct crdt_buf state = {0};
    struct blob *update = NULL;
    int r = crdt_doc_encode(d->doc, CRDT_V1, NULL, 0, &state);

    if (r == 0)
        r = reserve(d, state.len);
    if (r == 0)
        r = (update = copy_update(slice_of(state.data, state.len))) ? 0 : -ENOMEM;
    if (r == 0)
        add_to_batch(d, &(struct edit){.seq = seq, .update = update, .is_unseen = d->lens != NULL});
    crdt_buf_done(&state);
    return r;
}

int document_loaded(struct document *d, uint64_t opened_seq, uint64_t stored_seq)
{
    uint64_t above = (stored_seq > d->last_seq ? stored_seq : d->last_seq) + 1;
    int r = 0;

    if (!d->journal) {
        r = create_segment(d, stored_seq);
    } else if (d->is_overtaken || stored_seq > opened_seq) {
        d->is_overtaken = true;
        r = restate(d, above);
        if (r == 0) {
            d->believe_from = above;
            d->is_overtaken = false;
        }
    } else {
        if (d->has_foreign_parts)
            r = restate(d, above);
        if (r == 0)
            (void)document_set_stored(d, stored_seq);
    }
    if (r == 0)
        d->has_foreign_parts = false;
    document_take_stats(d);
    return r;
}

bool document_set_stored(struct document *d, uint64_t seq)
{
    if (d->is_overtaken || seq < d->believe_from || seq <= document_stored_seq(d))
        return false;
    journal_set_stored(d->journal, seq < d->last_seq ? seq : d->last_seq);
    return true;
}

/* ---- edits ---- */

/* The edit in format 1, as a new blob. */
static int normalise(enum crdt_format format, struct slice update, struct blob **ret_update)
{
    struct crdt_buf v1 = {0};
    int r = 0;

    if (format == CRDT_V2) {
        r = crdt_update_convert(CRDT_V2, (struct crdt_slice){update.data, update.len}, CRDT_V1,
                                &convert_limits, &v1);
        update = slice_of(v1.data, v1.len);
    }
    if (r == 0 && update.len == 0)
        r = -EBADMSG;
    if (r == 0 && update.len > DOCUMENT_EDIT_MAX)
        r = -E2BIG;
    if (r == 0) {
        struct blob *b = copy_update(update);
        if (b)
            *ret_update = b;
        else
            r = -ENOMEM;
    }
    crdt_buf_done(&v1);
    return r;
}

/* Leaves the edit where it is found if this process dies of it. */
static int note_attempt(struct document *d, uint64_t session, const struct blob *edit)
{
    struct segment_record record = {.seq = d->last_seq + 1,
                                    .session = session,
                                    .kind = SEGMENT_UPDATE_V1,
                                    .payload = blob_slice(edit)};

    return journal_write(d->journal, &record, 1) < 0 ? -ENOSPC : 0;
}

static void take_back_attempt(const struct document *d)
{
    if (d->is_careful && journal_take_back(d->journal) < 0)
        log_warn("an edit that was refused stays behind the end of the segment");
}

/* Notes what the edit changed, if somebody sees it. What the store gave in the meantime is not
 * restated yet, and nobody has heard of it. */
static int apply_seen(struct document *d, struct edit *edit, struct crdt_applied *ret_applied)
{
    struct crdt_buf change = {0};
    int r;

    if (!d->lens || d->has_foreign_parts) {
        edit->is_unseen = d->lens != NULL;
        return crdt_doc_apply(d->doc, CRDT_V1, edit->update->data, edit->update->len, ret_applied);
    }
    r = d->lens->apply(d->doc, blob_slice(edit->update), ret_applied, &change);
    if (r == 0 && change.error == 0 && change.len > 0 && change.len <= PROTO_UPDATE_MAX)
        edit->change = copy_update(slice_of(change.data, change.len));
    edit->is_unseen = change.error != 0 || (change.len > 0 && !edit->change);
    crdt_buf_done(&change);
    return r;
}

/* Takes `update`. 1 if it changed something and is in the batch, 0 if not. */
static int apply_edit(struct document *d, uint64_t session, struct blob *update)
{
    struct edit edit = {.seq = d->last_seq + 1, .session = session, .update = update};
    struct crdt_applied applied = {0};
    int r = reserve(d, update->len);

    set_limits(d, &edit_limits);
    if (r == 0 && d->is_careful)
        r = note_attempt(d, session, update);
    if (r == 0)
        r = apply_seen(d, &edit, &applied);
    if (r == 0 && applied.has_changed) {
        add_to_batch(d, &edit);
        return 1;
    }
    take_back_attempt(d);
    blob_unref(edit.change);
    blob_unref(update);
    return r;
}

int document_edit(struct document *d, uint64_t session, enum crdt_format format,
                  struct slice update, uint64_t *ret_seq)
{
    struct blob *edit = NULL;

    if (d->stats.memory_bytes > MEMORY_MAX)
        return -E2BIG;
    int r = normalise(format, update, &edit);
    if (r == 0)
        r = apply_edit(d, session, edit);
    if (r < 0)
        return r;
    *ret_seq = d->last_seq;
    return 0;
}

/* To look at an update is as dangerous as to apply it. */
int document_has(struct document *d, uint64_t session, enum crdt_format format, struct slice update,
                 bool *ret_has)
{
    struct blob *edit = NULL;
    int r = normalise(format, update, &edit);

    if (r < 0)
        return r;
    set_limits(d, &edit_limits);
    if (d->is_careful) {
        r = reserve(d, edit->len);
        if (r == 0)
            r = note_attempt(d, session, edit);
    }
    if (r == 0)
        r = crdt_doc_has(d->doc, CRDT_V1, edit->data, edit->len, ret_has);
    take_back_attempt(d);
    blob_unref(edit);
    return r;
}

void document_set_lens(struct document *d, enum lens lens)
{
    d->lens = lens_type(lens);
}

int document_op(struct document *d, uint64_t session, enum lens lens, struct slice op,
                uint64_t *ret_seq)
{
    struct crdt_buf update = {0};

    set_limits(d, &edit_limits);
    int r = lens_type(lens)->edit(d->doc, op, &update);
    if (r == 0)
        r = document_edit(d, session, CRDT_V1, slice_of(update.data, update.len), ret_seq);
    crdt_buf_done(&update);
    return r;
}

/* ---- the next segment ---- */

bool document_wants_next(const struct document *d)
{
    return d->journal && !journal_has_next(d->journal) && journal_is_long(d->journal);
}

int document_begin_next(struct document *d, int fd)
{
    struct crdt_buf state = {0};
    int r = crdt_doc_encode(d->doc, CRDT_V1, NULL, 0, &state);

    assert(d->batch_count == 0);
    if (r == 0)
        r = journal_begin_next(d->journal, fd, slice_of(state.data, state.len));
    crdt_buf_done(&state);
    return r;
}

bool document_has_next(const struct document *d)
{
    return d->journal && journal_has_next(d->journal);
}

bool document_was_renamed(const struct document *d)
{
    return journal_was_renamed(d->journal);
}

void document_take_next(struct document *d)
{
    journal_take_next(d->journal);
}

void document_drop_next(struct document *d)
{
    journal_drop_next(d->journal);
}

/* ---- reading ---- */

/* The offset of the first record after `seq`; 0 if the log does not reach back so far or much
 * follows. */
static int find_record(struct segment_view *v, uint64_t seq, uint64_t *ret_offset)
{
    const struct segment_header *h = segment_view_header(v);
    struct segment_record record;
    uint64_t offset = 0;
    uint64_t before;
    int r;

    *ret_offset = 0;
    if (seq < h->base_seq)
        return 0;
    do {
        before = offset;
        r = segment_view_next(v, &offset, &record);
    } while (r > 0 && record.seq <= seq);
    if (r <= 0)
        return r;
    if (before == 0) /* the first record: zero would mean that nothing was found */
        before = offset - segment_record_bytes(record.payload.len);
    if (atomic_load(&h->committed) - before <= CATCH_UP_MAX)
        *ret_offset = before;
    return 0;
}

static int send_whole(const struct document *d, document_edit_fn fn, void *ctx)
{
    struct crdt_buf state = {0};
    int r = crdt_doc_encode(d->doc, CRDT_V1, NULL, 0, &state);

    if (r == 0)
        fn(ctx, d->last_seq, 0, slice_of(state.data, state.len));
    crdt_buf_done(&state);
    return r;
}

int document_since(const struct document *d, uint64_t lineage, uint64_t seq, document_edit_fn fn,
                   void *ctx)
{
    struct segment_record record;
    struct segment_view *v;
    uint64_t offset;

    assert(d->batch_count == 0);
    if (lineage != d->lineage)
        return send_whole(d, fn, ctx);
    if (seq >= d->last_seq)
        return 0;
    int r = journal_view(d->journal, &v);
    if (r < 0)
        return r;
    r = find_record(v, seq, &offset);
    if (r == 0 && offset == 0)
        r = send_whole(d, fn, ctx);
    while (r == 0 && offset != 0 && (r = segment_view_next(v, &offset, &record)) > 0) {
        fn(ctx, record.seq, record.session, record.payload);
        r = 0;
    }
    segment_view_free(v);
    return r;
}

int document_view(const struct document *d, enum lens lens, struct crdt_buf *out)
{
    assert(d->batch_count == 0);
    return lens_type(lens)->view(d->doc, out);
}
