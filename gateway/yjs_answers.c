#include "gateway/yjs_answers.h"

#include "gateway/room_state.h"
#include "gateway/session.h"
#include "proto/refusal.h"

/* How a message begins of which a body of `len` bytes follows. */
typedef struct blob *(*begin_fn)(enum yproto_kind kind, size_t len);

static void add_message(struct answer *a, begin_fn begin, enum yproto_kind kind, struct blob *body)
{
    answer_add_new(a, begin(kind, body->len));
    answer_add_rest(a, body);
}

/* What a client lacks, and our own question. Step 2 is what clients take for the end of the
 * synchronisation, so the tail comes before it: it waits in the client until it has what is before.
 * `asks_first`: providers that count their answer to the question are asked before they are told
 * that they are in step. */
static int encode_state(struct room_state *state, struct slice sv, begin_fn begin, bool asks_first,
                        struct answer **ret)
{
    bool is_whole = room_state_is_nothing(sv);
    struct blob *difference = NULL;
    int r = is_whole ? 0 : room_state_diff(state, sv, &difference);

    if (r < 0)
        return r;
    struct answer *a = answer_new();
    if (is_whole && room_state_tail(state))
        add_message(a, begin, YPROTO_UPDATE, room_state_tail(state));
    if (asks_first)
        add_message(a, begin, YPROTO_STEP1, room_state_vector(state));
    add_message(a, begin, YPROTO_STEP2, is_whole ? room_state_base(state) : difference);
    if (!asks_first)
        add_message(a, begin, YPROTO_STEP1, room_state_vector(state));
    blob_unref(difference);
    *ret = a;
    return 0;
}

/* No step 2: the client knows itself to be in step, and is not asked for anything. */
static int encode_difference(struct room_state *state, struct slice sv, begin_fn begin,
                             struct answer **ret)
{
    struct blob *difference = NULL;
    int r = room_state_diff(state, sv, &difference);

    if (r < 0)
        return r;
    *ret = answer_new();
    add_message(*ret, begin, YPROTO_UPDATE, difference);
    blob_unref(difference);
    return 0;
}

struct blob *yjs_encode_update(const struct msg_room_update *m)
{
    return yproto_frame(YPROTO_UPDATE, m->update);
}

struct blob *yjs_encode_awareness(struct slice awareness)
{
    return yproto_frame(YPROTO_AWARENESS, awareness);
}

int yjs_encode_state(struct room_state *state, struct slice sv, struct answer **ret)
{
    return encode_state(state, sv, yproto_frame_begin, false, ret);
}

int yjs_encode_difference(struct room_state *state, struct slice sv, struct answer **ret)
{
    return encode_difference(state, sv, yproto_frame_begin, ret);
}

struct blob *yjs_encode_update_bytes(const struct msg_room_update *m)
{
    return yproto_bytes(YPROTO_UPDATE, m->update);
}

struct blob *yjs_encode_awareness_bytes(struct slice awareness)
{
    return yproto_bytes(YPROTO_AWARENESS, awareness);
}

int yjs_encode_state_bytes(struct room_state *state, struct slice sv, struct answer **ret)
{
    return encode_state(state, sv, yproto_bytes_begin, true, ret);
}

int yjs_encode_difference_bytes(struct room_state *state, struct slice sv, struct answer **ret)
{
    return encode_difference(state, sv, yproto_bytes_begin, ret);
}

bool yjs_may_ignore(const struct op *op, uint32_t refusal)
{
    return !op && refusal == REFUSAL_TOO_MANY;
}

void yjs_close_rejected(struct session *s, const struct op *op, uint32_t refusal)
{
    if (!yjs_may_ignore(op, refusal))
        session_close(s, refusal);
}
