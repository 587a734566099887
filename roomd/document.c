#include "roomd/document.h"

#include "common/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#define MEMORY_MAX  ((size_t)512 << 20) /* of the CRDT; edits are refused above it */
#define STRUCTS_MAX (8u << 20)          /* what fits into that, and what one update may hold */
#define OUTPUT_MAX  ((size_t)512 << 20)
#define UNMEASURED_MAX                                                                             \
    (256u << 10)                 /* bytes of edits after which the statistics are taken again      \
                                  */
#define CATCH_UP_MAX (16u << 20) /* log bytes; above, the whole document is sent */

struct document {
    struct crdt_doc *doc;
    struct segment *segment; /* NULL until there is one */
    int fd;                  /* of the segment; segment.h owns another */
    struct slice tenant;
    struct slice room;
    struct crdt_stats stats;
    size_t unmeasured_bytes; /* of edits since they were taken */
    uint64_t last_seq;
    uint64_t believe_from;  /* what the store says below this is about another lineage */
    bool has_foreign_parts; /* the store gave what the segment lacks */

    struct edit *batch;
    size_t batch_count;
    size_t batch_cap;
    size_t batch_bytes; /* in the segment */
};

static const struct crdt_limits limits = {.structs = STRUCTS_MAX, .output_bytes = OUTPUT_MAX};
static const struct crdt_limits edit_limits = {.structs = STRUCTS_MAX,
                                               .output_bytes = DOCUMENT_EDIT_MAX};

static struct blob *copy_update(struct slice update)
{
    struct blob *b = blob_try_new(update.len);

    if (b)
        memcpy(b->data, update.data, update.len);
    return b;
}

/* ---- life ---- */

static int replay(struct document *d, struct segment_view *v)
{
    struct segment_record record;
    struct slice checkpoint;
    uint64_t offset = 0;
    int r = segment_view_checkpoint(v, &checkpoint);

    if (r == 0)
        r = crdt_doc_apply(d->doc, CRDT_V1, checkpoint.data, checkpoint.len, NULL);
    while (r >= 0 && (r = segment_view_next(v, &offset, &record)) > 0) {
        if (record.kind != SEGMENT_UPDATE_V1)
            return -EBADMSG;
        r = crdt_doc_apply(d->doc, CRDT_V1, record.payload.data, record.payload.len, NULL);
    }
    return r;
}

static int open_view(const struct document *d, struct segment_view **ret_view)
{
    int fd CLEANUP_FD = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    int r = segment_view_open(fd, ret_view);
    if (r == 0)
        (void)TAKE_FD(fd);
    return r;
}

static int recover(struct document *d)
{
    struct segment_view *v;
    int fd CLEANUP_FD = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    struct segment_recovery found = {0};
    int r = segment_recover(fd, &d->segment, &found);
    if (r == -EBADMSG)
        log_error("the segment is damaged at byte %" PRIu64, found.end);
    else if (r == 0 && found.has_torn_tail)
        log_warn("cut a torn record at byte %" PRIu64 " of the segment", found.end);
    if (r < 0)
        return r == -ENODATA ? 0 : r;
    (void)TAKE_FD(fd);
    d->last_seq = atomic_load(&segment_header(d->segment)->last_seq);
    r = open_view(d, &v);
    if (r < 0)
        return r;
    r = replay(d, v);
    segment_view_free(v);
    document_take_stats(d);
    return r;
}

int document_open(int fd, struct slice tenant, struct slice room, struct document **ret_document)
{
    struct document *d = xcalloc(1, sizeof(*d));

    d->fd = fd;
    d->tenant = tenant;
    d->room = room;
    d->doc = crdt_doc_new(&limits);
    int r = d->doc ? recover(d) : -ENOMEM;
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
    segment_free(d->segment);
    crdt_doc_free(d->doc);
    if (d->fd >= 0)
        (void)close(d->fd);
    free(d);
}

bool document_has_segment(const struct document *d)
{
    return d->segment != NULL;
}

uint64_t document_last_seq(const struct document *d)
{
    return d->last_seq;
}

uint64_t document_stored_seq(const struct document *d)
{
    return d->segment ? atomic_load(&segment_header(d->segment)->stored_seq) : 0;
}

struct segment_header *document_header(struct document *d)
{
    return d->segment ? segment_header(d->segment) : NULL;
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
    int r = segment_reserve(d->segment, d->batch_bytes + segment_record_bytes(update_len));

    /* Whatever the file system says (quota, size limit, I/O), nothing more goes in. */
    return r < 0 ? -ENOSPC : 0;
}

