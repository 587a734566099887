#include "snapshotd/store_postgres.h"

#include "snapshotd/postgres_link.h"
#include "snapshotd/store_postgres_schema.h"

#include <errno.h>

/* A schema may take long to change. */
#define MIGRATE_SILENCE_MS 600000

/* S(name, SQL): statements that are prepared once. Bytes that are too many are not sent: NULL comes
 * in their place. */
#define STATEMENTS(S)                                                                              \
    S(SNAPSHOT_READ, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")                            \
    S(END, "COMMIT")                                                                               \
    S(STAT, "SELECT r.op_seq, COALESCE(s.op_seq, 0),"                                              \
            " (SELECT count(*) FROM updates WHERE room_id = r.id),"                                \
            " COALESCE((SELECT created_at FROM updates WHERE room_id = r.id"                       \
            " ORDER BY op_seq LIMIT 1), 0), COALESCE(l.seq, 0), COALESCE(l.op_seq, 0)"             \
            " FROM rooms r LEFT JOIN snapshots s ON s.room_id = r.id"                              \
            " LEFT JOIN lineages l ON l.room_id = r.id AND l.lineage = $3"                         \
            " WHERE r.tenant = $1 AND r.name = $2")                                                \
    S(LOAD_SNAPSHOT, "SELECT s.op_seq, CASE WHEN octet_length(s.state) <= $3::bigint"              \
                     " THEN s.state END"                                                           \
                     " FROM rooms r JOIN snapshots s ON s.room_id = r.id"                          \
                     " WHERE r.tenant = $1 AND r.name = $2")                                       \
    S(LOAD_UPDATES, "SELECT u.op_seq, CASE WHEN octet_length(u.payload) <= $3::bigint"             \
                    " THEN u.payload END"                                                          \
                    " FROM rooms r JOIN updates u ON u.room_id = r.id"                             \
                    " WHERE r.tenant = $1 AND r.name = $2 ORDER BY u.op_seq")                      \
    S(ROOMS, "SELECT tenant, name FROM rooms")                                                     \
    S(APPEND, "SELECT concord_append($1, $2, $3, $4, $5, $6, $7, $8, $9)")                         \
    S(FOLD, "SELECT concord_fold($1, $2, $3, $4, $5, $6, $7)")

static const struct {
    const char *name;
    const char *sql;
} statements[] = {
#define S(name, sql) {#name, sql},
    STATEMENTS(S)
#undef S
};

#define STATEMENT_COUNT (sizeof(statements) / sizeof(statements[0]))

struct postgres_store {
    struct store store;
    const struct store_owner *owner;
    uint32_t silence_ms;
    bool is_to_read;
    struct postgres_link *link;
    bool has_ended_opening; /* the owner was told how */
};

/* ---- load ---- */

enum load_statement {
    LOAD_BEGIN,
    LOAD_STAT,
    LOAD_SNAPSHOT,
    LOAD_UPDATES,
};

struct load {
    const struct store_load_handler *handler;
    void *ctx;
    unsigned first; /* the number of the first statement: LOAD_STAT for figures alone */
    struct store_stat stat;
    uint64_t updates; /* given */
    uint64_t last;    /* op_seq of the last part */
};

static int take_stat(struct load *l, const PGresult *res, int row)
{
    uint64_t *const fields[] = {&l->stat.op_seq,      &l->stat.snapshot_op_seq,
                                &l->stat.updates,     &l->stat.oldest_ms,
                                &l->stat.lineage_seq, &l->stat.lineage_op_seq};
    int r = 0;

    for (int i = 0; r == 0 && i < (int)(sizeof(fields) / sizeof(fields[0])); i++)
        r = postgres_get_uint(res, row, i, fields[i]);
    return r;
}

static int give_part(struct load *l, enum store_part_kind kind, const PGresult *res, int row)
{
    struct store_part part = {.kind = kind};
    int r = postgres_get_uint(res, row, 0, &part.op_seq);

    if (r == 0)
        r = postgres_get_bytes(res, row, 1, &part.payload);
    /* Numbers that store_append() cannot have given. */
    if (r == 0 && (part.op_seq <= l->last || part.op_seq > l->stat.op_seq))
        r = -EBADMSG;
    if (r < 0)
        return r;
    l->last = part.op_seq;
    l->updates += kind == STORE_PART_UPDATE;
    l->handler->on_part(l->ctx, &part);
    return 0;
}

static int on_load_row(void *ctx, unsigned statement, const PGresult *res, int row)
{
    struct load *l = ctx;

    switch ((enum load_statement)(l->first + statement)) {
    case LOAD_BEGIN:
        break;
    case LOAD_STAT:
        return take_stat(l, res, row);
    case LOAD_SNAPSHOT:
        return give_part(l, STORE_PART_SNAPSHOT, res, row);
    case LOAD_UPDATES:
        return give_part(l, STORE_PART_UPDATE, res, row);
    }
    return -EBADMSG;
}

static void on_load_end(void *ctx, int error)
{
    struct load *l = ctx;

    if (error == 0 && l->handler->on_part && l->updates != l->stat.updates)
        error = -EBADMSG;
    l->handler->on_done(l->ctx, error, error < 0 ? NULL : &l->stat);
    free(l);
}

static void add_key(struct postgres_params *params, struct store_key key)
{
    postgres_add_text(params, key.tenant);
    postgres_add_text(params, key.room);
}

static void postgres_load(struct store *store, struct store_key key, uint64_t lineage,
                          const struct store_load_handler *handler, void *ctx)
{
    static const struct postgres_request_handler request = {.on_row = on_load_row,
                                                            .on_end = on_load_end};
    struct postgres_link *link = ((struct postgres_store *)store)->link;
    struct postgres_params figures = {0};
    struct postgres_params parts = {0};
    struct load *l = xcalloc(1, sizeof(*l));

    l->handler = handler;
    l->ctx = ctx;
    l->first = handler->on_part ? LOAD_BEGIN : LOAD_STAT;
    add_key(&figures, key);
    postgres_add_int8(&figures, lineage);
    postgres_request_begin(link, &request, l);
    if (handler->on_part) {
        add_key(&parts, key);
        postgres_add_int8(&parts, STORE_PART_MAX);
        postgres_request_prepared(link, "SNAPSHOT_READ", NULL);
        postgres_request_prepared(link, "STAT", &figures);
        postgres_request_prepared(link, "LOAD_SNAPSHOT", &parts);
        postgres_request_prepared(link, "LOAD_UPDATES", &parts);
        /* Executed in any case, so that a failure leaves no transaction behind. */
        postgres_request_sync(link);
        postgres_request_prepared(link, "END", NULL);
    } else {
        postgres_request_prepared(link, "STAT", &figures);
    }
    postgres_request_end(link);
    postgres_params_done(&figures);
    postgres_params_done(&parts);
}

/* ---- list ---- */

struct list {
    store_room_fn on_room;
    store_done_fn done;
    void *ctx;
};

static int on_list_row(void *ctx, unsigned statement, const PGresult *res, int row)
{
    const struct list *l = ctx;
    struct store_key key;
    int r = postgres_get_text(res, row, 0, &key.tenant);

    (void)statement;
    if (r == 0)
        r = postgres_get_text(res, row, 1, &key.room);
    if (r == 0)
        l->on_room(l->ctx, key);
    return r;
}

static void on_list_end(void *ctx, int error)
{
    struct list *l = ctx;

    l->done(l->ctx, error);
    free(l);
}

static void postgres_list(struct store *store, store_room_fn on_room, store_done_fn done, void *ctx)
{
    static const struct postgres_request_handler request = {.on_row = on_list_row,
                                                            .on_end = on_list_end};
    struct postgres_link *link = ((struct postgres_store *)store)->link;
    struct list *l = xcalloc(1, sizeof(*l));

    *l = (struct list){.on_room = on_room, .done = done, .ctx = ctx};
    postgres_request_begin(link, &request, l);
    postgres_request_prepared(link, "ROOMS", NULL);
    postgres_request_end(link);
}

/* ---- append and fold ---- */

struct change {
    store_done_fn done;
    void *ctx;
    int error; /* found before anything was sent */
};

static void on_change_end(void *ctx, int error)
{
    struct change *c = ctx;

    c->done(c->ctx, c->error < 0 ? c->error : error);
    free(c);
}

static struct change *begin_change(struct postgres_link *link, store_done_fn done, void *ctx)
{
    static const struct postgres_request_handler request = {.on_end = on_change_end};
    struct change *c = xcalloc(1, sizeof(*c));

    c->done = done;
    c->ctx = ctx;
    postgres_request_begin(link, &request, c);
    return c;
}

/* The parameters of concord_append(), in its order. */
static void add_rooms(struct postgres_params *params, const struct store_append *rooms,
                      size_t count)
{
    size_t updates = 0;
    struct buffer *tenants = postgres_add_array(params, POSTGRES_TEXT, count);
    struct buffer *names = postgres_add_array(params, POSTGRES_TEXT, count);
    struct buffer *lineages = postgres_add_array(params, POSTGRES_INT8, count);
    struct buffer *first_seqs = postgres_add_array(params, POSTGRES_INT8, count);
    struct buffer *last_seqs = postgres_add_array(params, POSTGRES_INT8, count);

    for (size_t i = 0; i < count; i++) {
        const struct store_append *room = &rooms[i];
        postgres_push_bytes(tenants, room->key.tenant);
        postgres_push_bytes(names, room->key.room);
        postgres_push_int8(lineages, room->lineage);
        postgres_push_int8(first_seqs, room->updates[0].seq);
        postgres_push_int8(last_seqs, room->updates[room->count - 1].seq);
        updates += room->count;
    }
    struct buffer *room_of = postgres_add_array(params, POSTGRES_INT8, updates);
    struct buffer *payloads = postgres_add_array(params, POSTGRES_BYTEA, updates);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < rooms[i].count; k++) {
            postgres_push_int8(room_of, i + 1);
            postgres_push_bytes(payloads, rooms[i].updates[k].payload);
        }
    }
    postgres_add_int8(params, wall_now_ms());
    postgres_add_int8(params, STORE_LINEAGES_MAX);
}

