#include "members.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Below this many members comparing all keys is cheaper than sorting them. */
#define FEW 16

/* A member while it is being sorted. */
struct ranked {
    const uint8_t *key;
    size_t key_len;
    size_t start;
    size_t end;
    size_t place; /* of the first member with this key */
    uint64_t index;
};

void crdt_members_done(struct crdt_members *members)
{
    free(members->list);
    *members = (struct crdt_members){0};
}

int crdt_members_push(struct crdt_members *members, struct crdt_member member)
{
    if (members->len == members->cap) {
        size_t cap = members->cap ? members->cap * 2 : 16;
        struct crdt_member *list = reallocarray(members->list, cap, sizeof(*list));
        if (!list)
            return -ENOMEM;
        members->list = list;
        members->cap = cap;
    }
    members->list[members->len++] = member;
    return 0;
}

uint64_t crdt_member_index(struct crdt_slice key)
{
    if (key.len == 0 || key.len > 10 || (key.data[0] == '0' && key.len > 1))
        return CRDT_NOT_AN_INDEX;
    uint64_t value = 0;
    for (size_t i = 0; i < key.len; i++) {
        if (key.data[i] < '0' || key.data[i] > '9')
            return CRDT_NOT_AN_INDEX;
        value = value * 10 + (uint64_t)(key.data[i] - '0');
    }
    return value < UINT32_MAX ? value : CRDT_NOT_AN_INDEX;
}

static uint64_t index_of(const uint8_t *key, size_t len)
{
    return crdt_member_index((struct crdt_slice){key, len});
}

static bool has_same_key(const struct crdt_member *a, const struct crdt_member *b,
                         const uint8_t *keys)
{
    return a->key_len == b->key_len && memcmp(keys + a->key, keys + b->key, a->key_len) == 0;
}

/* Is there nothing to do? Says no when there are too many members to find out. */
static bool is_in_order(const struct crdt_member *list, size_t count, const uint8_t *keys)
{
    if (count > FEW)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (index_of(keys + list[i].key, list[i].key_len) != CRDT_NOT_AN_INDEX && count > 1)
            return false;
        for (size_t j = 0; j < i; j++) {
            if (has_same_key(&list[i], &list[j], keys))
                return false;
        }
    }
    return true;
}

static int compare_keys(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    size_t len = x->key_len < y->key_len ? x->key_len : y->key_len;
    int order = len ? memcmp(x->key, y->key, len) : 0;
    if (order != 0)
        return order;
    if (x->key_len != y->key_len)
        return x->key_len < y->key_len ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int compare_ranks(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Leaves one member of each key, with the last one's value. Returns how many. */
static size_t unite(struct ranked *list, size_t count)
{
    size_t kept = 0;
    qsort(list, count, sizeof(*list), compare_keys);
    for (size_t i = 0; i < count; i++) {
        struct ranked *last = kept ? &list[kept - 1] : NULL;
        if (last && last->key_len == list[i].key_len &&
            memcmp(last->key, list[i].key, last->key_len) == 0) {
            last->start = list[i].start;
            last->end = list[i].end;
        } else {
            list[kept++] = list[i];
        }
    }
    return kept;
}

/* Writes the encodings anew in the order of `list`, over those at the end of `out`. */
static int rewrite(const struct ranked *list, size_t count, size_t from, char separator,
                   struct crdt_buf *out, size_t *ret_count)
{
    struct crdt_buf copy = {0};
    lib0_write_bytes(&copy, out->data + from, out->len - from);
    if (copy.error) {
        crdt_buf_done(&copy);
        return -ENOMEM;
    }
    out->len = from;
    for (size_t i = 0; i < count; i++) {
        if (list[i].start == list[i].end)
            continue;
        if (separator && (*ret_count)++ > 0)
            lib0_write_u8(out, (uint8_t)separator);
        else if (!separator)
            (*ret_count)++;
        lib0_write_bytes(out, copy.data + (list[i].start - from), list[i].end - list[i].start);
    }
    crdt_buf_done(&copy);
    return out->error;
}

int crdt_members_order(struct crdt_members *members, size_t first, const uint8_t *keys,
                       char separator, struct crdt_buf *out, size_t *ret_count)
{
    size_t count = members->len - first;
    *ret_count = 0;
    if (count == 0)
        return 0;
    const struct crdt_member *list = members->list + first;
    members->len = first;
    if (is_in_order(list, count, keys)) {
        for (size_t i = 0; i < count; i++)
            *ret_count += list[i].start != list[i].end;
        return 0;
    }

    struct ranked *ranks = reallocarray(NULL, count, sizeof(*ranks));
    if (!ranks)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *key = keys + list[i].key;
        ranks[i] = (struct ranked){
            .key = key,
            .key_len = list[i].key_len,
            .start = list[i].start,
            .end = list[i].end,
            .place = i,
            .index = index_of(key, list[i].key_len),
        };
    }
    size_t from = list[0].start;
    size_t kept = unite(ranks, count);
    qsort(ranks, kept, sizeof(*ranks), compare_ranks);
    int rc = rewrite(ranks, kept, from, separator, out, ret_count);
    free(ranks);
    return rc;
}
