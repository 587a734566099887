#include "codec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "any.h"
#include "columns.h"

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
    uint64_t delete_clock;

    bool has_counts; /* the caller announces counts */
    struct group *groups;
    size_t groups_len;
    size_t groups_cap;
    uint64_t client; /* that a struct must have to belong to the last group, */
    uint64_t clock;  /* and the clock that it must begin at */

    struct crdt_limits limits;
    struct crdt_buf scratch;
};

static inline bool is_v2(const struct crdt_writer *w)
{
    return w->format == CRDT_V2;
}

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
    crdt_buf_done(&w->runs.key_clock.out);
    crdt_buf_done(&w->runs.client.out);
    crdt_buf_done(&w->runs.left_clock.out);
    crdt_buf_done(&w->runs.right_clock.out);
    crdt_buf_done(&w->runs.info.out);
    crdt_buf_done(&w->runs.text);
    crdt_buf_done(&w->runs.text_lens.out);
    crdt_buf_done(&w->runs.parent_info.out);
    crdt_buf_done(&w->runs.type_ref.out);
    crdt_buf_done(&w->runs.len.out);
    crdt_buf_done(&w->scratch);
    free(w->groups);
    free(w);
}

void crdt_writer_restart(struct crdt_writer *w)
{
    assert(w->format == CRDT_V1);
    w->rest.len = 0;
    w->rest.error = 0;
    w->error = 0;
    w->delete_clock = 0;
    w->has_counts = false;
    w->groups_len = 0;
}

size_t crdt_writer_bytes(const struct crdt_writer *w)
{
    return sizeof(*w) + w->rest.cap + w->scratch.cap + w->groups_cap * sizeof(*w->groups);
}

/* ---- primitives ---- */

static void write_client(struct crdt_writer *w, uint64_t client)
{
    if (is_v2(w))
        crdt_uint_run_write(&w->runs.client, client);
    else
        lib0_write_uint(&w->rest, client);
}

static void write_left_id(struct crdt_writer *w, struct crdt_id id)
{
    write_client(w, id.client);
    if (is_v2(w))
        crdt_diff_run_write(&w->runs.left_clock, id.clock);
    else
        lib0_write_uint(&w->rest, id.clock);
}

static void write_right_id(struct crdt_writer *w, struct crdt_id id)
{
    write_client(w, id.client);
    if (is_v2(w))
        crdt_diff_run_write(&w->runs.right_clock, id.clock);
    else
        lib0_write_uint(&w->rest, id.clock);
}

static void write_string(struct crdt_writer *w, struct crdt_slice text)
{
    if (is_v2(w)) {
        lib0_write_bytes(&w->runs.text, text.data, text.len);
        crdt_uint_run_write(&w->runs.text_lens, lib0_utf16_len(text.data, text.len));
    } else {
        lib0_write_slice(&w->rest, text.data, text.len);
    }
}

static void write_key(struct crdt_writer *w, struct crdt_slice key)
{
    if (is_v2(w))
        crdt_diff_run_write(&w->runs.key_clock, w->runs.keys++);
    write_string(w, key);
}

static void write_len(struct crdt_writer *w, uint64_t len)
{
    if (is_v2(w))
        crdt_uint_run_write(&w->runs.len, len);
    else
        lib0_write_uint(&w->rest, len);
}

/* ---- contents ---- */

/* `text` from its unit `offset` on. */
static void write_text(struct crdt_writer *w, struct crdt_slice text, uint64_t len, uint64_t offset)
{
    static const uint8_t replacement[] = {0xef, 0xbf, 0xbd};
    bool is_inside;
    size_t cut = lib0_utf16_offset(text.data, text.len, offset, &is_inside);
    if (is_inside)
        cut += 4;
    size_t rest = text.len - cut;
    size_t extra = is_inside ? sizeof(replacement) : 0;
    struct crdt_buf *out = is_v2(w) ? &w->runs.text : &w->rest;
    if (is_v2(w))
        crdt_uint_run_write(&w->runs.text_lens, len - offset);
    else
        lib0_write_uint(out, rest + extra);
    lib0_write_bytes(out, replacement, extra);
    if (rest > 0)
        lib0_write_bytes(out, text.data + cut, rest);
}

