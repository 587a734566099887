/*
 * What cannot be applied yet is kept, as in Yjs: structs whose predecessors, neighbours or parent
 * are missing, and deletes of clocks that were not yet seen. Structs wait as v2 updates. A new one
 * is merged with those before it that are not much larger, so that a stream of updates out of order
 * leaves a few updates of falling size, and each byte is merged a logarithmic number of times.
 */
#include "doc_plan.h"

#include <errno.h>
#include <stdlib.h>

uint64_t pending_memory(const struct pending *pending)
{
    uint64_t bytes =
        pending->update_cap * sizeof(*pending->updates) +
        (pending->covered.cap + pending->missing.cap + pending->deletes.cap) * sizeof(struct range);

    for (size_t i = 0; i < pending->update_count; i++)
        bytes += pending->updates[i].cap;
    return bytes;
}

uint64_t pending_bytes(const struct pending *pending)
{
    uint64_t bytes = (uint64_t)pending->deletes.count * sizeof(struct range);

    for (size_t i = 0; i < pending->update_count; i++)
        bytes += pending->updates[i].len;
    return bytes;
}

bool crdt_doc_has_pending(const struct crdt_doc *doc)
{
    return doc->pending.update_count > 0 || doc->pending.deletes.count > 0;
}

static bool is_any_planned(struct crdt_doc *doc, const struct range_list *list,
                           const struct batch *batch)
{
    for (uint32_t i = 0; list->count > 0 && i < batch->group_count; i++) {
        const struct batch_client *client = &batch->clients[batch->groups[i].client];
        const struct range *range = range_list_first(list, client->id);

        if (range && range->clock < doc->clients[client->client].planned)
            return true;
    }
    return false;
}

bool pending_is_ready(struct crdt_doc *doc, const struct batch *batch)
{
    return is_any_planned(doc, &doc->pending.missing, batch);
}

bool pending_deletes_are_ready(struct crdt_doc *doc, const struct batch *batch)
{
    return is_any_planned(doc, &doc->pending.deletes, batch);
}

/* Merges the updates from `first` on, and `more`. */
static int merge_from(const struct pending *pending, size_t first, const struct crdt_buf *more,
                      const struct crdt_limits *limits, struct crdt_buf *out)
{
    size_t count = pending->update_count - first;
    struct crdt_slice *slices = calloc(count + 1, sizeof(*slices));
    int r;

    if (!slices)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        slices[i] =
            (struct crdt_slice){pending->updates[first + i].data, pending->updates[first + i].len};
    if (more->len > 0)
        slices[count++] = (struct crdt_slice){more->data, more->len};
    r = crdt_update_merge(CRDT_V2, slices, count, limits, out);
    free(slices);
    return r;
}

int pending_merge(const struct pending *pending, const struct crdt_buf *more,
                  const struct crdt_limits *limits, struct crdt_buf *out)
{
    return merge_from(pending, 0, more, limits, out);
}

static int merge_rest(struct crdt_doc *doc, struct plan *plan)
{
    struct pending *pending = &doc->pending;
    size_t first = pending->update_count, bytes = plan->rest.len;
    struct crdt_limits own = doc_own_limits(doc);
    struct crdt_buf merged = {0};
    int r;

    if (plan->rest.len == 0 || plan->drop_updates > 0)
        return 0;
    while (first > 0 && pending->updates[first - 1].len / 2 <= bytes)
        bytes += pending->updates[--first].len;
    if (first == pending->update_count)
        return 0;
    r = merge_from(pending, first, &plan->rest, &own, &merged);
    if (r < 0) {
        crdt_buf_done(&merged);
        return r;
    }
    crdt_buf_done(&plan->rest);
    plan->rest = merged;
    plan->drop_updates = pending->update_count - first;
    return 0;
}

/* Structs that will wait after the plan, at most. */
static uint64_t waiting_structs(const struct pending *pending, const struct plan *plan)
{
    return plan->rest_structs + (plan->has_retried ? 0 : pending->structs);
}

int pending_reserve(struct crdt_doc *doc, struct plan *plan)
{
    struct pending *pending = &doc->pending;
    size_t left = plan->deletes_left.count;
    uint64_t structs = waiting_structs(pending, plan), bytes;
    int r = merge_rest(doc, plan);

    if (r == 0 && plan->rest.len > 0 && pending->update_count == pending->update_cap) {
        size_t cap = pending->update_cap + 8;
        struct crdt_buf *grown = reallocarray(pending->updates, cap, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        pending->updates = grown;
        pending->update_cap = cap;
    }
    if (r == 0)
        r = range_list_reserve(&pending->covered, plan->covered.count);
    if (r == 0)
        r = range_list_reserve(&pending->missing, plan->missing.count);
    if (r == 0)
        r = range_list_reserve(&pending->deletes, left);
    if (r < 0)
        return r;

    /* What no longer waits must not be refused because of what still does. */
    if (plan->rest.len == 0 && left == 0)
        return 0;
    bytes = plan->rest.len + (uint64_t)left * sizeof(struct range);
    for (size_t i = 0; i + plan->drop_updates < pending->update_count; i++)
        bytes += pending->updates[i].len;
    if (!plan->replaces_deletes)
        bytes += (uint64_t)pending->deletes.count * sizeof(struct range);
    if (bytes > doc->limits.pending_bytes && bytes > pending_bytes(pending))
        return -E2BIG;
    /* All of them may be set free at once. */
    if (structs > doc->limits.structs && structs > pending->structs)
        return -E2BIG;
    return 0;
}

bool pending_commit(struct crdt_doc *doc, struct plan *plan)
{
    struct pending *pending = &doc->pending;
    bool has_changed = plan->rest.len > 0 || plan->drop_updates > 0 || plan->replaces_deletes ||
                       plan->deletes_left.count > 0;

    pending->structs = waiting_structs(pending, plan);
    if (plan->has_retried) {
        /* What of them still waits is in the plan. */
        pending->covered.count = 0;
        pending->missing.count = 0;
    }
    while (plan->drop_updates > 0) {
        crdt_buf_done(&pending->updates[--pending->update_count]);
        plan->drop_updates--;
    }
    if (plan->rest.len > 0) {
        pending->updates[pending->update_count++] = plan->rest;
        plan->rest = (struct crdt_buf){0};
    }
    range_list_normalise(&plan->missing);
    range_list_join(&pending->covered, &plan->covered);
    range_list_join(&pending->missing, &plan->missing);
    if (plan->replaces_deletes)
        pending->deletes.count = 0;
    range_list_join(&pending->deletes, &plan->deletes_left);
    return has_changed;
}

void pending_done(struct pending *pending)
{
    for (size_t i = 0; i < pending->update_count; i++)
        crdt_buf_done(&pending->updates[i]);
    free(pending->updates);
    range_list_done(&pending->covered);
    range_list_done(&pending->missing);
    range_list_done(&pending->deletes);
}
