#include "codec.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "delete_set.h"
#include "strings.h"

/* Readers of one thing for both formats are written once and compiled twice: `is_v2` is a constant
 * where they are inlined. */
#define BOTH static inline __attribute__((always_inline))

/* The columns of format v2, but for the rest. */
struct columns {
    struct crdt_diff_column key_clock;
    struct crdt_uint_column client;
    struct crdt_diff_column left_clock;
    struct crdt_diff_column right_clock;
    struct crdt_byte_column info;
    struct crdt_string_column string;
    struct crdt_byte_column parent_info;
    struct crdt_uint_column type_ref;
    struct crdt_uint_column len;
    struct crdt_keys keys;
};

/* The bytes of a client id. */
struct last_client {
    uint64_t bytes;
    uint64_t mask; /* of the word that begins with them */
    uint64_t client;
    size_t len; /* 0: none */
};

struct crdt_reader {
    struct lib0_reader rest; /* all of a v1 update */
    struct last_client last_client;
    enum crdt_format format;
    int error;

    /* The client group being read. */
    uint64_t clients_left;
    uint64_t structs_left;
    uint64_t structs_seen;
    uint64_t client;
    uint64_t clock;

    /* The delete set. */
    bool is_in_deletes;
    uint64_t delete_clients_left;
    uint64_t deletes_left;
    uint64_t delete_client;
    uint64_t delete_clock;

    struct crdt_limits limits;
    bool has_columns;
    struct columns columns;
    struct crdt_arena arena;
};

void crdt_limits_init(struct crdt_limits *limits, const struct crdt_limits *from)
{
    static const struct crdt_limits none;
    if (!from)
        from = &none;
    *limits = (struct crdt_limits){
        .structs = from->structs ? from->structs : CRDT_DEFAULT_STRUCTS,
        .clients = from->clients ? from->clients : CRDT_DEFAULT_CLIENTS,
        .nesting = from->nesting ? from->nesting : CRDT_DEFAULT_NESTING,
        .steps = from->steps ? from->steps : CRDT_DEFAULT_STEPS,
        .output_bytes = from->output_bytes ? from->output_bytes : CRDT_DEFAULT_OUTPUT_BYTES,
        .pending_bytes = from->pending_bytes ? from->pending_bytes : CRDT_DEFAULT_PENDING_BYTES,
    };
}

/* ---- starting ---- */

static void column_init(struct lib0_reader *column, struct lib0_reader *rest)
{
    struct crdt_slice bytes = lib0_read_slice(rest);
    lib0_reader_init(column, bytes.data, bytes.len);
}

/* Yjs 13.6 UpdateDecoderV2: a feature flag, then nine columns, then the rest. */
static int init_columns(struct crdt_reader *r)
{
    struct columns *c = &r->columns;
    struct lib0_reader string;
    r->has_columns = true;
    (void)lib0_read_uint(&r->rest);
    column_init(&c->key_clock.in, &r->rest);
    column_init(&c->client.in, &r->rest);
    column_init(&c->left_clock.in, &r->rest);
    column_init(&c->right_clock.in, &r->rest);
    column_init(&c->info.in, &r->rest);
    column_init(&string, &r->rest);
    column_init(&c->parent_info.in, &r->rest);
    column_init(&c->type_ref.in, &r->rest);
    column_init(&c->len.in, &r->rest);
    if (r->rest.has_failed)
        return -EBADMSG;
    return crdt_string_column_init(&c->string, string);
}

/* A count of things that take at least `bytes` bytes each of what is left. */
static int read_count(struct crdt_reader *r, size_t bytes, uint64_t limit, uint64_t *ret_count)
{
    uint64_t count = lib0_read_uint(&r->rest);
    if (r->rest.has_failed)
        return -EBADMSG;
    if (count > limit)
        return -E2BIG;
    if (bytes > 0 && count > lib0_remaining(&r->rest) / bytes)
        return -EBADMSG;
    *ret_count = count;
    return 0;
}

