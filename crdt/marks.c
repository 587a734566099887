#include "marks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"

static const uint8_t null_any = CRDT_ANY_NULL;
const struct mark_value mark_null = {.bytes = {&null_any, 1}, .is_any = true};

/* ---- the map ---- */

void marks_done(struct marks *marks)
{
    free(marks->list);
    free(marks->table.slots);
    *marks = (struct marks){0};
}

static uint32_t hash_key(uint32_t key)
{
    return hash_mix(key);
}

static uint32_t find_mark(const struct marks *marks, uint32_t key)
{
    uint32_t pos = hash_key(key), found;

    while ((found = table_probe(&marks->table, hash_key(key), &pos)) != NIL)
        if (marks->list[found].key == key)
            break;
    return found;
}

const struct mark_value *marks_get(const struct marks *marks, uint32_t key)
{
    uint32_t found = marks->set == 0 ? NIL : find_mark(marks, key);

    return found == NIL || marks->list[found].order == 0 ? NULL : &marks->list[found].value;
}

int marks_set(struct marks *marks, uint32_t key, struct crdt_slice name, struct mark_value value)
{
    uint32_t found = find_mark(marks, key);
    struct marks_entry *mark;

    if (found == NIL) {
        int r = array_reserve(&marks->list, &marks->cap, marks->count + (uint64_t)1,
                              sizeof(*marks->list));

        if (r == 0)
            r = table_reserve(&marks->table, 1);
        if (r < 0)
            return r;
        found = marks->count++;
        marks->list[found] = (struct marks_entry){.key = key, .name = name};
        table_insert(&marks->table, hash_key(key), found);
    }
    mark = &marks->list[found];
    mark->value = value;
    if (mark->order == 0) {
        mark->order = ++marks->last_order;
        marks->set++;
    }
    return 0;
}

void marks_unset(struct marks *marks, uint32_t key)
{
    uint32_t found = find_mark(marks, key);

    if (found == NIL || marks->list[found].order == 0)
        return;
    marks->list[found].order = 0;
    marks->set--;
}

static int compare_orders(const void *a, const void *b)
{
    const struct marks_entry *x = a, *y = b;

    return x->order < y->order ? -1 : x->order > y->order;
}

int marks_list(const struct marks *marks, struct marks_entry **ret_list, uint32_t *ret_count)
{
    struct marks_entry *list = calloc(marks->set + (size_t)1, sizeof(*list));
    uint32_t count = 0;

    if (!list)
        return -ENOMEM;
    for (uint32_t i = 0; i < marks->count; i++)
        if (marks->list[i].order > 0)
            list[count++] = marks->list[i];
    qsort(list, count, sizeof(*list), compare_orders);
    *ret_list = list;
    *ret_count = count;
    return 0;
}

/* ---- comparing `any` ---- */

