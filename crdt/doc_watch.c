/*
 * What an update changes in what is seen of a root list. What it deletes is known before the
 * commit, from the plan; what it inserts afterwards, as the clocks that its clients did not have.
 * From there on only the neighbours of what changed are looked at, never the whole list.
 *
 * After the commit `planned` of a client is its first clock that is news; of an item that is seen,
 * what is news is told by ITEM_IS_NEWS until it has been reported.
 */
#include "doc_plan.h"

/* Deleted items that are passed one by one before an index is asked. */
#define NEAR_ITEMS 32u

/* ---- before the commit ---- */

static bool is_seen(const struct crdt_doc *doc, uint32_t type, uint32_t index)
{
    const struct item *item = &doc->items[index];

    return item->place == type && item_visible_len(item) > 0;
}

/* The part of a range that is seen now. What the update itself inserts is not there yet. */
static int note_removed(struct crdt_doc *doc, uint32_t type, const struct deletion *d)
{
    struct range_list *removed = &doc->watch->removed;
    const struct client *client = &doc->clients[d->client];
    uint32_t end = d->clock + d->len, index;
    struct item_walk walk;
    int r = 0;

    if (d->clock >= client->state)
        return 0;
    walk = item_walk_from(doc, d->client, d->clock);
    while (r == 0 && (index = item_walk_next(&walk)) != NIL && doc->items[index].clock < end) {
        const struct item *item = &doc->items[index];
        uint32_t from = item->clock > d->clock ? item->clock : d->clock;
        uint32_t to = item_end(item) < end ? item_end(item) : end;

        if (from < to && is_seen(doc, type, index))
            r = range_list_add(removed, client->id, from, to - from);
    }
    return r;
}

int watch_arm(struct crdt_doc *doc, const struct plan *plan)
{
    struct watch *watch = doc->watch;
    uint32_t type = root_find(doc, watch->root);
    uint64_t cuts = 2 * ((uint64_t)plan->step_count + plan->delete_count);
    int r = 0;

    /* The document was empty: all that is in it is news. */
    if (plan->incoming.has_streamed)
        return 0;
    if (doc->has_wide_text)
        r = array_reserve(&watch->cuts, &watch->cut_cap, cuts, sizeof(*watch->cuts));
    for (uint32_t i = 0; type != NIL && i < plan->delete_count && r == 0; i++)
        r = note_removed(doc, type, &plan->deletes[i]);
    range_list_normalise(&watch->removed);
    watch->is_armed = r == 0;
    return r;
}

void watch_note_cut(struct crdt_doc *doc, uint32_t client, uint32_t clock)
{
    struct watch *watch = doc->watch;

    if (!watch->is_armed)
        return;
    assert(watch->cut_count < watch->cut_cap);
    watch->cuts[watch->cut_count++] = (struct deletion){client, clock - 1, 2};
}

/* ---- after it ---- */

static struct crdt_id id_at(const struct crdt_doc *doc, uint32_t client, uint32_t clock)
{
    return (struct crdt_id){doc->clients[client].id, clock};
}

static void give_removed(struct crdt_doc *doc, uint64_t client, uint32_t clock, uint32_t len)
{
    struct crdt_units units = {.is_deleted = true, .id = {client, clock}, .len = len};

    doc->watch->fn(doc->watch->ctx, &units);
}

/* The last `units` of a text. They are found from its end: an item may have become long. */
static struct crdt_slice text_end(struct crdt_slice text, uint32_t units)
{
    size_t start = text.len;

    while (units > 0) {
        start--;
        while ((text.data[start] & 0xc0) == 0x80)
            start--;
        units -= text.data[start] >= 0xf0 ? 2 : 1;
    }
    return (struct crdt_slice){text.data + start, text.len - start};
}

/* Where the news of an item that has some begins; a half of a pair that was cut is no new clock. */
static uint32_t news_start(const struct crdt_doc *doc, const struct item *item)
{
    uint32_t first = doc->clients[item->client].planned;

    return item->clock < first && first < item_end(item) ? first : item->clock;
}

/* Is a part of it not news? */
static bool is_grown(const struct crdt_doc *doc, const struct item *item)
{
    return news_start(doc, item) > item->clock;
}

static void give_news(struct crdt_doc *doc, uint32_t index, struct crdt_units *units)
{
    struct item *item = &doc->items[index];
    uint32_t start = news_start(doc, item);

    units->id = id_at(doc, item->client, start);
    units->len = item_end(item) - start;
    units->text = (struct crdt_slice){NULL, 0};
    if (item->ref == CRDT_REF_STRING)
        units->text = text_end((struct crdt_slice){doc->text + item->content, item->content_len},
                               (uint32_t)units->len);
    item->flags &= (uint8_t)~ITEM_IS_NEWS;
    doc->watch->fn(doc->watch->ctx, units);
    units->has_after = true;
    units->after = id_at(doc, item->client, item_end(item) - 1);
}

/* The item that holds the visible unit number `index`, from 1 on, of the type; NIL: there is none,
 * or no memory to find it, when it is looked for one by one. */
static uint32_t find_seen(struct crdt_doc *doc, uint32_t type, uint64_t index)
{
    uint64_t start;
    uint32_t item;

    if (index == 0 || index > doc->types[type].len ||
        !positions_find(doc, type, index, &item, &start))
        return NIL;
    return item;
}

/* The next item to the left that is seen. Most often it is near. */
static uint32_t seen_left(struct crdt_doc *doc, uint32_t type, uint32_t index)
{
    uint32_t left = doc->items[index].left, found;
    uint64_t count;

    for (uint32_t n = 0; left != NIL && item_visible_len(&doc->items[left]) == 0; n++) {
        if (n == NEAR_ITEMS && positions_count(doc, type, index, &count) &&
            ((found = find_seen(doc, type, count)) != NIL || count == 0))
            return found;
        left = doc->items[left].left;
    }
    return left;
}

