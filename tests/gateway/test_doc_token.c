/* Tokens of documents: what is made is read, and nothing else is. */
#include "gateway/doc_token.h"

#include "gateway/base64.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static const uint8_t KEY[32] = "0123456789abcdef0123456789abcde";

static struct slice key(void)
{
    return slice_of(KEY, sizeof(KEY));
}

static struct doc_token sample(void)
{
    return (struct doc_token){
        .issued_s = 1000,
        .expires_s = 2000,
        .access = ACCESS_WRITE,
        .tenant = slice_str("acme"),
        .doc = slice_str("plan-1"),
        .user = slice_str("ada"),
    };
}

static int read_at(const char *text, uint64_t now_s, struct doc_token *ret)
{
    static uint8_t buffer[DOC_TOKEN_BYTES_MAX];

    return doc_token_read(key(), slice_str(text), now_s, buffer, ret);
}

Test(doc_token, what_is_minted_is_read)
{
    struct doc_token given = sample(), got = {0};
    char *text = doc_token_mint(key(), &given);

    cr_assert(read_at(text, 1999, &got) == 0);
    cr_expect(got.issued_s == 1000 && got.expires_s == 2000 && got.access == ACCESS_WRITE);
    cr_expect(slice_equal(got.tenant, given.tenant));
    cr_expect(slice_equal(got.doc, given.doc));
    cr_expect(slice_equal(got.user, given.user));
    cr_expect(!strpbrk(text, "+/="), "it may stand in a URL");
    free(text);
}

#define GOLDEN                                                                                     \
    "d1.AAAAAAAAA-gAAAAAAAAH0AIEYWNtZQZwbGFuLTEDYWRh_4vMMY7-"                                      \
    "VrPSCmA9rv7fBDCO7RP2lMJtcK2ISs4ryvU"

/* Made by another program, from the description in the header. */
Test(doc_token, the_format_is_pinned)
{
    struct doc_token given = sample();
    char *text = doc_token_mint(key(), &given);

    cr_expect(strcmp(text, GOLDEN) == 0, "%s", text);
    free(text);
}

Test(doc_token, time)
{
    struct doc_token given = sample(), got = {0};
    char *text = doc_token_mint(key(), &given);

    cr_expect(read_at(text, 2000, &got) == -EKEYEXPIRED);
    cr_expect(read_at(text, UINT64_MAX, &got) == -EKEYEXPIRED);
    cr_expect(read_at(text, 0, &got) == 0, "another host's clock may be behind");
    free(text);
}

Test(doc_token, the_longest_names)
{
    char name[256];
    struct doc_token given = sample(), got = {0};

    memset(name, 'x', 255);
    name[255] = '\0';
    given.tenant = given.doc = given.user = slice_str(name);
    char *text = doc_token_mint(key(), &given);
    cr_expect(strlen(text) == DOC_TOKEN_CHARS_MAX);
    cr_assert(read_at(text, 0, &got) == 0);
    cr_expect(slice_equal(got.user, given.user));
    char *longer = xasprintf("%sA", text);
    cr_expect(read_at(longer, 0, &got) == -EBADMSG);
    free(longer);
    free(text);
}

Test(doc_token, whatever_is_changed_is_noticed)
{
    struct doc_token given = sample(), got = {0};
    char *text = doc_token_mint(key(), &given);
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        char was = text[i];
        text[i] = was == 'A' ? 'B' : 'A';
        cr_expect(read_at(text, 0, &got) == -EBADMSG, "character %zu", i);
        text[i] = was;
    }
    for (size_t i = 0; i < len; i++) {
        char *cut = strndup(text, i);
        cr_expect(read_at(cut, 0, &got) == -EBADMSG, "%zu characters", i);
        free(cut);
    }
    cr_expect(read_at(text, 0, &got) == 0);
    free(text);
}

Test(doc_token, of_another_key)
{
    struct doc_token given = sample(), got = {0};
    uint8_t other[32] = {1};
    char *text = doc_token_mint(slice_of(other, sizeof(other)), &given);

    cr_expect(read_at(text, 0, &got) == -EBADMSG);
    free(text);
}

/* A token whose payload is any bytes and whose seal is right. */
static char *seal(const char *payload, size_t len)
{
    uint8_t bytes[256], signed_text[256] = "d1.";
    unsigned mac_len;

    memcpy(bytes, payload, len);
    memcpy(signed_text + 3, payload, len);
    cr_assert(HMAC(EVP_sha256(), KEY, sizeof(KEY), signed_text, 3 + len, bytes + len, &mac_len));
    char *text = calloc(1, 4 + base64_encoded_len(len + mac_len));
    memcpy(text, "d1.", 3);
    base64_encode(slice_of(bytes, len + mac_len), (uint8_t *)text + 3);
    return text;
}

#define ISSUED  "\0\0\0\0\0\0\0\1"
#define EXPIRES "\0\0\0\0\0\0\0\2"

Test(doc_token, payloads_that_are_none)
{
    static const struct {
        const char *what;
        const char *payload;
        size_t len;
        int result;
    } rows[] = {
        {"a whole one", ISSUED EXPIRES "\1\1t\1d\1u", 23, 0},
        {"nobody", ISSUED EXPIRES "\1\1t\1d\0", 22, 0},
        {"no access", ISSUED EXPIRES "\0\1t\1d\1u", 23, -EBADMSG},
        {"all access", ISSUED EXPIRES "\3\1t\1d\1u", 23, -EBADMSG},
        {"no tenant", ISSUED EXPIRES "\1\0\1d\1u", 22, -EBADMSG},
        {"no document", ISSUED EXPIRES "\1\1t\0\1u", 22, -EBADMSG},
        {"a name too few", ISSUED EXPIRES "\1\1t\1d", 21, -EBADMSG},
        {"a name that is cut", ISSUED EXPIRES "\1\1t\1d\2u", 23, -EBADMSG},
        {"a byte too many", ISSUED EXPIRES "\1\1t\1d\1u\0", 24, -EBADMSG},
        {"no names", ISSUED EXPIRES "\1", 17, -EBADMSG},
        {"nothing", "", 0, -EBADMSG},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct doc_token got = {0};
        char *text = seal(rows[i].payload, rows[i].len);
        int r = read_at(text, 1, &got);
        cr_expect(r == rows[i].result, "%s: %d", rows[i].what, r);
        free(text);
    }
}
