#include "ctl/doctor_store.h"

#include "snapshotd/store_sqlite.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#define LINEAGE 77

static char dir[256];
static char no_store[] = ""; /* SQLite in `data` */
static struct config config;
static struct store *server; /* as snapshotd has it open */

static const struct store_key alpha = {{(const uint8_t *)"t", 1}, {(const uint8_t *)"alpha", 5}};
static const struct store_key beta = {{(const uint8_t *)"t", 1}, {(const uint8_t *)"beta", 4}};

static void set_up(void)
{
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(dir, sizeof(dir), "%s/concord-test-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(dir));
    config.data = dir;
    config.store = no_store;
    cr_assert_eq(store_sqlite_open(dir, &server), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void tear_down(void)
{
    store_close(server);
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(doctor_store, .init = set_up, .fini = tear_down);

static void on_done(void *ctx, int error)
{
    *(int *)ctx = error;
}

static int append(struct store *store, struct store_key key, uint64_t seq, const char *payload)
{
    struct store_update update = {.seq = seq, .payload = slice_str(payload)};
    struct store_append room = {.key = key, .lineage = LINEAGE, .updates = &update, .count = 1};
    int error = 1;

    store_append(store, &room, 1, on_done, &error);
    return error;
}

static struct doctor_store *open_doctor(bool is_to_read)
{
    struct doctor_store *ds;

    cr_assert_eq(doctor_store_open(&config, is_to_read, &ds), 0);
    return ds;
}

static struct slice part(const struct stored *stored, size_t i)
{
    return slice_of(stored->bytes.data + stored->parts[i].offset, stored->parts[i].len);
}

Test(doctor_store, reads_beside_a_server_that_goes_on_writing)
{
    struct doctor_store *ds = open_doctor(true);
    struct stored stored;

    cr_assert_eq(doctor_store_load(ds, alpha, LINEAGE, &stored), 0);
    cr_assert_eq(stored.count, 0);
    stored_done(&stored);
    for (uint64_t i = 1; i <= 3; i++) {
        cr_assert_eq(append(server, alpha, i, i == 2 ? "" : "update"), 0, "a reader is in no way");
        cr_assert_eq(doctor_store_load(ds, alpha, LINEAGE, &stored), 0);
        cr_assert_eq(stored.count, i);
        cr_assert_eq(stored.stat.op_seq, i);
        cr_assert_eq(stored.stat.lineage_seq, i);
        cr_assert_eq(stored.parts[i - 1].kind, STORE_PART_UPDATE);
        cr_assert_eq(stored.parts[i - 1].op_seq, i);
        cr_assert(slice_equal(part(&stored, i - 1), slice_str(i == 2 ? "" : "update")));
        stored_done(&stored);
    }
    doctor_store_close(ds);
}

Test(doctor_store, changes_nothing_when_opened_to_read)
{
    struct stored stored;

    cr_assert_eq(append(server, alpha, 1, "update"), 0);
    struct doctor_store *ds = open_doctor(true);
    cr_assert_eq(doctor_store_load(ds, alpha, LINEAGE, &stored), 0);
    cr_assert_eq(doctor_store_replace(ds, alpha, &stored, slice_str("other")), -EACCES);
    stored_done(&stored);
    cr_assert_eq(doctor_store_load(ds, alpha, LINEAGE, &stored), 0);
    cr_assert_eq(stored.count, 1);
    cr_assert(slice_equal(part(&stored, 0), slice_str("update")));
    stored_done(&stored);
    doctor_store_close(ds);
}

struct seen {
    char names[64];
};

static void on_room(void *ctx, struct store_key key)
{
    struct seen *seen = ctx;
    size_t len = strlen(seen->names);

    (void)snprintf(seen->names + len, sizeof(seen->names) - len, "%.*s/%.*s ", (int)key.tenant.len,
                   (const char *)key.tenant.data, (int)key.room.len, (const char *)key.room.data);
}

Test(doctor_store, lists_all_rooms)
{
    struct doctor_store *ds = open_doctor(true);
    struct seen seen = {0};

    cr_assert_eq(doctor_store_list(ds, on_room, &seen), 0);
    cr_assert_str_eq(seen.names, "");
    cr_assert_eq(append(server, alpha, 1, "a"), 0);
    cr_assert_eq(append(server, beta, 1, "b"), 0);
    cr_assert_eq(doctor_store_list(ds, on_room, &seen), 0);
    cr_assert_eq(strlen(seen.names), strlen("t/alpha t/beta "));
    cr_assert(strstr(seen.names, "t/alpha ") && strstr(seen.names, "t/beta "));
    doctor_store_close(ds);
}

Test(doctor_store, replaces_what_was_read_and_nothing_else)
{
    struct stored stored;

    cr_assert_eq(append(server, alpha, 1, "one"), 0);
    cr_assert_eq(append(server, alpha, 2, "two"), 0);
    struct doctor_store *ds = open_doctor(false);
    cr_assert_eq(doctor_store_load(ds, alpha, LINEAGE, &stored), 0);
    cr_assert_eq(append(server, alpha, 3, "three"), 0);
    cr_assert_eq(doctor_store_replace(ds, alpha, &stored, slice_str("state")), 0);
    cr_assert_eq(doctor_store_replace(ds, alpha, &stored, slice_str("again")), -ESTALE);
    stored_done(&stored);

    cr_assert_eq(doctor_store_load(ds, alpha, LINEAGE, &stored), 0);
    cr_assert_eq(stored.count, 2);
    cr_assert_eq(stored.parts[0].kind, STORE_PART_SNAPSHOT);
    cr_assert_eq(stored.parts[0].op_seq, 2);
    cr_assert(slice_equal(part(&stored, 0), slice_str("state")));
    cr_assert(slice_equal(part(&stored, 1), slice_str("three")));
    stored_done(&stored);
    doctor_store_close(ds);
    cr_assert_eq(append(server, alpha, 4, "the server goes on"), 0);
}

Test(doctor_store, makes_no_database)
{
    struct doctor_store *ds;
    char *other CLEANUP_FREE = xasprintf("%s/other", dir);
    struct config elsewhere = {.data = other, .store = no_store};

    cr_assert_eq(doctor_store_open(&elsewhere, true, &ds), -ENOENT);
    cr_assert_eq(doctor_store_open(&elsewhere, false, &ds), -ENOENT);
    cr_assert_eq(access(other, F_OK), -1);
    cr_assert_eq(mkdir(other, 0700), 0);
    char *path CLEANUP_FREE = xasprintf("%s/" STORE_SQLITE_FILE, other);
    FILE *f = fopen(path, "w");
    cr_assert_geq(fputs("this is no database, whatever its name may say of it", f), 0);
    cr_assert_eq(fclose(f), 0);
    cr_assert_eq(doctor_store_open(&elsewhere, true, &ds), -EBADMSG);
}
