/*
 * Loading: a large update into an empty document is integrated struct by struct while it is
 * decoded, for nothing is to be kept if it fails: the document is made empty again. This saves
 * writing down what was decoded.
 *
 * It goes on as long as each struct finds what it needs; the first that does not, and all after it,
 * take the usual way through a plan.
 */
#include "doc_plan.h"

/* An update of so many bytes may well have a struct in it. */
#define BYTES_PER_STRUCT 32u
/* Items and slots that one struct or range may add at most: itself, and two for each of two splits;
 * these may split two chunks and fill a third. */
#define STRUCT_ITEMS  5u
#define STRUCT_CHUNKS 3u

bool stream_is_possible(const struct crdt_doc *doc)
{
    return doc->item_count == 0 && doc->client_count == 0 && doc->type_count == 0 &&
           doc->name_count == 0 && !crdt_doc_has_pending(doc);
}

/* What an update of `len` bytes is likely to need; it is given back afterwards. */
int stream_begin(struct crdt_doc *doc, size_t len)
{
    int r = items_reserve(doc, len / BYTES_PER_STRUCT);

    return r ? r : array_reserve(&doc->text, &doc->text_cap, len / 3, 1);
}

/* Has a client's index room for one more struct and what that may split? */
static inline bool has_client_room(const struct crdt_doc *doc, uint32_t client)
{
    const struct client *c = &doc->clients[client];

    if (c->chunk_count == 1)
        return c->chunks[0].chunk->cap - c->chunks[0].chunk->count >= STRUCT_ITEMS;
    return c->chunk_cap - c->chunk_count >= STRUCT_CHUNKS &&
           doc->spare_chunk_count >= STRUCT_CHUNKS;
}

/* Finds the document's client of a neighbour: 1; or 0 when there is more to be done than to look it
 * up, as the neighbour is not known or a split of it might need memory. The client that writes is
 * known to have room. */
static inline int find_neighbour(struct crdt_doc *doc, struct batch *batch, struct crdt_id id,
                                 uint32_t writer, uint32_t *ret_client)
{
    uint32_t client;
    int r = batch_client(doc, batch, id.client, &client);

    if (r < 0)
        return r;
    client = batch->clients[client].client;
    if (client == NIL || id.clock >= doc->clients[client].state ||
        (client != writer && !has_client_room(doc, client)))
        return 0;
    *ret_client = client;
    return 1;
}

int stream_plain(struct crdt_doc *doc, struct batch *batch, const struct crdt_struct *s)
{
    uint32_t group = batch->groups[batch->group_count - 1].client;
    uint32_t client = batch->clients[group].client, origin = NIL, right = NIL;
    const struct plan *plan = &doc->scratch->plan;
    enum crdt_ref ref = crdt_struct_ref(s);
    int r = 1;

    if ((ref != CRDT_REF_STRING && ref != CRDT_REF_DELETED) || s->parent != CRDT_PARENT_IMPLIED ||
        s->id.clock != doc->clients[client].state || !has_client_room(doc, client) ||
        doc->item_cap - doc->item_count < STRUCT_ITEMS || plan->doomed_count == plan->doomed_cap)
        return 0;
    if (ref == CRDT_REF_STRING &&
        (s->content.bytes.len != s->len || doc->text_cap - doc->text_len < s->content.bytes.len))
        return 0;
    if (s->info & CRDT_INFO_ORIGIN)
        r = find_neighbour(doc, batch, s->origin, client, &origin);
    if (r > 0 && s->info & CRDT_INFO_RIGHT_ORIGIN)
        r = find_neighbour(doc, batch, s->right_origin, client, &right);
    if (r <= 0)
        return r;
    batch->has_streamed = true;
    r = doc_integrate_plain(doc, s, client, origin, right);
    doc->clients[client].planned = doc->clients[client].state;
    return r < 0 ? r : 1;
}

int stream_record(struct crdt_doc *doc, struct batch *batch)
{
    struct record *record = &batch->records[--batch->count];
    struct group *group = &batch->groups[batch->group_count - 1];
    enum verdict verdict;
    uint32_t missing;
    int r = record_examine(doc, batch, record, &verdict, &missing);

    /* A bad one, too, is left to the plan: what is malformed behind it comes first. */
    if (r < 0 || verdict == VERDICT_AHEAD || verdict == VERDICT_WAIT) {
        batch->count++;
        group->first = group->next = batch->count - 1;
        group->count = 1;
        batch->is_streamed = false;
        return 0;
    }
    group->count = 0;
    if (verdict == VERDICT_SKIP)
        return 0;
    r = record_reserve(doc, batch, record);
    if (r < 0)
        return r;
    batch->has_streamed = true;
    r = doc_integrate(doc, batch, record);
    doc->clients[batch->clients[record->client].client].planned = record->clock + record->len;
    batch->rare_count = 0;
    return r;
}

int stream_delete(struct crdt_doc *doc, struct batch *batch, const struct deletion *d)
{
    uint32_t client = batch->clients[d->client].client, end = d->clock + d->len;
    const struct item *item;
    int r = 0;

    if (client == NIL || end > doc->clients[client].state)
        return 0;
    /* What is left of a deleted text most often came as such. */
    item = &doc->items[item_find(doc, client, d->clock)];
    if (item_is_deleted(item) && end <= item_end(item))
        return 1;
    if (doc->item_cap - doc->item_count < STRUCT_ITEMS || !has_client_room(doc, client))
        r = delete_reserve(doc, client);
    if (r < 0)
        return r;
    if (doc_delete_range(doc, client, d->clock, d->len))
        items_join(doc, client, d->clock, end);
    return 1;
}
