#include <errno.h>
#include <stdlib.h>

#include "delete_set.h"
#include "lazy.h"

/* ---- state vectors ---- */

struct state {
    uint64_t client;
    uint64_t clock;
    size_t place;
};

/* Of one client only the last counts. */
struct states {
    struct state *list;
    size_t len;
    size_t cap;
};

static int states_add(struct states *states, uint64_t client, uint64_t clock)
{
    if (states->len == states->cap) {
        size_t cap = states->cap ? states->cap * 2 : 16;
        struct state *list = reallocarray(states->list, cap, sizeof(*list));
        if (!list)
            return -ENOMEM;
        states->list = list;
        states->cap = cap;
    }
    states->list[states->len] = (struct state){client, clock, states->len};
    states->len++;
    return 0;
}

static int compare_states(const void *a, const void *b)
{
    const struct state *x = a, *y = b;
    if (x->client != y->client)
        return x->client > y->client ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Descending by client. */
static void states_sort(struct states *states)
{
    for (size_t i = 1; i < states->len; i++) {
        if (states->list[i - 1].client <= states->list[i].client) {
            qsort(states->list, states->len, sizeof(*states->list), compare_states);
            break;
        }
    }
}

static uint64_t states_find(const struct states *states, uint64_t client)
{
    size_t low = 0, high = states->len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (states->list[middle].client >= client)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && states->list[low - 1].client == client ? states->list[low - 1].clock : 0;
}

static int states_read(struct states *states, struct crdt_slice sv,
                       const struct crdt_limits *limits)
{
    struct lib0_reader r;
    if (sv.len == 0)
        return 0;
    lib0_reader_init(&r, sv.data, sv.len);
    uint64_t count = lib0_read_uint(&r);
    if (count > limits->clients)
        return -E2BIG;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t client = lib0_read_uint(&r);
        uint64_t clock = lib0_read_uint(&r);
        if (r.has_failed || clock > CRDT_MAX_CLOCK)
            return -EBADMSG;
        int rc = states_add(states, client, clock);
        if (rc < 0)
            return rc;
    }
    states_sort(states);
    return r.has_failed ? -EBADMSG : 0;
}

/* ---- validate ---- */

int crdt_update_validate(enum crdt_format format, const uint8_t *update, size_t len,
                         const struct crdt_limits *limits)
{
    struct crdt_reader *r;
    struct crdt_struct s;
    struct crdt_id id;
    uint64_t range;
    int rc = crdt_reader_new(format, update, len, limits, &r);
    if (rc < 0)
        return rc;
    do
        rc = crdt_reader_struct(r, &s);
    while (rc > 0);
    while (rc == 0 && (rc = crdt_reader_delete(r, &id, &range)) > 0)
        rc = 0;
    crdt_reader_free(r);
    return rc;
}

/* ---- diff and convert ---- */

static int copy_deletes(struct crdt_reader *r, struct crdt_writer *w)
{
    struct crdt_delete_set set = {0};
    int rc = crdt_delete_set_read(&set, r);
    /* Ranges that merely touch stay as they are, as Yjs leaves them; what no writer may write is
     * put in order. */
    if (rc == 0 && !crdt_delete_set_is_ordered(&set))
        crdt_delete_set_normalise(&set);
    if (rc == 0)
        crdt_delete_set_write(&set, w);
    crdt_delete_set_done(&set);
    return rc;
}

/* Writes what of the structs lies beyond `states`. The first struct of a client is never a Skip;
 * after it everything counts. */
static int copy_structs(struct crdt_reader *r, const struct states *states, struct crdt_writer *w)
{
    struct crdt_struct s;
    uint64_t client = 0, known = 0;
    bool is_first = true, is_writing = false;
    int rc;
    while ((rc = crdt_lazy_struct(r, &s)) > 0) {
        if (is_first || s.id.client != client) {
            client = s.id.client;
            known = states_find(states, client);
            is_first = is_writing = false;
        }
        if (is_writing) {
            crdt_writer_append(w, &s, 0);
        } else if (crdt_struct_ref(&s) != CRDT_REF_SKIP && s.id.clock + s.len > known) {
            crdt_writer_append(w, &s, known > s.id.clock ? known - s.id.clock : 0);
            is_writing = true;
        }
    }
    return rc;
}

