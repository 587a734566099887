#include "gateway/token.h"

#include "common/base64url.h"
#include "common/buffer.h"
#include "tokens.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#define NOW     1700000000u
#define HS      "{'alg':'HS256','kid':'hs'}"
#define RS      "{'alg':'RS256','kid':'rs'}"
#define ES      "{'alg':'ES256','kid':'es'}"
#define ROOMS   "'rooms':{'*':'write'}"
#define BODY    "'sub':'u','exp':1700000060," ROOMS
#define CLAIMS  "{" BODY "}"
#define WITH(x) "{" x "," BODY "}"

#define VALID TOKEN_ERROR_COUNT

static struct signer hs, rs, es, hs_other, rs_other, es_other;
static struct keys *keys;

static void setup(void)
{
    hs = signer_new(JWK_HS256);
    rs = signer_new(JWK_RS256);
    es = signer_new(JWK_ES256);
    hs_other = signer_new(JWK_HS256);
    rs_other = signer_new(JWK_RS256);
    es_other = signer_new(JWK_ES256);
    char *a CLEANUP_FREE = signer_jwk(&hs, "hs");
    char *b CLEANUP_FREE = signer_jwk(&rs, "rs");
    char *c CLEANUP_FREE = signer_jwk(&es, "es");
    char *text CLEANUP_FREE = xasprintf("{'keys':[%s,%s,%s]}", a, b, c);
    cr_assert_eq(token_load_keys(text, 0600, &keys), 0);
}

static void teardown(void)
{
    struct signer *all[] = {&hs, &rs, &es, &hs_other, &rs_other, &es_other};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        signer_done(all[i]);
    keys_free(keys);
    keys = NULL;
}

TestSuite(token, .init = setup, .fini = teardown);

/* What becomes of a token: VALID, or why it is refused. The token is copied, so that reading beyond
 * it is found. */
static enum token_error verdict_at(struct slice token, const struct token_rules *rules,
                                   uint64_t now_s)
{
    struct principal *p = NULL;
    enum token_error error = VALID;
    uint8_t *copy CLEANUP_FREE = xmalloc(token.len ? token.len : 1);

    if (token.len > 0)
        memcpy(copy, token.data, token.len);
    int r = token_verify(keys, rules, slice_of(copy, token.len), now_s, &p, &error);
    cr_expect_eq(r, error == VALID ? 0 : -EACCES);
    cr_expect_eq(p != NULL, r == 0);
    cr_expect_eq(ERR_peek_error(), 0, "TLS would take it for its own");
    principal_unref(p);
    return error;
}

static const struct token_rules plain_rules = {.skew_s = TOKEN_SKEW_S};

static enum token_error verdict(const char *token)
{
    return verdict_at(slice_str(token), &plain_rules, NOW);
}

static const char *name_of(enum token_error error)
{
    return error == VALID ? "valid" : token_error_name(error);
}

#define EXPECT_VERDICT(token, wanted, what)                                                        \
    do {                                                                                           \
        enum token_error got_ = verdict(token);                                                    \
        cr_expect_eq(got_, wanted, "%s: %s, not %s", what, name_of(got_), name_of(wanted));        \
    } while (0)

/* ---- headers and claims, signed with the right key and with others ---- */