static bool is_same_bytes(struct crdt_slice a, struct crdt_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* A number, whatever it is written as. */
static bool read_number(struct crdt_slice any, double *ret_value)
{
    struct lib0_reader r;
    bool is_negative;
    double value;

    lib0_reader_init(&r, any.data, any.len);
    switch (lib0_read_u8(&r)) {
    case CRDT_ANY_INT:
        value = (double)lib0_read_int(&r, &is_negative);
        *ret_value = is_negative ? -value : value;
        return true;
    case CRDT_ANY_FLOAT32:
        *ret_value = crdt_any_read_float(&r, sizeof(float));
        return true;
    case CRDT_ANY_FLOAT64:
        *ret_value = crdt_any_read_float(&r, sizeof(double));
        return true;
    default:
        return false;
    }
}

static bool is_object(struct crdt_slice any)
{
    return any.data[0] == CRDT_ANY_OBJECT || any.data[0] == CRDT_ANY_ARRAY ||
           any.data[0] == CRDT_ANY_BYTES;
}

static bool is_same_primitive(struct crdt_slice a, struct crdt_slice b)
{
    double x, y;

    if (is_object(a) || is_object(b))
        return false;
    if (read_number(a, &x) && read_number(b, &y))
        return x == y;
    return is_same_bytes(a, b);
}

/* A value that was checked when it came. */
static struct crdt_slice read_value(struct lib0_reader *r)
{
    const uint8_t *start = r->pos;
    int checked = crdt_any_skip(r, CRDT_ANY_MAX_NESTING);

    assert(checked == 0);
    (void)checked;
    return (struct crdt_slice){start, (size_t)(r->pos - start)};
}

struct pair {
    struct crdt_slice key;
    struct crdt_slice value;
};

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    size_t len = x->key.len < y->key.len ? x->key.len : y->key.len;
    int order = len ? memcmp(x->key.data, y->key.data, len) : 0;

    return order ? order : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

/* The members of an object by key; an array has its elements in their order. */
static int list_pairs(struct crdt_slice any, struct pair **ret_pairs, uint64_t *ret_count)
{
    struct lib0_reader r;
    bool has_keys = any.data[0] == CRDT_ANY_OBJECT;
    uint64_t count;
    struct pair *pairs;

    lib0_reader_init(&r, any.data + 1, any.len - 1);
    count = lib0_read_uint(&r);
    pairs = calloc(count + 1, sizeof(*pairs));
    if (!pairs)
        return -ENOMEM;
    for (uint64_t i = 0; i < count; i++) {
        if (has_keys)
            pairs[i].key = lib0_read_slice(&r);
        pairs[i].value = read_value(&r);
    }
    if (has_keys)
        qsort(pairs, count, sizeof(*pairs), compare_pairs);
    *ret_pairs = pairs;
    *ret_count = count;
    return 0;
}

/* The same members, all of them primitive? */
static int compare_members(struct crdt_slice a, struct crdt_slice b, bool *ret_result)
{
    struct pair *x = NULL, *y = NULL;
    uint64_t count = 0, other = 0;
    int r = list_pairs(a, &x, &count);

    if (r == 0)
        r = list_pairs(b, &y, &other);
    if (r == 0)
        *ret_result = count == other;
    for (uint64_t i = 0; i < count && r == 0 && *ret_result; i++)
        *ret_result =
            is_same_bytes(x[i].key, y[i].key) && is_same_primitive(x[i].value, y[i].value);
    free(x);
    free(y);
    return r;
}

static int compare_any(struct crdt_slice a, struct crdt_slice b, bool takes_objects,
                       bool *ret_result)
{
    if (!takes_objects || !is_object(a) || a.data[0] != b.data[0]) {
        *ret_result = is_same_primitive(a, b);
        return 0;
    }
    if (a.data[0] != CRDT_ANY_BYTES)
        return compare_members(a, b, ret_result);
    *ret_result = is_same_bytes(a, b);
    return 0;
}

/* ---- comparing values ---- */

bool mark_is_null(const struct mark_value *value)
{
    size_t at = 0;

    if (!value)
        return true;
    if (value->is_any)
        return value->bytes.data[0] == CRDT_ANY_NULL;
    while (at < value->bytes.len && value->bytes.data[at] <= ' ')
        at++;
    return at < value->bytes.len && value->bytes.data[at] == 'n';
}

/* The value as `any`; JSON is parsed into `buf`. */
static int load(const struct mark_value *value, struct crdt_buf *buf, struct crdt_slice *ret_any)
{
    int r = 0;

    *ret_any = value->bytes;
    if (value->is_any)
        return 0;
    r = crdt_json_to_any(value->bytes.data, value->bytes.len, CRDT_ANY_MAX_NESTING, buf);
    *ret_any = (struct crdt_slice){buf->data, buf->len};
    return r;
}

static int compare(const struct mark_value *a, const struct mark_value *b, bool takes_objects,
                   bool *ret_result)
{
    struct crdt_buf x = {0}, y = {0};
    struct crdt_slice any_a, any_b;
    int r;

    if (mark_is_null(a) || mark_is_null(b)) {
        *ret_result = mark_is_null(a) && mark_is_null(b);
        return 0;
    }
    r = load(a, &x, &any_a);
    if (r == 0)
        r = load(b, &y, &any_b);
    if (r == 0)
        r = compare_any(any_a, any_b, takes_objects, ret_result);
    crdt_buf_done(&x);
    crdt_buf_done(&y);
    return r;
}

int marks_are_identical(const struct mark_value *a, const struct mark_value *b, bool *ret_result)
{
    return compare(a, b, false, ret_result);
}

int marks_are_equal(const struct mark_value *a, const struct mark_value *b, bool *ret_result)
{
    if (a && b && a->bytes.data == b->bytes.data) {
        *ret_result = true;
        return 0;
    }
    return compare(a, b, true, ret_result);
}
