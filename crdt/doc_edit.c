#include "doc_edit.h"

#include <errno.h>
#include <stdlib.h>

#include "any.h"

/* An edit this near to the last one is found by walking there. */
#define NEAR_ITEMS 32u

/* ---- places in lists ---- */

/* Walks from the last edit to the item that holds the unit before `index`, if it is near. */
static bool find_near(struct crdt_doc *doc, uint32_t type, uint64_t index)
{
    struct cursor cursor = doc->cursor;

    if (cursor.type != type)
        cursor = (struct cursor){type, doc->types[type].start, 0};
    for (uint32_t i = 0; i < NEAR_ITEMS && cursor.item != NIL; i++) {
        const struct item *item = &doc->items[cursor.item];

        if (cursor.index >= index) {
            cursor.item = item->left;
            if (cursor.item != NIL)
                cursor.index -= item_visible_len(&doc->items[cursor.item]);
        } else if (cursor.index + item_visible_len(item) < index) {
            cursor.index += item_visible_len(item);
            cursor.item = item->right;
        } else {
            doc->cursor = cursor;
            return true;
        }
    }
    return false;
}

/* Moves the document's cursor to the item that holds the unit before `index`, which is from 1 to
 * the length of the list. */
static void seek(struct crdt_doc *doc, uint32_t type, uint64_t index)
{
    struct cursor cursor = {type, doc->types[type].start, 0};

    if (find_near(doc, type, index))
        return;
    if (!positions_find(doc, type, index, &cursor.item, &cursor.index)) {
        while (cursor.index + item_visible_len(&doc->items[cursor.item]) < index) {
            cursor.index += item_visible_len(&doc->items[cursor.item]);
            cursor.item = doc->items[cursor.item].right;
        }
    }
    doc->cursor = cursor;
}

/* Does the unit `offset` of an item lie between the halves of a surrogate pair? */
static bool is_in_pair(const struct crdt_doc *doc, uint32_t item, uint32_t offset)
{
    const struct item *i = &doc->items[item];
    bool is_inside = false;

    if (i->ref == CRDT_REF_STRING && i->content_len != i->len && offset < i->len)
        lib0_utf16_offset(doc->text + i->content, i->content_len, offset, &is_inside);
    return is_inside;
}

int edit_find(const struct edit *edit, uint64_t index, struct place *ret_place, uint32_t *ret_moved)
{
    struct crdt_doc *doc = edit->doc;
    struct place place = {.right = NIL};
    uint32_t offset;

    if (index > edit_list_len(edit))
        return -ERANGE;
    *ret_moved = 0;
    if (index == 0) {
        doc->cursor.type = NIL;
        *ret_place = edit_start(edit);
        return 0;
    }
    seek(doc, edit->type, index);
    place.right = doc->cursor.item;
    offset = (uint32_t)(index - doc->cursor.index);
    if (is_in_pair(doc, place.right, offset)) {
        *ret_moved = 1;
        offset--;
    }
    if (offset == 0) {
        uint32_t left = doc->items[place.right].left;

        /* An edit in front of the cursor's item would leave its index wrong. */
        doc->cursor.type = NIL;
        while (left != NIL && doc->items[left].len == 0)
            left = doc->items[left].left;
        if (left != NIL) {
            place.right = left;
            offset = doc->items[left].len;
        }
    }
    place_advance(doc, &place, offset);
    *ret_place = place;
    return 0;
}

uint64_t edit_whole_len(const struct edit *edit, struct place at, uint64_t len)
{
    const struct crdt_doc *doc = edit->doc;
    uint64_t left = doc->has_wide_text ? len : 0;

    while (left > 0) {
        uint32_t visible = item_visible_len(&doc->items[at.right]);
        uint32_t ahead = visible == 0 ? 0 : visible - at.offset;

        if (ahead > left)
            return len - is_in_pair(doc, at.right, at.offset + (uint32_t)left);
        left -= ahead;
        at.right = doc->items[at.right].right;
        at.offset = 0;
    }
    return len;
}

/* ---- the type ---- */

static uint32_t find_value(const struct crdt_doc *doc, uint32_t type, struct crdt_slice key)
{
    uint32_t name = type == NIL ? NIL : name_find(doc, key);
    uint32_t entry = name == NIL ? NIL : entry_find(doc, type, name);

    return entry == NIL ? NIL : doc->entries[entry].tail;
}

static int follow(struct crdt_doc *doc, const struct crdt_step *step, uint32_t *type)
{
    uint32_t item = NIL;

    if (step->key.data) {
        item = find_value(doc, *type, step->key);
    } else if (step->index < doc->types[*type].len) {
        seek(doc, *type, step->index + 1);
        item = doc->cursor.item;
    }
    if (item == NIL || item_is_deleted(&doc->items[item]) || doc->items[item].ref != CRDT_REF_TYPE)
        return -ENOENT;
    *type = doc->items[item].content;
    return 0;
}

