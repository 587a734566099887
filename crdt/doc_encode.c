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

struct encoder {
    const struct crdt_doc *doc;
    struct crdt_writer *writer;
    const uint32_t *sorted;
    uint32_t *from;        /* by client: the first clock to write; NIL: none */
    struct crdt_buf bytes; /* the content of a run that does not lie in one piece */
};

static struct crdt_id make_id(const struct crdt_doc *doc, uint32_t client, uint32_t clock)
{
    return (struct crdt_id){doc->clients[client].id, clock};
}

/* An item as it is written, but for the rest of its run. */
static void describe(const struct crdt_doc *doc, const struct item *item, struct crdt_struct *s)
{
    *s = (struct crdt_struct){
        .id = make_id(doc, item->client, item->clock),
        .len = item->len,
        .info = item->ref,
        .parent = CRDT_PARENT_IMPLIED,
        .content.bytes = item_bytes(doc, item),
        .content.value_is_any = item->flags & ITEM_VALUE_IS_ANY,
    };
    if (item->ref == CRDT_REF_GC)
        return;
    if (item->flags & ITEM_IS_KEYED)
        s->info |= CRDT_INFO_PARENT_SUB;
    if (item->origin_client != NIL) {
        s->info |= CRDT_INFO_ORIGIN;
        s->origin = make_id(doc, item->origin_client, item->origin_clock);
    }
    if (item->right_client != NIL) {
        s->info |= CRDT_INFO_RIGHT_ORIGIN;
        s->right_origin = make_id(doc, item->right_client, item->right_clock);
    }
    if (!(s->info & (CRDT_INFO_ORIGIN | CRDT_INFO_RIGHT_ORIGIN))) {
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
    if (item->ref == CRDT_REF_FORMAT || item->ref == CRDT_REF_DOC)
        s->content.key = name_slice(doc, item_name(doc, item));
    if (item->ref == CRDT_REF_TYPE) {
        const struct type *type = &doc->types[item->content];

        s->content.type_ref = type->type_ref;
        if (type->name != NIL)
            s->content.key = name_slice(doc, type->name);
    }
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

static uint64_t count_runs(const struct crdt_doc *doc, uint32_t client, uint32_t clock)
{
    struct item_walk walk;
    uint64_t runs = 0;
    uint32_t item, last = NIL;

    item_walk_start(doc, &walk, client, clock);
    while ((item = item_walk_next(&walk)) != NIL) {
        runs += last == NIL || !item_continues(doc, last, item);
        last = item;
    }
    return runs;
}

static int write_client(struct encoder *e, uint32_t client, uint32_t clock)
{
    const struct crdt_doc *doc = e->doc;
    struct item_walk walk;
    struct crdt_struct s;
    uint32_t offset, last, item;
    int r = 0;

    crdt_writer_client(e->writer, doc->clients[client].id, count_runs(doc, client, clock), clock);
    item_walk_start(doc, &walk, client, clock);
    last = item_walk_next(&walk);
    describe(doc, &doc->items[last], &s);
    offset = clock - doc->items[last].clock;
    while ((item = item_walk_next(&walk)) != NIL && r == 0) {
        if (item_continues(doc, last, item)) {
            r = append_content(e, &s, &doc->items[item]);
        } else {
            crdt_writer_struct(e->writer, &s, offset);
            offset = 0;
            e->bytes.len = 0;
            describe(doc, &doc->items[item], &s);
        }
        last = item;
    }
    crdt_writer_struct(e->writer, &s, offset);
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

/* ---- deletes ---- */

/* The next range of deleted clocks: false at the end. */
static bool next_deleted(const struct crdt_doc *doc, struct item_walk *walk, uint32_t *ret_clock,
                         uint32_t *ret_len)
{
    uint32_t index, len = 0;

    while ((index = item_walk_next(walk)) != NIL) {
        const struct item *item = &doc->items[index];

        if (item_is_deleted(item)) {
            if (len == 0)
                *ret_clock = item->clock;
            len += item->len;
        } else if (len > 0) {
            break;
        }
    }
    *ret_len = len;
    return len > 0;
}

static void write_deletes(struct encoder *e, uint32_t *ranges)
{
    const struct crdt_doc *doc = e->doc;
    struct item_walk walk;
    uint32_t clock, len;
    uint64_t clients = 0;

    for (uint32_t i = 0; i < doc->client_count; i++) {
        ranges[i] = 0;
        item_walk_start(doc, &walk, i, 0);
        while (next_deleted(doc, &walk, &clock, &len))
            ranges[i]++;
        clients += ranges[i] > 0;
    }
    crdt_writer_deletes(e->writer, clients);
    for (uint32_t i = 0; i < doc->client_count; i++) {
        uint32_t client = e->sorted[i];

        if (ranges[client] == 0)
            continue;
        crdt_writer_delete_client(e->writer, doc->clients[client].id, ranges[client]);
        item_walk_start(doc, &walk, client, 0);
        while (next_deleted(doc, &walk, &clock, &len))
            crdt_writer_delete(e->writer, clock, len);
    }
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
    if (e.sorted && e.from)
        r = read_state_vector(&e, sv, sv_len);
    if (r == 0) {
        e.writer = crdt_writer_new(format, &doc->limits);
        r = e.writer ? write_structs(&e) : -ENOMEM;
    }
    if (r == 0) {
        write_deletes(&e, e.from);
        r = crdt_writer_finish(e.writer, out);
    }
    crdt_writer_free(e.writer);
    crdt_buf_done(&e.bytes);
    free(e.from);
    return r;
}

/* The waiting structs beyond a state vector, in the format of the answer. */
static int encode_pending_structs(const struct crdt_doc *doc, enum crdt_format format,
                                  struct crdt_slice sv, struct crdt_buf *out)
{
    struct crdt_buf merged = {0}, diff = {0}, none = {0};
    static const uint8_t no_clients[] = {0};
    int r = pending_merge(&doc->pending, &none, &doc->limits, &merged);

    if (sv.len == 0)
        sv = (struct crdt_slice){no_clients, sizeof(no_clients)};
    if (r == 0)
        r = crdt_update_diff(CRDT_V2, (struct crdt_slice){merged.data, merged.len}, sv,
                             &doc->limits, &diff);
    if (r == 0)
        r = crdt_update_convert(CRDT_V2, (struct crdt_slice){diff.data, diff.len}, format,
                                &doc->limits, out);
    crdt_buf_done(&merged);
    crdt_buf_done(&diff);
    return r;
}

int crdt_doc_encode(const struct crdt_doc *doc, enum crdt_format format, const uint8_t *sv,
                    size_t sv_len, struct crdt_buf *out)
{
    struct crdt_buf parts[3] = {0};
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
        r = crdt_update_merge(format, slices, count, &doc->limits, out);
    for (size_t i = 0; i < count; i++)
        crdt_buf_done(&parts[i]);
    return r;
}
