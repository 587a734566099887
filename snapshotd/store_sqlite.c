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
    S(ROOMS, "SELECT tenant, name FROM rooms")                                                     \
    S(ROOM, "SELECT id, op_seq FROM rooms WHERE tenant = ?1 AND name = ?2")                        \
    S(ADD_ROOM, "INSERT INTO rooms(tenant, name) VALUES(?1, ?2)")                                  \
    S(SET_OP_SEQ, "UPDATE rooms SET op_seq = ?2 WHERE id = ?1")                                    \
    S(STAT_SNAPSHOT, "SELECT op_seq FROM snapshots WHERE room_id = ?1")                            \
    S(STAT_UPDATES, "SELECT COUNT(*) FROM updates WHERE room_id = ?1")                             \
    S(STAT_OLDEST, "SELECT created_at FROM updates WHERE room_id = ?1 ORDER BY op_seq LIMIT 1")    \
    S(STAT_LINEAGE, "SELECT seq, op_seq FROM lineages WHERE room_id = ?1 AND lineage = ?2")        \
    S(LOAD_SNAPSHOT, "SELECT op_seq, state FROM snapshots WHERE room_id = ?1")                     \
    S(LOAD_UPDATES, "SELECT op_seq, payload FROM updates WHERE room_id = ?1 ORDER BY op_seq")      \
    S(APPEND, "INSERT INTO updates(room_id, op_seq, payload, created_at) VALUES(?1, ?2, ?3, ?4)")  \
    S(SET_LINEAGE, "INSERT OR REPLACE INTO lineages(room_id, lineage, seq, op_seq)"                \
                   " VALUES(?1, ?2, ?3, ?4)")                                                      \
    S(FORGET_LINEAGES, "DELETE FROM lineages WHERE room_id = ?1 AND lineage IN ("                  \
                       " SELECT lineage FROM lineages WHERE room_id = ?1"                          \
                       " ORDER BY op_seq DESC LIMIT -1 OFFSET ?2)")                                \
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

struct room {
    int64_t id;
    uint64_t op_seq;
};

/* 1 and the room, 0 if it is not stored, or an error. */
static int find_room(struct sqlite_store *s, struct store_key key, struct room *ret_room)
{
    bind_text(s, STMT_ROOM, 1, key.tenant);
    bind_text(s, STMT_ROOM, 2, key.room);
    int r = step(s, STMT_ROOM);
    if (r > 0) {
        ret_room->id = sqlite3_column_int64(s->stmts[STMT_ROOM], 0);
        ret_room->op_seq = column_uint(s, STMT_ROOM, 1);
    }
    finish(s, STMT_ROOM);
    return r;
}

static int find_or_add_room(struct sqlite_store *s, struct store_key key, struct room *ret_room)
{
    int r = find_room(s, key, ret_room);

    if (r != 0)
        return r < 0 ? r : 0;
    bind_text(s, STMT_ADD_ROOM, 1, key.tenant);
    bind_text(s, STMT_ADD_ROOM, 2, key.room);
    r = run(s, STMT_ADD_ROOM);
    if (r == 0)
        *ret_room = (struct room){.id = sqlite3_last_insert_rowid(s->db)};
    return r;
}

/* 1 and what is stored of the lineage, 0 if nothing is, or an error. Lineages are any 64 bits. */
static int find_lineage(struct sqlite_store *s, int64_t room_id, uint64_t lineage,
                        struct store_stat *ret_stat)
{
    (void)sqlite3_bind_int64(s->stmts[STMT_STAT_LINEAGE], 1, room_id);
    (void)sqlite3_bind_int64(s->stmts[STMT_STAT_LINEAGE], 2, (int64_t)lineage);
    int r = step(s, STMT_STAT_LINEAGE);
    if (r > 0) {
        ret_stat->lineage_seq = column_uint(s, STMT_STAT_LINEAGE, 0);
        ret_stat->lineage_op_seq = column_uint(s, STMT_STAT_LINEAGE, 1);
    }
    finish(s, STMT_STAT_LINEAGE);
    return r;
}

static int read_stat(struct sqlite_store *s, const struct room *room, uint64_t lineage,
                     struct store_stat *ret_stat)
{
    struct store_stat stat = {.op_seq = room->op_seq};
    int r = query_room(s, STMT_STAT_SNAPSHOT, room->id, &stat.snapshot_op_seq);

