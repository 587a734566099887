/* fold_child: what the process of one fold does. Of fold_server.c. */
#pragma once

#include "snapshotd/fold_server.h"

/* Bytes of a state: it must fit into one message to the room. */
#define FOLD_STATE_MAX PROTO_UPDATE_MAX

/* Reads the updates in `updates`, each behind its length (fold_updates_add()), writes their state
 * to `state`, and ends the process with status 0, an errno of crdt.h, EIO, or by a signal. */
_Noreturn void fold_child_run(int updates, int state, const struct fold_limits *limits);
