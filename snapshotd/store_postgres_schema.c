#include "snapshotd/store_postgres_schema.h"

#include "common/log.h"
#include "snapshotd/postgres_error.h"

#include <errno.h>

/* An advisory lock that nobody else should take: "CNCD" and 1. */
#define MIGRATION_LOCK "4849887808061440001"

/* Append-only: a released migration is never edited. The first is number 1. Times are milliseconds
 * since the epoch, and the tables those of store_sqlite_schema.c. A lineage is any 64 bits. */
static const char *const migration_1[] = {
    "CREATE TABLE rooms("
    "  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    "  tenant text COLLATE \"C\" NOT NULL,"
    "  name text COLLATE \"C\" NOT NULL,"
    "  op_seq bigint NOT NULL DEFAULT 0,"
    "  UNIQUE(tenant, name))",
    "CREATE TABLE updates("
    "  room_id bigint NOT NULL REFERENCES rooms(id),"
    "  op_seq bigint NOT NULL,"
    "  payload bytea NOT NULL,"
    "  created_at bigint NOT NULL,"
    "  PRIMARY KEY(room_id, op_seq))",
    "CREATE TABLE snapshots("
    "  room_id bigint PRIMARY KEY REFERENCES rooms(id),"
    "  state bytea NOT NULL,"
    "  op_seq bigint NOT NULL,"
    "  updated_at bigint NOT NULL)",
    "CREATE TABLE versions("
    "  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    "  room_id bigint NOT NULL REFERENCES rooms(id),"
    "  op_seq bigint NOT NULL,"
    "  label text NOT NULL,"
    "  author text NOT NULL,"
    "  state bytea NOT NULL,"
    "  created_at bigint NOT NULL)",
    "CREATE INDEX versions_of_room ON versions(room_id, id)",
    "CREATE TABLE lineages("
    "  room_id bigint NOT NULL REFERENCES rooms(id),"
    "  lineage bigint NOT NULL,"
    "  seq bigint NOT NULL,"
    "  op_seq bigint NOT NULL,"
    "  PRIMARY KEY(room_id, lineage))",

    /* One call appends what many rooms have, and needs no answer in between, so that no host that
     * is slow or stopped ever holds a lock. The first five arrays have an element for each room;
     * the last two one for each update: which room (from 1), and its bytes.
     *
     * Rooms are added and locked in one order, so that two hosts never wait for each other. From
     * the lock to the commit nobody else numbers an update of the room; so whoever sees one number
     * sees all below it, and what lies below is never added to. */
    "CREATE FUNCTION concord_append(tenants text[], names text[], lineage_of bigint[],"
    "  first_seqs bigint[], last_seqs bigint[], room_of bigint[], payloads bytea[],"
    "  now_ms bigint, lineages_max bigint)"
    " RETURNS void LANGUAGE plpgsql AS $$"
    " DECLARE ids bigint[]; bases bigint[]; new_ids bigint[];"
    " BEGIN"
    "  INSERT INTO rooms(tenant, name)"
    "    SELECT r.t, r.n FROM unnest(tenants, names) AS r(t, n)"
    "    WHERE NOT EXISTS (SELECT FROM rooms o WHERE o.tenant = r.t AND o.name = r.n)"
    "    ORDER BY r.t COLLATE \"C\", r.n COLLATE \"C\" ON CONFLICT DO NOTHING;"
    "  PERFORM FROM rooms o JOIN unnest(tenants, names) AS r(t, n)"
    "    ON o.tenant = r.t AND o.name = r.n ORDER BY o.id FOR NO KEY UPDATE OF o;"
    "  SELECT array_agg(o.id ORDER BY r.ord), array_agg(o.op_seq ORDER BY r.ord)"
    "    INTO ids, bases"
    "    FROM unnest(tenants, names) WITH ORDINALITY AS r(t, n, ord)"
    "    JOIN rooms o ON o.tenant = r.t AND o.name = r.n;"
    "  PERFORM FROM unnest(ids, lineage_of, first_seqs) AS r(id, lineage, first_seq)"
    "    JOIN lineages l ON l.room_id = r.id AND l.lineage = r.lineage"
    "    WHERE l.seq >= r.first_seq;"
    "  IF FOUND THEN"
    "    RAISE 'a lineage has more than was believed' USING ERRCODE = '" POSTGRES_STALE "';"
    "  END IF;"
    "  INSERT INTO updates(room_id, op_seq, payload, created_at)"
    "    SELECT ids[u.room], bases[u.room] +"
    "      row_number() OVER (PARTITION BY u.room ORDER BY u.ord), u.payload, now_ms"
    "    FROM unnest(room_of, payloads) WITH ORDINALITY AS u(room, payload, ord);"
    "  UPDATE rooms o SET op_seq = o.op_seq + c.count"
    "    FROM (SELECT u.room, count(*) FROM unnest(room_of) AS u(room) GROUP BY u.room) AS c"
    "    WHERE o.id = ids[c.room];"
    "  SELECT array_agg(r.id) INTO new_ids FROM unnest(ids, lineage_of) AS r(id, lineage)"
    "    WHERE NOT EXISTS (SELECT FROM lineages l"
    "      WHERE l.room_id = r.id AND l.lineage = r.lineage);"
    "  INSERT INTO lineages(room_id, lineage, seq, op_seq)"
    "    SELECT r.id, r.lineage, r.last_seq, o.op_seq"
    "    FROM unnest(ids, lineage_of, last_seqs) AS r(id, lineage, last_seq)"
    "    JOIN rooms o ON o.id = r.id"
    "    ON CONFLICT (room_id, lineage) DO UPDATE SET seq = excluded.seq, op_seq = excluded.op_seq;"
    "  DELETE FROM lineages l USING unnest(new_ids) AS r(id) WHERE l.room_id = r.id AND l.op_seq < "
    "("
    "    SELECT k.op_seq FROM lineages k WHERE k.room_id = r.id"
    "    ORDER BY k.op_seq DESC OFFSET lineages_max - 1 LIMIT 1);"
    " END $$",

    /* Replaces exactly what was read: the snapshot that there was, and as many rows as there were
     * up to the last. Locked as by an append. */
    "CREATE FUNCTION concord_fold(of_tenant text, of_name text, read_snapshot bigint,"
    "  read_op_seq bigint, read_updates bigint, new_state bytea, now_ms bigint)"
    " RETURNS void LANGUAGE plpgsql AS $$"
    " DECLARE of_room bigint; folded bigint;"
    " BEGIN"
    "  SELECT id INTO of_room FROM rooms WHERE tenant = of_tenant AND name = of_name"
    "    FOR NO KEY UPDATE;"
    "  IF NOT FOUND OR read_snapshot <>"
    "    COALESCE((SELECT op_seq FROM snapshots WHERE room_id = of_room), 0) THEN"
    "    RAISE 'another snapshot is there' USING ERRCODE = '" POSTGRES_STALE "';"
    "  END IF;"
    "  DELETE FROM updates WHERE room_id = of_room AND op_seq <= read_op_seq;"
    "  GET DIAGNOSTICS folded = ROW_COUNT;"
    "  IF folded <> read_updates THEN"
    "    RAISE 'other updates are there' USING ERRCODE = '" POSTGRES_STALE "';"
    "  END IF;"
    "  INSERT INTO snapshots(room_id, state, op_seq, updated_at)"
    "    VALUES (of_room, new_state, read_op_seq, now_ms)"
    "    ON CONFLICT (room_id) DO UPDATE"
    "    SET state = excluded.state, op_seq = excluded.op_seq, updated_at = excluded.updated_at;"
    " END $$",
    NULL,
};

