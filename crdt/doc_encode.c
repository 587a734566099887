/*
 * State vectors and updates of a document. Yjs joins neighbouring structs in memory; here they are
 * joined while they are written, which gives the same bytes: a run is an item and all that
 * item_continues() it.
 */
#include "doc_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool has_items(const struct client *client)
{
    return client_last_item(client) != NIL;
}

int crdt_doc_state_vector(const struct crdt_doc *doc, struct crdt_buf *out)
{
    const uint32_t *sorted = clients_sorted(doc);
    size_t start = out->len;
    uint64_t count = 0;
    int r;

    if (!sorted)
        return -ENOMEM;
    for (uint32_t i = 0; i < doc->client_count; i++)
        count += has_items(&doc->clients[i]);
    lib0_write_uint(out, count);
    for (uint32_t i = 0; i < doc->client_count; i++) {
        const struct client *client = &doc->clients[sorted[i]];

        if (!has_items(client))
            continue;
        lib0_write_uint(out, client->id);
        lib0_write_uint(out, client->state);
    }
    r = out->error;
    if (r < 0)
        out->len = start;
    return r;
}

/* ---- structs ---- */

struct span {
    uint32_t clock;
    uint32_t len;
};

/* The deletes of a client. */
struct deleted {
    uint32_t first; /* in encoder->ranges */
    uint32_t count;
    bool is_listed;
};

struct encoder {
    const struct crdt_doc *doc;
    struct crdt_writer *writer;
    const uint32_t *sorted;
    uint32_t *from;          /* by client: the first clock to write; NIL: none */
    struct crdt_buf bytes;   /* the content of a run that does not lie in one piece */
    struct deleted *deleted; /* by client */
    struct span *ranges;
    uint32_t count;
    uint32_t cap;
};

/* ---- deletes ---- */

static void begin_deleted(struct encoder *e, uint32_t client)
{
    e->deleted[client] = (struct deleted){.first = e->count, .is_listed = true};
}

/* Takes an item into the deletes of its client, which was begun last. */
static inline int list_item(struct encoder *e, const struct item *item)
{
    struct deleted *deleted = &e->deleted[item->client];
    struct span *last;

    if (!item_is_deleted(item) || item->len == 0)
        return 0;
    last = deleted->count > 0 ? &e->ranges[e->count - 1] : NULL;
    if (last && last->clock + last->len == item->clock) {
        last->len += item->len;
        return 0;
    }
    if (array_reserve(&e->ranges, &e->cap, e->count + (uint64_t)1, sizeof(*e->ranges)) < 0)
        return -ENOMEM;
    e->ranges[e->count++] = (struct span){item->clock, item->len};
    deleted->count++;
    return 0;
}

static int list_deleted(struct encoder *e, uint32_t client)
{
    struct item_walk walk = item_walk_from(e->doc, client, 0);
    uint32_t index;
    int r = 0;

    begin_deleted(e, client);
    while (r == 0 && (index = item_walk_next(&walk)) != NIL)
        r = list_item(e, &e->doc->items[index]);
    return r;
}

static struct crdt_id make_id(const struct crdt_doc *doc, uint32_t client, uint32_t clock)
{
    return (struct crdt_id){doc->clients[client].id, clock};
}

static void describe_parent(const struct crdt_doc *doc, const struct item *item,
                            struct crdt_struct *s)
{
    const struct type *parent = &doc->types[item_type(doc, item)];

    if (parent->item == NIL) {
        s->parent = CRDT_PARENT_ROOT;
        s->parent_name = name_slice(doc, parent->name);
    } else {
        const struct item *holder = &doc->items[parent->item];

        s->parent = CRDT_PARENT_ITEM;
        s->parent_id = make_id(doc, holder->client, holder->clock);
    }
    if (item->flags & ITEM_IS_KEYED)
        s->parent_sub = name_slice(doc, doc->entries[item->place].key);
}

static void describe_content(const struct crdt_doc *doc, const struct item *item,
                             struct crdt_content *content)
{
    *content = (struct crdt_content){
        .bytes = item_bytes(doc, item),
        .value_is_any = item->flags & ITEM_VALUE_IS_ANY,
    };
    if (item->ref == CRDT_REF_FORMAT || item->ref == CRDT_REF_DOC)
        content->key = name_slice(doc, item_name(doc, item));
    if (item->ref == CRDT_REF_TYPE) {
        const struct type *type = &doc->types[item->content];

        content->type_ref = type->type_ref;
        if (type->name != NIL)
            content->key = name_slice(doc, type->name);
    }
}

/* An item as it is written, but for its client and the rest of its run. What a struct of its kind
 * does not have is left as it was. */
