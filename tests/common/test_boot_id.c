#include "common/boot_id.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(boot_id, is_what_the_kernel_tells)
{
    struct boot_id id;
    struct boot_id again;
    char expected[64] = "";
    char text[64] = "";
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");

    cr_assert_not_null(f);
    cr_assert_not_null(fgets(expected, sizeof(expected), f));
    (void)fclose(f);
    expected[strcspn(expected, "\n")] = '\0';
    cr_assert_eq(boot_id_read(&id), 0);
    for (size_t i = 0, at = 0; i < sizeof(id.bytes); i++) {
        bool has_dash = i == 4 || i == 6 || i == 8 || i == 10;
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%02x", has_dash ? "-" : "",
                               id.bytes[i]);
    }
    cr_expect_str_eq(text, expected);
    cr_assert_eq(boot_id_read(&again), 0);
    cr_expect_eq(memcmp(&id, &again, sizeof(id)), 0);
}
