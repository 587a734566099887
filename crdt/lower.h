/*
 * lower: lower case of text as JavaScript's toLowerCase() has it (Unicode 17). For the names of XML
 * nodes.
 */
#pragma once

#include "crdt.h"

/* Appends valid UTF-8 in lower case. */
void crdt_write_lower(struct crdt_buf *out, struct crdt_slice text);
