/*
 * The commit of a plan cannot lack memory: it allocates nothing but caches, which it can do
 * without, and chunks, which stand by. What it can need at most follows from the plan: an item for
 * each struct, and two for each split that a struct's neighbours or the ends of a delete can cause
 * (the second one only if there are surrogate pairs to cut).
 */
#include "doc_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A buffer is cleared of what was deleted when that is half of it, and at least this. */
#define COMPACT_MIN_BYTES (64u << 10)

struct demand {
    uint64_t items;
    uint64_t types;
    uint64_t entries;
    uint64_t names;
    uint64_t name_bytes;
    uint64_t text;
    uint64_t payload;
};

static void demand_name(struct demand *demand, struct crdt_slice name)
{
    demand->names++;
    demand->name_bytes += name.len;
}

static void demand_content(struct crdt_doc *doc, struct demand *demand, const struct record *record)
{
    switch (record_ref(record)) {
    case CRDT_REF_STRING:
        demand->text += record->bytes_len;
        if (record->bytes_len != record->len)
            doc->has_wide_text = true;
        break;
    case CRDT_REF_TYPE:
        demand->types++;
        break;
    case CRDT_REF_FORMAT:
    case CRDT_REF_DOC:
        demand->payload += record->bytes_len + sizeof(uint32_t);
        break;
    case CRDT_REF_JSON:
    case CRDT_REF_BINARY:
    case CRDT_REF_EMBED:
    case CRDT_REF_ANY:
        demand->payload += record->bytes_len;
        break;
    case CRDT_REF_GC:
    case CRDT_REF_DELETED:
    case CRDT_REF_SKIP:
        break;
    }
}

static void demand_rare(struct demand *demand, const struct rare *rare)
{
    if (rare->parent_client == NIL && rare->parent_name.data) {
        demand_name(demand, rare->parent_name);
        demand->types++;
        demand->entries++;
    }
    if (rare->parent_sub.data) {
        demand_name(demand, rare->parent_sub);
        demand->entries++;
    }
    if (rare->key.data)
        demand_name(demand, rare->key);
}

/* What one split adds: with surrogate pairs to cut there may be a second one, and who watches
 * splits twice more to tell of the pair. */
static inline uint32_t splits_at_once(const struct crdt_doc *doc)
{
    if (!doc->has_wide_text)
        return 1;
    return doc->watch ? 4 : 2;
}

/* A neighbour in the middle of an item splits it. */
static inline void demand_split(struct crdt_doc *doc, const struct batch *batch,
                                struct demand *demand, uint32_t client)
{
    uint32_t splits = splits_at_once(doc);

    doc->clients[batch->clients[client].client].inserts += splits;
    demand->items += splits;
}

/* `is_retried`: it comes behind what else is planned. */
static inline void demand_record(struct crdt_doc *doc, struct demand *demand,
                                 const struct batch *batch, const struct record *record,
                                 bool is_retried)
{
    struct client *client = &doc->clients[batch->clients[record->client].client];

    demand_content(doc, demand, record);
    if (record->rare != NIL)
        demand_rare(demand, &batch->rares[record->rare]);
    client->appends++;
    demand->items++;
    /* What its client made right before it ends there, unless the struct is here in part already.
     */
    if (record->origin_client != NIL &&
        (record->origin_client != record->client || record->origin_clock + 1 != record->clock ||
         record->clock < client->state || is_retried))
        demand_split(doc, batch, demand, record->origin_client);
    if (record->right_client != NIL)
        demand_split(doc, batch, demand, record->right_client);
}

static void demand_steps(struct crdt_doc *doc, struct demand *demand, const struct batch *batch,
                         const uint32_t *steps, uint32_t count)
{
    bool is_retried = batch == &doc->scratch->plan.retried;

    for (uint32_t i = 0; i < count; i++)
        demand_record(doc, demand, batch, &batch->records[steps[i]], is_retried);
}

