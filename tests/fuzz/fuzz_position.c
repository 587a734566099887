/* Input: a document as a v1 update, and a relative position. Resolving it ends; and the position of
 * any index of a root text resolves to that index. */
#include "fuzz.h"

static void check_indices(const struct crdt_doc *doc)
{
    struct crdt_relative_position position;
    struct crdt_absolute_position at;
    struct crdt_buf bytes = {0};
    for (uint64_t index = 0; index < 20; index++) {
        for (int64_t assoc = -1; assoc <= 1; assoc++) {
            crdt_doc_position_at(doc, "t", 1, index, assoc, &position);
            bytes.len = 0;
            CHECK(crdt_relative_position_encode(&position, &bytes) == 0);
            CHECK(crdt_relative_position_decode(slice_of_buf(&bytes), &position) == 0);
            CHECK(crdt_doc_position_resolve(doc, &position, &at) == 0);
            CHECK(at.is_root && at.root.len == 1 && at.root.data[0] == 't');
            CHECK(at.index <= index);
        }
    }
    crdt_buf_done(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, update, bytes;
    struct crdt_relative_position position;
    struct crdt_absolute_position at;
    struct crdt_buf again = {0};
    struct crdt_doc *doc = new_doc();
    take_part(&rest, &update);
    take_copy(&rest, rest.len, &bytes);
    bool has_doc = crdt_doc_apply(doc, CRDT_V1, update.data, update.len, NULL) == 0;
    int rc = crdt_relative_position_decode(bytes, &position);
    if (rc == 0) {
        CHECK(crdt_relative_position_encode(&position, &again) == 0);
        rc = crdt_doc_position_resolve(doc, &position, &at);
        CHECK(rc == 0 || rc == -ENOENT);
    } else {
        CHECK(rc == -EBADMSG);
    }
    if (has_doc && is_sound(CRDT_V1, update))
        check_indices(doc);
    crdt_doc_free(doc);
    crdt_buf_done(&again);
    free_slice(&update);
    free_slice(&bytes);
    return 0;
}
