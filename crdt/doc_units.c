/* A root text by the ids of its units: reading it, and the updates of edits of it. */
#include <errno.h>

#include "doc.h"
#include "text_units.h"

static struct crdt_id id_of(const struct crdt_doc *doc, const struct item *item, uint32_t unit)
{
    return (struct crdt_id){doc->clients[item->client].id, item->clock + (uint64_t)unit};
}

void crdt_doc_read_units(const struct crdt_doc *doc, struct crdt_slice root, crdt_units_fn fn,
                         void *ctx)
{
    uint32_t type = root_find(doc, root);
    struct crdt_units units = {.has_after = false};

    for (uint32_t i = type == NIL ? NIL : doc->types[type].start; i != NIL;
         i = doc->items[i].right) {
        const struct item *item = &doc->items[i];

        if (item_visible_len(item) == 0)
            continue;
        units.id = id_of(doc, item, 0);
        units.len = item->len;
        units.text = (struct crdt_slice){NULL, 0};
        if (item->ref == CRDT_REF_STRING)
            units.text = (struct crdt_slice){doc->text + item->content, item->content_len};
        fn(ctx, &units);
        units.has_after = true;
        units.after = id_of(doc, item, item->len - 1);
    }
}

/* ---- neighbours ---- */

/* The item that holds a unit; NIL: not known yet. */
static uint32_t find_unit(struct crdt_doc *doc, struct crdt_id id)
{
    uint32_t client = client_lookup(doc, id.client);
    struct item_walk walk;
    uint32_t item;

    if (client == NIL || id.clock >= doc->clients[client].state)
        return NIL;
    walk = item_walk_from(doc, client, (uint32_t)id.clock);
    do /* the first ones may be without length */
        item = item_walk_next(&walk);
    while (item != NIL && item_end(&doc->items[item]) <= id.clock);
    return item;
}

static bool is_in_list(const struct crdt_doc *doc, uint32_t type, uint32_t item)
{
    const struct item *i = &doc->items[item];

    return i->ref != CRDT_REF_GC && !(i->flags & ITEM_IS_KEYED) && i->place == type;
}

/* Can a neighbour be one? */
static bool is_neighbour(struct crdt_doc *doc, uint32_t type, struct crdt_id neighbour,
                         struct crdt_id id)
{
    uint32_t item = find_unit(doc, neighbour);

    if (neighbour.client > CRDT_MAX_CLIENT || neighbour.clock >= CRDT_MAX_CLOCK ||
        (neighbour.client == id.client && neighbour.clock >= id.clock))
        return false;
    return item == NIL || (type != NIL && is_in_list(doc, type, item));
}

/* The unit right behind another one, or the first one of the list. */
static bool find_next(struct crdt_doc *doc, uint32_t type, const struct crdt_id *after,
                      struct crdt_id *ret_next)
{
    uint32_t next = type == NIL ? NIL : doc->types[type].start;

    if (after) {
        uint32_t item = find_unit(doc, *after);

        if (item == NIL)
            return false;
        if (after->clock + 1 < item_end(&doc->items[item])) {
            *ret_next = (struct crdt_id){after->client, after->clock + 1};
            return true;
        }
        next = doc->items[item].right;
    }
    while (next != NIL && doc->items[next].len == 0)
        next = doc->items[next].right;
    if (next == NIL)
        return false;
    *ret_next = id_of(doc, &doc->items[next], 0);
    return true;
}

/* ---- updates ---- */

/* The writer is of format 1, and finishes with the delete set. */
static int finish(struct crdt_writer *writer, struct crdt_buf *out)
{
    int r = crdt_writer_finish(writer, out);

    crdt_writer_free(writer);
    return r;
}

static int check_insertion(struct crdt_doc *doc, uint32_t type,
                           const struct crdt_units_insertion *insertion, uint64_t *ret_len)
{
    struct crdt_id id = insertion->id;
    uint64_t len;

    if (!lib0_utf8_measure(insertion->text.data, insertion->text.len, &len) || len == 0 ||
        id.client > CRDT_MAX_CLIENT || id.clock > CRDT_MAX_CLOCK || len > CRDT_MAX_CLOCK - id.clock)
        return -EINVAL;
    if (insertion->has_after && !is_neighbour(doc, type, insertion->after, id))
        return -EINVAL;
    if (insertion->before_kind == CRDT_BEFORE_UNIT &&
        !is_neighbour(doc, type, insertion->before, id))
        return -EINVAL;
    *ret_len = len;
    return 0;
}

int crdt_doc_insert_units(struct crdt_doc *doc, struct crdt_slice root,
                          const struct crdt_units_insertion *insertion, struct crdt_buf *out)
{
    struct crdt_struct s = {
        .id = insertion->id,
        .info = CRDT_REF_STRING,
        .parent = CRDT_PARENT_IMPLIED,
        .content.bytes = insertion->text,
    };
    uint32_t type = root_find(doc, root);
    bool has_before = insertion->before_kind == CRDT_BEFORE_UNIT;
    int r = check_insertion(doc, type, insertion, &s.len);
    struct crdt_writer *writer;

    if (r < 0)
        return r;
    s.right_origin = insertion->before;
    if (insertion->before_kind == CRDT_BEFORE_CURRENT)
        has_before =
            find_next(doc, type, insertion->has_after ? &insertion->after : NULL, &s.right_origin);
    if (insertion->has_after) {
        s.info |= CRDT_INFO_ORIGIN;
        s.origin = insertion->after;
    }
    if (has_before)
        s.info |= CRDT_INFO_RIGHT_ORIGIN;
    if (!insertion->has_after && !has_before) {
        s.parent = CRDT_PARENT_ROOT;
        s.parent_name = root;
    }
    writer = crdt_writer_new(CRDT_V1, &doc->limits);
    if (!writer)
        return -ENOMEM;
    crdt_writer_append(writer, &s, 0);
    crdt_writer_deletes(writer, 0);
    return finish(writer, out);
}

int crdt_doc_delete_units(struct crdt_doc *doc, struct crdt_slice root, struct crdt_id id,
                          uint64_t len, struct crdt_buf *out)
{
    uint32_t type = root_find(doc, root), client = client_lookup(doc, id.client), item;
    struct crdt_writer *writer;

    if (id.client > CRDT_MAX_CLIENT || id.clock > CRDT_MAX_CLOCK || len == 0 ||
        len > CRDT_MAX_CLOCK - id.clock)
        return -EINVAL;
    if (client != NIL && id.clock < doc->clients[client].state) {
        struct item_walk walk = item_walk_from(doc, client, (uint32_t)id.clock);

        while ((item = item_walk_next(&walk)) != NIL && doc->items[item].clock < id.clock + len)
            if (doc->items[item].len > 0 && (type == NIL || !is_in_list(doc, type, item)))
                return -EINVAL;
    }
    writer = crdt_writer_new(CRDT_V1, &doc->limits);
    if (!writer)
        return -ENOMEM;
    crdt_writer_clients(writer, 0);
    crdt_writer_deletes(writer, 1);
    crdt_writer_delete_client(writer, id.client, 1);
    crdt_writer_delete(writer, id.clock, len);
    return finish(writer, out);
}
