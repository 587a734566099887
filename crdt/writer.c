#include "codec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "any.h"
#include "columns.h"

/* Writers of one thing for both formats are written once and compiled twice: `is_v2` is a constant
 * where they are inlined. */
#define BOTH static inline __attribute__((always_inline))

/* What a struct takes beside its content, more or less: in v1, and in each column of v2. */
#define TYPICAL_STRUCT_BYTES 24u
#define TYPICAL_COLUMN_BYTES 1u
#define SHORT_TEXT           32u
/* What the lengths of all columns take at most. */
#define LENGTHS_BYTES 100u
/* A result of this size is not copied if the buffer to append to is empty. */
#define HANDED_OVER_BYTES 4096u

/* The columns of format v2, but for the rest. */
struct runs {
    struct crdt_diff_run key_clock;
    struct crdt_uint_run client;
    struct crdt_diff_run left_clock;
    struct crdt_diff_run right_clock;
    struct crdt_byte_run info;
    struct crdt_buf text;
    struct crdt_uint_run text_lens;
    struct crdt_byte_run parent_info;
    struct crdt_uint_run type_ref;
    struct crdt_uint_run len;
    uint64_t keys; /* written so far; each gets a number of its own, as Yjs does it */
    size_t room;   /* each column has room for so many writes, */
    size_t step;   /* as the last time that room was made */
};

/* The v1 bytes of the client id that was written last, which is most often the next as well. */
struct client_bytes {
    uint64_t client;
    uint8_t bytes[16];
    size_t len; /* 0: none */
};

/* A client group whose structs the writer counts: what it wrote to the rest begins at `at`. */
struct group {
    size_t at;
    uint64_t structs;
};

struct crdt_writer {
    struct crdt_buf rest; /* all of a v1 update */
    enum crdt_format format;
    int error;
    struct runs runs;
    struct crdt_slice texts; /* see crdt_writer_reserve() */
    struct client_bytes last_client;
    uint64_t delete_clock;
    uint64_t structs; /* of the client group, so far */
    size_t group_at;  /* its count in the rest, */
    size_t count_len; /* for which so many bytes are left */

    bool has_counts; /* the caller announces counts */
    struct group *groups;
    size_t groups_len;
    size_t groups_cap;
    uint64_t client; /* that a struct must have to belong to the last group, */
    uint64_t clock;  /* and the clock that it must begin at */

    struct crdt_limits limits;
    struct crdt_buf scratch;
};

struct crdt_writer *crdt_writer_new(enum crdt_format format, const struct crdt_limits *limits)
{
    struct crdt_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->format = format;
    crdt_limits_init(&w->limits, limits);
    return w;
}

void crdt_writer_free(struct crdt_writer *w)
{
    if (!w)
        return;
    crdt_buf_done(&w->rest);
    crdt_buf_done(&w->runs.key_clock.out.buf);
    crdt_buf_done(&w->runs.client.out.buf);
    crdt_buf_done(&w->runs.left_clock.out.buf);
    crdt_buf_done(&w->runs.right_clock.out.buf);
    crdt_buf_done(&w->runs.info.out.buf);
    crdt_buf_done(&w->runs.text);
    crdt_buf_done(&w->runs.text_lens.out.buf);
    crdt_buf_done(&w->runs.parent_info.out.buf);
    crdt_buf_done(&w->runs.type_ref.out.buf);
    crdt_buf_done(&w->runs.len.out.buf);
    crdt_buf_done(&w->scratch);
    free(w->groups);
    free(w);
}

void crdt_writer_restart(struct crdt_writer *w)
{
    assert(w->format == CRDT_V1);
    w->rest.len = 0;
    w->rest.error = w->scratch.error = 0;
    w->error = 0;
    w->delete_clock = 0;
    w->has_counts = false;
    w->groups_len = 0;
}

size_t crdt_writer_bytes(const struct crdt_writer *w)
{
    return sizeof(*w) + w->rest.cap + w->scratch.cap + w->groups_cap * sizeof(*w->groups);
}

/* ---- room in the columns ---- */

/* Writes to one column that a struct makes at most, but for the elements of JSON. */
#define STRUCT_WRITES 5u
#define FIRST_ROOM    8u
#define MAX_ROOM      1024u

