/* Tokens of documents, as a stranger writes them and as the key's owner would have sealed them. */
#include "fuzz.h"

#include "gateway/base64.h"
#include "gateway/doc_token.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const uint8_t KEY[32];

/* The text is copied, so that reading beyond it is found. */
static int read_text(struct slice text, struct doc_token *ret)
{
    static uint8_t buffer[DOC_TOKEN_BYTES_MAX];
    struct crdt_slice rest = {text.data, text.len}, copy;

    take_copy(&rest, text.len, &copy);
    int r =
        doc_token_read(slice_of(KEY, sizeof(KEY)), slice_of(copy.data, copy.len), 1, buffer, ret);
    CHECK(r == 0 || r == -EBADMSG || r == -EKEYEXPIRED);
    free_slice(&copy);
    return r;
}

/* What was read is minted to what reads the same. */
static void check_round_trip(const struct doc_token *token)
{
    struct doc_token again;
    uint8_t buffer[DOC_TOKEN_BYTES_MAX];
    struct slice key = slice_of(KEY, sizeof(KEY));
    char *text = doc_token_mint(key, token);

    CHECK(doc_token_read(key, slice_str(text), 1, buffer, &again) == 0);
    CHECK(again.access == token->access && again.expires_s == token->expires_s);
    CHECK(slice_equal(again.tenant, token->tenant) && slice_equal(again.doc, token->doc));
    CHECK(slice_equal(again.user, token->user));
    free(text);
}

static void read_sealed(struct slice payload)
{
    uint8_t bytes[1024], sealed[1024] = DOC_TOKEN_PREFIX;
    char text[2048] = DOC_TOKEN_PREFIX;
    struct doc_token token;
    unsigned mac_len = 0;

    memcpy(bytes, payload.data, payload.len);
    memcpy(sealed + 3, payload.data, payload.len);
    CHECK(HMAC(EVP_sha256(), KEY, sizeof(KEY), sealed, 3 + payload.len, bytes + payload.len,
               &mac_len));
    base64_encode(slice_of(bytes, payload.len + mac_len), (uint8_t *)text + 3);
    if (read_text(slice_str(text), &token) == 0)
        check_round_trip(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct doc_token token;

    (void)read_text(slice_of(data, size), &token);
    if (size > 0 && size <= 900)
        read_sealed(slice_of(data, size));
    return 0;
}