    if (r >= 0)
        r = query_room(s, STMT_STAT_UPDATES, room->id, &stat.updates);
    if (r >= 0)
        r = query_room(s, STMT_STAT_OLDEST, room->id, &stat.oldest_ms);
    if (r >= 0)
        r = find_lineage(s, room->id, lineage, &stat);
    if (r < 0)
        return r;
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
        if (!data && (sqlite3_errcode(s->db) == SQLITE_NOMEM || len > 0))
            r = -ENOMEM;
        else if (sqlite3_column_type(stmt, 1) != SQLITE_BLOB || len > STORE_PART_MAX)
            r = -EBADMSG;
        if (r < 0)
            break;
        struct store_part part = {
            .kind = kind, .op_seq = column_uint(s, which, 0), .payload = slice_of(data, len)};
        handler->on_part(ctx, &part);
        count++;
    }
    finish(s, which);
    return r < 0 ? r : count;
}

static int load_room(struct sqlite_store *s, struct store_key key, uint64_t lineage,
                     const struct store_load_handler *handler, void *ctx,
                     struct store_stat *ret_stat)
{
    struct room room = {0};
    struct store_stat stat = {0};
    int r = find_room(s, key, &room);

    if (r > 0)
        r = read_stat(s, &room, lineage, &stat);
    else if (r == 0)
        return 0;
    if (r == 0 && handler->on_part) {
        int64_t snapshots =
            give_parts(s, STMT_LOAD_SNAPSHOT, STORE_PART_SNAPSHOT, room.id, handler, ctx);
        int64_t updates = snapshots < 0 ? snapshots
                                        : give_parts(s, STMT_LOAD_UPDATES, STORE_PART_UPDATE,
                                                     room.id, handler, ctx);
        if (updates < 0)
            r = (int)updates;
        else if ((uint64_t)updates != stat.updates)
            r = -EBADMSG; /* the same pages, counted twice */
    }
    if (r == 0)
        *ret_stat = stat;
    return r;
}

static void sqlite_load(struct store *store, struct store_key key, uint64_t lineage,
                        const struct store_load_handler *handler, void *ctx)
{
    struct sqlite_store *s = (struct sqlite_store *)store;
    struct store_stat stat = {0};
    int r = run(s, STMT_READ);

    if (r == 0)
        r = load_room(s, key, lineage, handler, ctx, &stat);
    /* Nothing was written: the end of the transaction cannot change the result. */
    roll_back(s);
    handler->on_done(ctx, r, r < 0 ? NULL : &stat);
}

/* ---- list ---- */

static struct slice column_text(struct sqlite_store *s, enum statement which, int column)
{
    const void *text = sqlite3_column_text(s->stmts[which], column);

    return slice_of(text, (size_t)sqlite3_column_bytes(s->stmts[which], column));
}

static void sqlite_list(struct store *store, store_room_fn on_room, store_done_fn done, void *ctx)
{
    struct sqlite_store *s = (struct sqlite_store *)store;
    int r;

    while ((r = step(s, STMT_ROOMS)) > 0) {
        struct store_key key = {.tenant = column_text(s, STMT_ROOMS, 0),
                                .room = column_text(s, STMT_ROOMS, 1)};
        if (!key.tenant.data || !key.room.data) {
            r = -ENOMEM;
            break;
        }
        on_room(ctx, key);
    }
    finish(s, STMT_ROOMS);
    done(ctx, r);
}

/* ---- append ---- */

/* Notes that everything of the lineage up to `seq` is stored. */
static int set_lineage(struct sqlite_store *s, const struct room *room, uint64_t lineage,
                       uint64_t seq, bool is_new)
{
    (void)sqlite3_bind_int64(s->stmts[STMT_SET_LINEAGE], 1, room->id);
    (void)sqlite3_bind_int64(s->stmts[STMT_SET_LINEAGE], 2, (int64_t)lineage);
    bind_int(s, STMT_SET_LINEAGE, 3, seq);
    bind_int(s, STMT_SET_LINEAGE, 4, room->op_seq);
    int r = run(s, STMT_SET_LINEAGE);
    if (r < 0 || !is_new)
        return r;
    (void)sqlite3_bind_int64(s->stmts[STMT_FORGET_LINEAGES], 1, room->id);
    bind_int(s, STMT_FORGET_LINEAGES, 2, STORE_LINEAGES_MAX);
    return run(s, STMT_FORGET_LINEAGES);
}

