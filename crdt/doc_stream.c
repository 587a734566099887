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

/* Can a text be added without reserving anything? */
static inline bool has_room(struct crdt_doc *doc, const struct batch *batch,
                            const struct record *record)
{
    enum crdt_ref ref = record_ref(record);

    if (record->rare != NIL || (ref != CRDT_REF_STRING && ref != CRDT_REF_DELETED) ||
        doc->item_cap - doc->item_count < STRUCT_ITEMS)
        return false;
    if (ref == CRDT_REF_STRING &&
        (doc->text_cap - doc->text_len < record->bytes_len || record->bytes_len != record->len))
        return false;
    return has_client_room(doc, batch->clients[record->client].client) &&
           (record->origin_client == record->client || record->origin_client == NIL ||
            has_client_room(doc, batch->clients[record->origin_client].client)) &&
           (record->right_client == record->client || record->right_client == NIL ||
            has_client_room(doc, batch->clients[record->right_client].client));
}

static inline bool is_planned(const struct crdt_doc *doc, const struct batch *batch,
                              uint32_t client, uint32_t clock)
{
    uint32_t known = client == NIL ? NIL : batch->clients[client].client;

    return client == NIL || (known != NIL && clock < doc->clients[known].planned);
}

/* Is it a struct that the shortest of checks shows to be next? */
static inline bool is_simple(const struct crdt_doc *doc, const struct batch *batch,
                             const struct record *record)
{
    return record->rare == NIL && record_ref(record) != CRDT_REF_SKIP &&
           record->clock == doc->clients[batch->clients[record->client].client].planned &&
           is_planned(doc, batch, record->origin_client, record->origin_clock) &&
           is_planned(doc, batch, record->right_client, record->right_clock);
}

int stream_record(struct crdt_doc *doc, struct batch *batch)
{
    struct record *record = &batch->records[--batch->count];
    struct group *group = &batch->groups[batch->group_count - 1];
    enum verdict verdict = VERDICT_APPLY;
    uint32_t missing;
    int r = 0;

    if (!is_simple(doc, batch, record))
        r = record_examine(doc, batch, record, &verdict, &missing);
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
    r = has_room(doc, batch, record) ? 0 : record_reserve(doc, batch, record);
    if (r < 0)
        return r;
    batch->has_streamed = true;
    doc_integrate(doc, batch, record);
    doc->clients[batch->clients[record->client].client].planned = record->clock + record->len;
    batch->rare_count = 0;
    return 0;
}

int stream_delete(struct crdt_doc *doc, struct batch *batch, const struct deletion *d)
{
    uint32_t client = batch->clients[d->client].client;
    int r = 0;

    if (client == NIL || d->clock + d->len > doc->clients[client].state)
        return 0;
    if (doc->item_cap - doc->item_count < STRUCT_ITEMS || !has_client_room(doc, client))
        r = delete_reserve(doc, client);
    if (r < 0)
        return r;
    if (doc_delete_range(doc, client, d->clock, d->len))
        items_join(doc, client, d->clock, d->clock + d->len);
    return 1;
}
