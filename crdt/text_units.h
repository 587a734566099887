/*
 * text_units: a root text for clients that hold no document. They see its units (of UTF-16, and
 * embeds, one each) under the ids that Yjs gives them: client and clock. Marks are not seen. What
 * such a client does becomes an update like any other; what any update does is told to it as
 * deletions and insertions that it can follow to the letter.
 *
 * A root that nobody has written to is there, and empty. Its name is UTF-8. Errors as in crdt.h.
 */
#pragma once

#include "codec.h"

/* Units with consecutive clocks. */
struct crdt_units {
    bool is_deleted; /* they go; else they come right behind `after` */
    struct crdt_id id;
    uint64_t len;
    bool has_after; /* false: they come first */
    struct crdt_id after;
    struct crdt_slice text; /* UTF-8 of `len` UTF-16 units; data NULL: embeds */
};

typedef void (*crdt_units_fn)(void *ctx, const struct crdt_units *units);

/* Calls `fn` for all that is seen of the root, from its start to its end. */
void crdt_doc_read_units(const struct crdt_doc *doc, struct crdt_slice root, crdt_units_fn fn,
                         void *ctx);

/*
 * crdt_doc_apply() that calls `fn`, before it returns 0, for what that changed in what is seen of
 * the root: first for what goes, each unit once, then for what comes, in an order in which `after`
 * is always there already. Who held what was seen before and follows holds what is seen now, in
 * its order. Both halves of a surrogate pair that is cut go, and come as U+FFFD with the ids that
 * they had. Takes the time of what changed: what is seen to the left of that is looked up.
 */
CRDT_WARN_UNUSED int crdt_doc_apply_units(struct crdt_doc *doc, enum crdt_format format,
                                          struct crdt_slice update, struct crdt_slice root,
                                          crdt_units_fn fn, void *ctx,
                                          struct crdt_applied *ret_applied);

enum crdt_before {
    CRDT_BEFORE_END,     /* nothing */
    CRDT_BEFORE_UNIT,    /* `before` */
    CRDT_BEFORE_CURRENT, /* whatever is right behind `after` now, seen or not, if that is known */
};

struct crdt_units_insertion {
    struct crdt_id id; /* of the first unit */
    bool has_after;    /* false: at the start */
    struct crdt_id after;
    enum crdt_before before_kind;
    struct crdt_id before;
    struct crdt_slice text; /* UTF-8, not empty */
};

/* Appends the v1 update of an insertion between two units, which may not be known yet. -EINVAL: a
 * neighbour is of another type, or of the same client and not before `id`; the ids are too high, or
 * it is not UTF-8. */
CRDT_WARN_UNUSED int crdt_doc_insert_units(struct crdt_doc *doc, struct crdt_slice root,
                                           const struct crdt_units_insertion *insertion,
                                           struct crdt_buf *out);
/* The same for a deletion; units that are not known yet are deleted when they come. -EINVAL: one of
 * them is of another type, or there are none. */
CRDT_WARN_UNUSED int crdt_doc_delete_units(struct crdt_doc *doc, struct crdt_slice root,
                                           struct crdt_id id, uint64_t len, struct crdt_buf *out);