static const struct {
    const struct signer *signer;
    const char *header;
    const char *claims;
    enum token_error wanted;
} rows[] = {
    {&hs, HS, CLAIMS, VALID},
    {&rs, RS, CLAIMS, VALID},
    {&es, ES, CLAIMS, VALID},
    {&hs, " {'typ':'JWT', 'kid':'hs', 'alg':'HS256'} ", CLAIMS, VALID},
    /* another key under the name of a right one */
    {&hs_other, HS, CLAIMS, TOKEN_BAD_SIGNATURE},
    {&rs_other, RS, CLAIMS, TOKEN_BAD_SIGNATURE},
    {&es_other, ES, CLAIMS, TOKEN_BAD_SIGNATURE},
    /* the algorithm is the key's */
    {&hs, "{'alg':'none','kid':'hs'}", CLAIMS, TOKEN_WRONG_ALGORITHM},
    {&hs, "{'alg':'None','kid':'hs'}", CLAIMS, TOKEN_WRONG_ALGORITHM},
    {&hs, "{'alg':'HS512','kid':'hs'}", CLAIMS, TOKEN_WRONG_ALGORITHM},
    {&hs, "{'alg':'hs256','kid':'hs'}", CLAIMS, TOKEN_WRONG_ALGORITHM},
    {&hs, "{'alg':'','kid':'hs'}", CLAIMS, TOKEN_WRONG_ALGORITHM},
    {&hs, "{'alg':'HS256','kid':'rs'}", CLAIMS, TOKEN_WRONG_ALGORITHM},
    {&hs, "{'alg':'HS256','kid':'es'}", CLAIMS, TOKEN_WRONG_ALGORITHM},
    {&rs, "{'alg':'RS256','kid':'hs'}", CLAIMS, TOKEN_WRONG_ALGORITHM},
    {&rs, "{'alg':'RS384','kid':'rs'}", CLAIMS, TOKEN_WRONG_ALGORITHM},
    {&rs, "{'alg':'PS256','kid':'rs'}", CLAIMS, TOKEN_WRONG_ALGORITHM},
    {&es, "{'alg':'ES256','kid':'rs'}", CLAIMS, TOKEN_WRONG_ALGORITHM},
    {&hs, RS, CLAIMS, TOKEN_BAD_SIGNATURE},
    {&hs, "{'kid':'hs'}", CLAIMS, TOKEN_MALFORMED},
    {&hs, "{'alg':null,'kid':'hs'}", CLAIMS, TOKEN_MALFORMED},
    {&hs, "{'alg':['HS256'],'kid':'hs'}", CLAIMS, TOKEN_MALFORMED},
    /* the key is the one of that name */
    {&hs, "{'alg':'HS256'}", CLAIMS, TOKEN_UNKNOWN_KEY}, /* there are several */
    {&hs, "{'alg':'HS256','kid':''}", CLAIMS, TOKEN_UNKNOWN_KEY},
    {&hs, "{'alg':'HS256','kid':'HS'}", CLAIMS, TOKEN_UNKNOWN_KEY},
    {&hs, "{'alg':'HS256','kid':'../../dev/null'}", CLAIMS, TOKEN_UNKNOWN_KEY},
    {&hs, "{'alg':'HS256','kid':'hs\\n'}", CLAIMS, TOKEN_UNKNOWN_KEY},
    {&hs, "{'alg':'HS256','kid':'hs\\u0000'}", CLAIMS, TOKEN_MALFORMED},
    {&hs, "{'alg':'HS256','kid':1}", CLAIMS, TOKEN_MALFORMED},
    {&hs, "{'alg':'HS256','kid':null}", CLAIMS, TOKEN_MALFORMED},
    {&hs, "{'alg':'HS256','kid':['hs']}", CLAIMS, TOKEN_MALFORMED},
    /* keys that the token brings along are not looked at */
    {&hs, "{'alg':'HS256','kid':'hs','jku':'http://evil.com','x5u':'x','x5c':[]}", CLAIMS, VALID},
    {&hs_other, "{'alg':'HS256','kid':'hs','jwk':{'kty':'oct','k':'AA'}}", CLAIMS,
     TOKEN_BAD_SIGNATURE},
    {&hs_other, "{'alg':'HS256','jku':'http://evil.com/keys'}", CLAIMS, TOKEN_UNKNOWN_KEY},
    /* what must be understood and is not */
    {&hs, "{'alg':'HS256','kid':'hs','crit':['exp']}", CLAIMS, TOKEN_UNSUPPORTED},
    {&hs, "{'alg':'HS256','kid':'hs','crit':[]}", CLAIMS, TOKEN_UNSUPPORTED},
    {&hs, "{'alg':'HS256','kid':'hs','b64':false}", CLAIMS, TOKEN_UNSUPPORTED},
    {&hs, "{'alg':'HS256','kid':'hs','b64':true}", CLAIMS, TOKEN_UNSUPPORTED},
    /* headers that are no object */
    {&hs, "{'alg':'HS256','alg':'HS256','kid':'hs'}", CLAIMS, TOKEN_MALFORMED},
    {&hs, "{'alg':'none','kid':'hs','alg':'HS256'}", CLAIMS, TOKEN_MALFORMED},
    {&hs, "['HS256']", CLAIMS, TOKEN_MALFORMED},
    {&hs, "'HS256'", CLAIMS, TOKEN_MALFORMED},
    {&hs, HS "x", CLAIMS, TOKEN_MALFORMED},
    {&hs, HS HS, CLAIMS, TOKEN_MALFORMED},
    {&hs, "{'alg':'HS256','kid':'hs',}", CLAIMS, TOKEN_MALFORMED},
    {&hs, "{'alg':'HS256','kid':'hs\xff'}", CLAIMS, TOKEN_MALFORMED},
    /* claims that are no object */
    {&hs, HS, "[" CLAIMS "]", TOKEN_BAD_CLAIMS},
    {&hs, HS, "null", TOKEN_BAD_CLAIMS},
    {&hs, HS, "x", TOKEN_BAD_CLAIMS},
    {&hs, HS, CLAIMS CLAIMS, TOKEN_BAD_CLAIMS},
    {&hs, HS, WITH("'sub':'admin'"), TOKEN_BAD_CLAIMS},
    {&hs, HS, WITH("'exp':9999999999"), TOKEN_BAD_CLAIMS},
    {&hs, HS, WITH("'\\u0073ub':'admin'"), TOKEN_BAD_CLAIMS},
    {&hs, HS, WITH("'deep':{'a':1,'a':2}"), TOKEN_BAD_CLAIMS},
    {&hs, HS, WITH("'more':[{'deep':[null,1.5,true]}],'jti':'x'"), VALID},
    /* times */
    {&hs, HS, "{'sub':'u'," ROOMS "}", TOKEN_BAD_TIMES},
    {&hs, HS, "{'exp':null,'sub':'u'," ROOMS "}", TOKEN_BAD_TIMES},
    {&hs, HS, "{'exp':'1700000060','sub':'u'," ROOMS "}", TOKEN_BAD_TIMES},
    {&hs, HS, "{'exp':1700000060.0,'sub':'u'," ROOMS "}", TOKEN_BAD_TIMES},
    {&hs, HS, "{'exp':1.7e9,'sub':'u'," ROOMS "}", TOKEN_BAD_TIMES},
    {&hs, HS, "{'exp':true,'sub':'u'," ROOMS "}", TOKEN_BAD_TIMES},
    {&hs, HS, "{'exp':[1700000060],'sub':'u'," ROOMS "}", TOKEN_BAD_TIMES},
    {&hs, HS, "{'exp':-1,'sub':'u'," ROOMS "}", TOKEN_BAD_TIMES},
    {&hs, HS, "{'exp':253402300800,'sub':'u'," ROOMS "}", TOKEN_BAD_TIMES},
    {&hs, HS, "{'exp':9223372036854775807,'sub':'u'," ROOMS "}", TOKEN_BAD_TIMES},
    {&hs, HS, "{'exp':9223372036854775808,'sub':'u'," ROOMS "}", TOKEN_BAD_CLAIMS},
    {&hs, HS, "{'exp':1e400,'sub':'u'," ROOMS "}", TOKEN_BAD_CLAIMS},
    {&hs, HS, "{'exp':253402300799,'sub':'u'," ROOMS "}", VALID},
    {&hs, HS, "{'exp':0,'sub':'u'," ROOMS "}", TOKEN_EXPIRED},
    {&hs, HS, "{'exp':1699999970,'sub':'u'," ROOMS "}", TOKEN_EXPIRED},
    {&hs, HS, "{'exp':1699999971,'sub':'u'," ROOMS "}", VALID}, /* within the skew */
    {&hs, HS, WITH("'nbf':1700000031"), TOKEN_NOT_YET_VALID},
    {&hs, HS, WITH("'nbf':1700000030"), VALID},
    {&hs, HS, WITH("'nbf':'0'"), TOKEN_BAD_TIMES},
    {&hs, HS, WITH("'nbf':null"), TOKEN_BAD_TIMES},
    {&hs, HS, WITH("'iat':1700000031"), TOKEN_NOT_YET_VALID},
    {&hs, HS, WITH("'iat':1700000030"), VALID},
    {&hs, HS, WITH("'iat':-5"), TOKEN_BAD_TIMES},
    /* names */
    {&hs, HS, "{'exp':1700000060," ROOMS "}", TOKEN_BAD_SUBJECT},
    {&hs, HS, "{'sub':'','exp':1700000060," ROOMS "}", TOKEN_BAD_SUBJECT},
    {&hs, HS, "{'sub':7,'exp':1700000060," ROOMS "}", TOKEN_BAD_SUBJECT},
    {&hs, HS, "{'sub':'a\\u0000b','exp':1700000060," ROOMS "}", TOKEN_BAD_CLAIMS},
    {&hs, HS, "{'sub':'a\\nb','exp':1700000060," ROOMS "}", TOKEN_BAD_SUBJECT},
    {&hs, HS, "{'sub':'a\\u0085b','exp':1700000060," ROOMS "}", TOKEN_BAD_SUBJECT},
    {&hs, HS, "{'sub':'\xff','exp':1700000060," ROOMS "}", TOKEN_BAD_CLAIMS},
    {&hs, HS, "{'sub':'\\ud800','exp':1700000060," ROOMS "}", TOKEN_BAD_CLAIMS},
    {&hs, HS, "{'sub':'K\xc3\xa9rim @ 7','exp':1700000060," ROOMS "}", VALID},
    {&hs, HS, WITH("'tenant':''"), TOKEN_BAD_TENANT},
    {&hs, HS, WITH("'tenant':null"), TOKEN_BAD_TENANT},
    {&hs, HS, WITH("'tenant':{}"), TOKEN_BAD_TENANT},
    {&hs, HS, WITH("'tenant':'a\\u007f'"), TOKEN_BAD_TENANT},
    {&hs, HS, WITH("'tenant':'../acme'"), VALID},
    /* rooms */
    {&hs, HS, "{'sub':'u','exp':1700000060}", TOKEN_BAD_ROOMS},
    {&hs, HS, "{'sub':'u','exp':1700000060,'rooms':null}", TOKEN_BAD_ROOMS},
    {&hs, HS, "{'sub':'u','exp':1700000060,'rooms':'*'}", TOKEN_BAD_ROOMS},
    {&hs, HS, "{'sub':'u','exp':1700000060,'rooms':[['*','read']]}", TOKEN_BAD_ROOMS},
    {&hs, HS, "{'sub':'u','exp':1700000060,'rooms':{'':'read'}}", TOKEN_BAD_ROOMS},
    {&hs, HS, "{'sub':'u','exp':1700000060,'rooms':{'a':'read','b':'owner'}}", TOKEN_BAD_ROOMS},
    {&hs, HS, "{'sub':'u','exp':1700000060,'rooms':{'a':'none'}}", TOKEN_BAD_ROOMS},
    {&hs, HS, "{'sub':'u','exp':1700000060,'rooms':{'a':'Read'}}", TOKEN_BAD_ROOMS},
    {&hs, HS, "{'sub':'u','exp':1700000060,'rooms':{'a':true}}", TOKEN_BAD_ROOMS},
    {&hs, HS, "{'sub':'u','exp':1700000060,'rooms':{'a':['read']}}", TOKEN_BAD_ROOMS},
    {&hs, HS, "{'sub':'u','exp':1700000060,'rooms':{'a':'read','a':'admin'}}", TOKEN_BAD_CLAIMS},
    {&hs, HS, "{'sub':'u','exp':1700000060,'rooms':{}}", VALID}, /* who may nothing */
};

