#include "doc_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* From an update of this size on, the room that it did not need is given back. */
#define TRIM_MIN_STEPS 1024u
/* An update of this size is worth some preparation, and is streamed into an empty document. */
#define LARGE_BYTES 4096u

/* Sets what an empty document does not have at 0. */
static void init(struct crdt_doc *doc)
{
    doc->last_client = NIL;
    doc->free_item = NIL;
    doc->dead_first = doc->dead_last = doc->dead_cursor = NIL;
    doc->cursor.type = NIL;
    latest_forget(doc);
    memcpy(doc->text, REPLACEMENT, REPLACEMENT_LEN);
    doc->text_len = REPLACEMENT_LEN;
}

struct crdt_doc *crdt_doc_new(const struct crdt_limits *limits)
{
    struct crdt_doc *doc = calloc(1, sizeof(*doc));

    if (!doc)
        return NULL;
    crdt_limits_init(&doc->limits, limits);
    /* Where the allocator puts things is what a library without I/O has of chance. */
    doc->seed = (uint64_t)(uintptr_t)doc * UINT64_C(0x9e3779b97f4a7c15);
    if (array_reserve(&doc->text, &doc->text_cap, REPLACEMENT_LEN, 1) < 0) {
        free(doc);
        return NULL;
    }
    init(doc);
    return doc;
}

void crdt_doc_set_limits(struct crdt_doc *doc, const struct crdt_limits *limits)
{
    crdt_limits_init(&doc->limits, limits);
    /* Its readers and writers have limits of their own. */
    if (doc->scratch)
        scratch_free(doc->scratch);
    doc->scratch = NULL;
}

struct crdt_limits doc_own_limits(const struct crdt_doc *doc)
{
    struct crdt_limits limits = doc->limits;

    limits.structs = limits.clients = UINT32_MAX;
    return limits;
}

/* Frees all that a document holds, but for its text and its scratch memory. */
static void free_content(struct crdt_doc *doc)
{
    pending_done(&doc->pending);
    positions_free(doc);
    landmarks_forget(doc);
    store_done(doc);
    free(doc->types);
    free(doc->entries);
    free(doc->entry_table.slots);
    free(doc->names);
    free(doc->name_table.slots);
    free(doc->name_bytes);
    free(doc->payload);
}

void doc_clear(struct crdt_doc *doc)
{
    struct crdt_doc empty = {
        .limits = doc->limits,
        .seed = doc->seed,
        .text = doc->text,
        .text_cap = doc->text_cap,
        .scratch = doc->scratch,
        .loading = doc->loading,
        .watch = doc->watch,
    };

    free_content(doc);
    *doc = empty;
    init(doc);
}

void crdt_doc_free(struct crdt_doc *doc)
{
    if (!doc)
        return;
    free_content(doc);
    free(doc->text);
    if (doc->scratch)
        scratch_free(doc->scratch);
    free(doc);
}

/* All insertions or, if they take too many steps, none. */
static int insert(struct crdt_doc *doc, struct plan *plan)
{
    int r = 0;

    doc_mark(doc, plan);
    for (uint32_t i = 0; i < plan->step_count && r == 0; i++) {
        const struct batch *batch = i < plan->incoming_steps ? &plan->incoming : &plan->retried;

        r = doc_integrate(doc, batch, &batch->records[plan->steps[i]]);
    }
    doc->mark = NULL;
    /* Who has streamed starts again anyway. */
    if (r < 0 && !plan->incoming.has_streamed)
        doc_retract(doc, plan);
    return r;
}

static void join(struct crdt_doc *doc, const struct deletion *d)
{
    if (d->len > 0)
        items_join(doc, d->client, d->clock, d->clock + d->len);
}

/* Deletes what is to be deleted; it cannot fail. Returns whether something was. */
static bool apply_deletes(struct crdt_doc *doc, struct plan *plan)
{
    bool has_deleted = plan->doomed_count > 0;

    for (uint32_t i = 0; i < plan->doomed_count; i++) {
        const struct deletion *d = &plan->doomed[i].clocks;

        if (d->len > 0)
            (void)doc_delete_range(doc, d->client, d->clock, d->len);
        else
            doc_delete_item(doc, plan->doomed[i].item);
    }
    for (uint32_t i = 0; i < plan->delete_count; i++) {
        struct deletion *d = &plan->deletes[i];

        if (doc_delete_range(doc, d->client, d->clock, d->len))
            has_deleted = true;
        else
            d->len = 0;
    }
    doc_gc(doc);
    for (uint32_t i = 0; has_deleted && i < plan->delete_count; i++)
        join(doc, &plan->deletes[i]);
    for (uint32_t i = 0; i < plan->doomed_count; i++)
        join(doc, &plan->doomed[i].clocks);
    return has_deleted;
}

