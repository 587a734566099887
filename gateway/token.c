#include "gateway/token.h"

#include "common/base64url.h"
#include "common/log.h"
#include "common/names.h"
#include "common/pattern.h"
#include "gateway/keys.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>

#define SHA256_BYTES  32
#define ES256_DER_MAX 80 /* a sequence of two integers of up to 33 bytes */

static const struct {
    const char *name;
    const char *text;
} errors[] = {
#define TOKEN_ERROR_ROW(code, name, text) [code] = {name, text},
    TOKEN_ERRORS(TOKEN_ERROR_ROW)
#undef TOKEN_ERROR_ROW
};

const char *token_error_name(enum token_error error)
{
    return errors[error].name;
}

const char *token_error_text(enum token_error error)
{
    return errors[error].text;
}

static int refuse(enum token_error *ret_error, enum token_error error)
{
    *ret_error = error;
    return -EACCES;
}

/* ---- the form ---- */

/* A token, taken apart and decoded. */
struct parts {
    struct slice signed_bytes; /* in the token */
    struct slice header;       /* in `bytes`, as those below */
    struct slice claims;
    struct slice signature;
    uint8_t bytes[TOKEN_MAX / 4 * 3 + 2]; /* base64url_decoded_max(), of all together */
};

/* Decodes one part to the end of what is decoded already. */
static int decode_part(struct parts *parts, size_t *used, struct slice chars, struct slice *ret)
{
    ssize_t len = base64url_decode(chars, parts->bytes + *used);

    if (len <= 0)
        return -EBADMSG;
    *ret = slice_of(parts->bytes + *used, (size_t)len);
    *used += (size_t)len;
    return 0;
}

/* Exactly three parts, none of them empty. A third dot is no character of base64url. */
static int split(struct slice token, struct parts *parts)
{
    const uint8_t *first = memchr(token.data, '.', token.len);
    const uint8_t *end = token.data + token.len;
    const uint8_t *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    size_t used = 0;

    if (!second)
        return -EBADMSG;
    parts->signed_bytes = slice_of(token.data, (size_t)(second - token.data));
    struct slice header = slice_of(token.data, (size_t)(first - token.data));
    struct slice claims = slice_of(first + 1, (size_t)(second - first - 1));
    struct slice signature = slice_of(second + 1, (size_t)(end - second - 1));
    if (decode_part(parts, &used, header, &parts->header) < 0 ||
        decode_part(parts, &used, claims, &parts->claims) < 0)
        return -EBADMSG;
    return decode_part(parts, &used, signature, &parts->signature);
}

/* An object in which no member is twice, or NULL. */
static json_t *parse_object(struct slice text)
{
    json_t *json = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

static void cleanup_json(json_t **json)
{
    json_decref(*json);
}
#define CLEANUP_JSON __attribute__((cleanup(cleanup_json)))

static struct slice text_of(const json_t *string)
{
    return slice_of(json_string_value(string), json_string_length(string));
}

/* ---- the header ---- */

/* The key is the header's `kid` and nothing else of it: `jwk`, `jku`, `x5c` and `x5u` name keys
 * that somebody else chose, and are passed over. */
static int find_key(const struct keys *keys, struct slice header, const struct jwk **ret,
                    enum token_error *ret_error)
{
    json_t *json CLEANUP_JSON = parse_object(header);
    const json_t *alg = json_object_get(json, "alg");
    const json_t *kid = json_object_get(json, "kid");

    if (!json_is_string(alg) || (kid && !json_is_string(kid)))
        return refuse(ret_error, TOKEN_MALFORMED);
    /* Not to understand these is to refuse them (RFC 7515, section 4.1.11; RFC 7797). */
    if (json_object_get(json, "crit") || json_object_get(json, "b64"))
        return refuse(ret_error, TOKEN_UNSUPPORTED);
    const struct jwk *key = keys_find(keys, text_of(kid));
    if (!key)
        return refuse(ret_error, TOKEN_UNKNOWN_KEY);
    if (!slice_equal(text_of(alg), slice_str(jwk_alg_name(key->alg))))
        return refuse(ret_error, TOKEN_WRONG_ALGORITHM);
    *ret = key;
    return 0;
}

/* ---- the signature ---- */

static bool hmac_is_right(const struct jwk *key, struct slice text, struct slice signature)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (!HMAC(EVP_sha256(), key->secret, (int)key->secret_len, text.data, text.len, digest, &len) ||
        len != SHA256_BYTES)
        log_panic("HMAC with SHA-256 is not available");
    return signature.len == len && CRYPTO_memcmp(signature.data, digest, len) == 0;
}

