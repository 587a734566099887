#include "gateway/keys.h"

#include "common/base64url.h"
#include "common/buffer.h"
#include "common/log.h"
#include "tokens.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <sys/stat.h>

#define SECRET "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" /* 32 bytes */
#define OCT    "'kty':'oct','alg':'HS256','k':'" SECRET "'"
/* The base point of P-256. */
#define X     "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY"
#define Y     "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"
#define Y_OFF "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfQ"
#define EC    "'kty':'EC','alg':'ES256','crv':'P-256'"

static const struct {
    const char *keys;
    bool is_fine;
} rows[] = {
    {"{'kid':'a'," OCT "}", true},
    {"{'kid':'a','use':'sig','key_ops':['verify'],'x':[1]," OCT "}", true},
    {"{'kid':'../a b'," OCT "},{'kid':'b'," OCT "}", true},
    {"{'kid':'a','x':'" X "','y':'" Y "'," EC "}", true},
    {"", false},
    {"1", false},
    {"'a'", false},
    {"[]", false},
    {"{}", false},
    {"{" OCT "}", false},
    {"{'kid':''," OCT "}", false},
    {"{'kid':1," OCT "}", false},
    {"{'kid':'a\\u000a'," OCT "}", false},
    {"{'kid':'a\\u0000'," OCT "}", false},
    {"{'kid':'a','kid':'b'," OCT "}", false},
    {"{'kid':'a'," OCT "},{'kid':'a'," OCT "}", false},
    {"{'kid':'a'," OCT "},{'kid':'b'}", false},
    {"{'kid':'a','use':'enc'," OCT "}", false},
    {"{'kid':'a','use':1," OCT "}", false},
    {"{'kid':'a','kty':'oct','k':'" SECRET "'}", false},
    {"{'kid':'a','kty':'oct','alg':'none','k':'" SECRET "'}", false},
    {"{'kid':'a','kty':'oct','alg':'HS512','k':'" SECRET "'}", false},
    {"{'kid':'a','kty':'oct','alg':'hs256','k':'" SECRET "'}", false},
    {"{'kid':'a','kty':'oct','alg':['HS256'],'k':'" SECRET "'}", false},
    {"{'kid':'a','kty':'oct','alg':'RS256','k':'" SECRET "'}", false},
    {"{'kid':'a','kty':'RSA','alg':'HS256','k':'" SECRET "'}", false},
    {"{'kid':'a','alg':'HS256','k':'" SECRET "'}", false},
    {"{'kid':'a','kty':'oct','alg':'HS256','k':'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg'}",
     false},
    {"{'kid':'a','kty':'oct','alg':'HS256','k':'" SECRET "='}", false},
    {"{'kid':'a','kty':'oct','alg':'HS256','k':'" SECRET "\\n'}", false},
    {"{'kid':'a','kty':'oct','alg':'HS256','k':''}", false},
    {"{'kid':'a','kty':'oct','alg':'HS256'}", false},
    {"{'kid':'a','x':'" X "','y':'" Y_OFF "'," EC "}", false},
    {"{'kid':'a','x':'" X "A','y':'" Y "'," EC "}", false}, /* a byte more */
    {"{'kid':'a','x':'" X "'," EC "}", false},
    {"{'kid':'a','x':'" X "','y':'" Y "','kty':'EC','alg':'ES256','crv':'P-384'}", false},
    {"{'kid':'a','x':'" X "','y':'" Y "','kty':'EC','alg':'ES256'}", false},
    {"{'kid':'a','kty':'RSA','alg':'RS256','n':'AQAB','e':'AQAB'}", false},
    {"{'kid':'a','kty':'RSA','alg':'RS256','e':'AQAB'}", false},
    {"{'kid':'a','kty':'OKP','alg':'EdDSA','crv':'Ed25519','x':'" X "'}", false},
};

Test(keys, table)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text CLEANUP_FREE = xasprintf("{'keys':[%s],'more':1}", rows[i].keys);
        struct keys *keys = NULL;
        int r = token_load_keys(text, 0600, &keys);
        cr_expect_eq(r, rows[i].is_fine ? 0 : -EINVAL, "%s", rows[i].keys);
        cr_expect_eq(keys != NULL, r == 0);
        keys_free(keys);
    }
    cr_expect_eq(ERR_peek_error(), 0);
}

Test(keys, other_json_is_none)
{
    static const char *const bad[] = {"",           "[]", "{}",          "{'keys':{}}", "{'keys':[",
                                      "{'keys':1}", "x",  "{'keys':[]}", "[{" OCT "}]", "null"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct keys *keys = NULL;
        cr_expect_eq(token_load_keys(bad[i], 0600, &keys), -EINVAL, "%s", bad[i]);
    }
}

/* A modulus of `bits` bits, all of them set. */
static int load_rsa(size_t bits, const char *e)
{
    struct keys *keys = NULL;
    uint8_t n[2048];
    char chars[4096];

    memset(n, 0xff, sizeof(n));
    base64url_encode(slice_of(n, bits / 8), chars);
    char *text CLEANUP_FREE =
        xasprintf("{'keys':[{'kid':'a','kty':'RSA','alg':'RS256','n':'%.*s','e':'%s'}]}",
                  (int)base64url_encoded_len(bits / 8), chars, e);
    int r = token_load_keys(text, 0600, &keys);
    keys_free(keys);
    return r;
}

