/*
 * Deletes leave the clocks and the place of an item and take its content. Of a type they take all
 * that is in it as well: its items become GC structs, at the end of the transaction as in Yjs,
 * because an insertion may still name them as its neighbours. Types wait for that in a list, which
 * also serves in place of a recursion into what is nested.
 */
#include "doc.h"

static void drop_content(struct crdt_doc *doc, struct item *item)
{
    if (item->ref == CRDT_REF_STRING)
        doc->text_dead += item->content_len;
    else if (item->ref != CRDT_REF_TYPE)
        doc->payload_dead += item->content_len;
    item->ref = CRDT_REF_DELETED;
    item->flags = (item->flags & ITEM_IS_KEYED) | ITEM_IS_DELETED;
    item->content = 0;
    item->content_len = 0;
}

static void bury_type(struct crdt_doc *doc, uint32_t type)
{
    if (doc->dead_first == NIL)
        doc->dead_first = type;
    else
        doc->types[doc->dead_last].next_dead = type;
    doc->dead_last = type;
    doc->types[type].next_dead = NIL;
    if (doc->dead_cursor == NIL)
        doc->dead_cursor = type;
}

static void delete_one(struct crdt_doc *doc, uint32_t index)
{
    struct item *item = &doc->items[index];
    uint32_t len = item_visible_len(item);

    if (item_is_deleted(item))
        return;
    if (len > 0) {
        doc->types[item->place].len -= len;
        if (doc->positions)
            positions_change(doc, index, -(int64_t)len);
    }
    if (item->ref == CRDT_REF_TYPE) {
        item->flags |= ITEM_IS_DELETED;
        bury_type(doc, item->content);
    } else {
        drop_content(doc, item);
    }
}

void doc_delete_item(struct crdt_doc *doc, uint32_t item)
{
    delete_one(doc, item);
    while (doc->dead_cursor != NIL) {
        const struct type *type = &doc->types[doc->dead_cursor];

        for (uint32_t i = type->start; i != NIL; i = doc->items[i].right)
            delete_one(doc, i);
        for (uint32_t e = type->first_entry; e != NIL; e = doc->entries[e].next)
            delete_one(doc, doc->entries[e].tail);
        doc->dead_cursor = type->next_dead;
    }
}

bool doc_delete_range(struct crdt_doc *doc, uint32_t client, uint32_t clock, uint32_t len)
{
    uint32_t end = clock + len, index = item_find(doc, client, clock);
    struct item_walk walk;
    bool has_changed = false;

    if (!item_is_deleted(&doc->items[index]) && doc->items[index].clock < clock) {
        item_split(doc, index, clock - doc->items[index].clock);
        item_find(doc, client, clock);
    }
    walk = item_walk_here(doc, client);
    while ((index = item_walk_next(&walk)) != NIL && doc->items[index].clock < end) {
        const struct item *item = &doc->items[index];

        if (item_is_deleted(item))
            continue;
        if (item_end(item) > end) {
            /* The last one: the walk, which a split makes stale, ends here. */
            item_split(doc, index, end - item->clock);
            doc_delete_item(doc, index);
            return true;
        }
        doc_delete_item(doc, index);
        has_changed = true;
    }
    return has_changed;
}

static void make_gc(struct crdt_doc *doc, uint32_t index)
{
    struct item *item = &doc->items[index];

    item->ref = CRDT_REF_GC;
    item->flags = ITEM_IS_DELETED;
    item->left = item->right = NIL;
    item->place = NO_PLACE;
    item->origin_client = item->right_client = NIL;
    item->content = item->content_len = 0;
}

static void free_chain(struct crdt_doc *doc, uint32_t first)
{
    uint32_t next;

    for (uint32_t i = first; i != NIL; i = next) {
        struct item *item = &doc->items[i];

        next = item->right;
        make_gc(doc, i);
        if (item->len > 0)
            items_join(doc, item->client, item->clock, item_end(item));
    }
}

void doc_gc(struct crdt_doc *doc)
{
    if (doc->dead_first == NIL)
        return;
    landmarks_forget(doc);
    /* The types' own items first: those inside of another dead type become GC afterwards. */
    for (uint32_t t = doc->dead_first; t != NIL; t = doc->types[t].next_dead)
        drop_content(doc, &doc->items[doc->types[t].item]);
    for (uint32_t t = doc->dead_first; t != NIL; t = doc->types[t].next_dead) {
        struct type *type = &doc->types[t];

        if (doc->positions)
            positions_drop(doc, t);
        free_chain(doc, type->start);
        for (uint32_t e = type->first_entry; e != NIL; e = doc->entries[e].next) {
            free_chain(doc, doc->entries[e].head);
            doc->entries[e].head = doc->entries[e].tail = NIL;
        }
        type->start = NIL;
    }
    doc->dead_first = doc->dead_last = NIL;
}
