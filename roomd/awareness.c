#include "roomd/awareness.h"

#include "common/hash_table.h"
#include "common/log.h"
#include "crdt/awareness_update.h"

#include <assert.h>
#include <errno.h>
#include <sys/queue.h>

/* Ids that were removed and not yet handed out as changes come on top of the bounds; this is where
 * that ends within one tick. */
#define ENTRIES_MAX (3 * (AWARENESS_ROOM_IDS + AWARENESS_REMEMBERED))

struct entry {
    uint64_t id;
    uint64_t clock_in;
    uint64_t clock_out;
    uint64_t owner;      /* a session; the last one if the state is gone */
    uint64_t renewed_ms; /* present: when it last came, */
    uint64_t told_ms;    /* and when it was last handed out */
    uint64_t removed_at; /* absent: the moment, see awareness.moment */
    uint8_t *state;      /* JSON, not looked into; NULL: absent */
    uint32_t state_len;
    bool is_changed;
    TAILQ_ENTRY(entry) by_age; /* in `present` or `absent` */
    TAILQ_ENTRY(entry) of_holder;
    TAILQ_ENTRY(entry) changed;
    UT_hash_handle hh;
};

TAILQ_HEAD(entry_list, entry);

struct holder {
    uint64_t session;
    uint64_t joined_at; /* see awareness.moment */
    bool has_spoken;
    bool has_own_id; /* `own_id` is the client's, see note_own_id() */
    uint64_t own_id;
    struct entry_list ids;
    uint32_t count;
    UT_hash_handle hh;
};

struct awareness {
    uint32_t session_ids;
    struct crdt_awareness_limits limits; /* the JSON is not looked into */
    uint64_t next_ms;                    /* when changes may go out again */
    uint64_t first_clock;
    uint64_t moment; /* counts joins and removals: which came first? */
    struct entry *entries;
    struct holder *holders;
    struct entry_list present; /* by renewal, oldest first */
    struct entry_list absent;  /* by removal, oldest first */
    struct entry_list changed;
    size_t present_bytes; /* of their states */
    uint32_t present_count;
    uint32_t absent_count;
    uint32_t changed_count;
};

struct awareness *awareness_new(const struct awareness_limits *limits, uint64_t first_clock)
{
    struct awareness *a = xcalloc(1, sizeof(*a));
    struct awareness_limits asked = limits ? *limits : (struct awareness_limits){0};

    a->session_ids = asked.session_ids ? asked.session_ids : AWARENESS_SESSION_IDS;
    a->limits.state_bytes = asked.state_bytes ? asked.state_bytes : AWARENESS_STATE_MAX;
    a->first_clock = first_clock < AWARENESS_CLOCK_MAX ? first_clock : 0;
    TAILQ_INIT(&a->present);
    TAILQ_INIT(&a->absent);
    TAILQ_INIT(&a->changed);
    return a;
}

void awareness_free(struct awareness *a)
{
    struct entry *e, *next_entry;
    struct holder *h, *next_holder;

    if (!a)
        return;
    HASH_ITER (hh, a->entries, e, next_entry) {
        HASH_DEL(a->entries, e);
        free(e->state);
        free(e);
    }
    HASH_ITER (hh, a->holders, h, next_holder) {
        HASH_DEL(a->holders, h);
        free(h);
    }
    free(a);
}

static struct entry *find_entry(const struct awareness *a, uint64_t id)
{
    struct entry *e;

    TABLE_FIND_U64(a->entries, id, e);
    return e;
}

static struct holder *find_holder(const struct awareness *a, uint64_t session)
{
    struct holder *h;

    TABLE_FIND_U64(a->holders, session, h);
    return h;
}

uint32_t awareness_count(const struct awareness *a)
{
    return a->present_count;
}

/* ---- changes ---- */

static void mark_changed(struct awareness *a, struct entry *e)
{
    e->clock_out = e->clock_out < AWARENESS_CLOCK_MAX ? e->clock_out + 1 : AWARENESS_CLOCK_MAX;
    if (e->clock_out < e->clock_in)
        e->clock_out = e->clock_in;
    if (e->is_changed)
        return;
    e->is_changed = true;
    TAILQ_INSERT_TAIL(&a->changed, e, changed);
    a->changed_count++;
}

