/* A document (the first part: a v1 update) is asked for what a hostile state vector lacks. Whatever
 * it answers must be an update that adds nothing to the document itself. */
#include "fuzz.h"

static void encode_against(struct crdt_doc *doc, struct crdt_slice sv, enum crdt_format format,
                           bool is_exact)
{
    struct crdt_buf update = {0}, before = {0}, after = {0};
    int rc = crdt_doc_encode(doc, format, sv.data, sv.len, &update);
    if (rc < 0) {
        check_refusal(rc);
        CHECK(update.len == 0);
    } else if (is_exact && encode_doc(doc, format, &before)) {
        CHECK(crdt_doc_apply(doc, format, update.data, update.len, NULL) == 0);
        CHECK(encode_doc(doc, format, &after));
        CHECK(is_equal(&before, &after));
    }
    crdt_buf_done(&update);
    crdt_buf_done(&before);
    crdt_buf_done(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, update, sv;
    struct crdt_doc *doc = new_doc();
    take_part(&rest, &update);
    take_copy(&rest, rest.len, &sv);
    if (crdt_doc_apply(doc, CRDT_V1, update.data, update.len, NULL) == 0) {
        bool is_exact = !has_empty_struct(CRDT_V1, update.data, update.len);
        encode_against(doc, sv, CRDT_V1, is_exact);
        encode_against(doc, sv, CRDT_V2, is_exact);
    }
    crdt_doc_free(doc);
    free_slice(&update);
    free_slice(&sv);
    return 0;
}
