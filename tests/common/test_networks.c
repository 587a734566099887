#include "common/networks.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

static bool has(const char *list, const char *address)
{
    struct networks n;
    uint8_t bytes[NETWORK_ADDRESS_LEN];

    cr_assert_eq(networks_parse(list, &n), 0, "%s", list);
    cr_assert_eq(network_address_parse(slice_str(address), bytes), 0, "%s", address);
    bool is_in = networks_have(&n, bytes);
    networks_done(&n);
    return is_in;
}

Test(networks, tell_who_is_in_them)
{
    static const struct {
        const char *list;
        const char *address;
        bool is_in;
    } rows[] = {
        {"", "127.0.0.1", false},
        {"  ", "::1", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"127.0.0.1", "::ffff:127.0.0.1", true},
        {"::ffff:10.1.2.3", "10.1.2.3", true},
        {"::ffff:10.0.0.0/104", "10.200.2.3", true},
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.1.2.3/8", "10.9.9.9", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.128/25", "192.0.2.129", true},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "203.0.113.9", true},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"2001:db8::/127", "2001:db8::1", true},
        {"::1, 10.0.0.0/8 ,192.0.2.7", "192.0.2.7", true},
        {"::1, 10.0.0.0/8 ,192.0.2.7", "::1", true},
        {"::1, 10.0.0.0/8 ,192.0.2.7", "192.0.2.8", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(has(rows[i].list, rows[i].address), rows[i].is_in, "%s in %s", rows[i].address,
                     rows[i].list);
}

Test(networks, refuse_what_is_none)
{
    static const char *const bad[] = {
        "localhost",
        "10.0.0",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/8x",
        "10.0.0.0/0008",
        "::/129",
        "[::1]",
        "::1%lo",
        "127.0.0.1:80",
        ",",
        "::1,",
        ",::1",
        "::1,,::2",
        "::1 ::2",
        "/8",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
    };
    struct networks n;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(networks_parse(bad[i], &n), -EINVAL, "%s", bad[i]);
}

Test(networks, are_no_more_than_a_list_may_hold)
{
    char text[(NETWORKS_MAX + 1) * 4 + 1];
    struct networks n;

    for (size_t i = 0; i <= NETWORKS_MAX; i++)
        (void)snprintf(text + i * 4, 5, "::1,");
    text[(NETWORKS_MAX + 1) * 4 - 1] = '\0';
    cr_expect_eq(networks_parse(text, &n), -E2BIG);
    text[NETWORKS_MAX * 4 - 1] = '\0';
    cr_assert_eq(networks_parse(text, &n), 0);
    cr_expect_eq(n.count, NETWORKS_MAX);
    networks_done(&n);
}

Test(networks, mask_whole_and_broken_bytes)
{
    static const uint8_t whole[NETWORK_ADDRESS_LEN] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    };
    uint8_t a[NETWORK_ADDRESS_LEN];

    memcpy(a, whole, sizeof(a));
    network_address_mask(a, 128);
    cr_expect_eq(memcmp(a, whole, sizeof(a)), 0);
    network_address_mask(a, 61);
    cr_expect_eq(a[6], 0xff);
    cr_expect_eq(a[7], 0xf8);
    cr_expect_eq(a[8], 0);
    network_address_mask(a, 0);
    cr_expect_eq(a[0], 0);
}
