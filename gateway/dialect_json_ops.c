/*
 * The JSON dialect whose edits are operations on a text, for clients that hold no CRDT
 * (roomd/lens.h: the lens `ops`). The room makes and reads them; here they are only framed.
 */
#include "crdt/crdt.h"
#include "gateway/answer.h"
#include "gateway/json_client.h"
#include "gateway/session.h"
#include "proto/lens.h"

#include <errno.h>

static void open_ops(struct session *s, struct slice room, const struct session_params *params)
{
    (void)params;
    json_client_open(s, room);
}

static void handle_op(struct session *s, const struct json_message *m)
{
    session_op(s, blob_slice(m->update), m->seq);
}

static void on_message(struct session *s, bool is_text, struct slice payload)
{
    json_client_message(s, is_text, payload, JSON_DATA_OPS, handle_op);
}

static struct blob *encode_change(const struct msg_room_change *m)
{
    return json_frames_ops(m->seq, m->body);
}

static int encode_view(const struct msg_room_view *m, struct answer **ret)
{
    struct blob *frame = json_frame_view(m->body);

    if (!frame)
        return -ENOMEM;
    *ret = answer_new();
    answer_add_new(*ret, frame);
    return 0;
}

const struct dialect dialect_json_ops = {
    .name = "json-ops",
    .kind = DIALECT_JSON_OPS,
    .format = CRDT_V1,
    .lens = LENS_OPS,
    .subprotocol = DIALECT_SUBPROTOCOL,
    .open = open_ops,
    .close = json_client_close,
    .on_message = on_message,
    .on_tick = json_client_tick,
    .encode_awareness = json_frames_presence,
    .encode_change = encode_change,
    .encode_view = encode_view,
    .on_acknowledged = json_client_acknowledged,
    .on_rejected = json_client_rejected,
    .on_refused = json_client_refused,
};
