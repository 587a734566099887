/* Text of strangers for a terminal: what could move the cursor, hide or reorder text is spelled
 * out. */
#pragma once

#include "common/buffer.h"

/* Appends `text`. Control characters (C0, C1, DEL), the characters that set the direction of text,
 * backslashes and bytes that are no UTF-8 become \xNN or \u{NNNN}. */
void escape_append(struct buffer *out, struct slice text);
