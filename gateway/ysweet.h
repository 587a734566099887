/*
 * ysweet: the requests of y-sweet's client and SDK. An application asks for a document's token with
 * one of its own that may do everything there; its users come with the document's token
 * (doc_token.h), which opens this document and nothing else, at these paths only. A document is the
 * room of that name of the application's tenant; its name is made of A-Z a-z 0-9 _ -.
 *
 * Handlers of routes.c; `name` is what the path has for NAME.
 */
#pragma once

#include "gateway/routes.h"

#define YSWEET_BODY_MAX    4096u  /* bytes of a question for a document or a token */
#define YSWEET_TOKEN_S     3600u  /* what a token is valid for unless the application says */
#define YSWEET_TOKEN_MAX_S 86400u /* and at most */

/* POST /doc/new: names a document. */
void ysweet_new(const struct routes *r, struct conn *c, const struct http_request *req,
                struct slice name);
/* POST /doc/NAME/auth: where the document is, and a token for it. */
void ysweet_auth(const struct routes *r, struct conn *c, const struct http_request *req,
                 struct slice name);
/* GET /d/NAME/as-update: all of the document, an update v1. */
void ysweet_read(const struct routes *r, struct conn *c, const struct http_request *req,
                 struct slice name);
/* POST /d/NAME/update: an edit. */
void ysweet_update(const struct routes *r, struct conn *c, const struct http_request *req,
                   struct slice name);
/* The WebSocket at /d/NAME/ws; `name` may also be NAME/ws/NAME. */
void ysweet_socket(const struct routes *r, struct conn *c, const struct http_request *req,
                   struct slice name);
