/* Sets of keys (common/jwk.h), written. */
#pragma once

#include "common/buffer.h"
#include "common/jwk.h"

/* Appends a set of one fresh key, its private part included. `kid` NULL: a random one. 0, or -EIO
 * after a message. */
WARN_UNUSED int token_key_new(enum jwk_alg alg, const char *kid, struct buffer *out);

/* Appends the keys of a file without their private parts. 0, or -errno after a message: a set with
 * a key of HS256 has no public part. */
WARN_UNUSED int token_key_publish(const char *path, struct buffer *out);
