/*
 * Edits by position. An edit is made as an update and applied like any other, so it takes one way
 * into the document only; what is particular here is to find the place. Where Yjs would put an
 * insertion matters: behind the deleted items to the right of the position, so that its origin and
 * its right origin are neighbours.
 */
#include <errno.h>

#include "doc.h"

/* Between the unit offset - 1 of `left` and what follows; left NIL: the start of the text. */
struct position {
    uint32_t left;
    uint32_t offset;
};

static uint32_t visible_len(const struct item *item)
{
    return item_is_deleted(item) || !item_is_countable(item) ? 0 : item->len;
}

/* Moves the document's cursor to a place of the text that is before `index`, and near it if it is
 * near the last edit. A position index would come here. */
static void seek(struct crdt_doc *doc, uint32_t type, uint64_t index)
{
    struct cursor *cursor = &doc->cursor;

    if (cursor->type != type || index <= cursor->index / 2)
        *cursor = (struct cursor){type, doc->types[type].start, 0};
    while (cursor->item != NIL && cursor->index > 0 && cursor->index >= index) {
        cursor->item = doc->items[cursor->item].left;
        if (cursor->item == NIL) {
            *cursor = (struct cursor){type, doc->types[type].start, 0};
            return;
        }
        cursor->index -= visible_len(&doc->items[cursor->item]);
    }
    if (cursor->index >= index)
        *cursor = (struct cursor){type, doc->types[type].start, 0};
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
    seek(doc, type, index);

    uint32_t i = doc->cursor.item;
    uint64_t rest = index - doc->cursor.index;
    for (; rest > 0 && i != NIL; i = doc->items[i].right) {
        const struct item *item = &doc->items[i];
        uint32_t len = visible_len(item);

        doc->cursor.item = i;
        doc->cursor.index = index - rest;
        position.left = i;
        position.offset = item->len;
        if (rest < len) {
            position.offset = (uint32_t)rest;
            leave_pair(doc, &position);
            break;
        }
        rest -= len;
    }
    /* An edit in front of the cursor's item would leave its index wrong. */
    if (position.left == NIL || (position.left != doc->cursor.item && rest > 0))
        doc->cursor.type = NIL;
    *ret_position = position;
    return 0;
}

/* Applies an edit that was made as a v1 update, and gives it out. The cursor stays, for it is not
 * behind the place of the edit; unless something else may come into the document with it. */
static int apply_edit(struct crdt_doc *doc, const struct crdt_buf *update, struct crdt_buf *out)
{
    struct cursor cursor = doc->cursor;
    bool had_pending = crdt_doc_has_pending(doc);
    size_t start = out ? out->len : 0;
    int r = out ? lib0_reserve(out, update->len) : 0;

    if (r < 0)
        return r;
    r = crdt_doc_apply(doc, CRDT_V1, update->data, update->len, NULL);
    if (r == 0 && out)
        lib0_write_bytes(out, update->data, update->len);
    else if (out)
        out->len = start;
    if (r == 0 && !had_pending)
        doc->cursor = cursor;
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

static int encode_insert(const struct crdt_doc *doc, const struct crdt_struct *s,
                         struct crdt_buf *out)
{
    struct crdt_writer *writer = crdt_writer_new(CRDT_V1, &doc->limits);
    int r;

    if (!writer)
        return -ENOMEM;
    crdt_writer_clients(writer, s->len > 0);
    if (s->len > 0) {
        crdt_writer_client(writer, s->id.client, 1, s->id.clock);
        crdt_writer_struct(writer, s, 0);
    }
    crdt_writer_deletes(writer, 0);
    r = crdt_writer_finish(writer, out);
    crdt_writer_free(writer);
    return r;
}

int crdt_text_insert(struct crdt_doc *doc, uint64_t client, const char *name, size_t name_len,
                     uint64_t index, const char *text, size_t text_len, struct crdt_buf *out)
{
    struct crdt_slice root = {(const uint8_t *)name, name_len};
    uint32_t type = root_find(doc, root), known = client_find(doc, client);
    struct position position = {NIL, 0};
    struct crdt_buf update = {0};
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
    r = encode_insert(doc, &s, &update);
    if (r == 0)
        r = apply_edit(doc, &update, out);
    crdt_buf_done(&update);
    return r;
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

        if (visible_len(item) > 0 && start < end)
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
    struct range_list deletes = {0};
    struct crdt_buf update = {0};
    struct position from, to;
    int r = 0;

    if (index > total || len > total - index)
        return -ERANGE;
    if (len > 0) {
        /* The end first: the cursor is to stay before the edit. */
        r = find_position(doc, type, index + len, &to);
        if (r == 0)
            r = find_position(doc, type, index, &from);
        if (r == 0)
            r = list_deleted(doc, type, from, to, &deletes);
    }
    if (r == 0)
        r = range_list_encode(&deletes, CRDT_V1, &doc->limits, &update);
    if (r == 0)
        r = apply_edit(doc, &update, out);
    range_list_done(&deletes);
    crdt_buf_done(&update);
    return r;
}
