/* Edits of texts. Yjs: `YText.js`. */
#include <errno.h>

#include "any.h"
#include "doc_read.h"
#include "text_cursor.h"
#include "text_diff.h"

/* ---- attributes ---- */

/* What the caller wants of marks: the members of a JSON object. */
struct attributes {
    struct crdt_buf any;
    struct marks marks;
};

static void attributes_done(struct attributes *attributes)
{
    crdt_buf_done(&attributes->any);
    marks_done(&attributes->marks);
}

/* A key that the document does not know gets a number that no name has. */
static uint32_t key_of(const struct crdt_doc *doc, struct crdt_slice name, uint32_t unknown)
{
    uint32_t key = name_find(doc, name);

    return key == NIL ? NIL - 1 - unknown : key;
}

static int attributes_parse(struct attributes *attributes, const struct crdt_doc *doc,
                            struct crdt_slice json)
{
    struct lib0_reader r;
    uint64_t count;
    int rc = edit_parse_json(json, doc->limits.nesting + 1, &attributes->any);

    if (rc < 0)
        return rc;
    lib0_reader_init(&r, attributes->any.data, attributes->any.len);
    if (lib0_read_u8(&r) != CRDT_ANY_OBJECT)
        return -EINVAL;
    count = lib0_read_uint(&r);
    if (count > UINT32_MAX / 2)
        return -E2BIG;
    for (uint64_t i = 0; i < count && rc == 0; i++) {
        struct crdt_slice name = lib0_read_slice(&r);
        struct mark_value value = {.bytes.data = r.pos, .is_any = true};

        rc = crdt_any_skip(&r, CRDT_ANY_MAX_NESTING);
        value.bytes.len = (size_t)(r.pos - value.bytes.data);
        if (rc == 0)
            rc = marks_set(&attributes->marks, key_of(doc, name, (uint32_t)i), name, value);
    }
    return rc;
}

/* ---- at a position ---- */

static bool has_marks(const struct edit *edit)
{
    return edit->type != NIL && edit->doc->types[edit->type].has_marks;
}

/* Without marks there is no need to walk to the place. */
static int insert_plain(struct edit *edit, uint64_t index, struct crdt_slice text, uint64_t units)
{
    const struct crdt_doc *doc = edit->doc;
    const struct crdt_content content = {.bytes = text};
    struct place at;
    uint32_t moved;
    int r = edit_find(edit, index, &at, &moved);

    if (r < 0 || units == 0)
        return r;
    while (at.right != NIL && item_visible_len(&doc->items[at.right]) == 0)
        place_pass(doc, &at);
    edit->is_single = true;
    return edit_insert(edit, &at, CRDT_REF_STRING, units, &content);
}

/* With the given marks, or (NULL) with those in force. */
static int insert_rich(struct edit *edit, uint64_t index, struct crdt_slice text, uint64_t units,
                       const struct crdt_slice *json)
{
    struct attributes attributes = {0};
    struct text_cursor cursor = {0};
    uint32_t moved;
    int r = json ? attributes_parse(&attributes, edit->doc, *json) : 0;

    if (r == 0)
        r = text_cursor_init(&cursor, edit, index, &moved);
    if (r == 0 && units > 0)
        r = json ? text_cursor_insert_with(&cursor, text, units, &attributes.marks)
                 : text_cursor_insert(&cursor, text, units);
    text_cursor_done(&cursor);
    attributes_done(&attributes);
    return r;
}

int crdt_text_insert(struct crdt_doc *doc, uint64_t client, struct crdt_path path, uint64_t index,
                     const char *text, size_t text_len, const struct crdt_slice *attributes,
                     struct crdt_buf *out)
{
    struct crdt_slice bytes = {(const uint8_t *)text, text_len};
    struct edit edit;
    uint64_t units;
    int r = edit_begin(&edit, doc, client, &path, EDIT_TEXT);

    if (r == 0 && !lib0_utf8_measure(bytes.data, bytes.len, &units))
        r = -EINVAL;
    if (r == 0 && (attributes || has_marks(&edit)))
        r = insert_rich(&edit, index, bytes, units, attributes);
    else if (r == 0)
        r = insert_plain(&edit, index, bytes, units);
    return r ? r : edit_finish(&edit, out);
}

static bool is_outside(const struct edit *edit, uint64_t index, uint64_t len)
{
    uint64_t total = edit_list_len(edit);

    return index > total || len > total - index;
}

static int delete_plain(struct edit *edit, uint64_t index, uint64_t len)
{
    struct place at;
    uint32_t moved;
    int r = edit_find(edit, index, &at, &moved);

    return r ? r : edit_delete_units(edit, &at, edit_whole_len(edit, at, len + moved));
}

static int delete_rich(struct edit *edit, uint64_t index, uint64_t len)
{
    struct text_cursor cursor;
    uint32_t moved;
    int r = text_cursor_init(&cursor, edit, index, &moved);

    if (r == 0)
        r = text_cursor_delete(&cursor, edit_whole_len(edit, cursor.at, len + moved));
    text_cursor_done(&cursor);
    return r;
}

int crdt_text_delete(struct crdt_doc *doc, struct crdt_path path, uint64_t index, uint64_t len,
                     struct crdt_buf *out)
{
    struct edit edit;
    int r = edit_begin(&edit, doc, 0, &path, EDIT_TEXT);

    if (r == 0 && is_outside(&edit, index, len))
        r = -ERANGE;
    if (r == 0 && len > 0)
        r = has_marks(&edit) ? delete_rich(&edit, index, len) : delete_plain(&edit, index, len);
    return r ? r : edit_finish(&edit, out);
}

