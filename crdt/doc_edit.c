/*
 * Edits by position. An edit is made as an update and applied like any other, so it takes one way
 * into the document only; what is particular here is to find the place. Where Yjs would put an
 * insertion matters: behind the deleted items to the right of the position, so that its origin and
 * its right origin are neighbours.
 */
#include <errno.h>

#include "doc_plan.h"

/* An edit this near to the last one is found by walking there. */
#define NEAR_ITEMS 32u

/* Between the unit offset - 1 of `left` and what follows; left NIL: the start of the text. */
struct position {
    uint32_t left;
    uint32_t offset;
};

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
 * the length of the text. */
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

/* A position between the halves of a surrogate pair moves to the start of the pair. */
static void leave_pair(const struct crdt_doc *doc, struct position *position)
{
    const struct item *item = &doc->items[position->left];
    bool is_inside = false;

    if (item->ref != CRDT_REF_STRING || item->content_len == item->len)
        return;
    lib0_utf16_offset(doc->text + item->content, item->content_len, position->offset, &is_inside);
    if (!is_inside)
        return;
    if (--position->offset == 0) {
        position->left = item->left;
        position->offset = item->left == NIL ? 0 : doc->items[item->left].len;
    }
}

static int find_position(struct crdt_doc *doc, uint32_t type, uint64_t index,
                         struct position *ret_position)
{
    struct position position = {NIL, 0};

    if (index > doc->types[type].len)
        return -ERANGE;
    if (index > 0) {
        seek(doc, type, index);
        position.left = doc->cursor.item;
        position.offset = (uint32_t)(index - doc->cursor.index);
        leave_pair(doc, &position);
    }
    /* An edit in front of the cursor's item would leave its index wrong. */
    if (position.left != doc->cursor.item)
        doc->cursor.type = NIL;
    *ret_position = position;
    return 0;
}

/* The writer of edits, ready for the next one; NULL: out of memory. */
static struct crdt_writer *start_edit(struct crdt_doc *doc)
{
    if (!plan_start(doc))
        return NULL;
    if (!doc->scratch->writer)
        doc->scratch->writer = crdt_writer_new(CRDT_V1, &doc->limits);
    else
        crdt_writer_restart(doc->scratch->writer);
    return doc->scratch->writer;
}

/* Applies the edit that was written, and gives it out. The cursor stays, for it is not behind the
 * place of the edit; unless something else may come into the document with it. */