Test(token, forgeries_and_their_counterparts)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *token CLEANUP_FREE = token_sign(rows[i].signer, rows[i].header, rows[i].claims);
        char *what CLEANUP_FREE = xasprintf("%s %s", rows[i].header, rows[i].claims);
        EXPECT_VERDICT(token, rows[i].wanted, what);
    }
}

/* ---- what a public key is no secret for ---- */

/* The key as people copy it, in PEM or DER, taken for the secret of HS256. */
Test(token, a_public_key_is_no_secret)
{
    const struct signer *signers[] = {&rs, &es};
    static const char *const headers[] = {"{'alg':'HS256','kid':'rs'}",
                                          "{'alg':'HS256','kid':'es'}"};

    for (size_t i = 0; i < 2; i++) {
        BIO *pem = BIO_new(BIO_s_mem());
        uint8_t *der = NULL;
        char *text = NULL;
        char digest[EVP_MAX_MD_SIZE];
        unsigned len = 0;
        cr_assert_eq(PEM_write_bio_PUBKEY(pem, signers[i]->key), 1);
        int der_len = i2d_PUBKEY(signers[i]->key, &der);
        long pem_len = BIO_get_mem_data(pem, &text);
        char *head CLEANUP_FREE = token_part(headers[i]);
        char *body CLEANUP_FREE = token_part(CLAIMS);
        char *parts CLEANUP_FREE = xasprintf("%s.%s", head, body);
        const struct slice secrets[] = {slice_of(text, (size_t)pem_len),
                                        slice_of(der, (size_t)der_len)};
        for (size_t k = 0; k < 2; k++) {
            cr_assert_not_null(HMAC(EVP_sha256(), secrets[k].data, (int)secrets[k].len,
                                    (const uint8_t *)parts, strlen(parts), (uint8_t *)digest,
                                    &len));
            char *token CLEANUP_FREE = token_with_signature(parts, slice_of(digest, len));
            EXPECT_VERDICT(token, TOKEN_WRONG_ALGORITHM, headers[i]);
        }
        OPENSSL_free(der);
        BIO_free(pem);
    }
}