static int find_type(struct crdt_doc *doc, const struct crdt_path *path, unsigned kinds,
                     uint32_t *ret_type)
{
    uint32_t type = root_find(doc, path->root);
    int r = type == NIL && path->step_count > 0 ? -ENOENT : 0;

    for (size_t i = 0; i < path->step_count && r == 0; i++)
        r = follow(doc, &path->steps[i], &type);
    if (r == 0 && path->step_count > 0 && !(kinds >> doc->types[type].type_ref & 1))
        r = -EINVAL;
    *ret_type = type;
    return r;
}

/* ---- the update ---- */

/* The writer of edits, ready for the next one; NULL: out of memory. */
static struct crdt_writer *start_writer(struct crdt_doc *doc)
{
    if (!plan_start(doc))
        return NULL;
    if (!doc->scratch->writer)
        doc->scratch->writer = crdt_writer_new(CRDT_V1, &doc->limits);
    else
        crdt_writer_restart(doc->scratch->writer);
    return doc->scratch->writer;
}

int edit_begin(struct edit *edit, struct crdt_doc *doc, uint64_t client,
               const struct crdt_path *path, unsigned kinds)
{
    uint32_t type;
    int r;

    if (client > CRDT_MAX_CLIENT)
        return -EINVAL;
    r = find_type(doc, path, kinds, &type);
    if (r == 0 && type == NIL && !lib0_utf8_is_valid(path->root.data, path->root.len))
        r = -EINVAL;
    if (r < 0)
        return r;
    *edit = (struct edit){
        .doc = doc,
        .root = path->root,
        .type = type,
        .client = client,
        .writer = start_writer(doc),
    };
    if (!edit->writer)
        return -ENOMEM;
    edit->deletes = &doc->scratch->deletes;
    range_list_reset(edit->deletes);
    return 0;
}

/* Applies the edit that was written, and gives it out. The cursor stays, for it is not behind the
 * place of the edit; unless something else may come into the document with it. */
int edit_finish(struct edit *edit, struct crdt_buf *out)
{
    struct crdt_doc *doc = edit->doc;
    struct crdt_buf *update = &doc->scratch->update;
    int r;

    if (!edit->has_structs)
        crdt_writer_clients(edit->writer, 0);
    else if (!edit->is_single)
        crdt_writer_end(edit->writer);
    if (edit->deletes->count > 1)
        range_list_normalise(edit->deletes);
    range_list_write(edit->deletes, edit->writer);
    update->len = 0;
    r = crdt_writer_finish(edit->writer, update);
    if (r == 0 && out)
        r = lib0_reserve(out, update->len);
    if (r == 0 && crdt_doc_has_pending(doc))
        doc->cursor.type = NIL;
    if (r == 0)
        r = doc_apply(doc, CRDT_V1, update->data, update->len, NULL);
    if (r == 0 && out)
        lib0_write_bytes(out, update->data, update->len);
    if (update->cap > KEPT_BYTES)
        crdt_buf_done(update);
    update->error = 0;
    return r;
}

/* ---- insertions ---- */

static void begin_structs(struct edit *edit)
{
    const struct crdt_doc *doc = edit->doc;
    uint32_t known = client_find(edit->doc, edit->client);

    edit->clock = known == NIL ? 0 : doc->clients[known].state;
    crdt_writer_clients(edit->writer, 1);
    if (edit->is_single)
        crdt_writer_client(edit->writer, edit->client, 1, edit->clock);
    else
        crdt_writer_begin(edit->writer, edit->client, CRDT_MAX_CLOCK, edit->clock);
    edit->has_structs = true;
}

static int write_struct(struct edit *edit, struct crdt_struct *s)
{
    if (!edit->has_structs)
        begin_structs(edit);
    if (s->len > CRDT_MAX_CLOCK - edit->clock)
        return -E2BIG;
    s->id = (struct crdt_id){edit->client, edit->clock};
    crdt_writer_struct(edit->writer, s, 0);
    edit->clock += s->len;
    return 0;
}

/* Names the type itself, for who has no neighbours in it. */
static void name_parent(const struct edit *edit, struct crdt_struct *s)
{
    const struct crdt_doc *doc = edit->doc;
    uint32_t holder = edit->type == NIL ? NIL : doc->types[edit->type].item;

    s->parent = CRDT_PARENT_ROOT;
    s->parent_name = edit->root;
    if (holder == NIL)
        return;
    s->parent = CRDT_PARENT_ITEM;
    s->parent_id =
        (struct crdt_id){doc->clients[doc->items[holder].client].id, doc->items[holder].clock};
}

