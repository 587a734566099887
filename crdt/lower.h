/*
 * lower: lower case of text as JavaScript's toLowerCase() has it (Unicode 17), but for the one rule
 * of it that looks at the letters around: a capital sigma at the end of a word becomes the same
 * small letter as any other. For the names of XML nodes.
 */
#pragma once

#include "crdt.h"

/* Appends valid UTF-8 in lower case. */
void crdt_write_lower(struct crdt_buf *out, struct crdt_slice text);
