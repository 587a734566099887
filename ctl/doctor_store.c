#include "ctl/doctor_store.h"

#include "common/loop.h"
#include "snapshotd/store_place.h"

#include <errno.h>
#include <event2/event.h>

#define LOAD_MAX ((size_t)1 << 30) /* bytes of one room */

struct doctor_store {
    struct loop *loop; /* of a store that answers later */
    struct store_place place;
    struct store_owner owner;
    struct store *store; /* NULL before it is begun to be opened */
    bool is_opened;
    int error; /* of opening */
};

/* One call. */
struct call {
    bool is_done;
    int error;
    struct stored *stored;
    store_room_fn on_room;
    void *ctx;
};

static void on_open(void *ctx, int error)
{
    struct doctor_store *ds = ctx;

    ds->is_opened = true;
    ds->error = error;
}

/* What is under way has ended with an error; nothing else needs to know. */
static void on_lost(void *ctx, int error)
{
    (void)ctx;
    (void)error;
}

static void wait_for(struct doctor_store *ds, const bool *is_done)
{
    while (!*is_done) {
        if (event_base_loop(loop_base(ds->loop), EVLOOP_ONCE) != 0 && !*is_done)
            log_panic("the store waits for nothing");
    }
}

static int begin_to_open(struct doctor_store *ds, const struct config *config, bool is_to_read)
{
    const char *fault = store_place_init(&ds->place, config, is_to_read);

    if (fault) {
        (void)fprintf(stderr, "concordctl: the setting `store`: %s\n", fault);
        return -EINVAL;
    }
    ds->owner = (struct store_owner){.on_open = on_open, .on_lost = on_lost, .ctx = ds};
    return ds->place.source.open(ds->place.source.ctx, ds->loop, &ds->owner, &ds->store);
}

static int open_store(const struct config *config, bool is_to_read, struct doctor_store **ret_store)
{
    struct doctor_store *ds = xcalloc(1, sizeof(*ds));

    ds->loop = loop_new();
    int r = begin_to_open(ds, config, is_to_read);
    if (r == -EINPROGRESS) {
        wait_for(ds, &ds->is_opened);
        r = ds->error;
    }
    if (r < 0)
        doctor_store_close(ds);
    else
        *ret_store = ds;
    return r;
}

int doctor_store_open(const struct config *config, bool is_to_read, struct doctor_store **ret_store)
{
    int r = open_store(config, true, ret_store);

    /* None is made, and the tables of another release are not changed. */
    if (r == 0 && !is_to_read) {
        doctor_store_close(*ret_store);
        r = open_store(config, false, ret_store);
    }
    return r;
}

void doctor_store_close(struct doctor_store *ds)
{
    if (!ds)
        return;
    store_close(ds->store);
    store_place_done(&ds->place);
    loop_free(ds->loop);
    free(ds);
}

static void on_done(void *ctx, int error)
{
    struct call *call = ctx;

    call->is_done = true;
    if (call->error == 0)
        call->error = error;
}

static int result_of(struct doctor_store *ds, const struct call *call)
{
    wait_for(ds, &call->is_done);
    return call->error;
}

/* ---- load ---- */

static void on_part(void *ctx, const struct store_part *part)
{
    struct call *call = ctx;
    struct stored *s = call->stored;

    if (call->error == 0 && part->payload.len > LOAD_MAX - s->bytes.len)
        call->error = -EFBIG;
    if (call->error < 0)
        return;
    if (s->count % 64 == 0)
        s->parts = xrealloc(s->parts, (s->count + 64) * sizeof(*s->parts));
    s->parts[s->count++] = (struct stored_part){.kind = part->kind,
                                                .op_seq = part->op_seq,
                                                .offset = s->bytes.len,
                                                .len = part->payload.len};
    buffer_append(&s->bytes, part->payload.data, part->payload.len);
}

static void on_loaded(void *ctx, int error, const struct store_stat *stat)
{
    struct call *call = ctx;

    on_done(call, error);
    if (stat)
        call->stored->stat = *stat;
}

int doctor_store_load(struct doctor_store *ds, struct store_key key, uint64_t lineage,
                      struct stored *ret_stored)
{
    static const struct store_load_handler handler = {.on_part = on_part, .on_done = on_loaded};
    struct call call = {.stored = ret_stored};

    *ret_stored = (struct stored){0};
    store_load(ds->store, key, lineage, &handler, &call);
    int r = result_of(ds, &call);
    if (r < 0)
        stored_done(ret_stored);
    return r;
}

void stored_done(struct stored *stored)
{
    buffer_done(&stored->bytes);
    free(stored->parts);
    *stored = (struct stored){0};
}

/* ---- the others ---- */

static void on_room(void *ctx, struct store_key key)
{
    const struct call *call = ctx;

    call->on_room(call->ctx, key);
}

int doctor_store_list(struct doctor_store *ds, store_room_fn fn, void *ctx)
{
    struct call call = {.on_room = fn, .ctx = ctx};

    store_list(ds->store, on_room, on_done, &call);
    return result_of(ds, &call);
}

int doctor_store_replace(struct doctor_store *ds, struct store_key key, const struct stored *stored,
                         struct slice state)
{
    struct store_fold fold = {.key = key, .read = stored->stat, .state = state};
    struct call call = {0};

    store_fold(ds->store, &fold, on_done, &call);
    return result_of(ds, &call);
}
