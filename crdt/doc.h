/*
 * doc: the inside of a document, shared by the doc_*.c files of this library and by nobody else.
 *
 * Everything lies in dense arrays and is addressed by 32-bit indices, so that growing moves it
 * without a pointer to mend, and so that an insertion costs no allocation of its own:
 *
 *   items    insertions, in any order; a GC struct is an item without a parent
 *   types    shared types; a root has no item, a nested one the item that holds it
 *   entries  map keys: (type, key) to the chain of items which were its values; roots are the
 *            entries of the type NIL
 *   names    keys, root names, node names, each once
 *   text     the UTF-8 of all strings; payload: all other contents, to the byte as they came
 *   clients  by 32-bit index; each has an ordered index from clock to item
 *
 * An update is applied in four steps: decode (doc_batch.c), plan which structs can be integrated in
 * which order (doc_plan.c), reserve all memory that can be needed (doc_reserve.c), commit
 * (doc_integrate.c, then doc_delete.c). The first three do not touch what can be seen of the
 * document. Of the commit, only the insertions can fail, when they take too many steps; then they
 * are taken back (doc_retract.c). Into an empty document an update may be streamed instead
 * (doc_stream.c).
 */
#pragma once

#include "doc_memory.h"

/* A document has fewer than 2^PLACE_BITS types, and entries: half a gigabyte of them. */
#define PLACE_BITS 23
#define NO_PLACE   ((1u << PLACE_BITS) - 1) /* of a GC struct */

/* Slots of one chunk of a client's index: what a split has to move at most. */
#define CHUNK_SLOTS 256u

/* The text buffer begins with one U+FFFD: a half of a split surrogate pair points to it. */
#define REPLACEMENT     "\xef\xbf\xbd"
#define REPLACEMENT_LEN 3u

enum item_flag {
    ITEM_IS_DELETED = 1,
    ITEM_VALUE_IS_ANY = 2, /* embeds and formats: see struct crdt_content */
    ITEM_IS_KEYED = 4,     /* the value of a key: `place` is an entry */
    /* Only while an insertion looks for its place, see doc_conflict.c. */
    ITEM_IS_PASSED = 8,
    ITEM_IS_CONFLICTING = 16,
    /* Only after a commit, while a watch reports it, see doc_watch.c. */
    ITEM_IS_NEWS = 8,
};

/*
 * Content by ref:
 *   STRING                   text[content, content + content_len)
 *   TYPE                     content is the type's index
 *   JSON, BINARY, EMBED, ANY payload[content, content + content_len)
 *   FORMAT, DOC              the same, led by the 4 bytes of the name (the format's key, the guid)
 *   GC, DELETED              nothing
 * An item whose ref is GC has no neighbours, origins and place. Marks of a scan are not in a word
 * with what the scan reads: processors are slow to read what was written in part.
 */
struct item {
    uint32_t client;
    uint32_t clock;
    uint32_t len;
    uint32_t left;
    uint32_t right;
    uint32_t origin_client; /* NIL: no origin */
    uint32_t origin_clock;
    uint32_t right_client; /* NIL: no right origin */
    uint32_t right_clock;
    uint32_t place : PLACE_BITS; /* the type in whose list it is, or the entry whose value it is */
    uint32_t ref : 4;            /* enum crdt_ref */
    uint32_t flags : 5;          /* enum item_flag */
    uint32_t content;
    uint32_t content_len;
};

struct type {
    uint64_t len;         /* UTF-16 units and elements that a reader of the list sees */
    uint32_t item;        /* NIL: a root */
    uint32_t start;       /* first item of the list */
    uint32_t first_entry; /* keys, in the order in which they were first set */
    uint32_t last_entry;
    uint32_t name; /* node name of XML elements and hooks, else NIL */
    uint32_t next_dead;
    uint8_t type_ref;
    bool has_marks; /* a FORMAT has been in it */
};

/* The item that was put into a list last. */
struct latest {
    uint32_t place; /* of the list: a type */
    uint32_t item;  /* NIL: not known */
};

#define LATEST_LISTS 8u

struct entry {
    uint32_t type; /* NIL: a root */
    uint32_t key;
    uint32_t head; /* the chain's ends; the tail is the value. A root: its type in both */
    uint32_t tail;
    uint32_t next; /* of the same type */
};

