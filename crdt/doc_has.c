/*
 * Would an update change the document? The answer is that of applying it, without the commit: an
 * update is planned as ever, and what the plan leaves to do is what it would change.
 */
#include "doc_plan.h"

#include <errno.h>

/* Is all of it deleted already? The clocks are below the client's state. */
static bool is_deleted(struct crdt_doc *doc, const struct deletion *d)
{
    uint32_t index = item_find(doc, d->client, d->clock);
    struct item_walk walk = item_walk_here(doc, d->client);

    while ((index = item_walk_next(&walk)) != NIL && doc->items[index].clock < d->clock + d->len)
        if (!item_is_deleted(&doc->items[index]))
            return false;
    return true;
}

static bool changes_nothing(struct crdt_doc *doc, const struct plan *plan)
{
    if (plan->step_count > 0 || plan->rest.len > 0 || plan->drop_updates > 0 ||
        plan->replaces_deletes || plan->deletes_left.count > 0)
        return false;
    for (uint32_t i = 0; i < plan->delete_count; i++)
        if (!is_deleted(doc, &plan->deletes[i]))
            return false;
    return true;
}

int crdt_doc_has(struct crdt_doc *doc, enum crdt_format format, const uint8_t *update, size_t len,
                 bool *ret_has)
{
    struct plan *plan = plan_start(doc);
    int r;

    if (!plan)
        return -ENOMEM;
    r = batch_decode(doc, &plan->incoming, &doc->limits, format, update, len);
    if (r == 0)
        r = plan_make(doc, plan);
    if (r == 0)
        *ret_has = changes_nothing(doc, plan);
    plan_end(doc, plan, false);
    return r;
}
