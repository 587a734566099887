#include "roomd/tenants.h"

#include <criterion/criterion.h>
#include <errno.h>

#define S UINT64_C(1000000)

static const struct client_limits limits = {.rooms_tenant = 2, .room_starts_per_s = 10};

static int admit(struct tenants *t, const char *name, uint64_t now_us)
{
    return tenants_admit(t, slice_str(name), now_us);
}

Test(tenants, have_a_number_of_rooms)
{
    struct tenants t = {.limits = &limits};
    struct tenant *a = tenants_enter(&t, slice_str("acme"));
    struct tenant *b = tenants_enter(&t, slice_str("acme"));

    cr_assert_eq(a, b);
    cr_assert_eq(admit(&t, "acme", 0), -EDQUOT);
    cr_assert_eq(admit(&t, "acm", 0), 0);
    tenants_leave(&t, b, 0);
    cr_assert_eq(admit(&t, "acme", 0), 0);
    tenants_leave(&t, a, 100 * S);
    cr_assert_eq(admit(&t, "acme", 100 * S), 0);
    tenants_done(&t);
}

Test(tenants, wait_when_they_start_many_and_are_refused_when_they_would_wait_long)
{
    struct tenants t = {.limits = &limits};
    int admitted = 0;
    int r;

    for (int i = 0; i < 10; i++)
        cr_assert_eq(admit(&t, "acme", S), 0);
    for (int wait = 100; (r = admit(&t, "acme", S)) >= 0; wait += 100, admitted++)
        cr_assert_eq(r, wait);
    cr_assert_eq(r, -EAGAIN);
    cr_assert_eq(admitted, TENANT_WAIT_MS / 100 + 1);
    cr_assert_eq(admit(&t, "acme", S), -EAGAIN, "which costs it nothing");
    cr_assert_eq(admit(&t, "other", S), 0);
    cr_assert_eq(admit(&t, "acme", 100 * S), 0);
    tenants_done(&t);
}

Test(tenants, are_remembered_while_they_have_started_much)
{
    struct tenants t = {.limits = &limits};

    for (int i = 0; i < 10; i++)
        cr_assert_eq(admit(&t, "acme", 0), 0);
    tenants_leave(&t, tenants_enter(&t, slice_str("acme")), 0);
    cr_assert_eq(admit(&t, "acme", 0), 100);
    tenants_leave(&t, tenants_enter(&t, slice_str("acme")), 100 * S);
    cr_assert_null(t.by_name);
}