struct name {
    uint32_t offset; /* in name_bytes */
    uint32_t len;
};

struct slot {
    uint32_t clock;
    uint32_t item;
};

struct chunk {
    union {
        struct {
            uint32_t count;
            uint16_t cap;
            bool is_carved; /* from a slab */
        };
        struct chunk *next_spare;
    };
    struct slot slots[];
};

struct chunk_ref {
    uint32_t clock; /* of the first slot */
    struct chunk *chunk;
};

struct client {
    uint64_t id;
    uint32_t state; /* the next clock */
    uint32_t chunk_count;
    uint32_t chunk_cap;
    uint32_t hint_chunk; /* last hit */
    uint32_t hint_slot;
    uint32_t last_item; /* NIL: none */
    struct chunk_ref *chunks;

    /* Of the update that is being applied; between updates `planned` is `state`, the others 0. */
    uint32_t planned;
    uint32_t appends; /* slots that the commit may add at the end, */
    uint32_t inserts; /* and between others */
};

/* What could not be applied yet (doc_pending.c). */
struct pending {
    struct crdt_buf *updates; /* v2, structs only; merged when they are needed */
    size_t update_count;
    size_t update_cap;
    struct range_list covered; /* the clocks that are in them */
    struct range_list missing; /* retry when one of these clocks was seen */
    struct range_list deletes;
    uint64_t structs; /* in the updates, at most */
};

/* A position in a text: `item` begins at `index` (UTF-16 units). */
struct cursor {
    uint32_t type; /* NIL: none */
    uint32_t item;
    uint64_t index;
};

struct crdt_doc {
    struct crdt_limits limits;
    uint64_t seed; /* of the hashes: peers choose the keys */

    struct item *items;
    uint32_t item_count; /* those that are free again included */
    uint32_t item_cap;
    uint32_t free_item; /* the first of those, linked by `right` */
    uint32_t free_item_count;

    struct type *types;
    uint32_t type_count;
    uint32_t type_cap;

    struct entry *entries;
    uint32_t entry_count;
    uint32_t entry_cap;
    struct table entry_table;

    struct name *names;
    uint32_t name_count;
    uint32_t name_cap;
    struct table name_table;
    uint8_t *name_bytes;
    uint32_t name_bytes_len;
    uint32_t name_bytes_cap;

    uint8_t *text;
    uint32_t text_len;
    uint32_t text_cap;
    uint32_t text_dead; /* about so many bytes of it are of deleted items */
    bool has_wide_text; /* not only ASCII: a split may cut a surrogate pair */

    uint8_t *payload;
    uint32_t payload_len;
    uint32_t payload_cap;
    uint32_t payload_dead;

    struct client *clients;
    uint32_t client_count;
    uint32_t client_cap;
    struct table client_table;
    uint32_t last_client;    /* last hit of client_find() */
    uint32_t *clients_by_id; /* descending; made when it is needed, see clients_sorted() */
    uint32_t sorted_count;   /* clients in it */

    struct chunk *spare_chunks; /* of full size, for the commit of a plan */
    uint32_t spare_chunk_count;
    struct slab *slabs;

    /* Types deleted since the last doc_gc(), linked by next_dead. */
    uint32_t dead_first;
    uint32_t dead_last;
    uint32_t dead_cursor; /* the first whose content is not yet deleted */

    struct pending pending;
    struct cursor cursor;
    struct positions *positions;        /* doc_positions.c; NULL: not made */
    struct landmarks *landmarks;        /* doc_conflict.c; NULL: none */
    struct latest latest[LATEST_LISTS]; /* the same, by the list's place */
    struct scratch *scratch; /* doc_plan.h: what applying an update leaves for the next one */
    struct loading *loading; /* doc_plan.h; NULL but while a large update is applied */
    struct mark *mark;       /* doc_plan.h; NULL but while insertions can be taken back */
    struct watch *watch;     /* doc_plan.h; NULL but while somebody wants to know what changes */
    uint64_t steps;          /* of integration that the update took so far */
};

/* ---- doc.c ---- */