static const char *const *const migrations[] = {migration_1};

#define MIGRATION_COUNT (sizeof(migrations) / sizeof(migrations[0]))

enum step {
    STEP_LOOK,    /* is there a schema at all? Needs no right to make one */
    STEP_VERSION, /* which one? */
    STEP_LOCK,    /* it is to be changed: the same again, while nobody else does */
    STEP_APPLY,
};

struct migration {
    struct postgres_link *link;
    bool is_to_read; /* nothing is changed */
    store_done_fn done;
    void *ctx;
    enum step step;
    uint64_t number; /* that the last query gave */
};

static void run_step(struct migration *m, enum step step);

static void finish(struct migration *m, int error)
{
    store_done_fn done = m->done;
    void *ctx = m->ctx;

    free(m);
    done(ctx, error);
}

static int on_row(void *ctx, unsigned statement, const PGresult *res, int row)
{
    struct migration *m = ctx;

    (void)statement;
    return PQnfields(res) == 0 ? 0 : postgres_get_uint(res, row, 0, &m->number);
}

static void on_end(void *ctx, int error)
{
    struct migration *m = ctx;

    if (error < 0) {
        finish(m, error);
        return;
    }
    switch (m->step) {
    case STEP_LOOK:
        if (m->number == 0 && m->is_to_read)
            finish(m, -ENOENT);
        else
            run_step(m, m->number > 0 ? STEP_VERSION : STEP_LOCK);
        break;
    case STEP_VERSION:
        if (m->number < MIGRATION_COUNT && !m->is_to_read)
            run_step(m, STEP_LOCK);
        else
            finish(m, m->number == MIGRATION_COUNT ? 0 : -ENOTSUP);
        break;
    case STEP_LOCK: /* another program may have been faster */
        if (m->number <= MIGRATION_COUNT)
            run_step(m, STEP_APPLY);
        else
            finish(m, -ENOTSUP);
        break;
    case STEP_APPLY:
        log_debug("the database has the schema number %zu", MIGRATION_COUNT);
        finish(m, 0);
        break;
    }
}

