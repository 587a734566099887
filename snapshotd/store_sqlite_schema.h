/* The tables of store_sqlite.c, and how a database of an older release gets them. */
#pragma once

#include "common/memory.h"

struct sqlite3;

/* Applies every migration that the database lacks, each in its own transaction. 0, -ENOTSUP if a
 * newer release wrote it, or another error of store.h. */
WARN_UNUSED int store_sqlite_migrate(struct sqlite3 *db);

/* 0 if the database has the tables of this program, -ENOTSUP if it has others, or another error of
 * store.h. */
WARN_UNUSED int store_sqlite_check_version(struct sqlite3 *db);

/* The error of store.h for a result code of SQLite. */
int store_sqlite_error(int code);
