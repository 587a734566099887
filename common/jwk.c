#include "common/jwk.h"

#include "common/base64url.h"
#include "common/names.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <sys/stat.h>

#define P256_NAME        "prime256v1"
#define POINT_IS_WHOLE   0x04u /* both coordinates follow (SEC 1, section 2.3.3) */
#define RSA_EXPONENT_MAX 8u    /* bytes */
#define SECRET_MAX       1024u /* bytes */

static const struct {
    const char *name;
    const char *kty;
} algs[] = {
    [JWK_HS256] = {"HS256", "oct"},
    [JWK_RS256] = {"RS256", "RSA"},
    [JWK_ES256] = {"ES256", "EC"},
};

const char *jwk_alg_name(enum jwk_alg alg)
{
    return algs[alg].name;
}

int jwk_alg_parse(struct slice name, enum jwk_alg *ret_alg)
{
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        if (slice_equal(name, slice_str(algs[i].name))) {
            *ret_alg = (enum jwk_alg)i;
            return 0;
        }
    }
    return -EINVAL;
}

bool jwk_kid_is_valid(struct slice kid)
{
    return kid.len <= JWK_KID_MAX && name_is_valid(kid) && !utf8_has_control(kid);
}

/* ---- the file ---- */

/* The length, or -errno; -EFBIG if there is more than fits. */
static ssize_t read_all(int fd, uint8_t *out, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, out + len, size - len);
        if (n == 0)
            return (ssize_t)len;
        if (n < 0 && errno != EINTR)
            return -errno;
        len += n > 0 ? (size_t)n : 0;
    }
    return -EFBIG;
}

int jwk_file_read(const char *path, json_t **ret_json, bool *ret_is_public,
                  char ret_problem[JWK_PROBLEM_MAX])
{
    /* Not to wait for whoever opens a pipe; a regular file is read all the same. */
    int fd CLEANUP_FD = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        int r = -errno;
        (void)snprintf(ret_problem, JWK_PROBLEM_MAX, "%s", strerror(-r));
        return r;
    }
    char *text = xmalloc(JWK_FILE_MAX + 1);
    ssize_t len = read_all(fd, (uint8_t *)text, JWK_FILE_MAX + 1);
    json_t *json = len < 0 ? NULL : json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, NULL);
    explicit_bzero(text, JWK_FILE_MAX + 1);
    free(text);
    if (len == -EFBIG)
        (void)snprintf(ret_problem, JWK_PROBLEM_MAX, "has more than %u bytes", JWK_FILE_MAX);
    else if (len < 0)
        (void)snprintf(ret_problem, JWK_PROBLEM_MAX, "%s", strerror((int)-len));
    else if (!json)
        (void)snprintf(ret_problem, JWK_PROBLEM_MAX, "is no JSON, or has a member twice");
    if (!json)
        return len < 0 && len != -EFBIG ? (int)len : -EINVAL;
    *ret_json = json;
    *ret_is_public = st.st_mode & S_IROTH;
    return 0;
}

/* ---- one key ---- */

uint8_t *jwk_member_bytes(const json_t *key, const char *name, size_t *ret_len)
{
    const json_t *member = json_object_get(key, name);

    if (!json_is_string(member))
        return NULL;
    struct slice chars = slice_of(json_string_value(member), json_string_length(member));
    uint8_t *bytes = xmalloc(base64url_decoded_max(chars.len));
    ssize_t len = base64url_decode(chars, bytes);
    if (len <= 0) {
        free(bytes);
        return NULL;
    }
    *ret_len = (size_t)len;
    return bytes;
}

/* NULL: OpenSSL does not take it. */
static EVP_PKEY *make_public_key(const char *type, OSSL_PARAM_BLD *builder)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        key = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static const char *build_rsa(struct jwk *key, const uint8_t *n, size_t n_len, const uint8_t *e,
                             size_t e_len)
{
    BIGNUM *modulus = BN_bin2bn(n, (int)n_len, NULL);
    BIGNUM *exponent = BN_bin2bn(e, (int)e_len, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    const char *problem = "is no RSA key";

    if (modulus && (BN_num_bits(modulus) < JWK_RSA_MIN || BN_num_bits(modulus) > JWK_RSA_MAX))
        problem = "has fewer than 2048 bits, or more than 8192";
    else if (modulus && exponent && builder && BN_is_odd(modulus) && BN_is_odd(exponent) &&
             !BN_is_one(exponent) &&
             OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) &&
             OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent))
        key->public_key = make_public_key("RSA", builder);
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    return key->public_key ? NULL : problem;
}

static const char *read_rsa(const json_t *json, struct jwk *key)
{
    size_t n_len = 0, e_len = 0;
    uint8_t *n CLEANUP_FREE = jwk_member_bytes(json, "n", &n_len);
    uint8_t *e CLEANUP_FREE = jwk_member_bytes(json, "e", &e_len);

    if (!n || !e || e_len > RSA_EXPONENT_MAX)
        return "has no sound `n` and `e`";
    return build_rsa(key, n, n_len, e, e_len);
}

