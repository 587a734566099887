/* The dialect of thin clients and scripts: one JSON object a text frame, told apart by `t`. */
#include "gateway/dialect.h"

#include "crdt/awareness_update.h"
#include "gateway/answer.h"
#include "gateway/base64.h"
#include "gateway/json_frames.h"
#include "gateway/room_state.h"
#include "gateway/session.h"
#include "proto/refusal.h"

#include <errno.h>
#include <sys/random.h>

#define RENEW_MS 15000u /* peers forget a presence after 30 s */

static const struct crdt_limits limits = {.output_bytes = ROOM_STATE_MAX};

struct json_state {
    uint64_t client;      /* awareness client id */
    bool is_client_fixed; /* it was used */
    uint64_t clock;       /* of the presence */
    uint64_t renew_ms;
    struct blob *presence; /* the latest state, JSON text; or NULL */
};

/* `since` is base64 of a state vector; `data` names the form of edits. */
static unsigned read_query(struct slice query, struct session_params *ret)
{
    struct slice data = http_query_value(query, "data");
    struct slice since = http_query_value(query, "since");

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
    struct json_state *j = xcalloc(1, sizeof(*j));
    uint32_t id = 0;

    (void)!getrandom(&id, sizeof(id), 0);
    j->client = id ? id : 1;
    s->dialect_state = j;
    session_send_new(s, json_frame_hello(room, s->id, j->client));
    session_sync(s, params->since ? blob_slice(params->since)
                                  : slice_of(nothing_known, sizeof(nothing_known)));
}

static void close_json(struct session *s)
{
    struct json_state *j = s->dialect_state;

    blob_unref(j->presence);
    free(j);
    s->dialect_state = NULL;
}

/* ---- presence ---- */

static void announce(struct session *s)
{
    struct json_state *j = s->dialect_state;
    struct crdt_buf update = {0};
    uint64_t wall_s = wall_now_ms() / 1000;

    /* A client that comes back under the same id should be ahead of what is remembered of it. Rooms
     * keep clocks in 32 bits. */
    j->clock = wall_s > j->clock ? wall_s : j->clock + 1;
    j->renew_ms = mono_now_ms() + RENEW_MS;
    crdt_awareness_write_count(&update, 1);
    crdt_awareness_write_state(
        &update, &(struct crdt_awareness_state){.client = j->client,
                                                .clock = j->clock,
                                                .json = {j->presence->data, j->presence->len}});
    /* Without memory the next renewal tells. */
    if (!update.error)
        session_awareness(s, slice_of(update.data, update.len));
    crdt_buf_done(&update);
}

static uint32_t handle_presence(struct session *s, struct json_message *m)
{
    struct json_state *j = s->dialect_state;

    if (m->has_client && j->is_client_fixed && m->client != j->client)
        return REFUSAL_BAD_MESSAGE;
    if (m->has_client)
        j->client = m->client;
    j->is_client_fixed = true;
    blob_unref(j->presence);
    j->presence = TAKE_PTR(m->state);
    announce(s);
    if (s->conn && m->has_left) /* nothing to renew */
        blob_unref(TAKE_PTR(j->presence));
    return 0;
}

static void on_tick(struct session *s)
{
    const struct json_state *j = s->dialect_state;

    if (j->presence && mono_now_ms() >= j->renew_ms)
        announce(s);
}

/* ---- messages ---- */

static void on_message(struct session *s, bool is_text, struct slice payload)
{
    struct json_message m;

    if (!is_text) {
        session_close(s, REFUSAL_NOT_TEXT);
        return;
    }
    uint32_t refusal = json_message_read(payload, &m);
    if (refusal == 0) {
        switch (m.kind) {
        case JSON_OP:
            session_update(s, m.format, blob_slice(m.update), m.seq);
            break;
        case JSON_PRESENCE:
            refusal = handle_presence(s, &m);
            break;
        case JSON_FOREIGN:
            break;
        }
    }
    if (refusal != 0)
        session_send_new(s, json_frame_error(refusal, m.has_seq ? &m.seq : NULL));
    json_message_done(&m);
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

static void on_acknowledged(struct session *s, const struct op *op)
{
    session_send_new(s, json_frame_ack(op->tag));
}

static void on_rejected(struct session *s, const struct op *op, uint32_t refusal)
{
    session_send_new(s, json_frame_error(refusal, op ? &op->tag : NULL));
}

static void on_refused(struct session *s, uint32_t refusal)
{
    session_send_new(s, json_frame_error(refusal, NULL));
    session_close(s, refusal);
}

const struct dialect dialect_json = {
    .name = "json",
    .kind = DIALECT_JSON,
    .format = CRDT_V2,
    .subprotocol = "concord.v1",
    .read_query = read_query,
    .open = open_json,
    .close = close_json,
    .on_message = on_message,
    .on_tick = on_tick,
    .encode_update = encode_update,
    .encode_awareness = json_frames_presence,
    .encode_state = encode_state,
    .encode_difference = encode_difference,
    .on_acknowledged = on_acknowledged,
    .on_rejected = on_rejected,
    .on_refused = on_refused,
};