static int copy_all_structs(struct crdt_reader *r, struct crdt_writer *w)
{
    struct crdt_struct s;
    int rc;
    while ((rc = crdt_lazy_struct(r, &s)) > 0)
        crdt_writer_append(w, &s, 0);
    return rc;
}

/* Copies `update`; with `states`, only what lies beyond them. */
static int copy_update(enum crdt_format from, struct crdt_slice update, enum crdt_format to,
                       const struct states *states, const struct crdt_limits *limits,
                       struct crdt_buf *out)
{
    struct crdt_reader *r;
    int rc = crdt_reader_new(from, update.data, update.len, limits, &r);
    if (rc < 0)
        return rc;
    struct crdt_writer *w = crdt_writer_new(to, limits);
    rc = w ? 0 : -ENOMEM;
    if (rc == 0)
        rc = states ? copy_structs(r, states, w) : copy_all_structs(r, w);
    if (rc == 0)
        rc = copy_deletes(r, w);
    if (rc == 0)
        rc = crdt_writer_finish(w, out);
    crdt_writer_free(w);
    crdt_reader_free(r);
    return rc;
}

int crdt_update_diff(enum crdt_format format, struct crdt_slice update, struct crdt_slice sv,
                     const struct crdt_limits *limits, struct crdt_buf *out)
{
    struct states states = {0};
    struct crdt_limits bounds;
    crdt_limits_init(&bounds, limits);
    int rc = states_read(&states, sv, &bounds);
    if (rc == 0)
        rc = copy_update(format, update, format, &states, limits, out);
    free(states.list);
    return rc;
}

int crdt_update_convert(enum crdt_format from, struct crdt_slice update, enum crdt_format to,
                        const struct crdt_limits *limits, struct crdt_buf *out)
{
    return copy_update(from, update, to, NULL, limits, out);
}

/* ---- the state vector of an update ---- */

/* What is known of one client: from clock 0 up to its first gap. */
static int collect_states(struct crdt_reader *r, struct states *states)
{
    struct crdt_struct s;
    struct state last = {0};
    bool is_first = true, has_gap = false;
    int rc;
    while ((rc = crdt_reader_struct(r, &s)) > 0) {
        if (is_first || s.id.client != last.client) {
            if (last.clock > 0 && (rc = states_add(states, last.client, last.clock)) < 0)
                return rc;
            last = (struct state){.client = s.id.client};
            is_first = has_gap = false;
        }
        if (s.id.clock > last.clock || crdt_struct_ref(&s) == CRDT_REF_SKIP)
            has_gap = true;
        if (!has_gap && s.id.clock + s.len > last.clock)
            last.clock = s.id.clock + s.len;
    }
    if (rc == 0 && last.clock > 0)
        rc = states_add(states, last.client, last.clock);
    return rc;
}

int crdt_update_state_vector(enum crdt_format format, struct crdt_slice update,
                             const struct crdt_limits *limits, struct crdt_buf *out)
{
    struct states states = {0};
    struct crdt_reader *r;
    size_t before = out->len, count = 0;
    int rc = crdt_reader_new(format, update.data, update.len, limits, &r);
    if (rc < 0)
        return rc;
    rc = collect_states(r, &states);
    crdt_reader_free(r);
    if (rc == 0) {
        states_sort(&states);
        /* Of a client that stood in several places the most that one of them gave. */
        for (size_t i = 0; i < states.len; i++) {
            struct state *s = &states.list[i], *kept = count ? &states.list[count - 1] : NULL;
            if (!kept || kept->client != s->client)
                states.list[count++] = *s;
            else if (kept->clock < s->clock)
                kept->clock = s->clock;
        }
        lib0_write_uint(out, count);
        for (size_t i = 0; i < count; i++) {
            lib0_write_uint(out, states.list[i].client);
            lib0_write_uint(out, states.list[i].clock);
        }
        rc = out->error;
    }
    if (rc < 0)
        out->len = before;
    free(states.list);
    return rc;
}
