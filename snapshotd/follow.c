#include "snapshotd/follow.h"

#include "common/ipc.h"
#include "common/log.h"
#include "proto/proto.h"
#include "proto/refusal.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>

#define STUCK_RETRY_MS 1000

/*
 * NEW ─STORE_OPEN─▶ OPENING ─▶ LOADING ─▶ FOLLOWING ─connection ends─▶ DRAINING ─▶ ENDING ─▶ OVER
 *                      └────────────────────▲  │                          │ │          │
 *                                 RESUMING ─┘◀─┴──────── store lost ──────┘◀┴──────────┘
 * BROKEN and OVER can follow any.
 */
enum follow_state {
    FOLLOW_NEW,       /* waits for the room's first message */
    FOLLOW_OPENING,   /* asks what is stored, or waits for the store */
    FOLLOW_LOADING,   /* what is stored is on its way to the room */
    FOLLOW_FOLLOWING, /* answered: what it publishes is committed */
    FOLLOW_RESUMING,  /* as OPENING, but the room was answered before */
    FOLLOW_DRAINING,  /* the room is gone, its segment is read to the end */
    FOLLOW_ENDING,    /* all of it was read: what is left is committed and folded */
    FOLLOW_BROKEN,    /* nothing more is done while its connection lasts */
    FOLLOW_OVER,
    FOLLOW_STATE_COUNT
};

static const struct {
    const char *name;
    unsigned next; /* bits of the states that may come next */
} states[FOLLOW_STATE_COUNT] = {
#define TO(state) (1u << FOLLOW_##state)
    [FOLLOW_NEW] = {"new", TO(OPENING) | TO(OVER)},
    [FOLLOW_OPENING] = {"opening", TO(LOADING) | TO(FOLLOWING) | TO(BROKEN) | TO(OVER)},
    [FOLLOW_LOADING] = {"loading", TO(FOLLOWING) | TO(BROKEN) | TO(OVER)},
    [FOLLOW_FOLLOWING] = {"following", TO(RESUMING) | TO(DRAINING) | TO(BROKEN) | TO(OVER)},
    [FOLLOW_RESUMING] = {"resuming", TO(FOLLOWING) | TO(DRAINING) | TO(BROKEN) | TO(OVER)},
    [FOLLOW_DRAINING] = {"draining", TO(ENDING) | TO(RESUMING) | TO(OVER)},
    [FOLLOW_ENDING] = {"ending", TO(RESUMING) | TO(OVER)},
    [FOLLOW_BROKEN] = {"broken", TO(OVER)},
    [FOLLOW_OVER] = {"over", 0},
#undef TO
};

struct follow {
    struct loop *loop;
    const struct follow_settings *settings;
    const struct follow_hooks *hooks;
    void *ctx;
    struct blob *name; /* tenant and room, one behind the other */
    struct store_key key;
    struct ipc *ipc; /* NULL: the room is gone */
    struct event *timer;
    struct tail *tail;
    enum follow_state state;
    unsigned pending; /* operations of the store under way */

    bool has_segment;       /* what the room said when it opened */
    uint64_t last_seq;      /* the same */
    uint64_t lineage;       /* the same: whose numbers these two and the next are */
    uint64_t stored_seq;    /* the room was told, or may be told */
    uint64_t published_seq; /* as far as the room has said */
    bool is_behind;         /* the store lacks some of that */
    uint64_t updates;       /* rows that are not folded, of those that are known here */
    uint64_t folding;       /* how many of them a fold takes that is under way */
    bool is_stuck;          /* the segment could not be opened; the timer tries again */
    bool is_fold_refused;   /* the timer asks again */
};

/* ---- state ---- */

static int name_len(const struct follow *f)
{
    return (int)f->key.room.len;
}

static const char *name_text(const struct follow *f)
{
    return (const char *)f->key.room.data;
}

