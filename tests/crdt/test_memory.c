/*
 * Fails the first allocation of the update space, then the second, and so on until one call passes:
 * each failure must come out as -ENOMEM, leave the output alone and lose no memory (the leak
 * checker of a sanitized build tells).
 */
#include <errno.h>

#include "bytes.h"
#include "failing_malloc.h"
#include "vectors.h"

struct updates {
    struct crdt_slice v1[VECTORS];
    struct crdt_slice v2[VECTORS];
    struct crdt_slice unordered[2];
    struct crdt_slice sv;
};

static int merge_v1(const struct updates *u, struct crdt_buf *out)
{
    return crdt_update_merge(CRDT_V1, u->v1, VECTORS, NULL, out);
}

static int merge_v2(const struct updates *u, struct crdt_buf *out)
{
    return crdt_update_merge(CRDT_V2, u->v2, VECTORS, NULL, out);
}

static int merge_unordered(const struct updates *u, struct crdt_buf *out)
{
    return crdt_update_merge(CRDT_V1, u->unordered, 2, NULL, out);
}

static int convert_to_v2(const struct updates *u, struct crdt_buf *out)
{
    int rc = 0;
    for (size_t i = 0; i < VECTORS && rc == 0; i++) {
        out->len = 0;
        rc = crdt_update_convert(CRDT_V1, u->v1[i], CRDT_V2, NULL, out);
    }
    return rc;
}

static int convert_to_v1(const struct updates *u, struct crdt_buf *out)
{
    int rc = 0;
    for (size_t i = 0; i < VECTORS && rc == 0; i++) {
        out->len = 0;
        rc = crdt_update_convert(CRDT_V2, u->v2[i], CRDT_V1, NULL, out);
    }
    return rc;
}

static int state_vectors(const struct updates *u, struct crdt_buf *out)
{
    int rc = 0;
    for (size_t i = 0; i < VECTORS && rc == 0; i++) {
        out->len = 0;
        rc = crdt_update_state_vector(CRDT_V2, u->v2[i], NULL, out);
    }
    return rc;
}

static int diff(const struct updates *u, struct crdt_buf *out)
{
    return crdt_update_diff(CRDT_V1, u->v1[1], u->sv, NULL, out);
}

static int validate(const struct updates *u, struct crdt_buf *out)
{
    (void)out;
    return crdt_update_validate(CRDT_V2, u->v2[7].data, u->v2[7].len, NULL);
}

static int (*const calls[])(const struct updates *u, struct crdt_buf *out) = {
    merge_v1,      merge_v2, merge_unordered, convert_to_v2, convert_to_v1,
    state_vectors, diff,     validate,
};

Test(memory, fails_cleanly_wherever_it_runs_out)
{
    static struct bytes v1[VECTORS], more[3];
    static struct crdt_buf v2[VECTORS];
    struct updates u;
    for (size_t i = 0; i < VECTORS; i++) {
        v1[i] = from_hex(vectors[i].v1);
        u.v1[i] = slice_of(&v1[i]);
        cr_assert_eq(crdt_update_convert(CRDT_V1, u.v1[i], CRDT_V2, NULL, &v2[i]), 0);
        u.v2[i] = (struct crdt_slice){v2[i].data, v2[i].len};
    }
    more[0] = from_hex("02 01 05 00 00 01 01 09 00 00 01 00");
    more[1] = from_hex("01 01 07 00 00 01 00");
    more[2] = from_hex("01 01 02");
    u.unordered[0] = slice_of(&more[0]);
    u.unordered[1] = slice_of(&more[1]);
    u.sv = slice_of(&more[2]);

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        int rc = -ENOMEM;
        for (long n = 0; rc < 0; n++) {
            struct crdt_buf out = {0};
            allocations_left = n;
            rc = calls[i](&u, &out);
            allocations_left = -1;
            cr_assert(rc == 0 || (rc == -ENOMEM && out.len == 0), "call %zu, n %ld: %d", i, n, rc);
            cr_assert_lt(n, 10000);
            crdt_buf_done(&out);
        }
    }
    for (size_t i = 0; i < VECTORS; i++)
        crdt_buf_done(&v2[i]);
}
