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

#define YPROTO_STATUS_TYPE 102u

/* What y-sweet's client sends beside those. */
struct yproto_own {
    bool is_status;    /* SyncStatus; else a query with a body, which other clients have without */
    struct slice body; /* borrowed from the frame */
};

/* As yproto_next() for such a message; 0 also for any other, which is left there. */
WARN_UNUSED int yproto_next_ysweet(struct slice *rest, struct yproto_own *ret);

/* A new WebSocket frame with one message; NULL without memory. Not for QUERY and FOREIGN. */
struct blob *yproto_frame(enum yproto_kind kind, struct slice body);

/* The begin of such a frame, of which a body of `len` bytes follows in another blob. */
struct blob *yproto_frame_begin(enum yproto_kind kind, size_t len);

/* The same without a frame around it: the message's bytes, or their begin. */
struct blob *yproto_bytes(enum yproto_kind kind, struct slice body);
struct blob *yproto_bytes_begin(enum yproto_kind kind, size_t len);

/* Does the update (v1) hold neither structs nor deletions? */
bool yproto_update_is_empty(struct slice update);