static void remove_state(struct awareness *a, struct entry *e)
{
    struct holder *h = find_holder(a, e->owner);

    assert(e->state && h);
    free(e->state);
    a->present_bytes -= e->state_len;
    e->state = NULL;
    e->state_len = 0;
    e->removed_at = ++a->moment;
    TAILQ_REMOVE(&h->ids, e, of_holder);
    h->count--;
    TAILQ_REMOVE(&a->present, e, by_age);
    a->present_count--;
    TAILQ_INSERT_TAIL(&a->absent, e, by_age);
    a->absent_count++;
    mark_changed(a, e);
}

/* Makes `h` the owner of `e`, present from now on. */
static void take_over(struct awareness *a, struct entry *e, struct holder *h)
{
    if (e->state) {
        struct holder *before = find_holder(a, e->owner);
        assert(before);
        TAILQ_REMOVE(&before->ids, e, of_holder);
        before->count--;
        TAILQ_REMOVE(&a->present, e, by_age);
        a->present_count--;
    } else {
        TAILQ_REMOVE(&a->absent, e, by_age);
        a->absent_count--;
    }
    e->owner = h->session;
    TAILQ_INSERT_TAIL(&h->ids, e, of_holder);
    h->count++;
    TAILQ_INSERT_TAIL(&a->present, e, by_age);
    a->present_count++;
}

static void set_state(struct awareness *a, struct holder *h, const struct crdt_awareness_state *c,
                      uint64_t now_ms)
{
    struct entry *e = find_entry(a, c->client);

    if (!e) {
        e = xcalloc(1, sizeof(*e));
        e->id = c->client;
        e->clock_out = a->first_clock;
        TAILQ_INSERT_TAIL(&a->absent, e, by_age);
        a->absent_count++;
        TABLE_ADD_U64(a->entries, id, e);
    }
    take_over(a, e, h);
    free(e->state);
    e->state = xmalloc(c->json.len + 1); /* never NULL, not even for an empty state */
    memcpy(e->state, c->json.data, c->json.len);
    a->present_bytes += c->json.len - e->state_len;
    e->state_len = (uint32_t)c->json.len;
    e->renewed_ms = now_ms;
    e->clock_in = c->clock;
    mark_changed(a, e);
}

/* A state that its owner sends again. */
static void renew(struct awareness *a, struct entry *e, uint64_t clock, uint64_t now_ms)
{
    e->clock_in = clock;
    e->renewed_ms = now_ms;
    TAILQ_REMOVE(&a->present, e, by_age);
    TAILQ_INSERT_TAIL(&a->present, e, by_age);
    if (now_ms >= e->told_ms + AWARENESS_REPEAT_MS)
        mark_changed(a, e);
}

/* ---- updates ---- */

/* What goes out has the higher clock, but for a state that was sent again and is not told yet. */
static uint64_t latest_clock(const struct entry *e)
{
    return e->clock_out > e->clock_in ? e->clock_out : e->clock_in;
}

static bool is_repeated(const struct entry *e, const struct holder *h,
                        const struct crdt_awareness_state *c)
{
    return e && e->state && e->owner == h->session && e->state_len == c->json.len &&
           memcmp(e->state, c->json.data, e->state_len) == 0;
}

static bool is_own_id(const struct holder *h, uint64_t id)
{
    return h && h->has_own_id && h->own_id == id;
}

/* Another session of the same browser was quicker. */
static bool is_kept_by_another(const struct awareness *a, const struct entry *e,
                               const struct holder *h)
{
    return is_own_id(h, e->id) && e->state && e->owner != h->session &&
           !is_own_id(find_holder(a, e->owner), e->id);
}

static bool is_news(const struct awareness *a, const struct entry *e, const struct holder *h,
                    const struct crdt_awareness_state *c)
{
    if (!e)
        return !c->is_gone;
    if (is_kept_by_another(a, e, h))
        return true;
    if (e->state && e->owner == h->session)
        return c->clock > e->clock_in || (c->clock == e->clock_in && c->is_gone);
    /* A client that no longer hears of another reports it as gone; only its own session or the
     * room's own clock may say so. */
    if (c->is_gone)
        return false;
    if (c->clock > (e->owner == h->session ? e->clock_in : latest_clock(e)))
        return true;
    /* What was gone before this session joined was never sent to it: no echo, whatever its clock.
     */
    return !e->state && e->removed_at < h->joined_at;
}

