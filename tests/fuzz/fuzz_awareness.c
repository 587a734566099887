/* An awareness update: reading ends, gives what the limits allow, and what was read can be written
 * and read again. */
#include "fuzz.h"

#include "crdt/awareness_update.h"

static const struct crdt_awareness_limits limits = {
    .clock = UINT32_MAX,
    .states = 64,
    .state_bytes = 1024,
    .nesting = 32,
};

/* Reads an update into another one. The count of its states, or -errno. */
static int copy_update(struct crdt_slice update, const struct crdt_awareness_limits *bounds,
                       struct crdt_buf *out)
{
    struct crdt_awareness_reader r;
    struct crdt_awareness_state state;
    struct crdt_buf states = {0};
    int count = 0;
    int rc = crdt_awareness_reader_init(&r, update, bounds);
    while (rc >= 0 && (rc = crdt_awareness_reader_next(&r, &state)) > 0) {
        CHECK(!bounds || (state.clock <= bounds->clock && state.json.len <= bounds->state_bytes));
        CHECK(lib0_utf8_is_valid(state.json.data, state.json.len));
        crdt_awareness_write_state(&states, &state);
        count++;
    }
    if (rc == 0) {
        crdt_awareness_write_count(out, (uint64_t)count);
        lib0_write_bytes(out, states.data, states.len);
    }
    crdt_buf_done(&states);
    return rc < 0 ? rc : count;
}

static void check_update(struct crdt_slice update, const struct crdt_awareness_limits *bounds)
{
    struct crdt_buf copy = {0}, again = {0};
    int count = copy_update(update, bounds, &copy);
    int rc = crdt_awareness_validate(update, bounds);
    CHECK(count < 0 ? rc == count : rc == 0);
    if (count < 0) {
        check_refusal(count);
    } else {
        CHECK(!bounds || (unsigned)count <= bounds->states);
        CHECK(copy_update(slice_of_buf(&copy), bounds, &again) == count);
        CHECK(is_equal(&copy, &again));
    }
    crdt_buf_done(&copy);
    crdt_buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice update = {data, size};
    check_update(update, NULL);
    check_update(update, &limits);
    return 0;
}
