#include "doc_plan.h"

#include <errno.h>
#include <stdlib.h>

/* Up to so many clients are looked for one by one. */
#define LISTED_CLIENTS 8u
/* An update of so many bytes may well have a struct in it. */
#define BYTES_PER_STRUCT 16u

/* ---- clients ---- */

static uint32_t hash_id(const struct crdt_doc *doc, uint64_t id)
{
    return hash_mix(doc->seed ^ id);
}

static uint32_t find_client(const struct crdt_doc *doc, const struct batch *batch, uint64_t id)
{
    uint32_t hash, pos, client;

    if (batch->client_count <= LISTED_CLIENTS) {
        for (client = 0; client < batch->client_count; client++)
            if (batch->clients[client].id == id)
                return client;
        return NIL;
    }
    hash = pos = hash_id(doc, id);
    while ((client = table_probe(&batch->client_table, hash, &pos)) != NIL)
        if (batch->clients[client].id == id)
            break;
    return client;
}

static int add_client(struct crdt_doc *doc, struct batch *batch, uint64_t id, uint32_t *ret_client)
{
    uint32_t client = batch->client_count;
    uint32_t first = client == LISTED_CLIENTS ? 0 : client;
    int r = array_reserve(&batch->clients, &batch->client_cap, client + (uint64_t)1,
                          sizeof(*batch->clients));

    if (r == 0 && client >= LISTED_CLIENTS)
        r = table_reserve(&batch->client_table, client - first + (uint64_t)1);
    if (r < 0)
        return r;
    batch->clients[client] =
        (struct batch_client){.id = id, .client = client_find(doc, id), .group = NIL};
    batch->client_count++;
    for (uint32_t i = first; client >= LISTED_CLIENTS && i <= client; i++)
        table_insert(&batch->client_table, hash_id(doc, batch->clients[i].id), i);
    *ret_client = client;
    return 0;
}

int batch_intern(struct crdt_doc *doc, struct batch *batch, uint64_t id, uint32_t *ret_client)
{
    uint32_t client = find_client(doc, batch, id);
    int r = 0;

    if (client == NIL)
        r = add_client(doc, batch, id, &client);
    if (r == 0)
        *ret_client = batch->last_client = client;
    return r;
}

/* ---- groups ---- */

static int compare_groups(const void *a, const void *b, void *arg)
{
    const struct group *left = a, *right = b;
    const struct batch_client *clients = arg;

    if (left->client != right->client)
        return clients[left->client].id < clients[right->client].id ? 1 : -1;
    return left->first < right->first ? 1 : -1;
}

/* Puts groups in descending order of their clients; of the same client the last of the update
 * comes first, and Yjs keeps but that. */
static void sort_groups(struct batch *batch)
{
    uint32_t kept = 0;

    if (batch->group_count > 1)
        qsort_r(batch->groups, batch->group_count, sizeof(*batch->groups), compare_groups,
                batch->clients);
    for (uint32_t i = 1; i < batch->group_count; i++)
        if (batch->groups[i].client != batch->groups[kept].client)
            batch->groups[++kept] = batch->groups[i];
    if (batch->group_count > 0)
        batch->group_count = kept + 1;
    for (uint32_t i = 0; i < batch->group_count; i++)
        batch->clients[batch->groups[i].client].group = i;
}

static int begin_group(struct crdt_doc *doc, struct batch *batch, uint64_t id)
{
    uint32_t client = 0;
    int r = array_reserve(&batch->groups, &batch->group_cap, batch->group_count + (uint64_t)1,
                          sizeof(*batch->groups));

    if (r == 0)
        r = batch_client(doc, batch, id, &client);
    /* The plan would have taken another order; or Yjs leave out one of two groups of a client. */
    if (r == 0 && (batch->is_streamed || batch->has_streamed) && batch->group_count > 0 &&
        batch->clients[batch->groups[batch->group_count - 1].client].id <= id)
        r = -EAGAIN;
    if (r == 0 && batch->clients[client].client == NIL)
        r = client_intern(doc, id, &batch->clients[client].client);
    if (r == 0)
        batch->groups[batch->group_count++] =
            (struct group){.client = client, .first = batch->count, .next = batch->count};
    return r;
}

