#include "doc_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CHUNK_SLOTS 4u
#define CHUNK_BYTES       (sizeof(struct chunk) + CHUNK_SLOTS * sizeof(struct slot))
/* Spare chunks that stay: what an update of a few structs may need. */
#define SPARE_CHUNKS 8u

/* ---- memory for the index ---- */

/* What stands by when more chunks may be needed than are spare. They are allocated one by one when
 * they are; only if that fails, they are cut from here. Memory that nobody touches costs little. */
struct slab {
    struct slab *next;
    uint32_t count; /* chunks it has room for */
    uint32_t used;
};

int chunks_reserve(struct crdt_doc *doc, uint64_t chunks)
{
    uint64_t spare = chunks < SPARE_CHUNKS ? chunks : SPARE_CHUNKS;
    struct slab *slab;

    while (doc->spare_chunk_count < spare) {
        struct chunk *chunk = malloc(CHUNK_BYTES);

        if (!chunk)
            return -ENOMEM;
        chunk->next_spare = doc->spare_chunks;
        doc->spare_chunks = chunk;
        doc->spare_chunk_count++;
    }
    if (chunks <= doc->spare_chunk_count)
        return 0;
    if (chunks >= NIL)
        return -E2BIG;
    slab = malloc(sizeof(*slab) + (size_t)chunks * CHUNK_BYTES);
    if (!slab)
        return -ENOMEM;
    *slab = (struct slab){.next = doc->slabs, .count = (uint32_t)chunks};
    doc->slabs = slab;
    return 0;
}

static struct chunk *chunk_take(struct crdt_doc *doc)
{
    struct chunk *chunk = doc->spare_chunks;
    struct slab *slab = doc->slabs;
    bool is_carved = false;

    if (chunk) {
        doc->spare_chunks = chunk->next_spare;
        doc->spare_chunk_count--;
    } else {
        chunk = malloc(CHUNK_BYTES);
    }
    if (!chunk) {
        assert(slab && slab->used < slab->count);
        chunk = (struct chunk *)((char *)(slab + 1) + slab->used++ * CHUNK_BYTES);
        is_carved = true;
    }
    *chunk = (struct chunk){.cap = CHUNK_SLOTS, .is_carved = is_carved};
    return chunk;
}

static void chunk_give_back(struct crdt_doc *doc, struct chunk *chunk)
{
    if (chunk->is_carved)
        return;
    chunk->next_spare = doc->spare_chunks;
    doc->spare_chunks = chunk;
    doc->spare_chunk_count++;
}

static void chunks_cut(struct crdt_doc *doc, uint32_t count)
{
    while (doc->spare_chunk_count > count) {
        struct chunk *chunk = doc->spare_chunks;

        doc->spare_chunks = chunk->next_spare;
        doc->spare_chunk_count--;
        free(chunk);
    }
}

void chunks_trim(struct crdt_doc *doc)
{
    struct slab *slab = doc->slabs;

    chunks_cut(doc, SPARE_CHUNKS);
    if (slab && slab->used == 0) {
        doc->slabs = slab->next;
        free(slab);
    }
}

/* A client's only chunk grows by doubling until it has full size. */
static int first_chunk_reserve(struct client *c, uint64_t slots)
{
    struct chunk *old = c->chunk_count ? c->chunks[0].chunk : NULL, *grown;
    uint32_t cap = old ? old->cap : FIRST_CHUNK_SLOTS;

    if (old && (old->cap == CHUNK_SLOTS || slots <= old->cap))
        return 0;
    while (cap < slots && cap < CHUNK_SLOTS)
        cap *= 2;
    grown = realloc(old, sizeof(*grown) + cap * sizeof(struct slot));
    if (!grown)
        return -ENOMEM;
    if (!old) {
        *grown = (struct chunk){0};
        c->chunks[0].clock = 0;
        c->chunk_count = 1;
    }
    grown->cap = (uint16_t)cap;
    c->chunks[0].chunk = grown;
    return 0;
}

uint64_t chunks_bytes(const struct crdt_doc *doc)
{
    uint64_t bytes = doc->spare_chunk_count * (uint64_t)CHUNK_BYTES;

    for (const struct slab *slab = doc->slabs; slab; slab = slab->next)
        bytes += sizeof(*slab) + slab->count * (uint64_t)CHUNK_BYTES;
    return bytes;
}

