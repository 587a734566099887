#include "delete_set.h"

#include <errno.h>
#include <stdlib.h>

void crdt_delete_set_done(struct crdt_delete_set *set)
{
    free(set->list);
    *set = (struct crdt_delete_set){0};
}

int crdt_delete_set_add(struct crdt_delete_set *set, uint64_t client, uint64_t clock, uint64_t len)
{
    if (set->len == set->cap) {
        size_t cap = set->cap ? set->cap * 2 : 16;
        struct crdt_delete_range *list = reallocarray(set->list, cap, sizeof(*list));
        if (!list)
            return -ENOMEM;
        set->list = list;
        set->cap = cap;
    }
    set->list[set->len++] = (struct crdt_delete_range){client, clock, len};
    return 0;
}

int crdt_delete_set_read(struct crdt_delete_set *set, struct crdt_reader *r)
{
    struct crdt_id id;
    uint64_t len;
    int rc;
    while ((rc = crdt_reader_delete(r, &id, &len)) > 0) {
        rc = crdt_delete_set_add(set, id.client, id.clock, len);
        if (rc < 0)
            return rc;
    }
    return rc;
}

bool crdt_delete_set_is_ordered(const struct crdt_delete_set *set)
{
    for (size_t i = 0; i < set->len; i++) {
        const struct crdt_delete_range *range = &set->list[i];
        if (range->len == 0)
            return false;
        if (i == 0 || range[-1].client > range->client)
            continue;
        if (range[-1].client < range->client || range[-1].clock + range[-1].len > range->clock)
            return false;
    }
    return true;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct crdt_delete_range *x = a, *y = b;
    if (x->client != y->client)
        return x->client > y->client ? -1 : 1;
    return x->clock < y->clock ? -1 : x->clock > y->clock;
}

void crdt_delete_set_normalise(struct crdt_delete_set *set)
{
    size_t kept = 0;
    if (!crdt_delete_set_is_ordered(set))
        qsort(set->list, set->len, sizeof(*set->list), compare_ranges);
    for (size_t i = 0; i < set->len; i++) {
        struct crdt_delete_range range = set->list[i];
        struct crdt_delete_range *last = kept ? &set->list[kept - 1] : NULL;
        if (range.len == 0)
            continue;
        if (!last || last->client != range.client || last->clock + last->len < range.clock) {
            set->list[kept++] = range;
            continue;
        }
        uint64_t len = range.clock + range.len - last->clock;
        if (len > last->len)
            last->len = len;
    }
    set->len = kept;
}

/* How many ranges from `from` on are of one client. */
static size_t run_of_client(const struct crdt_delete_set *set, size_t from)
{
    size_t i = from;
    while (i < set->len && set->list[i].client == set->list[from].client)
        i++;
    return i - from;
}

static uint64_t count_clients(const struct crdt_delete_set *set)
{
    uint64_t clients = 0;
    for (size_t i = 0; i < set->len; i += run_of_client(set, i))
        clients++;
    return clients;
}

void crdt_delete_set_write(const struct crdt_delete_set *set, struct crdt_writer *w)
{
    crdt_writer_deletes(w, count_clients(set));
    for (size_t i = 0; i < set->len;) {
        size_t end = i + run_of_client(set, i);
        crdt_writer_delete_client(w, set->list[i].client, end - i);
        for (; i < end; i++)
            crdt_writer_delete(w, set->list[i].clock, set->list[i].len);
    }
}

/* ---- without an update ---- */

int crdt_delete_set_decode(struct crdt_delete_set *set, enum crdt_format format,
                           struct lib0_reader *r, const struct crdt_limits *limits)
{
    uint64_t clients = lib0_read_uint(r);
    if (clients > limits->clients)
        return -E2BIG;
    for (; clients > 0 && !r->has_failed; clients--) {
        struct crdt_delete_range range = {.client = lib0_read_uint(r)};
        uint64_t ranges = lib0_read_uint(r), clock = 0;
        for (; ranges > 0; ranges--) {
            if (!crdt_delete_range_decode(r, format, &clock, &range))
                return -EBADMSG;
            int rc = crdt_delete_set_add(set, range.client, range.clock, range.len);
            if (rc < 0)
                return rc;
        }
    }
    return r->has_failed ? -EBADMSG : 0;
}

void crdt_delete_set_encode(const struct crdt_delete_set *set, enum crdt_format format,
                            struct crdt_buf *out)
{
    lib0_write_uint(out, count_clients(set));
    for (size_t i = 0; i < set->len;) {
        size_t end = i + run_of_client(set, i);
        uint64_t clock = 0;
        lib0_write_uint(out, set->list[i].client);
        lib0_write_uint(out, end - i);
        for (; i < end; i++) {
            const struct crdt_delete_range *range = &set->list[i];
            lib0_write_uint(out, range->clock - clock);
            lib0_write_uint(out, range->len - (format == CRDT_V2));
            if (format == CRDT_V2)
                clock = range->clock + range->len;
        }
    }
}