/* Takes `update`. */
static void add_to_batch(struct document *d, uint64_t seq, uint64_t session, struct blob *update)
{
    if (d->batch_count == d->batch_cap) {
        d->batch_cap = d->batch_cap ? 2 * d->batch_cap : 64;
        d->batch = xrealloc(d->batch, d->batch_cap * sizeof(*d->batch));
    }
    d->batch[d->batch_count++] = (struct edit){.seq = seq, .session = session, .update = update};
    d->batch_bytes += segment_record_bytes(update->len);
    d->unmeasured_bytes += update->len;
    d->last_seq = seq;
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
    int r = segment_append(d->segment, records, d->batch_count);
    free(records);
    if (d->unmeasured_bytes > UNMEASURED_MAX)
        document_take_stats(d);
    return r;
}

void document_clear_batch(struct document *d)
{
    for (size_t i = 0; i < d->batch_count; i++)
        blob_unref(d->batch[i].update);
    d->batch_count = 0;
    d->batch_bytes = 0;
}

/* ---- loading ---- */

int document_merge_part(struct document *d, struct slice update)
{
    struct crdt_applied applied;
    int r = crdt_doc_apply(d->doc, CRDT_V1, update.data, update.len, &applied);

    if (r == 0 && d->segment && applied.has_changed)
        d->has_foreign_parts = true;
    return r;
}

static int create_segment(struct document *d, uint64_t stored_seq)
{
    struct crdt_buf state = {0};
    int fd CLEANUP_FD = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
    int r = fd < 0 ? -errno : crdt_doc_encode(d->doc, CRDT_V1, NULL, 0, &state);

    if (r == 0)
        r = segment_create(fd, d->tenant, d->room, stored_seq, slice_of(state.data, state.len),
                           &d->segment);
    crdt_buf_done(&state);
    if (r < 0)
        return r;
    (void)TAKE_FD(fd);
    d->last_seq = stored_seq;
    atomic_store(&segment_header(d->segment)->stored_seq, stored_seq);
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
        add_to_batch(d, seq, 0, update);
    crdt_buf_done(&state);
    return r;
}

int document_loaded(struct document *d, uint64_t opened_seq, uint64_t stored_seq)
{
    uint64_t above = (stored_seq > d->last_seq ? stored_seq : d->last_seq) + 1;
    int r = 0;

    if (!d->segment) {
        r = create_segment(d, stored_seq);
    } else if (stored_seq > opened_seq) {
        r = restate(d, above);
        if (r == 0)
            d->believe_from = above;
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
    struct segment_header *h = segment_header(d->segment);

    if (seq < d->believe_from || seq <= atomic_load(&h->stored_seq))
        return false;
    atomic_store(&h->stored_seq, seq < d->last_seq ? seq : d->last_seq);
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
                                &edit_limits, &v1);
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

int document_edit(struct document *d, uint64_t session, enum crdt_format format,
                  struct slice update, uint64_t *ret_seq)
{
    struct crdt_applied applied = {0};
    struct blob *edit = NULL;

    if (d->stats.memory_bytes > MEMORY_MAX)
        return -E2BIG;
    int r = normalise(format, update, &edit);
    if (r < 0)
        return r;
    r = reserve(d, edit->len);
    if (r == 0)
        r = crdt_doc_apply(d->doc, CRDT_V1, edit->data, edit->len, &applied);
    if (r == 0 && applied.has_changed)
        add_to_batch(d, d->last_seq + 1, session, edit);
    else
        blob_unref(edit);
    if (r == 0)
        *ret_seq = d->last_seq;
    return r;
}

/* ---- reading ---- */

int document_sync(const struct document *d, enum crdt_format format, struct slice sv,
                  struct crdt_buf *update, struct crdt_buf *state_vector)
{
    int r = crdt_doc_encode(d->doc, format, sv.data, sv.len, update);

    return r < 0 ? r : crdt_doc_state_vector(d->doc, state_vector);
}

/* The offset of the first record after `seq`; 0 if the log does not reach back so far or much
 * follows. */
static int find_record(const struct segment_header *h, struct segment_view *v, uint64_t seq,
                       uint64_t *ret_offset)
{
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

int document_since(const struct document *d, uint64_t seq, document_edit_fn fn, void *ctx)
{
    struct segment_record record;
    struct segment_view *v;
    uint64_t offset;

    assert(d->batch_count == 0);
    if (seq >= d->last_seq)
        return 0;
    int r = open_view(d, &v);
    if (r < 0)
        return r;
    r = find_record(segment_header(d->segment), v, seq, &offset);
    if (r == 0 && offset == 0)
        r = send_whole(d, fn, ctx);
    while (r == 0 && offset != 0 && (r = segment_view_next(v, &offset, &record)) > 0) {
        fn(ctx, record.seq, record.session, record.payload);
        r = 0;
    }
    segment_view_free(v);
    return r;
}
