/*
 * yjs_answers: what the dialects of Yjs clients answer with, in frames of y-protocols (yproto.h).
 * The functions are those of struct dialect.
 */
#pragma once

#include "gateway/answer.h"
#include "gateway/dialect.h"
#include "gateway/yproto.h"

/* In whole WebSocket frames. */
struct blob *yjs_encode_update(const struct msg_room_update *m);
struct blob *yjs_encode_awareness(struct slice awareness);
int yjs_encode_state(struct room_state *state, struct slice sv, struct answer **ret);
int yjs_encode_difference(struct room_state *state, struct slice sv, struct answer **ret);

/* The same as what comes behind the prefix of a session. */
struct blob *yjs_encode_update_bytes(const struct msg_room_update *m);
struct blob *yjs_encode_awareness_bytes(struct slice awareness);
int yjs_encode_state_bytes(struct room_state *state, struct slice sv, struct answer **ret);
int yjs_encode_difference_bytes(struct room_state *state, struct slice sv, struct answer **ret);

/* Presence that shows more ids than one client may has maybe those of others, which clients repeat:
 * it is passed over, for there is no frame that says so. `op` is NULL for presence. */
bool yjs_may_ignore(const struct op *op, uint32_t refusal);
/* Closes the client of an edit that was refused, or of presence that may not be ignored. */
void yjs_close_rejected(struct session *s, const struct op *op, uint32_t refusal);