Test(keys, rsa_has_2048_to_8192_bits)
{
    cr_expect_eq(load_rsa(2048, "AQAB"), 0);
    cr_expect_eq(load_rsa(8192, "AQAB"), 0);
    cr_expect_eq(load_rsa(1024, "AQAB"), -EINVAL);
    cr_expect_eq(load_rsa(2040, "AQAB"), -EINVAL);
    cr_expect_eq(load_rsa(8200, "AQAB"), -EINVAL);
    cr_expect_eq(load_rsa(2048, "AQ"), -EINVAL);   /* 1 */
    cr_expect_eq(load_rsa(2048, "AQAA"), -EINVAL); /* even */
    cr_expect_eq(load_rsa(2048, ""), -EINVAL);
    cr_expect_eq(load_rsa(2048, "AQAAAAAAAAAAAQ"), -EINVAL);
}

/* `count` keys of different names. */
static int load_many(size_t count, struct keys **ret)
{
    struct buffer text = {0};

    buffer_append_str(&text, "{'keys':[");
    for (size_t i = 0; i < count; i++)
        buffer_printf(&text, "%s{'kid':'k%zu'," OCT "}", i > 0 ? "," : "", i);
    buffer_append(&text, "]}", 3);
    int r = token_load_keys((const char *)text.data, 0600, ret);
    buffer_done(&text);
    return r;
}

Test(keys, are_found_by_name)
{
    struct keys *keys = NULL;

    cr_assert_eq(load_many(1, &keys), 0);
    cr_expect_not_null(keys_find(keys, slice_of(NULL, 0)));
    cr_expect_null(keys_find(keys, slice_str("")));
    cr_expect_null(keys_find(keys, slice_str("k")));
    keys_free(keys);
    cr_assert_eq(load_many(64, &keys), 0);
    cr_expect_eq(keys_count(keys), 64);
    cr_expect_null(keys_find(keys, slice_of(NULL, 0)), "it could be any of them");
    cr_expect_str_eq(keys_find(keys, slice_str("k63"))->kid, "k63");
    cr_expect_null(keys_find(keys, slice_str("k64")));
    keys_free(keys);
    cr_expect_eq(load_many(65, &keys), -EINVAL);
}

Test(keys, names_have_at_most_128_bytes)
{
    for (int len = 128; len <= 129; len++) {
        char *text CLEANUP_FREE = xasprintf("{'keys':[{'kid':'%0*d'," OCT "}]}", len, 0);
        struct keys *keys = NULL;
        cr_expect_eq(token_load_keys(text, 0600, &keys), len == 128 ? 0 : -EINVAL);
        keys_free(keys);
    }
}

Test(keys, files_have_at_most_64_kib)
{
    for (int more = 0; more <= 1; more++) {
        char *head CLEANUP_FREE = xasprintf("{'keys':[{'kid':'a'," OCT "}]}");
        char *text CLEANUP_FREE = xasprintf("%*s%s", (int)(65536 - strlen(head)) + more, "", head);
        struct keys *keys = NULL;
        cr_expect_eq(token_load_keys(text, 0600, &keys), more ? -EINVAL : 0);
        keys_free(keys);
    }
}

Test(keys, files_that_cannot_be_read)
{
    struct keys *keys = NULL;

    cr_expect_eq(keys_load("/nonexistent/keys.json", &keys), -ENOENT);
    cr_expect_eq(keys_load("/tmp", &keys), -EISDIR);
    cr_expect_eq(keys_load("/dev/zero", &keys), -EINVAL);
    cr_expect_null(keys);
}

/* What loading such a file logs, newly allocated. */
static char *log_of(const char *keys_text, mode_t mode)
{
    char path[] = "/tmp/concord-log-XXXXXX";
    char *text CLEANUP_FREE = xasprintf("{'keys':[%s]}", keys_text);
    struct keys *keys = NULL;
    char *log = xcalloc(1, 4096);
    int fd CLEANUP_FD = mkstemp(path);
    int saved CLEANUP_FD = dup(STDERR_FILENO);

    cr_assert(fd >= 0 && saved >= 0 && unlink(path) == 0);
    cr_assert_geq(dup2(fd, STDERR_FILENO), 0);
    log_init("test", LOG_LEVEL_WARN);
    (void)!token_load_keys(text, mode, &keys);
    cr_assert_geq(dup2(saved, STDERR_FILENO), 0);
    cr_assert_geq(pread(fd, log, 4095, 0), 0);
    keys_free(keys);
    return log;
}

Test(keys, the_log_tells_what_is_wrong_but_no_content)
{
    char *bad CLEANUP_FREE = log_of("{'kid':'a'," OCT "},{'kid':'a'," OCT "}", 0600);

    cr_expect_not_null(strstr(bad, "/tmp/concord-keys-"));
    cr_expect_not_null(strstr(bad, "key 2 has the `kid` of another one"));
    cr_expect_null(strstr(bad, SECRET));
}

Test(keys, secrets_that_all_can_read_are_warned_of)
{
    char *open CLEANUP_FREE = log_of("{'kid':'a'," OCT "}", 0644);
    char *closed CLEANUP_FREE = log_of("{'kid':'a'," OCT "}", 0640);
    char *public CLEANUP_FREE = log_of("{'kid':'a','x':'" X "','y':'" Y "'," EC "}", 0644);
    char *private CLEANUP_FREE =
        log_of("{'kid':'a','x':'" X "','y':'" Y "','d':'AQ'," EC "}", 0644);

    cr_expect_not_null(strstr(open, "everybody"));
    cr_expect_null(strstr(open, SECRET));
    cr_expect_not_null(strstr(private, "everybody"));
    cr_expect_str_empty(closed);
    cr_expect_str_empty(public);
}
