#include "roomd/lens.h"
#include "roomd/room_internal.h"

#include <errno.h>
#include <stdlib.h>

#define PAUSE_BYTES (64u << 20) /* of output waiting: the gateway is not heard until it reads */
/* The others' edits pile up all the same. Above this the link is closed; the gateway comes back and
 * asks for what it has not seen. */
#define OVERRUN_BYTES ((size_t)256 << 20)
#define FRAME_MAX     (250u << 20) /* fields of one message together */

/* A batch is flushed before the end of the turn when it holds so much. */
#define BATCH_EDITS 512u
#define BATCH_BYTES (8u << 20)

/* ---- output ---- */

void link_send(struct link *link, struct blob *frame)
{
    ipc_send(link->ipc, frame);
    blob_unref(frame);
    size_t queued = ipc_queued_bytes(link->ipc);
    if (queued > OVERRUN_BYTES)
        link->is_overrun = true;
    if (queued > PAUSE_BYTES && !link->is_paused) {
        link->is_paused = true;
        ipc_set_paused(link->ipc, true);
    }
}

void links_broadcast(struct room *room, struct blob *frame)
{
    struct link *link;

    TAILQ_FOREACH (link, &room->links, links) {
        if (link->state == LINK_OPEN)
            link_send(link, blob_ref(frame));
    }
}

/* The edit as a frame; with its format-2 form if `with_v2`. */
static struct blob *encode_edit(uint64_t seq, uint64_t session, struct slice update, bool with_v2)
{
    static const struct crdt_limits limits = {.output_bytes = PROTO_UPDATE_MAX};
    struct msg_room_update m = {.seq = seq, .session = session, .update = update};
    struct crdt_buf v2 = {0};

    if (with_v2) {
        int r = crdt_update_convert(CRDT_V1, (struct crdt_slice){update.data, update.len}, CRDT_V2,
                                    &limits, &v2);
        if (r == 0 && update.len + v2.len <= FRAME_MAX)
            m.update_v2 = slice_of(v2.data, v2.len);
        else
            log_warn("edit %llu is too large for format 2", (unsigned long long)seq);
    }
    struct blob *frame = proto_encode_room_update(&m);
    crdt_buf_done(&v2);
    return frame;
}

static bool fits_frame(uint64_t seq, struct slice update)
{
    if (update.len <= PROTO_UPDATE_MAX)
        return true;
    log_warn("edit %llu is too large to be sent", (unsigned long long)seq);
    return false;
}

void links_broadcast_edit(struct room *room, const struct edit *edit)
{
    struct blob *frames[2] = {NULL, NULL}; /* without and with format 2 */
    struct slice update = blob_slice(edit->update);
    struct link *link;

    if (!fits_frame(edit->seq, update))
        return;
    TAILQ_FOREACH (link, &room->links, links) {
        if (link->state != LINK_OPEN)
            continue;
        bool with_v2 = link->v2_sessions > 0;
        if (!frames[with_v2])
            frames[with_v2] = encode_edit(edit->seq, edit->session, update, with_v2);
        link_send(link, blob_ref(frames[with_v2]));
    }
    blob_unref(frames[0]);
    blob_unref(frames[1]);
}

void links_broadcast_change(struct room *room, const struct edit *edit)
{
    struct msg_room_change m = {.lens = LENS_OPS,
                                .seq = edit->seq,
                                .session = edit->session,
                                .body = blob_slice(edit->change)};
    struct blob *frame = proto_encode_room_change(&m);
    struct link *link;

    TAILQ_FOREACH (link, &room->links, links) {
        if (link->ops_sessions > 0)
            link_send(link, blob_ref(frame));
    }
    blob_unref(frame);
}

void links_check_queues(struct room *room)
{
    struct link *link = TAILQ_FIRST(&room->links);

    while (link) {
        struct link *next = TAILQ_NEXT(link, links);
        if (link->is_overrun) {
            log_warn("a gateway does not read: its link is closed");
            link_close(link);
        } else if (link->is_paused && ipc_queued_bytes(link->ipc) < PAUSE_BYTES / 2) {
            link->is_paused = false;
            ipc_set_paused(link->ipc, false);
        }
        link = next;
    }
}