static bool are_ascending(const struct store_append *rooms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!store_append_is_ascending(&rooms[i]))
            return false;
    }
    return true;
}

static void postgres_append(struct store *store, const struct store_append *rooms, size_t count,
                            store_done_fn done, void *ctx)
{
    struct postgres_link *link = ((struct postgres_store *)store)->link;
    struct postgres_params params = {0};

    struct change *c = begin_change(link, done, ctx);
    if (are_ascending(rooms, count)) {
        add_rooms(&params, rooms, count);
        postgres_request_prepared(link, "APPEND", &params);
    } else {
        c->error = -ESTALE;
    }
    postgres_request_end(link);
    postgres_params_done(&params);
}

static void postgres_fold(struct store *store, const struct store_fold *fold, store_done_fn done,
                          void *ctx)
{
    struct postgres_link *link = ((struct postgres_store *)store)->link;
    struct postgres_params params = {0};

    (void)begin_change(link, done, ctx);
    add_key(&params, fold->key);
    postgres_add_int8(&params, fold->read.snapshot_op_seq);
    postgres_add_int8(&params, fold->read.op_seq);
    postgres_add_int8(&params, fold->read.updates);
    postgres_add_bytea(&params, fold->state);
    postgres_add_int8(&params, wall_now_ms());
    postgres_request_prepared(link, "FOLD", &params);
    postgres_request_end(link);
    postgres_params_done(&params);
}

