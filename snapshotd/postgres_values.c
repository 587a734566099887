#include "snapshotd/postgres_values.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>

enum {
    TYPE_BYTEA_ARRAY = 1001,
    TYPE_TEXT_ARRAY = 1009,
    TYPE_INT8_ARRAY = 1016,
};

/* ---- parameters ---- */

void postgres_params_done(struct postgres_params *p)
{
    for (int i = 0; i < p->count; i++)
        buffer_done(&p->values[i]);
    p->count = 0;
}

static struct buffer *add(struct postgres_params *p, Oid type)
{
    assert(p->count < POSTGRES_PARAMS_MAX);
    p->types[p->count] = type;
    return &p->values[p->count++];
}

static void put_uint32(struct buffer *b, uint32_t value)
{
    uint32_t wire = htobe32(value);

    buffer_append(b, &wire, sizeof(wire));
}

static void put_uint64(struct buffer *b, uint64_t value)
{
    uint64_t wire = htobe64(value);

    buffer_append(b, &wire, sizeof(wire));
}

void postgres_add_int8(struct postgres_params *p, uint64_t value)
{
    put_uint64(add(p, POSTGRES_INT8), value);
}

void postgres_add_text(struct postgres_params *p, struct slice value)
{
    buffer_append(add(p, POSTGRES_TEXT), value.data, value.len);
}

void postgres_add_bytea(struct postgres_params *p, struct slice value)
{
    buffer_append(add(p, POSTGRES_BYTEA), value.data, value.len);
}

static Oid array_of(enum postgres_type type)
{
    switch (type) {
    case POSTGRES_BYTEA:
        return TYPE_BYTEA_ARRAY;
    case POSTGRES_INT8:
        return TYPE_INT8_ARRAY;
    case POSTGRES_TEXT:
        return TYPE_TEXT_ARRAY;
    }
    abort();
}

struct buffer *postgres_add_array(struct postgres_params *p, enum postgres_type type, size_t count)
{
    struct buffer *b = add(p, array_of(type));

    put_uint32(b, 1); /* dimensions */
    put_uint32(b, 0); /* no NULL in it */
    put_uint32(b, type);
    put_uint32(b, (uint32_t)count);
    put_uint32(b, 1); /* the first index */
    return b;
}

void postgres_push_int8(struct buffer *array, uint64_t value)
{
    put_uint32(array, sizeof(value));
    put_uint64(array, value);
}

void postgres_push_bytes(struct buffer *array, struct slice value)
{
    put_uint32(array, (uint32_t)value.len);
    buffer_append(array, value.data, value.len);
}

/* ---- columns ---- */

static bool is_value_of(const PGresult *res, int row, int column, enum postgres_type type)
{
    return row < PQntuples(res) && column < PQnfields(res) && PQftype(res, column) == (Oid)type &&
           PQfformat(res, column) == 1 && !PQgetisnull(res, row, column);
}

int postgres_get_uint(const PGresult *res, int row, int column, uint64_t *ret)
{
    uint64_t wire;

    if (!is_value_of(res, row, column, POSTGRES_INT8) ||
        PQgetlength(res, row, column) != sizeof(wire))
        return -EBADMSG;
    memcpy(&wire, PQgetvalue(res, row, column), sizeof(wire));
    uint64_t value = be64toh(wire);
    if (value > INT64_MAX)
        return -EBADMSG;
    *ret = value;
    return 0;
}

static int get_slice(const PGresult *res, int row, int column, enum postgres_type type,
                     struct slice *ret)
{
    if (!is_value_of(res, row, column, type))
        return -EBADMSG;
    *ret = slice_of(PQgetvalue(res, row, column), (size_t)PQgetlength(res, row, column));
    return 0;
}

int postgres_get_bytes(const PGresult *res, int row, int column, struct slice *ret)
{
    return get_slice(res, row, column, POSTGRES_BYTEA, ret);
}

int postgres_get_text(const PGresult *res, int row, int column, struct slice *ret)
{
    return get_slice(res, row, column, POSTGRES_TEXT, ret);
}
