/*
 * postgres_values: parameters and columns in PostgreSQL's binary format. What a column holds is
 * checked: others may write to the database too.
 */
#pragma once

#include "common/buffer.h"
#include "common/memory.h"

#include <libpq-fe.h>

/* pg_type.oid, fixed for ever. */
enum postgres_type {
    POSTGRES_BYTEA = 17,
    POSTGRES_INT8 = 20,
    POSTGRES_TEXT = 25,
};

#define POSTGRES_PARAMS_MAX 9

/* The parameters of one statement. Zero-initialise; postgres_params_done() frees. */
struct postgres_params {
    int count;
    Oid types[POSTGRES_PARAMS_MAX];
    struct buffer values[POSTGRES_PARAMS_MAX];
};

void postgres_params_done(struct postgres_params *p);

/* Each adds the next parameter, and copies the value. */
void postgres_add_int8(struct postgres_params *p, uint64_t value);
void postgres_add_text(struct postgres_params *p, struct slice value);
void postgres_add_bytea(struct postgres_params *p, struct slice value);
/* Adds an array of `count` elements, which are then pushed, in order, onto the parameter that this
 * returns. */
struct buffer *postgres_add_array(struct postgres_params *p, enum postgres_type type, size_t count);
void postgres_push_int8(struct buffer *array, uint64_t value);
void postgres_push_bytes(struct buffer *array, struct slice value);

/* A column of a row: 0, or -EBADMSG if it is NULL or of another type, and for integers if it is
 * negative. Bytes are borrowed from the result. */
WARN_UNUSED int postgres_get_uint(const PGresult *res, int row, int column, uint64_t *ret);
WARN_UNUSED int postgres_get_bytes(const PGresult *res, int row, int column, struct slice *ret);
WARN_UNUSED int postgres_get_text(const PGresult *res, int row, int column, struct slice *ret);
