/*
 * json_frames: the frames of the JSON envelope (subprotocol concord.v1), made and read; no session,
 * no socket. What is made are whole WebSocket text frames; NULL means no memory for a document.
 */
#pragma once

#include "common/blob.h"
#include "common/memory.h"
#include "proto/proto.h"

#include <jansson.h>

#define JSON_PROTOCOL    1
#define JSON_MARKS_MAX   65536u /* of '{', '[' and ',' in one message of a client */
#define JSON_STATE_MAX   16384u /* bytes of one presence */
#define JSON_INTEGER_MAX ((UINT64_C(1) << 53) - 1)

struct blob *json_frame_hello(struct slice room, uint64_t session, uint64_t client);
struct blob *json_frame_sync(struct slice state, struct slice state_vector);
struct blob *json_frame_op(uint64_t seq, struct slice update);
/* `sync` with what a lens shows: JSON text. */
struct blob *json_frame_view(struct slice body);
/* One `op` frame for each line of `body`, an operation as JSON text, back to back. */
struct blob *json_frames_ops(uint64_t seq, struct slice body);
struct blob *json_frame_ack(uint64_t seq);
/* `seq` is NULL where there is none to name. */
struct blob *json_frame_error(uint32_t refusal, const uint64_t *seq);
/* One frame for each state of an awareness update, back to back; what is no JSON is left out. NULL
 * if nothing remains or the update is malformed. */
struct blob *json_frames_presence(struct slice awareness);

/* The form of the edits of a client. */
enum json_data {
    JSON_DATA_YJS, /* `data` holds an update in base64 */
    JSON_DATA_OPS, /* `data` is an operation of a lens */
};

enum json_kind {
    JSON_OP,
    JSON_PRESENCE,
    JSON_FOREIGN, /* any other `t` */
};

/* What a client sent. */
struct json_message {
    enum json_kind kind;
    bool has_seq;
    uint64_t seq;
    uint32_t format;     /* OP: of the update, 1 or 2 */
    struct blob *update; /* OP: the update, or `data` as JSON text */
    bool has_client;
    uint64_t client;    /* PRESENCE: awareness client, if the frame names one */
    struct blob *state; /* PRESENCE: the state as JSON text */
    bool has_left;      /* PRESENCE: the state is null */
};

/* Reads a client's message. 0, or the refusal (enum refusal) with `kind` and `seq` set as far as
 * they are known. The caller calls json_message_done() in any case. */
WARN_UNUSED uint32_t json_message_read(struct slice text, enum json_data data,
                                       struct json_message *ret);
void json_message_done(struct json_message *m);
