#include "doc_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* From so many bytes on an array grows by a quarter. */
#define LARGE_ARRAY_BYTES (256u << 10)

int array_grow(void *array, uint32_t *cap, uint64_t count, size_t size)
{
    void *old, *grown;
    uint64_t wanted;

    if (count >= NIL)
        return -E2BIG;
    wanted = *cap + (uint64_t)*cap / (*cap >= LARGE_ARRAY_BYTES / size ? 4 : 2);
    if (wanted < count)
        wanted = count;
    if (wanted < 8)
        wanted = 8;
    if (wanted >= NIL)
        wanted = NIL - 1;
    /* The callers pass the address of a typed pointer, which must not be read as a void *. */
    memcpy(&old, array, sizeof(old));
    grown = reallocarray(old, (size_t)wanted, size);
    if (!grown)
        return -ENOMEM;
    memcpy(array, &grown, sizeof(grown));
    *cap = (uint32_t)wanted;
    return 0;
}

void array_free(void *array, uint32_t *cap)
{
    void *old, *none = NULL;

    memcpy(&old, array, sizeof(old));
    free(old);
    memcpy(array, &none, sizeof(none));
    *cap = 0;
}

void array_trim(void *array, uint32_t *cap, uint32_t count, size_t size)
{
    uint64_t wanted = count + (uint64_t)count / 64 + 8;
    void *old, *trimmed;

    if (*cap <= wanted + wanted / 32)
        return;
    memcpy(&old, array, sizeof(old));
    trimmed = reallocarray(old, (size_t)wanted, size);
    if (!trimmed)
        return;
    memcpy(array, &trimmed, sizeof(trimmed));
    *cap = (uint32_t)wanted;
}

/* ---- hash tables ---- */

int table_reserve(struct table *table, uint64_t count)
{
    uint64_t total = table->count + count;
    struct table grown = {.cap = table->cap ? table->cap : 8, .count = 0};

    if (total * 2 <= table->cap)
        return 0;
    if (total >= NIL / 4)
        return -E2BIG;
    while (grown.cap < total * 2)
        grown.cap *= 2;
    grown.slots = reallocarray(NULL, grown.cap, sizeof(*grown.slots));
    if (!grown.slots)
        return -ENOMEM;
    memset(grown.slots, 0xff, grown.cap * sizeof(*grown.slots));
    for (uint32_t i = 0; i < table->cap; i++)
        if (table->slots[i].index != NIL)
            table_insert(&grown, table->slots[i].hash, table->slots[i].index);
    free(table->slots);
    *table = grown;
    return 0;
}

void table_insert(struct table *table, uint32_t hash, uint32_t index)
{
    uint32_t mask = table->cap - 1;
    uint32_t pos = hash & mask;

    assert(table->count < table->cap / 2);
    while (table->slots[pos].index != NIL)
        pos = (pos + 1) & mask;
    table->slots[pos] = (struct table_slot){hash, index};
    table->count++;
}

void table_remove(struct table *table, uint32_t hash, uint32_t index)
{
    uint32_t mask = table->cap - 1;
    uint32_t hole = hash & mask;

    while (table->slots[hole].index != index)
        hole = (hole + 1) & mask;
    /* Close the hole with what had to probe past it. */
    for (uint32_t pos = (hole + 1) & mask; table->slots[pos].index != NIL; pos = (pos + 1) & mask) {
        uint32_t home = table->slots[pos].hash & mask;

        if (((pos - home) & mask) < ((pos - hole) & mask))
            continue;
        table->slots[hole] = table->slots[pos];
        hole = pos;
    }
    table->slots[hole] = (struct table_slot){NIL, NIL};
    table->count--;
}

/* ---- lists of ranges ---- */

static int compare_ranges(const void *a, const void *b)
{
    const struct range *left = a, *right = b;

    if (left->client != right->client)
        return left->client < right->client ? 1 : -1;
    if (left->clock != right->clock)
        return left->clock < right->clock ? -1 : 1;
    return 0;
}