int edit_insert(struct edit *edit, struct place *place, enum crdt_ref ref, uint64_t len,
                const struct crdt_content *content)
{
    const struct crdt_doc *doc = edit->doc;
    struct crdt_struct s = {.len = len, .info = (uint8_t)ref, .content = *content};
    uint32_t right = place->right;
    int r;

    /* An item without length has no id of its own. */
    while (right != NIL && doc->items[right].len == 0)
        right = doc->items[right].right;
    if (place->has_left) {
        s.info |= CRDT_INFO_ORIGIN;
        s.origin = place->left;
    }
    if (right != NIL) {
        const struct item *item = &doc->items[right];

        s.info |= CRDT_INFO_RIGHT_ORIGIN;
        s.right_origin =
            (struct crdt_id){doc->clients[item->client].id, item->clock + (uint64_t)place->offset};
    }
    if (!place->has_left && right == NIL)
        name_parent(edit, &s);
    r = write_struct(edit, &s);
    if (r < 0)
        return r;
    place->left = (struct crdt_id){edit->client, edit->clock - 1};
    place->has_left = true;
    return 0;
}

uint32_t edit_value(const struct edit *edit, struct crdt_slice key)
{
    return find_value(edit->doc, edit->type, key);
}

int edit_set(struct edit *edit, struct crdt_slice key, struct crdt_slice any)
{
    const struct crdt_doc *doc = edit->doc;
    struct crdt_struct s = {
        .len = 1,
        .info = CRDT_REF_ANY | CRDT_INFO_PARENT_SUB,
        .content.bytes = any,
    };
    uint32_t value = edit_value(edit, key);

    if (value != NIL && item_end(&doc->items[value]) > 0) {
        s.info |= CRDT_INFO_ORIGIN;
        s.origin = (struct crdt_id){doc->clients[doc->items[value].client].id,
                                    item_end(&doc->items[value]) - (uint64_t)1};
    } else {
        name_parent(edit, &s);
        s.parent_sub = key;
    }
    edit->is_single = true;
    return write_struct(edit, &s);
}

int edit_parse_json(struct crdt_slice json, uint32_t nesting, struct crdt_buf *out)
{
    int r = lib0_utf8_is_valid(json.data, json.len)
                ? crdt_json_to_any(json.data, json.len, nesting, out)
                : -EINVAL;

    return r == -EBADMSG ? -EINVAL : r;
}

/* ---- deletions ---- */

/* Types whose content goes with them. */
struct inner_types {
    uint32_t *types;
    uint32_t count;
    uint32_t cap;
};

static int add_deletion(struct edit *edit, struct inner_types *inner, uint32_t index, uint32_t from,
                        uint32_t to)
{
    const struct item *item = &edit->doc->items[index];
    int r = 0;

    if (from < to)
        r = range_list_add(edit->deletes, edit->doc->clients[item->client].id, item->clock + from,
                           to - from);
    if (r < 0 || item->ref != CRDT_REF_TYPE)
        return r;
    r = array_reserve(&inner->types, &inner->cap, inner->count + (uint64_t)1,
                      sizeof(*inner->types));
    if (r == 0)
        inner->types[inner->count++] = item->content;
    return r;
}

static int delete_content(struct edit *edit, struct inner_types *inner, uint32_t index)
{
    const struct crdt_doc *doc = edit->doc;
    const struct type *type = &doc->types[index];
    int r = 0;

    for (uint32_t i = type->start; i != NIL && r == 0; i = doc->items[i].right)
        if (!item_is_deleted(&doc->items[i]))
            r = add_deletion(edit, inner, i, 0, doc->items[i].len);
    for (uint32_t e = type->first_entry; e != NIL && r == 0; e = doc->entries[e].next) {
        uint32_t value = doc->entries[e].tail;

        if (value != NIL && !item_is_deleted(&doc->items[value]))
            r = add_deletion(edit, inner, value, 0, doc->items[value].len);
    }
    return r;
}

int edit_delete(struct edit *edit, uint32_t item, uint32_t from, uint32_t to)
{
    struct inner_types inner = {0};
    int r = add_deletion(edit, &inner, item, from, to);

    for (uint32_t i = 0; i < inner.count && r == 0; i++)
        r = delete_content(edit, &inner, inner.types[i]);
    free(inner.types);
    return r;
}

int edit_delete_units(struct edit *edit, struct place *place, uint64_t len)
{
    const struct crdt_doc *doc = edit->doc;
    int r = 0;

    while (len > 0 && r == 0) {
        const struct item *item = &doc->items[place->right];
        uint32_t take = item_visible_len(item) == 0 ? 0 : item->len - place->offset;

        if (take > len)
            take = (uint32_t)len;
        if (take > 0)
            r = edit_delete(edit, place->right, place->offset, place->offset + take);
        len -= take;
        if (len > 0) {
            place->right = item->right;
            place->offset = 0;
        } else {
            place->offset += take;
        }
    }
    return r;
}
