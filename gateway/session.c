#include "gateway/session.h"

#include "common/log.h"
#include "common/metrics.h"
#include "gateway/answer.h"
#include "gateway/joins.h"
#include "gateway/reply.h"
#include "gateway/room_link.h"
#include "gateway/room_state.h"
#include "gateway/ws.h"
#include "proto/lens.h"
#include "proto/refusal.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>

static const char *const state_names[] = {"joined", "live", "behind", "leaving", "ended"};

/* Bit n of the entry of a state: it may go over to state n. */
static const unsigned may_follow[] = {
    [SESSION_JOINED] = 1u << SESSION_LIVE | 1u << SESSION_LEAVING | 1u << SESSION_ENDED,
    [SESSION_LIVE] = 1u << SESSION_BEHIND | 1u << SESSION_LEAVING | 1u << SESSION_ENDED,
    [SESSION_BEHIND] = 1u << SESSION_LIVE | 1u << SESSION_LEAVING | 1u << SESSION_ENDED,
    [SESSION_LEAVING] = 1u << SESSION_ENDED,
    [SESSION_ENDED] = 0,
};

static void release(void *ctx)
{
    struct session *s = ctx;

    if (s->on_leaving_end)
        event_free(s->on_leaving_end);
    op_queue_done(&s->unanswered);
    op_queue_done(&s->unstored);
    blob_unref(s->question);
    blob_unref(s->known);
    blob_unref(s->prefix);
    principal_unref(s->principal);
    blob_unref(s->awareness);
    free(s);
}

static void on_leaving_end(evutil_socket_t fd, short what, void *ctx);

static void set_state(struct session *s, enum session_state state)
{
    struct timeval leaving = {.tv_sec = SESSION_LEAVING_MS / 1000};

    assert(may_follow[s->state] & 1u << state);
    log_debug("session %lx: %s to %s", (unsigned long)s->id, state_names[s->state],
              state_names[state]);
    s->state = state;
    switch (state) {
    case SESSION_JOINED:
    case SESSION_LIVE:
    case SESSION_BEHIND:
        break;
    case SESSION_LEAVING:
        s->on_leaving_end = event_new(loop_base(s->loop), -1, 0, on_leaving_end, s);
        if (!s->on_leaving_end || event_add(s->on_leaving_end, &leaving) < 0)
            log_panic("a timer cannot be set");
        break;
    case SESSION_ENDED:
        if (s->on_leaving_end)
            (void)event_del(s->on_leaving_end);
        room_links_count_leaving(s->links, -(ssize_t)s->leaving_bytes);
        s->leaving_bytes = 0;
        (void)room_links_count_kept(s->links, -(ssize_t)s->kept_bytes);
        s->kept_bytes = 0;
        if (s->link)
            room_link_leave(s);
        room_links_remove_session(s->links, s);
        loop_reap(s->loop, release, s);
        break;
    }
}

static void on_leaving_end(evutil_socket_t fd, short what, void *ctx)
{
    struct session *s = ctx;

    (void)fd;
    (void)what;
    if (s->state == SESSION_LEAVING)
        set_state(s, SESSION_ENDED);
}

/* ---- to the client ---- */

/* From now on it gets every edit; unless its connection, which others use too, is behind. */
static void go_live(struct session *s)
{
    if (s->state != SESSION_LIVE)
        set_state(s, SESSION_LIVE);
    if (conn_is_behind(s->conn))
        set_state(s, SESSION_BEHIND);
}

void session_set_live(struct session *s)
{
    if (s->state != SESSION_JOINED)
        return;
    go_live(s);
    metric_add(METRIC_GATEWAY_JOINS, 1);
}

void session_close(struct session *s, uint32_t refusal)
{
    const struct refusal_info *info = refusal_info(refusal);

    if (!s->conn)
        return;
    metric_add(METRIC_GATEWAY_REFUSALS, 1);
    if (s->dialect->end)
        s->dialect->end(s, refusal);
    else
        conn_close(s->conn, info->close_code, info->text);
}

