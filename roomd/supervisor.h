/*
 * supervisor: which rooms run. It starts a room when a gateway asks for it, hands out links to it,
 * connects it to the store, starts it again when it crashes, lets it close when it is idle. It
 * never has a document's bytes; what a room must not lose is in its segment, which outlives both.
 */
#pragma once

#include "common/config.h"

/* Runs until SIGTERM; returns the exit status. */
int supervisor_run(const struct config *config);
