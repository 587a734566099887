/*
 * The dialect of y-sweet's client: y-protocols as y-websocket speaks them (dialect_yjs), and two
 * messages more.
 *
 * SyncStatus (102) carries the number of the client's latest edit; its return tells the client that
 * it has no changes of its own any more. So it returns once everything that the client sent before
 * it is acknowledged. The first ones come before the edits that the client made while it was away:
 * those are in its answer to our question (step 2), which is waited for. What the room had of them
 * already is not in that answer, and need not be stored yet: so everything that our question spoke
 * of must be.
 *
 * An edit that is refused because the client may only read is dropped, and no SyncStatus returns
 * from then on: closing would make the client come back with it for ever. Any other refusal closes.
 *
 * A client that has sent a SyncStatus and hears nothing for three seconds takes the server for
 * dead. While one waits it is sent an empty presence message instead.
 */
#include "gateway/dialect.h"

#include "crdt/crdt.h"
#include "gateway/room_link.h"
#include "gateway/session.h"
#include "gateway/ws.h"
#include "gateway/yjs_answers.h"
#include "proto/refusal.h"

#define STATUS_MAX         16u   /* bytes of one: a number of 64 bits needs 10 */
#define STATUSES_MAX       32u   /* that wait; the latest count */
#define SILENCE_MS         1500u /* while one waits */
#define FRAME_MESSAGES_MAX 1024u /* messages back to back in one frame; clients send one */

struct status {
    uint64_t after; /* the last edit before it */
    uint8_t len;
    uint8_t bytes[STATUS_MAX];
};

struct ysweet_state {
    bool has_answered; /* our question; until then `after` is not known */
    bool is_refused;   /* an edit of a client that may only read */
    uint32_t head;
    uint32_t count;
    struct status waiting[STATUSES_MAX]; /* a ring, oldest first */
};

static void open_ysweet(struct session *s, struct slice room, const struct session_params *params)
{
    s->dialect_state = xcalloc(1, sizeof(struct ysweet_state));
    dialect_yjs.open(s, room, params);
}

static void close_ysweet(struct session *s)
{
    free(s->dialect_state);
    s->dialect_state = NULL;
}

/* ---- SyncStatus ---- */

static struct status *status_at(struct ysweet_state *y, uint32_t i)
{
    return &y->waiting[(y->head + i) % STATUSES_MAX];
}

/* The number of the client's latest edit that is not acknowledged; 0 without one. */
static uint64_t last_edit(const struct session *s)
{
    const struct op_queue *q = s->unanswered.count > 0 ? &s->unanswered : &s->unstored;

    return q->count > 0 ? op_queue_at(q, q->count - 1)->number : 0;
}

/* And that of the oldest. */
static uint64_t first_edit(const struct session *s)
{
    const struct op_queue *q = s->unstored.count > 0 ? &s->unstored : &s->unanswered;

    return q->count > 0 ? op_queue_at(q, 0)->number : UINT64_MAX;
}

static void send_status(struct session *s, const struct status *status)
{
    uint8_t *payload;
    struct blob *frame = ws_frame_new(WS_BINARY, 2u + status->len, &payload);

    if (frame) {
        payload[0] = YPROTO_STATUS_TYPE;
        payload[1] = status->len;
        memcpy(payload + 2, status->bytes, status->len);
    }
    session_send_new(s, frame);
}

static bool is_due(const struct session *s)
{
    struct ysweet_state *y = s->dialect_state;

    return y->has_answered && y->count > 0 && status_at(y, 0)->after < first_edit(s) && s->link &&
           s->answered_seq <= room_link_acknowledged_seq(s->link);
}

static void send_due(struct session *s)
{
    struct ysweet_state *y = s->dialect_state;

    while (s->conn && is_due(s)) {
        struct status status = *status_at(y, 0);
        y->head = (y->head + 1) % STATUSES_MAX;
        y->count--;
        send_status(s, &status); /* which may end the session */
    }
}

