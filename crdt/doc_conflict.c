/*
 * Where an insertion goes when others were made at the same place: YATA as Yjs has it. What lies
 * between an item's origin and its right origin is scanned, and passed by or not, by a rule that
 * gives the same order on all replicas.
 *
 * The rule asks of each item o of the scan whether the item of o's origin was scanned before
 * (ITEM_IS_PASSED), and whether it was so since the last time that a better left neighbour was
 * found (ITEM_IS_CONFLICTING).
 *
 * Landmarks keep many insertions at one place from costing a scan of them all each. Siblings are
 * items with the same origin and the same right origin; they stand in the order of their clients. A
 * landmark is a sibling that every scan for a sibling of a higher client reaches, with it as the
 * best left neighbour and nothing conflicting; so the scan can begin there. This stays true
 * whatever is inserted between the origin L and the landmark s:
 *   - siblings are inserted in order, for they look at the landmarks too;
 *   - other items with this origin do not end a scan;
 *   - items whose origin is right of L were scanned with it;
 *   - items whose origin is left of L came here by a scan which passed L. It ended at an item which
 *     has the origin of the inserted one, or one left of that: such an item would have kept s from
 *     being reached before. Or it ended at its right origin: only a right origin whose own origin
 *     was passed may lie between L and s (no honest replica makes such a pair). Then all landmarks
 *     are forgotten, as they are when items go, and when an item is inserted elsewhere than right
 *     of its origin.
 */
#include <stdlib.h>
#include <string.h>

#include "doc.h"

/* A scan that passes so many items leaves a landmark. */
#define LANDMARK_DISTANCE 32u

/* What siblings have in common. */
struct sibling_key {
    uint32_t place;
    uint32_t is_keyed;
    uint32_t origin_client;
    uint32_t origin_clock;
    uint32_t right_client;
    uint32_t right_clock;
};

struct landmark_list {
    struct sibling_key key;
    uint32_t *items; /* siblings, ascending by client id */
    uint32_t count;
    uint32_t cap;
    uint32_t end;         /* an item that ends the scan, for its origin is left of it; or NIL */
    bool has_outer_right; /* the right origin's origin is known to be left of the scan */
};

struct landmarks {
    struct landmark_list *lists;
    uint32_t count;
    uint32_t cap;
    struct table table;
};

enum scan_end {
    SCAN_AT_RIGHT,   /* or at the end of the list */
    SCAN_AT_SIBLING, /* of a higher client */
    SCAN_AT_OUTER,   /* an item whose origin was not passed */
    SCAN_UNKNOWN,    /* its origin was not passed since the landmark, or not at all */
};

struct scan {
    const struct item *item;
    uint64_t id; /* of its client */
    uint32_t right;
    const struct landmark_list *list; /* NULL: the scan begins at the origin */
    uint32_t first;                   /* scanned, */
    uint32_t last;                    /* or where the scan ended, without being passed */
    uint32_t conflicting;             /* the first that may be */
    uint32_t left;
    uint32_t count;
    uint32_t landmark; /* a sibling fit to be one; NIL: none */
    uint64_t highest;  /* client id of the siblings passed */
};

static uint64_t id_of(const struct crdt_doc *doc, uint32_t item)
{
    return doc->clients[doc->items[item].client].id;
}

static bool has_same_origin(const struct item *a, const struct item *b)
{
    return a->origin_client == b->origin_client &&
           (a->origin_client == NIL || a->origin_clock == b->origin_clock);
}

static bool has_same_right_origin(const struct item *a, const struct item *b)
{
    return a->right_client == b->right_client &&
           (a->right_client == NIL || a->right_clock == b->right_clock);
}

static uint32_t list_start(const struct crdt_doc *doc, const struct item *item)
{
    return item->flags & ITEM_IS_KEYED ? doc->entries[item->place].head
                                       : doc->types[item->place].start;
}

/* The item of an origin, which is most often the left neighbour. */
static uint32_t origin_item(struct crdt_doc *doc, const struct item *item)
{
    if (item->left != NIL) {
        const struct item *left = &doc->items[item->left];

        if (left->client == item->origin_client && item_end(left) == item->origin_clock + 1 &&
            left->len > 0)
            return item->left;
    }
    return item_find(doc, item->origin_client, item->origin_clock);
}

/* ---- the scan ---- */

static void take_as_left(struct crdt_doc *doc, struct scan *scan, uint32_t o)
{
    uint32_t after = doc->items[o].right;

    for (uint32_t i = scan->conflicting; i != after; i = doc->items[i].right)
        doc->items[i].flags &= (uint8_t)~ITEM_IS_CONFLICTING;
    scan->conflicting = after;
    scan->left = o;
}

static void pass_sibling(struct scan *scan, uint32_t o, uint64_t id)
{
    if (id > scan->highest) {
        scan->highest = id;
        scan->landmark = o;
    }
}

