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
