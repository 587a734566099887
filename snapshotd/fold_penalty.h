/*
 * fold_penalty: which rooms are not to be folded for now, because that failed: their updates crash
 * the engine, do not end, do not decode or make too much. A room may be opened and closed again
 * and again meanwhile, so this is remembered beside the rooms. Knows no store and no clock; times
 * are monotonic milliseconds.
 */
#pragma once

#include "common/memory.h"
#include "common/names.h"

#include <stdbool.h>
#include <stdint.h>

#define FOLD_PENALTY_MS_MIN    60000u
#define FOLD_PENALTY_MS_MAX    86400000u
#define FOLD_PENALTY_ROOMS_MAX 10000 /* of more, those whose time is over first are forgotten */

struct fold_penalty;

struct fold_penalty *fold_penalty_new(void);
void fold_penalty_free(struct fold_penalty *p);

/* Milliseconds until the room may be folded; 0: it may. `hash` is its name_hash(). */
uint64_t fold_penalty_left(const struct fold_penalty *p, const char *hash, uint64_t now_ms);
/* Its fold failed: twice as long as the last time. Returns how often it has failed in a row. */
uint32_t fold_penalty_add(struct fold_penalty *p, const char *hash, uint64_t now_ms);
/* It succeeded. */
void fold_penalty_clear(struct fold_penalty *p, const char *hash);
