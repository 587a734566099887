#include "snapshotd/store_sqlite.h"

#include "common/log.h"
#include "common/loop.h"
#include "snapshotd/store_sqlite_schema.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#define BUSY_TIMEOUT_MS 5000

/* S(name, SQL): statements that are prepared once. */
#define STATEMENTS(S)                                                                              \
    S(READ, "BEGIN")                                                                               \
    S(WRITE, "BEGIN IMMEDIATE")                                                                    \
    S(COMMIT, "COMMIT")                                                                            \
    S(ROLLBACK, "ROLLBACK")                                                                        \
    S(ROOM, "SELECT id FROM rooms WHERE tenant = ?1 AND name = ?2")                                \
    S(ADD_ROOM, "INSERT INTO rooms(tenant, name) VALUES(?1, ?2)")                                  \
    S(STAT_SNAPSHOT, "SELECT op_seq FROM snapshots WHERE room_id = ?1")                            \
    S(STAT_UPDATES, "SELECT COUNT(*), COALESCE(MAX(op_seq), 0) FROM updates WHERE room_id = ?1")   \
    S(STAT_OLDEST, "SELECT created_at FROM updates WHERE room_id = ?1 ORDER BY op_seq LIMIT 1")    \
    S(LAST_UPDATE, "SELECT COALESCE(MAX(op_seq), 0) FROM updates WHERE room_id = ?1")              \
    S(LOAD_SNAPSHOT, "SELECT op_seq, state FROM snapshots WHERE room_id = ?1")                     \
    S(LOAD_UPDATES, "SELECT op_seq, payload FROM updates WHERE room_id = ?1 ORDER BY op_seq")      \
    S(APPEND, "INSERT INTO updates(room_id, op_seq, payload, created_at) VALUES(?1, ?2, ?3, ?4)")  \
    S(PUT_SNAPSHOT, "INSERT OR REPLACE INTO snapshots(room_id, op_seq, state, updated_at)"         \
                    " VALUES(?1, ?2, ?3, ?4)")                                                     \
    S(DELETE_UPDATES, "DELETE FROM updates WHERE room_id = ?1 AND op_seq <= ?2")

enum statement {
#define S(name, sql) STMT_##name,
    STATEMENTS(S)
#undef S
        STMT_COUNT
};

static const char *const statement_sql[] = {
#define S(name, sql) sql,
    STATEMENTS(S)
#undef S
};

struct sqlite_store {
    struct store store;
    sqlite3 *db;
    sqlite3_stmt *stmts[STMT_COUNT];
};

/* ---- statements ---- */