/* The limits for what the document has taken already: it was measured when it came. */
struct crdt_limits doc_own_limits(const struct crdt_doc *doc);

/* ---- doc_names.c ---- */

CRDT_WARN_UNUSED int names_reserve(struct crdt_doc *doc, uint64_t count, uint64_t bytes);
/* The index of a name; the room for a new one was reserved. */
uint32_t name_intern(struct crdt_doc *doc, struct crdt_slice text);
uint32_t name_find(const struct crdt_doc *doc, struct crdt_slice text);
static inline struct crdt_slice name_slice(const struct crdt_doc *doc, uint32_t name)
{
    const struct name *n = &doc->names[name];

    return (struct crdt_slice){doc->name_bytes + n->offset, n->len};
}

CRDT_WARN_UNUSED int entries_reserve(struct crdt_doc *doc, uint64_t count);
/* NIL when the type has no such key. */
uint32_t entry_find(const struct crdt_doc *doc, uint32_t type, uint32_t key);
/* A new entry; there was none, and room was reserved. */
uint32_t entry_add(struct crdt_doc *doc, uint32_t type, uint32_t key);

/* Forget the names and entries from `count` on, which nothing refers to any more. */
void names_truncate(struct crdt_doc *doc, uint32_t count);
void entries_truncate(struct crdt_doc *doc, uint32_t count);

CRDT_WARN_UNUSED int types_reserve(struct crdt_doc *doc, uint64_t count);
/* A new type in `item` (NIL: a root); room was reserved. */
uint32_t type_add(struct crdt_doc *doc, uint32_t item, uint8_t type_ref, uint32_t name);
uint32_t root_find(const struct crdt_doc *doc, struct crdt_slice name);
/* The root, made if there was none; room was reserved. */
uint32_t root_get(struct crdt_doc *doc, struct crdt_slice name);

/* ---- doc_clients.c ---- */

/* NIL when unknown. Remembers the last hit. */
uint32_t client_find(struct crdt_doc *doc, uint64_t id);
uint32_t client_lookup(const struct crdt_doc *doc, uint64_t id);
CRDT_WARN_UNUSED int client_intern(struct crdt_doc *doc, uint64_t id, uint32_t *ret_client);
/* Forgets the clients from `count` on, none of which has items. */
void clients_truncate(struct crdt_doc *doc, uint32_t count);
/* The clients in descending order of their ids; valid until one is added. NULL: out of memory. The
 * order is a cache, which is why a const document gives it. */
const uint32_t *clients_sorted(const struct crdt_doc *doc);

/* ---- doc_store.c ---- */

/* Makes room in a client's index for its `appends` and `inserts`, and sets them to 0. Chunks of
 * full size are left to chunks_reserve(): `*chunks` grows by how many of them may be needed. */
CRDT_WARN_UNUSED int client_reserve(struct crdt_doc *doc, uint32_t client, uint64_t *chunks);
/* Makes sure that a commit will not lack chunks, until chunks_trim(). */
CRDT_WARN_UNUSED int chunks_reserve(struct crdt_doc *doc, uint64_t chunks);
/* Gives back what was reserved, but for the chunks that a small update may need. */
void chunks_trim(struct crdt_doc *doc);
uint64_t chunks_bytes(const struct crdt_doc *doc); /* of spare ones */
/* Makes room for `count` new items. */
CRDT_WARN_UNUSED int items_reserve(struct crdt_doc *doc, uint64_t count);
/* The index of a new item, whose room was reserved; the caller fills it in. */
static inline uint32_t item_new(struct crdt_doc *doc)
{
    uint32_t item = doc->free_item;

    if (item == NIL) {
        assert(doc->item_count < doc->item_cap);
        return doc->item_count++;
    }
    doc->free_item = doc->items[item].right;
    doc->free_item_count--;
    return item;
}

/* Takes back an item that nothing refers to any more. */
static inline void item_free(struct crdt_doc *doc, uint32_t item)
{
    if (item + 1 == doc->item_count) {
        doc->item_count--;
        return;
    }
    doc->items[item] =
        (struct item){.right = doc->free_item, .ref = CRDT_REF_GC, .flags = ITEM_IS_DELETED};
    doc->free_item = item;
    doc->free_item_count++;
}

