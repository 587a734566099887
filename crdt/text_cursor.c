#include "text_cursor.h"

#include <errno.h>
#include <stdlib.h>

#include "members.h"

void text_cursor_done(struct text_cursor *cursor)
{
    marks_done(&cursor->marks);
    free(cursor->gone.slots);
    cursor->gone = (struct table){0};
}

/* ---- marks of the document ---- */

static struct mark_value value_of(const struct crdt_doc *doc, uint32_t mark)
{
    const struct item *item = &doc->items[mark];

    return (struct mark_value){item_bytes(doc, item), item->flags & ITEM_VALUE_IS_ANY};
}

static int set_mark(const struct crdt_doc *doc, struct marks *marks, uint32_t mark)
{
    uint32_t key = item_name(doc, &doc->items[mark]);

    return marks_set(marks, key, name_slice(doc, key), value_of(doc, mark));
}

static bool is_gone(const struct text_cursor *cursor, uint32_t item)
{
    uint32_t hash = hash_mix(item), pos = hash, found;

    while ((found = table_probe(&cursor->gone, hash, &pos)) != NIL)
        if (found == item)
            break;
    return found != NIL;
}

static bool is_live_mark(const struct text_cursor *cursor, uint32_t item)
{
    const struct item *i = &cursor->edit->doc->items[item];

    return i->ref == CRDT_REF_FORMAT && !item_is_deleted(i) && !is_gone(cursor, item);
}

/* ---- moving ---- */

uint32_t text_cursor_ahead(const struct text_cursor *cursor)
{
    const struct item *item;

    if (cursor->at.right == NIL || cursor->is_over_gap)
        return 0;
    item = &cursor->edit->doc->items[cursor->at.right];
    return item_visible_len(item) == 0 ? 0 : item->len - cursor->at.offset;
}

uint32_t text_cursor_mark(const struct text_cursor *cursor)
{
    uint32_t item = cursor->at.right;

    return item != NIL && is_live_mark(cursor, item) ? item : NIL;
}

int text_cursor_pass(struct text_cursor *cursor)
{
    const struct crdt_doc *doc = cursor->edit->doc;
    uint32_t item = cursor->at.right, mark = text_cursor_mark(cursor);
    int r = 0;

    if (cursor->is_over_gap && item == cursor->gap_item) {
        cursor->is_over_gap = false;
        place_advance(doc, &cursor->at, cursor->gap_offset - cursor->at.offset);
        return 0;
    }
    if (mark != NIL) {
        const struct mark_value value = value_of(doc, mark);

        if (mark_is_null(&value))
            marks_unset(&cursor->marks, item_name(doc, &doc->items[mark]));
        else
            r = set_mark(doc, &cursor->marks, mark);
    }
    place_pass(doc, &cursor->at);
    return r;
}

int text_cursor_skip(struct text_cursor *cursor, uint64_t len)
{
    int r = 0;

    while (len > 0 && r == 0) {
        uint32_t ahead = text_cursor_ahead(cursor);

        if (ahead > len) {
            place_advance(cursor->edit->doc, &cursor->at, (uint32_t)len);
            break;
        }
        len -= ahead;
        r = text_cursor_pass(cursor);
    }
    return r;
}

/* Without marks the place is found by the index of positions, with them by walking. */
int text_cursor_init(struct text_cursor *cursor, struct edit *edit, uint64_t index,
                     uint32_t *ret_moved)
{
    *cursor = (struct text_cursor){.edit = edit};
    if (edit->type == NIL || !edit->doc->types[edit->type].has_marks)
        return edit_find(edit, index, &cursor->at, ret_moved);
    if (index > edit_list_len(edit))
        return -ERANGE;
    edit->doc->cursor.type = NIL;
    cursor->at = edit_start(edit);
    *ret_moved = (uint32_t)(index - edit_whole_len(edit, cursor->at, index));
    return text_cursor_skip(cursor, index - *ret_moved);
}

/* ---- deleting ---- */

static int delete_mark(struct text_cursor *cursor, uint32_t mark)
{
    int r = edit_delete(cursor->edit, mark, 0, 1);

    if (r == 0)
        r = table_reserve(&cursor->gone, 1);
    if (r == 0)
        table_insert(&cursor->gone, hash_mix(mark), mark);
    return r;
}

/* The last item before the next unit that a reader sees; NIL: the cursor is in front of that. */
static uint32_t find_gap_end(const struct text_cursor *cursor)
{
    const struct crdt_doc *doc = cursor->edit->doc;
    bool is_over_gap = cursor->is_over_gap;
    uint32_t last = NIL;

    for (uint32_t i = cursor->at.right; i != NIL; i = doc->items[i].right) {
        if (is_over_gap && i == cursor->gap_item) {
            is_over_gap = false;
            if (cursor->gap_offset < doc->items[i].len)
                break;
        } else if (!is_over_gap && item_visible_len(&doc->items[i]) > 0) {
            break;
        }
        last = i;
    }
    return last;
}

