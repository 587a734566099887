/* routes: what is at which path. One table; what is in none is a page or nothing. */
#pragma once

#include "gateway/auth.h"
#include "gateway/conn.h"
#include "gateway/pages.h"
#include "gateway/room_link.h"

struct routes {
    const struct pages *pages;
    struct room_links *links;
    const struct auth *auth;
    struct blob *doc_key; /* of document tokens */
    const struct client_limits *limits;
    size_t message_max; /* bytes of an update, however it comes */
    const char *metrics_dir;
};

/* Its `ctx` is a struct routes. */
extern const struct conn_handler routes_handler;

/* For a WebSocket path: the room's part of it, percent-decoded into `out` (path.len bytes). Returns
 * its length; -EBADMSG if it is no valid name. */
WARN_UNUSED ssize_t routes_room_name(struct slice encoded, uint8_t *out);
