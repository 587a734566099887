/* Input: the format, a state vector, and two updates. A replica has the first; another has both and
 * is diffed against the first one's state vector. With the difference the two must be the same. And
 * each update is diffed against the state vector of the input, whatever that is. */
#include "fuzz.h"

static void diff_hostile(enum crdt_format format, struct crdt_slice update, struct crdt_slice sv)
{
    struct crdt_buf diff = {0}, again = {0}, third = {0};
    int rc = crdt_update_diff(format, update, sv, &fuzz_limits, &diff);
    if (rc < 0) {
        check_refusal(rc);
        CHECK(diff.len == 0);
    } else {
        CHECK(crdt_update_validate(format, diff.data, diff.len, &fuzz_limits) == 0);
        CHECK(crdt_update_diff(format, slice_of_buf(&diff), sv, &fuzz_limits, &again) == 0);
        /* The first may cut a struct off its key, whose flag the second then leaves out. */
        CHECK(crdt_update_diff(format, slice_of_buf(&again), sv, &fuzz_limits, &third) == 0);
        CHECK(is_equal(&again, &third));
    }
    crdt_buf_done(&diff);
    crdt_buf_done(&again);
    crdt_buf_done(&third);
}

/* `ahead` is what `behind` is with one update more. */
static void check_difference(struct crdt_doc *behind, const struct crdt_doc *ahead,
                             enum crdt_format format)
{
    struct crdt_buf sv = {0}, whole = {0}, diff = {0};
    CHECK(crdt_doc_state_vector(behind, &sv) == 0);
    if (encode_doc(ahead, format, &whole) &&
        crdt_update_diff(format, slice_of_buf(&whole), slice_of_buf(&sv), &fuzz_limits, &diff) ==
            0) {
        CHECK(crdt_doc_apply(behind, format, diff.data, diff.len, NULL) == 0);
        check_same(behind, ahead, format);
    }
    crdt_buf_done(&sv);
    crdt_buf_done(&whole);
    crdt_buf_done(&diff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, sv, first, second;
    enum crdt_format format = take_format(&rest);
    struct crdt_doc *behind = new_doc(), *ahead = new_doc();
    take_part(&rest, &sv);
    take_part(&rest, &first);
    take_copy(&rest, rest.len, &second);

    diff_hostile(format, first, sv);
    diff_hostile(format, second, sv);
    if (crdt_doc_apply(behind, format, first.data, first.len, NULL) == 0 &&
        crdt_doc_apply(ahead, format, first.data, first.len, NULL) == 0 &&
        crdt_doc_apply(ahead, format, second.data, second.len, NULL) == 0 &&
        !crdt_doc_has_pending(behind) && !crdt_doc_has_pending(ahead) && is_sound(format, first) &&
        is_sound(format, second))
        check_difference(behind, ahead, format);

    crdt_doc_free(behind);
    crdt_doc_free(ahead);
    free_slice(&sv);
    free_slice(&first);
    free_slice(&second);
    return 0;
}