static int start(struct crdt_reader *r, enum crdt_format format, const uint8_t *update, size_t len)
{
    int rc = 0;
    r->format = format;
    lib0_reader_init(&r->rest, update, len);
    if (format == CRDT_V2)
        rc = init_columns(r);
    if (rc == 0)
        rc = read_count(r, 2, r->limits.clients, &r->clients_left);
    r->error = rc;
    return rc;
}

int crdt_reader_new(enum crdt_format format, const uint8_t *update, size_t len,
                    const struct crdt_limits *limits, struct crdt_reader **ret_reader)
{
    struct crdt_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    crdt_limits_init(&r->limits, limits);
    int rc = start(r, format, update, len);
    if (rc < 0) {
        crdt_reader_free(r);
        return rc;
    }
    *ret_reader = r;
    return 0;
}

int crdt_reader_restart(struct crdt_reader *r, enum crdt_format format, const uint8_t *update,
                        size_t len)
{
    /* All before the limits is state; the columns are used by v2 only. */
    memset(r, 0, offsetof(struct crdt_reader, limits));
    return start(r, format, update, len);
}

void crdt_reader_rest(struct crdt_reader *r)
{
    if (r->arena.chunks)
        crdt_arena_done(&r->arena);
    if (!r->has_columns)
        return;
    crdt_keys_done(&r->columns.keys);
    r->columns = (struct columns){0};
    r->has_columns = false;
}

size_t crdt_reader_bytes(void)
{
    return sizeof(struct crdt_reader);
}

void crdt_reader_free(struct crdt_reader *r)
{
    if (!r)
        return;
    crdt_keys_done(&r->columns.keys);
    crdt_arena_done(&r->arena);
    free(r);
}

/* ---- primitives ---- */

/* Most ids of an update are of the client that was named last, whose bytes are compared faster than
 * they are decoded. */
static inline uint64_t read_client_v1(struct crdt_reader *r)
{
    struct last_client *last = &r->last_client;
    const uint8_t *start = r->rest.pos;
    uint64_t word, client;
    size_t len;

    if (lib0_remaining(&r->rest) < sizeof(word))
        return lib0_read_uint(&r->rest);
    memcpy(&word, start, sizeof(word));
    if ((word & last->mask) == last->bytes && last->len > 0) {
        r->rest.pos += last->len;
        return last->client;
    }
    client = lib0_read_uint(&r->rest);
    len = (size_t)(r->rest.pos - start);
    if (!r->rest.has_failed && len <= sizeof(word)) {
        /* The first `len` bytes in memory. */
        word = htole64(UINT64_MAX >> (64 - 8 * len));
        *last = (struct last_client){.mask = word, .client = client, .len = len};
        memcpy(&word, start, sizeof(word));
        last->bytes = word & last->mask;
    }
    return client;
}

BOTH struct crdt_id read_left_id(struct crdt_reader *r, const bool is_v2)
{
    struct crdt_id id;
    if (is_v2) {
        id.client = crdt_uint_column_read(&r->columns.client);
        id.clock = crdt_diff_column_read(&r->columns.left_clock);
    } else {
        id.client = read_client_v1(r);
        id.clock = lib0_read_uint(&r->rest);
    }
    return id;
}

BOTH struct crdt_id read_right_id(struct crdt_reader *r, const bool is_v2)
{
    struct crdt_id id;
    if (!is_v2)
        return read_left_id(r, false);
    id.client = crdt_uint_column_read(&r->columns.client);
    id.clock = crdt_diff_column_read(&r->columns.right_clock);
    return id;
}

BOTH struct crdt_slice read_string(struct crdt_reader *r, uint64_t *ret_units, const bool is_v2)
{
    if (is_v2)
        return crdt_string_column_read(&r->columns.string, &r->arena, ret_units);
    return lib0_read_measured_string(&r->rest, ret_units);
}

BOTH uint64_t read_len(struct crdt_reader *r, const bool is_v2)
{
    return is_v2 ? crdt_uint_column_read(&r->columns.len) : lib0_read_uint(&r->rest);
}

