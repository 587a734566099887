/*
 * members: puts the members of one encoded object into the order in which JavaScript has them:
 * array indices first, ascending, then the other keys as they came; of equal keys the last value at
 * the first one's place. Used while JSON and `any` are written, each in one pass: an object is
 * appended as it comes and put in order afterwards, if it has to be.
 */
#pragma once

#include "lib0.h"

#define CRDT_NOT_AN_INDEX UINT64_MAX

/* The array index that a key spells (ECMA-262 6.1.7: 0 to 2^32 - 2 in canonical form). */
uint64_t crdt_member_index(struct crdt_slice key);

/* One member, as offsets so that buffers may move. */
struct crdt_member {
    size_t key; /* from the `keys` of crdt_members_order() */
    size_t key_len;
    size_t start; /* its encoding in the output, without separators; */
    size_t end;   /* empty: the member is left out */
};

/* Members of the objects that are being written, the innermost last. */
struct crdt_members {
    struct crdt_member *list;
    size_t len;
    size_t cap;
};

void crdt_members_done(struct crdt_members *members);

/* -ENOMEM. */
CRDT_WARN_UNUSED int crdt_members_push(struct crdt_members *members, struct crdt_member member);

/* Orders the members from `first` on, whose encodings end at the end of `out`, and pops them.
 * `separator` stands between two of them, 0 for none. `*ret_count` is how many are left. -ENOMEM.
 */
CRDT_WARN_UNUSED int crdt_members_order(struct crdt_members *members, size_t first,
                                        const uint8_t *keys, char separator, struct crdt_buf *out,
                                        size_t *ret_count);
