/*
 * answer: the frames that one or many clients get for their question, in blobs that all of them
 * share. A large document is a blob of its own, with the head of its frame in another one before
 * it, so that it is held once, whoever asks and in whatever frame. Refcounted; immutable once it is
 * shared.
 */
#pragma once

#include "common/blob.h"

#define ANSWER_PARTS_MAX 6u

struct deflate;

struct answer_part {
    struct blob *bytes;
    bool is_rest; /* goes on with the frame of the part before */
};

struct answer {
    uint32_t refs;
    uint32_t count;
    size_t len; /* bytes of all parts */
    struct blob
        *compressed; /* all parts, made when a recipient first wants it so; NULL: not made */
    struct answer_part parts[ANSWER_PARTS_MAX];
};

/* An empty one with one reference. */
struct answer *answer_new(void);
struct answer *answer_ref(struct answer *a);
/* NULL is allowed. */
void answer_unref(struct answer *a);

/* Appends a part and consumes the caller's reference. */
void answer_add_new(struct answer *a, struct blob *bytes);
/* Appends what goes on with the frame of the part before; takes its own reference. */
void answer_add_rest(struct answer *a, struct blob *bytes);

/* The same frames compressed, which whoever wants it shares; NULL if they are not worth it.
 * Borrowed from the answer. */
struct blob *answer_compressed(struct answer *a, struct deflate *deflate);