Test(token, an_empty_secret_signs_nothing)
{
    struct signer empty = signer_of_secret(slice_of("", 0));
    char *token CLEANUP_FREE = token_sign(&empty, HS, CLAIMS);

    EXPECT_VERDICT(token, TOKEN_BAD_SIGNATURE, "an empty secret");
}

/* ---- the form ---- */

/* A valid token's text with `%1`, `%2`, `%3` for its parts. */
static char *arrange(const char *form, const char *token)
{
    struct buffer out = {0};
    const char *parts[3] = {token, strchr(token, '.') + 1, strrchr(token, '.') + 1};
    const size_t lens[3] = {strcspn(parts[0], "."), strcspn(parts[1], "."), strlen(parts[2])};

    for (const char *c = form; *c; c++) {
        size_t i = *c == '%' ? (size_t)(*++c - '1') : 3;
        buffer_append(&out, i < 3 ? parts[i] : c, i < 3 ? lens[i] : 1);
    }
    buffer_append(&out, "", 1);
    return (char *)out.data;
}

Test(token, forms)
{
    static const struct {
        const char *form;
        enum token_error wanted;
    } forms[] = {
        {"%1.%2.%3", VALID},
        {"", TOKEN_MALFORMED},
        {".", TOKEN_MALFORMED},
        {"..", TOKEN_MALFORMED},
        {"...", TOKEN_MALFORMED},
        {"%1", TOKEN_MALFORMED},
        {"%1.%2", TOKEN_MALFORMED},
        {"%1.%2.", TOKEN_MALFORMED},
        {"%1..%3", TOKEN_MALFORMED},
        {".%2.%3", TOKEN_MALFORMED},
        {"%1.%2.%3.", TOKEN_MALFORMED},
        {"%1.%2.%3.%3", TOKEN_MALFORMED},
        {"%1.%2.%3.%1.%2", TOKEN_MALFORMED}, /* as many as an encrypted one has */
        {" %1.%2.%3", TOKEN_MALFORMED},
        {"%1.%2.%3 ", TOKEN_MALFORMED},
        {"%1.%2.%3\n", TOKEN_MALFORMED},
        {"%1\n.%2.%3", TOKEN_MALFORMED},
        {"%1. %2.%3", TOKEN_MALFORMED},
        {"%1=.%2.%3", TOKEN_MALFORMED},
        {"%1.%2==.%3", TOKEN_MALFORMED},
        {"%1.%2.%3=", TOKEN_MALFORMED},
        {"%1.%2.%3+", TOKEN_MALFORMED},
        {"%1.%2.%3/", TOKEN_MALFORMED},
        {"Bearer %1.%2.%3", TOKEN_MALFORMED},
        {"{%1.%2.%3", TOKEN_MALFORMED},
        {"%1.%2.AA", TOKEN_BAD_SIGNATURE},
        {"%2.%1.%3", TOKEN_MALFORMED},
        {"%1.%1.%3", TOKEN_BAD_SIGNATURE},
    };
    char *token CLEANUP_FREE = token_sign(&hs, HS, CLAIMS);

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        char *arranged CLEANUP_FREE = arrange(forms[i].form, token);
        EXPECT_VERDICT(arranged, forms[i].wanted, forms[i].form);
    }
    cr_expect_eq(verdict_at(slice_of(token, strlen(token) + 1), &plain_rules, NOW), TOKEN_MALFORMED,
                 "a NUL behind it");
}

