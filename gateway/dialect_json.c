/* The JSON dialect whose edits are Yjs updates: one JSON object a text frame, told apart by `t`. */
#include "crdt/crdt.h"
#include "gateway/answer.h"
#include "gateway/base64.h"
#include "gateway/json_client.h"
#include "gateway/room_state.h"
#include "gateway/session.h"

#include <errno.h>

static const struct crdt_limits limits = {.output_bytes = ROOM_STATE_MAX};

/* `since` is base64 of a state vector; `data` names the form of edits. */
static unsigned read_query(struct slice query, struct session_params *ret)
{
    struct slice data = http_query_value(query, "data");
    struct slice since = http_query_value(query, "since");

    if (data.data && slice_equal(data, slice_str("ops"))) {
        ret->dialect = &dialect_json_ops;
        return 0;
    }
    if (data.data && !slice_equal(data, slice_str("yjs")))
        return 400;
    if (!since.data)
        return 0;
    /* Both decoders write into it, one after the other: the first may need as much as comes in. */
    struct blob *bytes = blob_new(since.len);
    ssize_t len = http_percent_decode(since, bytes->data);
    len = len < 0 ? len : base64_decode(slice_of(bytes->data, (size_t)len), bytes->data);
    if (len <= 0) {
        blob_unref(bytes);
        return 400;
    }
    bytes->len = (size_t)len;
    ret->since = bytes;
    return 0;
}

static void open_json(struct session *s, struct slice room, const struct session_params *params)
{
    static const uint8_t nothing_known[] = {0}; /* a state vector of no clients */

    json_client_open(s, room);
    session_sync(s, params->since ? blob_slice(params->since)
                                  : slice_of(nothing_known, sizeof(nothing_known)));
}

/* ---- messages ---- */

static void handle_op(struct session *s, const struct json_message *m)
{
    session_update(s, m->format, blob_slice(m->update), m->seq);
}

static void on_message(struct session *s, bool is_text, struct slice payload)
{
    json_client_message(s, is_text, payload, JSON_DATA_YJS, handle_op);
}

/* A room adds the v2 form once it knows of clients that want it. */
static struct blob *encode_update(const struct msg_room_update *m)
{
    struct crdt_buf v2 = {0};
    struct blob *frame = NULL;

    if (m->update_v2.len > 0)
        return json_frame_op(m->seq, m->update_v2);
    if (crdt_update_convert(CRDT_V1, (struct crdt_slice){m->update.data, m->update.len}, CRDT_V2,
                            &limits, &v2) == 0)
        frame = json_frame_op(m->seq, slice_of(v2.data, v2.len));
    crdt_buf_done(&v2);
    return frame;
}

/* What a client with the state vector `sv` lacks, as one v2 update. */
static int read_lacking(struct room_state *state, struct slice sv, struct crdt_buf *ret_update)
{
    struct blob *difference = NULL;

    if (room_state_is_nothing(sv))
        return room_state_whole_v2(state, ret_update);
    int r = room_state_diff(state, sv, &difference);
    if (r == 0)
        r = crdt_update_convert(CRDT_V1, (struct crdt_slice){difference->data, difference->len},
                                CRDT_V2, &limits, ret_update);
    blob_unref(difference);
    return r;
}

static int answer_with(struct blob *frame, struct answer **ret)
{
    if (!frame)
        return -ENOMEM;
    *ret = answer_new();
    answer_add_new(*ret, frame);
    return 0;
}

/* `sync` is the first that a client hears, and one frame: the tail is merged in. */
static int encode_state(struct room_state *state, struct slice sv, struct answer **ret)
{
    struct crdt_buf update = {0};
    int r = read_lacking(state, sv, &update);

    if (r == 0)
        r = answer_with(json_frame_sync(slice_of(update.data, update.len),
                                        blob_slice(room_state_vector(state))),
                        ret);
    crdt_buf_done(&update);
    return r;
}

static int encode_difference(struct room_state *state, struct slice sv, struct answer **ret)
{
    struct crdt_buf update = {0};
    int r = read_lacking(state, sv, &update);

    if (r == 0)
        r = answer_with(json_frame_op(room_state_seq(state), slice_of(update.data, update.len)),
                        ret);
    crdt_buf_done(&update);
    return r;
}

const struct dialect dialect_json = {
    .name = "json",
    .kind = DIALECT_JSON,
    .format = CRDT_V2,
    .subprotocol = DIALECT_SUBPROTOCOL,
    .read_query = read_query,
    .open = open_json,
    .close = json_client_close,
    .on_message = on_message,
    .on_tick = json_client_tick,
    .encode_update = encode_update,
    .encode_awareness = json_frames_presence,
    .encode_state = encode_state,
    .encode_difference = encode_difference,
    .on_acknowledged = json_client_acknowledged,
    .on_rejected = json_client_rejected,
    .on_refused = json_client_refused,
};