static int add_update(struct sqlite_store *s, struct room *room, struct slice payload,
                      uint64_t now_ms)
{
    (void)sqlite3_bind_int64(s->stmts[STMT_APPEND], 1, room->id);
    bind_int(s, STMT_APPEND, 2, ++room->op_seq);
    int r = store_sqlite_error(bind_blob(s, STMT_APPEND, 3, payload));
    bind_int(s, STMT_APPEND, 4, now_ms);
    return r < 0 ? r : run(s, STMT_APPEND);
}

static int append_room(struct sqlite_store *s, const struct store_append *append, uint64_t now_ms)
{
    struct room room = {0};
    struct store_stat stat = {0};

    if (!store_append_is_ascending(append))
        return -ESTALE;
    int r = find_or_add_room(s, append->key, &room);
    if (r == 0)
        r = find_lineage(s, room.id, append->lineage, &stat);
    if (r < 0)
        return r;
    bool is_new = r == 0;
    if (append->updates[0].seq <= stat.lineage_seq)
        return -ESTALE;
    r = 0;
    for (size_t i = 0; r == 0 && i < append->count; i++)
        r = add_update(s, &room, append->updates[i].payload, now_ms);
    if (r < 0)
        return r;
    (void)sqlite3_bind_int64(s->stmts[STMT_SET_OP_SEQ], 1, room.id);
    bind_int(s, STMT_SET_OP_SEQ, 2, room.op_seq);
    r = run(s, STMT_SET_OP_SEQ);
    if (r < 0)
        return r;
    return set_lineage(s, &room, append->lineage, append->updates[append->count - 1].seq, is_new);
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
    struct room room = {0};
    uint64_t snapshot = 0;
    int r = find_room(s, fold->key, &room);

    if (r <= 0)
        return r < 0 ? r : -ESTALE;
    r = query_room(s, STMT_STAT_SNAPSHOT, room.id, &snapshot);
    if (r < 0)
        return r;
    if (snapshot != fold->read.snapshot_op_seq)
        return -ESTALE;
    (void)sqlite3_bind_int64(s->stmts[STMT_DELETE_UPDATES], 1, room.id);
    bind_int(s, STMT_DELETE_UPDATES, 2, fold->read.op_seq);
    r = run(s, STMT_DELETE_UPDATES);
    if (r < 0)
        return r;
    /* As many rows as were read, no more of them in this range: they are the ones. */
    if ((uint64_t)sqlite3_changes64(s->db) != fold->read.updates)
        return -ESTALE;
    return put_snapshot(s, room.id, fold);
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

static const char *sqlite_detail(const struct store *store)
{
    const struct sqlite_store *s = (const struct sqlite_store *)store;

    return sqlite3_errcode(s->db) == SQLITE_OK ? "" : sqlite3_errmsg(s->db);
}

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
    .list = sqlite_list,
    .detail = sqlite_detail,
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

static int open_database(const char *dir, int flags, struct sqlite_store **ret_store)
{
    char *path CLEANUP_FREE = xasprintf("%s/" STORE_SQLITE_FILE, dir);
    struct sqlite_store *s = xcalloc(1, sizeof(*s));

    s->store.ops = &sqlite_ops;
    flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int r = store_sqlite_error(sqlite3_open_v2(path, &s->db, flags, NULL));
    if (r < 0)
        sqlite_close(&s->store);
    else
        *ret_store = s;
    return r;
}

/* What has come of opening it. */
static int give_database(struct sqlite_store *s, int error, struct store **ret_store)
{
    if (error == 0)
        error = prepare(s);
    if (error < 0)
        sqlite_close(&s->store);
    else
        *ret_store = &s->store;
    return error;
}

int store_sqlite_open(const char *dir, struct store **ret_store)
{
    struct sqlite_store *s;
    int r = make_dir(dir);

    if (r == 0)
        r = open_database(dir, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &s);
    if (r < 0)
        return r;
    r = configure(s->db);
    if (r == 0)
        r = store_sqlite_migrate(s->db);
    return give_database(s, r, ret_store);
}

int store_sqlite_open_to_read(const char *dir, struct store **ret_store)
{
    struct sqlite_store *s;
    char *path CLEANUP_FREE = xasprintf("%s/" STORE_SQLITE_FILE, dir);

    if (access(path, R_OK) < 0)
        return -errno;
    int r = open_database(dir, SQLITE_OPEN_READONLY, &s);
    if (r < 0)
        return r;
    (void)sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
    return give_database(s, store_sqlite_check_version(s->db), ret_store);
}
