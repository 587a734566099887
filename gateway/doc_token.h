/*
 * doc_token: what a client of one document shows to get in, given out by this server itself (and
 * not by the application, whose keys it may hold for checking only). A text
 *
 *     d1.BASE64URL(payload ‖ HMAC-SHA256(key, "d1." ‖ payload))
 *
 * without padding, whose payload is: issued and expires (seconds since the epoch, 64 bits, the
 * higher byte first), access (one byte: 1 reads, 2 writes), then tenant, document and user, each
 * with its length in a byte before it. Pure: no clock, no file.
 */
#pragma once

#include "common/access.h"
#include "common/memory.h"
#include "common/slice.h"

#include <sys/types.h>

#define DOC_TOKEN_PREFIX      "d1."
#define DOC_TOKEN_KEY_MIN     32u  /* bytes of a key */
#define DOC_TOKEN_PAYLOAD_MAX 785u /* the numbers, and three names of 255 bytes */
#define DOC_TOKEN_BYTES_MAX   (DOC_TOKEN_PAYLOAD_MAX + 32u + 3u) /* and what is decoded too much */
#define DOC_TOKEN_CHARS_MAX   1093u

struct doc_token {
    uint64_t issued_s;
    uint64_t expires_s;
    enum access access; /* ACCESS_READ or ACCESS_WRITE */
    struct slice tenant;
    struct slice doc;
    struct slice user; /* may be empty */
};

/* Is it meant to be one? */
bool doc_token_is(struct slice text);
/* A new text with a NUL. The names are at most 255 bytes. */
char *doc_token_mint(struct slice key, const struct doc_token *token);
/* Checks and reads one; the names lie in `buffer`. -EBADMSG: it is not of this key; -EKEYEXPIRED:
 * it was, before `now_s`. */
WARN_UNUSED int doc_token_read(struct slice key, struct slice text, uint64_t now_s,
                               uint8_t buffer[DOC_TOKEN_BYTES_MAX], struct doc_token *ret);
