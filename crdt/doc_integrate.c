/*
 * Where an insertion goes: YATA as Yjs has it (`Item.integrate`). The place between an item's
 * origin and its right origin may be taken by insertions made at the same time; those are scanned
 * and passed by or not, by a rule that gives the same order on all replicas.
 *
 * The rule asks of each item o of the scan whether the item of o's origin was scanned before, and
 * whether it was so since the last time that a better left neighbour was found. The scan is linear,
 * so both are comparisons of numbers: each scanned item gets the next mark.
 */
#include "doc_plan.h"

#include <string.h>

struct place {
    uint32_t left;
    uint32_t right;
    uint32_t parent;
    uint32_t key;
};

static bool is_gc(const struct crdt_doc *doc, uint32_t item)
{
    return item != NIL && doc->items[item].ref == CRDT_REF_GC;
}

/* Numbers for `count` more items. */
static uint32_t marks_begin(struct crdt_doc *doc)
{
    if (doc->mark > UINT32_MAX - doc->item_count - 1) {
        memset(doc->marks, 0, doc->item_count * sizeof(*doc->marks));
        doc->mark = 0;
    }
    return doc->mark;
}

static uint32_t list_start(const struct crdt_doc *doc, uint32_t parent, uint32_t key)
{
    uint32_t entry;

    if (key == NIL)
        return doc->types[parent].start;
    entry = entry_find(doc, parent, key);
    return entry == NIL ? NIL : doc->entries[entry].head;
}

static bool has_same_origin(const struct item *a, const struct item *b)
{
    return a->origin_client == b->origin_client &&
           (a->origin_client == NIL || a->origin_clock == b->origin_clock);
}

static bool has_same_right_origin(const struct item *a, const struct item *b)
{
    return a->right_client == b->right_client &&
           (a->right_client == NIL || a->right_clock == b->right_clock);
}

/* The left neighbour of `item`, which has not yet a place. */
static uint32_t scan_conflicts(struct crdt_doc *doc, const struct item *item,
                               const struct place *place)
{
    uint32_t begin = marks_begin(doc), cleared = begin, left = place->left;
    uint64_t id = doc->clients[item->client].id;
    uint32_t o = left != NIL ? doc->items[left].right : list_start(doc, place->parent, place->key);

    for (; o != NIL && o != place->right; o = doc->items[o].right) {
        const struct item *other = &doc->items[o];

        doc->marks[o] = ++doc->mark;
        if (has_same_origin(item, other)) {
            if (doc->clients[other->client].id < id) {
                left = o;
                cleared = doc->mark;
            } else if (has_same_right_origin(item, other)) {
                break;
            }
        } else if (other->origin_client != NIL) {
            uint32_t mark = doc->marks[item_find(doc, other->origin_client, other->origin_clock)];

            if (mark <= begin)
                break;
            if (mark <= cleared) {
                left = o;
                cleared = doc->mark;
            }
        } else {
            break;
        }
    }
    return left;
}

/* Finds neighbours and parent; false when there is no parent any more. */
static bool find_place(struct crdt_doc *doc, const struct step *step, struct item *item,
                       struct place *place)
{
    const struct crdt_struct *s = step->s;
    const struct item *parent;

    if (item->origin_client != NIL)
        place->left = item_clean_end(doc, item->origin_client, item->origin_clock);
    if (item->right_client != NIL)
        place->right = item_clean_start(doc, item->right_client, item->right_clock);
    if (is_gc(doc, place->left) || is_gc(doc, place->right))
        return false;
    switch (s->parent) {
    case CRDT_PARENT_IMPLIED:
        parent = &doc->items[place->left != NIL ? place->left : place->right];
        place->parent = parent->parent;
        place->key = parent->key;
        return true;
    case CRDT_PARENT_ROOT:
        place->parent = root_get(doc, s->parent_name);
        break;
    case CRDT_PARENT_ITEM:
        parent = &doc->items[item_find(doc, client_find(doc, s->parent_id.client),
                                       (uint32_t)s->parent_id.clock)];
        if (parent->ref != CRDT_REF_TYPE)
            return false;
        place->parent = parent->content;
        break;
    }
    if (s->parent_sub.data)
        place->key = name_intern(doc, s->parent_sub);
    return true;
}

