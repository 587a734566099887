#include "doc_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* From an update of this size on, the room that it did not need is given back. */
#define TRIM_MIN_STEPS 1024u

struct crdt_doc *crdt_doc_new(const struct crdt_limits *limits)
{
    struct crdt_doc *doc = calloc(1, sizeof(*doc));

    if (!doc)
        return NULL;
    crdt_limits_init(&doc->limits, limits);
    /* Where the allocator puts things is what a library without I/O has of chance. */
    doc->seed = (uint64_t)(uintptr_t)doc * UINT64_C(0x9e3779b97f4a7c15);
    doc->last_client = NIL;
    doc->dead_first = doc->dead_last = doc->dead_cursor = NIL;
    doc->cursor.type = NIL;
    if (array_reserve(&doc->text, &doc->text_cap, REPLACEMENT_LEN, 1) < 0) {
        free(doc);
        return NULL;
    }
    memcpy(doc->text, REPLACEMENT, REPLACEMENT_LEN);
    doc->text_len = REPLACEMENT_LEN;
    return doc;
}

void crdt_doc_free(struct crdt_doc *doc)
{
    if (!doc)
        return;
    pending_done(&doc->pending);
    store_done(doc);
    free(doc->types);
    free(doc->entries);
    free(doc->entry_table.slots);
    free(doc->names);
    free(doc->name_table.slots);
    free(doc->name_bytes);
    free(doc->text);
    free(doc->payload);
    free(doc);
}

static bool commit(struct crdt_doc *doc, struct plan *plan)
{
    bool has_changed = plan->step_count > 0;

    for (uint32_t i = 0; i < plan->step_count; i++)
        doc_integrate(doc, &plan->steps[i]);
    for (uint32_t i = 0; i < plan->delete_count; i++) {
        const struct deletion *d = &plan->deletes[i];

        has_changed |= doc_delete_range(doc, d->client, d->clock, d->len);
    }
    doc_gc(doc);
    if (has_changed)
        doc->cursor.type = NIL;
    return pending_commit(doc, plan) || has_changed;
}

int crdt_doc_apply(struct crdt_doc *doc, enum crdt_format format, const uint8_t *update, size_t len,
                   struct crdt_applied *ret_applied)
{
    struct plan plan = {0};
    bool has_changed = false;
    int r = batch_decode(&plan.incoming, format, update, len, &doc->limits);

    plan.client_count = doc->client_count;
    if (r == 0)
        r = plan_make(doc, &plan);
    if (r == 0)
        r = plan_reserve(doc, &plan);
    if (r == 0)
        has_changed = commit(doc, &plan);
    if (r == 0 && plan.step_count + (uint64_t)plan.delete_count >= TRIM_MIN_STEPS)
        plan_trim(doc);
    plan_done(doc, &plan, r == 0);
    if (r == 0 && ret_applied) {
        ret_applied->has_changed = has_changed;
        ret_applied->has_pending = crdt_doc_has_pending(doc);
    }
    return r;
}

static uint64_t table_bytes(const struct table *table)
{
    return (uint64_t)table->cap * sizeof(struct table_slot);
}

void crdt_doc_stats(const struct crdt_doc *doc, struct crdt_stats *ret_stats)
{
    struct crdt_stats stats = {.pending_bytes = pending_bytes(&doc->pending)};
    uint64_t bytes = sizeof(*doc) + stats.pending_bytes;

    for (uint32_t i = 0; i < doc->client_count; i++) {
        const struct client *c = &doc->clients[i];

        for (uint32_t n = 0; n < c->chunk_count; n++) {
            stats.structs += c->chunks[n].chunk->count;
            bytes += sizeof(struct chunk) + c->chunks[n].chunk->cap * sizeof(struct slot);
        }
        stats.clients += c->chunk_count > 0 && c->chunks[0].chunk->count > 0;
        bytes += c->chunk_cap * sizeof(struct chunk_ref);
    }
    bytes += (uint64_t)doc->item_cap * (sizeof(struct item) + sizeof(*doc->marks));
    bytes += (uint64_t)doc->type_cap * sizeof(struct type);
    bytes += (uint64_t)doc->entry_cap * sizeof(struct entry);
    bytes += (uint64_t)doc->name_cap * sizeof(struct name) + doc->name_bytes_cap;
    bytes += (uint64_t)doc->client_cap * sizeof(struct client);
    bytes += table_bytes(&doc->entry_table) + table_bytes(&doc->name_table) +
             table_bytes(&doc->client_table);
    bytes += (uint64_t)doc->text_cap + doc->payload_cap;
    stats.memory_bytes = bytes;
    *ret_stats = stats;
}