int client_reserve(struct crdt_doc *doc, uint32_t client, uint64_t *chunks)
{
    struct client *c = &doc->clients[client];
    uint64_t slots = (uint64_t)c->appends + c->inserts, added = 0;
    int r;

    if (slots == 0)
        return 0;
    if (c->chunk_count == 1)
        slots += c->chunks[0].chunk->count;
    /* From here on also with what is in an only chunk. */
    if (c->chunk_count > 1 || slots > CHUNK_SLOTS) {
        uint64_t full = c->inserts < c->chunk_count ? c->inserts : c->chunk_count;

        /* One to append to, and one for each full chunk that an insertion splits; what was split
         * or added is full after another half. */
        added = 1 + full + slots / (CHUNK_SLOTS / 2);
    }
    r = array_reserve(&c->chunks, &c->chunk_cap, c->chunk_count + added + (added == 0),
                      sizeof(*c->chunks));
    if (r == 0 && c->chunk_count <= 1)
        r = first_chunk_reserve(c, slots);
    *chunks += added;
    c->appends = c->inserts = 0;
    return r;
}

int items_reserve(struct crdt_doc *doc, uint64_t count)
{
    if (count <= doc->free_item_count)
        return 0;
    return array_reserve(&doc->items, &doc->item_cap,
                         doc->item_count + count - doc->free_item_count, sizeof(*doc->items));
}

void client_done(struct client *c)
{
    for (uint32_t i = 0; i < c->chunk_count; i++)
        if (!c->chunks[i].chunk->is_carved)
            free(c->chunks[i].chunk);
    free(c->chunks);
}

void store_done(struct crdt_doc *doc)
{
    struct slab *slab;

    for (uint32_t i = 0; i < doc->client_count; i++)
        client_done(&doc->clients[i]);
    chunks_cut(doc, 0);
    while ((slab = doc->slabs)) {
        doc->slabs = slab->next;
        free(slab);
    }
    free(doc->clients);
    free(doc->clients_by_id);
    free(doc->client_table.slots);
    free(doc->items);
}

/* ---- the index ---- */

/* The last of `count` slots from `low` on that begins at or before `clock`, as the first does. */
static uint32_t slots_search(const struct chunk *chunk, uint32_t low, uint32_t count,
                             uint32_t clock)
{
    while (count > 1) {
        uint32_t half = count / 2;

        if (chunk->slots[low + half].clock <= clock)
            low += half;
        count -= half;
    }
    return low;
}

static void index_search(const struct client *c, uint32_t clock, uint32_t *ret_chunk,
                         uint32_t *ret_slot)
{
    uint32_t low = 0, count = c->chunk_count;
    const struct chunk *chunk;

    while (count > 1) {
        uint32_t half = count / 2;

        if (c->chunks[low + half].clock <= clock)
            low += half;
        count -= half;
    }
    chunk = c->chunks[low].chunk;
    *ret_chunk = low;
    *ret_slot = slots_search(chunk, 0, chunk->count, clock);
}

/* Looks for `clock` in the chunk of the hint, with steps that double; false when it is not there.
 * Updates name clocks near each other, so the steps are few. */
static bool hint_gallop(struct client *c, uint32_t clock)
{
    const struct chunk *chunk = c->chunks[c->hint_chunk].chunk;
    uint32_t slot = c->hint_slot, step = 1;

    if (chunk->slots[slot].clock <= clock) {
        uint32_t left = chunk->count - slot;

        while (step < left && chunk->slots[slot + step].clock <= clock) {
            slot += step;
            left -= step;
            step *= 2;
        }
        if (step > left)
            step = left;
        slot = slots_search(chunk, slot, step, clock);
        if (slot + 1 == chunk->count && c->hint_chunk + 1 < c->chunk_count &&
            c->chunks[c->hint_chunk + 1].clock <= clock)
            return false;
    } else {
        while (step < slot && chunk->slots[slot - step].clock > clock) {
            slot -= step;
            step *= 2;
        }
        if (step > slot)
            step = slot;
        if (chunk->slots[slot - step].clock > clock)
            return false;
        slot = slots_search(chunk, slot - step, step, clock);
    }
    c->hint_slot = slot;
    return true;
}

