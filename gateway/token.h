/*
 * Tokens: who a client is and what it may do, signed by the application (JWT, RFC 7519, as a
 * compact JWS, RFC 7515). Pure: no clock, no state but the keys.
 *
 * This is done here and not by a library because libjwt 1.10.2, the one that Debian has, lets the
 * token's header choose the algorithm (a public key in PEM is then a secret that everybody knows),
 * takes claims that are there twice and passes over `crit`. What would have to be checked in front
 * of it is most of what there is to do; signatures are OpenSSL's.
 *
 * The order is that of cost and of trust: length, form, header, key, signature; claims are parsed
 * only if the signature holds, and the header is short. So a hostile token costs about one
 * signature check at most.
 */
#pragma once

#include "common/access.h"

#include <stdint.h>

struct keys; /* gateway/keys.h */

#define TOKEN_HEADER_MAX 1024u           /* bytes, decoded */
#define TOKEN_SKEW_S     30u             /* by how much clocks may differ */
#define TOKEN_TENANT     "default"       /* of a token that names none */
#define TOKEN_TIME_MAX_S 253402300799ull /* the end of the year 9999 */

/* Why a token is refused: code, name, and the text that a client may see. Codes are append-only. */
#define TOKEN_ERRORS(X)                                                                            \
    X(TOKEN_TOO_LONG, "too_long", "the token has more than 8192 bytes, or its header 1024")        \
    X(TOKEN_MALFORMED, "malformed", "the token is no signed JWT")                                  \
    X(TOKEN_UNSUPPORTED, "unsupported", "the token's header has crit or b64")                      \
    X(TOKEN_UNKNOWN_KEY, "unknown_key", "the server has no key of the token's kid")                \
    X(TOKEN_WRONG_ALGORITHM, "wrong_algorithm", "the token's alg is not that of its key")          \
    X(TOKEN_BAD_SIGNATURE, "bad_signature", "the token's signature is wrong")                      \
    X(TOKEN_BAD_CLAIMS, "bad_claims", "the token's claims are no JSON object, or one is twice")    \
    X(TOKEN_BAD_TIMES, "bad_times", "the token has no exp, or exp, nbf or iat is no whole number") \
    X(TOKEN_EXPIRED, "expired", "the token has expired")                                           \
    X(TOKEN_NOT_YET_VALID, "not_yet_valid", "the token is not valid yet")                          \
    X(TOKEN_WRONG_AUDIENCE, "wrong_audience", "the token is for another audience")                 \
    X(TOKEN_WRONG_ISSUER, "wrong_issuer", "the token is of another issuer")                        \
    X(TOKEN_BAD_SUBJECT, "bad_subject", "the token's sub is no text of 1 to 255 bytes")            \
    X(TOKEN_BAD_TENANT, "bad_tenant", "the token's tenant is no text of 1 to 255 bytes")           \
    X(TOKEN_BAD_ROOMS, "bad_rooms", "the token's rooms are no object of patterns with access")

#define TOKEN_ERROR_CODE(code, name, text) code,
enum token_error { TOKEN_ERRORS(TOKEN_ERROR_CODE) TOKEN_ERROR_COUNT };
#undef TOKEN_ERROR_CODE

const char *token_error_name(enum token_error error);
const char *token_error_text(enum token_error error);

struct grant {
    char *pattern; /* common/pattern.h */
    enum access access;
};

/* Somebody whose token was verified. */
struct principal {
    uint32_t refs;
    char *tenant;       /* 1 to 255 bytes of UTF-8 without control characters, as `subject` */
    char *subject;      /* the user */
    uint64_t issued_s;  /* wall clock; 0 if the token does not tell */
    uint64_t expires_s; /* wall clock; the skew is not in it; 0: never */
    struct grant *grants;
    size_t grant_count;
};

struct token_rules {
    const char *audience; /* one of the token's must be this; NULL: any */
    const char *issuer;   /* NULL: any */
    uint32_t skew_s;      /* TOKEN_SKEW_S */
};

/* Verifies a token; all is borrowed until it returns. Claims that are used:
 *   sub     text of 1 to 255 bytes
 *   exp     seconds since 1970, a whole number; valid before exp + skew
 *   rooms   an object: pattern of 1 to 255 bytes -> "read", "write" or "admin"
 *   tenant  text of 1 to 255 bytes; "default" if it is not there
 *   nbf     valid from nbf - skew on, if it is there
 *   iat     not after `now_s` + skew; if it is not there the token counts as issued in 1970
 *   aud     text or a list, and `iss`: if the rules ask for them
 * 0 and a new principal, for principal_unref(); -EACCES and `*ret_error`. */
WARN_UNUSED int token_verify(const struct keys *keys, const struct token_rules *rules,
                             struct slice token, uint64_t now_s, struct principal **ret,
                             enum token_error *ret_error);

/* Somebody who may do `access` in the rooms that fit the pattern, by another word than a token's:
 * a new principal, whose times are 0. */
struct principal *principal_new(struct slice tenant, struct slice subject, const char *pattern,
                                enum access access);
struct principal *principal_ref(struct principal *p);
/* `p` may be NULL. */
void principal_unref(struct principal *p);

/* The highest access of all patterns that fit the room. Takes at most TOKEN_MAX × room.len steps.
 */
enum access principal_access(const struct principal *p, struct slice room);
