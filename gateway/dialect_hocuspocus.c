/*
 * The dialect of HocuspocusProvider (versions 2 to 4): the messages of y-protocols behind the key
 * of a document, and one SyncStatus for each edit. The provider counts: every step 2 and every
 * update of its is answered by exactly one, true once it is stored, or false if it was refused. An
 * edit that holds nothing new counts as well: it is stored when all that the room had is.
 *
 * A refusal that may pass closes the connection, so that the provider comes back; any other denies
 * the document and leaves the rest of the connection alone.
 */
#include "gateway/dialect.h"

#include "crdt/crdt.h"
#include "gateway/hocuspocus.h"
#include "gateway/session.h"
#include "gateway/yjs_answers.h"
#include "proto/refusal.h"

static void open_hocuspocus(struct session *s, struct slice room,
                            const struct session_params *params)
{
    (void)room;
    s->dialect_state = params->socket;
    s->prefix = blob_copy(params->key);
    hocuspocus_set_session(params->socket, s);
    session_set_live(s); /* as any Yjs client */
}

static void close_hocuspocus(struct session *s)
{
    hocuspocus_set_session(s->dialect_state, NULL);
    s->dialect_state = NULL;
}

/* One message of y-protocols; what follows it in the frame is not read, as by the reference. */
static void on_message(struct session *s, bool is_text, struct slice payload)
{
    struct slice rest = payload;
    struct yproto_message m;

    (void)is_text;
    if (yproto_next(&rest, &m) <= 0) {
        hocuspocus_close(s->dialect_state, REFUSAL_BAD_MESSAGE);
        return;
    }
    switch (m.kind) {
    case YPROTO_STEP2:
    case YPROTO_UPDATE:
        session_update(s, CRDT_V1, m.body, 0);
        break;
    case YPROTO_STEP1:
    case YPROTO_AWARENESS:
    case YPROTO_QUERY:
        dialect_yjs.on_message(s, false, slice_of(payload.data, payload.len - rest.len));
        break;
    case YPROTO_FOREIGN:
        break;
    }
}

static void on_tick(struct session *s)
{
    (void)s; /* the connection keeps itself alive */
}

/* ---- answers ---- */

static void on_acknowledged(struct session *s, const struct op *op)
{
    (void)op;
    session_send_new(s, hocuspocus_frame_status(blob_slice(s->prefix), true));
}

static void on_rejected(struct session *s, const struct op *op, uint32_t refusal)
{
    if (yjs_may_ignore(op, refusal))
        return;
    if (!op || refusal_info(refusal)->is_retryable)
        session_close(s, refusal);
    else
        session_send_new(s, hocuspocus_frame_status(blob_slice(s->prefix), false));
}

static void ask_for_token(struct session *s)
{
    session_send_new(s, hocuspocus_frame_ask_token(blob_slice(s->prefix)));
}

static void on_access(struct session *s)
{
    session_send_new(
        s, hocuspocus_frame_authenticated(blob_slice(s->prefix), s->access < ACCESS_WRITE));
}

/* A client whose token has expired, and who was asked for another, gets one when it comes back.
 * Version 2 does not know the question, and never comes back from the code of an expired token. */
static void end(struct session *s, uint32_t refusal)
{
    struct hocuspocus_doc *doc = s->dialect_state;

    if (refusal == REFUSAL_EXPIRED)
        refusal = REFUSAL_AUTH_TIMEOUT;
    session_end(s);
    if (refusal_info(refusal)->is_retryable)
        hocuspocus_close_later(doc, refusal);
    else
        hocuspocus_deny(doc, refusal);
}

const struct dialect dialect_hocuspocus = {
    .name = "hocuspocus",
    .kind = DIALECT_HOCUSPOCUS,
    .format = CRDT_V1,
    .open = open_hocuspocus,
    .close = close_hocuspocus,
    .on_message = on_message,
    .on_tick = on_tick,
    .encode_update = yjs_encode_update_bytes,
    .encode_awareness = yjs_encode_awareness_bytes,
    .encode_state = yjs_encode_state_bytes,
    .encode_difference = yjs_encode_difference_bytes,
    .on_acknowledged = on_acknowledged,
    .on_rejected = on_rejected,
    .on_refused = session_close,
    .ask_for_token = ask_for_token,
    .on_access = on_access,
    .end = end,
};
