#include "snapshotd/compact.h"

#include <errno.h>

struct compact {
    struct store *store;
    struct fold_server *server;
    struct store_key key;
    compact_done_fn done;
    void *ctx;
    struct compact **self; /* of whoever started it; NULL when it has ended */
    int updates;           /* of fold_updates_new() */
    int error;             /* the first of collecting them */
    bool is_building;
    struct buffer state;
    struct store_fold fold;
};

static void finish(struct compact *c, struct compact_result result)
{
    compact_done_fn done = c->done;
    void *ctx = c->ctx;

    if (result.step == COMPACT_DONE) {
        result.updates = c->fold.read.updates;
        result.state_bytes = c->state.len;
    }
    *c->self = NULL;
    cleanup_fd(&c->updates);
    buffer_done(&c->state);
    free(c);
    done(ctx, &result);
}

static void on_written(void *ctx, int error)
{
    finish(ctx, (struct compact_result){.step = error < 0 ? COMPACT_WRITE : COMPACT_DONE,
                                        .error = error});
}

static void on_built(void *ctx, struct fold_result *result)
{
    struct compact *c = ctx;

    c->is_building = false;
    if (result->verdict != FOLD_DONE) {
        finish(c, (struct compact_result){.step = COMPACT_BUILD,
                                          .error = result->error,
                                          .signal = result->signal,
                                          .is_passing = result->verdict == FOLD_FAILED});
        return;
    }
    c->state = result->state;
    c->fold.state = buffer_slice(&c->state);
    store_fold(c->store, &c->fold, on_written, c);
}

static void on_part(void *ctx, const struct store_part *part)
{
    struct compact *c = ctx;

    if (c->error == 0)
        c->error = fold_updates_add(c->updates, part->payload);
}

static void on_read(void *ctx, int error, const struct store_stat *stat)
{
    struct compact *c = ctx;

    if (error < 0) {
        finish(c, (struct compact_result){.step = COMPACT_READ,
                                          .error = error,
                                          .is_passing =
                                              error == -EBUSY || store_error_is_passing(error)});
    } else if (stat->updates == 0) {
        finish(c, (struct compact_result){.step = COMPACT_DONE});
    } else if (c->error < 0) {
        finish(c, (struct compact_result){
                      .step = COMPACT_BUILD, .error = c->error, .is_passing = true});
    } else {
        c->fold = (struct store_fold){.key = c->key, .read = *stat};
        c->is_building = true;
        fold_server_start(c->server, c->updates, on_built, c);
        cleanup_fd(&c->updates);
        c->updates = -1;
    }
}

void compact_start(struct store *store, struct fold_server *server, struct store_key key,
                   compact_done_fn done, void *ctx, struct compact **ret_compact)
{
    static const struct store_load_handler handler = {.on_part = on_part, .on_done = on_read};
    struct compact *c = xcalloc(1, sizeof(*c));

    *c = (struct compact){.store = store,
                          .server = server,
                          .key = key,
                          .done = done,
                          .ctx = ctx,
                          .self = ret_compact,
                          .updates = fold_updates_new()};
    if (c->updates < 0)
        c->error = c->updates;
    *ret_compact = c;
    store_load(store, key, 0, &handler, c);
}

void compact_cancel(struct compact *c)
{
    if (!c || !c->is_building)
        return;
    fold_server_cancel(c->server);
    finish(c,
           (struct compact_result){.step = COMPACT_BUILD, .error = -ECANCELED, .is_passing = true});
}
