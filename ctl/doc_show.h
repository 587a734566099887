/* What is in the documents that `concordctl doc` reads: for people and for programs. */
#pragma once

#include "ctl/doc_input.h"

/* Each appends to `out` and returns 0, or -errno after a message. */

/* The text of a root; NULL: of the only one that is a text. */
WARN_UNUSED int doc_show_text(const struct doc_input *input, const char *root,
                              struct crdt_buf *out);
/* A root as JSON, read as `as` (NULL: as what it looks like); NULL: an object of all roots. */
WARN_UNUSED int doc_show_json(const struct doc_input *input, const char *root,
                              const enum crdt_kind *as, struct crdt_buf *out);
/* Figures, as lines or as a JSON object. */
WARN_UNUSED int doc_show_stat(const struct doc_input *input, bool is_json, struct crdt_buf *out);

/* A name of enum crdt_kind in lower case. -EINVAL: there is no such kind. */
WARN_UNUSED int doc_kind_parse(const char *name, enum crdt_kind *ret_kind);
