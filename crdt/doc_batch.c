#include "doc_plan.h"

#include <errno.h>
#include <stdlib.h>

/* Descending by client; of the same client the last of the update first. */
static int compare_groups(const void *a, const void *b)
{
    const struct group *left = a, *right = b;

    if (left->client_id != right->client_id)
        return left->client_id < right->client_id ? 1 : -1;
    return left->first < right->first ? 1 : -1;
}

/* Yjs keeps but the last group of a client. */
static void sort_groups(struct batch *batch)
{
    uint32_t kept = 0;

    if (batch->group_count < 2)
        return;
    qsort(batch->groups, batch->group_count, sizeof(*batch->groups), compare_groups);
    for (uint32_t i = 1; i < batch->group_count; i++)
        if (batch->groups[i].client_id != batch->groups[kept].client_id)
            batch->groups[++kept] = batch->groups[i];
    batch->group_count = kept + 1;
}

/* Takes in the struct that was read behind the others. */
static int add_struct(struct batch *batch)
{
    const struct crdt_struct *s = &batch->structs[batch->count];
    struct group *group = batch->group_count ? &batch->groups[batch->group_count - 1] : NULL;

    if (s->is_first) {
        int r = array_reserve(&batch->groups, &batch->group_cap, batch->group_count + (uint64_t)1,
                              sizeof(*batch->groups));

        if (r < 0)
            return r;
        group = &batch->groups[batch->group_count++];
        *group = (struct group){
            .client_id = s->id.client,
            .client = NIL,
            .first = batch->count,
            .next = batch->count,
        };
    }
    group->count++;
    batch->count++;
    return 0;
}

static int read_structs(struct batch *batch)
{
    for (;;) {
        int r = array_reserve(&batch->structs, &batch->cap, batch->count + (uint64_t)1,
                              sizeof(*batch->structs));

        if (r == 0)
            r = crdt_reader_struct(batch->reader, &batch->structs[batch->count]);
        if (r > 0)
            r = add_struct(batch);
        else
            return r;
        if (r < 0)
            return r;
    }
}

int batch_decode(struct batch *batch, enum crdt_format format, const uint8_t *update, size_t len,
                 const struct crdt_limits *limits)
{
    struct crdt_id id;
    uint64_t delete_len;
    int r = crdt_reader_new(format, update, len, limits, &batch->reader);

    if (r == 0)
        r = read_structs(batch);
    if (r < 0)
        return r;
    while ((r = crdt_reader_delete(batch->reader, &id, &delete_len)) > 0) {
        if (delete_len == 0)
            continue;
        r = range_list_add(&batch->deletes, id.client, (uint32_t)id.clock, (uint32_t)delete_len);
        if (r < 0)
            return r;
    }
    if (r == 0)
        sort_groups(batch);
    return r;
}

void batch_done(struct batch *batch)
{
    if (batch->reader)
        crdt_reader_free(batch->reader);
    free(batch->structs);
    free(batch->groups);
    range_list_done(&batch->deletes);
    *batch = (struct batch){0};
}
