/*
 * Keys of tokens, as a JWK set (RFC 7517) in a file. Only what is used is taken: HS256 with at
 * least 32 bytes, RS256 with 2048 to 8192 bits, ES256; each key with `kid` and `alg`, so it serves
 * one algorithm and no token chooses another. Other members are passed over, those of a private
 * key too: signing is not done here.
 */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

#include <jansson.h>
#include <openssl/evp.h>

#define JWK_FILE_MAX    (64u << 10) /* bytes */
#define JWK_KEYS_MAX    64u
#define JWK_KID_MAX     128u /* bytes */
#define JWK_SECRET_MIN  32u  /* bytes: as many as the hash has (RFC 7518, section 3.2) */
#define JWK_RSA_MIN     2048
#define JWK_RSA_MAX     8192
#define JWK_P256_BYTES  32u /* a coordinate, and either half of a signature */
#define JWK_PROBLEM_MAX 160u

enum jwk_alg {
    JWK_HS256,
    JWK_RS256,
    JWK_ES256,
};

struct jwk {
    char *kid;
    enum jwk_alg alg;
    EVP_PKEY *public_key; /* RS256, ES256 */
    uint8_t *secret;      /* HS256 */
    size_t secret_len;
};

struct jwk_set {
    struct jwk *keys;
    size_t count;
    bool has_secrets; /* whoever can read it can make tokens */
};

/* "HS256", "RS256" or "ES256". */
const char *jwk_alg_name(enum jwk_alg alg);
/* -EINVAL: it is none that is used. */
WARN_UNUSED int jwk_alg_parse(struct slice name, enum jwk_alg *ret_alg);

/* Is it 1 to JWK_KID_MAX bytes of UTF-8 without control characters? */
bool jwk_kid_is_valid(struct slice kid);

/* Reads a file, JSON without duplicate members. 0, `*ret_json` (a new reference) and whether others
 * than its owner and group may read it; -errno, or -EINVAL if it is too long or no JSON. On failure
 * `ret_problem` tells what is wrong, without anything of the content. */
WARN_UNUSED int jwk_file_read(const char *path, json_t **ret_json, bool *ret_is_public,
                              char ret_problem[JWK_PROBLEM_MAX]);

/* Takes the set apart. -EINVAL: some key of it is not as above, a `kid` is there twice, or there is
 * none or too many of them; `ret_problem` as above, keys are counted from 1. */
WARN_UNUSED int jwk_set_parse(const json_t *json, struct jwk_set *ret_set,
                              char ret_problem[JWK_PROBLEM_MAX]);
/* Wipes the secrets. */
void jwk_set_done(struct jwk_set *set);

/* The key of that name. Without one (data is NULL): the only key there is. NULL if there is none.
 */
const struct jwk *jwk_set_find(const struct jwk_set *set, struct slice kid);

/* A member that holds bytes, newly allocated; NULL if it is not there, no string or no base64url.
 * Empty ones count as not there. */
uint8_t *jwk_member_bytes(const json_t *key, const char *name, size_t *ret_len);
