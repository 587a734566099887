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

static uint32_t planned_clock(const struct crdt_doc *doc, const struct batch *batch,
                              uint32_t client)
{
    uint32_t known = batch->clients[client].client;

    return known == NIL ? 0 : doc->clients[known].planned;
}

/* Is a clock known to the plan, or on the way to be: 1, 0, or -EBADMSG for a struct that names
 * itself or what its own client made later. */
static inline int is_known(const struct crdt_doc *doc, const struct batch *batch,
                           const struct record *record, uint32_t client, uint32_t clock)
{
    if (clock < planned_clock(doc, batch, client))
        return 1;
    return client == record->client ? -EBADMSG : 0;
}

/* The client of a clock that the struct needs and that is missing; NIL: none. */
static inline int find_missing(const struct crdt_doc *doc, const struct batch *batch,
                               const struct record *record, uint32_t *ret_missing)
{
    const struct rare *rare = record->rare == NIL ? NULL : &batch->rares[record->rare];
    uint32_t missing = NIL;
    int r = 1;

    if (record->origin_client != NIL) {
        missing = record->origin_client;
        r = is_known(doc, batch, record, missing, record->origin_clock);
    }
    if (r > 0 && record->right_client != NIL) {
        missing = record->right_client;
        r = is_known(doc, batch, record, missing, record->right_clock);
    }
    if (r > 0 && rare && rare->parent_client != NIL) {
        missing = rare->parent_client;
        r = is_known(doc, batch, record, missing, rare->parent_clock);
    }
    *ret_missing = r > 0 ? NIL : missing;
    return r < 0 ? r : 0;
}

static inline int examine(const struct crdt_doc *doc, const struct batch *batch,
                          const struct record *record, enum verdict *ret_verdict,
                          uint32_t *ret_missing)
{
    uint32_t planned = doc->clients[batch->clients[record->client].client].planned;
    int r;

    *ret_verdict = VERDICT_SKIP;
    *ret_missing = NIL;
    if (record_ref(record) == CRDT_REF_SKIP)
        return 0;
    if (record->clock > planned) {
        *ret_verdict = VERDICT_AHEAD;
        return 0;
    }
    /* Seen before; but a struct without length at the state is new, as in Yjs. */
    if (record->clock != planned && record->clock + record->len <= planned)
        return 0;
    *ret_verdict = VERDICT_APPLY;
    if (record_ref(record) == CRDT_REF_GC)
        return 0;
    r = find_missing(doc, batch, record, ret_missing);
    if (*ret_missing != NIL)
        *ret_verdict = VERDICT_WAIT;
    return r;
}

int record_examine(const struct crdt_doc *doc, const struct batch *batch,
                   const struct record *record, enum verdict *ret_verdict, uint32_t *ret_missing)
{
    return examine(doc, batch, record, ret_verdict, ret_missing);
}

static struct group *group_of(const struct batch *batch, uint32_t client)
{
    uint32_t group = batch->clients[client].group;

    return group == NIL ? NULL : &batch->groups[group];
}

static void park_stack(struct plan *plan, struct batch *batch)
{
    while (plan->stack_count > 0) {
        uint32_t index = plan->stack[--plan->stack_count];
        struct group *group = group_of(batch, batch->records[index].client);

        group->is_parked = true;
        if (group->next > index)
            group->next = index;
    }
}

/* Puts a struct on the stack and names what is to be integrated before it; NIL, and the stack is
 * parked, if this batch has nothing of the kind. */
static int defer(const struct crdt_doc *doc, struct plan *plan, struct batch *batch, uint32_t index,
                 uint32_t missing, uint32_t *ret_next)
{
    struct group *group = missing == NIL ? NULL : group_of(batch, missing);
    const struct record *record = &batch->records[index];
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
    park_stack(plan, batch);
    if (missing != NIL)
        return range_list_add(&plan->missing, batch->clients[missing].id,
                              planned_clock(doc, batch, missing), 1);
    return range_list_add(&plan->missing, batch->clients[record->client].id, record->clock - 1, 1);
}