static void reject(struct link *link, uint64_t session, uint64_t op, enum refusal refusal)
{
    room_answer(link->room,
                &(struct answer){.link = link, .session = session, .op = op, .refusal = refusal});
}

/* ---- sessions ---- */

/* Clients leave while their messages are on the way, so an unknown number is no error. */
static struct session *find_session(const struct link *link, uint64_t number)
{
    struct session *s = session_find(&link->room->sessions, number);

    return s && s->link == link ? s : NULL;
}

/* What edits change is looked at only while somebody wants to know it. */
static void count_ops_sessions(struct link *link, int more)
{
    struct room *room = link->room;

    link->ops_sessions += (uint32_t)more;
    room->ops_sessions += (uint32_t)more;
    document_set_lens(room->document, room->ops_sessions > 0 ? LENS_OPS : LENS_NONE);
}

static void detach_session(struct session *s)
{
    TAILQ_REMOVE(&s->link->sessions, s, of_link);
    if (s->format == CRDT_V2)
        s->link->v2_sessions--;
    if (s->lens == LENS_OPS)
        count_ops_sessions(s->link, -1);
    s->link = NULL;
}

static void attach_session(struct session *s, struct link *link, const struct msg_session_join *m)
{
    s->link = link;
    s->format = (enum crdt_format)m->format;
    s->lens = (enum lens)m->lens;
    s->is_read_only = m->is_read_only;
    TAILQ_INSERT_TAIL(&link->sessions, s, of_link);
    if (s->format == CRDT_V2)
        link->v2_sessions++;
    if (s->lens == LENS_OPS)
        count_ops_sessions(link, 1);
}

static void remove_session(struct room *room, struct session *s)
{
    awareness_leave(room->awareness, s->number);
    detach_session(s);
    session_remove(&room->sessions, s);
}

/* Everybody else's presence, for one client; nothing if nobody is here. */
static void send_presence(struct link *link, uint64_t session)
{
    struct crdt_buf states = {0};

    if (awareness_encode_others(link->room->awareness, session, &states) > 0) {
        struct msg_room_awareness m = {.only = session,
                                       .awareness = slice_of(states.data, states.len)};
        link_send(link, proto_encode_room_awareness(&m));
    }
    crdt_buf_done(&states);
}

/* The whole state of a session's lens; with an empty batch, for it holds the edits of that. */
static void send_view(const struct session *s)
{
    struct document *d = s->link->room->document;
    struct msg_room_view m = {.session = s->number, .seq = document_last_seq(d)};
    struct crdt_buf state = {0};
    int r = document_view(d, s->lens, &state);

    m.body = slice_of(state.data, state.len);
    if (r == 0 && m.body.len > PROTO_UPDATE_MAX)
        r = -E2BIG;
    if (r == 0)
        link_send(s->link, proto_encode_room_view(&m));
    else
        reject(s->link, s->number, 0, room_refusal(r, REFUSAL_BAD_MESSAGE));
    crdt_buf_done(&state);
}

void links_send_views(struct room *room)
{
    struct session *s;
    struct link *link;

    TAILQ_FOREACH (link, &room->links, links) {
        TAILQ_FOREACH (s, &link->sessions, of_link) {
            if (s->lens != LENS_NONE)
                send_view(s);
        }
    }
}