/* A mark's key or a node's name: v2 numbers them, and a number already seen stands for its key. */
BOTH struct crdt_slice read_key(struct crdt_reader *r, const bool is_v2)
{
    uint64_t units;
    if (!is_v2)
        return lib0_read_string(&r->rest);
    uint64_t number = crdt_diff_column_read(&r->columns.key_clock);
    if (number < r->columns.keys.count)
        return crdt_keys_find(&r->columns.keys, number);
    struct crdt_slice key = read_string(r, &units, true);
    int rc = crdt_keys_add(&r->columns.keys, key);
    if (rc < 0)
        r->error = rc;
    return key;
}

BOTH bool has_failed(const struct crdt_reader *r, const bool is_v2)
{
    const struct columns *c = &r->columns;
    if (!is_v2)
        return r->rest.has_failed;
    return r->rest.has_failed | c->key_clock.in.has_failed | c->client.in.has_failed |
           c->left_clock.in.has_failed | c->right_clock.in.has_failed | c->info.in.has_failed |
           c->string.lens.in.has_failed | c->parent_info.in.has_failed | c->type_ref.in.has_failed |
           c->len.in.has_failed;
}

/* ---- contents ---- */

static bool is_undefined(struct crdt_slice text)
{
    static const char word[] = "undefined";
    return text.len == sizeof(word) - 1 && memcmp(text.data, word, text.len) == 0;
}

static int check_json(const struct crdt_reader *r, struct crdt_slice text)
{
    return crdt_json_validate(text.data, text.len, r->limits.nesting);
}

/* The elements stand one after another in v1; those of v2 are put together. */
BOTH int read_json_content(struct crdt_reader *r, struct crdt_struct *s, const bool is_v2)
{
    uint64_t units;
    struct crdt_buf joined = {0};
    int rc = 0;
    s->len = read_len(r, is_v2);
    const uint8_t *start = r->rest.pos;
    for (uint64_t i = 0; i < s->len && rc == 0; i++) {
        struct crdt_slice text = read_string(r, &units, is_v2);
        if (has_failed(r, is_v2))
            rc = -EBADMSG;
        else if (!is_undefined(text))
            rc = check_json(r, text);
        if (is_v2)
            lib0_write_slice(&joined, text.data, text.len);
    }
    s->content.bytes = (struct crdt_slice){start, (size_t)(r->rest.pos - start)};
    if (is_v2 && rc == 0) {
        rc = joined.error;
        if (rc == 0)
            rc = crdt_arena_copy(&r->arena, joined.data, joined.len, &s->content.bytes);
    }
    crdt_buf_done(&joined);
    return rc;
}

static int read_any_values(struct crdt_reader *r, uint64_t count, struct crdt_slice *ret_bytes)
{
    const uint8_t *start = r->rest.pos;
    for (uint64_t i = 0; i < count; i++) {
        int rc = crdt_any_skip(&r->rest, r->limits.nesting);
        if (rc < 0)
            return rc;
        if (r->rest.has_failed)
            return -EBADMSG;
    }
    *ret_bytes = (struct crdt_slice){start, (size_t)(r->rest.pos - start)};
    return 0;
}

BOTH int read_value(struct crdt_reader *r, struct crdt_struct *s, const bool is_v2)
{
    s->len = 1;
    s->content.value_is_any = is_v2;
    if (is_v2)
        return read_any_values(r, 1, &s->content.bytes);
    s->content.bytes = lib0_read_string(&r->rest);
    return r->rest.has_failed ? -EBADMSG : check_json(r, s->content.bytes);
}

BOTH int read_type(struct crdt_reader *r, struct crdt_struct *s, const bool is_v2)
{
    uint64_t type = is_v2 ? crdt_uint_column_read(&r->columns.type_ref) : lib0_read_uint(&r->rest);
    if (type > CRDT_TYPE_XML_TEXT)
        return -EBADMSG;
    s->len = 1;
    s->content.type_ref = (uint8_t)type;
    if (type == CRDT_TYPE_XML_ELEMENT || type == CRDT_TYPE_XML_HOOK)
        s->content.key = read_key(r, is_v2);
    return 0;
}