/* Plans a struct together with those of other clients that it needs. */
static int schedule_struct(struct crdt_doc *doc, struct plan *plan, struct batch *batch,
                           uint32_t index)
{
    for (;;) {
        const struct record *record = &batch->records[index];
        enum verdict verdict;
        uint32_t missing;
        int r = examine(doc, batch, record, &verdict, &missing);

        if (r < 0)
            return r;
        if (verdict == VERDICT_AHEAD || verdict == VERDICT_WAIT) {
            r = defer(doc, plan, batch, index, missing, &index);
            if (r < 0)
                return r;
            if (index != NIL)
                continue;
        } else if (verdict == VERDICT_APPLY) {
            plan->steps[plan->step_count++] = index;
            doc->clients[batch->clients[record->client].client].planned =
                record->clock + record->len;
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

    for (uint32_t i = 0; i < batch->group_count; i++) {
        struct group *group = &batch->groups[i];

        while (r == 0 && !group->is_parked && group->next < group->first + group->count)
            r = schedule_struct(doc, plan, batch, group->next++);
    }
    return r;
}

/* ---- what remains ---- */

static bool is_covered(const struct pending *pending, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->group_count; i++) {
        const struct group *group = &batch->groups[i];

        for (uint32_t n = group->next; group->is_parked && n < group->first + group->count; n++) {
            const struct record *record = &batch->records[n];

            if (record_ref(record) != CRDT_REF_SKIP &&
                !range_list_covers(&pending->covered, batch->clients[record->client].id,
                                   record->clock, record->len))
                return false;
        }
    }
    return true;
}

/* Does a struct name itself or what its own client makes later? No encoder writes that. Kept, it
 * would make a bad update of the honest one that brings the clocks before it. */
static bool names_later(const struct batch *batch, const struct record *record)
{
    const struct rare *rare = record->rare == NIL ? NULL : &batch->rares[record->rare];
    uint32_t client = record->client;

    if (record_ref(record) == CRDT_REF_SKIP || record_ref(record) == CRDT_REF_GC)
        return false;
    return (record->origin_client == client && record->origin_clock >= record->clock) ||
           (record->right_client == client && record->right_clock >= record->clock) ||
           (rare && rare->parent_client == client && rare->parent_clock >= record->clock);
}

/* -EBADMSG: one of the structs must not wait. */
static int write_group_rest(struct crdt_writer *writer, struct plan *plan,
                            const struct batch *batch, const struct group *group)
{
    uint32_t end = group->first + group->count;
    uint64_t id = batch->clients[group->client].id;
    int r = 0;

    crdt_writer_client(writer, id, end - group->next, batch->records[group->next].clock);
    for (uint32_t n = group->next; n < end && r == 0; n++) {
        const struct record *record = &batch->records[n];
        struct crdt_struct s;

        if (names_later(batch, record))
            return -EBADMSG;
        batch_describe(batch, record, &s);
        /* Yjs loses this bit where the key itself is not written. */
        if (s.parent == CRDT_PARENT_IMPLIED)
            s.info &= (uint8_t)~CRDT_INFO_PARENT_SUB;
        crdt_writer_struct(writer, &s, 0);
        plan->rest_structs++;
        if (record_ref(record) != CRDT_REF_SKIP)
            r = range_list_add(&plan->covered, id, record->clock, record->len);
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
    struct crdt_limits own = doc_own_limits(doc);
    int r = pending_merge(&doc->pending, &plan->rest, &own, &plan->retry);

    if (r < 0)
        return r;
    plan->has_retried = true;
    r = batch_decode(doc, &plan->retried, &own, CRDT_V2, plan->retry.data, plan->retry.len);
    if (r < 0)
        return r;
    plan->drop_updates = doc->pending.update_count;
    plan->rest.len = 0;
    plan->rest_structs = 0;
    plan->missing.count = 0;
    plan->covered.count = 0;
    r = schedule(doc, plan, &plan->retried);
    return r ? r : encode_rest(doc, plan, &plan->retried);
}

/* ---- deletes ---- */

/* Plans the part of a range that the plan knows; the rest waits. */
static int plan_delete(struct crdt_doc *doc, struct plan *plan, const struct range *range,
                       uint32_t client, bool is_new)
{
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

/* Does `next` lie behind `last` in the order in which Yjs writes them? */
static bool is_behind(const struct crdt_doc *doc, const struct deletion *last,
                      const struct deletion *next)
{
    if (last->client == next->client)
        return next->clock >= last->clock + last->len;
    return doc->clients[next->client].id < doc->clients[last->client].id;
}

static int compare_deletions(const void *a, const void *b)
{
    const struct deletion *left = a, *right = b;

    if (left->client != right->client)
        return left->client < right->client ? -1 : 1;
    return (left->clock > right->clock) - (left->clock < right->clock);
}

/* Each range costs a walk over its items: no clock may be in two of them. */
static void unite_deletes(const struct crdt_doc *doc, struct plan *plan)
{
    struct deletion *deletes = plan->deletes;
    uint32_t kept = 0, next = 1;

    while (next < plan->delete_count && is_behind(doc, &deletes[next - 1], &deletes[next]))
        next++;
    if (next >= plan->delete_count)
        return;
    qsort(deletes, plan->delete_count, sizeof(*deletes), compare_deletions);
    for (next = 1; next < plan->delete_count; next++) {
        struct deletion *last = &deletes[kept], *d = &deletes[next];
        uint32_t last_end = last->clock + last->len, end = d->clock + d->len;

        if (d->client != last->client || d->clock >= last_end)
            deletes[++kept] = *d;
        else if (end > last_end)
            last->len = end - last->clock;
    }
    plan->delete_count = kept + 1;
}

static int plan_deletes(struct crdt_doc *doc, struct plan *plan)
{
    const struct range_list *pending = &doc->pending.deletes;
    bool replaces = pending->count > 0 && (pending_deletes_are_ready(doc, &plan->incoming) ||
                                           pending_deletes_are_ready(doc, &plan->retried));
    int r = 0;

    for (uint32_t i = 0; i < plan->incoming.delete_count && r == 0; i++) {
        const struct deletion *d = &plan->incoming.deletes[i];
        uint64_t id = plan->incoming.clients[d->client].id;
        struct range range = {id, d->clock, d->len};

        uint32_t client = plan->incoming.clients[d->client].client;

        /* What was pending may have made it known. */
        if (client == NIL && plan->has_retried)
            client = client_find(doc, id);
        r = plan_delete(doc, plan, &range, client, !replaces);
    }
    for (size_t i = 0; replaces && i < pending->count && r == 0; i++)
        r = plan_delete(doc, plan, &pending->ranges[i], client_find(doc, pending->ranges[i].client),
                        false);
    unite_deletes(doc, plan);
    plan->replaces_deletes = replaces;
    range_list_normalise(&plan->deletes_left);
    return r;
}

int plan_make(struct crdt_doc *doc, struct plan *plan)
{
    bool is_ready;
    int r = schedule(doc, plan, &plan->incoming);

    plan->incoming_steps = plan->step_count;
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

/* ---- memory ---- */

struct plan *plan_start(struct crdt_doc *doc)
{
    if (!doc->scratch)
        doc->scratch = calloc(1, sizeof(*doc->scratch));
    if (!doc->scratch)
        return NULL;
    doc->scratch->plan.client_count = doc->client_count;
    return &doc->scratch->plan;
}

static void settle_clients(struct crdt_doc *doc, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->client_count; i++) {
        if (batch->clients[i].client == NIL)
            continue;
        struct client *client = &doc->clients[batch->clients[i].client];

        client->planned = client->state;
        client->appends = client->inserts = 0;
    }
}

static void buf_reset(struct crdt_buf *buf)
{
    if (buf->cap > KEPT_BYTES)
        crdt_buf_done(buf);
    buf->len = 0;
    buf->error = 0;
}

void plan_end(struct crdt_doc *doc, struct plan *plan, bool is_committed)
{
    settle_clients(doc, &plan->incoming);
    if (plan->has_retried) {
        settle_clients(doc, &plan->retried);
        batch_reset(&plan->retried);
    }
    for (uint32_t i = 0; i < plan->delete_count; i++)
        doc->clients[plan->deletes[i].client].inserts = 0;
    if (!is_committed)
        clients_truncate(doc, plan->client_count);
    chunks_trim(doc);
    loading_end(doc);
    batch_reset(&plan->incoming);
    buf_reset(&plan->retry);
    buf_reset(&plan->rest);
    array_shed(&plan->steps, &plan->step_cap, sizeof(*plan->steps));
    array_shed(&plan->deletes, &plan->delete_cap, sizeof(*plan->deletes));
    array_shed(&plan->doomed, &plan->doomed_cap, sizeof(*plan->doomed));
    array_shed(&plan->mark.splits, &plan->mark.split_cap, sizeof(*plan->mark.splits));
    array_shed(&plan->stack, &plan->stack_cap, sizeof(*plan->stack));
    range_list_reset(&plan->covered);
    range_list_reset(&plan->missing);
    range_list_reset(&plan->deletes_left);
    plan->has_retried = plan->replaces_deletes = false;
    plan->step_count = plan->incoming_steps = plan->delete_count = plan->stack_count = 0;
    plan->doomed_count = 0;
    plan->drop_updates = 0;
    plan->rest_structs = 0;
}

void plan_forget(struct plan *plan)
{
    batch_reset(&plan->incoming);
    batch_reset(&plan->retried);
    plan->delete_count = plan->doomed_count = 0;
    plan->client_count = 0;
}

void scratch_free(struct scratch *scratch)
{
    struct plan *plan = &scratch->plan;

    batch_done(&plan->incoming);
    batch_done(&plan->retried);
    crdt_buf_done(&plan->retry);
    crdt_buf_done(&plan->rest);
    free(plan->steps);
    free(plan->deletes);
    free(plan->doomed);
    free(plan->mark.splits);
    free(plan->stack);
    range_list_done(&plan->covered);
    range_list_done(&plan->missing);
    range_list_done(&plan->deletes_left);
    crdt_writer_free(scratch->writer);
    crdt_buf_done(&scratch->update);
    range_list_done(&scratch->deletes);
    free(scratch);
}

uint64_t scratch_bytes(const struct scratch *scratch)
{
    const struct plan *plan = &scratch->plan;

    return sizeof(*scratch) + batch_bytes(&plan->incoming) + batch_bytes(&plan->retried) +
           plan->retry.cap + plan->rest.cap + (uint64_t)plan->step_cap * sizeof(*plan->steps) +
           (uint64_t)plan->delete_cap * sizeof(*plan->deletes) +
           (uint64_t)plan->doomed_cap * sizeof(*plan->doomed) +
           (uint64_t)plan->mark.split_cap * sizeof(*plan->mark.splits) +
           (uint64_t)plan->stack_cap * sizeof(*plan->stack) +
           (plan->covered.cap + plan->missing.cap + plan->deletes_left.cap) * sizeof(struct range) +
           (scratch->writer ? crdt_writer_bytes(scratch->writer) : 0) + scratch->update.cap +
           scratch->deletes.cap * sizeof(struct range);
}
