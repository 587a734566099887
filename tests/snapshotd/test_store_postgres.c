/* What only the PostgreSQL store has: a server that is not there, stops, hangs or is written to by
 * others. */
#include "snapshotd/store_postgres.h"
#include "tests/snapshotd/postgres_helpers.h"
#include "tests/snapshotd/store_helpers.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/socket.h>

#define PATIENT_MS 10000
#define HASTY_MS   400

static char dir[256];
static char *url;
static struct loop *loop;

static void set_up(void)
{
    make_test_dir(dir, sizeof(dir));
    url = postgres_test_url(dir);
    loop = loop_new();
}

static void tear_down(void)
{
    free(url);
    loop_free(loop);
    remove_test_dir(dir);
}

TestSuite(store_postgres, .init = set_up, .fini = tear_down, .timeout = 60);

/* ---- a store and what it says of itself ---- */

#define PENDING 1

struct opened {
    struct store *store;
    struct store_owner owner;
    int open; /* how opening ended; PENDING: it has not */
    int lost; /* why it was lost; PENDING: it was not */
};

static void on_open(void *ctx, int error)
{
    struct opened *o = ctx;

    cr_assert_eq(o->open, PENDING, "twice");
    o->open = error;
}

static void on_lost(void *ctx, int error)
{
    struct opened *o = ctx;

    cr_assert_eq(o->lost, PENDING, "twice");
    o->lost = error;
}

static void turn(void)
{
    cr_assert_geq(event_base_loop(loop_base(loop), EVLOOP_ONCE), 0);
}

static void begin_open(struct opened *o, const char *where, uint32_t silence_ms)
{
    *o = (struct opened){.owner = {on_open, on_lost, o}, .open = PENDING, .lost = PENDING};
    o->store = store_postgres_open(loop, where, silence_ms, &o->owner);
}

static int open_at(struct opened *o, const char *where, uint32_t silence_ms)
{
    begin_open(o, where, silence_ms);
    while (o->open == PENDING)
        turn();
    return o->open;
}

static void assert_refused(const char *where, int error)
{
    struct opened o;

    cr_assert_eq(open_at(&o, where, HASTY_MS), error, "%s", store_detail(o.store));
    store_close(o.store);
}

struct ending {
    int calls;
    int error;
    struct store_stat stat;
};

static void on_done(void *ctx, int error)
{
    struct ending *e = ctx;

    e->calls++;
    e->error = error;
}

static void on_part(void *ctx, const struct store_part *part)
{
    (void)ctx;
    (void)part;
}

static void on_loaded(void *ctx, int error, const struct store_stat *stat)
{
    struct ending *e = ctx;

    on_done(ctx, error);
    if (stat)
        e->stat = *stat;
}

static const struct store_load_handler handler = {.on_part = on_part, .on_done = on_loaded};

static int wait_for(struct ending *e)
{
    while (e->calls == 0)
        turn();
    cr_assert_eq(e->calls, 1);
    return e->error;
}

static int load(struct store *store, struct store_stat *ret_stat)
{
    struct ending e = {0};

    store_load(store, key_of("t", "r"), LINEAGE, &handler, &e);
    int r = wait_for(&e);
    if (ret_stat)
        *ret_stat = e.stat;
    return r;
}

static void begin_append(struct store *store, struct ending *e, uint64_t seq)
{
    static struct store_update update;
    static struct store_append room;

    update = (struct store_update){seq, slice_str("x")};
    room = (struct store_append){key_of("t", "r"), LINEAGE, &update, 1};
    store_append(store, &room, 1, on_done, e);
}

static int append(struct store *store, uint64_t seq)
{
    struct ending e = {0};

    begin_append(store, &e, seq);
    return wait_for(&e);
}

static char *execute(const char *sql)
{
    PGconn *conn = postgres_test_connect(url);
    char *value = postgres_test_sql(conn, sql);

    PQfinish(conn);
    return value;
}

/* The server's connections of this test. */
#define OURS                                                                                       \
    " FROM pg_stat_activity WHERE application_name = current_setting('application_name')"          \
    " AND pid <> pg_backend_pid() "

/* The server's process of the store that was opened last. */
static pid_t backend(void)
{
    char *pid CLEANUP_FREE = execute("SELECT pid" OURS "ORDER BY backend_start DESC LIMIT 1");

    return (pid_t)atoi(pid);
}

