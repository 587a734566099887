/*
 * Patterns for names of rooms: `*` stands for any characters, also none and also `/`, `?` for one
 * character of UTF-8, and everything else for itself.
 */
#pragma once

#include "common/slice.h"

/* Does the pattern stand for the whole name? Both are UTF-8. Takes pattern.len × name.len steps at
 * most, whatever is in them, and pattern.len + name.len without a `*`. */
bool pattern_fits(struct slice pattern, struct slice name);
