#include "gateway/room_state.h"

#include "common/buffer.h"
#include "common/segment.h"
#include "crdt/crdt.h"
#include "crdt/lib0.h"

#include <errno.h>

#define TAIL_SHARE  8u           /* a tail longer than this part of the base is folded into it */
#define SMALL_BASE  (128u << 10) /* and any tail into a base as small as this */
#define PARTS_MAX   1024u        /* updates that are merged at once */
#define PARTS_BYTES (32u << 20)
#define TRIES       3 /* for a file that is replaced while it is read */

struct room_state {
    const char *rooms_dir;
    size_t *memory;
    size_t work; /* bytes */
    uint64_t file_id;
    uint64_t offset; /* in that file, behind what was taken in */
    uint64_t seq;
    uint64_t version;
    struct blob *base;   /* NULL: nothing is held */
    struct blob *vector; /* of the base */
    struct blob *tail;
    struct blob *whole_vector;
    size_t tenant_len;
    size_t room_len;
    uint8_t names[]; /* tenant and room */
};

static const struct crdt_limits limits = {.output_bytes = ROOM_STATE_MAX};
static const uint8_t nothing[] = {0, 0}; /* an update of no structs and no deletions */

static struct crdt_slice crdt_slice_of(struct slice s)
{
    return (struct crdt_slice){s.data, s.len};
}

/* ---- blobs out of what the engine writes ---- */

/* The engine appends to a buffer; with room for a blob's head in front the buffer becomes the blob,
 * and a large document is not copied. */
static void begin_blob(struct crdt_buf *buf)
{
    static const struct blob head;

    lib0_write_bytes(buf, &head, sizeof(head));
}

/* Takes the buffer's memory. */
static struct blob *finish_blob(struct room_state *s, struct crdt_buf *buf)
{
    struct blob *b = realloc(buf->data, buf->len);

    b = b ? b : (struct blob *)buf->data;
    *b = (struct blob){.refs = 1, .len = buf->len - sizeof(*b)};
    *buf = (struct crdt_buf){0};
    blob_count(b, s->memory);
    return b;
}

/* Ends a function that appends one result behind begin_blob(). */
static int finish_or_drop(struct room_state *s, int r, struct crdt_buf *buf, struct blob **ret)
{
    if (r == 0)
        *ret = finish_blob(s, buf);
    crdt_buf_done(buf);
    return r;
}

static int merge(struct room_state *s, const struct crdt_slice *updates, size_t count,
                 struct blob **ret)
{
    struct crdt_buf out = {0};

    begin_blob(&out);
    for (size_t i = 0; i < count; i++)
        s->work += updates[i].len;
    int r = out.error ? out.error : crdt_update_merge(CRDT_V1, updates, count, &limits, &out);
    return finish_or_drop(s, r, &out, ret);
}

static int find_vector(struct room_state *s, struct slice update, struct blob **ret)
{
    struct crdt_buf out = {0};

    begin_blob(&out);
    s->work += update.len;
    int r = out.error ? out.error
                      : crdt_update_state_vector(CRDT_V1, crdt_slice_of(update), &limits, &out);
    return finish_or_drop(s, r, &out, ret);
}

/* ---- records on their way into the tail ---- */

/* Updates one after the other, each up to its end. */
struct parts {
    struct buffer bytes;
    size_t count;
    size_t ends[PARTS_MAX];
};

/* Records are many and short: they are merged in groups, and the groups together. */
struct reading {
    struct parts records;
    struct parts groups;
};

static bool parts_are_full(const struct parts *p)
{
    return p->count == PARTS_MAX || p->bytes.len >= PARTS_BYTES;
}

static void parts_add(struct parts *p, struct slice update)
{
    buffer_append(&p->bytes, update.data, update.len);
    p->ends[p->count++] = p->bytes.len;
}

static void parts_clear(struct parts *p)
{
    p->count = 0;
    buffer_done(&p->bytes);
    p->bytes = (struct buffer){0};
}

/* All of them and `first`, which may be NULL, as one update. */
static int parts_merge(struct room_state *s, const struct parts *p, const struct blob *first,
                       const struct blob *second, struct blob **ret)
{
    struct crdt_slice updates[PARTS_MAX + 2];
    size_t count = 0;

    if (first)
        updates[count++] = crdt_slice_of(blob_slice(first));
    if (second)
        updates[count++] = crdt_slice_of(blob_slice(second));
    for (size_t i = 0, begin = 0; i < p->count; begin = p->ends[i++])
        updates[count++] = (struct crdt_slice){p->bytes.data + begin, p->ends[i] - begin};
    return merge(s, updates, count, ret);
}

/* Leaves `from` empty, and what it held as one part in `to`, which may be the same. */
static int parts_move(struct room_state *s, struct parts *from, struct parts *to)
{
    struct blob *merged = NULL;

    if (from->count == 0)
        return 0;
    int r = parts_merge(s, from, NULL, NULL, &merged);
    if (r < 0)
        return r;
    parts_clear(from);
    parts_add(to, blob_slice(merged));
    blob_unref(merged);
    return 0;
}

