/* The dialect of y-websocket (1.5 to 4): y-protocols in binary frames, one room a socket. */
#include "gateway/dialect.h"

#include "common/ipc.h"
#include "crdt/awareness_update.h"
#include "gateway/session.h"
#include "gateway/yjs_answers.h"
#include "proto/refusal.h"

#define SILENCE_MS         20000u /* y-websocket 1.5 to 3 closes after 30 s without a frame */
#define FRAME_MESSAGES_MAX 1024u  /* messages back to back in one frame; clients send one */

/* Clients parse each other's states: one that is no JSON would throw in all of them. */
static const struct crdt_awareness_limits awareness_limits = {.nesting = 64};

static void open_yjs(struct session *s, struct slice room, const struct session_params *params)
{
    (void)room;
    (void)params;
    /* A Yjs client keeps an edit that came too early until it has what is before it. */
    session_set_live(s);
}

static void close_yjs(struct session *s)
{
    (void)s;
}

static void handle_awareness(struct session *s, struct slice update)
{
    struct crdt_slice bytes = {update.data, update.len};

    if (update.len > SESSION_AWARENESS_MAX)
        session_close(s, REFUSAL_TOO_LARGE);
    else if (crdt_awareness_validate(bytes, &awareness_limits) < 0)
        session_close(s, REFUSAL_BAD_MESSAGE);
    else
        session_awareness(s, update);
}

static void handle_message(struct session *s, const struct yproto_message *m)
{
    switch (m->kind) {
    case YPROTO_STEP1:
        session_sync(s, m->body);
        break;
    case YPROTO_STEP2:
    case YPROTO_UPDATE:
        if (!yproto_update_is_empty(m->body))
            session_update(s, CRDT_V1, m->body, 0);
        break;
    case YPROTO_AWARENESS:
        handle_awareness(s, m->body);
        break;
    case YPROTO_QUERY:
        session_query_awareness(s);
        break;
    case YPROTO_FOREIGN:
        break;
    }
}

static void on_message(struct session *s, bool is_text, struct slice payload)
{
    struct yproto_message m;
    int r = 1;

    if (is_text) {
        session_close(s, REFUSAL_NOT_TEXT);
        return;
    }
    for (unsigned i = 0; s->conn && i < FRAME_MESSAGES_MAX; i++) {
        r = yproto_next(&payload, &m);
        if (r <= 0)
            break;
        handle_message(s, &m);
    }
    if (r < 0)
        session_close(s, REFUSAL_BAD_MESSAGE);
    else if (r > 0 && payload.len > 0)
        session_close(s, REFUSAL_TOO_MANY);
}

static void on_tick(struct session *s)
{
    static const uint8_t nobody[] = {0}; /* an awareness update of no clients */

    if (mono_now_ms() >= conn_last_sent_ms(s->conn) + SILENCE_MS)
        session_send_new(s, yproto_frame(YPROTO_AWARENESS, slice_of(nobody, sizeof(nobody))));
}

/* y-websocket 4 takes the return of its edit for the word that it is saved. */
static void on_acknowledged(struct session *s, const struct op *op)
{
    struct msg_session_update m;
    struct slice message = blob_slice(op->frame);

    message = slice_of(message.data + IPC_HEADER, message.len - IPC_HEADER);
    if (proto_decode_session_update(message, &m) == 0)
        session_send_new(s, yproto_frame(YPROTO_UPDATE, m.update));
}

const struct dialect dialect_yjs = {
    .name = "yjs",
    .kind = DIALECT_YJS,
    .format = CRDT_V1,
    .has_echo = true,
    .subprotocol = DIALECT_SUBPROTOCOL,
    .open = open_yjs,
    .close = close_yjs,
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