int range_list_reserve(struct range_list *list, size_t more)
{
    size_t cap = list->cap + list->cap / 2;
    struct range *grown;

    if (more <= list->cap - list->count)
        return 0;
    if (cap < list->count + more)
        cap = list->count + more;
    if (cap < 8)
        cap = 8;
    grown = reallocarray(list->ranges, cap, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    list->ranges = grown;
    list->cap = cap;
    return 0;
}

int range_list_add(struct range_list *list, uint64_t client, uint32_t clock, uint32_t len)
{
    int r = range_list_reserve(list, 1);

    if (r == 0)
        list->ranges[list->count++] = (struct range){client, clock, len};
    return r;
}

/* Joins neighbours of a sorted list. */
static void join_neighbours(struct range_list *list)
{
    size_t kept = 0;

    for (size_t i = 1; i < list->count; i++) {
        struct range *last = &list->ranges[kept];
        const struct range *range = &list->ranges[i];
        uint64_t last_end = (uint64_t)last->clock + last->len;
        uint64_t end = (uint64_t)range->clock + range->len;

        if (range->client != last->client || range->clock > last_end)
            list->ranges[++kept] = *range;
        else if (end > last_end)
            last->len = (uint32_t)(end - last->clock);
    }
    if (list->count)
        list->count = kept + 1;
}

void range_list_normalise(struct range_list *list)
{
    if (list->count > 1)
        qsort(list->ranges, list->count, sizeof(*list->ranges), compare_ranges);
    join_neighbours(list);
}

void range_list_join(struct range_list *list, const struct range_list *other)
{
    size_t i = list->count, j = other->count, out = i + j;

    if (j == 0)
        return;
    assert(j <= list->cap - list->count);
    while (j > 0) {
        if (i > 0 && compare_ranges(&list->ranges[i - 1], &other->ranges[j - 1]) > 0)
            list->ranges[--out] = list->ranges[--i];
        else
            list->ranges[--out] = other->ranges[--j];
    }
    list->count += other->count;
    join_neighbours(list);
}

/* How many ranges of the list begin at or before the clock. */
static size_t count_up_to(const struct range_list *list, uint64_t client, uint32_t clock)
{
    struct range key = {client, clock, 0};
    size_t low = 0, high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_ranges(&list->ranges[middle], &key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool range_list_covers(const struct range_list *list, uint64_t client, uint32_t clock, uint32_t len)
{
    size_t count = count_up_to(list, client, clock);
    const struct range *range;

    if (count == 0)
        return false;
    range = &list->ranges[count - 1];
    return range->client == client && (uint64_t)clock + len <= (uint64_t)range->clock + range->len;
}

const struct range *range_list_first(const struct range_list *list, uint64_t client)
{
    size_t count = count_up_to(list, client, 0);

    if (count > 0 && list->ranges[count - 1].client == client)
        return &list->ranges[count - 1];
    if (count < list->count && list->ranges[count].client == client)
        return &list->ranges[count];
    return NULL;
}

void range_list_done(struct range_list *list)
{
    free(list->ranges);
    *list = (struct range_list){0};
}

void range_list_write(const struct range_list *list, struct crdt_writer *writer)
{
    uint64_t clients = 0;

    for (size_t i = 0; i < list->count; i++)
        clients += i == 0 || list->ranges[i].client != list->ranges[i - 1].client;
    crdt_writer_deletes(writer, clients);
    for (size_t i = 0, end; i < list->count; i = end) {
        for (end = i + 1; end < list->count; end++)
            if (list->ranges[end].client != list->ranges[i].client)
                break;
        crdt_writer_delete_client(writer, list->ranges[i].client, end - i);
        for (size_t n = i; n < end; n++)
            crdt_writer_delete(writer, list->ranges[n].clock, list->ranges[n].len);
    }
}

int range_list_encode(const struct range_list *list, enum crdt_format format,
                      const struct crdt_limits *limits, struct crdt_buf *out)
{
    struct crdt_writer *writer = crdt_writer_new(format, limits);
    int r;

    if (!writer)
        return -ENOMEM;
    crdt_writer_clients(writer, 0);
    range_list_write(list, writer);
    r = crdt_writer_finish(writer, out);
    crdt_writer_free(writer);
    return r;
}
