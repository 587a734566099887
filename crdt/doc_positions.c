/*
 * An index from positions of a list to its items: the list is cut into blocks of neighbouring
 * items, and a Fenwick tree over the blocks, in their order, sums up what is visible of them.
 */
#include "doc.h"

#include <stdlib.h>
#include <string.h>

/* A block of more items is cut in two. */
#define BLOCK_ITEMS 128u
/* An index that is not used is given up after so many more changes than it has items. */
#define IDLE_CHANGES 1024u

struct block {
    uint64_t len;   /* visible units */
    uint32_t first; /* item; NIL: none any more */
    uint32_t items;
    uint32_t order;
};

struct positions {
    uint32_t type;
    uint32_t item_count;
    uint32_t idle;      /* changes since the last search */
    uint32_t *block_of; /* by item, for those of the list */
    uint32_t block_of_cap;
    struct block *blocks;
    uint32_t block_count;
    uint32_t block_cap;
    uint32_t *ordered; /* blocks, from the start of the list to its end */
    uint32_t ordered_cap;
    uint64_t *tree; /* from 1 on */
    uint32_t tree_cap;
};

void positions_free(struct crdt_doc *doc)
{
    struct positions *p = doc->positions;

    if (!p)
        return;
    free(p->block_of);
    free(p->blocks);
    free(p->ordered);
    free(p->tree);
    free(p);
    doc->positions = NULL;
}

void positions_drop(struct crdt_doc *doc, uint32_t type)
{
    if (doc->positions->type == type)
        positions_free(doc);
}

uint64_t positions_bytes(const struct crdt_doc *doc)
{
    const struct positions *p = doc->positions;

    if (!p)
        return 0;
    return sizeof(*p) + (uint64_t)p->block_of_cap * sizeof(*p->block_of) +
           (uint64_t)p->block_cap * sizeof(*p->blocks) +
           (uint64_t)p->ordered_cap * sizeof(*p->ordered) +
           (uint64_t)p->tree_cap * sizeof(*p->tree);
}

/* ---- the tree ---- */

static void tree_add(struct positions *p, uint32_t order, uint64_t len)
{
    for (uint32_t i = order + 1; i <= p->block_count; i += i & -i)
        p->tree[i] += len;
}

static void tree_make(struct positions *p)
{
    memset(p->tree, 0, ((size_t)p->block_count + 1) * sizeof(*p->tree));
    for (uint32_t i = 1; i <= p->block_count; i++) {
        uint32_t next = i + (i & -i);

        p->tree[i] += p->blocks[p->ordered[i - 1]].len;
        if (next <= p->block_count)
            p->tree[next] += p->tree[i];
    }
}

/* What is visible of the blocks before the one at `order`. */
static uint64_t tree_sum(const struct positions *p, uint32_t order)
{
    uint64_t sum = 0;

    for (uint32_t i = order; i > 0; i -= i & -i)
        sum += p->tree[i];
    return sum;
}

/* The block that holds the unit before `index`, and where it begins. */
static uint32_t tree_find(const struct positions *p, uint64_t index, uint64_t *ret_start)
{
    uint32_t order = 0, step = 1;
    uint64_t start = 0;

    while (step <= p->block_count / 2)
        step *= 2;
    for (; step > 0; step /= 2) {
        if (order + step <= p->block_count && start + p->tree[order + step] < index) {
            order += step;
            start += p->tree[order];
        }
    }
    *ret_start = start;
    return order < p->block_count ? p->ordered[order] : NIL;
}

/* ---- blocks ---- */

/* Room for one more block. */
static bool reserve_block(struct positions *p)
{
    uint64_t count = p->block_count + (uint64_t)1;

    return array_reserve(&p->blocks, &p->block_cap, count, sizeof(*p->blocks)) == 0 &&
           array_reserve(&p->ordered, &p->ordered_cap, count, sizeof(*p->ordered)) == 0 &&
           array_reserve(&p->tree, &p->tree_cap, count + 1, sizeof(*p->tree)) == 0;
}

/* A new block in the order; that and the tree behind it are to be mended. */
static uint32_t add_block(struct positions *p, uint32_t order, uint32_t first)
{
    uint32_t block = p->block_count++;

    p->blocks[block] = (struct block){.first = first, .order = order};
    memmove(p->ordered + order + 1, p->ordered + order, (block - order) * sizeof(*p->ordered));
    p->ordered[order] = block;
    return block;
}

/* Takes the rest of a list from `item` on, up to `count` items, into the last block. */
static uint32_t fill_block(const struct crdt_doc *doc, uint32_t block, uint32_t item,
                           uint32_t count)
{
    struct positions *p = doc->positions;
    struct block *b = &p->blocks[block];

    for (; item != NIL && b->items < count; item = doc->items[item].right) {
        p->block_of[item] = block;
        b->items++;
        b->len += item_visible_len(&doc->items[item]);
    }
    return item;
}

