#include "awareness_update.h"

#include <errno.h>
#include <string.h>

#include "any.h"

#define STATE_BYTES_MIN 3 /* a client, a clock, and the length of the JSON */

static const char gone[] = "null";

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Does JSON.parse() make null of it? */
static bool is_null(struct crdt_slice json)
{
    while (json.len > 0 && is_space(json.data[json.len - 1]))
        json.len--;
    while (json.len > 0 && is_space(json.data[0]))
        json = (struct crdt_slice){json.data + 1, json.len - 1};
    return json.len == sizeof(gone) - 1 && memcmp(json.data, gone, json.len) == 0;
}

int crdt_awareness_reader_init(struct crdt_awareness_reader *r, struct crdt_slice update,
                               const struct crdt_awareness_limits *limits)
{
    *r = (struct crdt_awareness_reader){0};
    if (limits)
        r->limits = *limits;
    if (r->limits.clock == 0)
        r->limits.clock = CRDT_MAX_CLIENT;
    lib0_reader_init(&r->in, update.data, update.len);
    r->left = lib0_read_uint(&r->in);
    if (r->in.has_failed)
        return -EBADMSG;
    if (r->limits.states > 0 && r->left > r->limits.states)
        return -E2BIG;
    return r->left > lib0_remaining(&r->in) / STATE_BYTES_MIN ? -EBADMSG : 0;
}

int crdt_awareness_reader_next(struct crdt_awareness_reader *r,
                               struct crdt_awareness_state *ret_state)
{
    struct crdt_awareness_state state = {0};
    if (r->left == 0)
        return lib0_remaining(&r->in) > 0 || r->in.has_failed ? -EBADMSG : 0;
    state.client = lib0_read_uint(&r->in);
    state.clock = lib0_read_uint(&r->in);
    state.json = lib0_read_string(&r->in);
    if (r->in.has_failed)
        return -EBADMSG;
    if (state.clock > r->limits.clock ||
        (r->limits.state_bytes > 0 && state.json.len > r->limits.state_bytes))
        return -E2BIG;
    if (r->limits.nesting > 0) {
        int rc = crdt_json_validate(state.json.data, state.json.len, r->limits.nesting);
        if (rc < 0)
            return rc;
    }
    state.is_gone = is_null(state.json);
    r->left--;
    *ret_state = state;
    return 1;
}

int crdt_awareness_validate(struct crdt_slice update, const struct crdt_awareness_limits *limits)
{
    struct crdt_awareness_reader r;
    struct crdt_awareness_state state;
    int rc = crdt_awareness_reader_init(&r, update, limits);
    if (rc < 0)
        return rc;
    do
        rc = crdt_awareness_reader_next(&r, &state);
    while (rc > 0);
    return rc;
}

void crdt_awareness_write_count(struct crdt_buf *out, uint64_t count)
{
    lib0_write_uint(out, count);
}

void crdt_awareness_write_state(struct crdt_buf *out, const struct crdt_awareness_state *state)
{
    lib0_write_uint(out, state->client);
    lib0_write_uint(out, state->clock);
    if (state->is_gone)
        lib0_write_slice(out, gone, sizeof(gone) - 1);
    else
        lib0_write_slice(out, state->json.data, state->json.len);
}
