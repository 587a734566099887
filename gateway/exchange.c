#include "gateway/exchange.h"

#include "crdt/crdt.h"
#include "gateway/answer.h"
#include "gateway/dialect.h"
#include "gateway/reply.h"
#include "gateway/room_state.h"
#include "proto/refusal.h"

/* The dialect's state; lives as long as the client is there. */
struct exchange {
    struct session *session;
    exchange_reply_fn reply; /* of a read; NULL: it writes */
    uint32_t format;         /* of a write */
    struct slice update;     /* until it was sent */
    uint64_t deadline_ms;
};

/* ---- the session's side ---- */

static void open_exchange(struct session *s, struct slice room, const struct session_params *params)
{
    static const uint8_t nothing[] = {0}; /* a state vector of no clients */
    struct exchange *x = params->socket;

    (void)room;
    s->dialect_state = x;
    x->session = s;
    if (x->reply)
        session_sync(s, slice_of(nothing, sizeof(nothing)));
    else
        session_update(s, x->format, x->update, 0);
}

static void close_exchange(struct session *s)
{
    free(s->dialect_state);
    s->dialect_state = NULL;
}

static void refuse(struct session *s, uint32_t refusal)
{
    reply_refusal(s->conn, NULL, refusal);
    session_end(s);
}

static void on_rejected(struct session *s, const struct op *op, uint32_t refusal)
{
    (void)op;
    refuse(s, refusal);
}

static void on_acknowledged(struct session *s, const struct op *op)
{
    (void)op;
    conn_answer(s->conn, &(struct http_answer){.status = 204}, NULL);
    session_end(s);
}

static int encode_state(struct room_state *state, struct slice sv, struct answer **ret)
{
    struct blob *update = NULL;
    int r = room_state_whole(state, &update);

    (void)sv;
    if (r < 0)
        return r;
    *ret = answer_new();
    answer_add_new(*ret, update);
    return 0;
}

static void send_answer(struct session *s, struct answer *answer)
{
    const struct exchange *x = s->dialect_state;

    x->reply(s->conn, answer->parts[0].bytes);
    session_end(s);
}

/* Presence is of no interest. */
static struct blob *encode_awareness(struct slice awareness)
{
    (void)awareness;
    return NULL;
}

static void on_tick(struct session *s)
{
    const struct exchange *x = s->dialect_state;

    if (mono_now_ms() >= x->deadline_ms)
        refuse(s, REFUSAL_UNAVAILABLE);
}

/* It ends when it would become live: there are no edits of others to encode, and nothing is missed.
 */
static const struct dialect dialect = {
    .name = "exchange",
    .kind = DIALECT_EXCHANGE,
    .format = CRDT_V1,
    .open = open_exchange,
    .close = close_exchange,
    .on_tick = on_tick,
    .encode_awareness = encode_awareness,
    .encode_state = encode_state,
    .send_answer = send_answer,
    .on_acknowledged = on_acknowledged,
    .on_rejected = on_rejected,
    .on_refused = refuse,
    .end = refuse,
};

/* ---- the connection's side ---- */

static void on_conn_tick(void *ctx)
{
    struct exchange *x = ctx;

    session_tick(x->session);
}

static void on_conn_end(void *ctx)
{
    struct exchange *x = ctx;

    session_end(x->session);
}

static const struct conn_owner owner = {.on_tick = on_conn_tick, .on_end = on_conn_end};

static void start(struct room_links *links, struct conn *c, const struct admission *admission,
                  const struct exchange *what)
{
    struct exchange *x = xmalloc(sizeof(*x));

    *x = *what;
    x->deadline_ms = mono_now_ms() + EXCHANGE_MS;
    conn_defer(c, &owner, x);
    session_open(links, c, &dialect, admission, &(struct session_params){.socket = x});
}

void exchange_read(struct room_links *links, struct conn *c, const struct admission *admission,
                   exchange_reply_fn reply)
{
    start(links, c, admission, &(struct exchange){.reply = reply});
}

void exchange_write(struct room_links *links, struct conn *c, const struct admission *admission,
                    uint32_t format, struct slice update)
{
    start(links, c, admission, &(struct exchange){.format = format, .update = update});
}