BOTH int read_doc(struct crdt_reader *r, struct crdt_struct *s, const bool is_v2)
{
    uint64_t units;
    s->len = 1;
    s->content.key = read_string(r, &units, is_v2);
    s->content.value_is_any = true;
    int rc = read_any_values(r, 1, &s->content.bytes);
    if (rc < 0)
        return rc;
    /* Yjs looks into the options at once, which neither of these has. */
    uint8_t tag = s->content.bytes.data[0];
    return tag == CRDT_ANY_NULL || tag == CRDT_ANY_UNDEFINED ? -EBADMSG : 0;
}

BOTH int read_content(struct crdt_reader *r, struct crdt_struct *s, const bool is_v2)
{
    switch (crdt_struct_ref(s)) {
    case CRDT_REF_DELETED:
        s->len = read_len(r, is_v2);
        return 0;
    case CRDT_REF_STRING:
        s->content.bytes = read_string(r, &s->len, is_v2);
        return 0;
    case CRDT_REF_JSON:
        return read_json_content(r, s, is_v2);
    case CRDT_REF_BINARY:
        s->len = 1;
        s->content.bytes = lib0_read_slice(&r->rest);
        return 0;
    case CRDT_REF_EMBED:
        return read_value(r, s, is_v2);
    case CRDT_REF_FORMAT:
        s->content.key = read_key(r, is_v2);
        return read_value(r, s, is_v2);
    case CRDT_REF_TYPE:
        return read_type(r, s, is_v2);
    case CRDT_REF_ANY:
        s->len = read_len(r, is_v2);
        s->content.value_is_any = true;
        return read_any_values(r, s->len, &s->content.bytes);
    case CRDT_REF_DOC:
        return read_doc(r, s, is_v2);
    case CRDT_REF_GC:
    case CRDT_REF_SKIP:
        break;
    }
    return -EBADMSG;
}

/* ---- structs ---- */

BOTH void read_parent(struct crdt_reader *r, struct crdt_struct *s, const bool is_v2)
{
    uint64_t units;
    bool is_root =
        is_v2 ? crdt_byte_column_read(&r->columns.parent_info) == 1 : lib0_read_uint(&r->rest) == 1;
    if (is_root) {
        s->parent = CRDT_PARENT_ROOT;
        s->parent_name = read_string(r, &units, is_v2);
    } else {
        s->parent = CRDT_PARENT_ITEM;
        s->parent_id = read_left_id(r, is_v2);
    }
    if (s->info & CRDT_INFO_PARENT_SUB)
        s->parent_sub = read_string(r, &units, is_v2);
}

BOTH int read_item(struct crdt_reader *r, struct crdt_struct *s, const bool is_v2)
{
    if (s->info & CRDT_INFO_ORIGIN) {
        s->origin = read_left_id(r, is_v2);
        if (s->origin.clock > CRDT_MAX_CLOCK)
            return -EBADMSG;
    }
    if (s->info & CRDT_INFO_RIGHT_ORIGIN) {
        s->right_origin = read_right_id(r, is_v2);
        if (s->right_origin.clock > CRDT_MAX_CLOCK)
            return -EBADMSG;
    }
    if (!(s->info & (CRDT_INFO_ORIGIN | CRDT_INFO_RIGHT_ORIGIN))) {
        read_parent(r, s, is_v2);
        if (s->parent == CRDT_PARENT_ITEM && s->parent_id.clock > CRDT_MAX_CLOCK)
            return -EBADMSG;
    }
    return read_content(r, s, is_v2);
}

/* Yjs ignores the flags of GC and Skip: they are dropped. The length of a Skip is in the rest in
 * both formats. */