/* ---- life ---- */

static void end_opening(struct postgres_store *s, int error)
{
    s->has_ended_opening = true;
    s->owner->on_open(s->owner->ctx, error);
}

static void on_prepared(void *ctx, int error)
{
    if (error != -ECANCELED) /* else on_lost() follows */
        end_opening(ctx, error);
}

/* The server gives up before its silence is taken for its end, first what waits for a lock. And a
 * commit is one. */
static void set_session(struct postgres_store *s)
{
    char *sql CLEANUP_FREE =
        xasprintf("SELECT set_config('statement_timeout', '%u', false),"
                  " set_config('lock_timeout', '%u', false),"
                  " set_config('idle_in_transaction_session_timeout', '%u', false)",
                  s->silence_ms / 4 * 3, s->silence_ms / 2, s->silence_ms);

    postgres_request_sql(s->link, sql);
    postgres_request_sql(s->link, "SELECT set_config('synchronous_commit', 'on', false)"
                                  " WHERE current_setting('synchronous_commit') = 'off'");
    if (s->is_to_read)
        postgres_request_sql(s->link, "SET default_transaction_read_only = on");
}

static void on_migrated(void *ctx, int error)
{
    static const struct postgres_request_handler handler = {.on_end = on_prepared};
    struct postgres_store *s = ctx;

    if (error < 0) {
        on_prepared(s, error);
        return;
    }
    postgres_link_set_silence(s->link, s->silence_ms);
    postgres_request_begin(s->link, &handler, s);
    set_session(s);
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        postgres_request_prepare(s->link, statements[i].name, statements[i].sql);
    postgres_request_end(s->link);
}

