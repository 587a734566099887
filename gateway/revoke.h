/*
 * revoke: `POST /rooms/{id}/revoke`, JSON {"user": …, "access": "none" | "read" | "write"}. What
 * the user may do in the room with tokens issued up to now is at most `access` ("none" if it is
 * left out): sockets that are open lose the room, or the right to write in it, at once and on every
 * gateway of the host, and such tokens are refused from then on. Needs a token with `admin`.
 */
#pragma once

#include "gateway/routes.h"

#define REVOKE_BODY_MAX 4096u

void revoke_handle(const struct routes *r, struct conn *c, const struct http_request *req,
                   struct slice encoded_room);
