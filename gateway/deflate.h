/*
 * deflate: permessage-deflate (RFC 7692) without frames: what is agreed on, and messages to and
 * from compressed bytes. No socket. Neither side keeps its window from one message to the next, so
 * a connection holds nothing of zlib between two messages, and one compressed form of a message
 * serves every recipient. What is shared, the state that compresses and one that inflates, belongs
 * to struct deflate, of which a process has one.
 */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

#include <sys/types.h>

/* What a message costs while it is inflated, about: its window and tables. */
#define INFLATER_BYTES (40u << 10)

struct deflate;
struct inflater;
struct http_request;

/* ---- negotiation (section 5 and 7.1) ---- */

/* Takes the first offer of the request that can be met: the value of the answer's
 * Sec-WebSocket-Extensions, static; NULL without one, or if a header of offers is malformed. Asked
 * for a smaller window than zlib's largest it declines, as the window is the same for all. */
const char *deflate_negotiate(const struct http_request *req);

/* ---- life ---- */

/* Aborts without memory. */
struct deflate *deflate_new(void);
/* NULL is allowed. Every inflater must have been given back. */
void deflate_free(struct deflate *d);

/* ---- messages that came ---- */

/* What inflates one message; NULL without memory. */
struct inflater *inflater_new(struct deflate *d);
/* NULL is allowed. One is kept for the next message of anybody. */
void inflater_free(struct inflater *i);
/* Inflates from `*in`, which it moves on. `*ret`: what that gave, borrowed until the next call for
 * any inflater; empty when all of `*in` is taken and more is needed. 0, -EBADMSG for what is not
 * DEFLATE, once all that came before it was given out, -ENOMEM. */
WARN_UNUSED int inflater_next(struct inflater *i, struct slice *in, struct slice *ret);
/* What is fed behind a message's last byte (section 7.2.2). */
struct slice inflater_tail(void);
/* Did what was fed end where a message may end? To be asked behind the tail. */
bool inflater_is_complete(const struct inflater *i);

/* ---- messages to be sent ---- */

/* Bytes that a message of `len` bytes may take when it is compressed. */
size_t deflate_bound(struct deflate *d, size_t len);
/* Compresses the message that `parts` make together into `out`, which holds the deflate_bound() of
 * their length. Returns the length that it has then; 0 if it cannot be compressed. */
size_t deflate_message(struct deflate *d, const struct slice *parts, size_t count, uint8_t *out);
