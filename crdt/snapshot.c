/*
 * Snapshots as bytes, and versions of an update. A version is cut out of the update space: what was
 * inserted later is left out, the last struct of a client that reaches beyond is cut, and of the
 * deletions only those of the snapshot are kept. No document is needed for that, which is the
 * point: a document has collected what was deleted since, the updates it was made of have not.
 */
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "lazy.h"
#include "strings.h"

int crdt_snapshot_decode(enum crdt_format format, struct crdt_slice bytes,
                         const struct crdt_limits *limits, struct crdt_snapshot **ret_snapshot)
{
    struct crdt_limits bounds;
    struct lib0_reader r;
    struct crdt_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot)
        return -ENOMEM;
    crdt_limits_init(&bounds, limits);
    lib0_reader_init(&r, bytes.data, bytes.len);
    int rc = crdt_delete_set_decode(&snapshot->deletes, format, &r, &bounds);
    if (rc == 0)
        rc = crdt_states_read(&snapshot->states, &r, &bounds);
    if (rc < 0) {
        crdt_snapshot_free(snapshot);
        return rc;
    }
    if (!crdt_delete_set_is_ordered(&snapshot->deletes))
        crdt_delete_set_normalise(&snapshot->deletes);
    *ret_snapshot = snapshot;
    return 0;
}

int crdt_snapshot_encode(const struct crdt_snapshot *snapshot, enum crdt_format format,
                         struct crdt_buf *out)
{
    size_t before = out->len;
    crdt_delete_set_encode(&snapshot->deletes, format, out);
    crdt_states_write(&snapshot->states, out);
    if (out->error)
        out->len = before;
    return out->error;
}

void crdt_snapshot_free(struct crdt_snapshot *snapshot)
{
    if (!snapshot)
        return;
    crdt_states_done(&snapshot->states);
    crdt_delete_set_done(&snapshot->deletes);
    free(snapshot);
}

/* ---- versions ---- */

struct cut {
    const struct crdt_snapshot *snapshot;
    struct crdt_reader *reader;
    struct crdt_writer *writer;
    struct crdt_arena arena;
    struct crdt_states seen; /* how far each client of the snapshot has come; in its order */
    uint64_t client;         /* of the last struct taken */
};

/* Are all clocks from `from` to `to` deleted in the snapshot? */
static bool is_deleted(const struct crdt_snapshot *snapshot, uint64_t client, uint64_t from,
                       uint64_t to)
{
    const struct crdt_delete_range *list = snapshot->deletes.list;
    size_t low = 0, high = snapshot->deletes.len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list[middle].client > client ||
            (list[middle].client == client && list[middle].clock + list[middle].len <= from))
            low = middle + 1;
        else
            high = middle;
    }
    for (; from < to && low < snapshot->deletes.len; low++) {
        if (list[low].client != client || list[low].clock > from)
            break;
        from = list[low].clock + list[low].len;
    }
    return from >= to;
}

/* The first `len` units of a string; half of a surrogate pair at their end is U+FFFD. */
static int cut_string(struct cut *cut, struct crdt_slice *text, uint64_t len)
{
    static const uint8_t replacement[] = {0xef, 0xbf, 0xbd};
    bool is_inside;
    size_t end = lib0_utf16_offset(text->data, text->len, len, &is_inside);
    text->len = end;
    if (!is_inside)
        return 0;
    uint8_t *copy = crdt_arena_alloc(&cut->arena, end + sizeof(replacement));
    if (!copy)
        return -ENOMEM;
    memcpy(mempcpy(copy, text->data, end), replacement, sizeof(replacement));
    *text = (struct crdt_slice){copy, end + sizeof(replacement)};
    return 0;
}

/* The first `len` values of a content that is a list of them. */
static int cut_values(enum crdt_ref ref, struct crdt_slice *values, uint64_t len)
{
    struct lib0_reader r;
    lib0_reader_init(&r, values->data, values->len);
    for (; len > 0; len--) {
        if (ref == CRDT_REF_JSON) {
            (void)lib0_read_slice(&r);
        } else {
            int rc = crdt_any_skip(&r, CRDT_ANY_MAX_NESTING);
            if (rc < 0)
                return rc;
        }
    }
    values->len -= lib0_remaining(&r);
    return 0;
}