#define ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/* Whatever character of a token is another one, it is not the token any more. The last one may hold
 * bits that belong to no byte: those count too. */
Test(token, no_character_can_be_changed)
{
    const struct signer *signers[] = {&hs, &es, &rs};
    static const char *const headers[] = {HS, ES, RS};

    for (size_t k = 0; k < 3; k++) {
        char *token CLEANUP_FREE = token_sign(signers[k], headers[k], CLAIMS);
        for (char *c = token; *c; c++) {
            char was = *c;
            for (const char *other = c[1] ? "AQgw-_B8" : ALPHABET; *other; other++) {
                *c = *other;
                cr_expect(*other == was || verdict(token) != VALID, "%s", token);
            }
            *c = was;
        }
        EXPECT_VERDICT(token, VALID, "as it was");
    }
}

Test(token, no_part_of_a_token_is_one)
{
    char *token CLEANUP_FREE = token_sign(&es, ES, CLAIMS);

    for (size_t len = 0; len < strlen(token); len++)
        cr_expect_neq(verdict_at(slice_of(token, len), &plain_rules, NOW), VALID);
}

/* A token whose claims are filled up to `len` characters in all. */
static char *token_of_length(size_t len)
{
    for (int fill = 5900; fill < 6200; fill++) {
        char *claims CLEANUP_FREE = xasprintf("{'fill':'%0*d'," BODY "}", fill, 0);
        char *token = token_sign(&hs, HS, claims);
        if (strlen(token) >= len)
            return token;
        free(token);
    }
    cr_assert_fail("no such length");
    return NULL;
}

Test(token, has_at_most_8_kib)
{
    char *fits CLEANUP_FREE = token_of_length(8191);
    char *over CLEANUP_FREE = token_of_length(8193);

    cr_assert_leq(strlen(fits), 8192);
    EXPECT_VERDICT(fits, VALID, "8 KiB");
    EXPECT_VERDICT(over, TOKEN_TOO_LONG, "more than 8 KiB");
    size_t huge = (size_t)64 << 20;
    uint8_t *bytes CLEANUP_FREE = xmalloc(huge);
    memset(bytes, 'A', huge);
    cr_expect_eq(verdict_at(slice_of(bytes, huge), &plain_rules, NOW), TOKEN_TOO_LONG);
    cr_expect_eq(verdict_at(slice_of(bytes, 8192), &plain_rules, NOW), TOKEN_MALFORMED);
    memset(bytes, '.', 8192);
    cr_expect_eq(verdict_at(slice_of(bytes, 8192), &plain_rules, NOW), TOKEN_MALFORMED);
}