static int read_update(const struct awareness *a, struct crdt_awareness_reader *r,
                       struct slice update)
{
    return crdt_awareness_reader_init(r, (struct crdt_slice){update.data, update.len}, &a->limits);
}

/* Decodes everything and checks it against the limits, before anything is changed. */
static int check_update(const struct awareness *a, const struct holder *h, struct slice update)
{
    size_t bytes = a->present_bytes;
    struct crdt_awareness_reader r;
    struct crdt_awareness_state c;
    uint32_t claimed = 0;
    int error = read_update(a, &r, update);

    if (error < 0)
        return error;
    while ((error = crdt_awareness_reader_next(&r, &c)) > 0) {
        struct entry *e = find_entry(a, c.client);
        if (c.clock > AWARENESS_CLOCK_MAX)
            return -EBADMSG;
        if (c.is_gone || !is_news(a, e, h, &c))
            continue;
        if (!e || !e->state || e->owner != h->session)
            claimed++;
        if (h->count + claimed > a->session_ids)
            return -EDQUOT;
        /* A state may always shrink, or stay as long as it is. */
        if (!e || c.json.len > e->state_len) {
            bytes += c.json.len - (e ? e->state_len : 0);
            if (bytes > AWARENESS_ROOM_BYTES)
                return -EDQUOT;
        }
    }
    if (error < 0)
        return error;
    if (a->present_count + claimed > AWARENESS_ROOM_IDS ||
        HASH_COUNT(a->entries) + claimed > ENTRIES_MAX)
        return -EDQUOT;
    return 0;
}

/*
 * Tabs of one browser tell each other of their presence, and each repeats to the room what it
 * heard, maybe before the tab itself is heard. What a client says first is of itself alone. It is
 * no repetition, and its id, if the room does not have it or the clock is below those that go out.
 */
static void note_own_id(const struct awareness *a, struct holder *h, struct slice update)
{
    struct crdt_awareness_reader r;
    struct crdt_awareness_state c, other;

    if (h->has_spoken || read_update(a, &r, update) < 0 || crdt_awareness_reader_next(&r, &c) <= 0)
        return;
    const struct entry *e = find_entry(a, c.client);
    h->has_spoken = true;
    h->own_id = c.client;
    h->has_own_id = !c.is_gone && crdt_awareness_reader_next(&r, &other) == 0 &&
                    (!e || !e->state || c.clock <= a->first_clock);
}

int awareness_apply(struct awareness *a, uint64_t session, struct slice update, uint64_t now_ms)
{
    struct holder *h = find_holder(a, session);
    struct crdt_awareness_reader r;
    struct crdt_awareness_state c;

    assert(h);
    note_own_id(a, h, update);
    int error = check_update(a, h, update);
    if (error == 0)
        error = read_update(a, &r, update);
    if (error < 0)
        return error;
    while (crdt_awareness_reader_next(&r, &c) > 0) {
        struct entry *e = find_entry(a, c.client);
        if (!is_news(a, e, h, &c))
            continue;
        if (c.is_gone) {
            e->clock_in = c.clock;
            remove_state(a, e);
        } else if (is_repeated(e, h, &c)) {
            renew(a, e, c.clock, now_ms);
        } else {
            set_state(a, h, &c, now_ms);
        }
    }
    return 0;
}

/* ---- sessions and time ---- */

void awareness_join(struct awareness *a, uint64_t session)
{
    struct holder *h = find_holder(a, session);

    if (!h) {
        h = xcalloc(1, sizeof(*h));
        h->session = session;
        TAILQ_INIT(&h->ids);
        TABLE_ADD_U64(a->holders, session, h);
    }
    h->joined_at = ++a->moment;
}

