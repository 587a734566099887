#include "snapshotd/fold_penalty.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct fold_penalty *p;

static void set_up(void)
{
    p = fold_penalty_new();
}

static void tear_down(void)
{
    fold_penalty_free(p);
}

TestSuite(fold_penalty, .init = set_up, .fini = tear_down);

static const char *hash_of(unsigned room)
{
    static char hash[NAME_HASH_HEX + 1];

    (void)snprintf(hash, sizeof(hash), "%032x", room);
    return hash;
}

Test(fold_penalty, grows_with_every_failure_up_to_a_day)
{
    uint64_t wanted = FOLD_PENALTY_MS_MIN;
    uint64_t now_ms = 5000;

    cr_assert_eq(fold_penalty_left(p, hash_of(1), now_ms), 0);
    for (uint32_t i = 1; i <= 100; i++) {
        cr_assert_eq(fold_penalty_add(p, hash_of(1), now_ms), i);
        cr_assert_eq(fold_penalty_left(p, hash_of(1), now_ms), wanted);
        cr_assert_eq(fold_penalty_left(p, hash_of(1), now_ms + wanted - 1), 1);
        now_ms += wanted;
        cr_assert_eq(fold_penalty_left(p, hash_of(1), now_ms), 0);
        cr_assert_eq(fold_penalty_left(p, hash_of(2), now_ms), 0);
        wanted = wanted * 2 < FOLD_PENALTY_MS_MAX ? wanted * 2 : FOLD_PENALTY_MS_MAX;
    }
}

Test(fold_penalty, begins_anew_after_success)
{
    cr_assert_eq(fold_penalty_add(p, hash_of(1), 0), 1);
    cr_assert_eq(fold_penalty_add(p, hash_of(1), 0), 2);
    fold_penalty_clear(p, hash_of(1));
    fold_penalty_clear(p, hash_of(2)); /* which has none */
    cr_assert_eq(fold_penalty_left(p, hash_of(1), 0), 0);
    cr_assert_eq(fold_penalty_add(p, hash_of(1), 0), 1);
    cr_assert_eq(fold_penalty_left(p, hash_of(1), 0), FOLD_PENALTY_MS_MIN);
}

Test(fold_penalty, forgets_first_what_is_over_first)
{
    for (unsigned i = 0; i < FOLD_PENALTY_ROOMS_MAX; i++)
        (void)fold_penalty_add(p, hash_of(i), i == 7 ? 1 : 1000);
    (void)fold_penalty_add(p, hash_of(FOLD_PENALTY_ROOMS_MAX), 1000);
    cr_assert_eq(fold_penalty_left(p, hash_of(7), 1), 0);
    cr_assert_gt(fold_penalty_left(p, hash_of(8), 1), 0);
    cr_assert_gt(fold_penalty_left(p, hash_of(FOLD_PENALTY_ROOMS_MAX), 1), 0);
}