/* Room for what the deletes split, and in the index of each client. */
static int reserve_clients(struct crdt_doc *doc, struct plan *plan, struct demand *demand)
{
    const struct batch *batches[] = {&plan->incoming, &plan->retried};
    uint32_t splits = 2 * splits_at_once(doc);
    uint64_t chunks = 0;
    int r = 0;

    for (uint32_t i = 0; i < plan->delete_count; i++)
        doc->clients[plan->deletes[i].client].inserts += splits;
    demand->items += (uint64_t)plan->delete_count * splits;
    for (size_t b = 0; b < sizeof(batches) / sizeof(batches[0]); b++)
        for (uint32_t i = 0; i < batches[b]->client_count && r == 0; i++)
            if (batches[b]->clients[i].client != NIL)
                r = client_reserve(doc, batches[b]->clients[i].client, &chunks);
    for (uint32_t i = 0; i < plan->delete_count && r == 0; i++)
        if (i == 0 || plan->deletes[i].client != plan->deletes[i - 1].client)
            r = client_reserve(doc, plan->deletes[i].client, &chunks);
    return r ? r : chunks_reserve(doc, chunks);
}

static bool uses_text(const struct item *item)
{
    /* The U+FFFD at the start of the text is everybody's. */
    return item->ref == CRDT_REF_STRING &&
           (item->content > 0 || item->content_len > REPLACEMENT_LEN);
}

static bool uses_payload(const struct item *item)
{
    return item->ref != CRDT_REF_STRING && item->ref != CRDT_REF_TYPE && item->content_len > 0;
}

/* Moves what items use of a buffer into a new one with room for `demand` more, after the `used`
 * bytes that stay at its start. */
static int compact(struct crdt_doc *doc, uint8_t **buffer, uint32_t *len, uint32_t *cap,
                   uint32_t used, bool (*is_user)(const struct item *item), uint64_t demand)
{
    uint8_t *fresh = NULL;
    uint32_t fresh_cap = 0, end = used;
    uint64_t live = used;
    int r;

    for (uint32_t i = 0; i < doc->item_count; i++)
        if (is_user(&doc->items[i]))
            live += doc->items[i].content_len;
    r = array_reserve(&fresh, &fresh_cap, live + live / 2 + demand, 1);
    if (r < 0)
        return r;
    if (used)
        memcpy(fresh, *buffer, used);
    for (uint32_t i = 0; i < doc->item_count; i++) {
        struct item *item = &doc->items[i];

        if (!is_user(item))
            continue;
        memcpy(fresh + end, *buffer + item->content, item->content_len);
        item->content = end;
        end += item->content_len;
    }
    free(*buffer);
    *buffer = fresh;
    *len = end;
    *cap = fresh_cap;
    return 0;
}

static bool is_worn(uint32_t len, uint32_t dead)
{
    return dead >= COMPACT_MIN_BYTES && dead >= len / 2;
}

static int reserve_text(struct crdt_doc *doc, uint64_t demand)
{
    int r;

    if (doc->text_len + demand <= doc->text_cap || !is_worn(doc->text_len, doc->text_dead))
        return array_reserve(&doc->text, &doc->text_cap, doc->text_len + demand, 1);
    r = compact(doc, &doc->text, &doc->text_len, &doc->text_cap, REPLACEMENT_LEN, uses_text,
                demand);
    if (r == 0)
        doc->text_dead = 0;
    return r;
}

static int reserve_payload(struct crdt_doc *doc, uint64_t demand)
{
    int r;

    if (doc->payload_len + demand <= doc->payload_cap ||
        !is_worn(doc->payload_len, doc->payload_dead))
        return array_reserve(&doc->payload, &doc->payload_cap, doc->payload_len + demand, 1);
    r = compact(doc, &doc->payload, &doc->payload_len, &doc->payload_cap, 0, uses_payload, demand);
    if (r == 0)
        doc->payload_dead = 0;
    return r;
}