/* Moves the client's hint to the slot that holds `clock`. */
static struct slot *index_seek(struct client *c, uint32_t clock)
{
    if (!hint_gallop(c, clock)) {
        uint32_t last = c->chunk_count - 1;
        const struct chunk *chunk = c->chunks[last].chunk;

        if (chunk->slots[chunk->count - 1].clock <= clock) {
            c->hint_chunk = last;
            c->hint_slot = chunk->count - 1;
        } else {
            index_search(c, clock, &c->hint_chunk, &c->hint_slot);
        }
    }
    return &c->chunks[c->hint_chunk].chunk->slots[c->hint_slot];
}

static struct chunk *index_add_chunk(struct crdt_doc *doc, struct client *c, uint32_t at)
{
    struct chunk *chunk = chunk_take(doc);

    assert(c->chunk_count < c->chunk_cap);
    memmove(c->chunks + at + 1, c->chunks + at, (c->chunk_count - at) * sizeof(*c->chunks));
    c->chunks[at].chunk = chunk;
    c->chunk_count++;
    return chunk;
}

/* Inserts behind the slot of the hint. */
static void index_insert(struct crdt_doc *doc, struct client *c, struct slot slot)
{
    uint32_t at = c->hint_chunk, pos = c->hint_slot + 1;
    struct chunk *chunk = c->chunks[at].chunk;

    if (chunk->count == chunk->cap) {
        assert(chunk->cap == CHUNK_SLOTS);
        struct chunk *half = index_add_chunk(doc, c, at + 1);

        chunk->count = CHUNK_SLOTS / 2;
        half->count = CHUNK_SLOTS - chunk->count;
        memcpy(half->slots, chunk->slots + chunk->count, half->count * sizeof(slot));
        c->chunks[at + 1].clock = half->slots[0].clock;
        if (pos > chunk->count) {
            pos -= chunk->count;
            chunk = half;
            c->hint_chunk++;
            c->hint_slot -= CHUNK_SLOTS / 2;
        }
    }
    memmove(chunk->slots + pos + 1, chunk->slots + pos, (chunk->count - pos) * sizeof(slot));
    chunk->slots[pos] = slot;
    chunk->count++;
}

struct chunk *client_add_chunk(struct crdt_doc *doc, struct client *c, uint32_t clock)
{
    struct chunk *chunk;

    assert(c->chunks[c->chunk_count - 1].chunk->cap == CHUNK_SLOTS);
    chunk = index_add_chunk(doc, c, c->chunk_count);
    c->chunks[c->chunk_count - 1].clock = clock;
    return chunk;
}

/* Takes a slot behind that of the hint out of the index. */
static void index_remove(struct crdt_doc *doc, struct client *c, uint32_t at, uint32_t slot)
{
    struct chunk *chunk = c->chunks[at].chunk;

    assert(at > c->hint_chunk || slot > c->hint_slot);
    chunk->count--;
    memmove(chunk->slots + slot, chunk->slots + slot + 1,
            (chunk->count - slot) * sizeof(*chunk->slots));
    if (chunk->count == 0) {
        chunk_give_back(doc, chunk);
        c->chunk_count--;
        memmove(c->chunks + at, c->chunks + at + 1, (c->chunk_count - at) * sizeof(*c->chunks));
    } else if (slot == 0) {
        c->chunks[at].clock = chunk->slots[0].clock;
    }
}

uint32_t item_find(struct crdt_doc *doc, uint32_t client, uint32_t clock)
{
    struct client *c = &doc->clients[client];

    assert(clock < c->state);
    return index_seek(c, clock)->item;
}

void item_unregister(struct crdt_doc *doc, struct client *client)
{
    struct chunk *chunk = client->chunks[client->chunk_count - 1].chunk;

    if (--chunk->count == 0 && client->chunk_count > 1) {
        chunk_give_back(doc, chunk);
        chunk = client->chunks[--client->chunk_count - 1].chunk;
    }
    client->last_item = chunk->count > 0 ? chunk->slots[chunk->count - 1].item : NIL;
    client->hint_chunk = client->hint_slot = 0;
}

struct item_walk item_walk_from(const struct crdt_doc *doc, uint32_t client, uint32_t clock)
{
    const struct client *c = &doc->clients[client];
    struct item_walk walk = {.client = c};

