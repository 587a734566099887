#include "snapshotd/compact.h"

#include "crdt/crdt.h"
#include "proto/messages.h"

#include <errno.h>

struct compact {
    struct store *store;
    struct store_key key;
    compact_done_fn done;
    void *ctx;
    struct crdt_doc *doc;
    struct crdt_buf state;
    int error; /* the first of building the document */
    struct store_fold fold;
};

static void finish(struct compact *c, enum compact_step step, int error)
{
    struct compact_result result = {.step = step, .error = error};

    if (step == COMPACT_DONE) {
        result.updates = c->fold.read.updates;
        result.state_bytes = c->state.len;
    }
    compact_done_fn done = c->done;
    void *ctx = c->ctx;
    crdt_doc_free(c->doc);
    crdt_buf_done(&c->state);
    free(c);
    done(ctx, &result);
}

static void on_written(void *ctx, int error)
{
    finish(ctx, error < 0 ? COMPACT_WRITE : COMPACT_DONE, error);
}

static void on_part(void *ctx, const struct store_part *part)
{
    struct compact *c = ctx;

    if (c->error == 0)
        c->error = crdt_doc_apply(c->doc, CRDT_V1, part->payload.data, part->payload.len, NULL);
}

static void on_read(void *ctx, int error, const struct store_stat *stat)
{
    struct compact *c = ctx;

    if (error < 0) {
        finish(c, COMPACT_READ, error);
        return;
    }
    if (stat->updates == 0) {
        finish(c, COMPACT_DONE, 0);
        return;
    }
    if (c->error == 0)
        c->error = crdt_doc_encode(c->doc, CRDT_V1, NULL, 0, &c->state);
    if (c->error < 0) {
        finish(c, COMPACT_BUILD, c->error);
        return;
    }
    c->fold = (struct store_fold){
        .key = c->key, .read = *stat, .state = slice_of(c->state.data, c->state.len)};
    store_fold(c->store, &c->fold, on_written, c);
}

void compact_start(struct store *store, struct store_key key, compact_done_fn done, void *ctx)
{
    static const struct store_load_handler handler = {.on_part = on_part, .on_done = on_read};
    /* A snapshot must fit into one message to the room. */
    static const struct crdt_limits limits = {.output_bytes = PROTO_UPDATE_MAX};
    struct compact *c = xcalloc(1, sizeof(*c));

    c->store = store;
    c->key = key;
    c->done = done;
    c->ctx = ctx;
    c->doc = crdt_doc_new(&limits);
    if (!c->doc)
        c->error = -ENOMEM;
    store_load(store, key, 0, &handler, c);
}
