/*
 * Input: the format, then updates, each with its length. A document has an update if applying it
 * changes nothing, and asking leaves no trace.
 */
#include "fuzz.h"

#define MAX_UPDATES 12

static void check_update(struct crdt_doc *doc, enum crdt_format format, struct crdt_slice update)
{
    struct crdt_buf before = {0}, after = {0};
    struct crdt_applied applied = {0};
    bool has = false;
    bool is_seen = encode_doc(doc, CRDT_V1, &before);
    int verdict = crdt_doc_has(doc, format, update.data, update.len, &has);
    if (is_seen)
        CHECK(encode_doc(doc, CRDT_V1, &after) && is_equal(&before, &after));
    int rc = crdt_doc_apply(doc, format, update.data, update.len, &applied);
    if (verdict < 0)
        CHECK(rc == verdict);
    else if (rc < 0)
        CHECK(rc == -E2BIG && !has);
    else
        CHECK(has == !applied.has_changed);
    crdt_buf_done(&before);
    crdt_buf_done(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, updates[MAX_UPDATES];
    enum crdt_format format = take_format(&rest);
    struct crdt_doc *doc = new_doc();
    size_t count = 0;
    while (rest.len > 0 && count < MAX_UPDATES)
        take_part(&rest, &updates[count++]);
    for (size_t round = 0; round < 2; round++)
        for (size_t i = 0; i < count; i++)
            check_update(doc, format, updates[i]);
    for (size_t i = 0; i < count; i++)
        free_slice(&updates[i]);
    crdt_doc_free(doc);
    return 0;
}