int crdt_text_format(struct crdt_doc *doc, uint64_t client, struct crdt_path path, uint64_t index,
                     uint64_t len, struct crdt_slice attributes, struct crdt_buf *out)
{
    struct text_cursor cursor = {0};
    struct attributes wanted = {0};
    struct edit edit;
    uint32_t moved;
    int r = edit_begin(&edit, doc, client, &path, EDIT_TEXT);

    if (r == 0 && is_outside(&edit, index, len))
        r = -ERANGE;
    if (r == 0)
        r = attributes_parse(&wanted, doc, attributes);
    if (r == 0 && len > 0) {
        r = text_cursor_init(&cursor, &edit, index, &moved);
        len = r == 0 ? edit_whole_len(&edit, cursor.at, len + moved) : 0;
        if (len > 0)
            r = text_cursor_format(&cursor, len, &wanted.marks);
    }
    if (r == 0)
        r = edit_finish(&edit, out);
    text_cursor_done(&cursor);
    attributes_done(&wanted);
    return r;
}

/* ---- as a whole ---- */

static bool is_embed(const struct crdt_doc *doc, uint32_t item)
{
    return item_visible_len(&doc->items[item]) > 0 && doc->items[item].ref != CRDT_REF_STRING;
}

/* Moves behind the next `len` units of text, and the embeds between them. */
static int skip_text(struct text_cursor *cursor, uint64_t len)
{
    const struct crdt_doc *doc = cursor->edit->doc;
    int r = 0;

    while (len > 0 && r == 0) {
        uint64_t ahead = text_cursor_ahead(cursor);

        if (ahead > 0 && !is_embed(doc, cursor->at.right)) {
            ahead = ahead < len ? ahead : len;
            len -= ahead;
        }
        r = ahead > 0 ? text_cursor_skip(cursor, ahead) : text_cursor_pass(cursor);
    }
    return r;
}

/* How many of the next `len` units of text come before an embed. */
static uint64_t text_before_embed(const struct text_cursor *cursor, uint64_t len)
{
    const struct crdt_doc *doc = cursor->edit->doc;
    uint32_t offset = cursor->at.offset;
    uint64_t found = 0;

    for (uint32_t i = cursor->at.right; found < len && !is_embed(doc, i); i = doc->items[i].right) {
        if (item_visible_len(&doc->items[i]) > 0)
            found += doc->items[i].len - offset;
        offset = 0;
    }
    return found < len ? found : len;
}

/* Moves right behind the embeds that are next, over what is deleted. */
static int skip_embeds(struct text_cursor *cursor)
{
    const struct crdt_doc *doc = cursor->edit->doc;
    uint64_t embeds = 0;
    int r = 0;

    while (r == 0 && cursor->is_over_gap)
        r = text_cursor_pass(cursor);
    for (uint32_t i = cursor->at.right; i != NIL; i = doc->items[i].right) {
        if (is_embed(doc, i))
            embeds += doc->items[i].len;
        else if (item_visible_len(&doc->items[i]) > 0)
            break;
    }
    return r ? r : text_cursor_skip(cursor, embeds);
}

/* Replaces the next `deleted` units of text. */
static int replace(struct text_cursor *cursor, uint64_t deleted, struct crdt_slice text)
{
    uint64_t part = text_before_embed(cursor, deleted);
    int r = text_cursor_delete(cursor, part);

    if (r == 0 && text.len > 0)
        r = text_cursor_insert(cursor, text, lib0_utf16_len(text.data, text.len));
    while (r == 0 && deleted > part) {
        deleted -= part;
        r = skip_embeds(cursor);
        part = text_before_embed(cursor, deleted);
        if (r == 0)
            r = text_cursor_delete(cursor, part);
    }
    return r;
}

static uint64_t units_of(struct crdt_slice text, size_t start, size_t end)
{
    struct crdt_slice part = text_part(text, start, end);

    return lib0_utf16_len(part.data, part.len);
}

static int make_changes(struct edit *edit, const struct text_diff *diff, struct crdt_slice from,
                        struct crdt_slice to)
{
    struct text_cursor cursor;
    uint32_t moved;
    size_t done = 0;
    int r = text_cursor_init(&cursor, edit, 0, &moved);

    for (size_t i = 0; i < diff->count && r == 0; i++) {
        const struct text_hunk *hunk = &diff->hunks[i];

        r = skip_text(&cursor, units_of(from, done, hunk->old_start));
        if (r == 0)
            r = replace(&cursor, units_of(from, hunk->old_start, hunk->old_end),
                        text_part(to, hunk->new_start, hunk->new_end));
        done = hunk->old_end;
    }
    text_cursor_done(&cursor);
    return r;
}

/* The text as it is. */
static int read_current(const struct edit *edit, struct crdt_buf *ret_text)
{
    struct reading reading = {.doc = edit->doc, .out = ret_text};

    return edit->type == NIL ? 0 : read_text(&reading, edit->type);
}

int crdt_text_become(struct crdt_doc *doc, uint64_t client, struct crdt_path path, const char *text,
                     size_t text_len, struct crdt_buf *out)
{
    struct crdt_slice to = {(const uint8_t *)text, text_len};
    struct text_diff diff = {0};
    struct crdt_buf from = {0};
    struct edit edit;
    int r = edit_begin(&edit, doc, client, &path, EDIT_TEXT);

    if (r == 0 && !lib0_utf8_is_valid(to.data, to.len))
        r = -EINVAL;
    if (r == 0)
        r = read_current(&edit, &from);
    if (r == 0)
        r = text_diff_make(&diff, (struct crdt_slice){from.data, from.len}, to);
    if (r == 0)
        r = make_changes(&edit, &diff, (struct crdt_slice){from.data, from.len}, to);
    if (r == 0)
        r = edit_finish(&edit, out);
    text_diff_done(&diff);
    crdt_buf_done(&from);
    return r;
}
