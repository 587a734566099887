/*
 * Merging updates without a document: all are read side by side, by client descending and clock
 * ascending, and what nobody wrote before is written. A heap finds the next reader, so the cost is
 * that of reading and writing, times the logarithm of their number.
 *
 * The result is that of Yjs 13.6 `mergeUpdatesV2`, which sorts its readers anew before each step;
 * its choice among readers that stand at the same clock follows from that sort, and is kept here.
 */
#include <errno.h>
#include <stdlib.h>

#include "delete_set.h"
#include "lazy.h"

/* One update, at its current struct. Skips are passed over. */
struct source {
    struct crdt_reader *reader;
    struct crdt_struct curr;
    bool has_curr;
    int64_t order;  /* in which equal sources stand before they are sorted */
    uint64_t since; /* the step from which on it stands where it does */

    /* All structs, sorted, if the update did not have them in order. */
    struct crdt_struct *sorted;
    size_t sorted_len;
    size_t sorted_next;
};

struct merge {
    struct source *sources;
    size_t count;
    struct source **heap;
    size_t heap_len;
    uint64_t step;
    int64_t next_order;
    size_t sorted_bytes_left;

    struct crdt_struct held; /* the struct to be written next, from its unit `held_offset` on */
    uint64_t held_offset;
    bool has_held;
    struct crdt_writer *writer;
};

static bool is_gc(const struct crdt_struct *s)
{
    return crdt_struct_ref(s) == CRDT_REF_GC;
}

static uint64_t end_of(const struct crdt_struct *s)
{
    return s->id.clock + s->len;
}

/* ---- sources ---- */

/* Does `b` come in an order in which it may follow `a`? */
static bool may_follow(const struct crdt_struct *a, const struct crdt_struct *b)
{
    if (a->id.client != b->id.client)
        return a->id.client > b->id.client;
    return a->id.clock <= b->id.clock;
}

/* The next struct that is not a Skip: 1, 0 or -errno. -ESTALE: it is out of order. */
static int source_read(struct source *src)
{
    struct crdt_id last = src->curr.id;
    int rc;
    do
        rc = crdt_lazy_struct(src->reader, &src->curr);
    while (rc > 0 && crdt_struct_ref(&src->curr) == CRDT_REF_SKIP);
    if (rc > 0 && src->has_curr) {
        struct crdt_struct before = {.id = last};
        if (!may_follow(&before, &src->curr))
            return -ESTALE;
    }
    return rc;
}

static int source_next(struct source *src)
{
    if (src->sorted) {
        src->has_curr = src->sorted_next < src->sorted_len;
        if (src->has_curr)
            src->curr = src->sorted[src->sorted_next++];
        return 0;
    }
    int rc = source_read(src);
    if (rc < 0)
        return rc;
    src->has_curr = rc > 0;
    return 0;
}

static int compare_structs(const void *a, const void *b)
{
    const struct crdt_struct *x = a, *y = b;
    if (x->id.client != y->id.client)
        return x->id.client > y->id.client ? -1 : 1;
    if (x->id.clock != y->id.clock)
        return x->id.clock < y->id.clock ? -1 : 1;
    return 0;
}

/* Reads a whole update and sorts it. */
static int source_sort(struct merge *m, struct source *src)
{
    size_t cap = 0;
    struct crdt_struct s;
    int rc;
    while ((rc = crdt_lazy_struct(src->reader, &s)) > 0) {
        if (crdt_struct_ref(&s) == CRDT_REF_SKIP)
            continue;
        if (m->sorted_bytes_left < sizeof(s))
            return -E2BIG;
        m->sorted_bytes_left -= sizeof(s);
        if (src->sorted_len == cap) {
            cap = cap ? cap * 2 : 64;
            struct crdt_struct *grown = reallocarray(src->sorted, cap, sizeof(s));
            if (!grown)
                return -ENOMEM;
            src->sorted = grown;
        }
        src->sorted[src->sorted_len++] = s;
    }
    if (rc == 0 && src->sorted)
        qsort(src->sorted, src->sorted_len, sizeof(s), compare_structs);
    return rc;
}

/* ---- the heap ---- */

