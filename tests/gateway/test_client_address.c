#include "gateway/client_address.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/socket.h>

static struct client_address parsed(const char *text)
{
    struct client_address a = {0};

    cr_assert_eq(client_address_parse(slice_str(text), &a), 0, "%s", text);
    return a;
}

static void expect_text(const struct client_address *a, const char *want)
{
    char text[CLIENT_ADDRESS_TEXT];

    cr_expect_str_eq(client_address_format(a, text), want);
}

Test(client_address, is_read_as_proxies_write_it)
{
    static const struct {
        const char *text;
        const char *want; /* NULL: refused */
    } rows[] = {
        {"192.0.2.7", "192.0.2.7"},
        {"192.0.2.7:65535", "192.0.2.7"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"[::ffff:192.0.2.7]:1", "192.0.2.7"},
        {"2001:DB8::0:1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"[2001:db8::1]:443", "2001:db8::1"},
        {"::", "::"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"", NULL},
        {"unknown", NULL},
        {"192.0.2", NULL},
        {"192.0.2.7:", NULL},
        {"192.0.2.7:x", NULL},
        {"192.0.2.7:123456", NULL},
        {"[192.0.2.7]", NULL},
        {"[192.0.2.7]:80", NULL},
        {"[2001:db8::1", NULL},
        {"2001:db8::1]", NULL},
        {"[2001:db8::1]443", NULL},
        {"[2001:db8::1]:", NULL},
        {"[]", NULL},
        {"[", NULL},
        {":", NULL},
        {":80", NULL},
        {"fe80::1%eth0", NULL},
        {" 192.0.2.7", NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client_address a = {.is_secure = true};
        int r = client_address_parse(slice_str(rows[i].text), &a);
        cr_expect_eq(r, rows[i].want ? 0 : -EINVAL, "%s", rows[i].text);
        cr_expect(a.is_secure, "%s", rows[i].text);
        if (r == 0 && rows[i].want)
            expect_text(&a, rows[i].want);
    }
}

Test(client_address, compares_by_family_and_bytes_alone)
{
    struct client_address a = parsed("192.0.2.7");
    struct client_address same = parsed("::ffff:192.0.2.7");
    struct client_address other = parsed("192.0.2.8");
    struct client_address v6 = parsed("2001:db8::1");

    same.is_secure = true;
    cr_expect_eq(client_address_compare(&a, &same), 0);
    cr_expect_lt(client_address_compare(&a, &other), 0);
    cr_expect_gt(client_address_compare(&other, &a), 0);
    cr_expect_lt(client_address_compare(&a, &v6), 0);
    cr_expect_gt(client_address_compare(&v6, &a), 0);
}

Test(client_address, groups_ipv6_by_its_first_half)
{
    struct client_address v4 = parsed("192.0.2.7");
    struct client_address v6 = parsed("2001:db8:1:2:3:4:5:6");

    v6.is_secure = true;
    v4 = client_address_group(&v4);
    v6 = client_address_group(&v6);
    expect_text(&v4, "192.0.2.7");
    expect_text(&v6, "2001:db8:1:2::");
    cr_expect_not(v6.is_secure);
}

Test(client_address, of_a_socket_without_one_is_unknown)
{
    struct client_address a = parsed("192.0.2.7");
    int fds[2];

    a.is_secure = true;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    client_address_set_peer(&a, fds[0]);
    cr_expect_eq(a.family, CLIENT_FAMILY_UNKNOWN);
    cr_expect(a.is_secure);
    expect_text(&a, "unknown");
    (void)close(fds[0]);
    (void)close(fds[1]);
}