/* The same to the right, where there is one. */
static uint32_t seen_right(struct crdt_doc *doc, uint32_t type, uint32_t index)
{
    uint32_t right = doc->items[index].right, found;
    uint64_t count;

    for (uint32_t n = 0; item_visible_len(&doc->items[right]) == 0; n++) {
        if (n == NEAR_ITEMS && positions_count(doc, type, index, &count) &&
            (found = find_seen(doc, type, count + item_visible_len(&doc->items[index]) + 1)) != NIL)
            return found;
        right = doc->items[right].right;
    }
    return right;
}

static bool has_news(const struct crdt_doc *doc, uint32_t index)
{
    return doc->items[index].flags & ITEM_IS_NEWS;
}

/* Reports an item that has news, and before it the news to its left, back to what was there before
 * or has been reported. */
static void give_up_to(struct crdt_doc *doc, uint32_t type, uint32_t last)
{
    struct crdt_units units = {.has_after = false};
    uint32_t first = last, left = NIL;

    while (!is_grown(doc, &doc->items[first]) && (left = seen_left(doc, type, first)) != NIL &&
           has_news(doc, left))
        first = left;
    if (is_grown(doc, &doc->items[first])) {
        units.has_after = true;
        units.after = id_at(doc, doc->items[first].client, news_start(doc, &doc->items[first]) - 1);
    } else if (left != NIL) {
        units.has_after = true;
        units.after = id_at(doc, doc->items[left].client, item_end(&doc->items[left]) - 1);
    }
    while (first != last) {
        give_news(doc, first, &units);
        first = seen_right(doc, type, first);
    }
    give_news(doc, last, &units);
}

typedef void (*item_fn)(struct crdt_doc *doc, uint32_t type, uint32_t index);

static void mark_news(struct crdt_doc *doc, uint32_t type, uint32_t index)
{
    if (is_seen(doc, type, index))
        doc->items[index].flags |= ITEM_IS_NEWS;
}

static void give_marked(struct crdt_doc *doc, uint32_t type, uint32_t index)
{
    if (has_news(doc, index))
        give_up_to(doc, type, index);
}

static void each_in(struct crdt_doc *doc, uint32_t type, uint32_t client, uint32_t clock,
                    uint32_t end, item_fn fn)
{
    struct item_walk walk = item_walk_from(doc, client, clock);
    uint32_t index;

    while ((index = item_walk_next(&walk)) != NIL && doc->items[index].clock < end)
        fn(doc, type, index);
}

/* Every item that may have news. */
static void each_changed(struct crdt_doc *doc, const struct plan *plan, uint32_t type, item_fn fn)
{
    const struct batch *batches[] = {&plan->incoming, &plan->retried};
    const struct watch *watch = doc->watch;

    for (uint32_t i = 0; i < watch->cut_count; i++)
        each_in(doc, type, watch->cuts[i].client, watch->cuts[i].clock,
                watch->cuts[i].clock + watch->cuts[i].len, fn);
    for (size_t b = 0; b < sizeof(batches) / sizeof(batches[0]); b++)
        for (uint32_t i = 0; i < batches[b]->group_count; i++) {
            uint32_t client = batches[b]->clients[batches[b]->groups[i].client].client;

            each_in(doc, type, client, doc->clients[client].planned, doc->clients[client].state,
                    fn);
        }
}

/* Sets `planned` of every client that has new clocks to the first of them. */
static void set_first_news(struct crdt_doc *doc, const struct plan *plan)
{
    const struct batch *batches[] = {&plan->incoming, &plan->retried};

    for (size_t b = 0; b < sizeof(batches) / sizeof(batches[0]); b++)
        for (uint32_t i = 0; i < batches[b]->group_count; i++) {
            const struct batch_client *c = &batches[b]->clients[batches[b]->groups[i].client];

            doc->clients[c->client].planned = c->state;
        }
}

/* The halves of a pair go, unless they are new, deleted or of another list. Afterwards those that
 * are left are items of their own. */
static void give_cut(struct crdt_doc *doc, uint32_t type, struct deletion *cut)
{
    uint32_t end = cut->clock + cut->len;

    if (end > doc->clients[cut->client].planned ||
        doc->items[item_find(doc, cut->client, cut->clock)].place != type) {
        cut->len = 0;
        return;
    }
    for (uint32_t clock = cut->clock; clock < end; clock++) {
        uint32_t index = item_find(doc, cut->client, clock);

        if (item_is_deleted(&doc->items[index]))
            continue;
        index = item_clean_start(doc, cut->client, clock);
        (void)item_clean_end(doc, cut->client, clock);
        give_removed(doc, doc->clients[cut->client].id, clock, 1);
    }
}

void watch_report(struct crdt_doc *doc, const struct plan *plan)
{
    struct watch *watch = doc->watch;
    uint32_t type = root_find(doc, watch->root);

    if (type == NIL)
        return;
    if (plan->incoming.has_streamed) {
        crdt_doc_read_units(doc, watch->root, watch->fn, watch->ctx);
        return;
    }
    watch->is_armed = false;
    set_first_news(doc, plan);
    for (size_t i = 0; i < watch->removed.count; i++)
        give_removed(doc, watch->removed.ranges[i].client, watch->removed.ranges[i].clock,
                     watch->removed.ranges[i].len);
    for (uint32_t i = 0; i < watch->cut_count; i++)
        give_cut(doc, type, &watch->cuts[i]);
    each_changed(doc, plan, type, mark_news);
    each_changed(doc, plan, type, give_marked);
}
