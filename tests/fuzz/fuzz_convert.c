/* A v1 update becomes v2 and v1 again; and the same the other way round. */
#include "fuzz.h"

static enum crdt_format other(enum crdt_format format)
{
    return format == CRDT_V1 ? CRDT_V2 : CRDT_V1;
}

/* The first two conversions may lose what only one of the formats has (`undefined`, BigInts, NaN,
 * ranges out of order); those after them nothing any more. */
static void check_round_trip(enum crdt_format from, const uint8_t *data, size_t size)
{
    struct crdt_buf bufs[4] = {0};
    enum crdt_format format = from;
    struct crdt_slice update = {data, size};
    int verdict = crdt_update_validate(from, data, size, &fuzz_limits);
    int rc = 0;
    for (size_t i = 0; i < 4 && rc == 0; i++) {
        rc = crdt_update_convert(format, update, other(format), &fuzz_limits, &bufs[i]);
        if (verdict < 0)
            CHECK(rc == verdict);
        else
            CHECK(rc == 0 || rc == -E2BIG);
        format = other(format);
        update = slice_of_buf(&bufs[i]);
    }
    if (rc == 0)
        CHECK(is_equal(&bufs[1], &bufs[3]));
    for (size_t i = 0; i < 4; i++)
        crdt_buf_done(&bufs[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size};
    enum crdt_format format = take_format(&rest);
    check_round_trip(format, rest.data, rest.len);
    return 0;
}