static int finish_edit(struct crdt_doc *doc, struct crdt_buf *out)
{
    struct crdt_buf *update = &doc->scratch->update;
    int r;

    update->len = 0;
    r = crdt_writer_finish(doc->scratch->writer, update);
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

/* Fills in where an insertion goes. */
static void describe_place(const struct crdt_doc *doc, uint32_t type, struct position position,
                           struct crdt_struct *s)
{
    const struct item *left = position.left == NIL ? NULL : &doc->items[position.left], *right;
    uint32_t next = NIL;
    struct crdt_id right_id;
    bool has_right;

    if (left && position.offset < left->len) {
        right_id = (struct crdt_id){doc->clients[left->client].id, left->clock + position.offset};
        has_right = true;
    } else {
        if (left)
            next = left->right;
        else if (type != NIL)
            next = doc->types[type].start;
        for (; next != NIL && item_is_deleted(&doc->items[next]); next = doc->items[next].right) {
            left = &doc->items[next];
            position.offset = left->len;
        }
        has_right = next != NIL;
        right = has_right ? &doc->items[next] : NULL;
        if (right)
            right_id = (struct crdt_id){doc->clients[right->client].id, right->clock};
    }
    if (left) {
        s->info |= CRDT_INFO_ORIGIN;
        s->origin = (struct crdt_id){doc->clients[left->client].id,
                                     left->clock + position.offset - (uint64_t)1};
    }
    if (has_right) {
        s->info |= CRDT_INFO_RIGHT_ORIGIN;
        s->right_origin = right_id;
    }
    s->parent = left || has_right ? CRDT_PARENT_IMPLIED : CRDT_PARENT_ROOT;
}

static int insert(struct crdt_doc *doc, const struct crdt_struct *s, struct crdt_buf *out)
{
    struct crdt_writer *writer = start_edit(doc);

    if (!writer)
        return -ENOMEM;
    crdt_writer_clients(writer, s->len > 0);
    if (s->len > 0) {
        crdt_writer_client(writer, s->id.client, 1, s->id.clock);
        crdt_writer_struct(writer, s, 0);
    }
    crdt_writer_deletes(writer, 0);
    return finish_edit(doc, out);
}

int crdt_text_insert(struct crdt_doc *doc, uint64_t client, const char *name, size_t name_len,
                     uint64_t index, const char *text, size_t text_len, struct crdt_buf *out)
{
    struct crdt_slice root = {(const uint8_t *)name, name_len};
    uint32_t type = root_find(doc, root), known = client_find(doc, client);
    struct position position = {NIL, 0};
    struct crdt_struct s = {
        .id = {client, known == NIL ? 0 : doc->clients[known].state},
        .info = CRDT_REF_STRING,
        .parent_name = root,
        .content.bytes = {(const uint8_t *)text, text_len},
    };
    int r = 0;

    if (client > CRDT_MAX_CLIENT || !lib0_utf8_is_valid(root.data, root.len) ||
        !lib0_utf8_measure(s.content.bytes.data, text_len, &s.len))
        return -EINVAL;
    if (s.len > CRDT_MAX_CLOCK - s.id.clock)
        return -E2BIG;
    if (type != NIL)
        r = find_position(doc, type, index, &position);
    else if (index > 0)
        r = -ERANGE;
    if (r < 0)
        return r;
    describe_place(doc, type, position, &s);
    return insert(doc, &s, out);
}

/* The clocks of the units between two positions. */
static int list_deleted(const struct crdt_doc *doc, uint32_t type, struct position from,
                        struct position to, struct range_list *deletes)
{
    uint32_t i = from.left == NIL ? doc->types[type].start : from.left;
    uint32_t start = from.left == NIL ? 0 : from.offset;
    int r = 0;

    if (to.left == NIL)
        return 0;
    for (;; i = doc->items[i].right, start = 0) {
        const struct item *item = &doc->items[i];
        uint32_t end = i == to.left ? to.offset : item->len;

        if (item_visible_len(item) > 0 && start < end)
            r = range_list_add(deletes, doc->clients[item->client].id, item->clock + start,
                               end - start);
        if (r < 0 || i == to.left)
            break;
    }
    range_list_normalise(deletes);
    return r;
}

int crdt_text_delete(struct crdt_doc *doc, const char *name, size_t name_len, uint64_t index,
                     uint64_t len, struct crdt_buf *out)
{
    struct crdt_slice root = {(const uint8_t *)name, name_len};
    uint32_t type = root_find(doc, root);
    uint64_t total = type == NIL ? 0 : doc->types[type].len;
    struct crdt_writer *writer;
    struct range_list *deletes;
    struct position from, to;
    int r = 0;

    if (index > total || len > total - index)
        return -ERANGE;
    writer = start_edit(doc);
    if (!writer)
        return -ENOMEM;
    deletes = &doc->scratch->deletes;
    range_list_reset(deletes);
    if (len > 0) {
        /* The end first: the cursor is to stay before the edit. */
        r = find_position(doc, type, index + len, &to);
        if (r == 0)
            r = find_position(doc, type, index, &from);
        if (r == 0)
            r = list_deleted(doc, type, from, to, deletes);
    }
    if (r < 0)
        return r;
    crdt_writer_clients(writer, 0);
    range_list_write(deletes, writer);
    return finish_edit(doc, out);
}