    if (c->chunk_count == 0 || c->chunks[0].chunk->count == 0)
        walk.chunk = c->chunk_count;
    else if (clock >= c->state && clock > 0)
        walk.chunk = c->chunk_count;
    else if (clock > 0)
        index_search(c, clock, &walk.chunk, &walk.slot);
    return walk;
}

/* ---- splits ---- */

static void note_split(struct crdt_doc *doc, const struct item *item, uint32_t diff)
{
    struct mark *mark = doc->mark;

    assert(mark->split_count < mark->split_cap);
    mark->splits[mark->split_count++] = (struct split){.client = item->client,
                                                       .clock = item->clock + diff,
                                                       .content = item->content,
                                                       .content_len = item->content_len};
}

/* The split that was noted last cuts the surrogate pair which the text has at `at`. */
static void note_pair(struct crdt_doc *doc, uint32_t at)
{
    struct split *split = &doc->mark->splits[doc->mark->split_count - 1];

    split->pair_at = at;
    memcpy(split->pair, doc->text + at, sizeof(split->pair));
}

/* The new item behind `item`, from its unit `diff` on; the contents are the caller's. */
static uint32_t add_right(struct crdt_doc *doc, uint32_t item, uint32_t diff)
{
    uint32_t right = item_new(doc);
    struct item *l = &doc->items[item], *r = &doc->items[right];

    if (doc->mark)
        note_split(doc, l, diff);
    *r = *l;
    r->clock += diff;
    r->len -= diff;
    r->origin_client = r->client;
    r->origin_clock = r->clock - 1;
    r->left = item;
    l->len = diff;
    l->right = right;
    if (r->right != NIL)
        doc->items[r->right].left = right;
    else if (r->flags & ITEM_IS_KEYED)
        doc->entries[r->place].tail = right;
    if (doc->positions)
        positions_add(doc, right, 0);

    struct client *c = &doc->clients[l->client];
    index_seek(c, l->clock);
    index_insert(doc, c, (struct slot){r->clock, right});
    if (c->last_item == item)
        c->last_item = right;
    return right;
}

/* Both halves of a surrogate pair become U+FFFD when a split comes between them; that of the right
 * part is an item of its own, for its bytes cannot stand in front of the rest's. */
static void split_string(struct crdt_doc *doc, uint32_t item, uint32_t right)
{
    struct item *l = &doc->items[item], *r = &doc->items[right];
    uint8_t *text = doc->text + l->content;
    bool is_inside = false;
    uint32_t offset = l->len;

    if (l->content_len != l->len + r->len) /* else it is ASCII */
        offset = (uint32_t)lib0_utf16_offset(text, l->content_len, l->len, &is_inside);
    r->content = l->content + offset;
    r->content_len = l->content_len - offset;
    l->content_len = offset;
    if (!is_inside)
        return;
    if (doc->mark)
        note_pair(doc, l->content + offset);
    if (doc->watch)
        watch_note_cut(doc, r->client, r->clock);
    memcpy(text + offset, REPLACEMENT, REPLACEMENT_LEN);
    l->content_len += REPLACEMENT_LEN;
    if (r->len > 1) {
        uint32_t rest = add_right(doc, right, 1);

        r = &doc->items[right];
        doc->items[rest].content = r->content + 4;
        doc->items[rest].content_len = r->content_len - 4;
    }
    r->content = 0;
    r->content_len = REPLACEMENT_LEN;
}

uint32_t item_split(struct crdt_doc *doc, uint32_t item, uint32_t diff)
{
    uint32_t right = add_right(doc, item, diff);
    struct item *l = &doc->items[item], *r = &doc->items[right];

    if (l->ref == CRDT_REF_STRING) {
        split_string(doc, item, right);
    } else if (l->ref == CRDT_REF_ANY || l->ref == CRDT_REF_JSON) {
        uint32_t offset = (uint32_t)values_offset(l->ref, item_bytes(doc, l), diff);

        r->content += offset;
        r->content_len -= offset;
        l->content_len = offset;
    }
    return right;
}

uint32_t item_clean_end(struct crdt_doc *doc, uint32_t client, uint32_t clock)
{
    uint32_t item = item_find(doc, client, clock);
    const struct item *i = &doc->items[item];

    if (item_end(i) != clock + 1 && i->ref != CRDT_REF_GC)
        item_split(doc, item, clock + 1 - i->clock);
    return item;
}