BOTH int read_body(struct crdt_reader *r, struct crdt_struct *s, const bool is_v2)
{
    s->info = is_v2 ? crdt_byte_column_read(&r->columns.info) : lib0_read_u8(&r->rest);
    s->parent = CRDT_PARENT_IMPLIED;
    s->parent_sub = (struct crdt_slice){0};
    s->content = (struct crdt_content){0};
    switch (s->info & CRDT_INFO_REF) {
    case CRDT_REF_GC:
        s->info = CRDT_REF_GC;
        s->len = read_len(r, is_v2);
        return 0;
    case CRDT_REF_SKIP:
        s->info = CRDT_REF_SKIP;
        s->len = lib0_read_uint(&r->rest);
        return 0;
    default:
        return read_item(r, s, is_v2);
    }
}

BOTH int next_client(struct crdt_reader *r, const bool is_v2)
{
    /* A v1 struct has an info byte and something after it; v2 structs may take no bytes at all. */
    int rc = read_count(r, is_v2 ? 0 : 2, r->limits.structs - r->structs_seen, &r->structs_left);
    if (rc < 0)
        return rc;
    r->clients_left--;
    r->structs_seen += r->structs_left;
    r->client = is_v2 ? crdt_uint_column_read(&r->columns.client) : lib0_read_uint(&r->rest);
    r->clock = lib0_read_uint(&r->rest);
    return has_failed(r, is_v2) || r->clock > CRDT_MAX_CLOCK ? -EBADMSG : 0;
}

BOTH int read_struct(struct crdt_reader *r, struct crdt_struct *s, const bool is_v2)
{
    s->is_first = r->structs_left == 0;
    while (r->structs_left == 0) {
        if (r->clients_left == 0)
            return 0;
        int rc = next_client(r, is_v2);
        if (rc < 0)
            return rc;
    }
    r->structs_left--;
    s->id = (struct crdt_id){r->client, r->clock};
    int rc = read_body(r, s, is_v2);
    if (rc < 0)
        return rc;
    if (has_failed(r, is_v2) || s->len > CRDT_MAX_CLOCK - r->clock)
        return -EBADMSG;
    r->clock += s->len;
    return 1;
}

static int read_struct_v1(struct crdt_reader *r, struct crdt_struct *s)
{
    return read_struct(r, s, false);
}

static int read_struct_v2(struct crdt_reader *r, struct crdt_struct *s)
{
    int rc = read_struct(r, s, true);
    if (rc >= 0 && r->columns.string.error)
        rc = r->columns.string.error;
    return rc;
}

int crdt_reader_struct(struct crdt_reader *r, struct crdt_struct *ret_struct)
{
    if (r->error)
        return r->error;
    int rc = r->format == CRDT_V2 ? read_struct_v2(r, ret_struct) : read_struct_v1(r, ret_struct);
    if (r->error)
        return r->error;
    if (rc < 0)
        r->error = rc;
    return rc;
}

/* ---- the delete set, which is in the rest in both formats ---- */

static int next_delete_client(struct crdt_reader *r)
{
    r->delete_clients_left--;
    r->delete_clock = 0;
    r->delete_client = lib0_read_uint(&r->rest);
    return read_count(r, 2, UINT64_MAX, &r->deletes_left);
}

static int read_delete(struct crdt_reader *r, struct crdt_id *ret_id, uint64_t *ret_len)
{
    struct crdt_delete_range range;
    if (!crdt_delete_range_decode(&r->rest, r->format, &r->delete_clock, &range))
        return -EBADMSG;
    r->deletes_left--;
    *ret_id = (struct crdt_id){r->delete_client, range.clock};
    *ret_len = range.len;
    return 1;
}

int crdt_reader_delete(struct crdt_reader *r, struct crdt_id *ret_id, uint64_t *ret_len)
{
    int rc = r->error;
    if (rc < 0)
        return rc;
    assert(r->structs_left == 0 && r->clients_left == 0);
    if (!r->is_in_deletes) {
        r->is_in_deletes = true;
        rc = read_count(r, 2, r->limits.clients, &r->delete_clients_left);
    }
    while (rc == 0 && r->deletes_left == 0) {
        if (r->delete_clients_left == 0)
            return 0;
        rc = next_delete_client(r);
    }
    if (rc == 0)
        rc = read_delete(r, ret_id, ret_len);
    if (rc < 0)
        r->error = rc;
    return rc;
}
