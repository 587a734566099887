#include "gateway/auth.h"

#include "common/config.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/secret.h"
#include "gateway/keys.h"
#include "gateway/origin.h"
#include "proto/refusal.h"

#include <errno.h>
#include <strings.h>

#define HOUR_S           3600u
#define SUBPROTOCOL      "bearer."
#define SCHEME           "bearer "
#define ANONYMOUS_ACCESS ACCESS_WRITE

struct auth {
    const struct config *config;
    struct keys *keys; /* NULL: there are none */
    struct token_rules rules;
    struct origin_rules *origins;
    struct access_caps *caps;
    struct principal *anonymous;
};

static const char *text_or_null(const char *text)
{
    return text[0] ? text : NULL;
}

int auth_new(const struct config *config, struct auth **ret)
{
    struct auth *auth = xcalloc(1, sizeof(*auth));
    int r = origin_rules_new(config->origins, config->origin_required, &auth->origins);

    auth->config = config;
    if (r == 0 && config->keys[0]) {
        secret_hide_process();
        r = keys_load(config->keys, &auth->keys);
    }
    auth->rules = (struct token_rules){.audience = text_or_null(config->audience),
                                       .issuer = text_or_null(config->issuer),
                                       .skew_s = TOKEN_SKEW_S};
    auth->caps = access_caps_new((uint64_t)config->revocation_hours * HOUR_S);
    auth->anonymous = principal_new(slice_str(TOKEN_TENANT), slice_str(""), "*", ANONYMOUS_ACCESS);
    if (r < 0) {
        auth_free(auth);
        return r;
    }
    *ret = auth;
    return 0;
}

void auth_free(struct auth *auth)
{
    if (!auth)
        return;
    keys_free(auth->keys);
    origin_rules_free(auth->origins);
    principal_unref(auth->anonymous);
    access_caps_free(auth->caps);
    free(auth);
}

void auth_reload(struct auth *auth)
{
    struct keys *keys;

    if (!auth->keys)
        return;
    if (keys_load(auth->config->keys, &keys) < 0) {
        log_error("the keys of before stay in use");
        return;
    }
    keys_free(auth->keys);
    auth->keys = keys;
    log_info("the keys for tokens were read again");
}

bool auth_is_on(const struct auth *auth)
{
    return auth->keys != NULL;
}

bool auth_origin_is_allowed(const struct auth *auth, const struct http_request *req)
{
    return origin_is_allowed(auth->origins, req, auth_is_on(auth));
}

/* ---- tokens ---- */

uint32_t auth_token(const struct auth *auth, struct slice token, struct principal **ret)
{
    enum token_error error;

    if (!auth_is_on(auth)) {
        *ret = principal_ref(auth->anonymous);
        return 0;
    }
    if (token_verify(auth->keys, &auth->rules, token, wall_now_ms() / 1000, ret, &error) == 0)
        return 0;
    log_debug("a token is refused: %s", token_error_name(error));
    metric_add(METRIC_GATEWAY_BAD_TOKENS, 1);
    return error == TOKEN_EXPIRED ? REFUSAL_EXPIRED : REFUSAL_UNAUTHORIZED;
}

/* Where tokens were found in a request. */
struct found {
    unsigned count;
    struct slice token; /* the last one */
    bool is_in_query;
};

static void find_in_header(const struct http_request *req, struct found *f)
{
    struct slice value = http_header(req, "authorization");
    size_t scheme = strlen(SCHEME);

    f->count += (unsigned)http_header_count(req, "authorization");
    if (value.len >= scheme && strncasecmp((const char *)value.data, SCHEME, scheme) == 0)
        f->token = slice_of(value.data + scheme, value.len - scheme);
}

/* `buffer` has room for the query. -EBADMSG: it cannot be decoded. */
static int find_in_query(const struct http_request *req, uint8_t *buffer, struct found *f)
{
    struct slice value = http_query_value(req->query, "token");
    ssize_t len = value.data ? http_percent_decode(value, buffer) : 0;

    if (len > 0) {
        f->count++;
        f->token = slice_of(buffer, (size_t)len);
        f->is_in_query = true;
    }
    return len < 0 ? -EBADMSG : 0;
}

/* What stands in an address is written down by many; it must soon be worth nothing. */
static bool lives_too_long(const struct auth *auth, const struct principal *p)
{
    return p->expires_s > wall_now_ms() / 1000 + auth->config->query_token_s;
}

uint32_t auth_request(const struct auth *auth, const struct http_request *req, bool may_lack_token,
                      struct principal **ret)
{
    uint8_t buffer[HTTP_HEAD_MAX]; /* no query is longer */
    struct found f = {0};

    if (!auth_is_on(auth))
        return auth_token(auth, slice_of(NULL, 0), ret);
    find_in_header(req, &f);
    f.count += http_find_subprotocols(req, SUBPROTOCOL, &f.token);
    if (find_in_query(req, buffer, &f) < 0 || f.count > 1)
        return REFUSAL_BAD_REQUEST;
    if (f.count == 0) {
        *ret = NULL;
        return may_lack_token ? 0 : REFUSAL_UNAUTHORIZED;
    }
    struct principal *p = NULL;
    uint32_t refusal = auth_token(auth, f.token, &p);
    if (refusal == 0 && f.is_in_query && lives_too_long(auth, p)) {
        log_debug("a token in a query is refused: it lives too long");
        principal_unref(p);
        refusal = REFUSAL_UNAUTHORIZED;
    }
    if (refusal == 0)
        *ret = p;
    return refusal;
}

/* ---- what they allow ---- */

enum access auth_access(const struct auth *auth, const struct principal *p, struct slice room)
{
    enum access granted = principal_access(p, room);
    enum access cap = access_caps_find(auth->caps, slice_str(p->tenant), room,
                                       slice_str(p->subject), p->issued_s);

    return granted < cap ? granted : cap;
}

int auth_add_cap(struct auth *auth, const struct access_cap *cap)
{
    access_caps_expire(auth->caps, wall_now_ms() / 1000);
    return access_caps_add(auth->caps, cap);
}

const struct access_caps *auth_caps(const struct auth *auth)
{
    return auth->caps;
}
