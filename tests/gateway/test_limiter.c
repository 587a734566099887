#include "gateway/limiter.h"

#include <criterion/criterion.h>

static const struct client_limits limits = {
    .handshakes_address = 1,
    .connections_address = 2,
    .connections_user = 1,
    .connections = 3,
};

static bool take(struct limiter *l, struct seats *seats, enum seat_kind kind, const char *key)
{
    return limiter_take(l, seats, kind, slice_str(key));
}

Test(limiter, seats_are_taken_and_given_back)
{
    struct limiter *l = limiter_new(&limits, NULL);
    struct seats a = {0}, b = {0}, c = {0};

    cr_assert(take(l, &a, SEAT_ADDRESS, "x"));
    cr_assert(take(l, &a, SEAT_ADDRESS, "x"), "it has one");
    cr_assert(take(l, &b, SEAT_ADDRESS, "x"));
    cr_assert_not(take(l, &c, SEAT_ADDRESS, "x"));
    cr_assert(take(l, &c, SEAT_ADDRESS, "y"), "of another");
    limiter_give_all(l, &c);
    limiter_give(l, &a, SEAT_ADDRESS);
    cr_assert(take(l, &c, SEAT_ADDRESS, "x"));
    limiter_give_all(l, &a);
    limiter_give_all(l, &b);
    limiter_give_all(l, &c);
    limiter_free(l);
}

Test(limiter, kinds_are_counted_apart)
{
    struct limiter *l = limiter_new(&limits, NULL);
    struct seats a = {0}, b = {0};

    cr_assert(take(l, &a, SEAT_HANDSHAKE, "x"));
    cr_assert_not(take(l, &b, SEAT_HANDSHAKE, "x"));
    cr_assert(take(l, &b, SEAT_ADDRESS, "x"));
    cr_assert(take(l, &b, SEAT_USER, "x"));
    limiter_give(l, &a, SEAT_HANDSHAKE);
    cr_assert(take(l, &b, SEAT_HANDSHAKE, "x"));
    limiter_give_all(l, &a);
    limiter_give_all(l, &b);
    limiter_free(l);
}

Test(limiter, a_kind_without_a_bound_is_not_counted)
{
    struct limiter *l = limiter_new(&limits, NULL);
    struct seats seats[100] = {0};

    for (int i = 0; i < 100; i++)
        cr_assert(take(l, &seats[i], SEAT_TENANT, "t"));
    cr_assert_null(seats[0].taken[SEAT_TENANT]);
    for (int i = 0; i < 3; i++)
        cr_assert(take(l, &seats[i], SEAT_ANY, ""));
    cr_assert_not(take(l, &seats[3], SEAT_ANY, ""));
    for (int i = 0; i < 100; i++)
        limiter_give_all(l, &seats[i]);
    limiter_free(l);
}
