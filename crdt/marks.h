/*
 * marks: the attributes of a rich text, by key, in the order in which they were set: those in force
 * at a place, those that an edit asks for, those that it has to give back. What JavaScript's Map is
 * to Yjs's `YText.js`, with the comparisons of that file.
 */
#pragma once

#include "doc.h"

/* The value of a mark, as JSON or as `any`. Borrowed. */
struct mark_value {
    struct crdt_slice bytes;
    bool is_any;
};

struct marks_entry {
    uint32_t key;
    uint32_t order; /* 0: not set */
    struct crdt_slice name;
    struct mark_value value;
};

/* Zero-initialise. Looking up and setting takes the same time however many there are: peers choose
 * the keys. */
struct marks {
    struct marks_entry *list;
    uint32_t count;
    uint32_t cap;
    uint32_t set; /* of them */
    uint32_t last_order;
    struct table table;
};

void marks_done(struct marks *marks);

/* NULL: not set. Valid until the next is set. */
const struct mark_value *marks_get(const struct marks *marks, uint32_t key);
/* A key that is set keeps its place in the order. `name` is the key's text. -ENOMEM. */
CRDT_WARN_UNUSED int marks_set(struct marks *marks, uint32_t key, struct crdt_slice name,
                               struct mark_value value);
void marks_unset(struct marks *marks, uint32_t key);
/* Those that are set, in their order; the caller frees. -ENOMEM. */
CRDT_WARN_UNUSED int marks_list(const struct marks *marks, struct marks_entry **ret_list,
                                uint32_t *ret_count);

/* `null`, which is also what a mark that is not there counts as: NULL. */
bool mark_is_null(const struct mark_value *value);
extern const struct mark_value mark_null;

/* Are both the same primitive value (`===`, where no object is another one)? -ENOMEM. */
CRDT_WARN_UNUSED int marks_are_identical(const struct mark_value *a, const struct mark_value *b,
                                         bool *ret_result);
/* Or objects with the same members, all of them primitive (`equalAttrs`)? Or one and the same
 * value? */
CRDT_WARN_UNUSED int marks_are_equal(const struct mark_value *a, const struct mark_value *b,
                                     bool *ret_result);
