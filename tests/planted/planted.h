/*
 * Planted faults: programs that are linked with planted.c and -Wl,--wrap=crdt_doc_apply are harmed
 * by updates that hold certain words, as a fault of the engine would harm them. Nothing of this is
 * in the programs that are installed.
 */
#pragma once

#define PLANTED_CRASH  "planted-crash"
#define PLANTED_LOOP   "planted-loop"
#define PLANTED_MEMORY "planted-memory"
/* Crashes nothing but snapshotd's folds. */
#define PLANTED_FOLD "planted-fold-crash"