static void apply(struct migration *m, uint64_t number)
{
    char *note CLEANUP_FREE =
        xasprintf("INSERT INTO schema_version VALUES (%llu, %llu)", (unsigned long long)number,
                  (unsigned long long)wall_now_ms());

    for (const char *const *sql = migrations[number - 1]; *sql; sql++)
        postgres_request_sql(m->link, *sql);
    postgres_request_sql(m->link, note);
}

static void run_step(struct migration *m, enum step step)
{
    static const struct postgres_request_handler handler = {.on_row = on_row, .on_end = on_end};
    static const char version[] = "SELECT COALESCE(MAX(version), 0)::bigint FROM schema_version";

    m->step = step;
    postgres_request_begin(m->link, &handler, m);
    switch (step) {
    case STEP_LOOK:
        postgres_request_sql(m->link,
                             "SELECT (to_regclass('schema_version') IS NOT NULL)::int::bigint");
        break;
    case STEP_VERSION:
        postgres_request_sql(m->link, version);
        break;
    case STEP_LOCK: /* the transaction stays open */
        postgres_request_sql(m->link, "BEGIN");
        postgres_request_sql(m->link,
                             "SELECT count(*) FROM pg_advisory_xact_lock(" MIGRATION_LOCK ")");
        postgres_request_sql(m->link, "CREATE TABLE IF NOT EXISTS schema_version("
                                      "  version bigint PRIMARY KEY,"
                                      "  applied_at bigint NOT NULL)");
        postgres_request_sql(m->link, version);
        break;
    case STEP_APPLY:
        for (uint64_t n = m->number + 1; n <= MIGRATION_COUNT; n++)
            apply(m, n);
        postgres_request_sql(m->link, "COMMIT");
        break;
    }
    postgres_request_end(m->link);
}

static void begin(struct postgres_link *link, bool is_to_read, store_done_fn done, void *ctx)
{
    struct migration *m = xcalloc(1, sizeof(*m));

    m->link = link;
    m->is_to_read = is_to_read;
    m->done = done;
    m->ctx = ctx;
    run_step(m, STEP_LOOK);
}

void store_postgres_migrate(struct postgres_link *link, store_done_fn done, void *ctx)
{
    begin(link, false, done, ctx);
}

void store_postgres_check_version(struct postgres_link *link, store_done_fn done, void *ctx)
{
    begin(link, true, done, ctx);
}
