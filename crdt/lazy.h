/*
 * lazy: reading structs for the update space, where no document is at hand (Yjs calls it the lazy
 * struct reader). Merge, diff and the conversions read through it.
 */
#pragma once

#include "codec.h"

/* crdt_reader_struct(), but that a key whose name is not written is forgotten: without a document
 * Yjs cannot know it either, so what it writes again lacks the flag. Readers find the key at the
 * origin. */
static inline int crdt_lazy_struct(struct crdt_reader *r, struct crdt_struct *ret_struct)
{
    int rc = crdt_reader_struct(r, ret_struct);
    if (rc > 0 && ret_struct->parent == CRDT_PARENT_IMPLIED)
        ret_struct->info &= (uint8_t)~CRDT_INFO_PARENT_SUB;
    return rc;
}
