#include "tests/snapshotd/postgres_helpers.h"

#include "common/memory.h"
#include "common/names.h"

#include <criterion/criterion.h>

PGconn *postgres_test_connect(const char *url)
{
    PGconn *conn = PQconnectdb(url);

    cr_assert_eq(PQstatus(conn), CONNECTION_OK, "%s", PQerrorMessage(conn));
    return conn;
}

char *postgres_test_sql(PGconn *conn, const char *sql)
{
    PGresult *res = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(res);

    cr_assert(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s: %s", sql,
              PQresultErrorMessage(res));
    char *value = xstrdup(PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
    PQclear(res);
    return value;
}

char *postgres_test_url(const char *dir)
{
    const char *name = getenv("POSTGRES_USED"); /* of the variable with the URL to use */
    const char *base = getenv(name ? name : "POSTGRES_URL");
    char hash[NAME_HASH_HEX + 1];

    cr_assert_not_null(base, "no PostgreSQL: run this below tests/lib/with-postgres.mjs");
    name_hash(slice_str(dir), slice_str("schema"), hash);
    char *make CLEANUP_FREE = xasprintf("CREATE SCHEMA IF NOT EXISTS t%s", hash);
    PGconn *conn = postgres_test_connect(base);
    free(postgres_test_sql(conn, "SET client_min_messages = warning"));
    free(postgres_test_sql(conn, make));
    PQfinish(conn);
    return xasprintf("%s%coptions=-csearch_path%%3Dt%s&application_name=t%s", base,
                     strchr(base, '?') ? '&' : '?', hash, hash);
}
