/*
 * Tokens and keys. The first byte of an input says what the rest is:
 *   0  a token as a client sends it
 *   1  a header and claims, which are signed rightly, so that the claims are read
 *   2  a pattern and the name of a room
 *   3  a file of keys
 *   4  an `Origin`, a `Host` and a list of origins
 */
#include "fuzz.h"

#include "common/base64url.h"
#include "common/buffer.h"
#include "common/names.h"
#include "common/pattern.h"
#include "gateway/keys.h"
#include "gateway/origin.h"
#include "gateway/token.h"

#include <openssl/err.h>
#include <openssl/hmac.h>
#include <unistd.h>

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW_S  1700000000u

/* One of each algorithm; that of HS256 is SECRET, the others nobody can sign with. */
static const char key_file[] = "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"h\","
                               "\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"},"
                               "{\"kty\":\"EC\",\"alg\":\"ES256\",\"kid\":\"e\",\"crv\":\"P-256\","
                               "\"x\":\"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY\","
                               "\"y\":\"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU\"}]}";

static const struct keys *fixed_keys(void)
{
    static struct keys *keys;
    char path[] = "/tmp/concord-fuzz-keys-XXXXXX";

    if (keys)
        return keys;
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, key_file, strlen(key_file)) == (ssize_t)strlen(key_file));
    CHECK(keys_load(path, &keys) == 0);
    CHECK(close(fd) == 0 && unlink(path) == 0);
    return keys;
}

static void check_name(const char *name)
{
    CHECK(name_is_valid(slice_str(name)) && !utf8_has_control(slice_str(name)));
}

static void check_principal(const struct principal *p)
{
    enum access highest = ACCESS_NONE;

    check_name(p->tenant);
    check_name(p->subject);
    CHECK(p->expires_s + TOKEN_SKEW_S > NOW_S && p->issued_s <= NOW_S + TOKEN_SKEW_S);
    for (size_t i = 0; i < p->grant_count; i++) {
        CHECK(name_is_valid(slice_str(p->grants[i].pattern)));
        CHECK(p->grants[i].access > ACCESS_NONE && p->grants[i].access <= ACCESS_ADMIN);
        /* A pattern fits itself, as far as it is read as a name. */
        CHECK(principal_access(p, slice_str(p->grants[i].pattern)) >= p->grants[i].access);
        highest = p->grants[i].access > highest ? p->grants[i].access : highest;
    }
    CHECK(principal_access(p, slice_str("room")) <= highest);
}

static void verify(struct slice token, bool is_ours)
{
    static const struct token_rules rules[] = {{.skew_s = TOKEN_SKEW_S},
                                               {.audience = "a", .issuer = "i", .skew_s = 30}};

    for (size_t i = 0; i < 2; i++) {
        struct principal *p = NULL;
        enum token_error error = TOKEN_ERROR_COUNT;
        int r = token_verify(fixed_keys(), &rules[i], token, NOW_S, &p, &error);
        CHECK(r == 0 || (r == -EACCES && error < TOKEN_ERROR_COUNT && !p));
        CHECK(ERR_peek_error() == 0);
        CHECK(r < 0 || token.len <= TOKEN_MAX);
        /* Nobody but this program knows the secret. */
        CHECK(r < 0 || is_ours);
        if (r == 0)
            check_principal(p);
        principal_unref(p);
    }
}

static void append_part(struct buffer *out, struct slice bytes)
{
    size_t len = base64url_encoded_len(bytes.len);
    base64url_encode(bytes, (char *)buffer_reserve(out, len));
    buffer_add_len(out, len);
}

static void verify_signed(struct crdt_slice header, struct crdt_slice claims)
{
    struct buffer token = {0};
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    append_part(&token, slice_of(header.data, header.len));
    buffer_append(&token, ".", 1);
    append_part(&token, slice_of(claims.data, claims.len));
    CHECK(HMAC(EVP_sha256(), SECRET, strlen(SECRET), token.data, token.len, digest, &len));
    buffer_append(&token, ".", 1);
    append_part(&token, slice_of(digest, len));
    uint8_t *copy = malloc(token.len); /* exactly */
    CHECK(copy);
    memcpy(copy, token.data, token.len);
    verify(slice_of(copy, token.len), true);
    free(copy);
    buffer_done(&token);
}

