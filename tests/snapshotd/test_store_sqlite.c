/* What only the SQLite store has: its file, its schema and its faults. */
#include "snapshotd/store_sqlite.h"
#include "tests/snapshotd/faulty_vfs.h"
#include "tests/snapshotd/store_helpers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

static char dir[256];

static void set_up(void)
{
    make_test_dir(dir, sizeof(dir));
}

static void tear_down(void)
{
    remove_test_dir(dir);
}

TestSuite(store_sqlite, .init = set_up, .fini = tear_down, .timeout = 60);

static char *file_path(void)
{
    return xasprintf("%s/" STORE_SQLITE_FILE, dir);
}

static void overwrite(long offset, size_t len)
{
    char *path CLEANUP_FREE = file_path();
    FILE *f = fopen(path, "r+");

    cr_assert_not_null(f);
    cr_assert_eq(fseek(f, offset, SEEK_SET), 0);
    for (size_t i = 0; i < len; i++)
        cr_assert_neq(fputc('#', f), EOF);
    cr_assert_eq(fclose(f), 0);
}

static void execute(const char *sql)
{
    char *path CLEANUP_FREE = file_path();
    sqlite3 *db;

    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_close(db), SQLITE_OK);
}

Test(store_sqlite, makes_a_directory_for_this_user_only)
{
    char *sub CLEANUP_FREE = xasprintf("%s/sub", dir);
    struct store *s = open_store(sub);
    struct stat st;

    cr_assert_eq(stat(sub, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0700);
    store_close(s);
    char *nowhere CLEANUP_FREE = xasprintf("%s/no/where", dir);
    cr_assert_eq(store_sqlite_open(nowhere, &s), -ENOENT);
}

Test(store_sqlite, a_file_that_is_no_database_is_an_error)
{
    struct store *s = open_store(dir);

    store_close(s);
    overwrite(0, 100);
    cr_assert_eq(store_sqlite_open(dir, &s), -EBADMSG);
}

Test(store_sqlite, a_newer_schema_is_refused)
{
    struct store *s = open_store(dir);

    store_close(s);
    execute("INSERT INTO schema_version VALUES(1000000, 0)");
    cr_assert_eq(store_sqlite_open(dir, &s), -ENOTSUP);
}

/* As release 0.1.0 made it, with a folded room, one that is not, and both. */
static const char release_0_1_0[] =
    "CREATE TABLE schema_version(version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL);"
    "CREATE TABLE rooms(id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL,"
    "  UNIQUE(tenant, name));"
    "CREATE TABLE updates(room_id INTEGER NOT NULL REFERENCES rooms(id), op_seq INTEGER NOT NULL,"
    "  payload BLOB NOT NULL, created_at INTEGER NOT NULL,"
    "  PRIMARY KEY(room_id, op_seq)) WITHOUT ROWID;"
    "CREATE TABLE snapshots(room_id INTEGER PRIMARY KEY REFERENCES rooms(id),"
    "  state BLOB NOT NULL, op_seq INTEGER NOT NULL, updated_at INTEGER NOT NULL);"
    "CREATE TABLE versions(id INTEGER PRIMARY KEY, room_id INTEGER NOT NULL REFERENCES rooms(id),"
    "  op_seq INTEGER NOT NULL, label TEXT NOT NULL, author TEXT NOT NULL, state BLOB NOT NULL,"
    "  created_at INTEGER NOT NULL);"
    "CREATE INDEX versions_of_room ON versions(room_id, id);"
    "INSERT INTO schema_version VALUES(1, 0);"
    "INSERT INTO rooms VALUES(1, 't', 'folded'), (2, 't', 'not folded'), (3, 't', 'both');"
    "INSERT INTO snapshots VALUES(1, x'41', 9, 0), (3, x'42', 5, 0);"
    "INSERT INTO updates VALUES(2, 3, x'61', 1600000000000), (2, 7, x'62', 1600000000000),"
    "  (3, 8, x'63', 1600000000000);";

Test(store_sqlite, a_database_of_an_older_release_is_brought_up_to_date)
{
    execute(release_0_1_0);
    struct store *s = open_store(dir);

    assert_loaded(s, key_of("t", "folded"), 9, "S9:A ");
    assert_loaded(s, key_of("t", "not folded"), 7, "U3:a U7:b ");
    assert_loaded(s, key_of("t", "both"), 8, "S5:B U8:c ");
    cr_assert_eq(append_text(s, key_of("t", "not folded"), 1, "c"), 0);
    assert_loaded(s, key_of("t", "not folded"), 8, "U3:a U7:b U8:c ");
    struct loaded l = load_room(s, key_of("t", "both"));
    cr_assert_eq(fold_room(s, key_of("t", "both"), l.stat, "BC"), 0);
    assert_loaded(s, key_of("t", "both"), 8, "S8:BC ");
    buffer_done(&l.parts);
    store_close(s);
    s = open_store(dir); /* and again */
    assert_loaded(s, key_of("t", "both"), 8, "S8:BC ");
    store_close(s);
}

/* Rows that this program cannot have written. */
Test(store_sqlite, rows_of_others_are_an_error_and_no_update)
{
    static const char *const hostile[] = {
        "UPDATE updates SET payload = 'text' WHERE op_seq = 1",
        "UPDATE updates SET payload = 5 WHERE op_seq = 1",
        "INSERT INTO snapshots VALUES(1, 1.5, 0, 0)",
        "UPDATE updates SET payload = zeroblob(201326593) WHERE op_seq = 2",
    };

    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        struct store *s = open_store(dir);
        cr_assert_eq(append_text(s, key_of("t", "r"), 1, "a"), 0);
        cr_assert_eq(append_text(s, key_of("t", "r"), 2, "b"), 0);
        store_close(s);
        execute(hostile[i]);
        s = open_store(dir);
        struct loaded l = load_room(s, key_of("t", "r"));
        cr_assert_eq(l.error, -EBADMSG, "%s", hostile[i]);
        buffer_done(&l.parts);
        store_close(s);
        remove_test_dir(dir);
        make_test_dir(dir, sizeof(dir));
    }
}

