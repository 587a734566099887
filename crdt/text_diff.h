/*
 * text_diff: the least edit between two texts: the fewest code points to delete and to insert
 * (Myers, "An O(ND) Difference Algorithm and Its Variations", 1986, in linear space).
 *
 * It is looked for between the common start and the common end of the texts. Texts come from
 * outside, so there is a bound on what that may cost: a stretch between two found equalities that
 * needs more than TEXT_DIFF_EDITS deleted and inserted code points is compared by lines, with the
 * same bound, and each run of lines that differ by code points again; what even that does not find,
 * and what is left to do after TEXT_DIFF_STEPS steps, is replaced as a whole.
 */
#pragma once

#include "lib0.h"

#define TEXT_DIFF_EDITS 4096u
#define TEXT_DIFF_STEPS (UINT64_C(1) << 26)

static inline struct crdt_slice text_part(struct crdt_slice text, size_t start, size_t end)
{
    return (struct crdt_slice){end > start ? text.data + start : NULL, end - start};
}

/* One difference: byte ranges of whole code points, at least one of which is not empty. */
struct text_hunk {
    size_t old_start;
    size_t old_end;
    size_t new_start;
    size_t new_end;
};

/* Zero-initialise. From the start to the end, with something equal between any two. */
struct text_diff {
    struct text_hunk *hunks;
    size_t count;
    size_t cap;
};

/* Both texts are UTF-8. -ENOMEM. */
CRDT_WARN_UNUSED int text_diff_make(struct text_diff *diff, struct crdt_slice from,
                                    struct crdt_slice to);
void text_diff_done(struct text_diff *diff);