static enum scan_end walk(struct crdt_doc *doc, struct scan *scan)
{
    uint32_t o = scan->first;
    enum scan_end end = SCAN_AT_RIGHT;

    for (; o != NIL && o != scan->right; o = doc->items[o].right) {
        struct item *other = &doc->items[o];

        other->flags |= ITEM_IS_PASSED | ITEM_IS_CONFLICTING;
        if (has_same_origin(scan->item, other)) {
            bool is_sibling = has_same_right_origin(scan->item, other);
            uint64_t id = doc->clients[other->client].id;

            if (id < scan->id) {
                take_as_left(doc, scan, o);
                if (is_sibling)
                    pass_sibling(scan, o, id);
            } else if (is_sibling) {
                end = SCAN_AT_SIBLING;
                break;
            }
        } else if (other->origin_client != NIL) {
            uint8_t flags = doc->items[origin_item(doc, other)].flags;

            if (!(flags & ITEM_IS_PASSED)) {
                end = scan->list && o != scan->list->end ? SCAN_UNKNOWN : SCAN_AT_OUTER;
                break;
            }
            if (!(flags & ITEM_IS_CONFLICTING))
                take_as_left(doc, scan, o);
        } else {
            end = SCAN_AT_OUTER;
            break;
        }
        scan->count++;
    }
    scan->last = o;
    return end;
}

/* Is what has been scanned the place of the origin of the right origin? */
static bool has_inner_right(struct crdt_doc *doc, const struct scan *scan)
{
    const struct item *right = &doc->items[scan->right];

    return right->origin_client != NIL &&
           doc->items[origin_item(doc, right)].flags & ITEM_IS_PASSED;
}

static void unmark(struct crdt_doc *doc, const struct scan *scan)
{
    for (uint32_t i = scan->first; i != NIL && i != scan->right; i = doc->items[i].right) {
        doc->items[i].flags &= (uint8_t) ~(ITEM_IS_PASSED | ITEM_IS_CONFLICTING);
        if (i == scan->last)
            break;
    }
}

/* ---- landmarks ---- */

static struct sibling_key key_of(const struct item *item)
{
    struct sibling_key key = {
        .place = item->place,
        .is_keyed = item->flags & ITEM_IS_KEYED,
        .origin_client = item->origin_client,
        .origin_clock = item->origin_client == NIL ? 0 : item->origin_clock,
        .right_client = item->right_client,
        .right_clock = item->right_client == NIL ? 0 : item->right_clock,
    };

    return key;
}

static uint32_t hash_key(const struct crdt_doc *doc, const struct sibling_key *key)
{
    uint64_t hash = doc->seed ^ ((uint64_t)key->place << 32 | key->is_keyed);

    hash = hash_mix(hash) ^ ((uint64_t)key->origin_client << 32 | key->origin_clock);
    hash = hash_mix(hash) ^ ((uint64_t)key->right_client << 32 | key->right_clock);
    return hash_mix(hash ^ doc->seed);
}

static struct landmark_list *find_list(const struct crdt_doc *doc, const struct sibling_key *key)
{
    uint32_t hash, pos, list;

    if (!doc->landmarks)
        return NULL;
    hash = pos = hash_key(doc, key);
    while ((list = table_probe(&doc->landmarks->table, hash, &pos)) != NIL)
        if (!memcmp(&doc->landmarks->lists[list].key, key, sizeof(*key)))
            return &doc->landmarks->lists[list];
    return NULL;
}

/* NULL: out of memory, and there are no landmarks then. */
static struct landmark_list *add_list(struct crdt_doc *doc, const struct sibling_key *key)
{
    struct landmarks *l = doc->landmarks;

    if (!l)
        l = doc->landmarks = calloc(1, sizeof(*l));
    if (!l || array_reserve(&l->lists, &l->cap, l->count + (uint64_t)1, sizeof(*l->lists)) < 0 ||
        table_reserve(&l->table, 1) < 0)
        return NULL;
    l->lists[l->count] = (struct landmark_list){.key = *key, .end = NIL};
    table_insert(&l->table, hash_key(doc, key), l->count);
    return &l->lists[l->count++];
}

