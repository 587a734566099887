/*
 * auth: what a request or a token allows. It finds the token of a request, has it checked
 * (token.h), and says what its bearer may do in a room. Where the server has no keys everybody is
 * anonymous, of the tenant "default", and may write.
 *
 * A token comes as `Authorization: Bearer`, as the subprotocol `bearer.TOKEN` or as `?token=`; the
 * last one stands in logs of proxies and must expire within the setting `query_token_s`. More than
 * one is refused. Cookies are not looked at.
 */
#pragma once

#include "common/access_caps.h"
#include "gateway/http.h"
#include "gateway/token.h"

struct auth;
struct config;

/* `config` is borrowed. On failure -errno, and what is wrong was logged. */
WARN_UNUSED int auth_new(const struct config *config, struct auth **ret);
void auth_free(struct auth *auth);
/* Reads the keys anew; if that fails those of before stay. Who was let in stays in. */
void auth_reload(struct auth *auth);
/* Are there keys? */
bool auth_is_on(const struct auth *auth);

/* May a page of this origin make the request? */
bool auth_origin_is_allowed(const struct auth *auth, const struct http_request *req);

/* Who makes the request; a new reference. 0 or a refusal (enum refusal). A request without a token
 * is refused, but with `may_lack_token`: then `*ret` is NULL. */
WARN_UNUSED uint32_t auth_request(const struct auth *auth, const struct http_request *req,
                                  bool may_lack_token, struct principal **ret);
/* Whose token this is; a new reference. 0 or a refusal. Without keys any text will do. */
WARN_UNUSED uint32_t auth_token(const struct auth *auth, struct slice token,
                                struct principal **ret);

/* What somebody may do in a room of theirs, by the token and by what was revoked since. */
enum access auth_access(const struct auth *auth, const struct principal *p, struct slice room);

/* What was revoked; 1, 0 or -ENOSPC as access_caps_add(). */
WARN_UNUSED int auth_add_cap(struct auth *auth, const struct access_cap *cap);
const struct access_caps *auth_caps(const struct auth *auth);
