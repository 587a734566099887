/*
 * exchange: one HTTP request that a room answers. For the time of it the request is a session of
 * the room, so it opens the room, has its bounds and is acknowledged as any client is; the
 * connection waits meanwhile. A room that does not answer within EXCHANGE_MS is unavailable. What a
 * client wrote before it went away is still brought to the room.
 */
#pragma once

#include "common/blob.h"
#include "gateway/conn.h"
#include "gateway/session.h"

#define EXCHANGE_MS 30000u

/* Answers with the document, one v1 update that others share: by conn_answer(), before it returns.
 */
typedef void (*exchange_reply_fn)(struct conn *c, struct blob *update);

/* Both take over the request: it is answered later, with a refusal if need be. */

/* Asks the room for all of its document. */
void exchange_read(struct room_links *links, struct conn *c, const struct admission *admission,
                   exchange_reply_fn reply);
/* Brings an update to the room, borrowed. The answer is 204 once the edit is as safe as the room's
 * level of acknowledgement asks for. `format`: enum crdt_format. */
void exchange_write(struct room_links *links, struct conn *c, const struct admission *admission,
                    uint32_t format, struct slice update);
