#include "doc.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t hash_client(const struct crdt_doc *doc, uint64_t id)
{
    return hash_mix(doc->seed ^ id);
}

uint32_t client_lookup(const struct crdt_doc *doc, uint64_t id)
{
    uint32_t hash = hash_client(doc, id), pos = hash;
    uint32_t client;

    while ((client = table_probe(&doc->client_table, hash, &pos)) != NIL)
        if (doc->clients[client].id == id)
            break;
    return client;
}

uint32_t client_find(struct crdt_doc *doc, uint64_t id)
{
    uint32_t client = doc->last_client;

    if (client < doc->client_count && doc->clients[client].id == id)
        return client;
    client = client_lookup(doc, id);
    if (client != NIL)
        doc->last_client = client;
    return client;
}

int client_intern(struct crdt_doc *doc, uint64_t id, uint32_t *ret_client)
{
    uint32_t client = client_find(doc, id);
    int r;

    if (client == NIL) {
        r = array_reserve(&doc->clients, &doc->client_cap, doc->client_count + (uint64_t)1,
                          sizeof(*doc->clients));
        if (r == 0)
            r = table_reserve(&doc->client_table, 1);
        if (r < 0)
            return r;
        client = doc->client_count++;
        doc->clients[client] = (struct client){.id = id, .last_item = NIL};
        table_insert(&doc->client_table, hash_client(doc, id), client);
    }
    *ret_client = client;
    return 0;
}

void clients_truncate(struct crdt_doc *doc, uint32_t count)
{
    while (doc->client_count > count) {
        uint32_t client = --doc->client_count;
        struct client *c = &doc->clients[client];

        assert(c->state == 0);
        table_remove(&doc->client_table, hash_client(doc, c->id), client);
        client_done(c);
    }
}

static bool is_sorted_before(const struct crdt_doc *doc, uint32_t a, uint32_t b)
{
    return doc->clients[a].id > doc->clients[b].id;
}

static int compare_clients(const void *a, const void *b, void *arg)
{
    return is_sorted_before(arg, *(const uint32_t *)b, *(const uint32_t *)a) ? 1 : -1;
}

const uint32_t *clients_sorted(const struct crdt_doc *doc)
{
    struct crdt_doc *cache = (struct crdt_doc *)doc;
    uint32_t count = doc->client_count, known = doc->sorted_count, out = 0, i = 0, j = known;
    uint32_t *sorted, *old = doc->clients_by_id;

    if (count == known && old)
        return old;
    /* The second half holds the new ones while they are sorted. */
    sorted = calloc((size_t)count + (count - known) + 1, sizeof(*sorted));
    if (!sorted)
        return NULL;

    uint32_t *added = sorted + count;
    for (uint32_t client = known; client < count; client++)
        added[client - known] = client;
    qsort_r(added, count - known, sizeof(*added), compare_clients, cache);
    while (i < known || j < count) {
        if (j == count || (i < known && is_sorted_before(doc, old[i], added[j - known])))
            sorted[out++] = old[i++];
        else
            sorted[out++] = added[j++ - known];
    }
    free(old);
    cache->clients_by_id = sorted;
    cache->sorted_count = count;
    return sorted;
}