void session_send_new(struct session *s, struct blob *frames)
{
    if (!frames)
        session_close(s, REFUSAL_UNAVAILABLE);
    else if (s->conn)
        conn_send_new(s->conn, frames);
    else
        blob_unref(frames);
}

void session_send_shared(struct session *s, struct blob *frames)
{
    if (s->conn)
        conn_send_shared(s->conn, s->prefix, frames);
}

/* Returns whether there is too much, and this client has its part in it. */
static bool count_kept(struct session *s)
{
    size_t bytes = s->unanswered.bytes + s->unstored.bytes + (s->question ? s->question->len : 0) +
                   (s->awareness ? s->awareness->len : 0) + s->held_bytes;
    ssize_t more = (ssize_t)bytes - (ssize_t)s->kept_bytes;

    if (s->state == SESSION_ENDED)
        return false;
    s->kept_bytes = bytes;
    return room_links_count_kept(s->links, more) && more > 0 && bytes > SESSION_KEPT_FAIR;
}

static void set_pausing(struct session *s, bool is_pausing)
{
    if (s->is_pausing == is_pausing)
        return;
    s->is_pausing = is_pausing;
    if (is_pausing)
        conn_pause(s->conn);
    else
        conn_resume(s->conn);
}

/* Reads the client or not, by what waits on its behalf. There is a gap between stop and go, so that
 * one message does not toggle it. */
static void update_pressure(struct session *s)
{
    if (count_kept(s))
        session_close(s, REFUSAL_UNAVAILABLE);
    if (!s->conn)
        return;
    bool has_too_many = !s->dialect->has_echo && s->unstored.count > SESSION_UNSTORED_COUNT;
    bool has_room = s->unanswered.bytes <= SESSION_UNANSWERED_MAX / 2 &&
                    (s->dialect->has_echo || s->unstored.count <= SESSION_UNSTORED_COUNT / 2);
    bool is_link_full = s->link && room_link_is_full(s->link);

    if (s->unanswered.bytes > SESSION_UNANSWERED_MAX || has_too_many || is_link_full)
        set_pausing(s, true);
    else if (has_room)
        set_pausing(s, false);
}

void session_note_held(struct session *s, size_t bytes)
{
    s->held_bytes = bytes;
    update_pressure(s);
}

/* ---- to the room ---- */

/* A question is answered once the session hears of what the answer will lack. */
static void ask(struct session *s)
{
    if (s->link && room_link_is_subscribed(s->link))
        joins_add(room_links_joins(s->links), s);
}

void session_sync(struct session *s, struct slice state_vector)
{
    int r = room_state_check_vector(state_vector);

    if (r < 0) {
        s->dialect->on_refused(s, r == -EBADMSG ? REFUSAL_BAD_MESSAGE : REFUSAL_OVER_LIMIT);
        return;
    }
    blob_unref(s->question);
    s->question = blob_copy(state_vector);
    ask(s);
    update_pressure(s);
}

void session_handle_subscribed(struct session *s)
{
    if (s->question || s->needs_whole || s->needs_difference)
        ask(s);
}

static void forget_questions(struct session *s)
{
    joins_remove(room_links_joins(s->links), s);
    blob_unref(TAKE_PTR(s->question));
    s->needs_whole = s->needs_difference = false;
}

/* Keeps an edit until it is answered, and sends it. */
static void send_edit(struct session *s, struct blob *message, uint64_t op, uint64_t tag)
{
    op_queue_push(&s->unanswered, &(struct op){.number = op, .tag = tag, .frame = message});
    if (s->link)
        room_link_send(s->link, message);
    update_pressure(s);
}

void session_update(struct session *s, uint32_t format, struct slice update, uint64_t tag)
{
    struct msg_session_update m = {
        .session = s->id, .op = s->next_op++, .format = format, .update = update};

    conn_note_update(s->conn);
    send_edit(s, proto_encode_session_update(&m), m.op, tag);
}

