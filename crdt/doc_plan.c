/*
 * Which structs of an update can be integrated, and in which order, is a question of clocks alone:
 * a struct needs those that its client made before it, and those that it names as its neighbours
 * and its parent. So it is answered before the document is touched; `planned` of a client is its
 * state as far as the plan has come.
 *
 * The order is that of Yjs (`integrateStructs`): clients descending by id, each as far as it goes;
 * a struct that needs another client's waits on a stack while that client is taken forward. When
 * nothing goes forward, the stack's clients are parked: what is left of them becomes pending.
 */
#include "doc_plan.h"

#include <errno.h>
#include <stdlib.h>

enum verdict {
    VERDICT_SKIP,  /* nothing to do */
    VERDICT_APPLY, /* everything it needs is there */
    VERDICT_AHEAD, /* clocks of its own client are missing */
    VERDICT_WAIT,  /* clocks of another client are missing */
};

static uint32_t planned_clock(struct crdt_doc *doc, uint64_t client_id)
{
    uint32_t client = client_find(doc, client_id);

    return client == NIL ? 0 : doc->clients[client].planned;
}

/* Is `id` known to the plan, or on the way to be: 1, 0, or -EBADMSG for a struct that names itself
 * or what its own client made later. */
static int is_known(struct crdt_doc *doc, const struct crdt_struct *s, const struct crdt_id *id)
{
    if (id->clock < planned_clock(doc, id->client))
        return 1;
    return id->client == s->id.client ? -EBADMSG : 0;
}

/* 0 or an error; `*ret_missing` is what a VERDICT_WAIT waits for. */
static int examine(struct crdt_doc *doc, const struct crdt_struct *s, uint32_t client,
                   enum verdict *ret_verdict, const struct crdt_id **ret_missing)
{
    uint32_t planned = doc->clients[client].planned;
    const struct crdt_id *needs[3];
    int count = 0;

    *ret_verdict = VERDICT_SKIP;
    if (crdt_struct_ref(s) == CRDT_REF_SKIP)
        return 0;
    if (s->id.clock > planned) {
        *ret_verdict = VERDICT_AHEAD;
        return 0;
    }
    /* Seen before; but a struct without length at the state is new (yjs.md, zero length). */
    if (s->id.clock != planned && s->id.clock + s->len <= planned)
        return 0;
    *ret_verdict = VERDICT_APPLY;
    if (crdt_struct_ref(s) == CRDT_REF_GC)
        return 0;
    if (s->info & CRDT_INFO_ORIGIN)
        needs[count++] = &s->origin;
    if (s->info & CRDT_INFO_RIGHT_ORIGIN)
        needs[count++] = &s->right_origin;
    if (s->parent == CRDT_PARENT_ITEM)
        needs[count++] = &s->parent_id;
    for (int i = 0; i < count; i++) {
        int r = is_known(doc, s, needs[i]);

        if (r < 0)
            return r;
        if (r == 0) {
            *ret_verdict = VERDICT_WAIT;
            *ret_missing = needs[i];
            return 0;
        }
    }
    return 0;
}

static struct group *group_of(struct crdt_doc *doc, struct batch *batch, uint64_t client_id)
{
    uint32_t client = client_find(doc, client_id);
    uint32_t group = client == NIL ? NIL : doc->clients[client].group;

    return group == NIL ? NULL : &batch->groups[group];
}

static void park_stack(struct crdt_doc *doc, struct plan *plan, struct batch *batch)
{
    while (plan->stack_count > 0) {
        uint32_t index = plan->stack[--plan->stack_count];
        struct group *group = group_of(doc, batch, batch->structs[index].id.client);

        group->is_parked = true;
        if (group->next > index)
            group->next = index;
    }
}

/* Puts a struct on the stack and names what is to be integrated before it; NIL, and the stack is
 * parked, if this batch has nothing of the kind. */
static int defer(struct crdt_doc *doc, struct plan *plan, struct batch *batch, uint32_t index,
                 const struct crdt_id *missing, uint32_t *ret_next)
{
    struct group *group = missing ? group_of(doc, batch, missing->client) : NULL;
    const struct crdt_id *id = &batch->structs[index].id;
    int r = array_reserve(&plan->stack, &plan->stack_cap, plan->stack_count + (uint64_t)1,
                          sizeof(*plan->stack));

    if (r < 0)
        return r;
    plan->stack[plan->stack_count++] = index;
    if (group && !group->is_parked && group->next < group->first + group->count) {
        *ret_next = group->next++;
        return 0;
    }
    *ret_next = NIL;
    park_stack(doc, plan, batch);
    if (missing)
        return range_list_add(&plan->missing, missing->client, planned_clock(doc, missing->client),
                              1);
    return range_list_add(&plan->missing, id->client, (uint32_t)id->clock - 1, 1);
}

