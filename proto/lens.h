/*
 * The lenses: how a client that holds no CRDT sees a document. A number travels in session_join;
 * codes are append-only.
 */
#pragma once

enum lens {
    LENS_NONE = 0, /* the client holds the document itself */
    LENS_OPS = 1,  /* the root text `body` as runs of characters with ids */
};

#define LENS_COUNT 2
