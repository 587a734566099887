/*
 * The store in one SQLite file, for one machine. Every operation blocks and has called its callback
 * when it returns.
 *
 * WAL with synchronous=FULL: a transaction is durable when COMMIT returns. Opening copies what the
 * write-ahead log holds into the database and syncs that: what an earlier commit could not sync is
 * durable afterwards, or was never there.
 */
#pragma once

#include "snapshotd/store.h"

#define STORE_SQLITE_FILE "concord.db"

/* Opens `dir`/concord.db, makes both if they are not there (mode 0700), and brings the schema up to
 * date. */
WARN_UNUSED int store_sqlite_open(const char *dir, struct store **ret_store);

/* Opens what is there and changes nothing: beside a server that runs, and also what it left. No
 * transaction lasts longer than a load or a list, so the log of a server does not grow for it.
 * Append and fold fail with -EACCES. Also -ENOENT: there is no database; -ENOTSUP: its schema is
 * another release's. */
WARN_UNUSED int store_sqlite_open_to_read(const char *dir, struct store **ret_store);