/* Brackets, as many as there is room for: in the header, where nothing is signed yet, and in the
 * claims by the thousand. */
Test(token, deep_nesting_is_refused)
{
    char deep[2501];

    memset(deep, '[', sizeof(deep) - 1);
    deep[2500] = '\0';
    char *header CLEANUP_FREE = xasprintf("{'alg':'HS256','kid':'hs','a':%.900s}", deep);
    char *in_header CLEANUP_FREE = token_sign(&hs, header, CLAIMS);
    char *claims CLEANUP_FREE = xasprintf("{'a':%s," BODY "}", deep);
    char *in_claims CLEANUP_FREE = token_sign(&hs, HS, claims);
    EXPECT_VERDICT(in_header, TOKEN_MALFORMED, "deep header");
    EXPECT_VERDICT(in_claims, TOKEN_BAD_CLAIMS, "deep claims");
}

Test(token, headers_have_at_most_1_kib)
{
    const int around = (int)strlen("{'alg':'HS256','kid':'hs','fill':''}");

    for (int len = 1024; len <= 1025; len++) {
        char *header CLEANUP_FREE =
            xasprintf("{'alg':'HS256','kid':'hs','fill':'%0*d'}", len - around, 0);
        char *token CLEANUP_FREE = token_sign(&hs, header, CLAIMS);
        cr_assert_eq(strlen(header), len);
        EXPECT_VERDICT(token, len == 1024 ? VALID : TOKEN_TOO_LONG, "a long header");
    }
}

Test(token, long_names_of_keys)
{
    for (int len = 128; len <= 900; len += 386) {
        char *header CLEANUP_FREE = xasprintf("{'alg':'HS256','kid':'%0*d'}", len, 0);
        char *token CLEANUP_FREE = token_sign(&hs, header, CLAIMS);
        EXPECT_VERDICT(token, TOKEN_UNKNOWN_KEY, "a long kid");
    }
}

Test(token, long_subjects_and_tenants)
{
    for (int len = 255; len <= 256; len++) {
        char *claims CLEANUP_FREE = xasprintf("{'sub':'%0*d','exp':1700000060," ROOMS "}", len, 0);
        char *token CLEANUP_FREE = token_sign(&hs, HS, claims);
        EXPECT_VERDICT(token, len == 255 ? VALID : TOKEN_BAD_SUBJECT, "sub");
        char *tenant CLEANUP_FREE = xasprintf("{'tenant':'%0*d'," BODY "}", len, 0);
        char *other CLEANUP_FREE = token_sign(&hs, HS, tenant);
        EXPECT_VERDICT(other, len == 255 ? VALID : TOKEN_BAD_TENANT, "tenant");
        char *rooms CLEANUP_FREE =
            xasprintf("{'sub':'u','exp':1700000060,'rooms':{'%0*d':'read'}}", len, 0);
        char *third CLEANUP_FREE = token_sign(&hs, HS, rooms);
        EXPECT_VERDICT(third, len == 255 ? VALID : TOKEN_BAD_ROOMS, "pattern");
    }
}

/* ---- signatures ---- */

/* `header`.CLAIMS, to be signed. */
static char *parts_of(const char *header)
{
    char *head CLEANUP_FREE = token_part(header);
    char *body CLEANUP_FREE = token_part(CLAIMS);

    return xasprintf("%s.%s", head, body);
}

static void expect_signature(const char *parts, const uint8_t *bytes, size_t len,
                             enum token_error wanted, const char *what)
{
    char *token CLEANUP_FREE = token_with_signature(parts, slice_of(bytes, len));

    EXPECT_VERDICT(token, wanted, what);
}