static void store_payload(struct crdt_doc *doc, struct item *item, const void *data, size_t len)
{
    if (len == 0)
        return;
    assert(len <= doc->payload_cap - doc->payload_len);
    memcpy(doc->payload + doc->payload_len, data, len);
    doc->payload_len += (uint32_t)len;
    item->content_len += (uint32_t)len;
}

static void store_text(struct crdt_doc *doc, struct item *item, struct crdt_slice bytes,
                       uint32_t offset)
{
    size_t start = offset;
    bool is_inside = false;

    assert(bytes.len + REPLACEMENT_LEN <= doc->text_cap - doc->text_len);
    item->content = doc->text_len;
    if (offset > 0 && bytes.len != item->len + offset)
        start = lib0_utf16_offset(bytes.data, bytes.len, offset, &is_inside);
    if (is_inside) {
        memcpy(doc->text + doc->text_len, REPLACEMENT, REPLACEMENT_LEN);
        doc->text_len += REPLACEMENT_LEN;
        start += 4;
    }
    if (bytes.len > start)
        memcpy(doc->text + doc->text_len, bytes.data + start, bytes.len - start);
    doc->text_len += (uint32_t)(bytes.len - start);
    item->content_len = doc->text_len - item->content;
}

/* Copies the content, from its unit `offset` on, into the document. */
static void store_content(struct crdt_doc *doc, struct item *item, uint32_t index,
                          const struct crdt_content *content, uint32_t offset)
{
    enum crdt_ref ref = (enum crdt_ref)item->ref;
    struct crdt_slice bytes = content->bytes;
    uint32_t name;

    item->content = doc->payload_len;
    item->content_len = 0;
    if (content->value_is_any)
        item->flags |= ITEM_VALUE_IS_ANY;
    switch (ref) {
    case CRDT_REF_STRING:
        store_text(doc, item, bytes, offset);
        break;
    case CRDT_REF_TYPE:
        name = content->key.data ? name_intern(doc, content->key) : NIL;
        item->content = type_add(doc, index, content->type_ref, name);
        break;
    case CRDT_REF_FORMAT:
    case CRDT_REF_DOC:
        name = name_intern(doc, content->key);
        store_payload(doc, item, &name, sizeof(name));
        store_payload(doc, item, bytes.data, bytes.len);
        break;
    case CRDT_REF_JSON:
    case CRDT_REF_ANY:
        if (offset > 0) {
            size_t start = values_offset(ref, bytes, offset);

            bytes = (struct crdt_slice){bytes.data + start, bytes.len - start};
        }
        store_payload(doc, item, bytes.data, bytes.len);
        break;
    case CRDT_REF_BINARY:
    case CRDT_REF_EMBED:
        store_payload(doc, item, bytes.data, bytes.len);
        break;
    case CRDT_REF_DELETED:
        item->flags |= ITEM_IS_DELETED;
        break;
    case CRDT_REF_GC:
    case CRDT_REF_SKIP:
        break;
    }
}

/*
 * Joins an insertion to its left neighbour when the two would be one struct and joining costs
 * nothing, as while somebody types. `item` has its content, at the end of its buffer.
 */
static bool extend_left(struct crdt_doc *doc, const struct item *item, const struct place *place)
{
    struct client *client = &doc->clients[item->client];
    struct item *left = place->left == NIL ? NULL : &doc->items[place->left];
    uint32_t holder;

    if (!left || left->ref != item->ref || item->key != NIL || left->len == 0 || item->len == 0 ||
        client_last_item(client) != place->left || item->origin_client != item->client ||
        item->origin_clock != item->clock - 1 || !has_same_right_origin(left, item))
        return false;
    if (item->ref != CRDT_REF_STRING && item->ref != CRDT_REF_ANY && item->ref != CRDT_REF_JSON &&
        item->ref != CRDT_REF_DELETED)
        return false;
    if (item->ref != CRDT_REF_DELETED && left->content + left->content_len != item->content)
        return false;
    holder = doc->types[item->parent].item;
    if (holder != NIL && item_is_deleted(&doc->items[holder]))
        return false;
    left->len += item->len;
    left->content_len += item->content_len;
    client->state += item->len;
    if (item_is_countable(item))
        doc->types[item->parent].len += item->len;
    return true;
}