static int read_record(struct room_state *s, struct reading *reading,
                       const struct segment_record *record)
{
    int r = 0;

    if (record->kind != SEGMENT_UPDATE_V1 || record->payload.len == 0)
        return -EBADMSG;
    parts_add(&reading->records, record->payload);
    s->seq = record->seq;
    if (parts_are_full(&reading->records))
        r = parts_move(s, &reading->records, &reading->groups);
    if (r == 0 && parts_are_full(&reading->groups))
        r = parts_move(s, &reading->groups, &reading->groups);
    if (r == 0 && reading->groups.bytes.len > ROOM_STATE_MAX)
        r = -E2BIG;
    return r;
}

/* ---- base, tail and state vector ---- */

/* An update that has the state vector `sv` and nothing else in it: what is known of each client, as
 * if it was collected. */
static int encode_known(struct slice sv, struct crdt_buf *out)
{
    struct lib0_reader r;

    lib0_reader_init(&r, sv.data, sv.len);
    uint64_t clients = lib0_read_uint(&r);
    lib0_write_uint(out, clients);
    for (uint64_t i = 0; i < clients && !r.has_failed; i++) {
        uint64_t client = lib0_read_uint(&r);
        uint64_t clock = lib0_read_uint(&r);
        lib0_write_uint(out, 1); /* struct */
        lib0_write_uint(out, client);
        lib0_write_uint(out, 0); /* from this clock on */
        lib0_write_u8(out, 0);   /* GC */
        lib0_write_uint(out, clock);
    }
    lib0_write_uint(out, 0); /* deletions */
    return r.has_failed ? -EBADMSG : out->error;
}

/* The tail may go on where the base ends, which its own state vector would not tell. */
static int find_whole_vector(struct room_state *s)
{
    struct blob *joined = NULL;
    struct crdt_buf known = {0};
    int r = 0;

    blob_unref(TAKE_PTR(s->whole_vector));
    if (!s->tail) {
        s->whole_vector = blob_ref(s->vector);
        return 0;
    }
    r = encode_known(blob_slice(s->vector), &known);
    if (r == 0) {
        const struct crdt_slice updates[] = {{known.data, known.len},
                                             crdt_slice_of(blob_slice(s->tail))};
        r = merge(s, updates, 2, &joined);
    }
    if (r == 0)
        r = find_vector(s, blob_slice(joined), &s->whole_vector);
    blob_unref(joined);
    crdt_buf_done(&known);
    return r;
}

/* Takes `base`. */
static int set_base(struct room_state *s, struct blob *base)
{
    blob_unref(s->base);
    blob_unref(TAKE_PTR(s->vector));
    blob_unref(TAKE_PTR(s->tail));
    s->base = base;
    return find_vector(s, blob_slice(base), &s->vector);
}

static int fold_into_base(struct room_state *s, const struct parts *groups)
{
    struct blob *base;
    int r = parts_merge(s, groups, s->base, s->tail, &base);

    return r < 0 ? r : set_base(s, base);
}

static int fold_into_tail(struct room_state *s, const struct parts *groups)
{
    struct blob *tail;
    int r = parts_merge(s, groups, s->tail, NULL, &tail);

    if (r < 0)
        return r;
    blob_unref(s->tail);
    s->tail = tail;
    return 0;
}

static int fold(struct room_state *s, struct reading *reading)
{
    int r = parts_move(s, &reading->records, &reading->groups);
    size_t more = reading->groups.bytes.len + (s->tail ? s->tail->len : 0);

    if (r < 0 || reading->groups.count == 0)
        return r;
    s->version++;
    if (s->base->len <= SMALL_BASE || more > s->base->len / TAIL_SHARE)
        return fold_into_base(s, &reading->groups);
    return fold_into_tail(s, &reading->groups);
}

/* ---- the segment ---- */

static int read_checkpoint(struct room_state *s, struct segment_view *v)
{
    const struct segment_header *h = segment_view_header(v);

    if (h->checkpoint_len > ROOM_STATE_MAX)
        return -E2BIG;
    struct blob *base = blob_try_new(h->checkpoint_len);
    if (!base)
        return -ENOMEM;
    blob_count(base, s->memory);
    int r = segment_view_read_checkpoint(v, base->data);
    if (r < 0) {
        blob_unref(base);
        return r;
    }
    s->file_id = h->file_id;
    s->offset = 0;
    s->seq = h->base_seq;
    s->version++;
    return set_base(s, base);
}

static int read_log(struct room_state *s, struct segment_view *v)
{
    struct reading *reading = xcalloc(1, sizeof(*reading));
    struct segment_record record;
    int r;

    while ((r = segment_view_next(v, &s->offset, &record)) > 0) {
        r = read_record(s, reading, &record);
        if (r < 0)
            break;
    }
    if (r == 0)
        r = fold(s, reading);
    parts_clear(&reading->records);
    parts_clear(&reading->groups);
    free(reading);
    return r;
}

