/*
 * json_client: what the clients of the JSON envelope have in common, whatever form their edits
 * have: the greeting, presence, acknowledgements and errors. These are functions of their dialects;
 * the session's dialect_state is theirs.
 */
#pragma once

#include "gateway/dialect.h"
#include "gateway/json_frames.h"

/* Greets the client. */
void json_client_open(struct session *s, struct slice room);
void json_client_close(struct session *s);
/* Renews the presence. */
void json_client_tick(struct session *s);
/* Handles what the client sent, whose edits have the form `data`: one of those goes to `handle_op`,
 * borrowed. What is refused is answered with an error. */
void json_client_message(struct session *s, bool is_text, struct slice payload, enum json_data data,
                         void (*handle_op)(struct session *s, const struct json_message *m));
void json_client_acknowledged(struct session *s, const struct op *op);
void json_client_rejected(struct session *s, const struct op *op, uint32_t refusal);
void json_client_refused(struct session *s, uint32_t refusal);
