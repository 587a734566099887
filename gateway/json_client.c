#include "gateway/json_client.h"

#include "crdt/awareness_update.h"
#include "gateway/session.h"
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

/* ---- life ---- */

void json_client_open(struct session *s, struct slice room)
{
    struct json_state *j = xcalloc(1, sizeof(*j));
    uint32_t id = 0;

    (void)!getrandom(&id, sizeof(id), 0);
    j->client = id ? id : 1;
    s->dialect_state = j;
    session_send_new(s, json_frame_hello(room, s->id, j->client));
}

void json_client_close(struct session *s)
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

/* May take m->state. 0 or a refusal. */
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

void json_client_tick(struct session *s)
{
    const struct json_state *j = s->dialect_state;

    if (j->presence && mono_now_ms() >= j->renew_ms)
        announce(s);
}

/* ---- messages ---- */

void json_client_message(struct session *s, bool is_text, struct slice payload, enum json_data data,
                         void (*handle_op)(struct session *s, const struct json_message *m))
{
    struct json_message m;

    if (!is_text) {
        session_close(s, REFUSAL_NOT_TEXT);
        return;
    }
    uint32_t refusal = json_message_read(payload, data, &m);
    if (refusal == 0) {
        switch (m.kind) {
        case JSON_OP:
            handle_op(s, &m);
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

/* ---- answers ---- */

void json_client_acknowledged(struct session *s, const struct op *op)
{
    session_send_new(s, json_frame_ack(op->tag));
}

void json_client_rejected(struct session *s, const struct op *op, uint32_t refusal)
{
    session_send_new(s, json_frame_error(refusal, op ? &op->tag : NULL));
}

void json_client_refused(struct session *s, uint32_t refusal)
{
    session_send_new(s, json_frame_error(refusal, NULL));
    session_close(s, refusal);
}
