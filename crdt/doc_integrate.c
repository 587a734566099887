/*
 * Takes a struct of an update into the document: finds its neighbours and its parent, copies its
 * content and links it in. Yjs: `Item.integrate`.
 */
#include "doc_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIN_ENDS 1024u
#define MAX_ENDS (64u << 10)
/* An update of so many bytes may well have a struct in it. */
#define BYTES_PER_STRUCT 32u

struct place {
    uint32_t left;
    uint32_t right;
    uint32_t at; /* as item->place, */
    bool is_keyed;
    bool is_cut; /* `left` does not end with the origin */
};

void loading_begin(struct crdt_doc *doc, size_t len)
{
    struct loading *loading = &doc->scratch->loading;
    uint32_t ends = MIN_ENDS;

    while (ends < MAX_ENDS && ends < len / BYTES_PER_STRUCT)
        ends *= 2;
    *loading = (struct loading){.ends = calloc(ends, sizeof(*loading->ends)), .mask = ends - 1};
    if (loading->ends)
        doc->loading = loading;
}

void loading_end(struct crdt_doc *doc)
{
    if (!doc->loading)
        return;
    free(doc->loading->ends);
    doc->loading = NULL;
}

static bool is_gc(const struct crdt_doc *doc, uint32_t item)
{
    return item != NIL && doc->items[item].ref == CRDT_REF_GC;
}

static bool has_same_right_origin(const struct item *a, const struct item *b)
{
    return a->right_client == b->right_client &&
           (a->right_client == NIL || a->right_clock == b->right_clock);
}

/* item_clean_end() while a large update is applied. */
static uint32_t find_loaded(struct crdt_doc *doc, uint32_t client, uint32_t clock)
{
    uint32_t found = *loading_slot(doc->loading, client, clock + 1);
    uint32_t count = doc->item_count;

    if (found < count && item_end(&doc->items[found]) == clock + 1 &&
        doc->items[found].client == client && doc->items[found].len > 0)
        return found;
    found = item_clean_end(doc, client, clock);
    doc->loading->split += doc->item_count - count;
    return found;
}

/* The item that ends with an origin. */
static uint32_t find_left(struct crdt_doc *doc, const struct item *item)
{
    const struct client *client = &doc->clients[item->origin_client];
    uint32_t last = client_last_item(client);

    if (client->state == item->origin_clock + 1 && doc->items[last].len > 0)
        return last;
    if (doc->loading)
        return find_loaded(doc, item->origin_client, item->origin_clock);
    return item_clean_end(doc, item->origin_client, item->origin_clock);
}

/* The item that begins with a right origin: most often the right neighbour of `left`. */
static uint32_t find_right(struct crdt_doc *doc, const struct item *item, uint32_t left)
{
    uint32_t next = left == NIL ? NIL : doc->items[left].right;

    if (next != NIL && doc->items[next].clock == item->right_clock &&
        doc->items[next].client == item->right_client && doc->items[next].len > 0)
        return next;
    return item_clean_start(doc, item->right_client, item->right_clock);
}

/* Is `right` the next part of the struct that Yjs would hold `left` in? */
static bool is_part_of(const struct crdt_doc *doc, uint32_t left, uint32_t right)
{
    const struct item *l = &doc->items[left], *r = &doc->items[right];

    return l->client == r->client && item_end(l) == r->clock && item_continues(doc, left, right);
}

/*
 * A right origin at or before the origin: Yjs finds the struct that ends with the origin and then
 * cuts it in front of the right origin, so that its first part is the left neighbour. What Yjs
 * holds as one struct may be several items here.
 */
static uint32_t cut_left(struct crdt_doc *doc, uint32_t left, uint32_t right)
{
    for (uint32_t i = left;; i = doc->items[i].left) {
        uint32_t before = doc->items[i].left;

        doc->steps++;
        if (before == NIL || !is_part_of(doc, before, i))
            return left;
        if (i == right)
            return before;
    }
}

static void set_key(struct crdt_doc *doc, struct place *place, struct crdt_slice name)
{
    uint32_t key = name_intern(doc, name), entry = entry_find(doc, place->at, key);

    place->at = entry == NIL ? entry_add(doc, place->at, key) : entry;
    place->is_keyed = true;
}

