/*
 * text_cursor: the way through a text that an edit of it takes, from its start to its end, with the
 * marks in force. What the edit has deleted counts as deleted already. Yjs: `ItemTextListPosition`
 * in `YText.js`.
 */
#pragma once

#include "doc_edit.h"
#include "marks.h"

/* Zero-initialise. */
struct text_cursor {
    struct edit *edit;
    struct place at;
    struct marks marks; /* in force here */
    /* While `is_over_gap`, all visible units up to the unit `gap_offset` of `gap_item` go. */
    bool is_over_gap;
    uint32_t gap_item;
    uint32_t gap_offset;
    struct table gone; /* marks, by item, which go although the cursor has not passed them yet */
};

/* Puts the cursor right behind the unit before `index`; inside of a surrogate pair at its start,
 * `*ret_moved` units before. -ERANGE, -ENOMEM. */
CRDT_WARN_UNUSED int text_cursor_init(struct text_cursor *cursor, struct edit *edit, uint64_t index,
                                      uint32_t *ret_moved);
void text_cursor_done(struct text_cursor *cursor);

/* The visible units between the cursor and the end of the item that it is in front of. */
uint32_t text_cursor_ahead(const struct text_cursor *cursor);
/* The item that the cursor is in front of, if it is a mark that stays; else NIL. */
uint32_t text_cursor_mark(const struct text_cursor *cursor);
/* Passes the item ahead, or what is left of a gap in it. There is one. */
CRDT_WARN_UNUSED int text_cursor_pass(struct text_cursor *cursor);
/* Moves behind the next `len` visible units, of which there are so many. */
CRDT_WARN_UNUSED int text_cursor_skip(struct text_cursor *cursor, uint64_t len);

/* Deletes the next `len` visible units, and the marks next to them that are of no use then. The
 * cursor stays. */
CRDT_WARN_UNUSED int text_cursor_delete(struct text_cursor *cursor, uint64_t len);
/* Inserts text with the marks in force. The cursor is behind it then. */
CRDT_WARN_UNUSED int text_cursor_insert(struct text_cursor *cursor, struct crdt_slice text,
                                        uint64_t units);
/* The same for other marks: `attributes` by key, in the order of the object's members. */
CRDT_WARN_UNUSED int text_cursor_insert_with(struct text_cursor *cursor, struct crdt_slice text,
                                             uint64_t units, struct marks *attributes);
/* Sets marks for the next `len` visible units, which are not 0. */
CRDT_WARN_UNUSED int text_cursor_format(struct text_cursor *cursor, uint64_t len,
                                        const struct marks *attributes);
