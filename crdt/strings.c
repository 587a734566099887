#include "strings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 4096

static const uint8_t replacement[] = {0xef, 0xbf, 0xbd}; /* U+FFFD */

struct crdt_arena_chunk {
    struct crdt_arena_chunk *next;
    uint8_t *top; /* of what is free; it is handed out downwards */
    uint8_t data[];
};

struct crdt_numbered_key {
    uint64_t number;
    struct crdt_slice key;
};

/* ---- the arena ---- */

void crdt_arena_done(struct crdt_arena *arena)
{
    struct crdt_arena_chunk *chunk = arena->chunks;
    while (chunk) {
        struct crdt_arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    *arena = (struct crdt_arena){0};
}

uint8_t *crdt_arena_alloc(struct crdt_arena *arena, size_t len)
{
    if (!arena->chunks || arena->left < len) {
        size_t size = len > CHUNK_BYTES ? len : CHUNK_BYTES;
        struct crdt_arena_chunk *chunk = malloc(sizeof(*chunk) + size);
        if (!chunk)
            return NULL;
        chunk->next = arena->chunks;
        chunk->top = chunk->data + size;
        arena->chunks = chunk;
        arena->left = size;
    }
    arena->chunks->top -= len;
    arena->left -= len;
    return arena->chunks->top;
}

int crdt_arena_copy(struct crdt_arena *arena, const void *data, size_t len,
                    struct crdt_slice *ret_copy)
{
    uint8_t *copy = crdt_arena_alloc(arena, len);
    if (!copy)
        return -ENOMEM;
    if (len > 0)
        memcpy(copy, data, len);
    *ret_copy = (struct crdt_slice){copy, len};
    return 0;
}

/* ---- the column ---- */

int crdt_string_column_init(struct crdt_string_column *c, struct lib0_reader column)
{
    uint64_t units;
    struct crdt_slice text = lib0_read_measured_string(&column, &units);
    if (column.has_failed)
        return -EBADMSG;
    *c = (struct crdt_string_column){
        .pos = text.data,
        .end = text.data + text.len,
        .units_left = units,
        .lens = {.in = column},
    };
    return 0;
}

/* The text from `from` to `to` with a replacement character for each half of a pair. */
static struct crdt_slice rebuild(struct crdt_string_column *c, struct crdt_arena *arena,
                                 const uint8_t *from, const uint8_t *to, bool has_low,
                                 bool has_high)
{
    size_t middle = (size_t)(to - from);
    size_t len = middle + sizeof(replacement) * ((size_t)has_low + (size_t)has_high);
    uint8_t *copy = crdt_arena_alloc(arena, len);
    if (!copy) {
        c->error = -ENOMEM;
        return (struct crdt_slice){0};
    }
    uint8_t *p = copy;
    if (has_low)
        p = mempcpy(p, replacement, sizeof(replacement));
    p = mempcpy(p, from, middle);
    if (has_high)
        memcpy(p, replacement, sizeof(replacement));
    return (struct crdt_slice){copy, len};
}

struct crdt_slice crdt_string_column_read(struct crdt_string_column *c, struct crdt_arena *arena,
                                          uint64_t *ret_units)
{
    uint64_t units = crdt_uint_column_read(&c->lens);
    *ret_units = units;
    if (units > c->units_left) {
        lib0_fail(&c->lens.in);
        *ret_units = 0;
        return (struct crdt_slice){0};
    }
    if (units == 0)
        return (struct crdt_slice){c->pos, 0};

    size_t left = (size_t)(c->end - c->pos);
    bool has_low = c->is_inside, has_high = false;
    const uint8_t *from = c->pos + (has_low ? 4 : 0);
    const uint8_t *to = c->pos + units;
    /* As many bytes as units: there is nothing but ASCII left. */
    if (left != c->units_left)
        to = c->pos + lib0_utf16_offset(c->pos, left, units + has_low, &has_high);
    c->pos = to;
    c->units_left -= units;
    c->is_inside = has_high;
    if (has_low || has_high)
        return rebuild(c, arena, from, to, has_low, has_high);
    return (struct crdt_slice){from, (size_t)(to - from)};
}

/* ---- keys ---- */

void crdt_keys_done(struct crdt_keys *keys)
{
    free(keys->list);
    *keys = (struct crdt_keys){0};
}

int crdt_keys_add(struct crdt_keys *keys, struct crdt_slice key)
{
    if (key.len == 0) {
        keys->count++;
        return 0;
    }
    if (keys->len == keys->cap) {
        size_t cap = keys->cap ? keys->cap * 2 : 16;
        struct crdt_numbered_key *list = reallocarray(keys->list, cap, sizeof(*list));
        if (!list)
            return -ENOMEM;
        keys->list = list;
        keys->cap = cap;
    }
    keys->list[keys->len++] = (struct crdt_numbered_key){keys->count++, key};
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    const struct crdt_numbered_key *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

struct crdt_slice crdt_keys_find(const struct crdt_keys *keys, uint64_t number)
{
    struct crdt_numbered_key wanted = {.number = number};
    const struct crdt_numbered_key *found =
        keys->len ? bsearch(&wanted, keys->list, keys->len, sizeof(wanted), compare_numbers) : NULL;
    return found ? found->key : (struct crdt_slice){(const uint8_t *)"", 0};
}