/* 0, -EAGAIN if the file was replaced meanwhile, or another -errno. */
static int read_segment(struct room_state *s)
{
    struct segment_view *v;
    struct slice tenant = slice_of(s->names, s->tenant_len);
    int r = segment_view_open_room(s->rooms_dir, tenant, room_state_room(s), &v);

    if (r < 0)
        return r;
    if (!s->base || segment_view_header(v)->file_id != s->file_id)
        r = read_checkpoint(s, v);
    if (r == 0)
        r = read_log(s, v);
    /* The room marks the old file before it appends to the new one only: what was published before
     * we began is in a file that has no mark now. */
    if (r == 0 && atomic_load(&segment_view_header(v)->flags) & SEGMENT_SUPERSEDED)
        r = -EAGAIN;
    segment_view_free(v);
    return r;
}

int room_state_refresh(struct room_state *s)
{
    uint64_t version = s->version;
    int r = -EAGAIN;

    for (int i = 0; i < TRIES && r == -EAGAIN; i++)
        r = read_segment(s);
    if (r == 0 && s->version != version)
        r = find_whole_vector(s);
    if (r < 0)
        room_state_forget(s);
    return r;
}

/* ---- what clients get ---- */

uint64_t room_state_version(const struct room_state *s)
{
    return s->version;
}

uint64_t room_state_seq(const struct room_state *s)
{
    return s->seq;
}

struct blob *room_state_base(const struct room_state *s)
{
    return s->base;
}

struct blob *room_state_tail(const struct room_state *s)
{
    return s->tail;
}

struct blob *room_state_vector(const struct room_state *s)
{
    return s->whole_vector;
}

static int cut(struct room_state *s, const struct blob *update, struct slice sv, struct blob **ret)
{
    struct crdt_buf out = {0};

    begin_blob(&out);
    s->work += update->len;
    int r = out.error ? out.error
                      : crdt_update_diff(CRDT_V1, crdt_slice_of(blob_slice(update)),
                                         crdt_slice_of(sv), &limits, &out);
    return finish_or_drop(s, r, &out, ret);
}

int room_state_diff(struct room_state *s, struct slice sv, struct blob **ret_update)
{
    struct blob *parts[2] = {0};
    int r = cut(s, s->base, sv, &parts[0]);

    if (r == 0 && !s->tail) {
        *ret_update = parts[0];
        return 0;
    }
    if (r == 0)
        r = cut(s, s->tail, sv, &parts[1]);
    if (r == 0) {
        const struct crdt_slice updates[] = {crdt_slice_of(blob_slice(parts[0])),
                                             crdt_slice_of(blob_slice(parts[1]))};
        r = merge(s, updates, 2, ret_update);
    }
    blob_unref(parts[0]);
    blob_unref(parts[1]);
    return r;
}

int room_state_whole(struct room_state *s, struct blob **ret_update)
{
    if (!s->tail) {
        *ret_update = blob_ref(s->base);
        return 0;
    }
    const struct crdt_slice updates[] = {crdt_slice_of(blob_slice(s->base)),
                                         crdt_slice_of(blob_slice(s->tail))};
    return merge(s, updates, 2, ret_update);
}

int room_state_whole_v2(struct room_state *s, struct crdt_buf *ret_update)
{
    struct blob *v1 = NULL;
    int r = room_state_whole(s, &v1);

    if (r == 0) {
        s->work += v1->len;
        r = crdt_update_convert(CRDT_V1, crdt_slice_of(blob_slice(v1)), CRDT_V2, &limits,
                                ret_update);
    }
    blob_unref(v1);
    return r;
}

size_t room_state_take_work(struct room_state *s)
{
    size_t work = s->work;

    s->work = 0;
    return work;
}

int room_state_check_vector(struct slice sv)
{
    struct crdt_buf out = {0};
    int r = crdt_update_diff(CRDT_V1, (struct crdt_slice){nothing, sizeof(nothing)},
                             crdt_slice_of(sv), &limits, &out);

    crdt_buf_done(&out);
    return r;
}

bool room_state_is_nothing(struct slice sv)
{
    return sv.len == 0 || (sv.len == 1 && sv.data[0] == 0);
}

/* ---- life ---- */

struct room_state *room_state_new(const char *rooms_dir, struct slice tenant, struct slice room,
                                  size_t *memory)
{
    struct room_state *s = xcalloc(1, sizeof(*s) + tenant.len + room.len);

    s->rooms_dir = rooms_dir;
    s->memory = memory;
    s->tenant_len = tenant.len;
    s->room_len = room.len;
    memcpy(s->names, tenant.data, tenant.len);
    memcpy(s->names + tenant.len, room.data, room.len);
    return s;
}

void room_state_forget(struct room_state *s)
{
    blob_unref(TAKE_PTR(s->base));
    blob_unref(TAKE_PTR(s->vector));
    blob_unref(TAKE_PTR(s->tail));
    blob_unref(TAKE_PTR(s->whole_vector));
}

struct slice room_state_room(const struct room_state *s)
{
    return slice_of(s->names + s->tenant_len, s->room_len);
}

bool room_state_is_held(const struct room_state *s)
{
    return s->base != NULL;
}

void room_state_free(struct room_state *s)
{
    if (!s)
        return;
    room_state_forget(s);
    free(s);
}
