/*
 * The commit of a plan allocates nothing. What it can need at most follows from the plan: an item
 * for each struct, and two for each split that a struct's neighbours or the ends of a delete can
 * cause (the second one only if there are surrogate pairs to cut).
 */
#include "doc_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A buffer is cleared of what was deleted when that is half of it, and at least this. */
#define COMPACT_MIN_BYTES (64u << 10)

struct demand {
    uint64_t items;
    uint64_t types;
    uint64_t entries;
    uint64_t names;
    uint64_t name_bytes;
    uint64_t text;
    uint64_t payload;
};

static int touch(struct crdt_doc *doc, struct plan *plan, struct demand *demand, uint32_t client,
                 uint32_t items)
{
    struct client *c = &doc->clients[client];

    demand->items += items;
    if (c->need == 0) {
        int r = array_reserve(&plan->touched, &plan->touched_cap, plan->touched_count + (uint64_t)1,
                              sizeof(*plan->touched));

        if (r < 0)
            return r;
        plan->touched[plan->touched_count++] = client;
    }
    c->need += items;
    return 0;
}

static void demand_name(struct demand *demand, struct crdt_slice name)
{
    demand->names++;
    demand->name_bytes += name.len;
}

static void demand_content(struct crdt_doc *doc, struct demand *demand, const struct crdt_struct *s)
{
    const struct crdt_content *content = &s->content;

    switch (crdt_struct_ref(s)) {
    case CRDT_REF_STRING:
        demand->text += content->bytes.len + REPLACEMENT_LEN;
        if (!doc->has_wide_text && content->bytes.len != s->len)
            doc->has_wide_text = true;
        break;
    case CRDT_REF_TYPE:
        demand->types++;
        if (content->key.data)
            demand_name(demand, content->key);
        break;
    case CRDT_REF_FORMAT:
    case CRDT_REF_DOC:
        demand_name(demand, content->key);
        demand->payload += content->bytes.len + sizeof(uint32_t);
        break;
    case CRDT_REF_JSON:
    case CRDT_REF_BINARY:
    case CRDT_REF_EMBED:
    case CRDT_REF_ANY:
        demand->payload += content->bytes.len;
        break;
    case CRDT_REF_GC:
    case CRDT_REF_DELETED:
    case CRDT_REF_SKIP:
        break;
    }
}

static int demand_step(struct crdt_doc *doc, struct plan *plan, struct demand *demand,
                       const struct step *step)
{
    const struct crdt_struct *s = step->s;
    uint32_t splits;
    int r;

    demand_content(doc, demand, s);
    splits = doc->has_wide_text ? 2 : 1;
    if (s->parent == CRDT_PARENT_ROOT) {
        demand_name(demand, s->parent_name);
        demand->types++;
        demand->entries++;
    }
    if (s->parent_sub.data) {
        demand_name(demand, s->parent_sub);
        demand->entries++;
    }
    r = touch(doc, plan, demand, step->client, 1);
    if (r == 0 && (s->info & CRDT_INFO_ORIGIN))
        r = touch(doc, plan, demand, client_find(doc, s->origin.client), splits);
    if (r == 0 && (s->info & CRDT_INFO_RIGHT_ORIGIN))
        r = touch(doc, plan, demand, client_find(doc, s->right_origin.client), splits);
    return r;
}

static int reserve_items(struct crdt_doc *doc, const struct demand *demand)
{
    uint32_t cap = doc->item_cap, marks_cap = doc->item_cap;
    uint64_t count = doc->item_count + demand->items;
    int r;

    if (count <= cap)
        return 0;
    /* The marks first: item_cap then holds for both, whatever fails. */
    r = array_reserve(&doc->marks, &marks_cap, count, sizeof(*doc->marks));
    if (r == 0)
        r = array_reserve(&doc->items, &doc->item_cap, count, sizeof(*doc->items));
    return r;
}

static bool uses_text(const struct item *item)
{
    /* The U+FFFD at the start of the text is everybody's. */
    return item->ref == CRDT_REF_STRING &&
           (item->content > 0 || item->content_len > REPLACEMENT_LEN);
}

static bool uses_payload(const struct item *item)
{
    return item->ref != CRDT_REF_STRING && item->ref != CRDT_REF_TYPE && item->content_len > 0;
}

/* Moves what items use of a buffer into a new one with room for `demand` more, after the `used`
 * bytes that stay at its start. */
