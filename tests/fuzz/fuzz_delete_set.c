/* A document (a v1 update, the first part) gets deletions only: the rest of the input after its
 * first byte, the format, as a delete set. Structs never become more by that, and it does not
 * matter whether the deletions come before or after them. */
#include "fuzz.h"

#include "crdt/delete_set.h"

/* The beginning of an update without structs. */
static const uint8_t head_v1[] = {0};
static const uint8_t head_v2[] = {0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};

static void build_update(enum crdt_format format, struct crdt_slice deletes, struct crdt_buf *out)
{
    if (format == CRDT_V1)
        lib0_write_bytes(out, head_v1, sizeof(head_v1));
    else
        lib0_write_bytes(out, head_v2, sizeof(head_v2));
    lib0_write_bytes(out, deletes.data, deletes.len);
    CHECK(out->error == 0);
}

/* Read, put in order and written again, a set stays the same set. */
static void check_order(enum crdt_format format, const struct crdt_buf *update)
{
    struct crdt_delete_set set = {0};
    struct crdt_reader *r = NULL;
    struct crdt_struct s;
    CHECK(crdt_reader_new(format, update->data, update->len, &fuzz_limits, &r) == 0);
    CHECK(crdt_reader_struct(r, &s) == 0);
    CHECK(crdt_delete_set_read(&set, r) == 0);
    crdt_delete_set_normalise(&set);
    CHECK(crdt_delete_set_is_ordered(&set));
    size_t len = set.len;
    crdt_delete_set_normalise(&set);
    CHECK(set.len == len);
    crdt_delete_set_done(&set);
    crdt_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, structs;
    struct crdt_buf deletes = {0};
    struct crdt_doc *after = new_doc(), *before = new_doc();
    take_part(&rest, &structs);
    enum crdt_format format = take_format(&rest);
    build_update(format, rest, &deletes);

    int first = crdt_doc_apply(before, format, deletes.data, deletes.len, NULL);
    if (first < 0)
        check_refusal(first);
    else
        check_order(format, &deletes);
    if (crdt_doc_apply(after, CRDT_V1, structs.data, structs.len, NULL) == 0 && first == 0 &&
        crdt_doc_apply(after, format, deletes.data, deletes.len, NULL) == 0 &&
        crdt_doc_apply(before, CRDT_V1, structs.data, structs.len, NULL) == 0 &&
        is_sound(CRDT_V1, structs))
        check_same(before, after, CRDT_V1);

    crdt_doc_free(before);
    crdt_doc_free(after);
    crdt_buf_done(&deletes);
    free_slice(&structs);
    return 0;
}
