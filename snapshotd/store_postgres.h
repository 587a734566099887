/*
 * The store in a PostgreSQL database, which several hosts may share. Nothing here blocks, but for
 * the look-up of the server's name by libpq while it connects.
 *
 * A transaction is durable when the server has confirmed its commit. A server that is silent for
 * too long counts as lost; it gives up its statements by itself before that, so that what was under
 * way does not linger. Schemas up to this program's are brought up to date
 * (store_postgres_schema.h).
 */
#pragma once

#include "common/loop.h"
#include "snapshotd/store.h"

#define STORE_POSTGRES_SILENCE_MS 10000

/* Begins to open the database at `url`. `url` and `owner` are borrowed for the store's life. */
struct store *store_postgres_open(struct loop *loop, const char *url, uint32_t silence_ms,
                                  const struct store_owner *owner);
/* The same without a change of the database: -ENOENT if there is none of this program in it,
 * -ENOTSUP if its schema is another release's. Append and fold fail with -EACCES. */
struct store *store_postgres_open_to_read(struct loop *loop, const char *url, uint32_t silence_ms,
                                          const struct store_owner *owner);