static inline void describe(const struct crdt_doc *doc, const struct item *item,
                            struct crdt_struct *s)
{
    uint8_t info = item->ref;

    s->id.clock = item->clock;
    s->len = item->len;
    s->parent = CRDT_PARENT_IMPLIED;
    /* Which of the two it is nobody can predict: one test for both. */
    if (1u << item->ref & (1u << CRDT_REF_STRING | 1u << CRDT_REF_DELETED))
        s->content.bytes = (struct crdt_slice){doc->text + item->content, item->content_len};
    else
        describe_content(doc, item, &s->content);
    if (item->flags & ITEM_IS_KEYED)
        info |= CRDT_INFO_PARENT_SUB;
    if (item->origin_client != NIL) {
        info |= CRDT_INFO_ORIGIN;
        s->origin = make_id(doc, item->origin_client, item->origin_clock);
    }
    if (item->right_client != NIL) {
        info |= CRDT_INFO_RIGHT_ORIGIN;
        s->right_origin = make_id(doc, item->right_client, item->right_clock);
    }
    s->info = info;
    if (!(info & (CRDT_INFO_ORIGIN | CRDT_INFO_RIGHT_ORIGIN)) && item->ref != CRDT_REF_GC)
        describe_parent(doc, item, s);
}

/* Adds the content of the next item of a run. */
static int append_content(struct encoder *e, struct crdt_struct *s, const struct item *item)
{
    struct crdt_slice next = item_bytes(e->doc, item);

    s->len += item->len;
    if (next.len == 0)
        return 0;
    if (s->content.bytes.data + s->content.bytes.len == next.data) {
        s->content.bytes.len += next.len;
        return 0;
    }
    if (s->content.bytes.data != e->bytes.data || e->bytes.len == 0) {
        e->bytes.len = 0;
        lib0_write_bytes(&e->bytes, s->content.bytes.data, s->content.bytes.len);
    }
    lib0_write_bytes(&e->bytes, next.data, next.len);
    s->content.bytes = (struct crdt_slice){e->bytes.data, e->bytes.len};
    return e->bytes.error;
}

/* From clock 0 on, the deletes are listed on the way. */
static int write_client(struct encoder *e, uint32_t client, uint32_t clock)
{
    const struct crdt_doc *doc = e->doc;
    struct crdt_struct s = {.id.client = doc->clients[client].id};
    struct item_walk walk = item_walk_from(doc, client, clock);
    uint32_t item = item_walk_next(&walk), next;
    uint32_t offset = clock - doc->items[item].clock;
    int r = 0;

    crdt_writer_begin(e->writer, s.id.client, client_item_count(doc, client), clock);
    if (clock == 0)
        begin_deleted(e, client);
    for (describe(doc, &doc->items[item], &s); r == 0; item = next) {
        if (clock == 0)
            r = list_item(e, &doc->items[item]);
        next = item_walk_next(&walk);
        if (next == NIL)
            break;
        if (item_continues(doc, item, next)) {
            r = r ? r : append_content(e, &s, &doc->items[next]);
            continue;
        }
        crdt_writer_struct(e->writer, &s, offset);
        offset = 0;
        e->bytes.len = 0;
        describe(doc, &doc->items[next], &s);
    }
    crdt_writer_struct(e->writer, &s, offset);
    crdt_writer_end(e->writer);
    e->bytes.len = 0;
    return r;
}

static int write_structs(struct encoder *e)
{
    const struct crdt_doc *doc = e->doc;
    uint64_t count = 0;
    int r = 0;

    for (uint32_t i = 0; i < doc->client_count; i++)
        count += e->from[i] != NIL;
    crdt_writer_clients(e->writer, count);
    for (uint32_t i = 0; i < doc->client_count && r == 0; i++)
        if (e->from[e->sorted[i]] != NIL)
            r = write_client(e, e->sorted[i], e->from[e->sorted[i]]);
    return r;
}

static int write_deletes(struct encoder *e)
{
    const struct crdt_doc *doc = e->doc;
    uint64_t clients = 0;
    int r = 0;

    for (uint32_t i = 0; i < doc->client_count && r == 0; i++) {
        if (!e->deleted[i].is_listed)
            r = list_deleted(e, i);
        clients += e->deleted[i].count > 0;
    }
    if (r < 0)
        return r;
    crdt_writer_deletes(e->writer, clients);
    for (uint32_t i = 0; i < doc->client_count; i++) {
        const struct deleted *deleted = &e->deleted[e->sorted[i]];
        const struct span *range = e->ranges + deleted->first;

        if (deleted->count == 0)
            continue;
        crdt_writer_delete_client(e->writer, doc->clients[e->sorted[i]].id, deleted->count);
        for (uint32_t n = 0; n < deleted->count; n++, range++)
            crdt_writer_delete(e->writer, range->clock, range->len);
    }
    return 0;
}