void session_op(struct session *s, struct slice body, uint64_t tag)
{
    struct msg_session_op m = {.session = s->id, .op = s->next_op++, .body = body};

    conn_note_update(s->conn);
    send_edit(s, proto_encode_session_op(&m), m.op, tag);
}

/* Only the latest presence counts, so a room that does not read has no queue of it. */
static void send_awareness(struct session *s)
{
    s->has_late_awareness = s->link && room_link_is_full(s->link);
    if (s->link && !s->has_late_awareness)
        room_link_send(s->link, s->awareness);
}

void session_awareness(struct session *s, struct slice awareness)
{
    struct msg_session_awareness m = {.session = s->id, .op = s->next_op++, .awareness = awareness};

    assert(awareness.len <= SESSION_AWARENESS_MAX);
    blob_unref(s->awareness);
    s->awareness = proto_encode_session_awareness(&m);
    send_awareness(s);
    update_pressure(s);
}

void session_query_awareness(struct session *s)
{
    struct msg_session_awareness m = {.session = s->id};
    uint64_t now = mono_now_ms();

    s->needs_awareness = true;
    if (!s->link || room_link_is_full(s->link) || now < s->query_ms + SESSION_QUERY_MS)
        return;
    s->needs_awareness = false;
    s->query_ms = now;
    m.op = s->next_op++;
    room_link_send_new(s->link, proto_encode_session_awareness(&m));
}

void session_rejoin(struct session *s)
{
    struct msg_session_join m = {.session = s->id,
                                 .format = s->dialect->format,
                                 .is_read_only = s->access < ACCESS_WRITE,
                                 .lens = s->dialect->lens};

    room_link_send_new(s->link, proto_encode_session_join(&m));
    for (uint32_t i = 0; i < s->unanswered.count; i++)
        room_link_send(s->link, op_queue_at(&s->unanswered, i)->frame);
    if (s->awareness && s->state != SESSION_LEAVING)
        send_awareness(s);
}

/* ---- from the room ---- */

/* An edit of a client that is gone was answered. */
static void end_if_done(struct session *s)
{
    if (s->state == SESSION_LEAVING && s->unanswered.count == 0)
        set_state(s, SESSION_ENDED);
}

/* Too much waits for the store to remember each edit. */
static void forget_unstored(struct session *s)
{
    while (s->unstored.count > 0) {
        struct op op = op_queue_pop(&s->unstored);
        if (op.seq > s->whole_seq)
            s->whole_seq = op.seq;
        blob_unref(op.frame);
    }
}

static void keep_until_stored(struct session *s, struct op *op)
{
    if (!s->dialect->has_echo)
        blob_unref(TAKE_PTR(op->frame));
    op_queue_push(&s->unstored, op);
    if (s->dialect->has_echo && s->unstored.bytes > SESSION_UNSTORED_MAX)
        forget_unstored(s);
    room_link_watch_stored(s);
}

void session_handle_applied(struct session *s, uint64_t number, uint64_t seq)
{
    struct op op;

    if (!op_queue_take(&s->unanswered, number, &op))
        return;
    op.seq = seq;
    if (!s->conn) {
        blob_unref(op.frame);
    } else if (seq <= room_link_acknowledged_seq(s->link)) {
        s->dialect->on_acknowledged(s, &op);
        blob_unref(op.frame);
    } else {
        keep_until_stored(s, &op);
    }
    update_pressure(s);
    end_if_done(s);
}

void session_handle_rejected(struct session *s, uint64_t number, uint32_t refusal)
{
    struct op op = {0};
    bool is_kept = op_queue_take(&s->unanswered, number, &op);

    metric_add(METRIC_LIMITED_AWARENESS_IDS, number && !is_kept && refusal == REFUSAL_TOO_MANY);
    metric_add(METRIC_LIMITED_AWARENESS_BYTES, number && !is_kept && refusal == REFUSAL_OVER_LIMIT);
    if (s->conn && number == 0) /* it was not let in */
        s->dialect->on_refused(s, refusal);
    else if (s->conn)
        s->dialect->on_rejected(s, is_kept ? &op : NULL, refusal);
    blob_unref(op.frame);
    update_pressure(s);
    end_if_done(s);
}