void client_done(struct client *c);
void store_done(struct crdt_doc *doc);

/* The item that holds `clock`, which is below the client's state. */
uint32_t item_find(struct crdt_doc *doc, uint32_t client, uint32_t clock);
/* How many items a client has. */
static inline uint64_t client_item_count(const struct crdt_doc *doc, uint32_t client)
{
    const struct client *c = &doc->clients[client];
    uint64_t count = 0;

    for (uint32_t i = 0; i < c->chunk_count; i++)
        count += c->chunks[i].chunk->count;
    return count;
}
/* A new chunk behind a full one, for what begins at `clock`. */
struct chunk *client_add_chunk(struct crdt_doc *doc, struct client *client, uint32_t clock);
/* Appends items[item] to its client's index and advances the state. */
static inline void item_register(struct crdt_doc *doc, uint32_t item)
{
    const struct item *i = &doc->items[item];
    struct client *c = &doc->clients[i->client];
    struct chunk *chunk = c->chunks[c->chunk_count - 1].chunk;

    assert(i->clock == c->state);
    if (chunk->count == chunk->cap)
        chunk = client_add_chunk(doc, c, i->clock);
    chunk->slots[chunk->count++] = (struct slot){i->clock, item};
    c->last_item = item;
    c->state = i->clock + i->len;
}

/* Takes the client's last item out of its index; the state is the caller's. */
void item_unregister(struct crdt_doc *doc, struct client *client);
/* Takes an item out of its list. */
void item_unlink(struct crdt_doc *doc, const struct item *item);

/* The client's last item, or NIL. */
static inline uint32_t client_last_item(const struct client *client)
{
    return client->last_item;
}

/* Joins deleted items that lie in clocks from..to, or touch them, where Yjs would hold them as one
 * struct. All of the clocks are below the client's state. */
void items_join(struct crdt_doc *doc, uint32_t client, uint32_t from, uint32_t to);

/* Cuts an item; the part from `diff` on (0 < diff < len) becomes a new item, which is returned. */
uint32_t item_split(struct crdt_doc *doc, uint32_t item, uint32_t diff);
/* Undoes the split of an item before `clock`; nothing has come between the parts. Returns the item,
 * whose content is the caller's. */
uint32_t item_unsplit(struct crdt_doc *doc, uint32_t client, uint32_t clock);
/* The item that ends with, or begins at, `clock`; GC structs are not split. */
uint32_t item_clean_end(struct crdt_doc *doc, uint32_t client, uint32_t clock);
uint32_t item_clean_start(struct crdt_doc *doc, uint32_t client, uint32_t clock);

static inline uint32_t item_end(const struct item *item)
{
    return item->clock + item->len;
}

static inline bool item_is_deleted(const struct item *item)
{
    return item->flags & ITEM_IS_DELETED;
}

static inline bool item_is_countable(const struct item *item)
{
    return item->ref != CRDT_REF_GC && item->ref != CRDT_REF_DELETED &&
           item->ref != CRDT_REF_FORMAT;
}

static inline uint32_t item_type(const struct crdt_doc *doc, const struct item *item)
{
    return item->flags & ITEM_IS_KEYED ? doc->entries[item->place].type : item->place;
}

/* UTF-16 units and elements that a reader of the list sees of it. */
static inline uint32_t item_visible_len(const struct item *item)
{
    return item_is_deleted(item) || !item_is_countable(item) || item->flags & ITEM_IS_KEYED
               ? 0
               : item->len;
}

/* Is `right` the continuation of `left`, so that Yjs would hold both as one struct? The clocks
 * follow each other. */
bool item_continues_fully(const struct crdt_doc *doc, uint32_t left, uint32_t right);
static inline bool item_continues(const struct crdt_doc *doc, uint32_t left, uint32_t right)
{
    const struct item *l = &doc->items[left], *r = &doc->items[right];

    /* One branch, most often not taken. */
    return ((l->ref == r->ref) & ((l->right == right) | (r->ref == CRDT_REF_GC))) &&
           item_continues_fully(doc, left, right);
}

/* Walks the items of a client in clock order. */
struct item_walk {
    const struct client *client;
    uint32_t chunk;
    uint32_t slot;
};