static bool digest_is_signed(EVP_PKEY *key, struct slice text, struct slice signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_right = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                    EVP_DigestVerify(ctx, signature.data, signature.len, text.data, text.len) == 1;

    EVP_MD_CTX_free(ctx);
    ERR_clear_error(); /* it is for TLS to find its own errors there */
    return is_right;
}

/* JOSE writes r and s one after the other (RFC 7518, section 3.4), OpenSSL wants DER. */
static bool ecdsa_is_right(EVP_PKEY *key, struct slice text, struct slice signature)
{
    uint8_t der[ES256_DER_MAX];
    uint8_t *end = der;

    if (signature.len != 2 * (size_t)JWK_P256_BYTES)
        return false;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature.data, JWK_P256_BYTES, NULL);
    BIGNUM *s = BN_bin2bn(signature.data + JWK_P256_BYTES, JWK_P256_BYTES, NULL);
    if (!pair || !r || !s || !ECDSA_SIG_set0(pair, r, s))
        log_panic("no memory for a signature");
    int len = i2d_ECDSA_SIG(pair, NULL);
    if (len > 0 && len <= ES256_DER_MAX)
        len = i2d_ECDSA_SIG(pair, &end);
    ECDSA_SIG_free(pair);
    return len > 0 && digest_is_signed(key, text, slice_of(der, (size_t)len));
}

static bool signature_is_right(const struct jwk *key, const struct parts *parts)
{
    switch (key->alg) {
    case JWK_HS256:
        return hmac_is_right(key, parts->signed_bytes, parts->signature);
    case JWK_RS256:
        return digest_is_signed(key->public_key, parts->signed_bytes, parts->signature);
    case JWK_ES256:
        return ecdsa_is_right(key->public_key, parts->signed_bytes, parts->signature);
    }
    return false;
}

/* ---- the claims ---- */

/* A time that may be missing: `*ret_s` then stays as it is. */
static int read_time(const json_t *claims, const char *name, uint64_t *ret_s)
{
    const json_t *claim = json_object_get(claims, name);
    json_int_t value = json_integer_value(claim);

    if (!claim)
        return 0;
    if (!json_is_integer(claim) || value < 0 || (uint64_t)value > TOKEN_TIME_MAX_S)
        return -EBADMSG;
    *ret_s = (uint64_t)value;
    return 0;
}

static int check_times(const json_t *claims, const struct token_rules *rules, uint64_t now_s,
                       struct principal *p, enum token_error *ret_error)
{
    uint64_t not_before_s = 0;

    if (!json_object_get(claims, "exp") || read_time(claims, "exp", &p->expires_s) < 0 ||
        read_time(claims, "nbf", &not_before_s) < 0 || read_time(claims, "iat", &p->issued_s) < 0)
        return refuse(ret_error, TOKEN_BAD_TIMES);
    if (now_s >= p->expires_s + rules->skew_s)
        return refuse(ret_error, TOKEN_EXPIRED);
    /* A token from the future would outlive a revocation of those issued up to now. */
    if (not_before_s > now_s + rules->skew_s || p->issued_s > now_s + rules->skew_s)
        return refuse(ret_error, TOKEN_NOT_YET_VALID);
    return 0;
}

static bool is_text(const json_t *claim, const char *text)
{
    return json_is_string(claim) && slice_equal(text_of(claim), slice_str(text));
}

/* `aud` is a text or a list of them (RFC 7519, section 4.1.3). */
static bool audience_is_right(const json_t *claim, const char *audience)
{
    bool is_named = is_text(claim, audience);

    for (size_t i = 0; i < json_array_size(claim); i++) {
        const json_t *item = json_array_get(claim, i);
        if (!json_is_string(item))
            return false;
        is_named |= is_text(item, audience);
    }
    return is_named;
}

/* A new copy of a claim that names somebody, or NULL. */
static char *read_name(const json_t *claim)
{
    struct slice name = text_of(claim);

    return name_is_valid(name) && !utf8_has_control(name) ? xstrdup(json_string_value(claim))
                                                          : NULL;
}