/* ---- answers to questions ---- */

/* `vector`: what the client has with it; NULL if that is not known. */
static void send_answer(struct session *s, struct answer *answer, struct blob *vector)
{
    blob_unref(TAKE_PTR(s->known));
    if (vector && vector->len <= SESSION_VECTOR_MAX)
        s->known = blob_ref(vector);
    if (s->dialect->send_answer)
        s->dialect->send_answer(s, answer);
    else
        conn_send_large(s->conn, s->prefix, answer);
    session_set_live(s);
}

struct blob *session_question(const struct session *s, bool *ret_is_difference)
{
    *ret_is_difference = !s->question && s->needs_difference;
    return s->question ? s->question : s->needs_difference ? s->known : NULL;
}

static void drop_late(struct late_answer *late)
{
    answer_unref(late->answer);
    blob_unref(late->vector);
    *late = (struct late_answer){0};
}

static void send_later(struct session *s, struct late_answer *late, struct answer *answer,
                       uint64_t seq, struct blob *vector)
{
    drop_late(late);
    *late =
        (struct late_answer){.answer = answer_ref(answer), .seq = seq, .vector = blob_ref(vector)};
    room_link_watch_stored(s);
}

static void send_late(struct session *s, struct late_answer *late)
{
    struct late_answer out = *late;

    *late = (struct late_answer){0};
    send_answer(s, out.answer, out.vector);
    drop_late(&out);
}

bool session_would_believe(const struct session *s, uint64_t seq)
{
    uint64_t acknowledged_seq = room_link_acknowledged_seq(s->link);

    return s->dialect->has_echo && seq > acknowledged_seq &&
           (s->unanswered.count > 0 || session_waits_for_store(s) ||
            s->past_seq > acknowledged_seq);
}

/* The whole document stands for the echoes of edits. It also holds what came since the last of
 * them, so it waits until that is stored too. */
static void handle_whole(struct session *s, struct answer *answer, uint64_t seq,
                         struct blob *vector)
{
    s->needs_whole = false;
    if (seq <= room_link_acknowledged_seq(s->link))
        send_answer(s, answer, vector);
    else
        send_later(s, &s->late_whole, answer, seq, vector);
}

/* What may hold edits of the client's own waits a while for the store. */
static void send_soon(struct session *s, struct answer *answer, uint64_t seq, struct blob *vector)
{
    if (!session_would_believe(s, seq)) {
        send_answer(s, answer, vector);
        return;
    }
    if (!s->late_join.answer)
        s->late_join_end_ms = mono_now_ms() + SESSION_JOIN_MS;
    send_later(s, &s->late_join, answer, seq, vector);
}

static void handle_joined(struct session *s, struct answer *answer, uint64_t seq,
                          struct blob *vector)
{
    struct blob *question = TAKE_PTR(s->question);

    if (s->past_seq == 0 && !room_state_is_nothing(blob_slice(question)))
        s->past_seq = seq;
    blob_unref(question);
    send_soon(s, answer, seq, vector);
}

/* Every edit is sent from here on, also while the difference waits: a client keeps what it gets too
 * early. */
static void handle_difference(struct session *s, struct answer *answer, uint64_t seq,
                              struct blob *vector)
{
    s->needs_difference = false;
    go_live(s);
    send_soon(s, answer, seq, vector);
}

