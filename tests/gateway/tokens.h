/*
 * Tokens for tests, also such as nobody should make: any header and any claims, signed by any key.
 * In what these functions take as JSON an apostrophe stands for a quotation mark.
 */
#pragma once

#include "common/jwk.h"
#include "gateway/keys.h"

struct signer {
    enum jwk_alg alg;
    EVP_PKEY *key; /* RS256, ES256 */
    uint8_t secret[64];
    size_t secret_len;
};

/* With a fresh key. */
struct signer signer_new(enum jwk_alg alg);
/* An HS256 signer with this secret. */
struct signer signer_of_secret(struct slice secret);
void signer_done(struct signer *s);

/* Newly allocated: the key as a server has it, as a member of a set. */
char *signer_jwk(const struct signer *s, const char *kid);

/* Newly allocated: base64url of `json`. */
char *token_part(const char *json);
/* Newly allocated: `header.claims` with the signature behind another dot. */
char *token_sign_parts(const struct signer *s, const char *parts);
char *token_sign(const struct signer *s, const char *header, const char *claims);
/* Newly allocated: `parts` with these bytes as the signature. */
char *token_with_signature(const char *parts, struct slice signature);
/* As JOSE wants it, into `out` of 1024 bytes; the length. */
size_t token_signature(const struct signer *s, const char *parts, uint8_t *out);
/* ES256 as DER. */
size_t token_der_signature(const struct signer *s, const char *parts, uint8_t *out);

/* Loads a set of keys from a file that has this text (apostrophes as above) and `mode`. */
int token_load_keys(const char *text, mode_t mode, struct keys **ret);
