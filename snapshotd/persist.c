#include "snapshotd/persist.h"

#include "common/hash_table.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/names.h"
#include "snapshotd/batch.h"
#include "snapshotd/compact.h"
#include "snapshotd/fold_penalty.h"
#include "snapshotd/follow.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/queue.h>

#define REOPEN_MS_MIN  100
#define REOPEN_MS_MAX  2000
#define FINISH_FOLD_MS 5000
/* After a fold that took n ms there is none for n times this: its process takes a CPU from others,
 * and acknowledgements wait while a document is read and written, so that may take at most a fifth
 * of the time. */
#define FOLD_PAUSE 4
/* What a room applies in many turns, a fold applies at once. */
#define FOLD_TURNS 4

enum persist_state {
    PERSIST_STARTING, /* the store was never open */
    PERSIST_RUNNING,
    PERSIST_FINISHING,  /* commits and folds what is left */
    PERSIST_COMMITTING, /* the same without folding: it has taken too long */
};

/* A followed room in the table and in the queues. */
struct entry {
    struct persist *persist;
    struct follow *follow;
    char hash[NAME_HASH_HEX + 1];
    bool is_listed; /* in the table; not if it was replaced */
    bool is_dirty;
    bool is_fold_due;
    bool is_behind;
    uint64_t behind_since_ms; /* wall clock */
    TAILQ_ENTRY(entry) dirty;
    TAILQ_ENTRY(entry) fold_due;
    TAILQ_ENTRY(entry) behind;
    UT_hash_handle hh;
};

TAILQ_HEAD(entry_queue, entry);

struct persist {
    struct loop *loop;
    const struct store_source *source;
    struct store_owner owner;
    loop_fn on_open;
    void *on_open_ctx;
    char *rooms_dir;
    struct follow_settings settings;
    enum persist_state state;

    struct store *store;   /* NULL while it is not open */
    struct store *opening; /* it is being opened */
    int store_error;       /* one of them failed in this turn */
    bool has_stale;        /* rooms are to be asked again */
    uint64_t reopen_ms;
    struct event *reopen_timer;

    struct entry *table;
    struct entry_queue dirty;
    struct entry_queue fold_due;
    struct entry_queue behind; /* what is published is not stored; the longest behind first */
    uint64_t behind_count;
    uint64_t commit_started_us;
    struct batch *batch;
    bool is_committing;
    struct fold_server *fold_server;
    struct fold_penalty *fold_penalty;
    struct entry *folding; /* NULL: none */
    struct compact *fold;  /* NULL: none is under way */
    uint64_t fold_started_ms;
    struct event *fold_pause; /* pending: no fold now */
    struct event *finish_timer;
    struct event *kick; /* brings another turn when work is left */
};

/* ---- rooms ---- */

static void unqueue(struct entry *e)
{
    if (e->is_dirty)
        TAILQ_REMOVE(&e->persist->dirty, e, dirty);
    if (e->is_fold_due)
        TAILQ_REMOVE(&e->persist->fold_due, e, fold_due);
    e->is_dirty = false;
    e->is_fold_due = false;
}

static void count_behind(const struct persist *p)
{
    const struct entry *first = TAILQ_FIRST(&p->behind);

    metric_set(METRIC_STORE_QUEUE_ROOMS, p->behind_count);
    metric_set(METRIC_STORE_UNSTORED_SINCE, first ? first->behind_since_ms : 0);
}

static void set_behind(struct entry *e, bool is_behind)
{
    struct persist *p = e->persist;

    if (e->is_behind)
        TAILQ_REMOVE(&p->behind, e, behind);
    p->behind_count -= e->is_behind;
    e->is_behind = is_behind;
    p->behind_count += is_behind;
    if (is_behind) {
        e->behind_since_ms = wall_now_ms();
        TAILQ_INSERT_TAIL(&p->behind, e, behind);
    }
    count_behind(p);
}