static void reserve_columns(struct crdt_writer *w, size_t bytes)
{
    struct runs *runs = &w->runs;
    struct crdt_column_out *columns[] = {
        &runs->key_clock.out,   &runs->client.out,   &runs->left_clock.out,
        &runs->right_clock.out, &runs->info.out,     &runs->text_lens.out,
        &runs->parent_info.out, &runs->type_ref.out, &runs->len.out,
    };
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        if (crdt_column_reserve(columns[i], bytes) < 0)
            w->error = -ENOMEM;
    }
}

static void make_room(struct crdt_writer *w, size_t writes)
{
    struct runs *runs = &w->runs;
    runs->step = runs->step == 0 ? FIRST_ROOM : runs->step * 2;
    if (runs->step > MAX_ROOM)
        runs->step = MAX_ROOM;
    runs->room = runs->step > writes ? runs->step : writes;
    reserve_columns(w, runs->room * CRDT_RUN_BYTES);
}

/* Must come before every write to a column. */
static inline bool take_room(struct crdt_writer *w, size_t writes)
{
    if (w->runs.room < writes)
        make_room(w, writes);
    w->runs.room -= writes;
    return w->error == 0;
}

/* ---- primitives ---- */

BOTH void write_client(struct crdt_writer *w, uint64_t client, const bool is_v2)
{
    if (is_v2)
        crdt_uint_run_write(&w->runs.client, client);
    else
        lib0_write_uint(&w->rest, client);
}

BOTH void write_left_id(struct crdt_writer *w, struct crdt_id id, const bool is_v2)
{
    write_client(w, id.client, is_v2);
    if (is_v2)
        crdt_diff_run_write(&w->runs.left_clock, id.clock);
    else
        lib0_write_uint(&w->rest, id.clock);
}

BOTH void write_right_id(struct crdt_writer *w, struct crdt_id id, const bool is_v2)
{
    write_client(w, id.client, is_v2);
    if (is_v2)
        crdt_diff_run_write(&w->runs.right_clock, id.clock);
    else
        lib0_write_uint(&w->rest, id.clock);
}

BOTH void write_string(struct crdt_writer *w, struct crdt_slice text, const bool is_v2)
{
    if (is_v2) {
        lib0_write_bytes(&w->runs.text, text.data, text.len);
        crdt_uint_run_write(&w->runs.text_lens, lib0_utf16_len(text.data, text.len));
    } else {
        lib0_write_slice(&w->rest, text.data, text.len);
    }
}

BOTH void write_key(struct crdt_writer *w, struct crdt_slice key, const bool is_v2)
{
    if (is_v2)
        crdt_diff_run_write(&w->runs.key_clock, w->runs.keys++);
    write_string(w, key, is_v2);
}

BOTH void write_len(struct crdt_writer *w, uint64_t len, const bool is_v2)
{
    if (is_v2)
        crdt_uint_run_write(&w->runs.len, len);
    else
        lib0_write_uint(&w->rest, len);
}

/* ---- contents ---- */

/* `text` from its unit `offset` on. */
BOTH void write_text(struct crdt_writer *w, struct crdt_slice text, uint64_t len, uint64_t offset,
                     const bool is_v2)
{
    static const uint8_t replacement[] = {0xef, 0xbf, 0xbd};
    bool is_inside = false;
    size_t cut = 0;
    if (offset > 0)
        cut = lib0_utf16_offset(text.data, text.len, offset, &is_inside);
    if (is_inside)
        cut += 4;
    size_t rest = text.len - cut;
    size_t extra = is_inside ? sizeof(replacement) : 0;
    struct crdt_buf *out = is_v2 ? &w->runs.text : &w->rest;
    if (is_v2)
        crdt_uint_run_write(&w->runs.text_lens, len - offset);
    else
        lib0_write_uint(out, rest + extra);
    if (extra > 0)
        lib0_write_bytes(out, replacement, extra);
    if (rest > 0)
        lib0_write_bytes(out, text.data + cut, rest);
}

/* Elements of the old JSON content: in v1 they stand as they are kept. */
BOTH void write_json(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset,
                     const bool is_v2)
{
    struct lib0_reader r;
    lib0_reader_init(&r, s->content.bytes.data, s->content.bytes.len);
    write_len(w, s->len - offset, is_v2);
    for (uint64_t i = 0; i < offset; i++)
        (void)lib0_read_slice(&r);
    if (!is_v2) {
        lib0_write_bytes(&w->rest, r.pos, lib0_remaining(&r));
        return;
    }
    for (uint64_t i = offset; i < s->len && take_room(w, 1); i++)
        write_string(w, lib0_read_slice(&r), is_v2);
}