/* From the item that holds `clock`, or from the end when the clock is not below the state; clock 0
 * is the first item, also when that has no length. */
struct item_walk item_walk_from(const struct crdt_doc *doc, uint32_t client, uint32_t clock);
/* From the item that item_find() has just found. */
static inline struct item_walk item_walk_here(const struct crdt_doc *doc, uint32_t client)
{
    const struct client *c = &doc->clients[client];

    return (struct item_walk){c, c->hint_chunk, c->hint_slot};
}

static inline uint32_t item_walk_next(struct item_walk *walk)
{
    if (walk->chunk == walk->client->chunk_count)
        return NIL;

    const struct chunk *chunk = walk->client->chunks[walk->chunk].chunk;
    uint32_t item = chunk->slots[walk->slot].item;

    if (++walk->slot == chunk->count) {
        walk->chunk++;
        walk->slot = 0;
    }
    return item;
}

/* ---- doc_conflict.c ---- */

/* The left neighbour of `item`, which is not yet in its list, when what follows on its origin
 * `left` is not `right`. What is scanned is counted in doc->steps. */
uint32_t conflict_resolve(struct crdt_doc *doc, const struct item *item, uint32_t left,
                          uint32_t right);
/* Tells it of an item that was put into its list at a place that it named, or next to its origin.
 */
void latest_note(struct crdt_doc *doc, uint32_t item);
/* Forgets those: what they are compared with may have changed. */
void latest_forget(struct crdt_doc *doc);
/* Forgets what conflict_resolve() remembers of earlier calls: items that it may know go. */
void landmarks_forget(struct crdt_doc *doc);
uint64_t landmarks_bytes(const struct crdt_doc *doc);

/* ---- doc_positions.c: an index from positions of one list to its items ---- */

/* The index is a cache of one list: without memory there is none, and when many changes come
 * without a search it is given up. */

/* The item of a type's list that holds the visible unit before `index` (from 1 to the length of the
 * list), and where it begins. False if there is no memory for an index. */
bool positions_find(struct crdt_doc *doc, uint32_t type, uint64_t index, uint32_t *ret_item,
                    uint64_t *ret_start);
/* How many visible units of a type's list are before an item of it. */
bool positions_count(struct crdt_doc *doc, uint32_t type, uint32_t item, uint64_t *ret_count);
/* The calls from here on tell an existing index of changes; they may free it. `item` has been
 * linked into a list, which has `len` more visible units for it. */
void positions_add(struct crdt_doc *doc, uint32_t item, uint32_t len);
/* An item has `len` more visible units. */
void positions_change(struct crdt_doc *doc, uint32_t item, int64_t len);
/* A deleted item is about to be taken out of its list. */
void positions_remove(struct crdt_doc *doc, uint32_t item);
/* The list of a type goes. */
void positions_drop(struct crdt_doc *doc, uint32_t type);
void positions_free(struct crdt_doc *doc);
uint64_t positions_bytes(const struct crdt_doc *doc);

/* ---- doc_watch.c ---- */

/* Tells doc->watch, which is armed, of a surrogate pair cut by the split before `clock`. */
void watch_note_cut(struct crdt_doc *doc, uint32_t client, uint32_t clock);

/* ---- doc_payload.c: contents that are a list of values ---- */

/* Byte offset of the value number `unit` of an ANY or JSON content. */
size_t values_offset(enum crdt_ref ref, struct crdt_slice bytes, uint32_t unit);
/* The bytes of an item's content, without the leading name. */
struct crdt_slice item_bytes(const struct crdt_doc *doc, const struct item *item);
/* The name that leads the payload of a FORMAT or DOC. */
uint32_t item_name(const struct crdt_doc *doc, const struct item *item);

/* ---- doc_delete.c ---- */

/* Deletes an item and everything in it. */
void doc_delete_item(struct crdt_doc *doc, uint32_t item);
/* Deletes clocks, all of them below the client's state. Was there something to delete? */
bool doc_delete_range(struct crdt_doc *doc, uint32_t client, uint32_t clock, uint32_t len);
/* Frees the content of the types deleted since the last call. */
void doc_gc(struct crdt_doc *doc);
