#include "tokens.h"

#include "common/base64url.h"

#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <sys/stat.h>

#define SIGNATURE_MAX 1024

struct signer signer_new(enum jwk_alg alg)
{
    struct signer s = {.alg = alg, .secret_len = 32};

    if (alg == JWK_HS256)
        cr_assert_eq(RAND_bytes(s.secret, (int)s.secret_len), 1);
    else
        s.key = alg == JWK_RS256 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    cr_assert(alg == JWK_HS256 || s.key);
    return s;
}

struct signer signer_of_secret(struct slice secret)
{
    struct signer s = {.alg = JWK_HS256, .secret_len = secret.len};

    cr_assert_leq(secret.len, sizeof(s.secret));
    memcpy(s.secret, secret.data, secret.len);
    return s;
}

void signer_done(struct signer *s)
{
    EVP_PKEY_free(s->key);
    s->key = NULL;
}

static char *encode(struct slice bytes)
{
    size_t len = base64url_encoded_len(bytes.len);
    char *chars = xmalloc(len + 1);

    base64url_encode(bytes, chars);
    chars[len] = '\0';
    return chars;
}

/* With quotation marks for apostrophes; newly allocated. */
static char *quoted(const char *json)
{
    char *text = xstrdup(json);

    for (char *c = text; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    return text;
}

static char *number(const struct signer *s, const char *param)
{
    BIGNUM *n = NULL;
    uint8_t bytes[1024];

    cr_assert_eq(EVP_PKEY_get_bn_param(s->key, param, &n), 1);
    int len = BN_bn2bin(n, bytes);
    if (s->alg == JWK_ES256)
        len = BN_bn2binpad(n, bytes, JWK_P256_BYTES);
    BN_free(n);
    return encode(slice_of(bytes, (size_t)len));
}

char *signer_jwk(const struct signer *s, const char *kid)
{
    bool is_rsa = s->alg == JWK_RS256;

    if (s->alg == JWK_HS256) {
        char *k CLEANUP_FREE = encode(slice_of(s->secret, s->secret_len));
        return xasprintf("{'kty':'oct','alg':'HS256','kid':'%s','k':'%s'}", kid, k);
    }
    char *a CLEANUP_FREE = number(s, is_rsa ? OSSL_PKEY_PARAM_RSA_N : OSSL_PKEY_PARAM_EC_PUB_X);
    char *b CLEANUP_FREE = number(s, is_rsa ? OSSL_PKEY_PARAM_RSA_E : OSSL_PKEY_PARAM_EC_PUB_Y);
    if (is_rsa)
        return xasprintf("{'kty':'RSA','alg':'RS256','kid':'%s','n':'%s','e':'%s'}", kid, a, b);
    return xasprintf("{'kty':'EC','crv':'P-256','alg':'ES256','kid':'%s','x':'%s','y':'%s'}", kid,
                     a, b);
}

char *token_part(const char *json)
{
    char *text CLEANUP_FREE = quoted(json);

    return encode(slice_str(text));
}

size_t token_der_signature(const struct signer *s, const char *parts, uint8_t *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = SIGNATURE_MAX;

    cr_assert_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, s->key), 1);
    cr_assert_eq(EVP_DigestSign(ctx, out, &len, (const uint8_t *)parts, strlen(parts)), 1);
    EVP_MD_CTX_free(ctx);
    return len;
}

size_t token_signature(const struct signer *s, const char *parts, uint8_t *out)
{
    uint8_t der[SIGNATURE_MAX];
    const uint8_t *at = der;
    unsigned len = 0;

    if (s->alg == JWK_HS256) {
        cr_assert_not_null(HMAC(EVP_sha256(), s->secret, (int)s->secret_len, (const uint8_t *)parts,
                                strlen(parts), out, &len));
        return len;
    }
    if (s->alg == JWK_RS256)
        return token_der_signature(s, parts, out);
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)token_der_signature(s, parts, der));
    cr_assert_not_null(pair);
    cr_assert_gt(BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, JWK_P256_BYTES), 0);
    cr_assert_gt(BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + JWK_P256_BYTES, JWK_P256_BYTES), 0);
    ECDSA_SIG_free(pair);
    return (size_t)2 * JWK_P256_BYTES;
}

char *token_with_signature(const char *parts, struct slice signature)
{
    char *chars CLEANUP_FREE = encode(signature);

    return xasprintf("%s.%s", parts, chars);
}

char *token_sign_parts(const struct signer *s, const char *parts)
{
    uint8_t bytes[SIGNATURE_MAX];

    return token_with_signature(parts, slice_of(bytes, token_signature(s, parts, bytes)));
}

char *token_sign(const struct signer *s, const char *header, const char *claims)
{
    char *head CLEANUP_FREE = token_part(header);
    char *body CLEANUP_FREE = token_part(claims);
    char *parts CLEANUP_FREE = xasprintf("%s.%s", head, body);

    return token_sign_parts(s, parts);
}

int token_load_keys(const char *text, mode_t mode, struct keys **ret)
{
    char path[] = "/tmp/concord-keys-XXXXXX";
    char *json CLEANUP_FREE = quoted(text);
    int fd CLEANUP_FD = mkstemp(path);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, json, strlen(json)), (ssize_t)strlen(json));
    cr_assert_eq(fchmod(fd, mode), 0);
    int r = keys_load(path, ret);
    cr_assert_eq(unlink(path), 0);
    return r;
}
