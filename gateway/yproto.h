/*
 * yproto: the messages of y-protocols (PROTOCOL.md, sync.js, awareness.js), which several dialects
 * share. A frame of a client may hold several messages back to back.
 */
#pragma once

#include "common/blob.h"
#include "common/memory.h"

enum yproto_kind {
    YPROTO_STEP1,     /* body: a state vector */
    YPROTO_STEP2,     /* body: an update, v1 */
    YPROTO_UPDATE,    /* body: an update, v1 */
    YPROTO_AWARENESS, /* body: an awareness update */
    YPROTO_QUERY,     /* asks for all awareness; no body */
    YPROTO_FOREIGN,   /* authentication or an unknown type: the rest of the frame is passed over */
};

struct yproto_message {
    enum yproto_kind kind;
    struct slice body; /* borrowed from the frame */
};

/* Takes the message that `*rest` begins with and moves `*rest` behind it. 1, 0 at the end of the
 * frame, or -EBADMSG. */
WARN_UNUSED int yproto_next(struct slice *rest, struct yproto_message *ret);

/* A new WebSocket frame with one message; NULL without memory. Not for QUERY and FOREIGN. */
struct blob *yproto_frame(enum yproto_kind kind, struct slice body);

/* Does the update (v1) hold neither structs nor deletions? */
bool yproto_update_is_empty(struct slice update);

/* ---- awareness updates ---- */

struct awareness_state {
    uint64_t client;
    uint64_t clock;
    struct slice json; /* "null": the client is gone */
};

struct awareness_reader {
    struct slice rest;
    uint64_t left;
};

/* 0 or -EBADMSG. */
WARN_UNUSED int awareness_reader_init(struct awareness_reader *r, struct slice update);
/* Reads one state; 1, 0 behind the last one, or -EBADMSG. */
WARN_UNUSED int awareness_reader_next(struct awareness_reader *r, struct awareness_state *ret);

/* Does it decode as a whole, with JSON for every state? Clients parse each other's states, and one
 * that is no JSON would throw in all of them. */
bool awareness_is_sound(struct slice update);

/* A new awareness update with one state. */
struct blob *awareness_encode(const struct awareness_state *state);