static void set_state(struct follow *f, enum follow_state state)
{
    assert(states[f->state].next & (1u << state));
    log_debug("room '%.*s': %s to %s", name_len(f), name_text(f), states[f->state].name,
              states[state].name);
    f->state = state;
}

/* `is_news`: also if it is behind as before. */
static void note_behind(struct follow *f, bool is_news)
{
    bool is_behind = f->published_seq > f->stored_seq;

    if (is_news || is_behind != f->is_behind)
        f->hooks->on_behind(f->ctx, is_behind);
    f->is_behind = is_behind;
}

/* Nothing of it is under way and nothing is to be done: the end. */
static void settle(struct follow *f)
{
    if (f->pending > 0)
        return;
    if (f->state == FOLLOW_ENDING) {
        if (f->updates > 0 && !f->is_fold_refused) {
            f->hooks->on_fold_due(f->ctx);
            return;
        }
        set_state(f, FOLLOW_OVER);
    }
    if (f->state == FOLLOW_OVER) {
        (void)event_del(f->timer);
        f->hooks->on_over(f->ctx);
    }
}

static void finish(struct follow *f)
{
    set_state(f, FOLLOW_OVER);
    settle(f);
}

/* The room cannot be served. It is told, and ends the connection. */
static void fail_load(struct follow *f, int error)
{
    struct msg_store_failed m = {.refusal = REFUSAL_LOAD_FAILED};

    log_error("room '%.*s' cannot be loaded: %s", name_len(f), name_text(f), store_strerror(error));
    set_state(f, FOLLOW_BROKEN);
    ipc_send_new(f->ipc, proto_encode_store_failed(&m));
}

/* ---- what is stored ---- */

static void count_updates(struct follow *f, const struct store_stat *stat)
{
    uint64_t age_ms = 0;

    f->updates = stat->updates;
    if (f->updates == 0)
        return;
    uint64_t now_ms = wall_now_ms();
    if (now_ms > stat->oldest_ms)
        age_ms = now_ms - stat->oldest_ms;
    timer_arm(f->timer, age_ms < f->settings->snapshot_ms ? f->settings->snapshot_ms - age_ms : 0);
}

/* How far the store has what the segment has. */
static uint64_t stored_of_segment(const struct follow *f, const struct store_stat *stat)
{
    if (stat->lineage_seq > 0)
        return stat->lineage_seq;
    /* Nothing was appended yet, or so long ago that the store has forgotten the lineage. Its
     * numbers began at what the store held when the segment was made; if the store is still there,
     * it has all that the room was told. */
    return f->stored_seq <= stat->op_seq ? f->stored_seq : 0;
}

/* Has the store what the segment lacks? */
static bool is_store_ahead(const struct follow *f, const struct store_stat *stat)
{
    uint64_t stored_seq = stored_of_segment(f, stat);
    uint64_t own_op_seq = stat->lineage_seq > 0 ? stat->lineage_op_seq : stored_seq;

    if (!f->has_segment)
        return stat->op_seq > 0;
    return stat->op_seq > own_op_seq || stored_seq > f->last_seq;
}

/* What the store holds is known: the segment is read from there on. A segment that is made of what
 * was loaded begins with the store's number. */
static void start_following(struct follow *f, const struct store_stat *stat)
{
    bool is_made_of_this = f->state != FOLLOW_RESUMING && !f->has_segment;

    f->stored_seq = is_made_of_this ? stat->op_seq : stored_of_segment(f, stat);
    note_behind(f, false);
    count_updates(f, stat);
    tail_free(f->tail);
    f->tail = tail_new(f->settings->rooms_dir, f->key, f->stored_seq);
}

static void send_stored(struct follow *f)
{
    struct msg_store_stored m = {.stored_seq = f->stored_seq};

    if (f->ipc)
        ipc_send_new(f->ipc, proto_encode_store_stored(&m));
}

static void loaded(struct follow *f, const struct store_stat *stat)
{
    start_following(f, stat);
    set_state(f, FOLLOW_FOLLOWING);
    struct msg_store_loaded m = {.stored_seq = f->stored_seq};
    ipc_send_new(f->ipc, proto_encode_store_loaded(&m));
    if (f->has_segment)
        f->hooks->on_dirty(f->ctx);
}

