/* A store used like a function: each call waits for its callback. */
#pragma once

#include "common/buffer.h"
#include "snapshotd/store.h"

/* A directory of this test, below $TMPDIR. */
void make_test_dir(char *ret_path, size_t size);
void remove_test_dir(const char *path);

/* The number of the lineage that the functions below append as. */
#define LINEAGE 7

/* Of the store under test, with a loop of its own. */
struct store *open_store(const char *dir);
/* Waits for something to happen on a store. */
void store_turn(void);

static inline struct store_key key_of(const char *tenant, const char *room)
{
    return (struct store_key){slice_str(tenant), slice_str(room)};
}

/* What a load gave: parts as text, "S5:state U6:a U7:b " for a snapshot up to 5 and two updates.
 * The numbers are the store's. */
struct loaded {
    int calls;
    int error;
    struct store_stat stat;
    struct buffer parts;
};

struct loaded load_room(struct store *store, struct store_key key);
struct loaded load_room_as(struct store *store, struct store_key key, uint64_t lineage);
void assert_loaded(struct store *store, struct store_key key, uint64_t op_seq, const char *parts);

int append_many(struct store *store, const struct store_append *rooms, size_t count);
/* One update with `text` as payload. */
int append_text(struct store *store, struct store_key key, uint64_t seq, const char *text);
int append_text_as(struct store *store, struct store_key key, uint64_t lineage, uint64_t seq,
                   const char *text);
int fold_room(struct store *store, struct store_key key, struct store_stat read, const char *state);