Test(token, signatures_of_es256)
{
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                      0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    char *parts CLEANUP_FREE = parts_of(ES);
    uint8_t good[1024];
    uint8_t bad[1024];
    size_t len = token_signature(&es, parts, good);

    cr_assert_eq(len, 64);
    expect_signature(parts, good, 64, VALID, "r and s");
    expect_signature(parts, good, 63, TOKEN_BAD_SIGNATURE, "one byte less");
    good[64] = 0;
    expect_signature(parts, good, 65, TOKEN_BAD_SIGNATURE, "one byte more");
    expect_signature(parts, good, 32, TOKEN_BAD_SIGNATURE, "r alone");
    expect_signature(parts, bad, token_der_signature(&es, parts, bad), TOKEN_BAD_SIGNATURE, "DER");
    memset(bad, 0, 64);
    expect_signature(parts, bad, 64, TOKEN_BAD_SIGNATURE, "both zero");
    memcpy(bad, good, 32);
    expect_signature(parts, bad, 64, TOKEN_BAD_SIGNATURE, "s is zero");
    memset(bad, 0, 32);
    memcpy(bad + 32, good + 32, 32);
    expect_signature(parts, bad, 64, TOKEN_BAD_SIGNATURE, "r is zero");
    memcpy(bad, good + 32, 32);
    memcpy(bad + 32, good, 32);
    expect_signature(parts, bad, 64, TOKEN_BAD_SIGNATURE, "the other way round");
    memcpy(bad, order, 32);
    memcpy(bad + 32, order, 32);
    expect_signature(parts, bad, 64, TOKEN_BAD_SIGNATURE, "the order of the curve");
    memset(bad, 0xff, 64);
    expect_signature(parts, bad, 64, TOKEN_BAD_SIGNATURE, "over the order");
}

Test(token, signatures_of_hs256_and_rs256)
{
    const struct signer *signers[] = {&hs, &rs};
    static const char *const headers[] = {HS, RS};

    for (size_t i = 0; i < 2; i++) {
        char *parts CLEANUP_FREE = parts_of(headers[i]);
        uint8_t bytes[1024] = {0};
        size_t len = token_signature(signers[i], parts, bytes);
        expect_signature(parts, bytes, len, VALID, "whole");
        expect_signature(parts, bytes, len - 1, TOKEN_BAD_SIGNATURE, "one byte less");
        expect_signature(parts, bytes, len + 1, TOKEN_BAD_SIGNATURE, "one byte more");
        expect_signature(parts, bytes, 1, TOKEN_BAD_SIGNATURE, "one byte");
        bytes[len - 1] ^= 1;
        expect_signature(parts, bytes, len, TOKEN_BAD_SIGNATURE, "another bit");
        memset(bytes, 0, len);
        expect_signature(parts, bytes, len, TOKEN_BAD_SIGNATURE, "zeros");
    }
}

/* Claims of one token with the signature of another. */
Test(token, parts_of_two_tokens_make_none)
{
    char *read CLEANUP_FREE = token_sign(&hs, HS, CLAIMS);
    char *other CLEANUP_FREE = token_sign(&hs, HS, WITH("'tenant':'acme'"));
    char *mixed CLEANUP_FREE =
        xasprintf("%.*s%s", (int)(strrchr(other, '.') - other), other, strrchr(read, '.'));

    EXPECT_VERDICT(mixed, TOKEN_BAD_SIGNATURE, "mixed");
}

/* ---- the only key ---- */

Test(token, the_only_key_needs_no_name)
{
    char *jwk CLEANUP_FREE = signer_jwk(&hs, "one");
    char *text CLEANUP_FREE = xasprintf("{'keys':[%s]}", jwk);
    char *nameless CLEANUP_FREE = token_sign(&hs, "{'alg':'HS256'}", CLAIMS);
    char *other CLEANUP_FREE = token_sign(&hs, HS, CLAIMS);

    keys_free(keys);
    cr_assert_eq(token_load_keys(text, 0600, &keys), 0);
    EXPECT_VERDICT(nameless, VALID, "without a name");
    EXPECT_VERDICT(other, TOKEN_UNKNOWN_KEY, "with another name");
}

/* ---- rules ---- */

Test(token, audience_and_issuer)
{
    static const struct {
        const char *claims;
        const char *audience;
        const char *issuer;
        enum token_error wanted;
    } cases[] = {
        {CLAIMS, NULL, NULL, VALID},
        {WITH("'aud':'x','iss':'y'"), NULL, NULL, VALID},
        {WITH("'aud':'concord'"), "concord", NULL, VALID},
        {WITH("'aud':['x','concord']"), "concord", NULL, VALID},
        {CLAIMS, "concord", NULL, TOKEN_WRONG_AUDIENCE},
        {WITH("'aud':'Concord'"), "concord", NULL, TOKEN_WRONG_AUDIENCE},
        {WITH("'aud':'concord2'"), "concord", NULL, TOKEN_WRONG_AUDIENCE},
        {WITH("'aud':''"), "concord", NULL, TOKEN_WRONG_AUDIENCE},
        {WITH("'aud':[]"), "concord", NULL, TOKEN_WRONG_AUDIENCE},
        {WITH("'aud':['x']"), "concord", NULL, TOKEN_WRONG_AUDIENCE},
        {WITH("'aud':['concord',1]"), "concord", NULL, TOKEN_WRONG_AUDIENCE},
        {WITH("'aud':[['concord']]"), "concord", NULL, TOKEN_WRONG_AUDIENCE},
        {WITH("'aud':{'concord':1}"), "concord", NULL, TOKEN_WRONG_AUDIENCE},
        {WITH("'iss':'me'"), NULL, "me", VALID},
        {CLAIMS, NULL, "me", TOKEN_WRONG_ISSUER},
        {WITH("'iss':'you'"), NULL, "me", TOKEN_WRONG_ISSUER},
        {WITH("'iss':['me']"), NULL, "me", TOKEN_WRONG_ISSUER},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct token_rules rules = {cases[i].audience, cases[i].issuer, TOKEN_SKEW_S};
        char *token CLEANUP_FREE = token_sign(&hs, HS, cases[i].claims);
        cr_expect_eq(verdict_at(slice_str(token), &rules, NOW), cases[i].wanted, "%s",
                     cases[i].claims);
    }
}

