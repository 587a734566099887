/*
 * hocuspocus: the connection of a HocuspocusProvider (versions 2 to 4), on which many documents are
 * open at once, each a session of its own (dialect_hocuspocus). It tells the documents apart by the
 * keys of frames, lets them in and answers what concerns none of them.
 *
 *     UNKNOWN → OPEN → DENIED        UNKNOWN → DENIED        DENIED → OPEN
 *
 * UNKNOWN  the document was named just now
 * OPEN     it has a session
 * DENIED   the client was told that it may not, or that the room is not to be had; what else it
 *          sends for the document is dropped until it shows a token again
 *
 * A token is checked at once, so nothing waits for that: what a client sends before its token is
 * dropped, as it is sent again when the document is let in. Where no token is needed, or the
 * request had one (auth.h), the first sync message of a document opens it; not so presence, which
 * version 2 sends once more when it has left a document.
 *
 * To deny a document leaves the connection open, and the other documents on it: a client whose
 * connection ends comes back for ever. It has to when a room is not to be had for now, as nothing
 * else makes it ask again; version 2 comes back at once, so the connection ends only after a while,
 * between HOCUSPOCUS_RETRY_MS and HOCUSPOCUS_RETRY_MAX_MS.
 *
 * Bounds (common/client_limits.h): `documents` are open at once, and with those that were denied
 * the connection knows twice as many. One that shows no token within `auth_ms` is closed: with
 * 4408, or, if it sent anything else, with 4401, from which version 2 does not come back. So is one
 * that sends more than `auth_messages` or `auth_bytes` before, and one whose tokens were refused
 * more than HOCUSPOCUS_BAD_TOKENS times.
 */
#pragma once

#include "gateway/hocuspocus_frames.h"
#include "gateway/routes.h"

#define HOCUSPOCUS_BAD_TOKENS   100u
#define HOCUSPOCUS_SILENCE_MS   20000u /* providers close after 30 s without a frame */
#define HOCUSPOCUS_RETRY_MS     1000u
#define HOCUSPOCUS_RETRY_MAX_MS 5000u

struct session;

/* Answers a request for the WebSocket. */
void hocuspocus_start(const struct routes *r, struct conn *c, const struct http_request *req,
                      struct slice name);

/* ---- for the dialect ---- */

struct hocuspocus_doc;

/* The document has this session, or none any more (NULL). */
void hocuspocus_set_session(struct hocuspocus_doc *doc, struct session *s);
/* The whole connection ends, at once. */
void hocuspocus_close(struct hocuspocus_doc *doc, uint32_t refusal);
/* The document is not to be had for now, and its session has ended: the connection ends in a while,
 * so that the client comes back. */
void hocuspocus_close_later(struct hocuspocus_doc *doc, uint32_t refusal);
/* The document is denied; its session must have ended. */
void hocuspocus_deny(struct hocuspocus_doc *doc, uint32_t refusal);
