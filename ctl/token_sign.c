#include "ctl/token_sign.h"

#include "common/base64url.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <stdio.h>

#define SIGNATURE_MAX 1024 /* bytes; of RSA with 8192 bits */
#define P256_NAME     "prime256v1"

/* ---- the private key ---- */

/* A private RSA key has all of these, so no slow way without the factors is needed. */
static const struct {
    const char *name;
    const char *param;
} rsa_members[] = {
    {"n", OSSL_PKEY_PARAM_RSA_N},          {"e", OSSL_PKEY_PARAM_RSA_E},
    {"d", OSSL_PKEY_PARAM_RSA_D},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
    {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
    {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
};

#define RSA_MEMBER_COUNT (sizeof(rsa_members) / sizeof(rsa_members[0]))

/* Both parts must belong together; NULL otherwise. */
static EVP_PKEY *make_private_key(const char *type, OSSL_PARAM_BLD *builder)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY_CTX *check = NULL;
    EVP_PKEY *key = NULL;

    if (params && ctx && EVP_PKEY_fromdata_init(ctx) > 0 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) > 0)
        check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (!check || EVP_PKEY_pairwise_check(check) <= 0) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(check);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

/* The number in a member, NULL if there is none. */
static BIGNUM *number_of(const json_t *jwk, const char *name)
{
    size_t len = 0;
    uint8_t *bytes CLEANUP_FREE = jwk_member_bytes(jwk, name, &len);
    BIGNUM *n = bytes ? BN_secure_new() : NULL;

    return n ? BN_bin2bn(bytes, (int)len, n) : NULL;
}

static EVP_PKEY *load_rsa(const json_t *jwk)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *numbers[RSA_MEMBER_COUNT] = {0};
    bool is_whole = builder != NULL;

    for (size_t i = 0; i < RSA_MEMBER_COUNT && is_whole; i++) {
        numbers[i] = number_of(jwk, rsa_members[i].name);
        is_whole = numbers[i] && OSSL_PARAM_BLD_push_BN(builder, rsa_members[i].param, numbers[i]);
    }
    EVP_PKEY *key = is_whole ? make_private_key("RSA", builder) : NULL;
    for (size_t i = 0; i < RSA_MEMBER_COUNT; i++)
        BN_clear_free(numbers[i]);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static EVP_PKEY *load_ec(const json_t *jwk, EVP_PKEY *public_key)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *d = number_of(jwk, "d");
    uint8_t point[1 + 2 * JWK_P256_BYTES];
    size_t len = 0;
    EVP_PKEY *key = NULL;

    if (builder && d &&
        EVP_PKEY_get_octet_string_param(public_key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
                                        &len) &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, P256_NAME, 0) &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, len) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, d))
        key = make_private_key("EC", builder);
    BN_clear_free(d);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

/* Takes the secret out of `jwk`. NULL, or what is wrong. */
static const char *load_private(const json_t *json, struct jwk *jwk, struct signing_key *key)
{
    key->alg = jwk->alg;
    key->kid = xstrdup(jwk->kid);
    switch (jwk->alg) {
    case JWK_HS256:
        key->secret = TAKE_PTR(jwk->secret);
        key->secret_len = jwk->secret_len;
        return NULL;
    case JWK_RS256:
        key->private_key = load_rsa(json);
        break;
    case JWK_ES256:
        key->private_key = load_ec(json, jwk->public_key);
        break;
    }
    return key->private_key ? NULL : "that key has no private part, or one that is not its own";
}

static const char *choose(const json_t *json, struct jwk_set *set, const char *kid,
                          struct signing_key *key)
{
    const struct jwk *found = jwk_set_find(set, kid ? slice_str(kid) : slice_of(NULL, 0));

    if (!found)
        return kid ? "has no key of that --kid" : "has several keys: --kid says which";
    size_t index = (size_t)(found - set->keys);
    return load_private(json_array_get(json_object_get(json, "keys"), index), &set->keys[index],
                        key);
}

int signing_key_load(const char *path, const char *kid, struct signing_key *ret_key)
{
    char problem[JWK_PROBLEM_MAX];
    struct signing_key key = {0};
    struct jwk_set set = {0};
    json_t *json = NULL;
    bool is_public;
    const char *why = problem;

    if (jwk_file_read(path, &json, &is_public, problem) == 0 &&
        jwk_set_parse(json, &set, problem) == 0)
        why = choose(json, &set, kid, &key);
    jwk_set_done(&set);
    json_decref(json);
    if (why) {
        (void)fprintf(stderr, "concordctl: %s: %s\n", path, why);
        signing_key_done(&key);
        return -EINVAL;
    }
    *ret_key = key;
    return 0;
}

void signing_key_done(struct signing_key *key)
{
    if (key->secret)
        explicit_bzero(key->secret, key->secret_len);
    free(key->secret);
    free(key->kid);
    EVP_PKEY_free(key->private_key);
    *key = (struct signing_key){0};
}

/* ---- signing ---- */

/* DER to r and s one after the other (RFC 7518, section 3.4). The length; 0 for a failure. */
static size_t join_pair(const uint8_t *der, size_t der_len, uint8_t *out)
{
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)der_len);
    bool is_done = pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, JWK_P256_BYTES) >= 0 &&
                   BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + JWK_P256_BYTES, JWK_P256_BYTES) >= 0;

    ECDSA_SIG_free(pair);
    return is_done ? (size_t)2 * JWK_P256_BYTES : 0;
}

/* The length of the signature in `out` (SIGNATURE_MAX bytes); 0 for a failure. */
static size_t sign(const struct signing_key *key, struct slice text, uint8_t *out)
{
    uint8_t plain[SIGNATURE_MAX];
    size_t len = sizeof(plain);
    unsigned digest_len = 0;

    if (key->alg == JWK_HS256)
        return HMAC(EVP_sha256(), key->secret, (int)key->secret_len, text.data, text.len, out,
                    &digest_len)
                   ? digest_len
                   : 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_signed = ctx &&
                     EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->private_key) == 1 &&
                     EVP_DigestSign(ctx, plain, &len, text.data, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!is_signed)
        return 0;
    if (key->alg == JWK_ES256)
        return join_pair(plain, len, out);
    memcpy(out, plain, len);
    return len;
}

static void append_part(struct buffer *out, struct slice bytes)
{
    size_t len = base64url_encoded_len(bytes.len);

    base64url_encode(bytes, (char *)buffer_reserve(out, len));
    buffer_add_len(out, len);
}

int signing_key_sign(const struct signing_key *key, const char *claims, struct buffer *out)
{
    json_t *json =
        json_pack("{s:s, s:s, s:s}", "alg", jwk_alg_name(key->alg), "kid", key->kid, "typ", "JWT");
    char *header CLEANUP_FREE = json ? json_dumps(json, JSON_COMPACT) : NULL;
    uint8_t signature[SIGNATURE_MAX];
    struct buffer parts = {0};
    size_t len = 0;

    json_decref(json);
    if (header) {
        append_part(&parts, slice_str(header));
        buffer_append(&parts, ".", 1);
        append_part(&parts, slice_str(claims));
        len = sign(key, buffer_slice(&parts), signature);
    }
    if (len > 0) {
        buffer_append(out, parts.data, parts.len);
        buffer_append(out, ".", 1);
        append_part(out, slice_of(signature, len));
    } else {
        (void)fprintf(stderr, "concordctl: the token could not be signed\n");
    }
    buffer_done(&parts);
    return len > 0 ? 0 : -EIO;
}