static int read_rooms(json_t *rooms, struct principal *p)
{
    const char *pattern;
    json_t *value;

    if (!json_is_object(rooms))
        return -EBADMSG;
    p->grants = xcalloc(json_object_size(rooms) + 1, sizeof(*p->grants));
    json_object_foreach(rooms, pattern, value)
    {
        enum access access;
        if (!name_is_valid(slice_str(pattern)) || access_parse(text_of(value), &access) < 0 ||
            access == ACCESS_NONE)
            return -EBADMSG;
        p->grants[p->grant_count++] = (struct grant){.pattern = xstrdup(pattern), .access = access};
    }
    return 0;
}

/* What is read goes into `p`, whatever the result is. */
static int check_claims(struct slice text, const struct token_rules *rules, uint64_t now_s,
                        struct principal *p, enum token_error *ret_error)
{
    json_t *claims CLEANUP_JSON = parse_object(text);
    const json_t *tenant = json_object_get(claims, "tenant");

    if (!claims)
        return refuse(ret_error, TOKEN_BAD_CLAIMS);
    int r = check_times(claims, rules, now_s, p, ret_error);
    if (r < 0)
        return r;
    if (rules->audience && !audience_is_right(json_object_get(claims, "aud"), rules->audience))
        return refuse(ret_error, TOKEN_WRONG_AUDIENCE);
    if (rules->issuer && !is_text(json_object_get(claims, "iss"), rules->issuer))
        return refuse(ret_error, TOKEN_WRONG_ISSUER);
    p->subject = read_name(json_object_get(claims, "sub"));
    if (!p->subject)
        return refuse(ret_error, TOKEN_BAD_SUBJECT);
    p->tenant = tenant ? read_name(tenant) : xstrdup(TOKEN_TENANT);
    if (!p->tenant)
        return refuse(ret_error, TOKEN_BAD_TENANT);
    return read_rooms(json_object_get(claims, "rooms"), p) < 0 ? refuse(ret_error, TOKEN_BAD_ROOMS)
                                                               : 0;
}

int token_verify(const struct keys *keys, const struct token_rules *rules, struct slice token,
                 uint64_t now_s, struct principal **ret, enum token_error *ret_error)
{
    const struct jwk *key;
    struct parts parts;

    if (token.len > TOKEN_MAX)
        return refuse(ret_error, TOKEN_TOO_LONG);
    if (token.len == 0 || split(token, &parts) < 0)
        return refuse(ret_error, TOKEN_MALFORMED);
    if (parts.header.len > TOKEN_HEADER_MAX)
        return refuse(ret_error, TOKEN_TOO_LONG);
    int r = find_key(keys, parts.header, &key, ret_error);
    if (r < 0)
        return r;
    if (!signature_is_right(key, &parts))
        return refuse(ret_error, TOKEN_BAD_SIGNATURE);

    struct principal *p = xcalloc(1, sizeof(*p));
    p->refs = 1;
    r = check_claims(parts.claims, rules, now_s, p, ret_error);
    if (r < 0) {
        principal_unref(p);
        return r;
    }
    *ret = p;
    return 0;
}

/* ---- principals ---- */

struct principal *principal_new(struct slice tenant, struct slice subject, const char *pattern,
                                enum access access)
{
    struct principal *p = xcalloc(1, sizeof(*p));

    p->refs = 1;
    p->tenant = xasprintf("%.*s", (int)tenant.len, (const char *)tenant.data);
    p->subject = xasprintf("%.*s", (int)subject.len, (const char *)subject.data);
    p->grants = xcalloc(1, sizeof(*p->grants));
    p->grants[0] = (struct grant){.pattern = xstrdup(pattern), .access = access};
    p->grant_count = 1;
    return p;
}

struct principal *principal_ref(struct principal *p)
{
    p->refs++;
    return p;
}

void principal_unref(struct principal *p)
{
    if (!p || --p->refs > 0)
        return;
    for (size_t i = 0; i < p->grant_count; i++)
        free(p->grants[i].pattern);
    free(p->grants);
    free(p->tenant);
    free(p->subject);
    free(p);
}

enum access principal_access(const struct principal *p, struct slice room)
{
    enum access highest = ACCESS_NONE;

    for (size_t i = 0; i < p->grant_count; i++) {
        const struct grant *grant = &p->grants[i];
        if (grant->access > highest && pattern_fits(slice_str(grant->pattern), room))
            highest = grant->access;
    }
    return highest;
}
