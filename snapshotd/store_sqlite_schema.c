#include "snapshotd/store_sqlite_schema.h"

#include "common/log.h"
#include "common/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>

/* Append-only: a released migration is never edited. The first is number 1. Times are milliseconds
 * since the epoch. */
static const char *const migrations[] = {
    "CREATE TABLE rooms("
    "  id INTEGER PRIMARY KEY,"
    "  tenant TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  UNIQUE(tenant, name));"
    "CREATE TABLE updates("
    "  room_id INTEGER NOT NULL REFERENCES rooms(id),"
    "  op_seq INTEGER NOT NULL,"
    "  payload BLOB NOT NULL,"
    "  created_at INTEGER NOT NULL,"
    "  PRIMARY KEY(room_id, op_seq)) WITHOUT ROWID;"
    "CREATE TABLE snapshots("
    "  room_id INTEGER PRIMARY KEY REFERENCES rooms(id),"
    "  state BLOB NOT NULL,"
    "  op_seq INTEGER NOT NULL,"
    "  updated_at INTEGER NOT NULL);"
    "CREATE TABLE versions("
    "  id INTEGER PRIMARY KEY,"
    "  room_id INTEGER NOT NULL REFERENCES rooms(id),"
    "  op_seq INTEGER NOT NULL,"
    "  label TEXT NOT NULL,"
    "  author TEXT NOT NULL,"
    "  state BLOB NOT NULL,"
    "  created_at INTEGER NOT NULL);"
    "CREATE INDEX versions_of_room ON versions(room_id, id);",
    /* The store numbers a room's updates itself, and keeps how far each lineage is stored. */
    "ALTER TABLE rooms ADD COLUMN op_seq INTEGER NOT NULL DEFAULT 0;"
    "UPDATE rooms SET op_seq = MAX("
    "  COALESCE((SELECT MAX(op_seq) FROM updates WHERE room_id = rooms.id), 0),"
    "  COALESCE((SELECT op_seq FROM snapshots WHERE room_id = rooms.id), 0));"
    "CREATE TABLE lineages("
    "  room_id INTEGER NOT NULL REFERENCES rooms(id),"
    "  lineage INTEGER NOT NULL,"
    "  seq INTEGER NOT NULL,"
    "  op_seq INTEGER NOT NULL,"
    "  PRIMARY KEY(room_id, lineage)) WITHOUT ROWID;",
    /* With the payloads beside the key a search reads those that it passes, whole: one room's large
     * updates kept everybody's commits waiting. */
    "CREATE TABLE updates_with_id("
    "  id INTEGER PRIMARY KEY,"
    "  room_id INTEGER NOT NULL REFERENCES rooms(id),"
    "  op_seq INTEGER NOT NULL,"
    "  payload BLOB NOT NULL,"
    "  created_at INTEGER NOT NULL,"
    "  UNIQUE(room_id, op_seq));"
    "INSERT INTO updates_with_id(room_id, op_seq, payload, created_at)"
    "  SELECT room_id, op_seq, payload, created_at FROM updates;"
    "DROP TABLE updates;"
    "ALTER TABLE updates_with_id RENAME TO updates;",
};

#define MIGRATION_COUNT ((int)(sizeof(migrations) / sizeof(migrations[0])))

int store_sqlite_error(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return -EACCES;
    }
    return -EIO;
}

static int execute(sqlite3 *db, const char *sql)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);

    if (code != SQLITE_OK)
        log_debug("sqlite: %s", sqlite3_errmsg(db));
    return store_sqlite_error(code);
}

static int read_version(sqlite3 *db, int *ret_version)
{
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(db, "SELECT COALESCE(MAX(version), 0) FROM schema_version", -1,
                                  &stmt, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        *ret_version = sqlite3_column_int(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return store_sqlite_error(code);
}

static int migrate_to(sqlite3 *db, int version)
{
    char note[128];
    int r = execute(db, "BEGIN IMMEDIATE");

    if (r < 0)
        return r;
    (void)snprintf(note, sizeof(note), "INSERT INTO schema_version VALUES(%d, %" PRIu64 ")",
                   version, wall_now_ms());
    r = execute(db, migrations[version - 1]);
    if (r == 0)
        r = execute(db, note);
    if (r == 0)
        r = execute(db, "COMMIT");
    if (r < 0)
        (void)execute(db, "ROLLBACK");
    return r;
}

int store_sqlite_migrate(sqlite3 *db)
{
    int version = 0;
    int r = execute(db, "CREATE TABLE IF NOT EXISTS schema_version("
                        "  version INTEGER PRIMARY KEY,"
                        "  applied_at INTEGER NOT NULL)");

    if (r == 0)
        r = read_version(db, &version);
    if (r == 0 && version > MIGRATION_COUNT)
        r = -ENOTSUP;
    while (r == 0 && version < MIGRATION_COUNT)
        r = migrate_to(db, ++version);
    return r;
}

int store_sqlite_check_version(sqlite3 *db)
{
    int version = 0;
    int r = read_version(db, &version);

    return r == 0 && version != MIGRATION_COUNT ? -ENOTSUP : r;
}
