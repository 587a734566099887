#include "common/blob.h"

#include "common/memory.h"

#include <assert.h>

struct blob *blob_try_new(size_t len)
{
    if (len > SIZE_MAX - sizeof(struct blob))
        return NULL;
    struct blob *b = try_alloc(sizeof(*b) + len);
    if (b)
        *b = (struct blob){.refs = 1, .len = len};
    return b;
}

struct blob *blob_new(size_t len)
{
    struct blob *b = xmalloc(sizeof(*b) + len);
    *b = (struct blob){.refs = 1, .len = len};
    return b;
}

struct blob *blob_copy(struct slice bytes)
{
    struct blob *b = blob_new(bytes.len);
    if (bytes.len > 0)
        memcpy(b->data, bytes.data, bytes.len);
    return b;
}

void blob_count(struct blob *b, size_t *counter)
{
    assert(!b->counter);
    b->counter = counter;
    *counter += b->len;
}

struct blob *blob_ref(struct blob *b)
{
    b->refs++;
    return b;
}

void blob_unref(struct blob *b)
{
    if (!b || --b->refs > 0)
        return;
    if (b->counter)
        *b->counter -= b->len;
    blob_unref(b->compressed);
    free(b);
}