/* ---- structs ---- */

static int add_rare(struct crdt_doc *doc, struct batch *batch, const struct crdt_struct *s)
{
    int r = array_reserve(&batch->rares, &batch->rare_cap, batch->rare_count + (uint64_t)1,
                          sizeof(*batch->rares));
    struct rare *rare;

    if (r < 0)
        return r;
    rare = &batch->rares[batch->rare_count++];
    *rare = (struct rare){
        .parent_sub = s->parent_sub,
        .key = s->content.key,
        .parent_client = NIL,
    };
    if (s->parent == CRDT_PARENT_ROOT)
        rare->parent_name = s->parent_name;
    if (s->parent != CRDT_PARENT_ITEM)
        return 0;
    rare->parent_clock = (uint32_t)s->parent_id.clock;
    return batch_client(doc, batch, s->parent_id.client, &rare->parent_client);
}

static inline int add_record(struct crdt_doc *doc, struct batch *batch, const struct crdt_struct *s)
{
    struct record *record = &batch->records[batch->count];
    struct group *group = batch->group_count ? &batch->groups[batch->group_count - 1] : NULL;
    int r = 0;

    if (s->is_first) {
        r = begin_group(doc, batch, s->id.client);
        if (r < 0)
            return r;
        group = &batch->groups[batch->group_count - 1];
    }
    if (s->content.bytes.len >= NIL)
        return -E2BIG;
    *record = (struct record){
        .bytes = s->content.bytes.data,
        .bytes_len = (uint32_t)s->content.bytes.len,
        .clock = (uint32_t)s->id.clock,
        .len = (uint32_t)s->len,
        .client = group->client,
        .origin_client = NIL,
        .right_client = NIL,
        .rare = NIL,
        .info = s->info,
        .parent = (uint8_t)s->parent,
        .type_ref = s->content.type_ref,
        .value_is_any = s->content.value_is_any,
    };
    if (s->info & CRDT_INFO_ORIGIN) {
        record->origin_clock = (uint32_t)s->origin.clock;
        r = batch_client(doc, batch, s->origin.client, &record->origin_client);
    }
    if (r == 0 && s->info & CRDT_INFO_RIGHT_ORIGIN) {
        record->right_clock = (uint32_t)s->right_origin.clock;
        r = batch_client(doc, batch, s->right_origin.client, &record->right_client);
    }
    if (r == 0 && (s->parent != CRDT_PARENT_IMPLIED || s->content.key.data)) {
        record->rare = batch->rare_count;
        r = add_rare(doc, batch, s);
    }
    group->count++;
    batch->count++;
    return r;
}

static int reserve_records(struct batch *batch, size_t len)
{
    return array_reserve(&batch->records, &batch->cap, len / BYTES_PER_STRUCT + 1,
                         sizeof(*batch->records));
}

static int read_structs(struct crdt_doc *doc, struct batch *batch, size_t len)
{
    struct crdt_struct s;
    int r;

    while ((r = crdt_reader_struct(batch->reader, &s)) > 0) {
        if (batch->is_streamed && !s.is_first) {
            r = stream_plain(doc, batch, &s);
            if (r > 0)
                continue;
        }
        if (r >= 0)
            r = array_reserve(&batch->records, &batch->cap, batch->count + (uint64_t)1,
                              sizeof(*batch->records));
        if (r == 0)
            r = add_record(doc, batch, &s);
        if (r == 0 && batch->is_streamed) {
            r = stream_record(doc, batch);
            if (r == 0 && !batch->is_streamed)
                r = reserve_records(batch, len);
        }
        if (r < 0)
            break;
    }
    return r;
}