static void on_behind(void *ctx, bool is_behind)
{
    set_behind(ctx, is_behind);
}

static void unlist(struct entry *e)
{
    if (e->is_listed)
        HASH_DEL(e->persist->table, e);
    e->is_listed = false;
}

static struct store *current_store(void *ctx)
{
    struct entry *e = ctx;

    return e->persist->store;
}

static void on_dirty(void *ctx)
{
    struct entry *e = ctx;

    if (!e->is_dirty)
        TAILQ_INSERT_TAIL(&e->persist->dirty, e, dirty);
    e->is_dirty = true;
}

static void on_fold_due(void *ctx)
{
    struct entry *e = ctx;

    if (!e->is_fold_due)
        TAILQ_INSERT_TAIL(&e->persist->fold_due, e, fold_due);
    e->is_fold_due = true;
}

static void free_entry(void *ctx)
{
    struct entry *e = ctx;

    unqueue(e);
    unlist(e);
    set_behind(e, false);
    follow_free(e->follow);
    free(e);
}

static void on_over(void *ctx)
{
    struct entry *e = ctx;

    unqueue(e);
    unlist(e);
    set_behind(e, false);
    loop_reap(e->persist->loop, free_entry, e);
}

static const struct follow_hooks hooks = {
    .store = current_store,
    .on_dirty = on_dirty,
    .on_behind = on_behind,
    .on_fold_due = on_fold_due,
    .on_over = on_over,
};

void persist_follow(struct persist *p, struct store_key key, int fd)
{
    struct entry *old = NULL;

    if (p->state >= PERSIST_FINISHING) {
        (void)close(fd);
        return;
    }
    struct entry *e = xcalloc(1, sizeof(*e));
    e->persist = p;
    name_hash(key.tenant, key.room, e->hash);
    HASH_FIND(hh, p->table, e->hash, NAME_HASH_HEX, old);
    if (old) {
        unlist(old);
        unqueue(old);
        follow_abandon(old->follow);
    }
    e->follow = follow_new(p->loop, &p->settings, &hooks, e, key, fd);
    e->is_listed = true;
    HASH_ADD(hh, p->table, hash, NAME_HASH_HEX, e);
}

/* ---- the store ---- */

static void ask_rooms(struct persist *p)
{
    struct entry *e;
    struct entry *next;

    HASH_ITER (hh, p->table, e, next) {
        follow_store_up(e->follow);
    }
}

static void store_opened(struct persist *p, struct store *store)
{
    p->store = store;
    metric_set(METRIC_STORE_UP, 1);
    log_info("the store is open (%s)", p->source->name);
    if (p->state == PERSIST_STARTING) {
        p->state = PERSIST_RUNNING;
        p->on_open(p->on_open_ctx);
    }
    ask_rooms(p);
}

static void open_later(struct persist *p, const char *what, int error, const char *detail)
{
    if (p->state == PERSIST_STARTING && !store_error_is_passing(error)) {
        log_error("%s (%s): %s%s%s", what, p->source->name, store_strerror(error),
                  detail[0] ? ": " : "", detail);
        loop_stop(p->loop, 1);
        return;
    }
    log_error("%s (%s): %s%s%s; opening it again in %u ms", what, p->source->name,
              store_strerror(error), detail[0] ? ": " : "", detail, (unsigned)p->reopen_ms);
    timer_arm(p->reopen_timer, p->reopen_ms);
    p->reopen_ms = p->reopen_ms * 2 > REOPEN_MS_MAX ? REOPEN_MS_MAX : p->reopen_ms * 2;
}

static void on_reopen(evutil_socket_t fd, short what, void *ctx)
{
    struct persist *p = ctx;
    struct store *store;
    int r = p->source->open(p->source->ctx, p->loop, &p->owner, &store);

    (void)fd;
    (void)what;
    if (r == 0)
        store_opened(p, store);
    else if (r == -EINPROGRESS)
        p->opening = store;
    else
        open_later(p, "the store cannot be opened", r, "");
}

