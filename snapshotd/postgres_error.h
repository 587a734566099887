/* What PostgreSQL says about failures, in terms of store.h and fit for the log. */
#pragma once

#include "common/memory.h"

#include <libpq-fe.h>

/* The condition of the migrations' functions for -ESTALE. */
#define POSTGRES_STALE "CN001"

#define POSTGRES_DETAIL_MAX 400

/* The error of store.h for a failed result. */
WARN_UNUSED int postgres_result_error(const PGresult *res);

/* Write at most POSTGRES_DETAIL_MAX bytes and a NUL, on one line. Of a result only what the server
 * says about itself: the rest of its message may quote a row. */
void postgres_describe_result(const PGresult *res, char ret_text[POSTGRES_DETAIL_MAX + 1]);
void postgres_describe_connection(const PGconn *conn, char ret_text[POSTGRES_DETAIL_MAX + 1]);
