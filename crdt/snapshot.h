/*
 * snapshot: the inside of a struct crdt_snapshot, shared by what reads and writes snapshots and
 * what makes them of documents.
 */
#pragma once

#include "delete_set.h"
#include "states.h"

struct crdt_snapshot {
    struct crdt_states states;      /* sorted */
    struct crdt_delete_set deletes; /* ordered; ranges may touch, as the sender left them */
};