BOTH void write_any(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset,
                    const bool is_v2)
{
    struct lib0_reader r;
    lib0_reader_init(&r, s->content.bytes.data, s->content.bytes.len);
    write_len(w, s->len - offset, is_v2);
    for (uint64_t i = 0; i < offset; i++) {
        int rc = crdt_any_skip(&r, CRDT_ANY_MAX_NESTING);
        if (rc < 0) {
            w->error = rc;
            return;
        }
    }
    lib0_write_bytes(&w->rest, r.pos, lib0_remaining(&r));
}

/* The value of an embed or a mark: JSON in v1, `any` in v2. */
BOTH void write_value(struct crdt_writer *w, const struct crdt_content *content, const bool is_v2)
{
    struct crdt_slice bytes = content->bytes;
    int rc = 0;
    if (is_v2 && content->value_is_any) {
        lib0_write_bytes(&w->rest, bytes.data, bytes.len);
    } else if (is_v2) {
        rc = crdt_json_to_any(bytes.data, bytes.len, w->limits.nesting, &w->rest);
    } else if (content->value_is_any) {
        struct lib0_reader r;
        lib0_reader_init(&r, bytes.data, bytes.len);
        w->scratch.len = 0;
        rc = crdt_any_to_json(&r, w->limits.nesting, &w->scratch);
        /* JSON has no `undefined`, and Yjs throws at one; `null` is what a mark of no value is. */
        if (w->scratch.len == 0)
            lib0_write_bytes(&w->scratch, "null", 4);
        lib0_write_slice(&w->rest, w->scratch.data, w->scratch.len);
    } else {
        lib0_write_slice(&w->rest, bytes.data, bytes.len);
    }
    if (rc < 0)
        w->error = rc;
}

BOTH void write_type(struct crdt_writer *w, const struct crdt_content *content, const bool is_v2)
{
    if (is_v2)
        crdt_uint_run_write(&w->runs.type_ref, content->type_ref);
    else
        lib0_write_uint(&w->rest, content->type_ref);
    if (content->type_ref == CRDT_TYPE_XML_ELEMENT || content->type_ref == CRDT_TYPE_XML_HOOK)
        write_key(w, content->key, is_v2);
}

BOTH void write_content(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset,
                        const bool is_v2)
{
    const struct crdt_content *content = &s->content;
    switch (crdt_struct_ref(s)) {
    case CRDT_REF_GC:
    case CRDT_REF_DELETED:
        write_len(w, s->len - offset, is_v2);
        break;
    case CRDT_REF_SKIP:
        lib0_write_uint(&w->rest, s->len - offset);
        break;
    case CRDT_REF_JSON:
        write_json(w, s, offset, is_v2);
        break;
    case CRDT_REF_BINARY:
        lib0_write_slice(&w->rest, content->bytes.data, content->bytes.len);
        break;
    case CRDT_REF_STRING:
        write_text(w, content->bytes, s->len, offset, is_v2);
        break;
    case CRDT_REF_EMBED:
        write_value(w, content, is_v2);
        break;
    case CRDT_REF_FORMAT:
        write_key(w, content->key, is_v2);
        write_value(w, content, is_v2);
        break;
    case CRDT_REF_TYPE:
        write_type(w, content, is_v2);
        break;
    case CRDT_REF_ANY:
        write_any(w, s, offset, is_v2);
        break;
    case CRDT_REF_DOC:
        write_string(w, content->key, is_v2);
        lib0_write_bytes(&w->rest, content->bytes.data, content->bytes.len);
        break;
    }
}

/* ---- structs ---- */

BOTH void write_info(struct crdt_writer *w, uint8_t info, const bool is_v2)
{
    if (is_v2)
        crdt_byte_run_write(&w->runs.info, info);
    else
        lib0_write_u8(&w->rest, info);
}

BOTH void write_parent(struct crdt_writer *w, const struct crdt_struct *s, const bool is_v2)
{
    uint8_t is_root = s->parent == CRDT_PARENT_ROOT;
    assert(s->parent != CRDT_PARENT_IMPLIED);
    if (is_v2)
        crdt_byte_run_write(&w->runs.parent_info, is_root);
    else
        lib0_write_u8(&w->rest, is_root);
    if (is_root)
        write_string(w, s->parent_name, is_v2);
    else
        write_left_id(w, s->parent_id, is_v2);
    if (s->info & CRDT_INFO_PARENT_SUB)
        write_string(w, s->parent_sub, is_v2);
}