uint32_t item_clean_start(struct crdt_doc *doc, uint32_t client, uint32_t clock)
{
    uint32_t item = item_find(doc, client, clock);
    const struct item *i = &doc->items[item];

    if (i->clock < clock && i->ref != CRDT_REF_GC)
        return item_split(doc, item, clock - i->clock);
    return item;
}

bool item_continues_fully(const struct crdt_doc *doc, uint32_t left, uint32_t right)
{
    const struct item *l = &doc->items[left], *r = &doc->items[right];

    if (l->ref != r->ref)
        return false;
    if (r->ref == CRDT_REF_GC)
        return true;
    if (r->ref != CRDT_REF_STRING && r->ref != CRDT_REF_DELETED && r->ref != CRDT_REF_ANY &&
        r->ref != CRDT_REF_JSON)
        return false;
    return l->right == right && r->origin_client == r->client && r->origin_clock == r->clock - 1 &&
           l->right_client == r->right_client &&
           (r->right_client == NIL || l->right_clock == r->right_clock);
}

/* ---- joins ---- */

static bool is_joinable(const struct crdt_doc *doc, uint32_t left, uint32_t right)
{
    const struct item *l = &doc->items[left], *r = &doc->items[right];

    return (r->ref == CRDT_REF_DELETED || r->ref == CRDT_REF_GC) && l->len > 0 && r->len > 0 &&
           item_continues(doc, left, right);
}

void item_unlink(struct crdt_doc *doc, const struct item *item)
{
    struct entry *entry = item->flags & ITEM_IS_KEYED ? &doc->entries[item->place] : NULL;

    latest_forget(doc);
    if (item->left != NIL)
        doc->items[item->left].right = item->right;
    else
        *(entry ? &entry->head : &doc->types[item->place].start) = item->right;
    if (item->right != NIL)
        doc->items[item->right].left = item->left;
    else if (entry)
        entry->tail = item->left;
}

/* Takes `right`, whose clocks `left` takes over, out of its list. */
static void absorb(struct crdt_doc *doc, uint32_t left, uint32_t right)
{
    struct item *l = &doc->items[left], *r = &doc->items[right];

    l->len += r->len;
    if (r->ref != CRDT_REF_GC) {
        if (doc->positions)
            positions_remove(doc, right);
        item_unlink(doc, r);
        /* Deleted, both begin at the same index. */
        if (doc->cursor.item == right)
            doc->cursor.item = left;
    }
    item_free(doc, right);
}

void items_join(struct crdt_doc *doc, uint32_t client, uint32_t from, uint32_t to)
{
    struct client *c = &doc->clients[client];
    uint32_t left = index_seek(c, from > 0 ? from - 1 : 0)->item;

    for (;;) {
        uint32_t chunk = c->hint_chunk, slot = c->hint_slot + 1, right;

        if (slot == c->chunks[chunk].chunk->count) {
            slot = 0;
            if (++chunk == c->chunk_count)
                break;
        }
        if (c->chunks[chunk].chunk->slots[slot].clock > to)
            break;
        right = c->chunks[chunk].chunk->slots[slot].item;
        if (is_joinable(doc, left, right)) {
            landmarks_forget(doc);
            absorb(doc, left, right);
            index_remove(doc, c, chunk, slot);
            if (c->last_item == right)
                c->last_item = left;
        } else {
            left = right;
            c->hint_chunk = chunk;
            c->hint_slot = slot;
        }
    }
}

uint32_t item_unsplit(struct crdt_doc *doc, uint32_t client, uint32_t clock)
{
    struct client *c = &doc->clients[client];
    uint32_t left = index_seek(c, clock - 1)->item, chunk = c->hint_chunk, slot = c->hint_slot + 1;
    uint32_t right;

    if (slot == c->chunks[chunk].chunk->count) {
        slot = 0;
        chunk++;
    }
    right = c->chunks[chunk].chunk->slots[slot].item;
    assert(doc->items[right].clock == clock && doc->items[left].right == right);
    absorb(doc, left, right);
    index_remove(doc, c, chunk, slot);
    if (c->last_item == right)
        c->last_item = left;
    return left;
}
