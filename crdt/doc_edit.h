/*
 * doc_edit: what the edits made by the server share (doc_edit*.c). An edit finds its place in the
 * document, writes itself as an update, and is applied like any other, so that there is one way
 * into a document only. It changes nothing before edit_finish(), which can no longer be wrong but
 * about memory and limits.
 */
#pragma once

#include "doc_plan.h"

/* Between two units of a list: those before it end with the unit `left`, those behind it begin with
 * the unit `offset` of the item `right`. */
struct place {
    struct crdt_id left;
    bool has_left;
    uint32_t right; /* NIL: the end of the list */
    uint32_t offset;
};

/* Set up by edit_begin(); it holds nothing that must be freed. */
struct edit {
    struct crdt_doc *doc;
    struct crdt_slice root;
    uint32_t type; /* NIL: a root that nobody has written to */
    uint64_t client;
    uint64_t clock; /* of the next struct, if there is one already */
    bool has_structs;
    bool is_single; /* it inserts one struct at most; set before that */
    struct crdt_writer *writer;
    struct range_list *deletes;
};

/* The kinds of types that an edit is for: bits by enum crdt_type_ref. Roots are of any kind. */
#define EDIT_TEXT  (1u << CRDT_TYPE_TEXT | 1u << CRDT_TYPE_XML_TEXT)
#define EDIT_MAP   (1u << CRDT_TYPE_MAP)
#define EDIT_ARRAY (1u << CRDT_TYPE_ARRAY)

/* Starts an edit of the type at `path`. `client` matters for those that insert only. The errors
 * are those of crdt.h. */
CRDT_WARN_UNUSED int edit_begin(struct edit *edit, struct crdt_doc *doc, uint64_t client,
                                const struct crdt_path *path, unsigned kinds);

/* The units and elements that a reader sees of the type. */
static inline uint64_t edit_list_len(const struct edit *edit)
{
    return edit->type == NIL ? 0 : edit->doc->types[edit->type].len;
}

/* The place right behind the unit before `index`; inside of a surrogate pair that at its start,
 * `*ret_moved` units before. -ERANGE. */
CRDT_WARN_UNUSED int edit_find(const struct edit *edit, uint64_t index, struct place *ret_place,
                               uint32_t *ret_moved);

/* The place at the start of the list. */
static inline struct place edit_start(const struct edit *edit)
{
    return (struct place){.right = edit->type == NIL ? NIL : edit->doc->types[edit->type].start};
}

/* Moves a place behind the next `len` units of `right`, or (`len` is what is left of it) behind
 * `right` as a whole. Items without length, which have no last unit, are only passed. */
static inline void place_advance(const struct crdt_doc *doc, struct place *place, uint32_t len)
{
    const struct item *item = &doc->items[place->right];

    place->offset += len;
    if (place->offset > 0) {
        place->left = (struct crdt_id){doc->clients[item->client].id,
                                       item->clock + (uint64_t)place->offset - 1};
        place->has_left = true;
    }
    if (place->offset == item->len) {
        place->right = item->right;
        place->offset = 0;
    }
}

static inline void place_pass(const struct crdt_doc *doc, struct place *place)
{
    place_advance(doc, place, doc->items[place->right].len - place->offset);
}

/* How much of the next `len` visible units is left when the end is not to lie inside of a surrogate
 * pair. There are so many. */
uint64_t edit_whole_len(const struct edit *edit, struct place at, uint64_t len);

/* Inserts `len` units of a content at a place, which moves behind them. Slices are only read. */
CRDT_WARN_UNUSED int edit_insert(struct edit *edit, struct place *place, enum crdt_ref ref,
                                 uint64_t len, const struct crdt_content *content);
/* Inserts one `any` as the value of a key. */
CRDT_WARN_UNUSED int edit_set(struct edit *edit, struct crdt_slice key, struct crdt_slice any);
/* The item that holds the value of a key; NIL: there never was one. It may be deleted. */
uint32_t edit_value(const struct edit *edit, struct crdt_slice key);
/* Deletes the units from..to of an item that is not deleted, and all that is in it. */
CRDT_WARN_UNUSED int edit_delete(struct edit *edit, uint32_t item, uint32_t from, uint32_t to);

/* Deletes the next `len` visible units, of which there are so many. The place moves to the item of
 * the last one and to the unit behind that; its `left` stays. */
CRDT_WARN_UNUSED int edit_delete_units(struct edit *edit, struct place *place, uint64_t len);

/* Applies the edit, and appends it to `out` if that is not NULL. */
CRDT_WARN_UNUSED int edit_finish(struct edit *edit, struct crdt_buf *out);

/* Appends the value of UTF-8 from outside as `any`: crdt_json_to_any(), but -EINVAL for what is
 * not JSON. */
CRDT_WARN_UNUSED int edit_parse_json(struct crdt_slice json, uint32_t nesting,
                                     struct crdt_buf *out);