static int compact(struct crdt_doc *doc, uint8_t **buffer, uint32_t *len, uint32_t *cap,
                   uint32_t used, bool (*is_user)(const struct item *item), uint64_t demand)
{
    uint8_t *fresh = NULL;
    uint32_t fresh_cap = 0, end = used;
    uint64_t live = used;
    int r;

    for (uint32_t i = 0; i < doc->item_count; i++)
        if (is_user(&doc->items[i]))
            live += doc->items[i].content_len;
    r = array_reserve(&fresh, &fresh_cap, live + live / 2 + demand, 1);
    if (r < 0)
        return r;
    if (used)
        memcpy(fresh, *buffer, used);
    for (uint32_t i = 0; i < doc->item_count; i++) {
        struct item *item = &doc->items[i];

        if (!is_user(item))
            continue;
        memcpy(fresh + end, *buffer + item->content, item->content_len);
        item->content = end;
        end += item->content_len;
    }
    free(*buffer);
    *buffer = fresh;
    *len = end;
    *cap = fresh_cap;
    return 0;
}

static bool is_worn(uint32_t len, uint32_t dead)
{
    return dead >= COMPACT_MIN_BYTES && dead >= len / 2;
}

static int reserve_text(struct crdt_doc *doc, uint64_t demand)
{
    int r;

    if (doc->text_len + demand <= doc->text_cap || !is_worn(doc->text_len, doc->text_dead))
        return array_reserve(&doc->text, &doc->text_cap, doc->text_len + demand, 1);
    r = compact(doc, &doc->text, &doc->text_len, &doc->text_cap, REPLACEMENT_LEN, uses_text,
                demand);
    if (r == 0)
        doc->text_dead = 0;
    return r;
}

static int reserve_payload(struct crdt_doc *doc, uint64_t demand)
{
    int r;

    if (doc->payload_len + demand <= doc->payload_cap ||
        !is_worn(doc->payload_len, doc->payload_dead))
        return array_reserve(&doc->payload, &doc->payload_cap, doc->payload_len + demand, 1);
    r = compact(doc, &doc->payload, &doc->payload_len, &doc->payload_cap, 0, uses_payload, demand);
    if (r == 0)
        doc->payload_dead = 0;
    return r;
}

static int reserve_demand(struct crdt_doc *doc, const struct demand *demand)
{
    int r = reserve_items(doc, demand);

    if (r == 0)
        r = array_reserve(&doc->types, &doc->type_cap, doc->type_count + demand->types,
                          sizeof(*doc->types));
    if (r == 0)
        r = entries_reserve(doc, demand->entries);
    if (r == 0)
        r = names_reserve(doc, demand->names, demand->name_bytes);
    if (r == 0)
        r = reserve_text(doc, demand->text);
    if (r == 0)
        r = reserve_payload(doc, demand->payload);
    return r;
}

int plan_reserve(struct crdt_doc *doc, struct plan *plan)
{
    struct demand demand = {0};
    int r = 0;

    for (uint32_t i = 0; i < plan->step_count && r == 0; i++)
        r = demand_step(doc, plan, &demand, &plan->steps[i]);
    for (uint32_t i = 0; i < plan->delete_count && r == 0; i++)
        r = touch(doc, plan, &demand, plan->deletes[i].client, doc->has_wide_text ? 4 : 2);
    if (r == 0)
        r = reserve_demand(doc, &demand);
    if (r == 0)
        r = clients_reserve(doc, plan->touched, plan->touched_count);
    if (r == 0)
        r = pending_reserve(doc, plan);
    return r;
}

void plan_trim(struct crdt_doc *doc)
{
    uint32_t marks_cap = doc->item_cap;

    /* The items first: item_cap then holds for both, whatever fails. */
    array_trim(&doc->items, &doc->item_cap, doc->item_count, sizeof(*doc->items));
    if (doc->item_cap < marks_cap)
        array_trim(&doc->marks, &marks_cap, doc->item_count, sizeof(*doc->marks));
    array_trim(&doc->entries, &doc->entry_cap, doc->entry_count, sizeof(*doc->entries));
    array_trim(&doc->types, &doc->type_cap, doc->type_count, sizeof(*doc->types));
    array_trim(&doc->names, &doc->name_cap, doc->name_count, sizeof(*doc->names));
    array_trim(&doc->name_bytes, &doc->name_bytes_cap, doc->name_bytes_len, 1);
}