static void on_store_open(void *ctx, int error)
{
    struct persist *p = ctx;
    struct store *store = p->opening;

    if (error < 0) {
        p->store_error = error; /* closed at the end of the turn */
        return;
    }
    p->opening = NULL;
    store_opened(p, store);
}

static void on_store_lost(void *ctx, int error)
{
    struct persist *p = ctx;

    p->store_error = error;
}

/* It is unknown what of the last transaction is durable. Nothing is tried again: the database is
 * opened anew, and what it then holds is where every room goes on from. */
static void lose_store(struct persist *p)
{
    struct store *store = p->store ? p->store : p->opening;
    bool was_open = p->store != NULL;
    struct entry *e;
    struct entry *next;

    open_later(p, was_open ? "the store failed" : "the store cannot be opened", p->store_error,
               store_detail(store));
    compact_cancel(p->fold);
    store_close(store);
    metric_set(METRIC_STORE_UP, 0);
    metric_add(METRIC_STORE_FAILURES, was_open);
    p->store = NULL;
    p->opening = NULL;
    p->store_error = 0;
    p->has_stale = false;
    HASH_ITER (hh, p->table, e, next) {
        unqueue(e);
        follow_store_lost(e->follow);
    }
}

/* ---- commits ---- */

static void tell_committed(void *owner, uint64_t last_seq, uint64_t records)
{
    metric_add(METRIC_STORE_UPDATES, records);
    follow_committed(owner, last_seq, records);
}

static void tell_failed(void *owner, uint64_t last_seq, uint64_t records)
{
    (void)last_seq;
    (void)records;
    follow_failed(owner);
}

static void on_committed(void *ctx, int error)
{
    struct persist *p = ctx;

    p->is_committing = false;
    if (error == 0) {
        p->reopen_ms = REOPEN_MS_MIN;
        metric_observe(HISTOGRAM_STORE_COMMIT, mono_now_us() - p->commit_started_us);
    } else if (error == -ESTALE) {
        p->has_stale = true;
    } else if (error != -ECANCELED) {
        p->store_error = error;
    }
    batch_each(p->batch, error == 0 ? tell_committed : tell_failed);
    batch_clear(p->batch);
}

static void commit_dirty(struct persist *p)
{
    struct entry *e;
    bool is_full = false;

    while (!is_full && (e = TAILQ_FIRST(&p->dirty))) {
        TAILQ_REMOVE(&p->dirty, e, dirty);
        e->is_dirty = false;
        is_full = follow_collect(e->follow, p->batch);
        if (is_full)
            on_dirty(e); /* behind the others */
    }
    if (batch_room_count(p->batch) == 0)
        return;
    p->is_committing = true;
    p->commit_started_us = mono_now_us();
    store_append(p->store, batch_rooms(p->batch), batch_room_count(p->batch), on_committed, p);
}

/* ---- folds ---- */

static char *describe_failure(const struct compact_result *result)
{
    if (result->signal)
        return xasprintf("its process ended by signal %d (%s)", result->signal,
                         strsignal(result->signal));
    return xstrdup(result->step == COMPACT_BUILD ? strerror(-result->error)
                                                 : store_strerror(result->error));
}

/* Nothing but this room is wrong. Said once, until it succeeds or the process ends. */
static void refuse_fold(struct persist *p, struct entry *e, const struct compact_result *result)
{
    struct slice name = follow_key(e->follow).room;
    char *why CLEANUP_FREE = describe_failure(result);
    uint64_t now_ms = mono_now_ms();

    metric_add(METRIC_STORE_FOLD_FAILURES, 1);
    if (fold_penalty_add(p->fold_penalty, e->hash, now_ms) == 1)
        log_error("room '%.*s' cannot be folded, its updates stay as they are: %s", (int)name.len,
                  name.data, why);
    follow_fold_refused(e->follow, fold_penalty_left(p->fold_penalty, e->hash, now_ms));
}