/* The parent as the struct names it; false when there is none any more. */
static bool find_parent(struct crdt_doc *doc, const struct batch *batch,
                        const struct record *record, struct place *place)
{
    const struct rare *rare = &batch->rares[record->rare];
    const struct item *holder;

    if (rare->parent_client == NIL) {
        place->at = root_get(doc, rare->parent_name);
    } else {
        uint32_t client = batch->clients[rare->parent_client].client;

        holder = &doc->items[item_find(doc, client, rare->parent_clock)];
        if (holder->ref != CRDT_REF_TYPE)
            return false;
        place->at = holder->content;
    }
    if (rare->parent_sub.data)
        set_key(doc, place, rare->parent_sub);
    return true;
}

/* Finds the neighbours; false when one of them is gone, and the parent with it. */
static inline bool find_neighbours(struct crdt_doc *doc, const struct item *item,
                                   struct place *place)
{
    if (item->origin_client != NIL)
        place->left = find_left(doc, item);
    if (item->right_client != NIL)
        place->right = find_right(doc, item, place->left);
    if (is_gc(doc, place->left) || is_gc(doc, place->right))
        return false;
    if (place->left != NIL && place->right != NIL && item->right_client == item->origin_client &&
        item->right_clock <= item->origin_clock)
        place->left = cut_left(doc, place->left, place->right);
    /* A right origin at or before the origin has split that: it does not end with `left` any more.
     * Nobody who is honest does this, and conflict_resolve() does not reckon with it. */
    place->is_cut =
        place->left != NIL && item_end(&doc->items[place->left]) != item->origin_clock + 1;
    if (place->is_cut)
        landmarks_forget(doc);
    return true;
}