BOTH void write_item_head(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset,
                          const bool is_v2)
{
    uint8_t info = s->info;
    struct crdt_id origin = s->origin;
    if (offset > 0) {
        info |= CRDT_INFO_ORIGIN;
        origin = (struct crdt_id){s->id.client, s->id.clock + offset - 1};
    }
    write_info(w, info, is_v2);
    if (info & CRDT_INFO_ORIGIN)
        write_left_id(w, origin, is_v2);
    if (info & CRDT_INFO_RIGHT_ORIGIN)
        write_right_id(w, s->right_origin, is_v2);
    if (!(info & (CRDT_INFO_ORIGIN | CRDT_INFO_RIGHT_ORIGIN)))
        write_parent(w, s, is_v2);
}

/* What is written so far may stem from few bytes: a key that a v2 update names by its number. */
static inline void check_size(struct crdt_writer *w)
{
    if (w->rest.len > w->limits.output_bytes || w->runs.text.len > w->limits.output_bytes)
        w->error = -E2BIG;
}

BOTH void write_struct(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset,
                       const bool is_v2)
{
    enum crdt_ref ref = crdt_struct_ref(s);
    if (ref == CRDT_REF_GC || ref == CRDT_REF_SKIP)
        write_info(w, (uint8_t)ref, is_v2);
    else
        write_item_head(w, s, offset, is_v2);
    write_content(w, s, offset, is_v2);
}

/* A text, or what is left of one, whose parent is its neighbour's: nearly all structs are. */
static inline bool is_plain(const struct crdt_struct *s, uint64_t offset)
{
    enum crdt_ref ref = crdt_struct_ref(s);
    return (ref == CRDT_REF_STRING || ref == CRDT_REF_DELETED) && offset == 0 &&
           s->info & (CRDT_INFO_ORIGIN | CRDT_INFO_RIGHT_ORIGIN);
}

/* A text at `p`, which has room for that and SHORT_TEXT bytes. Most texts are short, and cost less
 * to copy if their length does not matter. */
static inline uint8_t *put_text(const struct crdt_writer *w, uint8_t *p, struct crdt_slice text)
{
    uintptr_t at = (uintptr_t)text.data - (uintptr_t)w->texts.data;
    if (text.len <= SHORT_TEXT && w->texts.len >= SHORT_TEXT && at <= w->texts.len - SHORT_TEXT)
        memcpy(p, text.data, SHORT_TEXT);
    else if (text.len > 0)
        memcpy(p, text.data, text.len);
    return p + text.len;
}

/* At `p`, which has room for 26 bytes. */
static inline uint8_t *put_id(struct crdt_writer *w, uint8_t *p, struct crdt_id id)
{
    struct client_bytes *last = &w->last_client;
    if (last->client != id.client || last->len == 0) {
        last->client = id.client;
        last->len = (size_t)(lib0_put_uint(last->bytes, id.client) - last->bytes);
    }
    memcpy(p, last->bytes, sizeof(last->bytes));
    return lib0_put_uint(p + last->len, id.clock);
}

static void write_plain_v1(struct crdt_writer *w, const struct crdt_struct *s)
{
    struct crdt_slice text = s->content.bytes;
    bool is_text = crdt_struct_ref(s) == CRDT_REF_STRING;
    if (lib0_reserve(&w->rest, 2 * 26 + 11 + SHORT_TEXT + (is_text ? text.len : 0)) < 0)
        return;
    uint8_t *p = w->rest.data + w->rest.len;
    *p++ = s->info;
    if (s->info & CRDT_INFO_ORIGIN)
        p = put_id(w, p, s->origin);
    if (s->info & CRDT_INFO_RIGHT_ORIGIN)
        p = put_id(w, p, s->right_origin);
    p = lib0_put_uint(p, is_text ? text.len : s->len);
    if (is_text)
        p = put_text(w, p, text);
    w->rest.len = (size_t)(p - w->rest.data);
    check_size(w);
}

static void write_plain_v2(struct crdt_writer *w, const struct crdt_struct *s)
{
    uint8_t info = s->info;
    write_info(w, info, true);
    if (info & CRDT_INFO_ORIGIN)
        write_left_id(w, s->origin, true);
    if (info & CRDT_INFO_RIGHT_ORIGIN)
        write_right_id(w, s->right_origin, true);
    if ((info & CRDT_INFO_REF) == CRDT_REF_DELETED) {
        crdt_uint_run_write(&w->runs.len, s->len);
        return;
    }
    crdt_uint_run_write(&w->runs.text_lens, s->len);
    if (lib0_reserve(&w->runs.text, s->content.bytes.len + SHORT_TEXT) < 0)
        return;
    uint8_t *p = w->runs.text.data + w->runs.text.len;
    w->runs.text.len = (size_t)(put_text(w, p, s->content.bytes) - w->runs.text.data);
}

