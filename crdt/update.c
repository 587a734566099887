#include <errno.h>

#include "delete_set.h"
#include "lazy.h"
#include "states.h"

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
static int copy_structs(struct crdt_reader *r, const struct crdt_states *states,
                        struct crdt_writer *w)
{
    struct crdt_struct s;
    uint64_t client = 0, known = 0;
    bool is_first = true, is_writing = false;
    int rc;
    while ((rc = crdt_lazy_struct(r, &s)) > 0) {
        if (is_first || s.id.client != client) {
            client = s.id.client;
            known = crdt_states_find(states, client);
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
                       const struct crdt_states *states, const struct crdt_limits *limits,
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
    struct crdt_states states = {0};
    struct crdt_limits bounds;
    crdt_limits_init(&bounds, limits);
    int rc = 0;
    if (sv.len > 0) {
        struct lib0_reader r;
        lib0_reader_init(&r, sv.data, sv.len);
        rc = crdt_states_read(&states, &r, &bounds);
    }
    if (rc == 0)
        rc = copy_update(format, update, format, &states, limits, out);
    crdt_states_done(&states);
    return rc;
}

int crdt_update_convert(enum crdt_format from, struct crdt_slice update, enum crdt_format to,
                        const struct crdt_limits *limits, struct crdt_buf *out)
{
    return copy_update(from, update, to, NULL, limits, out);
}

/* ---- the state vector of an update ---- */

/* What is known of each client: from clock 0 up to its first gap. Of a client that stands in
 * several places the most that one of them gives. */
static int collect_states(struct crdt_reader *r, struct crdt_states *states)
{
    struct crdt_struct s;
    struct crdt_state last = {0};
    bool is_first = true, has_gap = false;
    int rc;
    while ((rc = crdt_reader_struct(r, &s)) > 0) {
        if (is_first || s.id.client != last.client) {
            if (last.clock > 0 &&
                (rc = crdt_states_add(states, last.client, last.clock, last.clock)) < 0)
                return rc;
            last = (struct crdt_state){.client = s.id.client};
            is_first = has_gap = false;
        }
        if (s.id.clock > last.clock || crdt_struct_ref(&s) == CRDT_REF_SKIP)
            has_gap = true;
        if (!has_gap && s.id.clock + s.len > last.clock)
            last.clock = s.id.clock + s.len;
    }
    if (rc == 0 && last.clock > 0)
        rc = crdt_states_add(states, last.client, last.clock, last.clock);
    return rc;
}

int crdt_update_state_vector(enum crdt_format format, struct crdt_slice update,
                             const struct crdt_limits *limits, struct crdt_buf *out)
{
    struct crdt_states states = {0};
    struct crdt_reader *r;
    size_t before = out->len;
    int rc = crdt_reader_new(format, update.data, update.len, limits, &r);
    if (rc < 0)
        return rc;
    rc = collect_states(r, &states);
    crdt_reader_free(r);
    if (rc == 0) {
        crdt_states_sort(&states);
        crdt_states_write(&states, out);
        rc = out->error;
    }
    if (rc < 0)
        out->len = before;
    crdt_states_done(&states);
    return rc;
}