/* ---- the schema ---- */

Test(store_postgres, of_many_that_start_at_once_one_makes_the_schema)
{
    struct opened stores[6];

    for (int i = 0; i < 6; i++)
        begin_open(&stores[i], url, PATIENT_MS);
    for (int i = 0; i < 6; i++) {
        while (stores[i].open == PENDING)
            turn();
        cr_assert_eq(stores[i].open, 0, "%s", store_detail(stores[i].store));
    }
    char *versions CLEANUP_FREE = execute("SELECT string_agg(version::text, ',') FROM"
                                          " schema_version");
    cr_assert_str_eq(versions, "1");
    for (int i = 0; i < 6; i++)
        store_close(stores[i].store);
}

Test(store_postgres, a_newer_schema_is_refused)
{
    struct opened o;

    cr_assert_eq(open_at(&o, url, PATIENT_MS), 0);
    store_close(o.store);
    free(execute("INSERT INTO schema_version VALUES (1000000, 0)"));
    assert_refused(url, -ENOTSUP);
}

Test(store_postgres, tables_of_others_are_left_alone)
{
    free(execute("CREATE TABLE rooms(hotel text)"));
    assert_refused(url, -EINVAL);
    free(execute("SELECT hotel FROM rooms"));
    char *left CLEANUP_FREE = execute("SELECT to_regclass('schema_version') IS NULL");
    cr_assert_str_eq(left, "t");
}

Test(store_postgres, a_user_without_rights_is_refused)
{
    struct opened o;

    cr_assert_eq(open_at(&o, url, PATIENT_MS), 0);
    store_close(o.store);
    free(execute("DROP ROLE IF EXISTS nobody_much"));
    free(execute("CREATE ROLE nobody_much LOGIN"));
    char *rest = strchr(url, '@');
    char *other CLEANUP_FREE = xasprintf("postgresql://nobody_much%s", rest);
    assert_refused(other, -EINVAL); /* it does not even see the schema */
}

