/*
 * Which pages may use the server. A browser tells with `Origin` (RFC 6454) which page makes a
 * request, and lets any page open a WebSocket to any server: that a page is one of ours is for the
 * server to check.
 */
#pragma once

#include "common/memory.h"
#include "gateway/http.h"

struct origin_rules;

/* `list`: origins with commas between them, `scheme://host` or `scheme://host:port`, without a path
 * and without a wildcard; white space around them is passed over. Empty: see below.
 * `is_required`: a request without `Origin` is refused, so only pages may use the server. 0;
 * -EINVAL after the log has named the entry that is no origin. */
WARN_UNUSED int origin_rules_new(const char *list, bool is_required, struct origin_rules **ret);
/* `rules` may be NULL. */
void origin_rules_free(struct origin_rules *rules);

/*
 * May whoever sent this request use the server, as far as its page is concerned? Of those with
 * `Origin`:
 *   - with a list, those in it, compared by scheme, host (without regard to case) and port (that of
 *     the scheme if none is written);
 *   - without one, those of http and https whose host and port are that of `Host`; which of the two
 *     is not compared, as a proxy may speak TLS in front of the server. Without keys, which is for
 * the developer's own machine, instead those whose host is a loopback one, at whichever port. Never
 * `null`, nor what is twice. Programs that are no browser send none; `is_required` refuses them.
 *
 * Without keys `Host` must be a loopback name too, or the host of an origin in the list, also of a
 * request without `Origin`: a page whose name was made to point to this machine (DNS rebinding)
 * sends its own name there, and no `Origin` with what it reads by GET. Loopback are localhost,
 * *.localhost, 127.0.0.0/8 and [::1].
 */
bool origin_is_allowed(const struct origin_rules *rules, const struct http_request *req,
                       bool has_keys);
