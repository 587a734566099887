#include "gateway/answer.h"

#include "common/memory.h"
#include "gateway/ws_compress.h"

#include <assert.h>

struct answer *answer_new(void)
{
    struct answer *a = xcalloc(1, sizeof(*a));

    a->refs = 1;
    return a;
}

struct answer *answer_ref(struct answer *a)
{
    a->refs++;
    return a;
}

void answer_unref(struct answer *a)
{
    if (!a || --a->refs > 0)
        return;
    for (uint32_t i = 0; i < a->count; i++)
        blob_unref(a->parts[i].bytes);
    blob_unref(a->compressed);
    free(a);
}

static void add(struct answer *a, struct blob *bytes, bool is_rest)
{
    assert(a->count < ANSWER_PARTS_MAX);
    a->parts[a->count++] = (struct answer_part){.bytes = bytes, .is_rest = is_rest};
    a->len += bytes->len;
}

void answer_add_new(struct answer *a, struct blob *bytes)
{
    add(a, bytes, false);
}

void answer_add_rest(struct answer *a, struct blob *bytes)
{
    add(a, blob_ref(bytes), true);
}

struct blob *answer_compressed(struct answer *a, struct deflate *deflate)
{
    struct slice parts[ANSWER_PARTS_MAX];

    for (uint32_t i = 0; i < a->count; i++)
        parts[i] = blob_slice(a->parts[i].bytes);
    if (!a->compressed)
        a->compressed = ws_compress_frames(deflate, parts, a->count);
    return a->compressed;
}
