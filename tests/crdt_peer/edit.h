/* edit: the edits of crdt.h as requests of crdt_peer, in the primitives of lib0. */
#pragma once

#include "crdt/crdt.h"

/*
 * Makes one edit and appends its update. A request is the letter of a call, the client (varUint),
 * the path and the call's arguments. A path is the root (varString), the number of steps (varUint)
 * and the steps, each 0 and an index (varUint) or 1 and a key (varString). Arguments: indices and
 * lengths are varUints; texts, keys and JSON varStrings.
 *
 *   i  index, text                  crdt_text_insert()
 *   a  index, text, attributes      the same with attributes
 *   d  index, length                crdt_text_delete()
 *   f  index, length, attributes    crdt_text_format()
 *   b  text                         crdt_text_become()
 *   s  key, JSON                    crdt_map_set()
 *   k  key                          crdt_map_delete()
 *   I  index, JSON                  crdt_array_insert()
 *   P  JSON                         crdt_array_push()
 *   D  index, length                crdt_array_delete()
 *
 * -EINVAL for what is none of these.
 */
CRDT_WARN_UNUSED int edit_run(struct crdt_doc *doc, struct crdt_slice request,
                              struct crdt_buf *out);