Test(store_postgres, a_database_of_another_encoding_is_refused)
{
    free(execute("DROP DATABASE IF EXISTS latin"));
    free(execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"));
    char *base = strstr(url, "/postgres?");
    char *other CLEANUP_FREE = xasprintf("%.*s/latin", (int)(base - url), url);
    assert_refused(other, -EINVAL);
}

/* ---- a server that is not there ---- */

Test(store_postgres, nobody_listens)
{
    assert_refused("postgresql://u:secret@127.0.0.1:1/x", -ENOTCONN);
    assert_refused("postgresql://%2Fnowhere/x", -ENOTCONN);
}

Test(store_postgres, somebody_listens_and_never_answers)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(listen(fd, 4), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    char *where CLEANUP_FREE =
        xasprintf("postgresql://u@127.0.0.1:%u/x", (unsigned)ntohs(address.sin_port));
    assert_refused(where, -ETIMEDOUT);
    (void)close(fd);
}

Test(store_postgres, a_wrong_password_is_told_and_not_named)
{
    const char *right = getenv("POSTGRES_TLS_URL");
    const char *at = strchr(right, '@');
    char *wrong CLEANUP_FREE = xasprintf("postgresql://concord:hunter2%s", at);
    struct opened o;

    cr_assert_eq(open_at(&o, wrong, PATIENT_MS), -ENOTCONN);
    cr_assert_not_null(strstr(store_detail(o.store), "password authentication failed"));
    cr_assert_null(strstr(store_detail(o.store), "hunter2"));
    cr_assert_null(strchr(store_detail(o.store), '\n'));
    store_close(o.store);
}

Test(store_postgres, closed_while_it_connects)
{
    struct opened o;

    begin_open(&o, url, PATIENT_MS);
    store_close(o.store);
    begin_open(&o, url, PATIENT_MS);
    turn();
    store_close(o.store);
    cr_assert_eq(o.open, PENDING);
}

/* ---- a server that goes away ---- */

Test(store_postgres, a_connection_that_is_lost_is_told_even_when_idle)
{
    struct opened o;
    struct ending e = {0};

    cr_assert_eq(open_at(&o, url, PATIENT_MS), 0);
    cr_assert_eq(append(o.store, 1), 0);
    cr_assert_eq(kill(backend(), SIGTERM), 0);
    while (o.lost == PENDING)
        turn();
    cr_assert_eq(o.lost, -ECONNRESET);
    /* What is started now ends too, and not before the call has returned. */
    begin_append(o.store, &e, 2);
    cr_assert_eq(e.calls, 0);
    cr_assert_eq(wait_for(&e), -ECANCELED);
    cr_assert_eq(load(o.store, NULL), -ECANCELED);
    store_close(o.store);
}

Test(store_postgres, a_server_that_hangs_is_given_up_and_nothing_is_stored_twice)
{
    struct opened o;
    struct ending e = {0};
    struct store_stat stat;

    cr_assert_eq(open_at(&o, url, HASTY_MS), 0);
    cr_assert_eq(append(o.store, 1), 0);
    pid_t stopped = backend();
    cr_assert_eq(kill(stopped, SIGSTOP), 0);
    begin_append(o.store, &e, 2);
    cr_assert_eq(wait_for(&e), -ECANCELED);
    while (o.lost == PENDING)
        turn();
    cr_assert_eq(o.lost, -ETIMEDOUT);
    store_close(o.store);

    /* Nothing of it is there; but it will be, as the server has read it and does not know better.
     */
    cr_assert_eq(open_at(&o, url, PATIENT_MS), 0);
    cr_assert_eq(load(o.store, &stat), 0);
    cr_assert_eq(stat.lineage_seq, 1);
    cr_assert_eq(kill(stopped, SIGCONT), 0);
    do {
        cr_assert_eq(load(o.store, &stat), 0);
    } while (stat.lineage_seq == 1);
    cr_assert_eq(append(o.store, 2), -ESTALE);
    cr_assert_eq(append(o.store, 3), 0);
    cr_assert_eq(load(o.store, &stat), 0);
    cr_assert_eq(stat.op_seq, 3);
    cr_assert_eq(stat.updates, 3);
    store_close(o.store);
}

Test(store_postgres, a_room_that_somebody_holds_is_not_waited_for_without_end)
{
    struct opened o;
    PGconn *other = postgres_test_connect(url);

    cr_assert_eq(open_at(&o, url, HASTY_MS), 0);
    cr_assert_eq(append(o.store, 1), 0);
    free(postgres_test_sql(other, "BEGIN"));
    free(postgres_test_sql(other, "SELECT id FROM rooms FOR UPDATE"));
    cr_assert_eq(append(o.store, 2), -EBUSY);
    cr_assert_eq(load(o.store, NULL), 0);
    free(postgres_test_sql(other, "ROLLBACK"));
    cr_assert_eq(append(o.store, 2), 0);
    PQfinish(other);
    store_close(o.store);
}

/* Two hosts want the same rooms, each in another order, at the worst moment. */
Test(store_postgres, two_that_wait_for_the_same_rooms_do_not_wait_for_each_other)
{
    struct opened o[2];
    struct ending e[2] = {0};
    struct store_key keys[2] = {key_of("t", "one"), key_of("t", "two")};
    struct store_update update = {1, slice_str("x")};
    struct store_append rooms[2][2] = {{{keys[0], 1, &update, 1}, {keys[1], 1, &update, 1}},
                                       {{keys[1], 2, &update, 1}, {keys[0], 2, &update, 1}}};
    PGconn *holder = postgres_test_connect(url);
    PGconn *observer = postgres_test_connect(url);

    for (int i = 0; i < 2; i++)
        cr_assert_eq(open_at(&o[i], url, PATIENT_MS), 0);
    update.seq = 1;
    struct store_append first[2] = {{keys[0], 3, &update, 1}, {keys[1], 3, &update, 1}};
    struct ending made = {0};
    store_append(o[0].store, first, 2, on_done, &made);
    cr_assert_eq(wait_for(&made), 0);
    free(postgres_test_sql(holder, "BEGIN"));
    free(postgres_test_sql(holder, "SELECT id FROM rooms WHERE name = 'one' FOR UPDATE"));
    for (int i = 0; i < 2; i++)
        store_append(o[i].store, rooms[i], 2, on_done, &e[i]);
    for (bool are_waiting = false; !are_waiting;) {
        cr_assert_geq(event_base_loop(loop_base(loop), EVLOOP_NONBLOCK), 0);
        char *count CLEANUP_FREE =
            postgres_test_sql(observer, "SELECT count(*)" OURS "AND wait_event_type = 'Lock'");
        are_waiting = strcmp(count, "2") == 0;
    }
    free(postgres_test_sql(holder, "COMMIT"));
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(wait_for(&e[i]), 0, "%s", store_strerror(e[i].error));
        store_close(o[i].store);
    }
    PQfinish(holder);
    PQfinish(observer);
}