static void resumed(struct follow *f, const struct store_stat *stat)
{
    uint64_t stored_seq = stored_of_segment(f, stat);

    if (stored_seq < f->stored_seq)
        log_error("room '%.*s': the store holds %" PRIu64 " and had confirmed %" PRIu64,
                  name_len(f), name_text(f), stored_seq, f->stored_seq);
    start_following(f, stat);
    set_state(f, f->ipc ? FOLLOW_FOLLOWING : FOLLOW_DRAINING);
    send_stored(f);
    f->hooks->on_dirty(f->ctx);
}

static void on_part(void *ctx, const struct store_part *part)
{
    struct follow *f = ctx;
    struct msg_store_update m = {.update = part->payload};

    _Static_assert(STORE_PART_MAX <= PROTO_UPDATE_MAX, "every part fits into a message");
    if (f->state == FOLLOW_LOADING)
        ipc_send_new(f->ipc, proto_encode_store_update(&m));
}

static void on_loaded(void *ctx, int error, const struct store_stat *stat)
{
    struct follow *f = ctx;

    f->pending--;
    if (f->state != FOLLOW_LOADING)
        settle(f);
    else if (error == 0)
        loaded(f, stat);
    else if (error != -ECANCELED) /* else follow_store_lost() follows */
        fail_load(f, error);
}

static void load(struct follow *f, struct store *store)
{
    static const struct store_load_handler handler = {.on_part = on_part, .on_done = on_loaded};

    set_state(f, FOLLOW_LOADING);
    f->pending++;
    store_load(store, f->key, f->lineage, &handler, f);
}

static void on_stat(void *ctx, int error, const struct store_stat *stat)
{
    struct follow *f = ctx;

    f->pending--;
    if (f->state == FOLLOW_OVER || error == -ECANCELED) {
        settle(f);
    } else if (f->state == FOLLOW_RESUMING) {
        if (error == 0) {
            resumed(f, stat);
            return;
        }
        if (f->ipc)
            fail_load(f, error); /* it asks again over a new connection */
        else
            finish(f);
    } else if (f->state == FOLLOW_OPENING) {
        if (error < 0)
            fail_load(f, error);
        else if (is_store_ahead(f, stat))
            load(f, f->hooks->store(f->ctx));
        else
            loaded(f, stat);
    }
}

static void ask_stat(struct follow *f, struct store *store)
{
    static const struct store_load_handler handler = {.on_done = on_stat};

    f->pending++;
    store_load(store, f->key, f->lineage, &handler, f);
}

void follow_store_up(struct follow *f)
{
    if (f->pending == 0 && (f->state == FOLLOW_OPENING || f->state == FOLLOW_RESUMING))
        ask_stat(f, f->hooks->store(f->ctx));
}

void follow_store_lost(struct follow *f)
{
    switch (f->state) {
    case FOLLOW_FOLLOWING:
    case FOLLOW_DRAINING:
    case FOLLOW_ENDING:
        set_state(f, FOLLOW_RESUMING);
        break;
    case FOLLOW_OPENING:
        /* With a segment the room goes on, and is answered when the store is back. */
        if (!f->has_segment)
            fail_load(f, -ECANCELED);
        break;
    case FOLLOW_LOADING:
        fail_load(f, -ECANCELED);
        break;
    case FOLLOW_NEW:
    case FOLLOW_RESUMING:
    case FOLLOW_BROKEN:
    case FOLLOW_OVER:
    case FOLLOW_STATE_COUNT:
        break;
    }
}

/* ---- what is published ---- */

