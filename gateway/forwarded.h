/* forwarded: what an HTTP proxy says about the client of a request, in X-Forwarded-For and
 * X-Forwarded-Proto. Anybody can write these headers: they are believed as far as proxies that the
 * operator trusts have written them. */
#pragma once

#include "gateway/client_address.h"
#include "gateway/http.h"

/* The client of a request that came from `peer`: that itself unless it is a trusted proxy, then the
 * rightmost address that is not one. */
struct client_address forwarded_client(const struct networks *trusted,
                                       const struct client_address *peer,
                                       const struct http_request *req);