void awareness_leave(struct awareness *a, uint64_t session)
{
    struct holder *h = find_holder(a, session);
    struct entry *e;

    if (!h)
        return;
    while ((e = TAILQ_FIRST(&h->ids)))
        remove_state(a, e);
    HASH_DEL(a->holders, h);
    free(h);
}

uint64_t awareness_sweep(struct awareness *a, uint64_t now_ms)
{
    struct entry *e;

    while ((e = TAILQ_FIRST(&a->present)) && now_ms >= e->renewed_ms + AWARENESS_EXPIRY_MS)
        remove_state(a, e);
    return e ? e->renewed_ms + AWARENESS_EXPIRY_MS - now_ms : 0;
}

/* ---- output ---- */

static void write_entry(struct crdt_buf *out, const struct entry *e)
{
    crdt_awareness_write_state(out, &(struct crdt_awareness_state){.client = e->id,
                                                                   .clock = e->clock_out,
                                                                   .json = {e->state, e->state_len},
                                                                   .is_gone = !e->state});
    if (out->error)
        log_panic("out of memory");
}

uint32_t awareness_encode_others(const struct awareness *a, uint64_t session, struct crdt_buf *out)
{
    const struct holder *h = find_holder(a, session);
    uint32_t count = a->present_count - (h ? h->count : 0);
    const struct entry *e;

    if (count == 0)
        return 0;
    crdt_awareness_write_count(out, count);
    TAILQ_FOREACH (e, &a->present, by_age) {
        if (e->owner != session)
            write_entry(out, e);
    }
    return count;
}

/* Forgets the removed ids that nobody needs to hear of any more, oldest first. */
static void forget_oldest(struct awareness *a)
{
    struct entry *e;

    while (a->absent_count > AWARENESS_REMEMBERED) {
        e = TAILQ_FIRST(&a->absent);
        assert(!e->is_changed);
        TAILQ_REMOVE(&a->absent, e, by_age);
        a->absent_count--;
        HASH_DEL(a->entries, e);
        free(e);
    }
}

struct change {
    uint64_t except;
    const struct entry *entry;
};

static int compare_changes(const void *x, const void *y)
{
    const struct change *a = x;
    const struct change *b = y;

    return (a->except > b->except) - (a->except < b->except);
}

/* All changes by their owners, for the caller to free. */
static struct change *collect_changes(struct awareness *a, uint64_t now_ms)
{
    struct change *changes = xcalloc(a->changed_count, sizeof(*changes));
    uint32_t n = 0;
    struct entry *e;

    while ((e = TAILQ_FIRST(&a->changed))) {
        TAILQ_REMOVE(&a->changed, e, changed);
        e->is_changed = false;
        e->told_ms = now_ms;
        changes[n++] = (struct change){find_holder(a, e->owner) ? e->owner : 0, e};
    }
    assert(n == a->changed_count);
    a->changed_count = 0;
    qsort(changes, n, sizeof(*changes), compare_changes);
    return changes;
}

/* Much presence for many is seldom: what it costs to deliver is bounded. */
static uint64_t pause_after(const struct awareness *a, uint64_t bytes)
{
    uint64_t ms = bytes * HASH_COUNT(a->holders) / AWARENESS_RATE;

    return ms > AWARENESS_TICK_MS ? ms : AWARENESS_TICK_MS;
}

uint64_t awareness_take_changes(struct awareness *a, uint64_t now_ms, awareness_change_fn fn,
                                void *ctx)
{
    uint32_t n = a->changed_count;
    struct crdt_buf update = {0};
    uint64_t bytes = 0;

    if (n == 0)
        return 0;
    if (now_ms < a->next_ms)
        return a->next_ms - now_ms;
    struct change *changes = collect_changes(a, now_ms);
    for (uint32_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && changes[end].except == changes[first].except;)
            end++;
        update.len = 0;
        crdt_awareness_write_count(&update, end - first);
        for (uint32_t i = first; i < end; i++)
            write_entry(&update, changes[i].entry);
        fn(ctx, changes[first].except, slice_of(update.data, update.len));
        bytes += update.len;
    }
    a->next_ms = now_ms + pause_after(a, bytes);
    crdt_buf_done(&update);
    free(changes);
    forget_oldest(a);
    return 0;
}