Test(store_postgres, a_slow_statement_is_given_up_by_the_server)
{
    struct opened o;

    cr_assert_eq(open_at(&o, url, HASTY_MS), 0);
    free(execute("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
                 " $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$"));
    free(execute("CREATE TRIGGER slow BEFORE INSERT ON updates EXECUTE FUNCTION slow()"));
    cr_assert_eq(append(o.store, 1), -ETIMEDOUT);
    cr_assert_eq(o.lost, PENDING);
    free(execute("DROP TRIGGER slow ON updates"));
    cr_assert_eq(append(o.store, 1), 0);
    store_close(o.store);
}

/* ---- what others have written ---- */

/* Makes a room of two updates, runs `sql` and loads it. */
static int load_after(const char *sql)
{
    struct opened o;

    cr_assert_eq(open_at(&o, url, PATIENT_MS), 0);
    cr_assert_eq(append(o.store, 1), 0);
    cr_assert_eq(append(o.store, 2), 0);
    store_close(o.store);
    free(execute(sql));
    cr_assert_eq(open_at(&o, url, PATIENT_MS), 0);
    int r = load(o.store, NULL);
    /* Whatever it was, the store is none the worse for it. */
    cr_assert_eq(o.lost, PENDING);
    struct ending e = {0};
    store_load(o.store, key_of("t", "none"), LINEAGE, &handler, &e);
    cr_assert_eq(wait_for(&e), 0);
    store_close(o.store);
    return r;
}

Test(store_postgres, rows_of_others_are_an_error_and_no_update)
{
    static const struct {
        const char *sql;
        int error;
    } cases[] = {
        {"SELECT 1", 0},
        {"ALTER TABLE updates ALTER payload DROP NOT NULL;"
         "UPDATE updates SET payload = NULL WHERE op_seq = 2",
         -EBADMSG},
        {"ALTER TABLE updates ALTER payload TYPE text", -EBADMSG},
        {"ALTER TABLE updates ALTER op_seq TYPE numeric", -EBADMSG},
        {"UPDATE updates SET op_seq = -1 WHERE op_seq = 1", -EBADMSG},
        {"UPDATE updates SET op_seq = 1000 WHERE op_seq = 2", -EBADMSG},
        {"UPDATE rooms SET op_seq = -5", -EBADMSG},
        {"UPDATE lineages SET seq = -1", -EBADMSG},
        {"INSERT INTO snapshots VALUES (1, '\\x00', 1, 0)", -EBADMSG}, /* below it is a row */
        {"ALTER TABLE rooms DROP CONSTRAINT rooms_tenant_name_key;"
         "INSERT INTO rooms(tenant, name, op_seq) VALUES ('t', 'r', 9)",
         -EBADMSG},
        {"DROP TABLE versions, lineages", -EINVAL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct opened o;
        bool is_unusable = cases[i].error == -EINVAL;
        if (is_unusable) {
            cr_assert_eq(open_at(&o, url, PATIENT_MS), 0);
            store_close(o.store);
            free(execute(cases[i].sql));
            assert_refused(url, cases[i].error);
        } else {
            cr_assert_eq(load_after(cases[i].sql), cases[i].error, "%s", cases[i].sql);
        }
        tear_down();
        set_up();
    }
}

Test(store_postgres, a_row_that_is_too_large_is_not_even_fetched)
{
    char *sql CLEANUP_FREE =
        xasprintf("UPDATE updates SET payload = convert_to(repeat('0', %zu), 'UTF8')"
                  " WHERE op_seq = 2",
                  STORE_PART_MAX + 1);

    cr_assert_eq(load_after(sql), -EBADMSG);
}