/* ---- updates ---- */

/* From which clock each client is to be written. */
static int read_state_vector(struct encoder *e, const uint8_t *sv, size_t sv_len)
{
    const struct crdt_doc *doc = e->doc;
    struct lib0_reader reader;
    uint64_t count;

    for (uint32_t i = 0; i < doc->client_count; i++)
        e->from[i] = has_items(&doc->clients[i]) ? 0 : NIL;
    if (sv_len == 0)
        return 0;
    lib0_reader_init(&reader, sv, sv_len);
    count = lib0_read_uint(&reader);
    if (count > doc->limits.clients)
        return reader.has_failed ? -EBADMSG : -E2BIG;
    for (uint64_t i = 0; i < count && !reader.has_failed; i++) {
        uint64_t id = lib0_read_uint(&reader);
        uint64_t clock = lib0_read_uint(&reader);
        uint32_t client = client_lookup(doc, id);

        if (client == NIL || !has_items(&doc->clients[client]))
            continue;
        e->from[client] = clock < doc->clients[client].state ? (uint32_t)clock : NIL;
    }
    return reader.has_failed ? -EBADMSG : 0;
}

static int encode_state(const struct crdt_doc *doc, enum crdt_format format, const uint8_t *sv,
                        size_t sv_len, struct crdt_buf *out)
{
    struct encoder e = {.doc = doc, .sorted = clients_sorted(doc)};
    int r = -ENOMEM;

    e.from = calloc((size_t)doc->client_count + 1, sizeof(*e.from));
    e.deleted = calloc((size_t)doc->client_count + 1, sizeof(*e.deleted));
    if (e.sorted && e.from && e.deleted)
        r = read_state_vector(&e, sv, sv_len);
    if (r == 0) {
        e.writer = crdt_writer_new(format, &doc->limits);
        r = e.writer ? 0 : -ENOMEM;
    }
    if (r == 0) {
        if (sv_len == 0)
            crdt_writer_reserve(e.writer, (struct crdt_slice){doc->text, doc->text_cap},
                                doc->item_count);
        r = write_structs(&e);
    }
    if (r == 0)
        r = write_deletes(&e);
    if (r == 0)
        r = crdt_writer_finish(e.writer, out);
    crdt_writer_free(e.writer);
    crdt_buf_done(&e.bytes);
    free(e.from);
    free(e.deleted);
    free(e.ranges);
    return r;
}

/* The waiting structs beyond a state vector, in the format of the answer. */
static int encode_pending_structs(const struct crdt_doc *doc, enum crdt_format format,
                                  struct crdt_slice sv, struct crdt_buf *out)
{
    struct crdt_buf merged = {0}, diff = {0}, none = {0};
    static const uint8_t no_clients[] = {0};
    struct crdt_limits own = doc_own_limits(doc);
    int r = pending_merge(&doc->pending, &none, &own, &merged);

    if (sv.len == 0)
        sv = (struct crdt_slice){no_clients, sizeof(no_clients)};
    if (r == 0)
        r = crdt_update_diff(CRDT_V2, (struct crdt_slice){merged.data, merged.len}, sv, &own,
                             &diff);
    if (r == 0)
        r = crdt_update_convert(CRDT_V2, (struct crdt_slice){diff.data, diff.len}, format, &own,
                                out);
    crdt_buf_done(&merged);
    crdt_buf_done(&diff);
    return r;
}

int crdt_doc_encode(const struct crdt_doc *doc, enum crdt_format format, const uint8_t *sv,
                    size_t sv_len, struct crdt_buf *out)
{
    struct crdt_buf parts[3] = {0};
    struct crdt_limits own = doc_own_limits(doc);
    struct crdt_slice slices[3];
    size_t count = 1;
    int r;

    if (!crdt_doc_has_pending(doc))
        return encode_state(doc, format, sv, sv_len, out);
    r = encode_state(doc, format, sv, sv_len, &parts[0]);
    if (r == 0 && doc->pending.deletes.count > 0)
        r = range_list_encode(&doc->pending.deletes, format, &doc->limits, &parts[count++]);
    if (r == 0 && doc->pending.update_count > 0)
        r = encode_pending_structs(doc, format, (struct crdt_slice){sv, sv_len}, &parts[count++]);
    for (size_t i = 0; i < count; i++)
        slices[i] = (struct crdt_slice){parts[i].data, parts[i].len};
    if (r == 0)
        r = crdt_update_merge(format, slices, count, &own, out);
    for (size_t i = 0; i < count; i++)
        crdt_buf_done(&parts[i]);
    return r;
}