/* The order of the heap, which holds between steps. */
static bool stands_before(const struct source *a, const struct source *b)
{
    if (a->curr.id.client != b->curr.id.client)
        return a->curr.id.client > b->curr.id.client;
    if (a->curr.id.clock != b->curr.id.clock)
        return a->curr.id.clock < b->curr.id.clock;
    return a->order < b->order;
}

static void heap_up(struct merge *m, size_t i)
{
    while (i > 0 && stands_before(m->heap[i], m->heap[(i - 1) / 2])) {
        struct source *parent = m->heap[(i - 1) / 2];
        m->heap[(i - 1) / 2] = m->heap[i];
        m->heap[i] = parent;
        i = (i - 1) / 2;
    }
}

static void heap_down(struct merge *m, size_t i)
{
    for (;;) {
        size_t first = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < m->heap_len; child++) {
            if (stands_before(m->heap[child], m->heap[first]))
                first = child;
        }
        if (first == i)
            return;
        struct source *src = m->heap[i];
        m->heap[i] = m->heap[first];
        m->heap[first] = src;
        i = first;
    }
}

/*
 * The place of the source to go on with. That is the first one, but for a tie of two of which one
 * has a GC and the other an item: Yjs's comparison then calls either smaller than the other, so
 * that every sort exchanges them.
 */
static size_t heap_pick(const struct merge *m)
{
    size_t second = 1;
    if (m->heap_len < 2)
        return 0;
    if (m->heap_len > 2 && stands_before(m->heap[2], m->heap[1]))
        second = 2;
    const struct source *a = m->heap[0], *b = m->heap[second];
    if (a->curr.id.client != b->curr.id.client || a->curr.id.clock != b->curr.id.clock ||
        is_gc(&a->curr) == is_gc(&b->curr))
        return 0;
    uint64_t sorts = m->step - (a->since > b->since ? a->since : b->since) + 1;
    return sorts % 2 ? second : 0;
}

/* Puts the source at `i`, which has moved on, to its place: in front of its equals. */
static void heap_settle(struct merge *m, size_t i)
{
    struct source *src = m->heap[i];
    if (!src->has_curr) {
        m->heap[i] = m->heap[--m->heap_len];
        if (i == m->heap_len)
            return;
    } else {
        src->order = --m->next_order;
        src->since = m->step + 1;
    }
    heap_up(m, i);
    heap_down(m, i);
}

/* ---- writing ---- */

static void flush_held(struct merge *m)
{
    if (m->has_held)
        crdt_writer_append(m->writer, &m->held, m->held_offset);
    m->has_held = false;
}

/* Holds `s` without its first `offset` units, writing what was held. */
static void hold(struct merge *m, const struct crdt_struct *s, uint64_t offset)
{
    flush_held(m);
    m->held = *s;
    m->held_offset = offset;
    m->has_held = true;
}

/* Fills what is missing between what is held and `s` with a Skip, and writes both. */
static void hold_after_gap(struct merge *m, const struct crdt_struct *s)
{
    uint64_t clock = end_of(&m->held);
    struct crdt_struct skip = {
        .id = {s->id.client, clock},
        .len = s->id.clock - clock,
        .info = CRDT_REF_SKIP,
    };
    hold(m, &skip, 0);
    hold(m, s, 0);
}

/* Takes up the source's struct, which ends beyond what is held. A GC that extends another stays
 * where it is, to be passed over in the next step: until then others may come first. */
static int take_up(struct merge *m, struct source *src)
{
    const struct crdt_struct *curr = &src->curr;
    uint64_t end = end_of(&m->held);
    if (!m->has_held || m->held.id.client != curr->id.client) {
        hold(m, curr, 0);
    } else if (end < curr->id.clock) {
        hold_after_gap(m, curr);
    } else if (is_gc(&m->held) && is_gc(curr)) {
        m->held.len = end_of(curr) - m->held.id.clock;
        return 0;
    } else {
        hold(m, curr, end - curr->id.clock);
    }
    return source_next(src);
}

/* Passes over what has been written. Returns 1 if the source is still the one to go on with. */
static int pass_known(struct merge *m, struct source *src)
{
    uint64_t client = src->curr.id.client;
    bool has_passed = false;
    if (!m->has_held)
        return 1;
    uint64_t end = end_of(&m->held);
    while (src->has_curr && src->curr.id.client == m->held.id.client && end_of(&src->curr) <= end) {
        int rc = source_next(src);
        if (rc < 0)
            return rc;
        has_passed = true;
    }
    if (!src->has_curr || src->curr.id.client != client)
        return 0;
    return !(has_passed && src->curr.id.clock > end);
}

