/*
 * postgres_link: one connection to PostgreSQL, driven by the event loop. It connects, sends
 * requests as they come without waiting for the answers to earlier ones (libpq's pipeline mode),
 * hands out rows one by one as they arrive, and watches that the server answers at all. It knows
 * nothing of rooms: that is store_postgres.c.
 *
 * A request that ends without an error was confirmed by the server. When the connection is lost it
 * is unknown what became of those that were under way.
 */
#pragma once

#include "common/loop.h"
#include "snapshotd/postgres_values.h"
#include "snapshotd/store.h"

struct postgres_link;

struct postgres_link_handler {
    /* Connected: requests may be made. */
    void (*on_up)(void *ctx);
    /* It cannot be connected, or it is lost: an error of store.h. Every request has ended. Called
     * once; must not free the link. */
    void (*on_lost)(void *ctx, int error);
};

/* Begins to connect. `url` is borrowed for its life. The connection is given up when the server
 * owes an answer and is silent for `silence_ms`. */
struct postgres_link *postgres_link_new(struct loop *loop, const char *url, uint32_t silence_ms,
                                        const struct postgres_link_handler *handler, void *ctx);
/* What is under way ends with -ECANCELED before this returns; on_lost is not called. Not from a
 * callback of the link. */
void postgres_link_free(struct postgres_link *link);

/* From the next answer on. */
void postgres_link_set_silence(struct postgres_link *link, uint32_t silence_ms);
/* What the server says of itself (server_encoding, …); "" if it does not. */
const char *postgres_link_parameter(const struct postgres_link *link, const char *name);
/* What was said about the last failure, fit for the log; "" if nothing. Borrowed. */
const char *postgres_link_detail(const struct postgres_link *link);

/* ---- requests: statements that are sent together ---- */

struct postgres_request_handler {
    /* A row of the statement, counted from 0 over the request. A negative result becomes the
     * request's error, and no more rows of it are given. NULL: no rows are wanted. */
    int (*on_row)(void *ctx, unsigned statement, const PGresult *res, int row);
    /* It has ended: 0, or an error of store.h (-ECANCELED: the link is lost or freed). Called once,
     * never before postgres_request_end() has returned. */
    void (*on_end)(void *ctx, int error);
};

/* Between begin and end statements are added. Those up to a sync, or the end, are one transaction
 * unless they say BEGIN; the first that fails undoes it, and those behind it are not executed. */
void postgres_request_begin(struct postgres_link *link,
                            const struct postgres_request_handler *handler, void *ctx);
void postgres_request_prepare(struct postgres_link *link, const char *name, const char *sql);
void postgres_request_sql(struct postgres_link *link, const char *sql);
/* What an earlier request has prepared. `params` may be NULL. */
void postgres_request_prepared(struct postgres_link *link, const char *name,
                               const struct postgres_params *params);
void postgres_request_sync(struct postgres_link *link);
void postgres_request_end(struct postgres_link *link);
