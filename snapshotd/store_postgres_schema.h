/* The tables of store_postgres.c, and how a database of an older release gets them. */
#pragma once

#include "snapshotd/postgres_link.h"

/* Applies every migration that the database lacks, in one transaction and under an advisory lock,
 * so that of several programs that start at once only one does. `done` is called once, never before
 * this returns: 0, -ENOTSUP if a newer release wrote the database, or another error of store.h. */
void store_postgres_migrate(struct postgres_link *link, store_done_fn done, void *ctx);

/* Changes nothing: 0 if the database has the tables of this program, -ENOENT if it has none,
 * -ENOTSUP if it has others, or another error. As above. */
void store_postgres_check_version(struct postgres_link *link, store_done_fn done, void *ctx);