/* The same, in the simplest way there is: which rows of the pattern fit the name so far. Bytes that
 * are no characters are left out, the two may cut them differently. */
static bool fits_by_rows(struct slice pattern, struct slice name)
{
    bool rows[256] = {true};
    for (size_t p = 0; p < pattern.len; p++) {
        bool next[256] = {false};
        for (size_t n = 0; n <= name.len; n++) {
            size_t end = n;
            while (end < name.len && (end == n || (name.data[end] & 0xc0) == 0x80))
                end++;
            bool is_start = n == name.len || (name.data[n] & 0xc0) != 0x80;
            if (pattern.data[p] == '*')
                next[n] = rows[n] || (n > 0 && next[n - 1]);
            if (rows[n] && n < name.len && pattern.data[p] == '?' && is_start)
                next[end] = true;
            if (rows[n] && n < name.len && pattern.data[p] == name.data[n] &&
                pattern.data[p] != '*' && pattern.data[p] != '?')
                next[n + 1] = true;
        }
        memcpy(rows, next, sizeof(rows));
    }
    return rows[name.len];
}

static void fit(struct crdt_slice pattern, struct crdt_slice name)
{
    struct slice p = slice_of(pattern.data, pattern.len);
    struct slice n = slice_of(name.data, name.len);

    bool fits = pattern_fits(p, n);
    if (n.len < 256 && utf8_is_valid(p) && utf8_is_valid(n))
        CHECK(fits == fits_by_rows(p, n));
}

static void parse_keys(struct crdt_slice text)
{
    char problem[JWK_PROBLEM_MAX] = "";
    struct jwk_set set = {0};
    json_t *json = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);

    if (json && jwk_set_parse(json, &set, problem) == 0) {
        CHECK(set.count > 0 && set.count <= JWK_KEYS_MAX);
        for (size_t i = 0; i < set.count; i++) {
            CHECK(jwk_set_find(&set, slice_str(set.keys[i].kid)) == &set.keys[i]);
            CHECK(!set.keys[i].public_key == (set.keys[i].alg == JWK_HS256));
            CHECK(!set.keys[i].secret == (set.keys[i].alg != JWK_HS256));
        }
    } else if (json) {
        CHECK(problem[0] != '\0' && !set.keys);
    }
    jwk_set_done(&set);
    json_decref(json);
    ERR_clear_error();
}

static void ask_origin(struct crdt_slice origin, struct crdt_slice host, struct crdt_slice list)
{
    struct http_request req = {.header_count = 2};
    struct origin_rules *rules = NULL;
    char *text = strndup((const char *)list.data, list.len);

    CHECK(text);
    req.headers[0] = (struct http_header){slice_str("origin"), slice_of(origin.data, origin.len)};
    req.headers[1] = (struct http_header){slice_str("host"), slice_of(host.data, host.len)};
    if (origin_rules_new(text, false, &rules) == 0) {
        bool without_keys = origin_is_allowed(rules, &req, false);
        bool with_keys = origin_is_allowed(rules, &req, true);
        /* What is in the list does not depend on keys but for the host. */
        CHECK(strspn(text, " \t") == strlen(text) || with_keys || !without_keys);
        CHECK(!memchr(origin.data, '@', origin.len) || (!with_keys && !without_keys));
    }
    origin_rules_free(rules);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, a, b, c;
    uint8_t kind = take_byte(&rest) % 5;

    if (kind == 1 || kind == 2 || kind == 4)
        take_part(&rest, &a);
    else
        take_copy(&rest, rest.len, &a);
    take_part(&rest, &b);
    take_copy(&rest, rest.len, &c);
    switch (kind) {
    case 0:
        verify(slice_of(a.data, a.len), false);
        break;
    case 1:
        verify_signed(a, b);
        break;
    case 2:
        fit(a, b);
        break;
    case 3:
        parse_keys(a);
        break;
    case 4:
        ask_origin(a, b, c);
        break;
    }
    free_slice(&a);
    free_slice(&b);
    free_slice(&c);
    return 0;
}