/* Elements of the old JSON content: in v1 they stand as they are kept. */
static void write_json(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset)
{
    struct lib0_reader r;
    lib0_reader_init(&r, s->content.bytes.data, s->content.bytes.len);
    write_len(w, s->len - offset);
    for (uint64_t i = 0; i < offset; i++)
        (void)lib0_read_slice(&r);
    if (!is_v2(w)) {
        lib0_write_bytes(&w->rest, r.pos, lib0_remaining(&r));
        return;
    }
    for (uint64_t i = offset; i < s->len; i++)
        write_string(w, lib0_read_slice(&r));
}

static void write_any(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset)
{
    struct lib0_reader r;
    lib0_reader_init(&r, s->content.bytes.data, s->content.bytes.len);
    write_len(w, s->len - offset);
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
static void write_value(struct crdt_writer *w, const struct crdt_content *content)
{
    struct crdt_slice bytes = content->bytes;
    int rc = 0;
    if (is_v2(w) && content->value_is_any) {
        lib0_write_bytes(&w->rest, bytes.data, bytes.len);
    } else if (is_v2(w)) {
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

static void write_type(struct crdt_writer *w, const struct crdt_content *content)
{
    if (is_v2(w))
        crdt_uint_run_write(&w->runs.type_ref, content->type_ref);
    else
        lib0_write_uint(&w->rest, content->type_ref);
    if (content->type_ref == CRDT_TYPE_XML_ELEMENT || content->type_ref == CRDT_TYPE_XML_HOOK)
        write_key(w, content->key);
}

static void write_content(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset)
{
    const struct crdt_content *content = &s->content;
    switch (crdt_struct_ref(s)) {
    case CRDT_REF_GC:
    case CRDT_REF_DELETED:
        write_len(w, s->len - offset);
        break;
    case CRDT_REF_SKIP:
        lib0_write_uint(&w->rest, s->len - offset);
        break;
    case CRDT_REF_JSON:
        write_json(w, s, offset);
        break;
    case CRDT_REF_BINARY:
        lib0_write_slice(&w->rest, content->bytes.data, content->bytes.len);
        break;
    case CRDT_REF_STRING:
        write_text(w, content->bytes, s->len, offset);
        break;
    case CRDT_REF_EMBED:
        write_value(w, content);
        break;
    case CRDT_REF_FORMAT:
        write_key(w, content->key);
        write_value(w, content);
        break;
    case CRDT_REF_TYPE:
        write_type(w, content);
        break;
    case CRDT_REF_ANY:
        write_any(w, s, offset);
        break;
    case CRDT_REF_DOC:
        write_string(w, content->key);
        lib0_write_bytes(&w->rest, content->bytes.data, content->bytes.len);
        break;
    }
}

/* ---- structs ---- */

static void write_info(struct crdt_writer *w, uint8_t info)
{
    if (is_v2(w))
        crdt_byte_run_write(&w->runs.info, info);
    else
        lib0_write_u8(&w->rest, info);
}

static void write_parent(struct crdt_writer *w, const struct crdt_struct *s)
{
    uint8_t is_root = s->parent == CRDT_PARENT_ROOT;
    assert(s->parent != CRDT_PARENT_IMPLIED);
    if (is_v2(w))
        crdt_byte_run_write(&w->runs.parent_info, is_root);
    else
        lib0_write_u8(&w->rest, is_root);
    if (is_root)
        write_string(w, s->parent_name);
    else
        write_left_id(w, s->parent_id);
    if (s->info & CRDT_INFO_PARENT_SUB)
        write_string(w, s->parent_sub);
}

static void write_item_head(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset)
{
    uint8_t info = s->info;
    struct crdt_id origin = s->origin;
    if (offset > 0) {
        info |= CRDT_INFO_ORIGIN;
        origin = (struct crdt_id){s->id.client, s->id.clock + offset - 1};
    }
    write_info(w, info);
    if (info & CRDT_INFO_ORIGIN)
        write_left_id(w, origin);
    if (info & CRDT_INFO_RIGHT_ORIGIN)
        write_right_id(w, s->right_origin);
    if (!(info & (CRDT_INFO_ORIGIN | CRDT_INFO_RIGHT_ORIGIN)))
        write_parent(w, s);
}

/* What is written so far may stem from few bytes: a key that a v2 update names by its number. */
static void check_size(struct crdt_writer *w)
{
    if (w->rest.len > w->limits.output_bytes || w->runs.text.len > w->limits.output_bytes)
        w->error = -E2BIG;
}

void crdt_writer_struct(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset)
{
    enum crdt_ref ref = crdt_struct_ref(s);
    if (w->error)
        return;
    assert(offset == 0 || offset < s->len);
    if (ref == CRDT_REF_GC || ref == CRDT_REF_SKIP)
        write_info(w, (uint8_t)ref);
    else
        write_item_head(w, s, offset);
    write_content(w, s, offset);
    check_size(w);
}

void crdt_writer_clients(struct crdt_writer *w, uint64_t count)
{
    w->has_counts = true;
    lib0_write_uint(&w->rest, count);
}

void crdt_writer_client(struct crdt_writer *w, uint64_t client, uint64_t structs, uint64_t clock)
{
    lib0_write_uint(&w->rest, structs);
    write_client(w, client);
    lib0_write_uint(&w->rest, clock);
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
    write_client(w, id.client);
    lib0_write_uint(&w->rest, id.clock);
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
    if (is_v2(w)) {
        lib0_write_uint(&w->rest, clock - w->delete_clock);
        lib0_write_uint(&w->rest, len - 1);
    } else {
        lib0_write_uint(&w->rest, clock);
        lib0_write_uint(&w->rest, len);
    }
    w->delete_clock = clock + len;
}

/* ---- finishing ---- */

static void add_column(struct crdt_writer *w, struct crdt_buf *out, const struct crdt_buf *column)
{
    if (column->error)
        w->error = column->error;
    lib0_write_slice(out, column->data, column->len);
}

static void add_columns(struct crdt_writer *w, struct crdt_buf *out)
{
    struct runs *runs = &w->runs;
    struct crdt_buf strings = {0};
    crdt_diff_run_finish(&runs->key_clock);
    crdt_uint_run_finish(&runs->client);
    crdt_diff_run_finish(&runs->left_clock);
    crdt_diff_run_finish(&runs->right_clock);
    crdt_uint_run_finish(&runs->text_lens);
    crdt_uint_run_finish(&runs->type_ref);
    crdt_uint_run_finish(&runs->len);
    if (runs->text.error || runs->text_lens.out.error)
        w->error = -ENOMEM;
    lib0_write_slice(&strings, runs->text.data, runs->text.len);
    lib0_write_bytes(&strings, runs->text_lens.out.data, runs->text_lens.out.len);

    lib0_write_u8(out, 0); /* feature flags */
    add_column(w, out, &runs->key_clock.out);
    add_column(w, out, &runs->client.out);
    add_column(w, out, &runs->left_clock.out);
    add_column(w, out, &runs->right_clock.out);
    add_column(w, out, &runs->info.out);
    add_column(w, out, &strings);
    add_column(w, out, &runs->parent_info.out);
    add_column(w, out, &runs->type_ref.out);
    add_column(w, out, &runs->len.out);
    crdt_buf_done(&strings);
}

int crdt_writer_finish(struct crdt_writer *w, struct crdt_buf *out)
{
    size_t before = out->len;
    if (w->rest.error)
        w->error = w->rest.error;
    if (!w->error && is_v2(w))
        add_columns(w, out);
    if (!w->error)
        lib0_write_bytes(out, w->rest.data, w->rest.len);
    if (!w->error)
        w->error = out->error;
    if (!w->error && out->len - before > w->limits.output_bytes)
        w->error = -E2BIG;
    if (w->error)
        out->len = before;
    return w->error;
}