static int commit(struct crdt_doc *doc, struct plan *plan, bool *ret_has_changed)
{
    bool has_changed = plan->step_count > 0 || plan->incoming.has_streamed;
    int r = insert(doc, plan);

    if (r < 0)
        return r;
    has_changed |= apply_deletes(doc, plan);
    has_changed |= pending_commit(doc, plan);
    *ret_has_changed = has_changed;
    return 0;
}

static int decode(struct crdt_doc *doc, struct plan *plan, enum crdt_format format,
                  const uint8_t *update, size_t len)
{
    int r;

    if (len >= LARGE_BYTES) {
        loading_begin(doc, len);
        plan->incoming.is_streamed = stream_is_possible(doc);
    }
    r = batch_decode(doc, &plan->incoming, &doc->limits, format, update, len);
    if (r != -EAGAIN)
        return r;
    doc_clear(doc);
    loading_end(doc);
    plan_forget(plan);
    return batch_decode(doc, &plan->incoming, &doc->limits, format, update, len);
}

int doc_apply(struct crdt_doc *doc, enum crdt_format format, const uint8_t *update, size_t len,
              struct crdt_applied *ret_applied)
{
    struct plan *plan = plan_start(doc);
    bool has_changed = false;
    int r;

    if (!plan)
        return -ENOMEM;
    doc->steps = 0;
    latest_forget(doc);
    r = decode(doc, plan, format, update, len);
    if (r == 0)
        r = plan_make(doc, plan);
    if (r == 0)
        r = plan_reserve(doc, plan);
    if (r == 0 && doc->watch)
        r = watch_arm(doc, plan);
    if (r == 0)
        r = commit(doc, plan, &has_changed);
    if (r == 0 && doc->watch)
        watch_report(doc, plan);
    if (plan->incoming.has_streamed ||
        plan->step_count + (uint64_t)plan->delete_count >= TRIM_MIN_STEPS)
        plan_trim(doc);
    if (r < 0 && plan->incoming.has_streamed) {
        doc_clear(doc);
        plan_forget(plan);
    }
    plan_end(doc, plan, r == 0);
    if (r == 0 && ret_applied) {
        ret_applied->has_changed = has_changed;
        ret_applied->has_pending = crdt_doc_has_pending(doc);
        ret_applied->steps = doc->steps;
    }
    return r;
}

int crdt_doc_apply(struct crdt_doc *doc, enum crdt_format format, const uint8_t *update, size_t len,
                   struct crdt_applied *ret_applied)
{
    doc->cursor.type = NIL;
    return doc_apply(doc, format, update, len, ret_applied);
}

int crdt_doc_apply_units(struct crdt_doc *doc, enum crdt_format format, struct crdt_slice update,
                         struct crdt_slice root, crdt_units_fn fn, void *ctx,
                         struct crdt_applied *ret_applied)
{
    struct watch watch = {.root = root, .fn = fn, .ctx = ctx};
    int r;

    doc->watch = &watch;
    r = crdt_doc_apply(doc, format, update.data, update.len, ret_applied);
    doc->watch = NULL;
    range_list_done(&watch.removed);
    free(watch.cuts);
    return r;
}

static uint64_t table_bytes(const struct table *table)
{
    return (uint64_t)table->cap * sizeof(struct table_slot);
}

void crdt_doc_stats(const struct crdt_doc *doc, struct crdt_stats *ret_stats)
{
    struct crdt_stats stats = {.pending_bytes = pending_bytes(&doc->pending)};
    uint64_t bytes = sizeof(*doc) + pending_memory(&doc->pending) + positions_bytes(doc) +
                     landmarks_bytes(doc) + chunks_bytes(doc);

    for (uint32_t i = 0; i < doc->client_count; i++) {
        const struct client *c = &doc->clients[i];

        for (uint32_t n = 0; n < c->chunk_count; n++) {
            stats.structs += c->chunks[n].chunk->count;
            bytes += sizeof(struct chunk) + c->chunks[n].chunk->cap * sizeof(struct slot);
        }
        stats.clients += c->chunk_count > 0 && c->chunks[0].chunk->count > 0;
        bytes += c->chunk_cap * sizeof(struct chunk_ref);
    }
    bytes += (uint64_t)doc->item_cap * sizeof(struct item);
    bytes += (uint64_t)doc->type_cap * sizeof(struct type);
    bytes += (uint64_t)doc->entry_cap * sizeof(struct entry);
    bytes += (uint64_t)doc->name_cap * sizeof(struct name) + doc->name_bytes_cap;
    bytes += (uint64_t)doc->client_cap * sizeof(struct client);
    bytes += table_bytes(&doc->entry_table) + table_bytes(&doc->name_table) +
             table_bytes(&doc->client_table);
    bytes += (uint64_t)doc->text_cap + doc->payload_cap;
    bytes += doc->sorted_count * sizeof(*doc->clients_by_id);
    if (doc->scratch)
        bytes += scratch_bytes(doc->scratch);
    stats.memory_bytes = bytes;
    *ret_stats = stats;
}
