/*
 * The dialect of y-partykit's provider: that of y-websocket (dialect_yjs), but that a message of
 * more than 1,000,000 bytes comes as a batch: a text frame that announces it, its pieces, and a
 * text frame that ends it. What the server sends is never cut.
 */
#include "gateway/dialect.h"

#include "common/buffer.h"
#include "crdt/crdt.h"
#include "gateway/session.h"
#include "gateway/ws.h"
#include "gateway/yjs_answers.h"
#include "proto/refusal.h"

#include <jansson.h>

#define MARKER     "y-pk-batch#"
#define MARKER_MAX 512u /* bytes of a text frame */

struct partykit_state {
    bool is_open; /* a batch has begun */
    uint64_t begun_ms;
    size_t size; /* of the whole message, as announced */
    struct buffer message;
};

static void open_partykit(struct session *s, struct slice room, const struct session_params *params)
{
    s->dialect_state = xcalloc(1, sizeof(struct partykit_state));
    dialect_yjs.open(s, room, params);
}

static void drop_batch(struct session *s)
{
    struct partykit_state *p = s->dialect_state;

    buffer_done(&p->message);
    p->is_open = false;
    session_note_held(s, 0);
}

static void close_partykit(struct session *s)
{
    drop_batch(s);
    free(s->dialect_state);
    s->dialect_state = NULL;
}

static void begin_batch(struct session *s, json_int_t size)
{
    struct partykit_state *p = s->dialect_state;

    drop_batch(s); /* one that has no end is none */
    if (size < 0 || (uint64_t)size > conn_message_max(s->conn)) {
        session_close(s, REFUSAL_TOO_LARGE);
        return;
    }
    p->is_open = true;
    p->begun_ms = mono_now_ms();
    p->size = (size_t)size;
}

static void end_batch(struct session *s)
{
    struct partykit_state *p = s->dialect_state;
    struct buffer message = p->message;

    p->message = (struct buffer){0};
    if (!p->is_open || message.len != p->size)
        session_close(s, REFUSAL_BAD_MESSAGE);
    else
        dialect_yjs.on_message(s, false, buffer_slice(&message)); /* may end the session */
    buffer_done(&message);
    if (s->dialect_state)
        drop_batch(s);
}

static void handle_marker(struct session *s, struct slice text)
{
    size_t head = strlen(MARKER);

    if (text.len < head || text.len > MARKER_MAX || memcmp(text.data, MARKER, head) != 0) {
        session_close(s, REFUSAL_NOT_TEXT);
        return;
    }
    json_t *marker =
        json_loadb((const char *)text.data + head, text.len - head, JSON_REJECT_DUPLICATES, NULL);
    const char *type = json_string_value(json_object_get(marker, "type"));
    const json_t *size = json_object_get(marker, "size");
    if (type && strcmp(type, "start") == 0 && json_is_integer(size))
        begin_batch(s, json_integer_value(size));
    else if (type && strcmp(type, "end") == 0)
        end_batch(s);
    else
        session_close(s, REFUSAL_BAD_MESSAGE);
    json_decref(marker);
}

static void on_message(struct session *s, bool is_text, struct slice payload)
{
    struct partykit_state *p = s->dialect_state;

    if (is_text) {
        handle_marker(s, payload);
    } else if (!p->is_open) {
        dialect_yjs.on_message(s, false, payload);
    } else if (payload.len > p->size - p->message.len) {
        session_close(s, REFUSAL_BAD_MESSAGE);
    } else {
        buffer_append(&p->message, payload.data, payload.len);
        session_note_held(s, p->message.len);
    }
}

static void on_tick(struct session *s)
{
    const struct partykit_state *p = s->dialect_state;

    if (p->is_open && mono_now_ms() > p->begun_ms + CONN_MESSAGE_MS +
                                          p->message.len / CONN_MESSAGE_RATE * UINT64_C(1000))
        conn_close(s->conn, WS_CLOSE_POLICY, "a message takes too long");
    else
        dialect_yjs.on_tick(s);
}

/* Nothing tells the client. */
static void on_acknowledged(struct session *s, const struct op *op)
{
    (void)s;
    (void)op;
}

/* Its frames are those of y-websocket clients, and shared with them: of the same kind. */
const struct dialect dialect_partykit = {
    .name = "partykit",
    .kind = DIALECT_YJS,
    .format = CRDT_V1,
    .subprotocol = DIALECT_SUBPROTOCOL,
    .open = open_partykit,
    .close = close_partykit,
    .on_message = on_message,
    .on_tick = on_tick,
    .encode_update = yjs_encode_update,
    .encode_awareness = yjs_encode_awareness,
    .encode_state = yjs_encode_state,
    .encode_difference = yjs_encode_difference,
    .on_acknowledged = on_acknowledged,
    .on_rejected = yjs_close_rejected,
    .on_refused = session_close,
};
