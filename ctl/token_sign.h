/* Signing: what no server does. */
#pragma once

#include "common/buffer.h"
#include "common/jwk.h"

struct signing_key {
    char *kid;
    enum jwk_alg alg;
    EVP_PKEY *private_key; /* RS256, ES256 */
    uint8_t *secret;       /* HS256 */
    size_t secret_len;
};

/* Takes the key `kid`, or the only one if that is NULL, from a file of keys. 0, or -errno after a
 * message, as when the file has but its public part. */
WARN_UNUSED int signing_key_load(const char *path, const char *kid, struct signing_key *ret_key);
/* Wipes the secret. */
void signing_key_done(struct signing_key *key);

/* Appends a token of these claims (JSON, an object). 0, or -EIO after a message. */
WARN_UNUSED int signing_key_sign(const struct signing_key *key, const char *claims,
                                 struct buffer *out);
