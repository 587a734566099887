#include "gateway/doc_token.h"

#include "gateway/base64.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define PREFIX_LEN (sizeof(DOC_TOKEN_PREFIX) - 1)
#define MAC_LEN    32u
#define FIXED_LEN  17u /* two times and the access */
#define NAMES      3u

bool doc_token_is(struct slice text)
{
    return text.len > PREFIX_LEN && memcmp(text.data, DOC_TOKEN_PREFIX, PREFIX_LEN) == 0;
}

/* Over the prefix too: what another version says differently must not pass for this one. */
static void make_mac(struct slice key, struct slice payload, uint8_t ret[MAC_LEN])
{
    uint8_t text[PREFIX_LEN + DOC_TOKEN_PAYLOAD_MAX];
    unsigned len = 0;

    assert(payload.len <= DOC_TOKEN_PAYLOAD_MAX);
    memcpy(text, DOC_TOKEN_PREFIX, PREFIX_LEN);
    memcpy(text + PREFIX_LEN, payload.data, payload.len);
    if (!HMAC(EVP_sha256(), key.data, (int)key.len, text, PREFIX_LEN + payload.len, ret, &len) ||
        len != MAC_LEN)
        abort();
}

/* ---- minting ---- */

static uint8_t *put_u64(uint8_t *out, uint64_t n)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        *out++ = (uint8_t)(n >> shift);
    return out;
}

static uint8_t *put_name(uint8_t *out, struct slice name)
{
    assert(name.len <= 255);
    *out++ = (uint8_t)name.len;
    if (name.len > 0)
        memcpy(out, name.data, name.len);
    return out + name.len;
}

/* From the standard alphabet, padded, to that for URLs without padding. */
static void make_url_safe(char *text)
{
    for (; *text && *text != '='; text++)
        *text = *text == '+' ? '-' : *text == '/' ? '_' : *text;
    *text = '\0';
}

char *doc_token_mint(struct slice key, const struct doc_token *token)
{
    uint8_t bytes[DOC_TOKEN_BYTES_MAX];
    uint8_t *end = put_u64(put_u64(bytes, token->issued_s), token->expires_s);

    assert(token->access == ACCESS_READ || token->access == ACCESS_WRITE);
    *end++ = (uint8_t)token->access;
    end = put_name(put_name(put_name(end, token->tenant), token->doc), token->user);
    make_mac(key, slice_of(bytes, (size_t)(end - bytes)), end);
    size_t len = (size_t)(end - bytes) + MAC_LEN;
    char *text = xcalloc(1, PREFIX_LEN + base64_encoded_len(len) + 1);
    memcpy(text, DOC_TOKEN_PREFIX, PREFIX_LEN);
    base64_encode(slice_of(bytes, len), (uint8_t *)text + PREFIX_LEN);
    make_url_safe(text + PREFIX_LEN);
    return text;
}

/* ---- reading ---- */

static uint64_t get_u64(const uint8_t *in)
{
    uint64_t n = 0;

    for (size_t i = 0; i < 8; i++)
        n = n << 8 | in[i];
    return n;
}

static int read_payload(struct slice payload, struct doc_token *ret)
{
    struct slice *names[NAMES] = {&ret->tenant, &ret->doc, &ret->user};
    const uint8_t *at = payload.data + FIXED_LEN;
    const uint8_t *end = payload.data + payload.len;

    if (payload.len < FIXED_LEN)
        return -EBADMSG;
    ret->issued_s = get_u64(payload.data);
    ret->expires_s = get_u64(payload.data + 8);
    ret->access = payload.data[16];
    for (size_t i = 0; i < NAMES; i++) {
        if (at == end || (size_t)(end - at) - 1 < *at)
            return -EBADMSG;
        *names[i] = slice_of(at + 1, *at);
        at += 1 + *at;
    }
    bool is_sound = at == end && ret->tenant.len > 0 && ret->doc.len > 0 &&
                    (ret->access == ACCESS_READ || ret->access == ACCESS_WRITE);
    return is_sound ? 0 : -EBADMSG;
}

int doc_token_read(struct slice key, struct slice text, uint64_t now_s,
                   uint8_t buffer[DOC_TOKEN_BYTES_MAX], struct doc_token *ret)
{
    struct doc_token token = {0};
    uint8_t mac[MAC_LEN];

    if (!doc_token_is(text) || text.len > DOC_TOKEN_CHARS_MAX)
        return -EBADMSG;
    ssize_t len = base64_decode(slice_of(text.data + PREFIX_LEN, text.len - PREFIX_LEN), buffer);
    if (len < (ssize_t)(FIXED_LEN + NAMES + MAC_LEN) ||
        len > (ssize_t)(DOC_TOKEN_PAYLOAD_MAX + MAC_LEN))
        return -EBADMSG;
    struct slice payload = slice_of(buffer, (size_t)len - MAC_LEN);
    make_mac(key, payload, mac);
    if (CRYPTO_memcmp(mac, buffer + payload.len, MAC_LEN) != 0)
        return -EBADMSG;
    int r = read_payload(payload, &token);
    if (r < 0)
        return r;
    if (token.expires_s <= now_s)
        return -EKEYEXPIRED;
    *ret = token;
    return 0;
}
