/*
 * strings: what a v2 update holds of strings: one column of all of them, cut by a column of their
 * lengths in UTF-16 units, and keys that are numbered as they occur. With it the arena for what
 * cannot be a slice of the update. The reader of updates owns these.
 */
#pragma once

#include "columns.h"

/* Memory that lives as long as its owner. */
struct crdt_arena {
    struct crdt_arena_chunk *chunks;
    size_t left; /* in the first chunk */
};

void crdt_arena_done(struct crdt_arena *arena);
/* `len` bytes, or NULL when out of memory. */
uint8_t *crdt_arena_alloc(struct crdt_arena *arena, size_t len);
CRDT_WARN_UNUSED int crdt_arena_copy(struct crdt_arena *arena, const void *data, size_t len,
                                     struct crdt_slice *ret_copy);

struct crdt_string_column {
    const uint8_t *pos;
    const uint8_t *end;
    uint64_t units_left;
    bool is_inside;               /* half of the surrogate pair at `pos` has been read */
    int error;                    /* -ENOMEM */
    struct crdt_uint_column lens; /* fails, too, when the text runs dry */
};

/* -EBADMSG: no text, or one that is not UTF-8. */
CRDT_WARN_UNUSED int crdt_string_column_init(struct crdt_string_column *c,
                                             struct lib0_reader column);

/* The next string. Strings may be cut inside of a surrogate pair: each half is U+FFFD, in the
 * arena. */
struct crdt_slice crdt_string_column_read(struct crdt_string_column *c, struct crdt_arena *arena,
                                          uint64_t *ret_units);

/* Keys by number. Empty ones, of which an update may hold any number for free, take no memory. */
struct crdt_keys {
    struct crdt_numbered_key *list; /* ascending by number */
    size_t len;
    size_t cap;
    uint64_t count; /* of all keys */
};

void crdt_keys_done(struct crdt_keys *keys);
/* Gives `key`, which is borrowed, the next number. -ENOMEM. */
CRDT_WARN_UNUSED int crdt_keys_add(struct crdt_keys *keys, struct crdt_slice key);
/* Any number below keys->count. */
struct crdt_slice crdt_keys_find(const struct crdt_keys *keys, uint64_t number);