/*
 * Deletes the marks between the cursor and the next unit that a reader sees which are replaced by
 * another one there, or which say what is in force anyway. Yjs: `cleanupFormattingGap`.
 */
static int delete_idle_marks(struct text_cursor *cursor)
{
    const struct crdt_doc *doc = cursor->edit->doc;
    struct marks later = {0};
    uint32_t i = find_gap_end(cursor), first = cursor->at.right;
    int r = 0;

    for (; i != NIL && r == 0; i = i == first ? NIL : doc->items[i].left) {
        struct mark_value value;
        uint32_t key;
        bool is_idle;

        if (!is_live_mark(cursor, i))
            continue;
        key = item_name(doc, &doc->items[i]);
        value = value_of(doc, i);
        is_idle = marks_get(&later, key) != NULL;
        if (!is_idle)
            r = marks_are_identical(marks_get(&cursor->marks, key), &value, &is_idle);
        if (r == 0)
            r = set_mark(doc, &later, i);
        if (r == 0 && is_idle)
            r = delete_mark(cursor, i);
    }
    marks_done(&later);
    return r;
}

int text_cursor_delete(struct text_cursor *cursor, uint64_t len)
{
    struct place end = cursor->at;
    int r;

    if (len == 0)
        return 0;
    r = edit_delete_units(cursor->edit, &end, len);
    cursor->is_over_gap = true;
    cursor->gap_item = end.right;
    cursor->gap_offset = end.offset;
    if (r == 0 && cursor->edit->doc->types[cursor->edit->type].has_marks)
        r = delete_idle_marks(cursor);
    return r;
}

/* ---- inserting ---- */

static int insert_mark(struct text_cursor *cursor, const struct marks_entry *mark)
{
    const struct crdt_content content = {
        .bytes = mark->value.bytes,
        .key = mark->name,
        .value_is_any = mark->value.is_any,
    };

    return edit_insert(cursor->edit, &cursor->at, CRDT_REF_FORMAT, 1, &content);
}

static int insert_text(struct text_cursor *cursor, struct crdt_slice text, uint64_t units)
{
    const struct crdt_content content = {.bytes = text};

    return edit_insert(cursor->edit, &cursor->at, CRDT_REF_STRING, units, &content);
}

/* Passes what is deleted, and marks that set what `wanted` has for their keys. Yjs:
 * `minimizeAttributeChanges`. */
static int pass_equal_marks(struct text_cursor *cursor, const struct marks *wanted)
{
    const struct crdt_doc *doc = cursor->edit->doc;
    int r = 0;

    while (r == 0 && cursor->at.right != NIL && text_cursor_ahead(cursor) == 0) {
        uint32_t mark = text_cursor_mark(cursor);

        if (mark != NIL) {
            const struct mark_value value = value_of(doc, mark);
            bool is_equal = false;

            r = marks_are_equal(marks_get(wanted, item_name(doc, &doc->items[mark])), &value,
                                &is_equal);
            if (r < 0 || !is_equal)
                break;
        }
        r = text_cursor_pass(cursor);
    }
    return r;
}

int text_cursor_insert(struct text_cursor *cursor, struct crdt_slice text, uint64_t units)
{
    int r = pass_equal_marks(cursor, &cursor->marks);

    return r ? r : insert_text(cursor, text, units);
}

/* Inserts the marks that are not in force; `negated` gets what they replace. Yjs:
 * `insertAttributes`. */
static int insert_marks(struct text_cursor *cursor, const struct marks_entry *list, uint32_t count,
                        struct marks *negated)
{
    int r = 0;

    for (uint32_t i = 0; i < count && r == 0; i++) {
        const struct mark_value *current = marks_get(&cursor->marks, list[i].key);
        bool is_equal = false;

        r = marks_are_equal(current, &list[i].value, &is_equal);
        if (r < 0 || is_equal)
            continue;
        r = marks_set(negated, list[i].key, list[i].name, current ? *current : mark_null);
        if (r == 0)
            r = insert_mark(cursor, &list[i]);
    }
    return r;
}

