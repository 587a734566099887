/*
 * Input: operations of the lens `ops`, one a line. Each is refused without a trace, or is an update
 * that the document takes or refuses; what is said of it, and of the whole, is JSON.
 */
#include "roomd/lens.h"

#include "fuzz.h"

#include <jansson.h>

#define MAX_OPS 32

static void check_json(const uint8_t *data, size_t len)
{
    json_t *value = json_loadb((const char *)data, len, JSON_ALLOW_NUL, NULL);
    CHECK(value);
    json_decref(value);
}

static void check_lines(const struct crdt_buf *lines)
{
    size_t start = 0;
    while (start < lines->len) {
        const uint8_t *end = memchr(lines->data + start, '\n', lines->len - start);
        CHECK(end);
        check_json(lines->data + start, (size_t)(end - lines->data) - start);
        start = (size_t)(end - lines->data) + 1;
    }
}

static void run_op(struct crdt_doc *doc, struct slice op)
{
    struct crdt_buf update = {0}, change = {0};
    int rc = lens_ops.edit(doc, op, &update);
    if (rc < 0) {
        check_refusal(rc);
        CHECK(update.len == 0);
    } else {
        CHECK(crdt_update_validate(CRDT_V1, update.data, update.len, NULL) == 0);
        rc = lens_ops.apply(doc, slice_of(update.data, update.len), NULL, &change);
        if (rc < 0)
            check_refusal(rc);
        check_lines(&change);
    }
    crdt_buf_done(&update);
    crdt_buf_done(&change);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_doc *doc = new_doc();
    struct crdt_buf state = {0};
    struct crdt_slice rest = {data, size}, op;
    for (int i = 0; i < MAX_OPS && rest.len > 0; i++) {
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        take_copy(&rest, end ? (size_t)(end - rest.data) : rest.len, &op);
        run_op(doc, slice_of(op.data, op.len));
        free_slice(&op);
        if (rest.len > 0) /* the newline */
            rest = (struct crdt_slice){rest.data + 1, rest.len - 1};
    }
    CHECK(lens_ops.view(doc, &state) == 0);
    check_json(state.data, state.len);
    crdt_buf_done(&state);
    crdt_doc_free(doc);
    return 0;
}