/* Plans a struct together with those of other clients that it needs. */
static int schedule_struct(struct crdt_doc *doc, struct plan *plan, struct batch *batch,
                           uint32_t index)
{
    for (;;) {
        const struct crdt_struct *s = &batch->structs[index];
        uint32_t client = client_find(doc, s->id.client);
        const struct crdt_id *missing = NULL;
        enum verdict verdict;
        int r = examine(doc, s, client, &verdict, &missing);

        if (r < 0)
            return r;
        if (verdict == VERDICT_AHEAD || verdict == VERDICT_WAIT) {
            r = defer(doc, plan, batch, index, missing, &index);
            if (r < 0)
                return r;
            if (index != NIL)
                continue;
        } else if (verdict == VERDICT_APPLY) {
            plan->steps[plan->step_count++] = (struct step){s, client};
            doc->clients[client].planned = (uint32_t)(s->id.clock + s->len);
        }
        if (plan->stack_count == 0)
            return 0;
        index = plan->stack[--plan->stack_count];
    }
}

static int schedule(struct crdt_doc *doc, struct plan *plan, struct batch *batch)
{
    int r = array_reserve(&plan->steps, &plan->step_cap, plan->step_count + (uint64_t)batch->count,
                          sizeof(*plan->steps));

    for (uint32_t i = 0; i < batch->group_count && r == 0; i++) {
        struct group *group = &batch->groups[i];

        r = client_intern(doc, group->client_id, &group->client);
        if (r == 0)
            doc->clients[group->client].group = i;
    }
    for (uint32_t i = 0; i < batch->group_count; i++) {
        struct group *group = &batch->groups[i];

        while (r == 0 && !group->is_parked && group->next < group->first + group->count)
            r = schedule_struct(doc, plan, batch, group->next++);
    }
    return r;
}

static void forget_groups(struct crdt_doc *doc, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->group_count; i++)
        if (batch->groups[i].client != NIL)
            doc->clients[batch->groups[i].client].group = NIL;
}

/* ---- what remains ---- */

static bool is_covered(const struct pending *pending, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->group_count; i++) {
        const struct group *group = &batch->groups[i];

        for (uint32_t n = group->next; group->is_parked && n < group->first + group->count; n++) {
            const struct crdt_struct *s = &batch->structs[n];

            if (crdt_struct_ref(s) != CRDT_REF_SKIP &&
                !range_list_covers(&pending->covered, s->id.client, (uint32_t)s->id.clock,
                                   (uint32_t)s->len))
                return false;
        }
    }
    return true;
}

static int write_group_rest(struct crdt_writer *writer, struct plan *plan,
                            const struct batch *batch, const struct group *group)
{
    uint32_t end = group->first + group->count;
    int r = 0;

    crdt_writer_client(writer, group->client_id, end - group->next,
                       batch->structs[group->next].id.clock);
    for (uint32_t n = group->next; n < end && r == 0; n++) {
        struct crdt_struct s = batch->structs[n];

        /* Yjs loses this bit where the key itself is not written. */
        if (s.parent == CRDT_PARENT_IMPLIED)
            s.info &= (uint8_t)~CRDT_INFO_PARENT_SUB;
        crdt_writer_struct(writer, &s, 0);
        if (crdt_struct_ref(&s) != CRDT_REF_SKIP)
            r = range_list_add(&plan->covered, s.id.client, (uint32_t)s.id.clock, (uint32_t)s.len);
    }
    return r;
}

/* The parked structs of a batch as plan->rest; nothing if there are none. */
static int encode_rest(struct crdt_doc *doc, struct plan *plan, const struct batch *batch)
{
    uint32_t parked = 0;
    struct crdt_writer *writer;
    int r = 0;

    for (uint32_t i = 0; i < batch->group_count; i++)
        parked += batch->groups[i].is_parked;
    if (parked == 0)
        return 0;
    writer = crdt_writer_new(CRDT_V2, &doc->limits);
    if (!writer)
        return -ENOMEM;
    crdt_writer_clients(writer, parked);
    for (uint32_t i = 0; i < batch->group_count && r == 0; i++)
        if (batch->groups[i].is_parked)
            r = write_group_rest(writer, plan, batch, &batch->groups[i]);
    crdt_writer_deletes(writer, 0);
    if (r == 0)
        r = crdt_writer_finish(writer, &plan->rest);
    crdt_writer_free(writer);
    range_list_normalise(&plan->covered);
    return r;
}

