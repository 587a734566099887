#include "states.h"

#include <errno.h>
#include <stdlib.h>

void crdt_states_done(struct crdt_states *states)
{
    free(states->list);
    *states = (struct crdt_states){0};
}

int crdt_states_add(struct crdt_states *states, uint64_t client, uint64_t clock, uint64_t rank)
{
    if (states->len == states->cap) {
        size_t cap = states->cap ? states->cap * 2 : 16;
        struct crdt_state *list = reallocarray(states->list, cap, sizeof(*list));
        if (!list)
            return -ENOMEM;
        states->list = list;
        states->cap = cap;
    }
    states->list[states->len++] = (struct crdt_state){client, clock, rank};
    return 0;
}

static int compare_states(const void *a, const void *b)
{
    const struct crdt_state *x = a, *y = b;
    if (x->client != y->client)
        return x->client > y->client ? -1 : 1;
    return x->rank > y->rank ? -1 : x->rank < y->rank;
}

static bool is_sorted(const struct crdt_states *states)
{
    for (size_t i = 1; i < states->len; i++) {
        if (states->list[i - 1].client <= states->list[i].client)
            return false;
    }
    return true;
}

void crdt_states_sort(struct crdt_states *states)
{
    size_t kept = 0;
    if (is_sorted(states))
        return;
    qsort(states->list, states->len, sizeof(*states->list), compare_states);
    for (size_t i = 1; i < states->len; i++) {
        if (states->list[i].client != states->list[kept].client)
            states->list[++kept] = states->list[i];
    }
    states->len = kept + 1;
}

int crdt_states_read(struct crdt_states *states, struct lib0_reader *r,
                     const struct crdt_limits *limits)
{
    uint64_t count = lib0_read_uint(r);
    if (count > limits->clients)
        return -E2BIG;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t client = lib0_read_uint(r);
        uint64_t clock = lib0_read_uint(r);
        if (r->has_failed || clock > CRDT_MAX_CLOCK)
            return -EBADMSG;
        int rc = crdt_states_add(states, client, clock, i);
        if (rc < 0)
            return rc;
    }
    crdt_states_sort(states);
    return r->has_failed ? -EBADMSG : 0;
}

uint64_t crdt_states_find(const struct crdt_states *states, uint64_t client)
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

void crdt_states_write(const struct crdt_states *states, struct crdt_buf *out)
{
    lib0_write_uint(out, states->len);
    for (size_t i = 0; i < states->len; i++) {
        lib0_write_uint(out, states->list[i].client);
        lib0_write_uint(out, states->list[i].clock);
    }
}