static void on_up(void *ctx)
{
    struct postgres_store *s = ctx;
    const char *encoding = postgres_link_parameter(s->link, "server_encoding");

    /* In others there are names of rooms that cannot be stored. */
    if (strcmp(encoding, "UTF8") != 0 && strcmp(encoding, "SQL_ASCII") != 0) {
        end_opening(s, -EINVAL);
        return;
    }
    postgres_link_set_silence(s->link, MIGRATE_SILENCE_MS);
    if (s->is_to_read)
        store_postgres_check_version(s->link, on_migrated, s);
    else
        store_postgres_migrate(s->link, on_migrated, s);
}

static void on_lost(void *ctx, int error)
{
    struct postgres_store *s = ctx;

    if (!s->has_ended_opening)
        end_opening(s, error);
    else
        s->owner->on_lost(s->owner->ctx, error);
}

static const char *postgres_detail(const struct store *store)
{
    return postgres_link_detail(((const struct postgres_store *)store)->link);
}

static void postgres_close(struct store *store)
{
    struct postgres_store *s = (struct postgres_store *)store;

    postgres_link_free(s->link);
    free(s);
}

static const struct store_ops postgres_ops = {
    .load = postgres_load,
    .append = postgres_append,
    .fold = postgres_fold,
    .list = postgres_list,
    .detail = postgres_detail,
    .close = postgres_close,
};

static struct store *begin_open(struct loop *loop, const char *url, uint32_t silence_ms,
                                bool is_to_read, const struct store_owner *owner)
{
    static const struct postgres_link_handler handler = {.on_up = on_up, .on_lost = on_lost};
    struct postgres_store *s = xcalloc(1, sizeof(*s));

    s->store.ops = &postgres_ops;
    s->owner = owner;
    s->silence_ms = silence_ms;
    s->is_to_read = is_to_read;
    s->link = postgres_link_new(loop, url, silence_ms, &handler, s);
    return &s->store;
}

struct store *store_postgres_open(struct loop *loop, const char *url, uint32_t silence_ms,
                                  const struct store_owner *owner)
{
    return begin_open(loop, url, silence_ms, false, owner);
}

struct store *store_postgres_open_to_read(struct loop *loop, const char *url, uint32_t silence_ms,
                                          const struct store_owner *owner)
{
    return begin_open(loop, url, silence_ms, true, owner);
}
