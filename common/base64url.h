/* Base64url as JOSE has it (RFC 7515, section 2): no padding, no white space, and bits that belong
 * to no byte are zero, so a value has one spelling. */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

#include <sys/types.h>

/* Characters that `len` bytes become. */
static inline size_t base64url_encoded_len(size_t len)
{
    return len / 3 * 4 + (len % 3 ? len % 3 + 1 : 0);
}

/* Writes base64url_encoded_len() characters; no NUL. */
void base64url_encode(struct slice bytes, char *ret_chars);

/* An upper bound of what `len` characters decode to. */
static inline size_t base64url_decoded_max(size_t len)
{
    return len / 4 * 3 + 2;
}

/* Decodes into `out` (base64url_decoded_max() bytes) and returns the length; -EBADMSG for anything
 * that base64url_encode() does not write. May have written into `out` on failure. */
WARN_UNUSED ssize_t base64url_decode(struct slice chars, uint8_t *out);
