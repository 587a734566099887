/* Edits of arrays. Yjs: `typeListInsertGenerics`, `typeListPushGenerics` and `typeListDelete` in
 * `AbstractType.js`. */
#include <errno.h>

#include "any.h"
#include "doc_edit.h"

/* Inserts the elements of a JSON array. */
static int insert_values(struct edit *edit, struct place *place, struct crdt_slice json)
{
    struct crdt_buf any = {0};
    struct crdt_content content = {0};
    struct lib0_reader reader;
    uint64_t count = 0;
    int r = edit_parse_json(json, edit->doc->limits.nesting + 1, &any);

    lib0_reader_init(&reader, any.data, any.len);
    if (r == 0 && lib0_read_u8(&reader) != CRDT_ANY_ARRAY)
        r = -EINVAL;
    if (r == 0)
        count = lib0_read_uint(&reader);
    content.bytes = (struct crdt_slice){reader.pos, lib0_remaining(&reader)};
    edit->is_single = true;
    if (r == 0 && count > 0)
        r = edit_insert(edit, place, CRDT_REF_ANY, count, &content);
    crdt_buf_done(&any);
    return r;
}

/* Inserts at `index`; or, for a push, at the end of the list. */
static int insert(struct crdt_doc *doc, uint64_t client, const struct crdt_path *path,
                  uint64_t index, bool is_push, struct crdt_slice json, struct crdt_buf *out)
{
    struct place place;
    struct edit edit;
    uint32_t moved;
    int r = edit_begin(&edit, doc, client, path, EDIT_ARRAY);

    if (r == 0)
        r = edit_find(&edit, is_push ? edit_list_len(&edit) : index, &place, &moved);
    while (r == 0 && is_push && place.right != NIL)
        place_pass(doc, &place);
    if (r == 0)
        r = insert_values(&edit, &place, json);
    return r ? r : edit_finish(&edit, out);
}

int crdt_array_insert(struct crdt_doc *doc, uint64_t client, struct crdt_path path, uint64_t index,
                      struct crdt_slice json, struct crdt_buf *out)
{
    return insert(doc, client, &path, index, false, json, out);
}

int crdt_array_push(struct crdt_doc *doc, uint64_t client, struct crdt_path path,
                    struct crdt_slice json, struct crdt_buf *out)
{
    return insert(doc, client, &path, 0, true, json, out);
}

int crdt_array_delete(struct crdt_doc *doc, struct crdt_path path, uint64_t index, uint64_t len,
                      struct crdt_buf *out)
{
    struct place place = {.right = NIL};
    struct edit edit;
    uint32_t moved;
    uint64_t total;
    int r = edit_begin(&edit, doc, 0, &path, EDIT_ARRAY);

    total = r == 0 ? edit_list_len(&edit) : 0;
    if (r == 0 && (index > total || len > total - index))
        r = -ERANGE;
    if (r == 0)
        r = edit_find(&edit, index, &place, &moved);
    if (r == 0)
        r = edit_delete_units(&edit, &place, len > 0 ? len + moved : 0);
    return r ? r : edit_finish(&edit, out);
}
