/*
 * hocuspocus_frames: the frames of HocuspocusProvider (versions 2 to 4), read and made; no session,
 * no socket. A frame is one message,
 *
 *     varString key, varUint type, body
 *
 * where the key names one of the documents of the connection: the document's name, or the name, NUL
 * and the number of a session. What is sent back carries the same key to the letter. Messages of
 * the types 0, 1 and 3 are those of y-protocols (yproto.h). Two frames have one byte and no key:
 * ping and pong.
 */
#pragma once

#include "common/blob.h"
#include "common/memory.h"

#define HOCUSPOCUS_KEY_MAX 384u /* bytes: a room's name, NUL, and a number that clients make */

enum hocuspocus_kind {
    HOCUSPOCUS_SHARED, /* body: a message of y-protocols, whole */
    HOCUSPOCUS_TOKEN,  /* body: a token, maybe empty */
    HOCUSPOCUS_CLOSE,  /* the client leaves the document */
    HOCUSPOCUS_OTHER,  /* what is of no use to a server without an application in it */
    HOCUSPOCUS_PING,   /* without a key, as the next */
    HOCUSPOCUS_PONG,
};

struct hocuspocus_message {
    enum hocuspocus_kind kind;
    bool is_sync; /* SHARED, and about the document itself: a question for it, or an edit */
    struct slice key;
    struct slice body; /* borrowed from the frame, as the key */
};

/* Reads a client's frame. -EBADMSG: it is none, or its key is too long. */
WARN_UNUSED int hocuspocus_read(struct slice frame, struct hocuspocus_message *ret);

/* The part of a key that names the document. */
struct slice hocuspocus_document(struct slice key);

/* A key as frames begin with it: a new blob. */
struct blob *hocuspocus_prefix(struct slice key);

/* Whole new WebSocket frames; `prefix` as hocuspocus_prefix() makes it. */
struct blob *hocuspocus_frame_authenticated(struct slice prefix, bool is_read_only);
struct blob *hocuspocus_frame_denied(struct slice prefix, const char *reason);
struct blob *hocuspocus_frame_ask_token(struct slice prefix);
/* The word on one edit of the client: it is stored, or refused. */
struct blob *hocuspocus_frame_status(struct slice prefix, bool is_stored);
/* An awareness update of nobody: a sign of life that every version understands. */
struct blob *hocuspocus_frame_alive(struct slice prefix);
struct blob *hocuspocus_frame_pong(void);