static int read_deletes(struct crdt_doc *doc, struct batch *batch)
{
    struct deletion d = {0};
    struct crdt_id id, last = {UINT64_MAX, 0}; /* where the range before ended */
    uint64_t len;
    int r;

    while ((r = crdt_reader_delete(batch->reader, &id, &len)) > 0) {
        if (len == 0)
            continue;
        r = batch_client(doc, batch, id.client, &d.client);
        if (r == 0)
            r = array_reserve(&batch->deletes, &batch->delete_cap,
                              batch->delete_count + (uint64_t)1, sizeof(*batch->deletes));
        if (r < 0)
            return r;
        d.clock = (uint32_t)id.clock;
        d.len = (uint32_t)len;
        /* Only a plan sees to it that what is in several ranges is walked over once. */
        if (batch->is_streamed &&
            (id.client < last.client || (id.client == last.client && id.clock >= last.clock))) {
            last = (struct crdt_id){id.client, id.clock + len};
            r = stream_delete(doc, batch, &d);
            if (r < 0)
                return r;
            if (r > 0)
                continue;
        }
        batch->deletes[batch->delete_count++] = d;
    }
    return r;
}

int batch_decode(struct crdt_doc *doc, struct batch *batch, const struct crdt_limits *limits,
                 enum crdt_format format, const uint8_t *update, size_t len)
{
    int r;

    if (batch->reader)
        r = crdt_reader_restart(batch->reader, format, update, len);
    else
        r = crdt_reader_new(format, update, len, limits, &batch->reader);
    if (r == 0 && batch->is_streamed)
        r = stream_begin(doc, len);
    else if (r == 0)
        r = reserve_records(batch, len);
    if (r == 0)
        r = read_structs(doc, batch, len);
    if (r == 0)
        r = read_deletes(doc, batch);
    if (r == 0)
        sort_groups(batch);
    return r;
}

void batch_describe(const struct batch *batch, const struct record *record,
                    struct crdt_struct *ret_struct)
{
    struct crdt_struct s = {
        .id = {batch->clients[record->client].id, record->clock},
        .len = record->len,
        .info = record->info,
        .parent = (enum crdt_parent)record->parent,
        .content.bytes = {record->bytes, record->bytes_len},
        .content.type_ref = record->type_ref,
        .content.value_is_any = record->value_is_any,
    };

    if (record->origin_client != NIL)
        s.origin = (struct crdt_id){batch->clients[record->origin_client].id, record->origin_clock};
    if (record->right_client != NIL)
        s.right_origin =
            (struct crdt_id){batch->clients[record->right_client].id, record->right_clock};
    if (record->rare != NIL) {
        const struct rare *rare = &batch->rares[record->rare];

        s.parent_name = rare->parent_name;
        s.parent_sub = rare->parent_sub;
        s.content.key = rare->key;
        if (rare->parent_client != NIL)
            s.parent_id =
                (struct crdt_id){batch->clients[rare->parent_client].id, rare->parent_clock};
    }
    *ret_struct = s;
}

/* ---- memory ---- */

void batch_reset(struct batch *batch)
{
    if (batch->reader)
        crdt_reader_rest(batch->reader);
    array_shed(&batch->records, &batch->cap, sizeof(*batch->records));
    array_shed(&batch->rares, &batch->rare_cap, sizeof(*batch->rares));
    array_shed(&batch->groups, &batch->group_cap, sizeof(*batch->groups));
    array_shed(&batch->deletes, &batch->delete_cap, sizeof(*batch->deletes));
    array_shed(&batch->clients, &batch->client_cap, sizeof(*batch->clients));
    if (batch->client_table.cap > 0) {
        free(batch->client_table.slots);
        batch->client_table = (struct table){0};
    }
    batch->count = batch->rare_count = batch->group_count = 0;
    batch->delete_count = batch->client_count = batch->last_client = 0;
    batch->is_streamed = batch->has_streamed = false;
}

void batch_done(struct batch *batch)
{
    if (batch->reader)
        crdt_reader_free(batch->reader);
    free(batch->records);
    free(batch->rares);
    free(batch->groups);
    free(batch->deletes);
    free(batch->clients);
    free(batch->client_table.slots);
    *batch = (struct batch){0};
}

uint64_t batch_bytes(const struct batch *batch)
{
    return (batch->reader ? crdt_reader_bytes() : 0) +
           (uint64_t)batch->cap * sizeof(*batch->records) +
           (uint64_t)batch->rare_cap * sizeof(*batch->rares) +
           (uint64_t)batch->group_cap * sizeof(*batch->groups) +
           (uint64_t)batch->delete_cap * sizeof(*batch->deletes) +
           (uint64_t)batch->client_cap * sizeof(*batch->clients);
}