static void note_folded(struct persist *p, struct entry *e, const struct compact_result *result)
{
    struct slice name = follow_key(e->follow).room;

    if (result->step == COMPACT_DONE)
        log_debug("room '%.*s': folded %llu updates into %zu bytes", (int)name.len, name.data,
                  (unsigned long long)result->updates, result->state_bytes);
    else
        log_debug("room '%.*s' was folded by another host", (int)name.len, name.data);
    metric_add(METRIC_STORE_FOLDS, result->step == COMPACT_DONE && result->updates > 0);
    fold_penalty_clear(p->fold_penalty, e->hash);
    follow_folded(e->follow);
}

static void postpone_fold(struct entry *e, const struct compact_result *result)
{
    struct slice name = follow_key(e->follow).room;
    char *why CLEANUP_FREE = describe_failure(result);

    if (result->error != -ECANCELED)
        log_warn("room '%.*s' is folded later: %s", (int)name.len, name.data, why);
    follow_fold_later(e->follow);
}

static void on_folded(void *ctx, const struct compact_result *result)
{
    struct persist *p = ctx;
    struct entry *e = p->folding;
    uint64_t took_ms = mono_now_ms() - p->fold_started_ms;

    p->folding = NULL;
    if (took_ms > 0)
        timer_arm(p->fold_pause, took_ms * FOLD_PAUSE);
    if (result->step == COMPACT_DONE ||
        (result->step == COMPACT_WRITE && result->error == -ESTALE)) {
        note_folded(p, e, result);
    } else if (result->is_passing) {
        postpone_fold(e, result);
    } else if (result->error == -ECANCELED) {
        follow_failed(e->follow);
    } else if (result->step == COMPACT_WRITE) {
        p->store_error = result->error;
        follow_failed(e->follow);
    } else {
        refuse_fold(p, e, result);
    }
}

static void fold_one(struct persist *p)
{
    struct entry *e;

    while ((e = TAILQ_FIRST(&p->fold_due))) {
        TAILQ_REMOVE(&p->fold_due, e, fold_due);
        e->is_fold_due = false;
        if (!follow_begin_fold(e->follow))
            continue;
        p->fold_started_ms = mono_now_ms();
        uint64_t left_ms = fold_penalty_left(p->fold_penalty, e->hash, p->fold_started_ms);
        if (left_ms > 0) {
            follow_fold_refused(e->follow, left_ms);
            continue;
        }
        p->folding = e;
        compact_start(p->store, p->fold_server, follow_key(e->follow), on_folded, p, &p->fold);
        return;
    }
}

static bool can_fold(const struct persist *p)
{
    return p->state != PERSIST_COMMITTING && !p->folding && !TAILQ_EMPTY(&p->fold_due) &&
           (p->state == PERSIST_FINISHING || !evtimer_pending(p->fold_pause, NULL));
}

/* ---- turns ---- */

static bool is_finished(const struct persist *p)
{
    if (p->state < PERSIST_FINISHING || p->is_committing || p->folding)
        return false;
    if (!p->store || !p->table)
        return true;
    return p->state == PERSIST_COMMITTING && TAILQ_EMPTY(&p->dirty);
}

/* The store says that rooms of the last transaction have more than they were believed to: an
 * earlier one, of which nothing was heard, was stored after all. */
static void ask_stale_rooms(struct persist *p)
{
    p->has_stale = false;
    log_warn("the store has more than it had confirmed: asking it again");
    ask_rooms(p);
}

static void on_turn(void *ctx)
{
    struct persist *p = ctx;

    bool is_good = p->store && p->store_error == 0;

    if (is_good && p->has_stale)
        ask_stale_rooms(p);
    if (is_good && !p->is_committing)
        commit_dirty(p);
    if (is_good && p->store_error == 0 && TAILQ_EMPTY(&p->dirty) && can_fold(p))
        fold_one(p);
    if (p->store_error < 0)
        lose_store(p);
    if (is_finished(p))
        loop_stop(p->loop, 0);
    else if (p->store &&
             (p->has_stale || (!p->is_committing && !TAILQ_EMPTY(&p->dirty)) || can_fold(p)))
        event_active(p->kick, EV_TIMEOUT, 0);
}