/* Takes up what was pending, now that the clocks which it waited for are planned. */
static int retry_pending(struct crdt_doc *doc, struct plan *plan)
{
    int r = pending_merge(&doc->pending, &plan->rest, &doc->limits, &plan->retry);

    if (r == 0)
        r = batch_decode(&plan->retried, CRDT_V2, plan->retry.data, plan->retry.len, &doc->limits);
    if (r < 0)
        return r;
    forget_groups(doc, &plan->incoming);
    plan->drop_updates = doc->pending.update_count;
    plan->rest.len = 0;
    plan->missing.count = 0;
    plan->covered.count = 0;
    r = schedule(doc, plan, &plan->retried);
    return r ? r : encode_rest(doc, plan, &plan->retried);
}

/* ---- deletes ---- */

/* Plans the part of a range that the plan knows; the rest waits. */
static int plan_delete(struct crdt_doc *doc, struct plan *plan, const struct range *range,
                       bool is_new)
{
    uint32_t client = client_find(doc, range->client);
    uint32_t state = client == NIL ? 0 : doc->clients[client].planned;
    uint32_t end = range->clock + range->len;
    uint32_t known = end < state ? end : state;
    uint32_t clock = range->clock;
    int r;

    if (clock < known) {
        r = array_reserve(&plan->deletes, &plan->delete_cap, plan->delete_count + (uint64_t)1,
                          sizeof(*plan->deletes));
        if (r < 0)
            return r;
        plan->deletes[plan->delete_count++] = (struct deletion){client, clock, known - clock};
        clock = known;
    }
    if (clock == end ||
        (is_new && range_list_covers(&doc->pending.deletes, range->client, clock, end - clock)))
        return 0;
    return range_list_add(&plan->deletes_left, range->client, clock, end - clock);
}

static int plan_deletes(struct crdt_doc *doc, struct plan *plan)
{
    const struct range_list *pending = &doc->pending.deletes;
    bool replaces = pending->count > 0 && (pending_deletes_are_ready(doc, &plan->incoming) ||
                                           pending_deletes_are_ready(doc, &plan->retried));
    int r = 0;

    for (size_t i = 0; i < plan->incoming.deletes.count && r == 0; i++)
        r = plan_delete(doc, plan, &plan->incoming.deletes.ranges[i], !replaces);
    for (size_t i = 0; replaces && i < pending->count && r == 0; i++)
        r = plan_delete(doc, plan, &pending->ranges[i], false);
    plan->replaces_deletes = replaces;
    range_list_normalise(&plan->deletes_left);
    return r;
}

int plan_make(struct crdt_doc *doc, struct plan *plan)
{
    bool is_ready;
    int r;

    plan->client_count = doc->client_count;
    r = schedule(doc, plan, &plan->incoming);
    if (r < 0)
        return r;
    is_ready = pending_is_ready(doc, &plan->incoming);
    if (is_ready || !is_covered(&doc->pending, &plan->incoming))
        r = encode_rest(doc, plan, &plan->incoming);
    if (r == 0 && is_ready)
        r = retry_pending(doc, plan);
    if (r == 0)
        r = plan_deletes(doc, plan);
    return r;
}

static void settle_clients(struct crdt_doc *doc, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->group_count; i++) {
        if (batch->groups[i].client == NIL)
            continue;
        struct client *client = &doc->clients[batch->groups[i].client];

        client->planned = client->state;
        client->group = NIL;
    }
}

void plan_done(struct crdt_doc *doc, struct plan *plan, bool is_committed)
{
    for (uint32_t i = 0; i < plan->touched_count; i++)
        doc->clients[plan->touched[i]].need = 0;
    settle_clients(doc, &plan->incoming);
    settle_clients(doc, &plan->retried);
    if (!is_committed)
        clients_truncate(doc, plan->client_count);
    batch_done(&plan->incoming);
    batch_done(&plan->retried);
    crdt_buf_done(&plan->retry);
    crdt_buf_done(&plan->rest);
    free(plan->steps);
    free(plan->deletes);
    free(plan->stack);
    free(plan->touched);
    range_list_done(&plan->covered);
    range_list_done(&plan->missing);
    range_list_done(&plan->deletes_left);
}