/* The segment cannot be read. */
static void handle_tail_error(struct follow *f, int error)
{
    bool is_missing = error == -ENOENT || error == -ENODATA;

    if (f->state == FOLLOW_DRAINING && is_missing)
        return;
    if (error == -EBADMSG || f->state == FOLLOW_DRAINING) {
        log_error("room '%.*s': its segment cannot be read: %s; nothing more of it is stored",
                  name_len(f), name_text(f), strerror(-error));
        return;
    }
    log_warn("room '%.*s': its segment cannot be opened: %s; trying again", name_len(f),
             name_text(f), strerror(-error));
    f->is_stuck = true;
    timer_arm(f->timer, STUCK_RETRY_MS);
}

bool follow_collect(struct follow *f, struct batch *batch)
{
    size_t before = batch_room_count(batch);

    if (f->state != FOLLOW_FOLLOWING && f->state != FOLLOW_DRAINING)
        return false;
    int r = batch_take(batch, f->tail, f->key, f->lineage, f);
    if (batch_room_count(batch) > before)
        f->pending++;
    if (r > 0)
        return true;
    if (r < 0)
        handle_tail_error(f, r);
    if (f->state == FOLLOW_DRAINING) {
        set_state(f, FOLLOW_ENDING);
        settle(f);
    } else if (r == -EBADMSG) {
        set_state(f, FOLLOW_BROKEN);
    }
    return false;
}

void follow_committed(struct follow *f, uint64_t last_seq, uint64_t records)
{
    f->pending--;
    /* A room that was abandoned meanwhile has a successor that counts for itself. */
    if (f->state != FOLLOW_OVER) {
        f->stored_seq = last_seq;
        note_behind(f, true);
        if (f->updates == 0 && !f->is_stuck)
            timer_arm(f->timer, f->settings->snapshot_ms);
        f->updates += records;
        send_stored(f);
        if (f->updates >= f->settings->snapshot_updates)
            f->hooks->on_fold_due(f->ctx);
    }
    settle(f);
}

void follow_failed(struct follow *f)
{
    follow_store_lost(f); /* before it could count as settled */
    f->pending--;
    settle(f);
}

/* ---- folding ---- */

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct follow *f = ctx;

    (void)fd;
    (void)what;
    if (f->is_stuck) {
        f->is_stuck = false;
        f->hooks->on_dirty(f->ctx);
    }
    f->is_fold_refused = false;
    f->hooks->on_fold_due(f->ctx);
}

bool follow_begin_fold(struct follow *f)
{
    if (f->updates == 0 || f->is_fold_refused ||
        (f->state != FOLLOW_FOLLOWING && f->state != FOLLOW_ENDING))
        return false;
    f->folding = f->updates;
    f->pending++;
    return true;
}

void follow_folded(struct follow *f)
{
    f->pending--;
    /* They are counted anew if the store was lost meanwhile. */
    f->updates -= f->folding < f->updates ? f->folding : f->updates;
    if (f->updates > 0)
        timer_arm(f->timer, f->settings->snapshot_ms);
    else if (!f->is_stuck)
        (void)event_del(f->timer);
    settle(f);
}

void follow_fold_later(struct follow *f)
{
    f->pending--;
    if (f->state != FOLLOW_OVER && !f->is_stuck)
        timer_arm(f->timer, f->settings->snapshot_ms);
    settle(f);
}

void follow_fold_refused(struct follow *f, uint64_t again_ms)
{
    f->pending--;
    f->is_fold_refused = true;
    if (f->state != FOLLOW_OVER && !f->is_stuck)
        timer_arm(f->timer, again_ms);
    settle(f);
}

/* ---- the connection ---- */

static int handle_store_open(struct follow *f, const struct msg_store_open *m)
{
    if (f->state != FOLLOW_NEW || m->lineage == 0)
        return -EBADMSG;
    struct store *store = f->hooks->store(f->ctx);
    f->has_segment = m->has_segment;
    f->last_seq = m->last_seq;
    f->lineage = m->lineage;
    f->stored_seq = m->has_segment ? m->stored_seq : 0;
    f->published_seq = f->last_seq;
    note_behind(f, false);
    set_state(f, FOLLOW_OPENING);
    if (store)
        ask_stat(f, store);
    else
        follow_store_lost(f);
    return 0;
}

