/*
 * doc_memory: what documents are made of below their own structures: arrays that are addressed by
 * 32-bit indices, hash tables from a key to such an index, lists of clock ranges. Growing is done
 * by functions called *_reserve; what is filled in afterwards cannot fail.
 */
#pragma once

#include <assert.h>

#include "codec.h"

#define NIL UINT32_MAX /* no index */

/* An array or buffer of up to so many bytes is kept when what it was needed for is over. */
#define KEPT_BYTES 4096u

CRDT_WARN_UNUSED int array_grow(void *array, uint32_t *cap, uint64_t count, size_t size);

/* Makes `*array` hold `count` elements of `size` bytes; it grows by halves, and by less when it is
 * large. -ENOMEM; -E2BIG when the count does not fit the 32-bit indices. */
CRDT_WARN_UNUSED static inline int array_reserve(void *array, uint32_t *cap, uint64_t count,
                                                 size_t size)
{
    return count <= *cap ? 0 : array_grow(array, cap, count, size);
}

void array_free(void *array, uint32_t *cap);

/* Frees an array of more than KEPT_BYTES. */
static inline void array_shed(void *array, uint32_t *cap, size_t size)
{
    if (*cap * size > KEPT_BYTES)
        array_free(array, cap);
}

/* Gives back the room of an array beyond `count` elements and some to spare, if it is much. */
void array_trim(void *array, uint32_t *cap, uint32_t count, size_t size);

/* ---- hash tables ---- */

/* Open addressing from a hash to an index; the owner compares what lies at the index. */
struct table_slot {
    uint32_t hash;
    uint32_t index; /* NIL: free */
};

struct table {
    struct table_slot *slots;
    uint32_t cap; /* 0 or a power of two, at least twice the count */
    uint32_t count;
};

static inline uint32_t hash_mix(uint64_t hash)
{
    hash ^= hash >> 32;
    hash *= UINT64_C(0xd6e8feb86659fd93);
    hash ^= hash >> 32;
    hash *= UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(hash ^ (hash >> 32));
}

CRDT_WARN_UNUSED int table_reserve(struct table *table, uint64_t count);
void table_insert(struct table *table, uint32_t hash, uint32_t index);
/* Removes an index that is in the table. */
void table_remove(struct table *table, uint32_t hash, uint32_t index);

/* For each candidate of a hash: `for (uint32_t p = hash; (i = table_probe(t, hash, &p)) != NIL;)`
 */
static inline uint32_t table_probe(const struct table *table, uint32_t hash, uint32_t *pos)
{
    if (table->cap == 0)
        return NIL;
    for (;;) {
        const struct table_slot *slot = &table->slots[(*pos)++ & (table->cap - 1)];

        if (slot->index == NIL || slot->hash == hash)
            return slot->index;
    }
}

/* ---- ranges ---- */

/* Clocks of one client, by id: what waits, and deletes. */
struct range {
    uint64_t client;
    uint32_t clock;
    uint32_t len;
};

/* Sorted by client (descending) and clock, without overlap. */
struct range_list {
    struct range *ranges;
    size_t count;
    size_t cap;
};

/* Sorts and joins what overlaps or touches. */
void range_list_normalise(struct range_list *list);
CRDT_WARN_UNUSED int range_list_add(struct range_list *list, uint64_t client, uint32_t clock,
                                    uint32_t len);
/* Are all of these clocks in the (normalised) list? */
bool range_list_covers(const struct range_list *list, uint64_t client, uint32_t clock,
                       uint32_t len);
/* The first range of the client, or NULL. */
const struct range *range_list_first(const struct range_list *list, uint64_t client);
/* Makes room for range_list_join(). */
CRDT_WARN_UNUSED int range_list_reserve(struct range_list *list, size_t more);
/* Adds all of `other`; both are normalised. */
void range_list_join(struct range_list *list, const struct range_list *other);
void range_list_done(struct range_list *list);
/* Empties a list, and frees it if it is large. */
static inline void range_list_reset(struct range_list *list)
{
    if (list->cap * sizeof(*list->ranges) > KEPT_BYTES)
        range_list_done(list);
    list->count = 0;
}

/* Writes (normalised) ranges as the deletes of an update. */
void range_list_write(const struct range_list *list, struct crdt_writer *writer);
/* Appends an update that deletes these (normalised) ranges. */
CRDT_WARN_UNUSED int range_list_encode(const struct range_list *list, enum crdt_format format,
                                       const struct crdt_limits *limits, struct crdt_buf *out);
