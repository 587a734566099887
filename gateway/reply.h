/* reply: short answers to HTTP requests. `req` is NULL where the answer comes late. */
#pragma once

#include "gateway/conn.h"

/* Answers with a line of text. `extra`: more header lines, each with its CR LF; or NULL. */
void reply_text(struct conn *c, const struct http_request *req, unsigned status, const char *extra,
                const char *text);
/* Answers with the phrase of a status, and the headers that it asks for. `allow`: for 405, the
 * verbs that there are. */
void reply_status(struct conn *c, const struct http_request *req, unsigned status,
                  const char *allow);
/* Answers with the status and the text of a refusal. */
void reply_refusal(struct conn *c, const struct http_request *req, uint32_t refusal);
/* Answers with bytes that are not to be kept by anybody. */
void reply_bytes(struct conn *c, unsigned status, const char *type, struct slice bytes);
