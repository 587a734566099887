/*
 * Taking insertions back. Only after it has begun to integrate an update does the document know how
 * many steps that takes; if they are too many, it becomes again what it was.
 *
 * An insertion moves nothing: without the items that came last, the order of the others is what it
 * was before. So they are unlinked, last first; then the parts of items that were split are put
 * together, and what was appended to the arrays is cut off. Nothing has been deleted yet, see
 * struct doomed.
 */
#include "doc_plan.h"

void doc_mark(struct crdt_doc *doc, struct plan *plan)
{
    const struct batch *batches[] = {&plan->incoming, &plan->retried};
    struct mark *mark = doc->mark = &plan->mark;

    mark->type_count = doc->type_count;
    mark->entry_count = doc->entry_count;
    mark->name_count = doc->name_count;
    mark->text_len = doc->text_len;
    mark->payload_len = doc->payload_len;
    mark->split_count = 0;
    for (size_t b = 0; b < sizeof(batches) / sizeof(batches[0]); b++)
        for (uint32_t i = 0; i < batches[b]->group_count; i++) {
            struct batch_client *client = &batches[b]->clients[batches[b]->groups[i].client];

            client->state = doc->clients[client->client].state;
            client->last = client_last_item(&doc->clients[client->client]);
        }
}

static void take_back_item(struct crdt_doc *doc, uint32_t index)
{
    const struct item *item = &doc->items[index];

    if (item->ref != CRDT_REF_GC) {
        item_unlink(doc, item);
        doc->types[item_type(doc, item)].len -= item_visible_len(item);
    }
    item_free(doc, index);
}

/* Leaves of an item's content what was there before. */
static void trim_content(const struct mark *mark, struct item *item)
{
    uint32_t end = item->ref == CRDT_REF_STRING ? mark->text_len : mark->payload_len;

    if (item->content_len > 0 && item->content + item->content_len > end)
        item->content_len = end - item->content;
}

/* Insertions may have been joined to an item that was there. */
static void shorten(struct crdt_doc *doc, const struct mark *mark, struct item *item, uint32_t end)
{
    uint32_t surplus = item_end(item) - end;

    if (item_visible_len(item) > 0)
        doc->types[item->place].len -= surplus;
    item->len -= surplus;
    trim_content(mark, item);
}

static void take_back_client(struct crdt_doc *doc, const struct mark *mark,
                             const struct batch_client *before)
{
    struct client *client = &doc->clients[before->client];
    uint32_t last;

    /* An empty item may have been there at the same clock. */
    while ((last = client->last_item) != NIL && last != before->last &&
           doc->items[last].clock >= before->state) {
        item_unregister(doc, client);
        take_back_item(doc, last);
    }
    client->state = before->state;
    if (last != NIL && item_end(&doc->items[last]) > before->state)
        shorten(doc, mark, &doc->items[last], before->state);
}

/* Unless the right part has gone with the insertions. */
static void undo_split(struct crdt_doc *doc, const struct mark *mark, const struct split *split)
{
    struct item *item;

    if (split->clock >= doc->clients[split->client].state)
        return;
    item = &doc->items[item_unsplit(doc, split->client, split->clock)];
    item->content = split->content;
    item->content_len = split->content_len;
    trim_content(mark, item);
    if (split->pair_at > 0)
        memcpy(doc->text + split->pair_at, split->pair, sizeof(split->pair));
}

void doc_retract(struct crdt_doc *doc, struct plan *plan)
{
    const struct batch *batches[] = {&plan->incoming, &plan->retried};
    const struct mark *mark = &plan->mark;

    landmarks_forget(doc);
    positions_free(doc);
    doc->cursor.type = NIL;
    for (size_t b = 0; b < sizeof(batches) / sizeof(batches[0]); b++)
        for (uint32_t i = 0; i < batches[b]->group_count; i++)
            take_back_client(doc, mark, &batches[b]->clients[batches[b]->groups[i].client]);
    for (uint32_t i = mark->split_count; i > 0; i--)
        undo_split(doc, mark, &mark->splits[i - 1]);
    entries_truncate(doc, mark->entry_count);
    names_truncate(doc, mark->name_count);
    doc->type_count = mark->type_count;
    doc->text_len = mark->text_len;
    doc->payload_len = mark->payload_len;
}