static int handle_session_join(struct link *link, const struct msg_session_join *m)
{
    struct room *room = link->room;
    struct session *s = session_find(&room->sessions, m->session);

    if (link->state != LINK_OPEN || m->session == 0 ||
        (m->format != CRDT_V1 && m->format != CRDT_V2) ||
        (m->lens != LENS_NONE && !lens_type(m->lens)))
        return -EBADMSG;
    if (m->lens != LENS_NONE)
        room_flush(room);
    /* A gateway that lost its link joins again over a new one, maybe before the old one ends. */
    if (s)
        detach_session(s);
    else
        s = session_add(&room->sessions, m->session);
    if (!s) {
        reject(link, m->session, 0, REFUSAL_TOO_MANY);
        return 0;
    }
    attach_session(s, link, m);
    awareness_join(room->awareness, m->session);
    room->activity_ms = wall_now_ms();
    if (s->lens != LENS_NONE)
        send_view(s);
    send_presence(link, m->session);
    return 0;
}

static int handle_session_leave(struct link *link, const struct msg_session_leave *m)
{
    struct session *s = find_session(link, m->session);

    if (s)
        remove_session(link->room, s);
    return 0;
}

static int handle_session_access(struct link *link, const struct msg_session_access *m)
{
    struct session *s = find_session(link, m->session);

    if (s)
        s->is_read_only = m->is_read_only;
    return 0;
}

static int handle_session_view(struct link *link, const struct msg_session_view *m)
{
    const struct session *s = find_session(link, m->session);

    if (!s)
        return 0;
    if (s->lens == LENS_NONE)
        return -EBADMSG;
    room_flush(link->room);
    send_view(s);
    return 0;
}

/* ---- edits ---- */

static void answer_edit(struct room *room, struct answer *answer, int error)
{
    const struct edit *edits;

    if (error < 0)
        answer->refusal = room_refusal(error, REFUSAL_BAD_UPDATE);
    room_answer(room, answer);
    room->activity_ms = wall_now_ms();
    if (document_batch(room->document, &edits) >= BATCH_EDITS ||
        document_batch_bytes(room->document) >= BATCH_BYTES)
        room_flush(room);
}

/* A client that may only read answers with what it has, all of its deletes among it, whenever it
 * joins: that is no edit. */
static int read_update(struct document *d, const struct msg_session_update *m,
                       struct answer *answer)
{
    bool has;
    int r = document_has(d, m->session, (enum crdt_format)m->format, m->update, &has);

    if (r == 0 && has)
        answer->seq = document_last_seq(d);
    else if (r == 0)
        answer->refusal = REFUSAL_READ_ONLY;
    return r;
}

static int handle_session_update(struct link *link, const struct msg_session_update *m)
{
    struct room *room = link->room;
    struct answer answer = {.link = link, .session = m->session, .op = m->op};
    const struct session *s = find_session(link, m->session);
    int r;

    if (!s)
        return 0;
    if (m->format != CRDT_V1 && m->format != CRDT_V2)
        r = -EBADMSG;
    else if (s->is_read_only)
        r = read_update(room->document, m, &answer);
    else
        r = document_edit(room->document, m->session, (enum crdt_format)m->format, m->update,
                          &answer.seq);
    answer_edit(room, &answer, r);
    return 0;
}

static int handle_session_op(struct link *link, const struct msg_session_op *m)
{
    struct room *room = link->room;
    struct answer answer = {.link = link, .session = m->session, .op = m->op};
    const struct session *s = find_session(link, m->session);
    int r = 0;

    if (!s)
        return 0;
    if (s->lens == LENS_NONE)
        return -EBADMSG;
    if (s->is_read_only)
        answer.refusal = REFUSAL_READ_ONLY;
    else
        r = document_op(room->document, m->session, s->lens, m->body, &answer.seq);
    answer_edit(room, &answer, r);
    return 0;
}

static int handle_session_awareness(struct link *link, const struct msg_session_awareness *m)
{
    if (!find_session(link, m->session))
        return 0;
    if (m->awareness.len == 0) {
        send_presence(link, m->session);
        return 0;
    }
    int r = awareness_apply(link->room->awareness, m->session, m->awareness, mono_now_ms());
    if (r < 0)
        reject(link, m->session, m->op, room_refusal(r, REFUSAL_BAD_MESSAGE));
    return 0;
}

/* ---- the link ---- */

