#include "ctl/token_key.h"

#include "common/base64url.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdio.h>

#define NEW_SECRET_BYTES 32
#define NEW_RSA_BITS     3072
#define NEW_KID_BYTES    9 /* 12 characters */

/* A member that holds a number. */
struct member {
    const char *name;
    const char *param; /* OpenSSL's name */
    size_t width;      /* bytes; 0: as many as there are */
};

static const struct member rsa_members[] = {
    {"n", OSSL_PKEY_PARAM_RSA_N, 0},          {"e", OSSL_PKEY_PARAM_RSA_E, 0},
    {"d", OSSL_PKEY_PARAM_RSA_D, 0},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1, 0},
    {"q", OSSL_PKEY_PARAM_RSA_FACTOR2, 0},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1, 0},
    {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2, 0}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1, 0},
};

static const struct member ec_members[] = {
    {"x", OSSL_PKEY_PARAM_EC_PUB_X, JWK_P256_BYTES},
    {"y", OSSL_PKEY_PARAM_EC_PUB_Y, JWK_P256_BYTES},
    {"d", OSSL_PKEY_PARAM_PRIV_KEY, JWK_P256_BYTES},
};

/* The members of a public key, common ones included. */
static const char *const public_members[] = {"kty", "kid", "alg", "use", "crv", "n", "e", "x", "y"};

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static json_t *encode(const uint8_t *bytes, size_t len)
{
    size_t size = base64url_encoded_len(len);
    char *chars CLEANUP_FREE = xmalloc(size + 1);

    base64url_encode(slice_of(bytes, len), chars);
    return json_stringn(chars, size);
}

static int append_set(json_t *keys, struct buffer *out)
{
    json_t *set = json_pack("{s:o}", "keys", keys);
    char *text CLEANUP_FREE = set ? json_dumps(set, JSON_INDENT(2)) : NULL;

    json_decref(set);
    if (!text)
        return -ENOMEM;
    buffer_printf(out, "%s\n", text);
    return 0;
}

/* ---- new ---- */

static int set_number(json_t *jwk, const EVP_PKEY *key, const struct member *m)
{
    BIGNUM *n = NULL;
    int r = -EIO;

    if (!EVP_PKEY_get_bn_param(key, m->param, &n))
        return r;
    size_t len = m->width ? m->width : (size_t)BN_num_bytes(n);
    uint8_t *bytes CLEANUP_FREE = xmalloc(len);
    if (BN_bn2binpad(n, bytes, (int)len) >= 0)
        r = json_object_set_new(jwk, m->name, encode(bytes, len)) < 0 ? -EIO : 0;
    BN_clear_free(n);
    return r;
}

static int fill(json_t *jwk, EVP_PKEY *key, const struct member *members, size_t count)
{
    int r = key ? 0 : -EIO;

    for (size_t i = 0; i < count && r == 0; i++)
        r = set_number(jwk, key, &members[i]);
    EVP_PKEY_free(key);
    return r;
}

static int fill_secret(json_t *jwk)
{
    uint8_t secret[NEW_SECRET_BYTES];

    if (RAND_priv_bytes(secret, sizeof(secret)) != 1)
        return -EIO;
    return json_object_set_new(jwk, "k", encode(secret, sizeof(secret))) < 0 ? -EIO : 0;
}

static json_t *make_key(enum jwk_alg alg, json_t *kid)
{
    static const char *const types[] = {
        [JWK_HS256] = "oct", [JWK_RS256] = "RSA", [JWK_ES256] = "EC"};
    json_t *jwk = json_pack("{s:s, s:o, s:s, s:s}", "kty", types[alg], "kid", kid, "alg",
                            jwk_alg_name(alg), "use", "sig");
    int r = -EIO;

    switch (alg) {
    case JWK_HS256:
        r = fill_secret(jwk);
        break;
    case JWK_RS256:
        r = fill(jwk, EVP_RSA_gen(NEW_RSA_BITS), rsa_members, ARRAY_LEN(rsa_members));
        break;
    case JWK_ES256:
        r = json_object_set_new(jwk, "crv", json_string("P-256")) < 0
                ? -EIO
                : fill(jwk, EVP_EC_gen("P-256"), ec_members, ARRAY_LEN(ec_members));
        break;
    }
    if (r == 0)
        return jwk;
    json_decref(jwk);
    return NULL;
}

int token_key_new(enum jwk_alg alg, const char *kid, struct buffer *out)
{
    uint8_t random[NEW_KID_BYTES];
    json_t *jwk = NULL;

    if (kid || RAND_bytes(random, sizeof(random)) == 1)
        jwk = make_key(alg, kid ? json_string(kid) : encode(random, sizeof(random)));
    if (!jwk || append_set(json_pack("[o]", jwk), out) < 0) {
        (void)fprintf(stderr, "concordctl: no key could be made\n");
        return -EIO;
    }
    return 0;
}

/* ---- the public part ---- */

static json_t *public_part(const json_t *key)
{
    json_t *part = json_object();

    for (size_t i = 0; i < ARRAY_LEN(public_members); i++) {
        json_t *member = json_object_get(key, public_members[i]);
        if (member && json_object_set(part, public_members[i], member) < 0) {
            json_decref(part);
            return NULL;
        }
    }
    return part;
}

static const char *publish(const json_t *json, const struct jwk_set *set, struct buffer *out)
{
    json_t *keys = json_array();

    for (size_t i = 0; i < set->count; i++) {
        const json_t *key = json_array_get(json_object_get(json, "keys"), i);
        if (set->keys[i].alg == JWK_HS256 || json_array_append_new(keys, public_part(key)) < 0) {
            json_decref(keys);
            return "a key of HS256 has no public part: who can check its tokens can make them";
        }
    }
    return append_set(keys, out) < 0 ? "no memory" : NULL;
}

int token_key_publish(const char *path, struct buffer *out)
{
    char problem[JWK_PROBLEM_MAX];
    struct jwk_set set = {0};
    json_t *json = NULL;
    bool is_public;
    const char *why = problem;

    if (jwk_file_read(path, &json, &is_public, problem) == 0 &&
        jwk_set_parse(json, &set, problem) == 0)
        why = publish(json, &set, out);
    jwk_set_done(&set);
    json_decref(json);
    if (why)
        (void)fprintf(stderr, "concordctl: %s: %s\n", path, why);
    return why ? -EINVAL : 0;
}
