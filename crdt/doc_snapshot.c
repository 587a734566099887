/* Versions of documents. */
#include <errno.h>
#include <stdlib.h>

#include "doc.h"
#include "snapshot.h"

static int add_deleted(const struct crdt_doc *doc, uint32_t client, struct crdt_delete_set *deletes)
{
    uint64_t id = doc->clients[client].id;
    struct item_walk walk = item_walk_from(doc, client, 0);
    uint32_t index;
    int r = 0;

    while (r == 0 && (index = item_walk_next(&walk)) != NIL) {
        const struct item *item = &doc->items[index];

        if (item_is_deleted(item) && item->len > 0)
            r = crdt_delete_set_add(deletes, id, item->clock, item->len);
    }
    return r;
}

int crdt_doc_snapshot(const struct crdt_doc *doc, struct crdt_snapshot **ret_snapshot)
{
    struct crdt_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    int r = snapshot ? 0 : -ENOMEM;

    for (uint32_t i = 0; i < doc->client_count && r == 0; i++) {
        const struct client *client = &doc->clients[i];

        if (client_last_item(client) == NIL)
            continue;
        r = crdt_states_add(&snapshot->states, client->id, client->state, 0);
        if (r == 0)
            r = add_deleted(doc, i, &snapshot->deletes);
    }
    if (r < 0) {
        crdt_snapshot_free(snapshot);
        return r;
    }
    crdt_states_sort(&snapshot->states);
    crdt_delete_set_normalise(&snapshot->deletes);
    *ret_snapshot = snapshot;
    return 0;
}

int crdt_doc_at_snapshot(const struct crdt_doc *doc, enum crdt_format format,
                         const struct crdt_snapshot *snapshot, struct crdt_buf *out)
{
    struct crdt_limits own = doc_own_limits(doc);
    struct crdt_buf whole = {0};
    int r = crdt_doc_encode(doc, format, NULL, 0, &whole);

    if (r == 0)
        r = crdt_update_at_snapshot(format, (struct crdt_slice){whole.data, whole.len}, snapshot,
                                    &own, out);
    crdt_buf_done(&whole);
    return r;
}