/* One step: goes on with one source for as long as its structs follow each other. */
static int merge_step(struct merge *m)
{
    size_t at = heap_pick(m);
    struct source *src = m->heap[at];
    uint64_t client = src->curr.id.client;
    int rc = pass_known(m, src);
    if (rc > 0)
        rc = take_up(m, src);
    else if (rc == 0)
        goto settle;
    while (rc == 0 && src->has_curr && src->curr.id.client == client &&
           src->curr.id.clock == end_of(&m->held)) {
        hold(m, &src->curr, 0);
        rc = source_next(src);
    }
settle:
    if (rc == 0)
        heap_settle(m, at);
    m->step++;
    return rc;
}

/* ---- the whole ---- */

static void merge_done(struct merge *m)
{
    for (size_t i = 0; i < m->count; i++) {
        crdt_reader_free(m->sources[i].reader);
        free(m->sources[i].sorted);
    }
    free(m->sources);
    free(m->heap);
    crdt_writer_free(m->writer);
}

static int merge_init(struct merge *m, enum crdt_format format, const struct crdt_slice *updates,
                      size_t count, const struct crdt_limits *limits)
{
    struct crdt_limits bounds;
    crdt_limits_init(&bounds, limits);
    *m = (struct merge){.sorted_bytes_left = bounds.output_bytes};
    m->sources = calloc(count + 1, sizeof(*m->sources));
    m->heap = calloc(count + 1, sizeof(struct source *));
    m->writer = crdt_writer_new(format, limits);
    if (!m->sources || !m->heap || !m->writer)
        return -ENOMEM;
    for (; m->count < count; m->count++) {
        const struct crdt_slice *u = &updates[m->count];
        int rc = crdt_reader_new(format, u->data, u->len, limits, &m->sources[m->count].reader);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int merge_structs(struct merge *m, bool is_sorting)
{
    for (size_t i = 0; i < m->count; i++) {
        struct source *src = &m->sources[i];
        int rc = is_sorting ? source_sort(m, src) : 0;
        if (rc == 0)
            rc = source_next(src);
        if (rc < 0)
            return rc;
        if (!src->has_curr)
            continue;
        src->order = (int64_t)i;
        m->heap[m->heap_len++] = src;
        heap_up(m, m->heap_len - 1);
    }
    while (m->heap_len > 0) {
        int rc = merge_step(m);
        if (rc < 0)
            return rc;
    }
    flush_held(m);
    return 0;
}

static int merge_deletes(struct merge *m)
{
    struct crdt_delete_set set = {0};
    int rc = 0;
    for (size_t i = 0; i < m->count && rc == 0; i++)
        rc = crdt_delete_set_read(&set, m->sources[i].reader);
    if (rc == 0) {
        crdt_delete_set_normalise(&set);
        crdt_delete_set_write(&set, m->writer);
    }
    crdt_delete_set_done(&set);
    return rc;
}

static int merge_once(enum crdt_format format, const struct crdt_slice *updates, size_t count,
                      const struct crdt_limits *limits, bool is_sorting, struct crdt_buf *out)
{
    struct merge m;
    int rc = merge_init(&m, format, updates, count, limits);
    if (rc == 0)
        rc = merge_structs(&m, is_sorting);
    if (rc == 0)
        rc = merge_deletes(&m);
    if (rc == 0)
        rc = crdt_writer_finish(m.writer, out);
    merge_done(&m);
    return rc;
}

int crdt_update_merge(enum crdt_format format, const struct crdt_slice *updates, size_t count,
                      const struct crdt_limits *limits, struct crdt_buf *out)
{
    if (count == 1) {
        /* As Yjs does: one update is its own merge, to the byte. */
        int rc = crdt_update_validate(format, updates->data, updates->len, limits);
        if (rc == 0)
            lib0_write_bytes(out, updates->data, updates->len);
        return rc < 0 ? rc : out->error;
    }
    int rc = merge_once(format, updates, count, limits, false, out);
    /* Some update has its clients or clocks out of order, which no current writer leaves so. */
    if (rc == -ESTALE)
        rc = merge_once(format, updates, count, limits, true, out);
    return rc;
}