void session_handle_answer(struct session *s, struct answer *answer, uint64_t seq,
                           struct blob *vector)
{
    s->answered_seq = seq;
    if (s->question)
        handle_joined(s, answer, seq, vector);
    else if (s->needs_difference)
        handle_difference(s, answer, seq, vector);
    else
        handle_whole(s, answer, seq, vector);
    if (s->conn && (s->needs_whole || s->needs_difference))
        ask(s);
    update_pressure(s);
}

void session_handle_no_answer(struct session *s, uint32_t refusal)
{
    forget_questions(s);
    s->dialect->on_refused(s, refusal);
}

void session_handle_view(struct session *s, const struct msg_room_view *m)
{
    struct answer *answer;

    if (!s->conn)
        return;
    if (s->dialect->encode_view(m, &answer) < 0) {
        session_close(s, REFUSAL_UNAVAILABLE);
        return;
    }
    if (s->state == SESSION_BEHIND)
        go_live(s);
    send_answer(s, answer, NULL);
    answer_unref(answer);
}

void session_await_whole(struct session *s, uint64_t seq)
{
    if (seq > s->whole_seq)
        s->whole_seq = seq;
    room_link_watch_stored(s);
}

void session_handle_stored(struct session *s, uint64_t seq)
{
    while (s->conn && s->unstored.count > 0 && op_queue_at(&s->unstored, 0)->seq <= seq) {
        struct op op = op_queue_pop(&s->unstored);
        s->dialect->on_acknowledged(s, &op);
        blob_unref(op.frame);
    }
    if (s->conn && s->late_join.answer && s->late_join.seq <= seq)
        send_late(s, &s->late_join);
    if (s->conn && s->late_whole.answer && s->late_whole.seq <= seq)
        send_late(s, &s->late_whole);
    if (s->conn && s->whole_seq != 0 && s->whole_seq <= seq) {
        s->whole_seq = 0;
        s->needs_whole = true;
        ask(s);
    }
    update_pressure(s);
}

bool session_waits_for_store(const struct session *s)
{
    return s->unstored.count > 0 || s->whole_seq != 0 || s->late_whole.answer ||
           s->late_join.answer;
}

void session_handle_refused(struct session *s, uint32_t refusal)
{
    op_queue_done(&s->unanswered); /* no room will ever answer */
    forget_questions(s);
    if (s->conn)
        s->dialect->on_refused(s, refusal);
    else
        set_state(s, SESSION_ENDED);
}

/* ---- a client that reads too slowly ---- */

void session_handle_behind(struct session *s)
{
    s->needs_awareness = true;
    if (s->state == SESSION_LIVE)
        set_state(s, SESSION_BEHIND);
}

void session_handle_caught_up(struct session *s)
{
    struct msg_session_view m = {.session = s->id};

    if (s->state != SESSION_BEHIND)
        return;
    if (s->dialect->lens != LENS_NONE) {
        if (s->link) /* without one, all comes with the next */
            room_link_send_new(s->link, proto_encode_session_view(&m));
        return;
    }
    s->needs_difference = true;
    ask(s);
}

/* ---- what the client may do ---- */

void session_set_access(struct session *s, enum access access)
{
    struct msg_session_access m = {.session = s->id, .is_read_only = access < ACCESS_WRITE};

    if (access == s->access)
        return;
    s->access = access;
    if (access == ACCESS_NONE) {
        session_close(s, REFUSAL_FORBIDDEN);
        return;
    }
    if (s->link)
        room_link_send_new(s->link, proto_encode_session_access(&m));
    if (s->dialect->on_access)
        s->dialect->on_access(s);
}

void session_set_principal(struct session *s, struct principal *principal, enum access access)
{
    principal_unref(s->principal);
    s->principal = principal_ref(principal);
    s->has_asked_for_token = false;
    session_set_access(s, access);
}

