#include "common/access_caps.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

static struct access_cap cap_of(const char *room, const char *user, enum access access,
                                uint64_t issued_s)
{
    return (struct access_cap){.tenant = slice_str("t"),
                               .room = slice_str(room),
                               .user = slice_str(user),
                               .access = access,
                               .issued_s = issued_s};
}

static int add(struct access_caps *caps, struct access_cap cap)
{
    return access_caps_add(caps, &cap);
}

static enum access find(const struct access_caps *caps, const char *room, const char *user,
                        uint64_t issued_s)
{
    return access_caps_find(caps, slice_str("t"), slice_str(room), slice_str(user), issued_s);
}

Test(access_caps, one_room_one_user_older_tokens)
{
    struct access_caps *caps = access_caps_new(100);

    cr_expect_eq(add(caps, cap_of("r", "u", ACCESS_READ, 50)), 1);
    cr_expect_eq(find(caps, "r", "u", 50), ACCESS_READ, "of the same second");
    cr_expect_eq(find(caps, "r", "u", 0), ACCESS_READ, "of an unknown time");
    cr_expect_eq(find(caps, "r", "u", 51), ACCESS_ADMIN, "a newer token");
    cr_expect_eq(find(caps, "r2", "u", 50), ACCESS_ADMIN, "another room");
    cr_expect_eq(find(caps, "r", "u2", 50), ACCESS_ADMIN, "another user");
    cr_expect_eq(access_caps_find(caps, slice_str("t2"), slice_str("r"), slice_str("u"), 50),
                 ACCESS_ADMIN, "another tenant");
    access_caps_free(caps);
}

Test(access_caps, the_later_and_the_lower_count)
{
    struct access_caps *caps = access_caps_new(100);

    cr_expect_eq(add(caps, cap_of("r", "u", ACCESS_READ, 50)), 1);
    cr_expect_eq(add(caps, cap_of("r", "u", ACCESS_READ, 50)), 0);
    cr_expect_eq(add(caps, cap_of("r", "u", ACCESS_WRITE, 50)), 0);
    cr_expect_eq(add(caps, cap_of("r", "u", ACCESS_NONE, 49)), 0);
    cr_expect_eq(add(caps, cap_of("r", "u", ACCESS_NONE, 50)), 1);
    cr_expect_eq(find(caps, "r", "u", 50), ACCESS_NONE);
    cr_expect_eq(add(caps, cap_of("r", "u", ACCESS_WRITE, 60)), 1, "given back, in part");
    cr_expect_eq(find(caps, "r", "u", 50), ACCESS_WRITE);
    cr_expect_eq(access_caps_count(caps), 1);
    access_caps_free(caps);
}

Test(access_caps, names_do_not_run_into_each_other)
{
    struct access_caps *caps = access_caps_new(100);

    cr_expect_eq(add(caps, cap_of("a", "bc", ACCESS_NONE, 1)), 1);
    cr_expect_eq(find(caps, "ab", "c", 1), ACCESS_ADMIN);
    access_caps_free(caps);
}

static void note(void *ctx, const struct access_cap *cap)
{
    char **out = ctx;

    *out +=
        sprintf(*out, "%.*s/%.*s/%.*s=%d@%d ", (int)cap->tenant.len, (const char *)cap->tenant.data,
                (int)cap->room.len, (const char *)cap->room.data, (int)cap->user.len,
                (const char *)cap->user.data, cap->access, (int)cap->issued_s);
}

Test(access_caps, they_are_told_in_order_and_forgotten)
{
    struct access_caps *caps = access_caps_new(100);
    char text[256] = {0};
    char *end = text;

    cr_expect_eq(add(caps, cap_of("a", "u", ACCESS_NONE, 1)), 1);
    cr_expect_eq(add(caps, cap_of("b", "u", ACCESS_READ, 2)), 1);
    cr_expect_eq(add(caps, cap_of("a", "u", ACCESS_NONE, 3)), 1);
    access_caps_each(caps, note, &end);
    cr_expect_str_eq(text, "t/b/u=1@2 t/a/u=0@3 ");
    access_caps_expire(caps, 102);
    cr_expect_eq(access_caps_count(caps), 2, "both are within what is kept");
    access_caps_expire(caps, 103);
    cr_expect_eq(find(caps, "b", "u", 1), ACCESS_ADMIN);
    cr_expect_eq(find(caps, "a", "u", 1), ACCESS_NONE);
    access_caps_free(caps);
}

Test(access_caps, there_is_a_bound)
{
    struct access_caps *caps = access_caps_new(100);
    char user[16];

    for (unsigned i = 0; i < ACCESS_CAPS_MAX; i++) {
        (void)snprintf(user, sizeof(user), "%u", i);
        cr_assert_eq(add(caps, cap_of("r", user, ACCESS_NONE, 1)), 1);
    }
    cr_expect_eq(add(caps, cap_of("r", "one more", ACCESS_NONE, 1)), -ENOSPC);
    cr_expect_eq(add(caps, cap_of("r", "7", ACCESS_NONE, 2)), 1, "one that is there");
    access_caps_free(caps);
}
