/* The PostgreSQL that tests/lib/with-postgres.mjs has started: each directory of a test has a
 * schema of its own in it. */
#pragma once

#include <libpq-fe.h>

/* A URL of the server that works in the schema of `dir`, which is made if it is not there; newly
 * allocated; connections have the schema's name. POSTGRES_USED names the variable of the
 * environment that the URL is made of. */
char *postgres_test_url(const char *dir);

/* A connection of the test's own to `url`. */
PGconn *postgres_test_connect(const char *url);
/* Runs SQL that must succeed; the first value of its result, newly allocated, "" if there is none.
 */
char *postgres_test_sql(PGconn *conn, const char *sql);