static void link_item(struct crdt_doc *doc, struct item *item, uint32_t index,
                      const struct place *place)
{
    struct type *parent = &doc->types[item->parent];
    uint32_t entry = NIL;

    if (item->key != NIL) {
        entry = entry_find(doc, item->parent, item->key);
        if (entry == NIL)
            entry = entry_add(doc, item->parent, item->key);
    }
    item->left = place->left;
    if (item->left != NIL) {
        item->right = doc->items[item->left].right;
        doc->items[item->left].right = index;
    } else if (entry != NIL) {
        item->right = doc->entries[entry].head;
        doc->entries[entry].head = index;
    } else {
        item->right = parent->start;
        parent->start = index;
    }
    if (item->right != NIL)
        doc->items[item->right].left = index;
    else if (entry != NIL)
        doc->entries[entry].tail = index;
}

static void add_item(struct crdt_doc *doc, struct item *item, struct place *place,
                     const struct crdt_content *content, uint32_t offset)
{
    uint32_t index = doc->item_count, holder;
    struct type *parent;

    item->parent = place->parent;
    item->key = place->key;
    store_content(doc, item, index, content, offset);
    if (extend_left(doc, item, place))
        return;
    assert(index < doc->item_cap);
    doc->item_count++;
    link_item(doc, item, index, place);
    doc->items[index] = *item;
    doc->marks[index] = 0;
    item_register(doc, index);
    parent = &doc->types[item->parent];
    if (item->key == NIL && item_is_countable(item))
        parent->len += item->len;

    /* A new last value of a key replaces the one before; any other value is replaced already. */
    if (item->key != NIL && item->right == NIL && item->left != NIL)
        doc_delete_item(doc, item->left);
    holder = parent->item;
    if ((item->key != NIL && item->right != NIL) ||
        (holder != NIL && item_is_deleted(&doc->items[holder])))
        doc_delete_item(doc, index);
}

/* Where the parent is gone, only the clocks are kept. */
static void add_gc(struct crdt_doc *doc, uint32_t client, uint32_t clock, uint32_t len)
{
    struct client *c = &doc->clients[client];
    uint32_t index = doc->item_count, last = client_last_item(c);

    if (is_gc(doc, last)) {
        doc->items[last].len += len;
        c->state += len;
        return;
    }
    assert(index < doc->item_cap);
    doc->item_count++;
    doc->items[index] = (struct item){
        .client = client,
        .clock = clock,
        .len = len,
        .left = NIL,
        .right = NIL,
        .origin_client = NIL,
        .right_client = NIL,
        .parent = NIL,
        .key = NIL,
        .ref = CRDT_REF_GC,
        .flags = ITEM_IS_DELETED,
    };
    doc->marks[index] = 0;
    item_register(doc, index);
}

void doc_integrate(struct crdt_doc *doc, const struct step *step)
{
    const struct crdt_struct *s = step->s;
    uint32_t state = doc->clients[step->client].state;
    uint32_t offset = state - (uint32_t)s->id.clock;
    struct place place = {NIL, NIL, NIL, NIL};
    struct item item = {
        .client = step->client,
        .clock = state,
        .len = (uint32_t)s->len - offset,
        .right = NIL,
        .origin_client = NIL,
        .right_client = NIL,
        .ref = (uint8_t)crdt_struct_ref(s),
    };
    bool has_place;

    if (s->info & CRDT_INFO_ORIGIN) {
        item.origin_client = client_find(doc, s->origin.client);
        item.origin_clock = (uint32_t)s->origin.clock;
    }
    if (s->info & CRDT_INFO_RIGHT_ORIGIN) {
        item.right_client = client_find(doc, s->right_origin.client);
        item.right_clock = (uint32_t)s->right_origin.clock;
    }
    has_place = item.ref != CRDT_REF_GC && find_place(doc, step, &item, &place);
    if (has_place && offset > 0) {
        /* Its first part is here already, and is the left neighbour of the rest. */
        item.origin_client = step->client;
        item.origin_clock = state - 1;
        place.left = item_clean_end(doc, step->client, state - 1);
        has_place = !is_gc(doc, place.left);
    }
    if (!has_place) {
        add_gc(doc, step->client, state, item.len);
        return;
    }
    if (place.left != NIL ? doc->items[place.left].right != place.right
                          : place.right == NIL || doc->items[place.right].left != NIL)
        place.left = scan_conflicts(doc, &item, &place);
    add_item(doc, &item, &place, &s->content, offset);
}
