#include "common/address.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/socket.h>

Test(address, loopback_only)
{
    static const struct {
        const char *host;
        bool is_loopback;
    } cases[] = {
        {"127.0.0.1", true},        {"127.8.9.10", true}, {"::1", true},
        {"0.0.0.0", false},         {"::", false},        {"128.0.0.1", false},
        {"192.168.1.1", false},     {"fe80::1", false},   {"", false},
        {"localhost", false},       {"127.1", false},     {"127.0.0.1.example", false},
        {"::ffff:10.0.0.1", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq(address_is_loopback(cases[i].host), cases[i].is_loopback, "%s", cases[i].host);
}

Test(address, urls)
{
    char *v4 CLEANUP_FREE = address_url("http", "127.0.0.1", 8080);
    char *v6 CLEANUP_FREE = address_url("ws", "::1", 1);

    cr_assert_str_eq(v4, "http://127.0.0.1:8080");
    cr_assert_str_eq(v6, "ws://[::1]:1");
}

Test(address, a_port_is_reserved_and_shared_with_gateways_only)
{
    int held CLEANUP_FD = -1;
    int again CLEANUP_FD = -1;
    uint32_t port = 0;
    uint32_t same = 0;
    int on = 1;

    cr_assert_eq(address_reserve("127.0.0.1", 0, &held, &port), 0);
    cr_assert_gt(port, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* A gateway. */
    int gateway CLEANUP_FD = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(setsockopt(gateway, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
    cr_assert_eq(setsockopt(gateway, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    cr_assert_eq(bind(gateway, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_assert_eq(listen(gateway, 1), 0);
    /* Another server. */
    cr_assert_eq(address_reserve("127.0.0.1", port, &again, &same), -EADDRINUSE);
    cr_assert_eq(address_reserve("not an address", 0, &again, &same), -EINVAL);
}
