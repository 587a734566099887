/*
 * dialect: how a client speaks. One table of functions for each protocol; the generic part of a
 * client's session (session.h) calls them, and they answer through it. A dialect never looks inside
 * a document.
 */
#pragma once

#include "common/blob.h"
#include "gateway/http.h"
#include "gateway/op_queue.h"
#include "proto/proto.h"

struct answer;
struct room_state;
struct session;

/* Browsers want one of the subprotocols that they offer to be chosen; who offers a token as one
 * (auth.h) offers this beside it. */
#define DIALECT_SUBPROTOCOL "concord.v1"

enum dialect_kind {
    DIALECT_YJS,
    DIALECT_JSON,
    DIALECT_JSON_OPS,
    DIALECT_HOCUSPOCUS,
    DIALECT_EXCHANGE, /* HTTP requests (exchange.h) */
    DIALECT_COUNT,
};

struct dialect;

/* What a client asked for. */
struct session_params {
    const struct dialect *dialect; /* instead of that of the path; or NULL */
    struct blob *since;            /* its state vector, or NULL */
    void *socket;                  /* of a dialect with several sessions on a connection: its own */
    struct slice key;              /* and the name of the session there */
};

struct dialect {
    const char *name;
    enum dialect_kind kind;
    uint32_t format;         /* of the updates that its clients get: enum crdt_format */
    uint32_t lens;           /* through which its clients see the document (proto/lens.h), or 0 */
    bool has_echo;           /* an edit's message is kept until it is acknowledged */
    const char *subprotocol; /* echoed if the client offers it, or NULL */

    /* Reads the query; 0, or the HTTP status that refuses it. NULL: any query will do. On success
     * `ret->since` is the caller's. */
    unsigned (*read_query)(struct slice query, struct session_params *ret);

    /* The client is there; makes session->dialect_state. `room` is borrowed. */
    void (*open)(struct session *s, struct slice room, const struct session_params *params);
    /* Frees what open made. The client is gone. */
    void (*close)(struct session *s);
    void (*on_message)(struct session *s, bool is_text, struct slice payload);
    void (*on_tick)(struct session *s); /* twice a second */

    /* A new frame with an edit or with presence for all clients of a room that speak this; NULL if
     * it cannot be made. Where sessions have a prefix: what comes behind that. */
    struct blob *(*encode_update)(const struct msg_room_update *m);
    struct blob *(*encode_awareness)(struct slice awareness);
    /* Through a lens: a new frame with what an edit changed, as encode_update(), and the answer
     * with all that there is. The rest of the encoding is for those that have no lens. */
    struct blob *(*encode_change)(const struct msg_room_change *m);
    int (*encode_view)(const struct msg_room_view *m, struct answer **ret);
    /* What a client with the state vector `sv` gets for its question; a new answer. -errno as
     * room_state_diff() has them. */
    int (*encode_state)(struct room_state *state, struct slice sv, struct answer **ret);
    /* The same for a client that has had its answer and lacks something since. */
    int (*encode_difference)(struct room_state *state, struct slice sv, struct answer **ret);
    /* Sends an answer; NULL: conn_send_large(). */
    void (*send_answer)(struct session *s, struct answer *answer);

    /* The edit is as safe as the room's level of acknowledgement asks for. */
    void (*on_acknowledged)(struct session *s, const struct op *op);
    /* `op` is NULL for a refused presence message. */
    void (*on_rejected)(struct session *s, const struct op *op, uint32_t refusal);
    /* The room itself or its document is refused: the client must be closed. */
    void (*on_refused)(struct session *s, uint32_t refusal);
    /* Asks the client for a new token; NULL: there is no way to. */
    void (*ask_for_token)(struct session *s);
    /* What the client may do has changed; NULL: there is no way to say so. */
    void (*on_access)(struct session *s);
    /* Ends the client with a refusal; NULL: closes the connection. */
    void (*end)(struct session *s, uint32_t refusal);
};

extern const struct dialect dialect_yjs;
extern const struct dialect dialect_ysweet;
extern const struct dialect dialect_partykit;
extern const struct dialect dialect_hocuspocus;
extern const struct dialect dialect_json;
extern const struct dialect dialect_json_ops;