/* How many landmarks are of lower clients. */
static uint32_t count_below(const struct crdt_doc *doc, const struct landmark_list *list,
                            uint64_t id)
{
    uint32_t low = 0, high = list->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (id_of(doc, list->items[middle]) < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add_landmark(struct crdt_doc *doc, struct landmark_list *list, uint32_t item)
{
    uint64_t id = id_of(doc, item);
    uint32_t at = count_below(doc, list, id);

    if (at < list->count && id_of(doc, list->items[at]) == id)
        return;
    if (array_reserve(&list->items, &list->cap, list->count + (uint64_t)1, sizeof(*list->items)))
        return;
    memmove(list->items + at + 1, list->items + at, (list->count - at) * sizeof(*list->items));
    list->items[at] = item;
    list->count++;
}

void landmarks_forget(struct crdt_doc *doc)
{
    struct landmarks *l = doc->landmarks;

    if (!l)
        return;
    for (uint32_t i = 0; i < l->count; i++)
        free(l->lists[i].items);
    free(l->lists);
    free(l->table.slots);
    free(l);
    doc->landmarks = NULL;
}

uint64_t landmarks_bytes(const struct crdt_doc *doc)
{
    const struct landmarks *l = doc->landmarks;
    uint64_t bytes;

    if (!l)
        return 0;
    bytes = sizeof(*l) + (uint64_t)l->cap * sizeof(*l->lists) +
            (uint64_t)l->table.cap * sizeof(*l->table.slots);
    for (uint32_t i = 0; i < l->count; i++)
        bytes += (uint64_t)l->lists[i].cap * sizeof(*l->lists[i].items);
    return bytes;
}

/* ---- runs ---- */

void latest_note(struct crdt_doc *doc, uint32_t item)
{
    uint32_t place = doc->items[item].place;

    doc->latest[place % LATEST_LISTS] = (struct latest){place, item};
}

void latest_forget(struct crdt_doc *doc)
{
    for (unsigned i = 0; i < LATEST_LISTS; i++)
        doc->latest[i].item = NIL;
}

/*
 * Who inserts again and again at one place, each time in front of what was inserted before, like
 * lines at the head of a list, makes a run: items of one client with one origin, each with the one
 * before it as its right origin. When `right` is the latest item of the list, the scan for the next
 * one passes exactly what the scan for `right` passed up to its left neighbour, and finds the same:
 * the origin and the client are the same, so each is compared with the same outcome, and none of
 * what it passes is a sibling, as nothing that was there before `right` has it as its right origin.
 */
static bool continues_run(const struct crdt_doc *doc, const struct item *item, uint32_t right)
{
    const struct latest *latest = &doc->latest[item->place % LATEST_LISTS];

    return right != NIL && latest->item == right && latest->place == item->place &&
           !(item->flags & ITEM_IS_KEYED) && doc->items[right].client == item->client &&
           has_same_origin(item, &doc->items[right]);
}

/* ---- all of them ---- */

/* From the last landmark below the item's client, or else from its origin `left`. */
static enum scan_end run(struct crdt_doc *doc, struct scan *scan, const struct landmark_list *list,
                         uint32_t left)
{
    uint32_t below = list ? count_below(doc, list, scan->id) : 0;

    scan->list = NULL;
    scan->highest = 0;
    scan->left = left;
    if (below > 0) {
        scan->list = list;
        scan->left = list->items[below - 1];
        scan->highest = id_of(doc, scan->left);
        scan->first = scan->left;
    } else {
        scan->first = left == NIL ? list_start(doc, scan->item) : doc->items[left].right;
    }
    scan->conflicting = scan->first;
    scan->landmark = NIL;
    scan->count = 0;
    return walk(doc, scan);
}

/* Keeps what a scan has found out for later ones. */
static void learn(struct crdt_doc *doc, const struct scan *scan, enum scan_end end,
                  const struct sibling_key *key, bool has_outer_right)
{
    struct landmark_list *list;

    if (scan->count < LANDMARK_DISTANCE || scan->landmark == NIL)
        return;
    list = find_list(doc, key);
    if (!list)
        list = add_list(doc, key);
    if (!list)
        return;
    add_landmark(doc, list, scan->landmark);
    if (end == SCAN_AT_OUTER)
        list->end = scan->last;
    list->has_outer_right |= has_outer_right;
}

uint32_t conflict_resolve(struct crdt_doc *doc, const struct item *item, uint32_t left,
                          uint32_t right)
{
    struct scan scan = {.item = item, .id = doc->clients[item->client].id, .right = right};
    const struct sibling_key key = key_of(item);
    const struct landmark_list *list;
    bool is_before_right, has_outer_right;
    enum scan_end end;

    if (continues_run(doc, item, right)) {
        doc->steps++;
        return doc->items[right].left;
    }
    list = find_list(doc, &key);
    end = run(doc, &scan, list, left);
    if (end == SCAN_UNKNOWN) {
        doc->steps += scan.count;
        unmark(doc, &scan);
        end = run(doc, &scan, NULL, left);
    }
    /* The right origin's own origin is looked for where the whole of the scan is marked. */
    has_outer_right = end == SCAN_AT_RIGHT && right != NIL && scan.last == right && !scan.list &&
                      !has_inner_right(doc, &scan);
    is_before_right = end == SCAN_AT_RIGHT && scan.last != NIL && scan.left != left &&
                      doc->items[scan.left].right == right;
    doc->steps += scan.count + 1;
    unmark(doc, &scan);
    if (is_before_right && !has_outer_right && !(scan.list && scan.list->has_outer_right))
        landmarks_forget(doc);
    learn(doc, &scan, end, &key, has_outer_right);
    return scan.left;
}