Test(token, skew_and_clocks)
{
    struct token_rules none = {0};
    char *token CLEANUP_FREE = token_sign(&hs, HS, WITH("'nbf':1700000000"));
    struct slice t = slice_str(token);

    cr_expect_eq(verdict_at(t, &none, NOW - 1), TOKEN_NOT_YET_VALID);
    cr_expect_eq(verdict_at(t, &none, NOW), VALID);
    cr_expect_eq(verdict_at(t, &none, NOW + 59), VALID);
    cr_expect_eq(verdict_at(t, &none, NOW + 60), TOKEN_EXPIRED);
    cr_expect_eq(verdict_at(t, &plain_rules, NOW - 31), TOKEN_NOT_YET_VALID);
    cr_expect_eq(verdict_at(t, &plain_rules, NOW - 30), VALID);
    cr_expect_eq(verdict_at(t, &plain_rules, NOW + 89), VALID);
    cr_expect_eq(verdict_at(t, &plain_rules, NOW + 90), TOKEN_EXPIRED);
}

/* ---- principals ---- */

static struct principal *principal_of(const char *claims)
{
    char *token CLEANUP_FREE = token_sign(&hs, HS, claims);
    struct principal *p = NULL;
    enum token_error error;

    cr_assert_eq(token_verify(keys, &plain_rules, slice_str(token), NOW, &p, &error), 0);
    return p;
}

Test(token, principal_has_what_the_token_says)
{
    struct principal *p = principal_of("{'sub':'kerim','tenant':'acme','iat':1699999999,"
                                       "'exp':1700000060,'rooms':{'a':'read'}}");
    struct principal *plain = principal_of(CLAIMS);

    cr_expect_str_eq(p->subject, "kerim");
    cr_expect_str_eq(p->tenant, "acme");
    cr_expect_eq(p->issued_s, 1699999999);
    cr_expect_eq(p->expires_s, 1700000060);
    cr_expect_str_eq(plain->tenant, "default");
    cr_expect_eq(plain->issued_s, 0);
    cr_expect_eq(principal_ref(p), p);
    principal_unref(p);
    cr_expect_str_eq(p->subject, "kerim", "one reference is left");
    principal_unref(p);
    principal_unref(plain);
}

Test(token, the_highest_access_counts)
{
    struct principal *p = principal_of(
        "{'sub':'u','exp':1700000060,'rooms':{'*':'read','docs/*':'write','docs/own/*':'admin',"
        "'docs/own/x':'read','log-?':'write'}}");
    static const struct {
        const char *room;
        enum access access;
    } cases[] = {
        {"x", ACCESS_READ},           {"docs", ACCESS_READ},        {"docs/a", ACCESS_WRITE},
        {"docs/own/a", ACCESS_ADMIN}, {"docs/own/x", ACCESS_ADMIN}, {"log-1", ACCESS_WRITE},
        {"log-10", ACCESS_READ},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(principal_access(p, slice_str(cases[i].room)), cases[i].access, "%s",
                     cases[i].room);
    principal_unref(p);
    p = principal_of("{'sub':'u','exp':1700000060,'rooms':{'a':'admin'}}");
    cr_expect_eq(principal_access(p, slice_str("b")), ACCESS_NONE);
    cr_expect_eq(principal_access(p, slice_str("A")), ACCESS_NONE);
    principal_unref(p);
}

/* ---- errors ---- */

Test(token, errors_have_names_and_texts)
{
    for (int i = 0; i < TOKEN_ERROR_COUNT; i++) {
        cr_expect_not_null(token_error_name((enum token_error)i));
        cr_expect_not_null(token_error_text((enum token_error)i));
    }
    cr_expect_str_eq(token_error_name(TOKEN_EXPIRED), "expired");
}
