/*
 * census: what the gateways of a host have together, counted by key. Each keeps a table of its own,
 * a file in a directory of the runtime directory that it maps and the others read; a count costs
 * nobody a message. A table is locked while its process lives: what a dead one had counts no more,
 * within CENSUS_LOOK_MS.
 *
 * Two that count in the same moment may not see each other: a bound that is kept by this may be
 * passed by as many as there are gateways.
 */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

#include <stdint.h>

#define CENSUS_LOOK_MS 100u /* between two looks at who is there */

struct census;

/* Makes `dir` if need be and takes the first free table in it. 0 or -errno. */
WARN_UNUSED int census_open(const char *dir, struct census **ret);
/* NULL is allowed. */
void census_free(struct census *c);

/* The number that stands for a key, on every gateway the same. */
uint64_t census_key(uint8_t kind, struct slice key);
/* This process has so many from now on. Where a table has no room for a key it is not told. */
void census_set(struct census *c, uint64_t key, uint32_t count);
/* How many the others have. */
uint32_t census_others(struct census *c, uint64_t key);
