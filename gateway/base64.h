/* Base64 (RFC 4648): canonical both ways, so one value has one spelling. */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

/* Characters that `len` bytes become, padding included, without a NUL. */
static inline size_t base64_encoded_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

/* Writes base64_encoded_len() characters of the standard alphabet; no NUL. */
void base64_encode(struct slice bytes, uint8_t *ret_chars);

/* An upper bound of what `len` characters decode to. */
static inline size_t base64_decoded_max(size_t len)
{
    return len / 4 * 3 + 3;
}

/* Decodes the standard or the URL alphabet, padded or not, into `out` (base64_decoded_max() bytes)
 * and returns the length; -EBADMSG for anything else, also for bits that belong to no byte. May
 * have written into `out` on failure. `out` may be where the characters are. */
WARN_UNUSED ssize_t base64_decode(struct slice chars, uint8_t *out);