static int handle_store_dirty(struct follow *f, const struct msg_store_dirty *m)
{
    if (f->state == FOLLOW_NEW)
        return -EBADMSG;
    f->published_seq = m->last_seq;
    note_behind(f, false);
    if (f->state == FOLLOW_FOLLOWING)
        f->hooks->on_dirty(f->ctx);
    return 0; /* in other states it will be dirty, or stays broken */
}

PROTO_ROUTE_FN(store_open, struct follow, handle_store_open)
PROTO_ROUTE_FN(store_dirty, struct follow, handle_store_dirty)

static const struct proto_route routes[] = {
    PROTO_ROUTE(store_open, STORE_OPEN),
    PROTO_ROUTE(store_dirty, STORE_DIRTY),
};

/* The room is gone, or is treated as if. What it published is still to be stored: if it crashed it
 * may take a while until it is back. */
static void end_connection(struct follow *f)
{
    ipc_close(f->ipc);
    f->ipc = NULL;
    switch (f->state) {
    case FOLLOW_FOLLOWING:
        set_state(f, FOLLOW_DRAINING);
        f->hooks->on_dirty(f->ctx);
        break;
    case FOLLOW_NEW:
    case FOLLOW_OPENING:
    case FOLLOW_LOADING:
    case FOLLOW_BROKEN:
        finish(f);
        break;
    case FOLLOW_RESUMING: /* goes on when the store is back */
    case FOLLOW_DRAINING:
    case FOLLOW_ENDING:
    case FOLLOW_OVER:
    case FOLLOW_STATE_COUNT:
        break;
    }
}

static void on_frame(void *ctx, struct slice body)
{
    struct follow *f = ctx;

    if (proto_dispatch(routes, sizeof(routes) / sizeof(routes[0]), f, body) == 0)
        return;
    log_warn("room '%.*s': a message (%s) that makes no sense here", name_len(f), name_text(f),
             proto_name(proto_code_of(body)));
    end_connection(f);
}

static void on_end(void *ctx, int error)
{
    struct follow *f = ctx;

    if (error == -EBADMSG)
        log_warn("room '%.*s': bytes that are no message", name_len(f), name_text(f));
    end_connection(f);
}

/* ---- life ---- */

struct follow *follow_new(struct loop *loop, const struct follow_settings *settings,
                          const struct follow_hooks *hooks, void *ctx, struct store_key key, int fd)
{
    static const struct ipc_handler handler = {.on_frame = on_frame, .on_end = on_end};
    struct follow *f = xcalloc(1, sizeof(*f));

    f->loop = loop;
    f->settings = settings;
    f->hooks = hooks;
    f->ctx = ctx;
    f->name = blob_new(key.tenant.len + key.room.len);
    memcpy(f->name->data, key.tenant.data, key.tenant.len);
    memcpy(f->name->data + key.tenant.len, key.room.data, key.room.len);
    f->key = (struct store_key){
        .tenant = slice_of(f->name->data, key.tenant.len),
        .room = slice_of(f->name->data + key.tenant.len, key.room.len),
    };
    f->ipc = ipc_new(loop, fd, &handler, f);
    f->timer = evtimer_new(loop_base(loop), on_timer, f);
    if (!f->timer)
        log_panic("no timer can be made");
    return f;
}

void follow_free(struct follow *f)
{
    if (!f)
        return;
    assert(f->pending == 0);
    ipc_close(f->ipc);
    event_free(f->timer);
    tail_free(f->tail);
    blob_unref(f->name);
    free(f);
}

struct store_key follow_key(const struct follow *f)
{
    return f->key;
}

void follow_abandon(struct follow *f)
{
    ipc_close(f->ipc);
    f->ipc = NULL;
    if (f->state != FOLLOW_OVER)
        finish(f);
}

void follow_finish(struct follow *f)
{
    if (f->ipc)
        end_connection(f);
}
