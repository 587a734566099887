/* Is a text JSON (RFC 8259) as JSON.parse of a browser takes it? Without allocating; for what
 * clients pass on to each other and parse themselves. */
#pragma once

#include "common/slice.h"

#define JSON_CHECK_DEPTH 64u /* of arrays and objects inside each other; more is refused */

/* `text` must be UTF-8. */
bool json_check(struct slice text);
