/* Edits of maps. Yjs: `typeMapSet` and `typeMapDelete` in `AbstractType.js`. */
#include <errno.h>

#include "doc_edit.h"

/* Deletes the value of a key, if there is one. */
static int delete_value(struct edit *edit, struct crdt_slice key)
{
    const struct crdt_doc *doc = edit->doc;
    uint32_t value = edit_value(edit, key);

    if (value == NIL || item_is_deleted(&doc->items[value]))
        return 0;
    return edit_delete(edit, value, 0, doc->items[value].len);
}

int crdt_map_set(struct crdt_doc *doc, uint64_t client, struct crdt_path path,
                 struct crdt_slice key, struct crdt_slice json, struct crdt_buf *out)
{
    struct crdt_buf value = {0};
    struct edit edit;
    int r = edit_begin(&edit, doc, client, &path, EDIT_MAP);

    if (r == 0 && !lib0_utf8_is_valid(key.data, key.len))
        r = -EINVAL;
    if (r == 0)
        r = edit_parse_json(json, doc->limits.nesting, &value);
    if (r == 0)
        r = edit_set(&edit, key, (struct crdt_slice){value.data, value.len});
    if (r == 0)
        r = delete_value(&edit, key);
    if (r == 0)
        r = edit_finish(&edit, out);
    crdt_buf_done(&value);
    return r;
}

int crdt_map_delete(struct crdt_doc *doc, struct crdt_path path, struct crdt_slice key,
                    struct crdt_buf *out)
{
    struct edit edit;
    int r = edit_begin(&edit, doc, 0, &path, EDIT_MAP);

    if (r == 0 && !lib0_utf8_is_valid(key.data, key.len))
        r = -EINVAL;
    if (r == 0)
        r = delete_value(&edit, key);
    return r ? r : edit_finish(&edit, out);
}
