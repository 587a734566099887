/* Positions that move with the content (Yjs `RelativePosition.js`). */
#include <errno.h>

#include "doc.h"

/* The most that a varInt of lib0 holds. */
#define MAX_ASSOC ((INT64_C(1) << 53) - 1)

/* ---- as bytes ---- */

static struct crdt_id read_id(struct lib0_reader *r)
{
    struct crdt_id id = {.client = lib0_read_uint(r)};

    id.clock = lib0_read_uint(r);
    return id;
}

int crdt_relative_position_decode(struct crdt_slice bytes,
                                  struct crdt_relative_position *ret_position)
{
    struct crdt_relative_position position = {0};
    struct crdt_id id = {0};
    struct lib0_reader r;
    uint64_t anchor;
    bool is_negative;

    lib0_reader_init(&r, bytes.data, bytes.len);
    anchor = lib0_read_uint(&r);
    if (anchor > CRDT_ANCHOR_TYPE)
        return -EBADMSG;
    position.anchor = (enum crdt_anchor)anchor;
    if (position.anchor == CRDT_ANCHOR_ROOT)
        position.root = lib0_read_string(&r);
    else
        id = read_id(&r);
    position.client = id.client;
    position.clock = id.clock;
    /* Older positions end here. */
    if (lib0_remaining(&r) > 0) {
        uint64_t magnitude = lib0_read_int(&r, &is_negative);

        position.assoc = is_negative ? -(int64_t)magnitude : (int64_t)magnitude;
    }
    if (r.has_failed)
        return -EBADMSG;
    *ret_position = position;
    return 0;
}

int crdt_relative_position_encode(const struct crdt_relative_position *position,
                                  struct crdt_buf *out)
{
    size_t start = out->len;
    int64_t assoc = position->assoc;
    int r;

    if (position->client > CRDT_MAX_CLIENT || position->clock > CRDT_MAX_CLIENT ||
        assoc > MAX_ASSOC || assoc < -MAX_ASSOC ||
        !lib0_utf8_is_valid(position->root.data, position->root.len))
        return -EINVAL;
    lib0_write_uint(out, position->anchor);
    if (position->anchor == CRDT_ANCHOR_ROOT) {
        lib0_write_slice(out, position->root.data, position->root.len);
    } else {
        lib0_write_uint(out, position->client);
        lib0_write_uint(out, position->clock);
    }
    lib0_write_int(out, (uint64_t)(assoc < 0 ? -assoc : assoc), assoc < 0);
    r = out->error;
    if (r < 0) {
        out->len = start;
        out->error = 0;
    }
    return r;
}

/* ---- of an index ---- */

static uint32_t visible_len(const struct item *item)
{
    return item_is_deleted(item) || !item_is_countable(item) ? 0 : item->len;
}

static void anchor_at(const struct crdt_doc *doc, const struct item *item, uint64_t unit,
                      struct crdt_relative_position *position)
{
    position->anchor = CRDT_ANCHOR_ITEM;
    position->client = doc->clients[item->client].id;
    position->clock = item->clock + unit;
}

void crdt_doc_position_at(const struct crdt_doc *doc, const char *name, size_t name_len,
                          uint64_t index, int64_t assoc,
                          struct crdt_relative_position *ret_position)
{
    struct crdt_relative_position position = {
        .anchor = CRDT_ANCHOR_ROOT,
        .root = {(const uint8_t *)name, name_len},
        .assoc = assoc,
    };
    uint32_t type = root_find(doc, position.root), last = NIL;
    uint64_t left = index;

    *ret_position = position;
    if (type == NIL || (assoc < 0 && index == 0))
        return;
    left -= assoc < 0;
    for (uint32_t i = doc->types[type].start; i != NIL; i = doc->items[i].right) {
        uint32_t len = visible_len(&doc->items[i]);

        if (left < len) {
            anchor_at(doc, &doc->items[i], left, ret_position);
            return;
        }
        left -= len;
        last = i;
    }
    /* Behind the last unit, deleted or not. (Without length and at clock 0 there is none.) */
    if (assoc < 0 && last != NIL && item_end(&doc->items[last]) > 0)
        anchor_at(doc, &doc->items[last], doc->items[last].len - (uint64_t)1, ret_position);
}

/* ---- to an index ---- */

/* The item that holds a clock; NIL: not yet known. */
static uint32_t find_item(const struct crdt_doc *doc, uint64_t client_id, uint64_t clock)
{
    uint32_t client = client_lookup(doc, client_id);
    struct item_walk walk;
    uint32_t item;

    if (client == NIL || clock >= doc->clients[client].state)
        return NIL;
    walk = item_walk_from(doc, client, (uint32_t)clock);
    do /* the first ones may be without length */
        item = item_walk_next(&walk);
    while (item != NIL && item_end(&doc->items[item]) <= clock);
    return item;
}

static void describe_type(const struct crdt_doc *doc, uint32_t index, uint64_t at,
                          struct crdt_absolute_position *ret_position)
{
    const struct type *type = &doc->types[index];
    struct crdt_absolute_position position = {.index = at, .is_root = type->item == NIL};

    if (position.is_root) {
        position.root = name_slice(doc, type->name);
    } else {
        const struct item *holder = &doc->items[type->item];

        position.client = doc->clients[holder->client].id;
        position.clock = holder->clock;
    }
    *ret_position = position;
}

static int resolve_item(const struct crdt_doc *doc, const struct crdt_relative_position *position,
                        struct crdt_absolute_position *ret_position)
{
    uint32_t found = find_item(doc, position->client, position->clock);
    const struct item *item;
    uint64_t index = 0;

    if (found == NIL || doc->items[found].ref == CRDT_REF_GC)
        return -ENOENT;
    item = &doc->items[found];
    if (visible_len(item) > 0)
        index = position->clock - item->clock + (position->assoc < 0);
    for (uint32_t i = item->left; i != NIL; i = doc->items[i].left)
        index += visible_len(&doc->items[i]);
    describe_type(doc, item_type(doc, item), index, ret_position);
    return 0;
}

static int resolve_type(const struct crdt_doc *doc, const struct crdt_relative_position *position,
                        struct crdt_absolute_position *ret_position)
{
    uint32_t found = find_item(doc, position->client, position->clock);
    uint32_t type;

    if (found == NIL || doc->items[found].ref != CRDT_REF_TYPE)
        return -ENOENT;
    type = doc->items[found].content;
    describe_type(doc, type, position->assoc < 0 ? 0 : doc->types[type].len, ret_position);
    return 0;
}

static void resolve_root(const struct crdt_doc *doc, const struct crdt_relative_position *position,
                         struct crdt_absolute_position *ret_position)
{
    uint32_t type = root_find(doc, position->root);

    /* A root that nobody has written to is there all the same, and empty. */
    *ret_position = (struct crdt_absolute_position){.is_root = true, .root = position->root};
    if (type != NIL && position->assoc >= 0)
        ret_position->index = doc->types[type].len;
}

int crdt_doc_position_resolve(const struct crdt_doc *doc,
                              const struct crdt_relative_position *position,
                              struct crdt_absolute_position *ret_position)
{
    switch (position->anchor) {
    case CRDT_ANCHOR_ITEM:
        return resolve_item(doc, position, ret_position);
    case CRDT_ANCHOR_TYPE:
        return resolve_type(doc, position, ret_position);
    case CRDT_ANCHOR_ROOT:
        break;
    }
    resolve_root(doc, position, ret_position);
    return 0;
}
