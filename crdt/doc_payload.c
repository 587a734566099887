#include "doc.h"

#include <string.h>

#include "any.h"

size_t values_offset(enum crdt_ref ref, struct crdt_slice bytes, uint32_t unit)
{
    struct lib0_reader r;

    lib0_reader_init(&r, bytes.data, bytes.len);
    while (unit-- > 0) {
        if (ref == CRDT_REF_JSON) {
            lib0_read_slice(&r);
        } else {
            int checked = crdt_any_skip(&r, CRDT_ANY_MAX_NESTING);

            assert(checked == 0); /* the reader of the update has read it */
            (void)checked;
        }
    }
    return bytes.len - lib0_remaining(&r);
}

uint32_t item_name(const struct crdt_doc *doc, const struct item *item)
{
    uint32_t name;

    memcpy(&name, doc->payload + item->content, sizeof(name));
    return name;
}

struct crdt_slice item_bytes(const struct crdt_doc *doc, const struct item *item)
{
    switch ((enum crdt_ref)item->ref) {
    case CRDT_REF_STRING:
        return (struct crdt_slice){doc->text + item->content, item->content_len};
    case CRDT_REF_FORMAT:
    case CRDT_REF_DOC:
        return (struct crdt_slice){doc->payload + item->content + sizeof(uint32_t),
                                   item->content_len - sizeof(uint32_t)};
    case CRDT_REF_JSON:
    case CRDT_REF_BINARY:
    case CRDT_REF_EMBED:
    case CRDT_REF_ANY:
        return (struct crdt_slice){doc->payload + item->content, item->content_len};
    case CRDT_REF_GC:
    case CRDT_REF_DELETED:
    case CRDT_REF_TYPE:
    case CRDT_REF_SKIP:
        break;
    }
    return (struct crdt_slice){NULL, 0};
}
