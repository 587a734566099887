#include "common/access.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(access, names_there_and_back)
{
    static const enum access all[] = {ACCESS_NONE, ACCESS_READ, ACCESS_WRITE, ACCESS_ADMIN};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        enum access access;
        cr_assert_eq(access_parse(slice_str(access_name(all[i])), &access), 0);
        cr_expect_eq(access, all[i]);
        cr_expect(i == 0 || all[i] > all[i - 1]);
    }
}

Test(access, other_names_are_refused)
{
    static const char *const bad[] = {"", "Read", "rea", "reads", " read", "rw", "owner"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        enum access access;
        cr_expect_eq(access_parse(slice_str(bad[i]), &access), -EINVAL, "%s", bad[i]);
    }
}