static const char *read_ec(const json_t *json, struct jwk *key)
{
    size_t x_len = 0, y_len = 0;
    uint8_t *x CLEANUP_FREE = jwk_member_bytes(json, "x", &x_len);
    uint8_t *y CLEANUP_FREE = jwk_member_bytes(json, "y", &y_len);
    const char *curve = json_string_value(json_object_get(json, "crv"));
    uint8_t point[1 + 2 * JWK_P256_BYTES] = {POINT_IS_WHOLE};

    if (!curve || strcmp(curve, "P-256") != 0)
        return "is on another curve than P-256";
    if (!x || !y || x_len != JWK_P256_BYTES || y_len != JWK_P256_BYTES)
        return "has no sound `x` and `y`";
    memcpy(point + 1, x, JWK_P256_BYTES);
    memcpy(point + 1 + JWK_P256_BYTES, y, JWK_P256_BYTES);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (builder &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, P256_NAME, 0) &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)))
        key->public_key = make_public_key("EC", builder);
    OSSL_PARAM_BLD_free(builder);
    return key->public_key ? NULL : "is no point of the curve";
}

static const char *read_oct(const json_t *json, struct jwk *key)
{
    key->secret = jwk_member_bytes(json, "k", &key->secret_len);
    if (!key->secret)
        return "has no sound `k`";
    return key->secret_len < JWK_SECRET_MIN ? "has fewer than 32 bytes"
           : key->secret_len > SECRET_MAX   ? "has more than 1024 bytes"
                                            : NULL;
}

static struct slice member_text(const json_t *json, const char *name)
{
    const json_t *member = json_object_get(json, name);

    return slice_of(json_string_value(member), json_string_length(member));
}

/* What is wrong with the key, or NULL; `key` then is complete. */
static const char *read_key(const json_t *json, struct jwk *key)
{
    struct slice kid = member_text(json, "kid");
    const json_t *use = json_object_get(json, "use");

    if (!json_is_object(json))
        return "is no object";
    if (!jwk_kid_is_valid(kid))
        return "has no `kid` of 1 to 128 bytes";
    if (jwk_alg_parse(member_text(json, "alg"), &key->alg) < 0)
        return "has an `alg` other than HS256, RS256 and ES256, or none";
    if (!slice_equal(member_text(json, "kty"), slice_str(algs[key->alg].kty)))
        return "has a `kty` that does not go with its `alg`";
    if (use && !slice_equal(member_text(json, "use"), slice_str("sig")))
        return "has a `use` other than sig";
    key->kid = xasprintf("%.*s", (int)kid.len, (const char *)kid.data);
    switch (key->alg) {
    case JWK_HS256:
        return read_oct(json, key);
    case JWK_RS256:
        return read_rsa(json, key);
    case JWK_ES256:
        return read_ec(json, key);
    }
    return "has an unknown `alg`";
}

/* ---- the set ---- */

static int refuse(struct jwk_set *set, char *ret_problem, size_t index, const char *why)
{
    jwk_set_done(set);
    if (index > 0)
        (void)snprintf(ret_problem, JWK_PROBLEM_MAX, "key %zu %s", index, why);
    else
        (void)snprintf(ret_problem, JWK_PROBLEM_MAX, "%s", why);
    return -EINVAL;
}

int jwk_set_parse(const json_t *json, struct jwk_set *ret_set, char ret_problem[JWK_PROBLEM_MAX])
{
    const json_t *list = json_object_get(json, "keys");
    struct jwk_set set = {0};

    if (!json_is_array(list) || json_array_size(list) == 0)
        return refuse(&set, ret_problem, 0, "holds no keys: {\"keys\": [...]} is wanted");
    if (json_array_size(list) > JWK_KEYS_MAX)
        return refuse(&set, ret_problem, 0, "holds more than 64 keys");
    set.keys = xcalloc(json_array_size(list), sizeof(*set.keys));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *member = json_array_get(list, i);
        struct jwk *key = &set.keys[i];
        set.count = i + 1;
        const char *why = read_key(member, key);
        if (why)
            return refuse(&set, ret_problem, i + 1, why);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(set.keys[k].kid, key->kid) == 0)
                return refuse(&set, ret_problem, i + 1, "has the `kid` of another one");
        }
        set.has_secrets |= key->secret || json_object_get(member, "d");
    }
    *ret_set = set;
    return 0;
}

void jwk_set_done(struct jwk_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        struct jwk *key = &set->keys[i];
        if (key->secret)
            explicit_bzero(key->secret, key->secret_len);
        free(key->secret);
        free(key->kid);
        EVP_PKEY_free(key->public_key);
    }
    free(set->keys);
    *set = (struct jwk_set){0};
}

const struct jwk *jwk_set_find(const struct jwk_set *set, struct slice kid)
{
    if (!kid.data)
        return set->count == 1 ? &set->keys[0] : NULL;
    for (size_t i = 0; i < set->count; i++) {
        if (slice_equal(slice_str(set->keys[i].kid), kid))
            return &set->keys[i];
    }
    return NULL;
}