/* The parent of the neighbours. */
static inline void inherit_parent(const struct crdt_doc *doc, struct place *place)
{
    const struct item *neighbour = &doc->items[place->left != NIL ? place->left : place->right];

    place->at = neighbour->place;
    place->is_keyed = neighbour->flags & ITEM_IS_KEYED;
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

    /* A replacement is shorter than the pair that it stands for. */
    assert(bytes.len <= doc->text_cap - doc->text_len);
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
static void store_content(struct crdt_doc *doc, struct item *item, const struct batch *batch,
                          const struct record *record, uint32_t offset)
{
    enum crdt_ref ref = (enum crdt_ref)item->ref;
    struct crdt_slice bytes = {record->bytes, record->bytes_len};
    uint32_t name;

    if (ref == CRDT_REF_STRING) {
        store_text(doc, item, bytes, offset);
        return;
    }
    if (ref == CRDT_REF_DELETED) {
        item->flags |= ITEM_IS_DELETED;
        return;
    }
    item->content = doc->payload_len;
    if (record->value_is_any)
        item->flags |= ITEM_VALUE_IS_ANY;
    if (ref == CRDT_REF_FORMAT || ref == CRDT_REF_DOC) {
        name = name_intern(doc, batch->rares[record->rare].key);
        store_payload(doc, item, &name, sizeof(name));
    }
    if (offset > 0 && (ref == CRDT_REF_JSON || ref == CRDT_REF_ANY)) {
        size_t start = values_offset(ref, bytes, offset);

        bytes = (struct crdt_slice){bytes.data + start, bytes.len - start};
    }
    store_payload(doc, item, bytes.data, bytes.len);
}

/* The type in an item that is about to get the index `index`. */
static void make_type(struct crdt_doc *doc, struct item *item, uint32_t index,
                      const struct batch *batch, const struct record *record)
{
    uint32_t name = NIL;

    if (record->rare != NIL && batch->rares[record->rare].key.data)
        name = name_intern(doc, batch->rares[record->rare].key);
    item->content = type_add(doc, index, record->type_ref, name);
    item->content_len = 0;
}

/*
 * Joins an insertion to its left neighbour when the two would be one struct and joining costs
 * nothing, as while somebody types. `item` has its content, at the end of its buffer.
 */
static bool extend_left(struct crdt_doc *doc, const struct item *item, const struct place *place)
{
    struct client *client = &doc->clients[item->client];
    struct item *left = place->left == NIL ? NULL : &doc->items[place->left];

    if (!left || left->ref != item->ref || item->origin_client != item->client ||
        item->origin_clock != item->clock - 1 || left->client != item->client ||
        item_end(left) != item->clock || place->is_keyed || left->len == 0 || item->len == 0 ||
        client_last_item(client) != place->left || !has_same_right_origin(left, item))
        return false;
    if (item->ref != CRDT_REF_STRING && item->ref != CRDT_REF_ANY && item->ref != CRDT_REF_JSON &&
        item->ref != CRDT_REF_DELETED)
        return false;
    if (item->ref != CRDT_REF_DELETED && left->content + left->content_len != item->content)
        return false;
    if (doc->loading)
        doc->loading->joined++;
    left->len += item->len;
    left->content_len += item->content_len;
    client->state += item->len;
    if (item_is_countable(item)) {
        doc->types[place->at].len += item->len;
        if (doc->positions)
            positions_change(doc, place->left, item->len);
    }
    return true;
}

static void link_item(struct crdt_doc *doc, struct item *item, uint32_t index,
                      const struct place *place)
{
    struct entry *entry = place->is_keyed ? &doc->entries[place->at] : NULL;
    uint32_t *first = entry ? &entry->head : &doc->types[place->at].start;

    item->left = place->left;
    if (item->left != NIL)
        first = &doc->items[item->left].right;
    item->right = *first;
    *first = index;
    if (item->right != NIL)
        doc->items[item->right].left = index;
    else if (entry)
        entry->tail = index;
}

static void doom(struct crdt_doc *doc, uint32_t index)
{
    struct plan *plan = &doc->scratch->plan;
    const struct item *item = &doc->items[index];

    if (item_is_deleted(item))
        return;
    assert(plan->doomed_count < plan->doomed_cap);
    plan->doomed[plan->doomed_count++] =
        (struct doomed){{item->client, item->clock, item->len}, index};
}

/* The last value of a key replaces the one before; any other value is replaced already. */
static void replace_value(struct crdt_doc *doc, uint32_t index)
{
    const struct item *item = &doc->items[index];
    uint32_t replaced = item->right != NIL ? index : item->left;

    if (replaced != NIL)
        doom(doc, replaced);
}

/* Takes in the new item `index`, which has its content, at its place. */
static inline int add_item(struct crdt_doc *doc, uint32_t index, struct place *place)
{
    struct item *item = &doc->items[index];
    uint32_t type;

    item->place = place->at;
    if (place->is_keyed)
        item->flags |= ITEM_IS_KEYED;
    if (place->left != NIL ? doc->items[place->left].right != place->right
                           : place->right == NIL || doc->items[place->right].left != NIL)
        place->left = conflict_resolve(doc, item, place->left, place->right);
    /* One scan, also that of cut_left(), is bounded by the length of its list. */
    if (doc->steps > doc->limits.steps) {
        item_free(doc, index);
        return -E2BIG;
    }
    if ((!doc->loading || loading_joins(doc->loading)) && extend_left(doc, item, place)) {
        item_free(doc, index);
        latest_forget(doc);
        return 0;
    }
    link_item(doc, item, index, place);
    if (place->is_cut)
        latest_forget(doc);
    else if (!place->is_keyed)
        latest_note(doc, index);
    item_register(doc, index);
    if (doc->loading)
        *loading_slot(doc->loading, item->client, item_end(item)) = index;
    type = item_type(doc, item);
    if (item->ref == CRDT_REF_FORMAT)
        doc->types[type].has_marks = true;
    if (!place->is_keyed && item_is_countable(item))
        doc->types[type].len += item->len;
    if (doc->positions)
        positions_add(doc, index, item_visible_len(item));
    if (place->is_keyed)
        replace_value(doc, index);
    return 0;
}

/* Where the parent is gone, only the clocks are kept. */
static void add_gc(struct crdt_doc *doc, uint32_t index)
{
    struct item *item = &doc->items[index];
    struct client *client = &doc->clients[item->client];
    uint32_t last = client_last_item(client);

    if (is_gc(doc, last)) {
        doc->items[last].len += item->len;
        client->state += item->len;
        item_free(doc, index);
        return;
    }
    *item = (struct item){
        .client = item->client,
        .clock = item->clock,
        .len = item->len,
        .left = NIL,
        .right = NIL,
        .origin_client = NIL,
        .right_client = NIL,
        .place = NO_PLACE,
        .ref = CRDT_REF_GC,
        .flags = ITEM_IS_DELETED,
    };
    item_register(doc, index);
}

/* Finds neighbours and parent; false when there is no parent any more. */
static bool find_place(struct crdt_doc *doc, const struct batch *batch, const struct record *record,
                       const struct item *item, struct place *place)
{
    if (!find_neighbours(doc, item, place))
        return false;
    if (record->parent != CRDT_PARENT_IMPLIED)
        return find_parent(doc, batch, record, place);
    inherit_parent(doc, place);
    return true;
}

int doc_integrate(struct crdt_doc *doc, const struct batch *batch, const struct record *record)
{
    uint32_t client = batch->clients[record->client].client;
    uint32_t state = doc->clients[client].state, offset = state - record->clock;
    struct place place = {NIL, NIL, NIL, false, false};
    uint32_t index = item_new(doc);
    struct item *item = &doc->items[index]; /* made where it stays: nothing grows from here on */
    bool has_place;

    *item = (struct item){
        .client = client,
        .clock = state,
        .len = record->len - offset,
        .left = NIL,
        .right = NIL,
        .origin_client = NIL,
        .origin_clock = record->origin_clock,
        .right_client = NIL,
        .right_clock = record->right_clock,
        .place = NO_PLACE,
        .ref = (uint8_t)record_ref(record),
    };
    if (record->origin_client != NIL)
        item->origin_client = batch->clients[record->origin_client].client;
    if (record->right_client != NIL)
        item->right_client = batch->clients[record->right_client].client;
    has_place = item->ref != CRDT_REF_GC && find_place(doc, batch, record, item, &place);
    if (has_place && offset > 0) {
        /* Its first part is here already, and is the left neighbour of the rest. */
        item->origin_client = client;
        item->origin_clock = state - 1;
        place.left = item_clean_end(doc, client, state - 1);
        has_place = !is_gc(doc, place.left);
        /* Whatever parent it names: that of one list is one, and of the rest it is not written. */
        if (has_place)
            inherit_parent(doc, &place);
    }
    if (!has_place) {
        add_gc(doc, index);
        return 0;
    }
    if (item->ref == CRDT_REF_TYPE)
        make_type(doc, item, index, batch, record);
    else
        store_content(doc, item, batch, record, offset);
    return add_item(doc, index, &place);
}

/* Most structs of a large update are taken in here, and calls are a good part of the cost. */
__attribute__((flatten)) int doc_integrate_plain(struct crdt_doc *doc, const struct crdt_struct *s,
                                                 uint32_t client, uint32_t origin_client,
                                                 uint32_t right_client)
{
    struct place place = {NIL, NIL, NIL, false, false};
    uint32_t index = item_new(doc);
    struct item *item = &doc->items[index];

    *item = (struct item){
        .client = client,
        .clock = (uint32_t)s->id.clock,
        .len = (uint32_t)s->len,
        .left = NIL,
        .right = NIL,
        .origin_client = origin_client,
        .origin_clock = (uint32_t)s->origin.clock,
        .right_client = right_client,
        .right_clock = (uint32_t)s->right_origin.clock,
        .place = NO_PLACE,
        .ref = s->info & CRDT_INFO_REF,
        .flags = crdt_struct_ref(s) == CRDT_REF_DELETED ? ITEM_IS_DELETED : 0,
    };
    if (!find_neighbours(doc, item, &place)) {
        add_gc(doc, index);
        return 0;
    }
    inherit_parent(doc, &place);
    if (crdt_struct_ref(s) == CRDT_REF_STRING)
        store_text(doc, item, s->content.bytes, 0);
    return add_item(doc, index, &place);
}
