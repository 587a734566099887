/*
 * hocuspocus: the connection of a HocuspocusProvider (versions 2 to 4), on which any number of
 * documents are open at once, each a session of its own (dialect_hocuspocus). It tells the
 * documents apart by the keys of frames, lets them in and answers what concerns none of them.
 *
 *     UNKNOWN → OPEN → DENIED        UNKNOWN → DENIED        DENIED → OPEN
 *
 * UNKNOWN  the document was named, and no token came
 * OPEN     it has a session
 * DENIED   the client was told that it may not, or that the room is not to be had; what else it
 *          sends for the document is dropped until it shows a token again
 *
 * A token is checked at once, so nothing waits for that: what a client sends before its token is
 * dropped, as it is sent again when the document is let in. Where no token is needed, or the
 * request had one (auth.h), the first frame of a document opens it. To deny a document leaves the
 * connection open, and the other documents on it: a client whose connection ends comes back for
 * ever.
 *
 * Bounds: HOCUSPOCUS_DOCUMENTS are open at once, and with those that were denied the connection
 * knows HOCUSPOCUS_NAMES; a connection that has not shown a token within HOCUSPOCUS_TOKEN_MS is
 * closed, as is one that sends more than HOCUSPOCUS_UNKNOWN frames before.
 */
#pragma once

#include "gateway/hocuspocus_frames.h"
#include "gateway/routes.h"

#define HOCUSPOCUS_DOCUMENTS  100u
#define HOCUSPOCUS_NAMES      200u
#define HOCUSPOCUS_UNKNOWN    64u
#define HOCUSPOCUS_TOKEN_MS   10000u
#define HOCUSPOCUS_SILENCE_MS 20000u /* providers close after 30 s without a frame */

struct session;

/* Answers a request for the WebSocket. */
void hocuspocus_start(const struct routes *r, struct conn *c, const struct http_request *req,
                      struct slice name);

/* ---- for the dialect ---- */

struct hocuspocus_doc;

/* The document has this session, or none any more (NULL). */
void hocuspocus_set_session(struct hocuspocus_doc *doc, struct session *s);
/* The whole connection ends: the client is to come back. */
void hocuspocus_close(struct hocuspocus_doc *doc, uint32_t refusal);
/* The document is denied; its session must have ended. */
void hocuspocus_deny(struct hocuspocus_doc *doc, uint32_t refusal);
