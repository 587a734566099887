/*
 * lens: how a client that holds no document sees the room's, and what its operations are: a table
 * of lenses (proto/lens.h), each in a file of its own (lens_*.c). Pure: the document calls it.
 */
#pragma once

#include "common/memory.h"
#include "common/slice.h"
#include "crdt/crdt.h"
#include "proto/lens.h"

struct lens_type {
    /* Appends the whole state. -E2BIG, -ENOMEM. */
    int (*view)(const struct crdt_doc *doc, struct crdt_buf *out);
    /* Appends the update (format 1) that an operation of a client stands for. -EBADMSG: it does not
     * decode, or names what it may not; -E2BIG: it is over a limit; -ENOMEM. */
    int (*edit)(struct crdt_doc *doc, struct slice op, struct crdt_buf *ret_update);
    /* crdt_doc_apply() of format 1 that appends what changed as the lens sees it, nothing if it
     * sees nothing. A failure of that alone is in change->error. */
    int (*apply)(struct crdt_doc *doc, struct slice update, struct crdt_applied *ret_applied,
                 struct crdt_buf *change);
};

/* NULL: there is no such lens, or it is LENS_NONE. */
const struct lens_type *lens_type(uint32_t lens);

extern const struct lens_type lens_ops;
