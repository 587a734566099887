#include "common/rate.h"

#include <criterion/criterion.h>

#define S UINT64_C(1000000)

Test(rate, a_second_s_worth_may_come_at_once)
{
    struct rate r = {0};
    uint64_t now = 7 * S;

    for (int i = 0; i < 100; i++)
        cr_assert_eq(rate_take(&r, 100, 1, now), 0, "%d", i);
    cr_assert_eq(rate_take(&r, 100, 1, now), S / 100);
    cr_assert_eq(rate_take(&r, 100, 5, now), 6 * S / 100);
    cr_assert_eq(rate_owed(&r, now), 6 * S / 100);
    cr_assert_not(rate_is_full(&r, now));
    /* Whoever waits as long as told is back at its rate, and not above it. */
    now += 6 * S / 100;
    cr_assert_eq(rate_owed(&r, now), 0);
    cr_assert_eq(rate_take(&r, 100, 1, now), S / 100);
    cr_assert(rate_is_full(&r, now + 2 * S));
    cr_assert_eq(rate_take(&r, 100, 100, now + 2 * S), 0);
}

Test(rate, who_keeps_to_it_never_waits)
{
    struct rate r = {0};

    for (uint64_t now = 0; now < 100 * S; now += S / 10)
        cr_assert_eq(rate_take(&r, 10, 1, now), 0);
}

Test(rate, without_a_bound_nothing_is_counted)
{
    struct rate r = {0};

    cr_assert_eq(rate_take(&r, 0, UINT32_MAX, 0), 0);
    cr_assert(rate_is_full(&r, 0));
}

Test(rate, large_amounts_are_owed_in_full)
{
    struct rate r = {0};

    cr_assert_eq(rate_take(&r, 1000, 64 << 20, S), (uint64_t)(64 << 20) * 1000 - S);
}