/* Whatever pages are damaged: a load gives all that was stored, or an error. */
Test(store_sqlite, a_damaged_database_is_an_error_and_never_an_empty_room)
{
    struct store_key key = key_of("t", "r");
    struct store *s = open_store(dir);
    char text[512] = {0};
    int failures = 0;

    memset(text, 'x', sizeof(text) - 1);
    for (uint64_t seq = 1; seq <= 200; seq++)
        cr_assert_eq(append_text(s, key, seq, text), 0);
    store_close(s);
    char *path CLEANUP_FREE = file_path();
    char *saved CLEANUP_FREE = xasprintf("%s/saved", dir);
    char *save CLEANUP_FREE = xasprintf("cp %s %s", path, saved);
    char *restore CLEANUP_FREE = xasprintf("cp %s %s", saved, path);
    cr_assert_eq(system(save), 0);
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    for (long page = 1; page < st.st_size / 4096; page++) {
        cr_assert_eq(system(restore), 0);
        overwrite(page * 4096, 16);
        if (store_sqlite_open(dir, &s) < 0) {
            failures++;
            continue;
        }
        struct loaded l = load_room(s, key);
        cr_assert(l.error < 0 || l.stat.updates == 200);
        failures += l.error < 0;
        buffer_done(&l.parts);
        store_close(s);
    }
    cr_assert_gt(failures, 20);
}

/* Appends, folds, appends under a fault. Returns the last number that was acknowledged. */
static uint64_t work(struct store *s, struct store_key key, uint64_t first)
{
    uint64_t told = 0;

    for (uint64_t seq = first; seq < first + 4; seq++) {
        if (append_text(s, key, seq, "x") < 0)
            return told;
        told = seq;
        if (seq != first + 1)
            continue;
        struct loaded l = load_room(s, key);
        int r = l.error < 0 ? l.error : fold_room(s, key, l.stat, "folded");
        buffer_done(&l.parts);
        if (r < 0)
            return told;
    }
    return told;
}

Test(store_sqlite, no_failed_write_or_sync_loses_what_was_acknowledged)
{
    struct store_key key = key_of("t", "r");
    uint64_t stored = 0;
    int n = 0;

    faulty_vfs_install();
    do {
        struct store *s;
        faulty_vfs_fail_at(++n);
        if (store_sqlite_open(dir, &s) < 0) {
            cr_assert(faulty_vfs_has_failed());
            continue;
        }
        uint64_t told = work(s, key, stored + 1);
        bool has_failed = faulty_vfs_has_failed();
        faulty_vfs_fail_at(0);
        store_close(s);
        s = open_store(dir);
        struct loaded l = load_room(s, key);
        cr_assert_eq(l.error, 0);
        cr_assert_geq(l.stat.op_seq, told > stored ? told : stored);
        cr_assert_leq(l.stat.op_seq, stored + 4);
        stored = l.stat.op_seq;
        buffer_done(&l.parts);
        store_close(s);
        if (!has_failed)
            break;
    } while (n < 1000);
    cr_assert_gt(n, 10);
    cr_assert_lt(n, 1000);
}