static void write_other(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset)
{
    assert(offset == 0 || offset < s->len);
    if (w->format == CRDT_V2)
        write_struct(w, s, offset, true);
    else
        write_struct(w, s, offset, false);
    check_size(w);
}

void crdt_writer_struct(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset)
{
    bool is_v2 = w->format == CRDT_V2;
    if (w->error || (is_v2 && !take_room(w, STRUCT_WRITES)))
        return;
    w->structs++;
    if (!is_plain(s, offset))
        write_other(w, s, offset);
    else if (is_v2)
        write_plain_v2(w, s);
    else
        write_plain_v1(w, s);
}

static void write_group(struct crdt_writer *w, uint64_t client, uint64_t clock)
{
    if (w->format != CRDT_V2)
        lib0_write_uint(&w->rest, client);
    else if (take_room(w, 1))
        crdt_uint_run_write(&w->runs.client, client);
    lib0_write_uint(&w->rest, clock);
}

static size_t count_bytes(uint64_t count)
{
    size_t bytes = 1;
    for (; count >= 0x80; count >>= 7)
        bytes++;
    return bytes;
}

void crdt_writer_clients(struct crdt_writer *w, uint64_t count)
{
    w->has_counts = true;
    lib0_write_uint(&w->rest, count);
}

void crdt_writer_client(struct crdt_writer *w, uint64_t client, uint64_t structs, uint64_t clock)
{
    lib0_write_uint(&w->rest, structs);
    write_group(w, client, clock);
}

void crdt_writer_begin(struct crdt_writer *w, uint64_t client, uint64_t max_structs, uint64_t clock)
{
    w->structs = 0;
    w->group_at = w->rest.len;
    crdt_writer_client(w, client, max_structs, clock);
    w->count_len = count_bytes(max_structs);
}

void crdt_writer_end(struct crdt_writer *w)
{
    size_t len = count_bytes(w->structs), surplus = w->count_len - len;
    uint8_t *count = w->rest.data + w->group_at;
    if (w->rest.error)
        return;
    assert(len <= w->count_len);
    if (surplus > 0)
        memmove(count + len, count + w->count_len, w->rest.len - w->group_at - w->count_len);
    w->rest.len -= surplus;
    (void)lib0_put_uint(count, w->structs);
}

void crdt_writer_reserve(struct crdt_writer *w, struct crdt_slice texts, size_t structs)
{
    w->texts = texts;
    if (w->format == CRDT_V2) {
        (void)lib0_reserve(&w->runs.text, texts.len);
        reserve_columns(w, structs * TYPICAL_COLUMN_BYTES);
    } else {
        (void)lib0_reserve(&w->rest, texts.len + structs * TYPICAL_STRUCT_BYTES);
    }
}

/* ---- groups that the writer counts ---- */

static int begin_group(struct crdt_writer *w, struct crdt_id id)
{
    if (w->groups_len == w->groups_cap) {
        size_t cap = w->groups_cap ? w->groups_cap * 2 : 8;
        struct group *groups = reallocarray(w->groups, cap, sizeof(*groups));
        if (!groups)
            return -ENOMEM;
        w->groups = groups;
        w->groups_cap = cap;
    }
    w->groups[w->groups_len++] = (struct group){.at = w->rest.len};
    write_group(w, id.client, id.clock);
    w->client = id.client;
    return 0;
}

void crdt_writer_append(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset)
{
    struct crdt_id id = {s->id.client, s->id.clock + offset};
    assert(!w->has_counts);
    if (w->error)
        return;
    if (w->groups_len == 0 || id.client != w->client || id.clock != w->clock) {
        int rc = begin_group(w, id);
        if (rc < 0) {
            w->error = rc;
            return;
        }
    }
    w->groups[w->groups_len - 1].structs++;
    w->clock = s->id.clock + s->len;
    crdt_writer_struct(w, s, offset);
}

