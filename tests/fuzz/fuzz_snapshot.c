/* Input: the format, an update, and a snapshot. The snapshot can be written and read again; the
 * update's version is an update whose document has that version, if it is a version of it at all;
 * and the version that the update's document is in gives that document. */
#include "fuzz.h"

static struct crdt_snapshot *copy_snapshot(const struct crdt_snapshot *snapshot,
                                           enum crdt_format format, struct crdt_buf *ret_bytes)
{
    struct crdt_snapshot *copy;
    ret_bytes->len = 0;
    CHECK(crdt_snapshot_encode(snapshot, format, ret_bytes) == 0);
    CHECK(crdt_snapshot_decode(format, slice_of_buf(ret_bytes), &fuzz_limits, &copy) == 0);
    return copy;
}

/* Through the other format and back it is the same. */
static void check_copies(const struct crdt_snapshot *snapshot)
{
    struct crdt_buf v1 = {0}, v2 = {0}, again = {0};
    struct crdt_snapshot *first = copy_snapshot(snapshot, CRDT_V1, &v1);
    struct crdt_snapshot *second = copy_snapshot(first, CRDT_V2, &v2);
    struct crdt_snapshot *third = copy_snapshot(second, CRDT_V1, &again);
    CHECK(is_equal(&v1, &again));
    crdt_snapshot_free(first);
    crdt_snapshot_free(second);
    crdt_snapshot_free(third);
    crdt_buf_done(&v1);
    crdt_buf_done(&v2);
    crdt_buf_done(&again);
}

static void check_version(enum crdt_format format, struct crdt_slice update,
                          const struct crdt_snapshot *snapshot)
{
    struct crdt_buf out = {0};
    int rc = crdt_update_at_snapshot(format, update, snapshot, &fuzz_limits, &out);
    if (rc < 0) {
        CHECK(rc == -EBADMSG || rc == -E2BIG || rc == -ERANGE || rc == -ESTALE);
        CHECK(out.len == 0);
    } else {
        CHECK(crdt_update_validate(format, out.data, out.len, &fuzz_limits) == 0);
    }
    crdt_buf_done(&out);
}

/* `doc` was made of one update, and nothing in it waits. */
static void check_present(const struct crdt_doc *doc, enum crdt_format format)
{
    struct crdt_snapshot *now;
    struct crdt_buf update = {0};
    CHECK(crdt_doc_snapshot(doc, &now) == 0);
    check_copies(now);
    int rc = crdt_doc_at_snapshot(doc, format, now, &update);
    CHECK(rc == 0 || rc == -E2BIG);
    if (rc == 0) {
        struct crdt_doc *copy = load_doc(format, &update);
        check_same(copy, doc, format);
        crdt_doc_free(copy);
    }
    crdt_snapshot_free(now);
    crdt_buf_done(&update);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, update, bytes;
    struct crdt_snapshot *snapshot = NULL;
    struct crdt_doc *doc = new_doc();
    enum crdt_format format = take_format(&rest);
    take_part(&rest, &update);
    take_copy(&rest, rest.len, &bytes);
    int rc = crdt_snapshot_decode(format, bytes, &fuzz_limits, &snapshot);
    if (rc < 0) {
        check_refusal(rc);
    } else {
        check_copies(snapshot);
        check_version(format, update, snapshot);
    }
    if (crdt_doc_apply(doc, format, update.data, update.len, NULL) == 0 &&
        !crdt_doc_has_pending(doc) && is_sound(format, update))
        check_present(doc, format);
    crdt_snapshot_free(snapshot);
    crdt_doc_free(doc);
    free_slice(&update);
    free_slice(&bytes);
    return 0;
}