/* What the gateway's clients have missed. Their formats are not known yet, so both are sent. */
/* The author stays named: its own edit coming back is an acknowledgement, which only the store
 * gives. */
static void send_missed(void *ctx, uint64_t seq, uint64_t session, struct slice update)
{
    if (fits_frame(seq, update))
        link_send(ctx, encode_edit(seq, session, update, true));
}

static int handle_link_open(struct link *link, const struct msg_link_open *m)
{
    struct document *d = link->room->document;

    if (link->state != LINK_NEW)
        return -EBADMSG;
    room_flush(link->room);
    struct msg_link_welcome welcome = {.lineage = document_lineage(d),
                                       .last_seq = document_last_seq(d),
                                       .stored_seq = document_stored_seq(d)};
    link_send(link, proto_encode_link_welcome(&welcome));
    if (m->has_seen) {
        int r = document_since(d, m->lineage, m->seen_seq, send_missed, link);
        if (r < 0) {
            log_error("cannot read what a gateway missed: %s", strerror(-r));
            link->is_overrun = true; /* it comes back and asks again */
            return 0;
        }
    }
    link->state = LINK_OPEN;
    return 0;
}

PROTO_ROUTE_FN(link_open, struct link, handle_link_open)
PROTO_ROUTE_FN(session_join, struct link, handle_session_join)
PROTO_ROUTE_FN(session_leave, struct link, handle_session_leave)
PROTO_ROUTE_FN(session_update, struct link, handle_session_update)
PROTO_ROUTE_FN(session_awareness, struct link, handle_session_awareness)
PROTO_ROUTE_FN(session_access, struct link, handle_session_access)
PROTO_ROUTE_FN(session_op, struct link, handle_session_op)
PROTO_ROUTE_FN(session_view, struct link, handle_session_view)

static const struct proto_route routes[] = {
    PROTO_ROUTE(link_open, LINK_OPEN),
    PROTO_ROUTE(session_join, SESSION_JOIN),
    PROTO_ROUTE(session_leave, SESSION_LEAVE),
    PROTO_ROUTE(session_update, SESSION_UPDATE),
    PROTO_ROUTE(session_awareness, SESSION_AWARENESS),
    PROTO_ROUTE(session_access, SESSION_ACCESS),
    PROTO_ROUTE(session_op, SESSION_OP),
    PROTO_ROUTE(session_view, SESSION_VIEW),
};

static void on_frame(void *ctx, struct slice body)
{
    struct link *link = ctx;

    if (link->is_overrun) /* it ends with this turn, and may not even be open */
        return;
    if (proto_dispatch(routes, sizeof(routes) / sizeof(routes[0]), link, body) < 0)
        log_panic("a gateway sent %s that makes no sense", proto_name(proto_code_of(body)));
}

static void on_end(void *ctx, int error)
{
    if (error == -EBADMSG)
        log_panic("a gateway sent what is no frame");
    link_close(ctx);
}

static const struct ipc_handler handler = {.on_frame = on_frame, .on_end = on_end};

void link_open(struct room *room, int fd)
{
    struct link *link = xcalloc(1, sizeof(*link));

    link->room = room;
    link->state = LINK_NEW;
    TAILQ_INIT(&link->sessions);
    TAILQ_INSERT_TAIL(&room->links, link, links);
    link->ipc = ipc_new(room->loop, fd, &handler, link);
}

void link_close(struct link *link)
{
    struct room *room = link->room;
    struct session *s;

    while ((s = TAILQ_FIRST(&link->sessions)))
        remove_session(room, s);
    for (size_t i = 0; i < room->answer_count; i++) {
        if (room->answers[i].link == link)
            room->answers[i].link = NULL;
    }
    TAILQ_REMOVE(&room->links, link, links);
    if (TAILQ_EMPTY(&room->links))
        room->unused_since_ms = mono_now_ms();
    ipc_close(link->ipc);
    loop_reap(room->loop, free, link);
}