/* Puts back in force what an insertion or a format has replaced. Yjs: `insertNegatedAttributes`. */
static int insert_negated(struct text_cursor *cursor, struct marks *negated)
{
    const struct crdt_doc *doc = cursor->edit->doc;
    struct marks_entry *list = NULL;
    uint32_t count = 0;
    int r = 0;

    while (r == 0 && cursor->at.right != NIL && text_cursor_ahead(cursor) == 0) {
        uint32_t mark = text_cursor_mark(cursor);

        if (mark != NIL) {
            const struct mark_value value = value_of(doc, mark);
            uint32_t key = item_name(doc, &doc->items[mark]);
            const struct mark_value *wanted = marks_get(negated, key);
            bool is_equal = false;

            if (wanted)
                r = marks_are_equal(wanted, &value, &is_equal);
            if (r < 0 || !is_equal)
                break;
            marks_unset(negated, key);
        }
        r = text_cursor_pass(cursor);
    }
    if (r == 0)
        r = marks_list(negated, &list, &count);
    for (uint32_t i = 0; i < count && r == 0; i++)
        r = insert_mark(cursor, &list[i]);
    free(list);
    return r;
}

static int compare_names(const void *a, const void *b)
{
    const struct marks_entry *x = a, *y = b;
    uint64_t i = crdt_member_index(x->name), j = crdt_member_index(y->name);

    if (i != j)
        return i < j ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* The attributes that text must name to have no others: those that are in force become null. In the
 * order of an object's members. */
static int complete(const struct text_cursor *cursor, struct marks *attributes,
                    struct marks_entry **ret_list, uint32_t *ret_count)
{
    struct marks_entry *current = NULL;
    uint32_t count = 0;
    int r = marks_list(&cursor->marks, &current, &count);

    for (uint32_t i = 0; i < count && r == 0; i++)
        if (!marks_get(attributes, current[i].key))
            r = marks_set(attributes, current[i].key, current[i].name, mark_null);
    free(current);
    if (r == 0)
        r = marks_list(attributes, ret_list, ret_count);
    if (r == 0)
        qsort(*ret_list, *ret_count, sizeof(**ret_list), compare_names);
    return r;
}

int text_cursor_insert_with(struct text_cursor *cursor, struct crdt_slice text, uint64_t units,
                            struct marks *attributes)
{
    struct marks negated = {0};
    struct marks_entry *list = NULL;
    uint32_t count = 0;
    int r = complete(cursor, attributes, &list, &count);

    if (r == 0)
        r = pass_equal_marks(cursor, attributes);
    if (r == 0)
        r = insert_marks(cursor, list, count, &negated);
    if (r == 0)
        r = insert_text(cursor, text, units);
    if (r == 0)
        r = insert_negated(cursor, &negated);
    free(list);
    marks_done(&negated);
    return r;
}

/* ---- formatting ---- */

/* Deletes the mark ahead if the format replaces it; false as `*ret_goes_on` at one behind the end
 * that differs. */
static int format_mark(struct text_cursor *cursor, uint32_t mark, bool is_inside,
                       const struct marks *attributes, struct marks *negated, bool *ret_goes_on)
{
    const struct crdt_doc *doc = cursor->edit->doc;
    uint32_t key = item_name(doc, &doc->items[mark]);
    const struct mark_value *wanted = marks_get(attributes, key), value = value_of(doc, mark);
    bool is_equal = false;
    int r;

    *ret_goes_on = true;
    if (!wanted)
        return 0;
    r = marks_are_equal(wanted, &value, &is_equal);
    if (r < 0)
        return r;
    *ret_goes_on = is_equal || is_inside;
    if (is_equal)
        marks_unset(negated, key);
    else if (is_inside)
        r = set_mark(doc, negated, mark);
    if (r == 0 && *ret_goes_on)
        r = delete_mark(cursor, mark);
    return r;
}

/* Yjs: `formatText`. Marks right behind the end are looked at as well, for one that takes the place
 * of a negated one. */
static int format_units(struct text_cursor *cursor, uint64_t len, const struct marks *attributes,
                        struct marks *negated)
{
    bool goes_on = true;
    int r = 0;

    while (r == 0 && cursor->at.right != NIL &&
           (len > 0 || (negated->set > 0 && text_cursor_ahead(cursor) == 0))) {
        uint32_t mark = text_cursor_mark(cursor), ahead = text_cursor_ahead(cursor);

        if (mark != NIL)
            r = format_mark(cursor, mark, len > 0, attributes, negated, &goes_on);
        if (r < 0 || !goes_on)
            break;
        if (ahead > len)
            return text_cursor_skip(cursor, len);
        len -= ahead;
        r = text_cursor_pass(cursor);
    }
    return r;
}

int text_cursor_format(struct text_cursor *cursor, uint64_t len, const struct marks *attributes)
{
    struct marks negated = {0};
    struct marks_entry *list = NULL;
    uint32_t count = 0;
    int r = marks_list(attributes, &list, &count);

    if (r == 0)
        r = pass_equal_marks(cursor, attributes);
    if (r == 0)
        r = insert_marks(cursor, list, count, &negated);
    if (r == 0)
        r = format_units(cursor, len, attributes, &negated);
    if (r == 0)
        r = insert_negated(cursor, &negated);
    free(list);
    marks_done(&negated);
    return r;
}