/* The client takes the highest number that it hears of, so the oldest can be spared. */
static void handle_status(struct session *s, struct slice body)
{
    struct ysweet_state *y = s->dialect_state;

    if (body.len > STATUS_MAX) {
        session_close(s, REFUSAL_BAD_MESSAGE);
        return;
    }
    if (y->is_refused)
        return;
    if (y->count == STATUSES_MAX)
        y->head = (y->head + 1) % STATUSES_MAX;
    else
        y->count++;
    struct status *status = status_at(y, y->count - 1);
    status->after = last_edit(s);
    status->len = (uint8_t)body.len;
    if (body.len > 0)
        memcpy(status->bytes, body.data, body.len);
    send_due(s);
}

/* What the client made while it was away is on its way. */
static void note_answer(struct session *s)
{
    struct ysweet_state *y = s->dialect_state;

    if (y->has_answered)
        return;
    y->has_answered = true;
    for (uint32_t i = 0; i < y->count; i++)
        status_at(y, i)->after = last_edit(s);
    send_due(s);
}

/* ---- messages ---- */

/* One of y-protocols. */
static int handle_shared(struct session *s, struct slice *rest)
{
    const uint8_t *start = rest->data;
    struct yproto_message m;
    int r = yproto_next(rest, &m);

    if (r <= 0)
        return r;
    dialect_yjs.on_message(s, false, slice_of(start, (size_t)(rest->data - start)));
    if (s->conn && m.kind == YPROTO_STEP2)
        note_answer(s);
    return r;
}

static int handle_message(struct session *s, struct slice *rest)
{
    struct yproto_own m;
    int r = yproto_next_ysweet(rest, &m);

    if (r == 0)
        return handle_shared(s, rest);
    if (r > 0 && m.is_status)
        handle_status(s, m.body);
    return r;
}

static void on_message(struct session *s, bool is_text, struct slice payload)
{
    int r = 1;

    if (is_text) {
        session_close(s, REFUSAL_NOT_TEXT);
        return;
    }
    for (unsigned i = 0; s->conn && r > 0 && i < FRAME_MESSAGES_MAX; i++)
        r = handle_message(s, &payload);
    if (r < 0)
        session_close(s, REFUSAL_BAD_MESSAGE);
    else if (r > 0 && payload.len > 0)
        session_close(s, REFUSAL_TOO_MANY);
}

static void on_tick(struct session *s)
{
    static const uint8_t nobody[] = {0}; /* an awareness update of no clients */
    const struct ysweet_state *y = s->dialect_state;
    send_due(s);
    if (!s->conn)
        return;
    bool is_waiting = y->count > 0 || y->is_refused || s->is_pausing;
    if (is_waiting && mono_now_ms() >= conn_last_sent_ms(s->conn) + SILENCE_MS)
        session_send_new(s, yproto_frame(YPROTO_AWARENESS, slice_of(nobody, sizeof(nobody))));
    else
        dialect_yjs.on_tick(s);
}

/* ---- answers ---- */

static void on_acknowledged(struct session *s, const struct op *op)
{
    (void)op;
    send_due(s);
}

static void on_rejected(struct session *s, const struct op *op, uint32_t refusal)
{
    struct ysweet_state *y = s->dialect_state;

    if (yjs_may_ignore(op, refusal))
        return;
    if (refusal != REFUSAL_READ_ONLY) {
        session_close(s, refusal);
    } else if (op) {
        y->is_refused = true;
        y->count = 0;
    }
}

/* Its frames are those of y-websocket clients, and shared with them: of the same kind. */
const struct dialect dialect_ysweet = {
    .name = "ysweet",
    .kind = DIALECT_YJS,
    .format = CRDT_V1,
    .open = open_ysweet,
    .close = close_ysweet,
    .on_message = on_message,
    .on_tick = on_tick,
    .encode_update = yjs_encode_update,
    .encode_awareness = yjs_encode_awareness,
    .encode_state = yjs_encode_state,
    .encode_difference = yjs_encode_difference,
    .on_acknowledged = on_acknowledged,
    .on_rejected = on_rejected,
    .on_refused = session_close,
};