/* Puts the counts between the groups. */
static void insert_counts(struct crdt_writer *w)
{
    struct crdt_buf counted = {0};
    lib0_write_uint(&counted, w->groups_len);
    for (size_t i = 0; i < w->groups_len; i++) {
        const struct group *g = &w->groups[i];
        size_t end = i + 1 < w->groups_len ? g[1].at : w->rest.len;
        lib0_write_uint(&counted, g->structs);
        lib0_write_bytes(&counted, w->rest.data + g->at, end - g->at);
    }
    if (w->rest.error)
        w->error = w->rest.error;
    crdt_buf_done(&w->rest);
    w->rest = counted;
}

/* ---- the delete set, which is in the rest in both formats ---- */

void crdt_writer_deletes(struct crdt_writer *w, uint64_t clients)
{
    if (!w->has_counts)
        insert_counts(w);
    lib0_write_uint(&w->rest, clients);
}

void crdt_writer_delete_client(struct crdt_writer *w, uint64_t client, uint64_t ranges)
{
    w->delete_clock = 0;
    lib0_write_uint(&w->rest, client);
    lib0_write_uint(&w->rest, ranges);
}

void crdt_writer_delete(struct crdt_writer *w, uint64_t clock, uint64_t len)
{
    assert(len > 0 && clock >= w->delete_clock);
    if (w->format == CRDT_V2) {
        lib0_write_uint(&w->rest, clock - w->delete_clock);
        lib0_write_uint(&w->rest, len - 1);
    } else {
        lib0_write_uint(&w->rest, clock);
        lib0_write_uint(&w->rest, len);
    }
    w->delete_clock = clock + len;
}

/* ---- finishing ---- */

static void add_column(struct crdt_buf *out, const struct crdt_column_out *column)
{
    lib0_write_slice(out, column->buf.data, crdt_column_len(column));
}

static void finish_columns(struct crdt_writer *w)
{
    struct runs *runs = &w->runs;
    if (!take_room(w, 1))
        return;
    crdt_diff_run_finish(&runs->key_clock);
    crdt_uint_run_finish(&runs->client);
    crdt_diff_run_finish(&runs->left_clock);
    crdt_diff_run_finish(&runs->right_clock);
    crdt_uint_run_finish(&runs->text_lens);
    crdt_uint_run_finish(&runs->type_ref);
    crdt_uint_run_finish(&runs->len);
    if (runs->text.error)
        w->error = runs->text.error;
}

static size_t columns_len(const struct runs *runs)
{
    return crdt_column_len(&runs->key_clock.out) + crdt_column_len(&runs->client.out) +
           crdt_column_len(&runs->left_clock.out) + crdt_column_len(&runs->right_clock.out) +
           crdt_column_len(&runs->info.out) + runs->text.len +
           crdt_column_len(&runs->text_lens.out) + crdt_column_len(&runs->parent_info.out) +
           crdt_column_len(&runs->type_ref.out) + crdt_column_len(&runs->len.out);
}

static void add_columns(struct crdt_writer *w, struct crdt_buf *out)
{
    const struct runs *runs = &w->runs;
    size_t lens = crdt_column_len(&runs->text_lens.out);
    if (lib0_reserve(out, columns_len(runs) + LENGTHS_BYTES + w->rest.len) < 0)
        return;
    lib0_write_u8(out, 0); /* feature flags */
    add_column(out, &runs->key_clock.out);
    add_column(out, &runs->client.out);
    add_column(out, &runs->left_clock.out);
    add_column(out, &runs->right_clock.out);
    add_column(out, &runs->info.out);
    lib0_write_uint(out, count_bytes(runs->text.len) + runs->text.len + lens);
    lib0_write_slice(out, runs->text.data, runs->text.len);
    lib0_write_bytes(out, runs->text_lens.out.buf.data, lens);
    add_column(out, &runs->parent_info.out);
    add_column(out, &runs->type_ref.out);
    add_column(out, &runs->len.out);
}

int crdt_writer_finish(struct crdt_writer *w, struct crdt_buf *out)
{
    size_t before = out->len;
    if (w->rest.error)
        w->error = w->rest.error;
    if (!w->error && w->format == CRDT_V2)
        finish_columns(w);
    if (!w->error && w->format == CRDT_V2)
        add_columns(w, out);
    if (!w->error && w->rest.len >= HANDED_OVER_BYTES && !out->data && !out->error) {
        struct crdt_buf empty = *out;
        *out = w->rest;
        w->rest = empty;
    } else if (!w->error) {
        lib0_write_bytes(out, w->rest.data, w->rest.len);
    }
    if (!w->error)
        w->error = out->error;
    if (!w->error && out->len - before > w->limits.output_bytes)
        w->error = -E2BIG;
    if (w->error)
        out->len = before;
    return w->error;
}