/* A token that has expired is asked for where the protocol can, and then ends its client. */
static void check_expiry(struct session *s)
{
    uint64_t now_s = wall_now_ms() / 1000;
    uint64_t expires_s = s->principal->expires_s;

    if (expires_s == 0 || now_s < expires_s || !s->conn)
        return;
    if (now_s >= expires_s + SESSION_TOKEN_S) {
        session_close(s, REFUSAL_EXPIRED);
    } else if (s->dialect->ask_for_token && !s->has_asked_for_token) {
        s->has_asked_for_token = true;
        s->dialect->ask_for_token(s);
    }
}

/* ---- from the client ---- */

void session_tick(struct session *s)
{
    if (s->has_late_awareness)
        send_awareness(s);
    if (s->needs_awareness && s->state != SESSION_BEHIND)
        session_query_awareness(s);
    if (s->late_join.answer && mono_now_ms() >= s->late_join_end_ms)
        send_late(s, &s->late_join);
    update_pressure(s);
    check_expiry(s);
    if (s->conn)
        s->dialect->on_tick(s);
}

/* What the client sent before it went is still brought to the room, within bounds. */
static bool may_outlive_client(struct session *s)
{
    if (!s->link || s->unanswered.count == 0 ||
        !room_links_count_leaving(s->links, (ssize_t)s->unanswered.bytes))
        return false;
    s->leaving_bytes = s->unanswered.bytes;
    return true;
}

void session_end(struct session *s)
{
    set_pausing(s, false);
    s->conn = NULL;
    metric_sub(METRIC_GATEWAY_CLIENTS, 1);
    s->dialect->close(s);
    op_queue_done(&s->unstored); /* nobody is left to be told */
    forget_questions(s);
    drop_late(&s->late_whole);
    drop_late(&s->late_join);
    (void)count_kept(s);
    set_state(s, may_outlive_client(s) ? SESSION_LEAVING : SESSION_ENDED);
}

/* ---- a connection of one session ---- */

static void on_message(void *ctx, bool is_text, struct slice payload)
{
    struct session *s = ctx;

    s->dialect->on_message(s, is_text, payload);
}

static void on_behind(void *ctx)
{
    session_handle_behind(ctx);
}

static void on_caught_up(void *ctx)
{
    session_handle_caught_up(ctx);
}

static void on_tick(void *ctx)
{
    session_tick(ctx);
}

static void on_end(void *ctx)
{
    session_end(ctx);
}

static const struct conn_owner conn_owner = {
    .on_message = on_message,
    .on_behind = on_behind,
    .on_caught_up = on_caught_up,
    .on_tick = on_tick,
    .on_end = on_end,
};

/* ---- life ---- */

static struct session *session_new(struct room_links *links, struct conn *c,
                                   const struct dialect *dialect, const struct admission *admission)
{
    struct session *s = xcalloc(1, sizeof(*s));

    s->dialect = dialect;
    s->conn = c;
    s->links = links;
    s->loop = room_links_loop(links);
    s->principal = principal_ref(admission->principal);
    s->access = admission->access;
    s->next_op = 1;
    room_links_add_session(links, s);
    metric_add(METRIC_GATEWAY_CLIENTS, 1);
    return s;
}

static void enter(struct session *s, const struct admission *admission,
                  const struct session_params *params)
{
    s->dialect->open(s, admission->room, params);
    if (s->conn)
        room_link_join(s->links, s, slice_str(s->principal->tenant), admission->room);
}

void session_open(struct room_links *links, struct conn *c, const struct dialect *dialect,
                  const struct admission *admission, const struct session_params *params)
{
    enter(session_new(links, c, dialect, admission), admission, params);
}

void session_start(struct room_links *links, struct conn *c, const char *accept,
                   const char *subprotocol, const struct dialect *dialect,
                   const struct admission *admission, const struct session_params *params)
{
    const struct principal *p = admission->principal;

    if (!conn_take_seats(c, p->tenant, p->subject)) {
        reply_refusal(c, NULL, REFUSAL_TOO_MANY);
        return;
    }
    struct session *s = session_new(links, c, dialect, admission);
    conn_accept(c, accept, subprotocol, &conn_owner, s);
    enter(s, admission, params);
}
