/* The files that `concordctl doc` reads: updates of either format, checked before they are used. */
#pragma once

#include "common/buffer.h"
#include "common/memory.h"
#include "crdt/crdt.h"

#define DOC_INPUT_MAX ((size_t)256 << 20) /* bytes of all files together */

struct doc_file {
    const char *name; /* as given; borrowed */
    enum crdt_format format;
    struct buffer bytes;
};

struct doc_input {
    struct doc_file *files;
    size_t count;
    size_t bytes;
    bool has_stdin; /* which can be read but once */
};

/* Adds a file as it is; `-` is stdin. 0, or -errno after a message. */
WARN_UNUSED int doc_input_read(struct doc_input *input, const char *name);

/* Adds an update and decodes it as a whole. `format` 0: finds out. An update of format 2 begins
 * with a zero; one of format 1 only if it inserts nothing, and then it is a delete set and nothing
 * else. 0, or -errno after a message. */
WARN_UNUSED int doc_input_read_update(struct doc_input *input, const char *name,
                                      enum crdt_format format);
void doc_input_done(struct doc_input *input);

static inline struct crdt_slice doc_file_slice(const struct doc_file *file)
{
    return (struct crdt_slice){file->bytes.data, file->bytes.len};
}

/* What an error of crdt.h means. */
const char *doc_strerror(int error);
