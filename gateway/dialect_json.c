/* The dialect of thin clients and scripts: one JSON object a text frame, told apart by `t`. */
#include "gateway/dialect.h"

#include "crdt/crdt.h"
#include "gateway/base64.h"
#include "gateway/json_frames.h"
#include "gateway/session.h"
#include "gateway/yproto.h"
#include "proto/refusal.h"

#include <sys/random.h>

#define RENEW_MS 15000u /* peers forget a presence after 30 s */

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
    uint64_t wall_s = wall_now_ms() / 1000;

    /* A client that comes back under the same id should be ahead of what is remembered of it. Rooms
     * keep clocks in 32 bits. */
    j->clock = wall_s > j->clock ? wall_s : j->clock + 1;
    j->renew_ms = mono_now_ms() + RENEW_MS;
    struct blob *update = awareness_encode(&(struct awareness_state){
        .client = j->client, .clock = j->clock, .json = blob_slice(j->presence)});
    session_awareness(s, blob_slice(update));
    blob_unref(update);
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
    if (m->has_left) /* nothing to renew */
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

static struct blob *encode_update(const struct msg_room_update *m)
{
    return m->update_v2.len > 0 ? json_frame_op(m->seq, m->update_v2) : NULL;
}

/* A room that was started anew sends what followed before it knows that its clients want v2. */
static void on_missed(struct session *s)
{
    session_sync_whole(s);
}

static void on_sync(struct session *s, const struct op *op, const struct msg_room_sync *m)
{
    if (op->kind == OP_SYNC_WHOLE) {
        session_send_large_new(s, json_frame_op(m->seq, m->update));
        return;
    }
    session_send_large_new(s, json_frame_sync(m->update, m->state_vector));
    session_set_live(s);
}

static void on_stored(struct session *s, const struct op *op)
{
    session_send_new(s, json_frame_ack(op->tag));
}

static void on_rejected(struct session *s, const struct op *op, uint32_t refusal)
{
    bool is_edit = op && op->kind == OP_UPDATE;

    session_send_new(s, json_frame_error(refusal, is_edit ? &op->tag : NULL));
    /* Without the document the client would wait for ever. */
    if (op && op->kind == OP_SYNC)
        session_close(s, refusal);
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
    .on_missed = on_missed,
    .on_sync = on_sync,
    .on_stored = on_stored,
    .on_rejected = on_rejected,
    .on_refused = on_refused,
};
