/* The roots of a document, and what each of them looks like. */
#include "doc_read.h"

static bool is_xml(const struct crdt_doc *doc, const struct item *item)
{
    switch (doc->types[item->content].type_ref) {
    case CRDT_TYPE_XML_ELEMENT:
    case CRDT_TYPE_XML_FRAGMENT:
    case CRDT_TYPE_XML_HOOK:
    case CRDT_TYPE_XML_TEXT:
        return true;
    }
    return false;
}

/* By what a reader sees in the list; marks alone make no text. */
static enum crdt_kind kind_of_list(const struct crdt_doc *doc, uint32_t type)
{
    bool has_text = false, has_marks = false, has_xml = false, has_types = false;

    for (uint32_t i = doc->types[type].start; i != NIL; i = doc->items[i].right) {
        const struct item *item = &doc->items[i];

        if (item_is_deleted(item) || item->len == 0)
            continue;
        has_text |= item->ref == CRDT_REF_STRING;
        has_marks |= item->ref == CRDT_REF_FORMAT || item->ref == CRDT_REF_EMBED;
        has_types |= item->ref == CRDT_REF_TYPE;
        has_xml |= item->ref == CRDT_REF_TYPE && is_xml(doc, item);
    }
    if (has_text || has_marks)
        return has_marks || has_types ? CRDT_KIND_DELTA : CRDT_KIND_TEXT;
    return has_xml ? CRDT_KIND_XML : CRDT_KIND_ARRAY;
}

static uint64_t count_keys(const struct crdt_doc *doc, uint32_t type)
{
    uint64_t count = 0;

    for (uint32_t e = doc->types[type].first_entry; e != NIL; e = doc->entries[e].next)
        count += entry_is_read(doc, &doc->entries[e]);
    return count;
}

void crdt_doc_roots(const struct crdt_doc *doc, crdt_root_fn fn, void *ctx)
{
    for (uint32_t e = 0; e < doc->entry_count; e++) {
        if (doc->entries[e].type != NIL)
            continue;
        uint32_t type = doc->entries[e].head;
        struct crdt_root root = {.name = name_slice(doc, doc->entries[e].key),
                                 .length = doc->types[type].len,
                                 .keys = count_keys(doc, type)};

        root.kind = root.length > 0 ? kind_of_list(doc, type) : CRDT_KIND_MAP;
        fn(ctx, &root);
    }
}