static int reserve_demand(struct crdt_doc *doc, const struct demand *demand)
{
    int r = items_reserve(doc, demand->items);

    if (r == 0)
        r = types_reserve(doc, demand->types);
    if (r == 0 && demand->entries > 0)
        r = entries_reserve(doc, demand->entries);
    if (r == 0 && demand->names > 0)
        r = names_reserve(doc, demand->names, demand->name_bytes);
    if (r == 0)
        r = reserve_text(doc, demand->text);
    if (r == 0 && demand->payload > 0)
        r = reserve_payload(doc, demand->payload);
    return r;
}

/* A client that can take what one struct or range may add to its index. */
static int reserve_client(struct crdt_doc *doc, uint32_t client)
{
    uint64_t chunks = 0;
    int r;

    /* Enough not to have to ask again soon. */
    doc->clients[client].appends += CHUNK_SLOTS;
    r = client_reserve(doc, client, &chunks);

    return r ? r : chunks_reserve(doc, chunks);
}

int record_reserve(struct crdt_doc *doc, const struct batch *batch, const struct record *record)
{
    struct plan *plan = &doc->scratch->plan;
    struct demand demand = {0};
    int r;

    demand_record(doc, &demand, batch, record, false);
    r = array_reserve(&plan->doomed, &plan->doomed_cap, plan->doomed_count + (uint64_t)1,
                      sizeof(*plan->doomed));
    if (r < 0)
        return r;
    r = reserve_client(doc, batch->clients[record->client].client);
    if (r == 0 && record->origin_client != NIL)
        r = reserve_client(doc, batch->clients[record->origin_client].client);
    if (r == 0 && record->right_client != NIL)
        r = reserve_client(doc, batch->clients[record->right_client].client);
    return r ? r : reserve_demand(doc, &demand);
}

int delete_reserve(struct crdt_doc *doc, uint32_t client)
{
    uint32_t splits = doc->has_wide_text ? 4 : 2;
    int r = items_reserve(doc, splits);

    doc->clients[client].inserts += splits;
    return r ? r : reserve_client(doc, client);
}

/* Room to put off deletes until no insertion can fail, and to undo what cannot stay. */
static int reserve_retraction(const struct crdt_doc *doc, struct plan *plan)
{
    struct mark *mark = &plan->mark;
    int r = array_reserve(&plan->doomed, &plan->doomed_cap,
                          plan->doomed_count + (uint64_t)plan->step_count, sizeof(*plan->doomed));

    if (r == 0)
        r = array_reserve(&mark->splits, &mark->split_cap,
                          plan->step_count * (uint64_t)(doc->has_wide_text ? 4 : 2),
                          sizeof(*mark->splits));
    return r;
}

int plan_reserve(struct crdt_doc *doc, struct plan *plan)
{
    struct demand demand = {0};
    int r;

    demand_steps(doc, &demand, &plan->incoming, plan->steps, plan->incoming_steps);
    demand_steps(doc, &demand, &plan->retried, plan->steps + plan->incoming_steps,
                 plan->step_count - plan->incoming_steps);
    r = reserve_clients(doc, plan, &demand);
    if (r == 0)
        r = reserve_demand(doc, &demand);
    if (r == 0)
        r = reserve_retraction(doc, plan);
    if (r == 0)
        r = pending_reserve(doc, plan);
    return r;
}

void plan_trim(struct crdt_doc *doc)
{
    array_trim(&doc->items, &doc->item_cap, doc->item_count, sizeof(*doc->items));
    array_trim(&doc->entries, &doc->entry_cap, doc->entry_count, sizeof(*doc->entries));
    array_trim(&doc->types, &doc->type_cap, doc->type_count, sizeof(*doc->types));
    array_trim(&doc->names, &doc->name_cap, doc->name_count, sizeof(*doc->names));
    array_trim(&doc->name_bytes, &doc->name_bytes_cap, doc->name_bytes_len, 1);
    array_trim(&doc->text, &doc->text_cap, doc->text_len, 1);
    array_trim(&doc->payload, &doc->payload_cap, doc->payload_len, 1);
}
