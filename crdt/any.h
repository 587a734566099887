/*
 * any: lib0's self-describing values (`writeAny`/`readAny`), and their way to and from JSON as
 * JSON.stringify and JSON.parse go it. Update format v1 holds embeds and marks as JSON, format v2
 * as `any`; the reader checks either, the writer converts, the read-out of documents prints.
 *
 * `nesting` bounds arrays and objects inside of each other: deeper is -E2BIG. Above
 * CRDT_ANY_MAX_NESTING it means that, for the functions recurse. Malformed input is -EBADMSG.
 */
#pragma once

#include "lib0.h"

#define CRDT_ANY_MAX_NESTING 1024u

enum crdt_any_tag {
    CRDT_ANY_UNDEFINED = 127,
    CRDT_ANY_NULL = 126,
    CRDT_ANY_INT = 125,
    CRDT_ANY_FLOAT32 = 124,
    CRDT_ANY_FLOAT64 = 123,
    CRDT_ANY_BIGINT = 122,
    CRDT_ANY_FALSE = 121,
    CRDT_ANY_TRUE = 120,
    CRDT_ANY_STRING = 119,
    CRDT_ANY_OBJECT = 118,
    CRDT_ANY_ARRAY = 117,
    CRDT_ANY_BYTES = 116,
};

/* Reads over one value and checks it completely. */
CRDT_WARN_UNUSED int crdt_any_skip(struct lib0_reader *r, uint32_t nesting);

/* Reads a float of `size` bytes, 4 or 8. */
double crdt_any_read_float(struct lib0_reader *r, size_t size);

/* Reads one value and appends it as JSON.stringify prints it; for `undefined` nothing is appended.
 * A BigInt, which JSON.stringify refuses, gives its digits. -ENOMEM as well. On failure `out` may
 * have grown. */
CRDT_WARN_UNUSED int crdt_any_to_json(struct lib0_reader *r, uint32_t nesting,
                                      struct crdt_buf *out);

/* Does JSON.parse take `text`, which must be UTF-8? */
CRDT_WARN_UNUSED int crdt_json_validate(const uint8_t *text, size_t len, uint32_t nesting);

/* Appends the value of `text`, which must be UTF-8, as `any`. A \u escape of a lone surrogate
 * becomes U+FFFD. -ENOMEM as well. On failure `out` may have grown. */
CRDT_WARN_UNUSED int crdt_json_to_any(const uint8_t *text, size_t len, uint32_t nesting,
                                      struct crdt_buf *out);

/* Appends UTF-8 as a JSON string with its quotes. */
void crdt_json_write_string(struct crdt_buf *out, const void *data, size_t len);
/* Appends a number as JavaScript prints it; NaN and infinities are `null`. The process must keep
 * LC_NUMERIC at "C". */
void crdt_json_write_number(struct crdt_buf *out, double value);