/* Leaves the first `len` units of a struct, which has more of them. */
static int cut_struct(struct cut *cut, struct crdt_struct *s, uint64_t len)
{
    enum crdt_ref ref = crdt_struct_ref(s);
    s->len = len;
    if (ref == CRDT_REF_STRING)
        return cut_string(cut, &s->content.bytes, len);
    if (ref == CRDT_REF_ANY || ref == CRDT_REF_JSON)
        return cut_values(ref, &s->content.bytes, len);
    return 0;
}

/* Where the client is in the list of those that the snapshot knows, or NULL. */
static struct crdt_state *find_seen(struct cut *cut, uint64_t client)
{
    size_t low = 0, high = cut->seen.len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cut->seen.list[middle].client > client)
            low = middle + 1;
        else
            high = middle;
    }
    return low < cut->seen.len && cut->seen.list[low].client == client ? &cut->seen.list[low]
                                                                       : NULL;
}

/* Writes what of a struct is in the version. */
static int take_struct(struct cut *cut, struct crdt_struct *s)
{
    struct crdt_state *seen = find_seen(cut, s->id.client);
    enum crdt_ref ref = crdt_struct_ref(s);
    uint64_t clock = crdt_states_find(&cut->snapshot->states, s->id.client);
    uint64_t end = s->id.clock + s->len;
    int rc = 0;
    if (!seen || s->id.clock >= clock || seen->clock >= clock || ref == CRDT_REF_SKIP)
        return 0;
    if (s->id.clock > seen->clock)
        return -ERANGE; /* a gap */
    if (end <= seen->clock && (s->len > 0 || s->id.clock < seen->clock))
        return 0; /* stands in the update twice */
    if (seen->clock > 0 && cut->client != s->id.client)
        return -EBADMSG; /* goes on in another place, where Yjs would not look for it */
    cut->client = s->id.client;
    uint64_t offset = seen->clock - s->id.clock;
    if (end > clock) {
        rc = cut_struct(cut, s, clock - s->id.clock);
        end = clock;
    }
    if ((ref == CRDT_REF_GC || ref == CRDT_REF_DELETED) &&
        !is_deleted(cut->snapshot, s->id.client, seen->clock, end))
        return -ESTALE;
    if (rc == 0)
        crdt_writer_append(cut->writer, s, offset);
    seen->clock = end;
    return rc;
}

static int take_structs(struct cut *cut)
{
    const struct crdt_states *states = &cut->snapshot->states;
    struct crdt_struct s;
    int rc = 0;
    for (size_t i = 0; i < states->len && rc == 0; i++)
        rc = crdt_states_add(&cut->seen, states->list[i].client, 0, 0);
    while (rc == 0 && (rc = crdt_lazy_struct(cut->reader, &s)) > 0)
        rc = take_struct(cut, &s);
    for (size_t i = 0; i < states->len && rc == 0; i++) {
        if (cut->seen.list[i].clock < states->list[i].clock)
            rc = -ERANGE;
    }
    return rc;
}

int crdt_update_at_snapshot(enum crdt_format format, struct crdt_slice update,
                            const struct crdt_snapshot *snapshot, const struct crdt_limits *limits,
                            struct crdt_buf *out)
{
    struct cut cut = {.snapshot = snapshot};
    int rc = crdt_reader_new(format, update.data, update.len, limits, &cut.reader);
    if (rc < 0)
        return rc;
    cut.writer = crdt_writer_new(format, limits);
    rc = cut.writer ? take_structs(&cut) : -ENOMEM;
    if (rc == 0) {
        crdt_delete_set_write(&snapshot->deletes, cut.writer);
        rc = crdt_writer_finish(cut.writer, out);
    }
    crdt_writer_free(cut.writer);
    crdt_reader_free(cut.reader);
    crdt_states_done(&cut.seen);
    crdt_arena_done(&cut.arena);
    return rc;
}
