/* The input is one `any`, and it is JSON. Both ways between the two must hold: what is printed is
 * JSON that parses, and printing what was parsed gives the same JSON again. */
#include "fuzz.h"

#include "crdt/any.h"

static void check_any(const uint8_t *data, size_t size)
{
    uint32_t nesting = fuzz_limits.nesting + 1; /* of JSON, where bytes are an object */
    struct lib0_reader skipped, printed;
    struct crdt_buf json = {0}, any = {0}, again = {0};
    lib0_reader_init(&skipped, data, size);
    lib0_reader_init(&printed, data, size);
    int verdict = crdt_any_skip(&skipped, fuzz_limits.nesting);
    int rc = crdt_any_to_json(&printed, fuzz_limits.nesting, &json);
    CHECK(rc == verdict);
    if (rc < 0) {
        check_refusal(rc);
    } else if (json.len > 0) {
        CHECK(lib0_remaining(&skipped) == lib0_remaining(&printed));
        CHECK(lib0_utf8_is_valid(json.data, json.len));
        CHECK(crdt_json_validate(json.data, json.len, nesting) == 0);
        CHECK(crdt_json_to_any(json.data, json.len, nesting, &any) == 0);
        lib0_reader_init(&printed, any.data, any.len);
        CHECK(crdt_any_to_json(&printed, nesting, &again) == 0);
        CHECK(lib0_remaining(&printed) == 0);
    }
    crdt_buf_done(&json);
    crdt_buf_done(&any);
    crdt_buf_done(&again);
}

static void check_json(const uint8_t *data, size_t size)
{
    struct crdt_buf any = {0}, json = {0}, any_again = {0}, json_again = {0};
    struct lib0_reader r;
    if (!lib0_utf8_is_valid(data, size))
        return; /* which the parser may rely on */
    int verdict = crdt_json_validate(data, size, fuzz_limits.nesting);
    int rc = crdt_json_to_any(data, size, fuzz_limits.nesting, &any);
    CHECK(rc == verdict);
    if (rc == 0) {
        lib0_reader_init(&r, any.data, any.len);
        CHECK(crdt_any_to_json(&r, fuzz_limits.nesting, &json) == 0);
        CHECK(lib0_remaining(&r) == 0);
        CHECK(crdt_json_to_any(json.data, json.len, fuzz_limits.nesting, &any_again) == 0);
        lib0_reader_init(&r, any_again.data, any_again.len);
        CHECK(crdt_any_to_json(&r, fuzz_limits.nesting, &json_again) == 0);
        CHECK(is_equal(&json, &json_again));
    } else {
        check_refusal(rc);
    }
    crdt_buf_done(&any);
    crdt_buf_done(&json);
    crdt_buf_done(&any_again);
    crdt_buf_done(&json_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_any(data, size);
    check_json(data, size);
    return 0;
}