static void cut_block(struct crdt_doc *doc, uint32_t block)
{
    struct positions *p = doc->positions;
    uint32_t kept = p->blocks[block].items / 2, item = p->blocks[block].first, right;

    if (!reserve_block(p)) {
        positions_free(doc);
        return;
    }
    for (uint32_t i = 0; i < kept; i++)
        item = doc->items[item].right;
    right = add_block(p, p->blocks[block].order + 1, item);
    (void)fill_block(doc, right, item, p->blocks[block].items - kept);
    p->blocks[block].items = kept;
    p->blocks[block].len -= p->blocks[right].len;
    for (uint32_t i = p->blocks[right].order; i < p->block_count; i++)
        p->blocks[p->ordered[i]].order = i;
    tree_make(p);
}

/* ---- changes ---- */

static bool is_indexed(const struct crdt_doc *doc, uint32_t item)
{
    return !(doc->items[item].flags & ITEM_IS_KEYED) &&
           doc->items[item].place == doc->positions->type;
}

static bool is_given_up(struct crdt_doc *doc)
{
    struct positions *p = doc->positions;

    if (p->idle++ <= p->item_count + IDLE_CHANGES)
        return false;
    positions_free(doc);
    return true;
}

void positions_add(struct crdt_doc *doc, uint32_t item, uint32_t len)
{
    struct positions *p = doc->positions;
    const struct item *i = &doc->items[item];
    struct block *b;

    if (!is_indexed(doc, item) || is_given_up(doc))
        return;
    /* An empty list has no blocks; it is soon made again. */
    if ((i->left == NIL && i->right == NIL) ||
        array_reserve(&p->block_of, &p->block_of_cap, doc->item_count, sizeof(*p->block_of)) < 0) {
        positions_free(doc);
        return;
    }
    p->block_of[item] = p->block_of[i->left != NIL ? i->left : i->right];
    b = &p->blocks[p->block_of[item]];
    if (i->left == NIL)
        b->first = item;
    b->items++;
    p->item_count++;
    if (len > 0) {
        b->len += len;
        tree_add(p, b->order, len);
    }
    if (b->items > BLOCK_ITEMS)
        cut_block(doc, p->block_of[item]);
}

void positions_change(struct crdt_doc *doc, uint32_t item, int64_t len)
{
    struct positions *p = doc->positions;
    struct block *b;

    if (!is_indexed(doc, item) || is_given_up(doc))
        return;
    b = &p->blocks[p->block_of[item]];
    b->len += (uint64_t)len;
    tree_add(p, b->order, (uint64_t)len);
}

void positions_remove(struct crdt_doc *doc, uint32_t item)
{
    struct positions *p = doc->positions;
    uint32_t next = doc->items[item].right;
    struct block *b;

    if (!is_indexed(doc, item) || is_given_up(doc))
        return;
    b = &p->blocks[p->block_of[item]];
    b->items--;
    p->item_count--;
    if (b->first == item)
        b->first = b->items > 0 ? next : NIL;
}

/* ---- searches ---- */

static bool make(struct crdt_doc *doc, uint32_t type)
{
    struct positions *p = calloc(1, sizeof(*p));
    uint32_t item = doc->types[type].start;

    doc->positions = p;
    if (!p)
        return false;
    p->type = type;
    if (array_reserve(&p->block_of, &p->block_of_cap, doc->item_count, sizeof(*p->block_of)) < 0) {
        positions_free(doc);
        return false;
    }
    while (item != NIL) {
        uint32_t block;

        if (!reserve_block(p)) {
            positions_free(doc);
            return false;
        }
        block = add_block(p, p->block_count, item);
        item = fill_block(doc, block, item, BLOCK_ITEMS / 2);
        p->item_count += p->blocks[block].items;
    }
    tree_make(p);
    return true;
}

/* Makes sure that there is an index of this list. */
static bool use(struct crdt_doc *doc, uint32_t type)
{
    if (doc->positions && doc->positions->type != type)
        positions_free(doc);
    if (!doc->positions && !make(doc, type))
        return false;
    doc->positions->idle = 0;
    return true;
}

bool positions_count(struct crdt_doc *doc, uint32_t type, uint32_t item, uint64_t *ret_count)
{
    const struct block *b;
    uint64_t count;

    if (!use(doc, type))
        return false;
    b = &doc->positions->blocks[doc->positions->block_of[item]];
    count = tree_sum(doc->positions, b->order);
    for (uint32_t i = b->first; i != item; i = doc->items[i].right)
        count += item_visible_len(&doc->items[i]);
    *ret_count = count;
    return true;
}

bool positions_find(struct crdt_doc *doc, uint32_t type, uint64_t index, uint32_t *ret_item,
                    uint64_t *ret_start)
{
    uint32_t block, item;
    uint64_t start;

    if (!use(doc, type))
        return false;
    block = tree_find(doc->positions, index, &start);
    assert(block != NIL);
    item = doc->positions->blocks[block].first;
    for (; start + item_visible_len(&doc->items[item]) < index; item = doc->items[item].right)
        start += item_visible_len(&doc->items[item]);
    *ret_item = item;
    *ret_start = start;
    return true;
}