static int64_t clamp_int64(uint64_t n)
{
    return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static void bind_int(struct sqlite_store *s, enum statement which, int index, uint64_t value)
{
    (void)sqlite3_bind_int64(s->stmts[which], index, clamp_int64(value));
}

/* An empty slice is an empty value, not NULL. Values are borrowed until the statement is done. */
static void bind_text(struct sqlite_store *s, enum statement which, int index, struct slice value)
{
    const void *data = value.len > 0 ? (const void *)value.data : "";
    (void)sqlite3_bind_text64(s->stmts[which], index, data, value.len, SQLITE_STATIC, SQLITE_UTF8);
}

static int bind_blob(struct sqlite_store *s, enum statement which, int index, struct slice value)
{
    const void *data = value.len > 0 ? (const void *)value.data : "";
    return sqlite3_bind_blob64(s->stmts[which], index, data, value.len, SQLITE_STATIC);
}

/* 1 for a row, 0 at the end, or an error of store.h. */
static int step(struct sqlite_store *s, enum statement which)
{
    int code = sqlite3_step(s->stmts[which]);

    if (code == SQLITE_ROW)
        return 1;
    if (code != SQLITE_DONE)
        log_debug("sqlite: %s: %s", statement_sql[which], sqlite3_errmsg(s->db));
    return store_sqlite_error(code);
}

static void finish(struct sqlite_store *s, enum statement which)
{
    (void)sqlite3_reset(s->stmts[which]);
    (void)sqlite3_clear_bindings(s->stmts[which]);
}

/* For statements without rows. */
static int run(struct sqlite_store *s, enum statement which)
{
    int r = step(s, which);

    finish(s, which);
    return r;
}

static uint64_t column_uint(struct sqlite_store *s, enum statement which, int column)
{
    int64_t n = sqlite3_column_int64(s->stmts[which], column);
    return n < 0 ? 0 : (uint64_t)n;
}

/* Reads one row of one integer, about a room. 1, 0 if there is no row, or an error. */
static int query_room(struct sqlite_store *s, enum statement which, int64_t room_id, uint64_t *ret)
{
    (void)sqlite3_bind_int64(s->stmts[which], 1, room_id);
    int r = step(s, which);
    if (r > 0)
        *ret = column_uint(s, which, 0);
    finish(s, which);
    return r;
}

static void roll_back(struct sqlite_store *s)
{
    /* An error may have rolled back already. */
    if (!sqlite3_get_autocommit(s->db))
        (void)run(s, STMT_ROLLBACK);
}

/* ---- rooms ---- */

/* 1 and the id, 0 if the room is not stored, or an error. */
static int find_room(struct sqlite_store *s, struct store_key key, int64_t *ret_id)
{
    bind_text(s, STMT_ROOM, 1, key.tenant);
    bind_text(s, STMT_ROOM, 2, key.room);
    int r = step(s, STMT_ROOM);
    if (r > 0)
        *ret_id = sqlite3_column_int64(s->stmts[STMT_ROOM], 0);
    finish(s, STMT_ROOM);
    return r;
}

static int find_or_add_room(struct sqlite_store *s, struct store_key key, int64_t *ret_id)
{
    int r = find_room(s, key, ret_id);

    if (r != 0)
        return r < 0 ? r : 0;
    bind_text(s, STMT_ADD_ROOM, 1, key.tenant);
    bind_text(s, STMT_ADD_ROOM, 2, key.room);
    r = run(s, STMT_ADD_ROOM);
    if (r == 0)
        *ret_id = sqlite3_last_insert_rowid(s->db);
    return r;
}

static int read_stat(struct sqlite_store *s, int64_t room_id, struct store_stat *ret_stat)
{
    struct store_stat stat = {0};
    uint64_t last = 0;
    int r = query_room(s, STMT_STAT_SNAPSHOT, room_id, &stat.snapshot_op_seq);

    if (r < 0)
        return r;
    (void)sqlite3_bind_int64(s->stmts[STMT_STAT_UPDATES], 1, room_id);
    r = step(s, STMT_STAT_UPDATES);
    if (r > 0) {
        stat.updates = column_uint(s, STMT_STAT_UPDATES, 0);
        last = column_uint(s, STMT_STAT_UPDATES, 1);
    }
    finish(s, STMT_STAT_UPDATES);
    if (r > 0)
        r = query_room(s, STMT_STAT_OLDEST, room_id, &stat.oldest_ms);
    if (r < 0)
        return r;
    stat.op_seq = last > stat.snapshot_op_seq ? last : stat.snapshot_op_seq;
    *ret_stat = stat;
    return 0;
}

/* ---- load ---- */

/* Gives the rows (op_seq, bytes) of a statement; their count, or an error. */
static int64_t give_parts(struct sqlite_store *s, enum statement which, enum store_part_kind kind,
                          int64_t room_id, const struct store_load_handler *handler, void *ctx)
{
    sqlite3_stmt *stmt = s->stmts[which];
    int64_t count = 0;
    int r;

    (void)sqlite3_bind_int64(stmt, 1, room_id);
    while ((r = step(s, which)) > 0) {
        const void *data = sqlite3_column_blob(stmt, 1);
        size_t len = (size_t)sqlite3_column_bytes(stmt, 1);
        /* Without memory, or from a damaged page, the value comes as NULL: that is no empty part.
         */
        if (!data && (sqlite3_errcode(s->db) == SQLITE_NOMEM || len > 0)) {
            r = -ENOMEM;
            break;
        }
        struct store_part part = {
            .kind = kind, .op_seq = column_uint(s, which, 0), .payload = slice_of(data, len)};
        handler->on_part(ctx, &part);
        count++;
    }
    finish(s, which);
    return r < 0 ? r : count;
}

static int load_room(struct sqlite_store *s, struct store_key key,
                     const struct store_load_handler *handler, void *ctx,
                     struct store_stat *ret_stat)
{
    int64_t room_id;
    struct store_stat stat = {0};
    int r = find_room(s, key, &room_id);

    if (r > 0)
        r = read_stat(s, room_id, &stat);
    else if (r == 0)
        return 0;
    if (r == 0 && handler->on_part) {
        int64_t snapshots =
            give_parts(s, STMT_LOAD_SNAPSHOT, STORE_PART_SNAPSHOT, room_id, handler, ctx);
        int64_t updates = snapshots < 0 ? snapshots
                                        : give_parts(s, STMT_LOAD_UPDATES, STORE_PART_UPDATE,
                                                     room_id, handler, ctx);
        if (updates < 0)
            r = (int)updates;
        else if ((uint64_t)updates != stat.updates)
            r = -EBADMSG; /* the same pages, counted twice */
    }
    if (r == 0)
        *ret_stat = stat;
    return r;
}

static void sqlite_load(struct store *store, struct store_key key,
                        const struct store_load_handler *handler, void *ctx)
{
    struct sqlite_store *s = (struct sqlite_store *)store;
    struct store_stat stat = {0};
    int r = run(s, STMT_READ);

    if (r == 0)
        r = load_room(s, key, handler, ctx, &stat);
    /* Nothing was written: the end of the transaction cannot change the result. */
    roll_back(s);
    handler->on_done(ctx, r, r < 0 ? NULL : &stat);
}

/* ---- append ---- */

static int append_room(struct sqlite_store *s, const struct store_append *room, uint64_t now_ms)
{
    int64_t room_id = 0;
    uint64_t snapshot = 0;
    uint64_t last = 0;
    int r = find_or_add_room(s, room->key, &room_id);

    if (r == 0)
        r = query_room(s, STMT_STAT_SNAPSHOT, room_id, &snapshot);
    if (r >= 0)
        r = query_room(s, STMT_LAST_UPDATE, room_id, &last);
    if (r < 0)
        return r;
    last = last > snapshot ? last : snapshot;
    for (size_t i = 0; i < room->count; i++) {
        const struct store_update *u = &room->updates[i];
        if (u->op_seq <= last || u->op_seq > INT64_MAX)
            return -ESTALE;
        last = u->op_seq;
        (void)sqlite3_bind_int64(s->stmts[STMT_APPEND], 1, room_id);
        bind_int(s, STMT_APPEND, 2, u->op_seq);
        r = store_sqlite_error(bind_blob(s, STMT_APPEND, 3, u->payload));
        bind_int(s, STMT_APPEND, 4, now_ms);
        if (r == 0)
            r = run(s, STMT_APPEND);
        if (r < 0)
            return r;
    }
    return 0;
}

static int append_rooms(struct sqlite_store *s, const struct store_append *rooms, size_t count)
{
    uint64_t now_ms = wall_now_ms();
    int r = run(s, STMT_WRITE);

    for (size_t i = 0; r == 0 && i < count; i++)
        r = append_room(s, &rooms[i], now_ms);
    if (r == 0)
        r = run(s, STMT_COMMIT);
    if (r < 0)
        roll_back(s);
    return r;
}

static void sqlite_append(struct store *store, const struct store_append *rooms, size_t count,
                          store_done_fn done, void *ctx)
{
    done(ctx, append_rooms((struct sqlite_store *)store, rooms, count));
}

/* ---- fold ---- */

static int put_snapshot(struct sqlite_store *s, int64_t room_id, const struct store_fold *fold)
{
    (void)sqlite3_bind_int64(s->stmts[STMT_PUT_SNAPSHOT], 1, room_id);
    bind_int(s, STMT_PUT_SNAPSHOT, 2, fold->read.op_seq);
    int r = store_sqlite_error(bind_blob(s, STMT_PUT_SNAPSHOT, 3, fold->state));
    bind_int(s, STMT_PUT_SNAPSHOT, 4, wall_now_ms());
    if (r == 0)
        r = run(s, STMT_PUT_SNAPSHOT);
    return r;
}

static int fold_room(struct sqlite_store *s, const struct store_fold *fold)
{
    int64_t room_id = 0;
    uint64_t snapshot = 0;
    int r = find_room(s, fold->key, &room_id);

    if (r <= 0)
        return r < 0 ? r : -ESTALE;
    r = query_room(s, STMT_STAT_SNAPSHOT, room_id, &snapshot);
    if (r < 0)
        return r;
    if (snapshot != fold->read.snapshot_op_seq)
        return -ESTALE;
    (void)sqlite3_bind_int64(s->stmts[STMT_DELETE_UPDATES], 1, room_id);
    bind_int(s, STMT_DELETE_UPDATES, 2, fold->read.op_seq);
    r = run(s, STMT_DELETE_UPDATES);
    if (r < 0)
        return r;
    /* As many rows as were read, no more of them in this range: they are the ones. */
    if ((uint64_t)sqlite3_changes64(s->db) != fold->read.updates)
        return -ESTALE;
    return put_snapshot(s, room_id, fold);
}

static int fold_in_transaction(struct sqlite_store *s, const struct store_fold *fold)
{
    int r = run(s, STMT_WRITE);

    if (r == 0)
        r = fold_room(s, fold);
    if (r == 0)
        r = run(s, STMT_COMMIT);
    if (r < 0)
        roll_back(s);
    return r;
}

static void sqlite_fold(struct store *store, const struct store_fold *fold, store_done_fn done,
                        void *ctx)
{
    done(ctx, fold_in_transaction((struct sqlite_store *)store, fold));
}

/* ---- life ---- */

static void sqlite_close(struct store *store)
{
    struct sqlite_store *s = (struct sqlite_store *)store;

    for (size_t i = 0; i < STMT_COUNT; i++)
        (void)sqlite3_finalize(s->stmts[i]);
    if (sqlite3_close(s->db) != SQLITE_OK)
        log_panic("sqlite: a statement is still open");
    free(s);
}

static const struct store_ops sqlite_ops = {
    .load = sqlite_load,
    .append = sqlite_append,
    .fold = sqlite_fold,
    .close = sqlite_close,
};

/* Makes the directory, durably: its parent is synced even if somebody else has just made it. */
static int make_dir(const char *dir)
{
    bool is_new = mkdir(dir, 0700) == 0;

    if (!is_new && errno != EEXIST)
        return -errno;
    char *parent CLEANUP_FREE = xasprintf("%s/..", dir);
    int fd CLEANUP_FD = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if ((fd < 0 || fsync(fd) < 0) && is_new)
        return -errno;
    return 0;
}

static int configure(sqlite3 *db)
{
    static const char *const settings = "PRAGMA journal_mode = WAL;"
                                        "PRAGMA synchronous = FULL;"
                                        "PRAGMA foreign_keys = ON;"
                                        "PRAGMA journal_size_limit = 67108864;";

    (void)sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    int code = sqlite3_exec(db, settings, NULL, NULL, NULL);
    /* See the header: a commit whose sync failed is still in the log, and syncing the log again
     * would report a success that is none. Copied into the database it is written and synced anew.
     */
    if (code == SQLITE_OK)
        code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL);
    if (code != SQLITE_OK)
        log_debug("sqlite: %s", sqlite3_errmsg(db));
    return store_sqlite_error(code);
}

static int prepare(struct sqlite_store *s)
{
    for (size_t i = 0; i < STMT_COUNT; i++) {
        int code = sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &s->stmts[i], NULL);
        if (code != SQLITE_OK)
            return store_sqlite_error(code);
    }
    return 0;
}

int store_sqlite_open(const char *dir, struct store **ret_store)
{
    int r = make_dir(dir);

    if (r < 0)
        return r;
    char *path CLEANUP_FREE = xasprintf("%s/" STORE_SQLITE_FILE, dir);
    struct sqlite_store *s = xcalloc(1, sizeof(*s));
    s->store.ops = &sqlite_ops;
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    r = store_sqlite_error(sqlite3_open_v2(path, &s->db, flags, NULL));
    if (r == 0)
        r = configure(s->db);
    if (r == 0)
        r = store_sqlite_migrate(s->db);
    if (r == 0)
        r = prepare(s);
    if (r < 0) {
        sqlite_close(&s->store);
        return r;
    }
    *ret_store = &s->store;
    return 0;
}