static void on_kick(evutil_socket_t fd, short what, void *ctx)
{
    /* Also the end of a pause: the turn that this made is all that is wanted. */
    (void)fd;
    (void)what;
    (void)ctx;
}

static void on_finish_late(evutil_socket_t fd, short what, void *ctx)
{
    struct persist *p = ctx;

    (void)fd;
    (void)what;
    log_warn("folding takes too long: the rest is left to the next start");
    p->state = PERSIST_COMMITTING;
    compact_cancel(p->fold);
}

static void on_fold_server_end(void *ctx)
{
    struct persist *p = ctx;

    log_error("the process that folds is gone");
    loop_stop(p->loop, 1); /* started again, there is another one */
}

void persist_finish(struct persist *p)
{
    struct entry *e;
    struct entry *next;

    if (p->state >= PERSIST_FINISHING)
        return;
    p->state = PERSIST_FINISHING;
    timer_arm(p->finish_timer, FINISH_FOLD_MS);
    HASH_ITER (hh, p->table, e, next) {
        follow_finish(e->follow);
    }
    event_active(p->kick, EV_TIMEOUT, 0);
}

/* ---- life ---- */

static struct event *new_timer(struct persist *p, event_callback_fn fn)
{
    struct event *e = evtimer_new(loop_base(p->loop), fn, p);

    if (!e)
        log_panic("no timer can be made");
    return e;
}

struct persist *persist_new(struct loop *loop, const struct config *config, int fold_fd,
                            const struct store_source *source, loop_fn on_open, void *ctx)
{
    struct fold_limits limits = {.memory_mib = config->room_memory_mib,
                                 .cpu_ms = config->room_turn_cpu_ms * FOLD_TURNS};
    struct persist *p = xcalloc(1, sizeof(*p));

    p->loop = loop;
    p->source = source;
    p->owner = (struct store_owner){.on_open = on_store_open, .on_lost = on_store_lost, .ctx = p};
    p->on_open = on_open;
    p->on_open_ctx = ctx;
    p->reopen_ms = REOPEN_MS_MIN;
    p->rooms_dir = config_rooms_dir(config);
    p->settings = (struct follow_settings){
        .rooms_dir = p->rooms_dir,
        .snapshot_updates = config->snapshot_updates,
        .snapshot_ms = config->snapshot_ms,
    };
    TAILQ_INIT(&p->dirty);
    TAILQ_INIT(&p->fold_due);
    TAILQ_INIT(&p->behind);
    p->batch = batch_new();
    p->fold_server = fold_server_new(loop, fold_fd, &limits, on_fold_server_end, p);
    p->fold_penalty = fold_penalty_new();
    p->reopen_timer = new_timer(p, on_reopen);
    p->fold_pause = new_timer(p, on_kick);
    p->finish_timer = new_timer(p, on_finish_late);
    p->kick = new_timer(p, on_kick);
    loop_add_turn_hook(loop, on_turn, p);
    timer_arm(p->reopen_timer, 0);
    return p;
}

void persist_free(struct persist *p)
{
    struct entry *e;
    struct entry *next;

    if (!p)
        return;
    compact_cancel(p->fold);
    store_close(p->store);
    store_close(p->opening);
    p->store = NULL;
    HASH_ITER (hh, p->table, e, next) {
        free_entry(e);
    }
    event_free(p->reopen_timer);
    event_free(p->fold_pause);
    event_free(p->finish_timer);
    event_free(p->kick);
    batch_free(p->batch);
    fold_server_free(p->fold_server);
    fold_penalty_free(p->fold_penalty);
    free(p->rooms_dir);
    free(p);
}
