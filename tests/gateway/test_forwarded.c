#include "gateway/forwarded.h"

#include <criterion/criterion.h>

#define TRUSTED "10.0.0.0/8, 2001:db8:1::/48"
#define HEAD    "GET / HTTP/1.1\r\nHost: a\r\n"
#define FOR     "X-Forwarded-For: "
#define PROTO   "X-Forwarded-Proto: "

static const struct {
    const char *peer;
    const char *headers;
    const char *client;
    bool is_secure;
} rows[] = {
    {"10.0.0.1", "", "10.0.0.1", false},
    {"10.0.0.1", FOR "192.0.2.7\r\n" PROTO "https\r\n", "192.0.2.7", true},
    {"10.0.0.1", FOR "192.0.2.7\r\n" PROTO "HTTPS\r\n", "192.0.2.7", true},
    {"10.0.0.1", FOR "192.0.2.7\r\n" PROTO "http\r\n", "192.0.2.7", false},
    {"10.0.0.1", FOR "192.0.2.7\r\n" PROTO "httpsx\r\n", "192.0.2.7", false},
    {"10.0.0.1", "x-forwarded-for:192.0.2.7\r\n", "192.0.2.7", false},
    {"2001:db8:1::9", FOR "2001:db8:2::7\r\n", "2001:db8:2::7", false},
    {"10.0.0.1", FOR "[2001:db8:2::7]:443\r\n", "2001:db8:2::7", false},
    /* nobody that is trusted */
    {"192.0.2.9", FOR "192.0.2.7\r\n" PROTO "https\r\n", "192.0.2.9", false},
    {"unknown", FOR "192.0.2.7\r\n" PROTO "https\r\n", "unknown", false},
    /* what the client itself has written is on the left */
    {"10.0.0.1", FOR "198.51.100.1, 192.0.2.7\r\n", "192.0.2.7", false},
    {"10.0.0.1", FOR "198.51.100.1\r\n" FOR "192.0.2.7\r\n", "192.0.2.7", false},
    {"10.0.0.1", PROTO "https\r\n" PROTO "http\r\n", "10.0.0.1", false},
    {"10.0.0.1", PROTO "https, http\r\n", "10.0.0.1", false},
    /* through several proxies */
    {"10.0.0.1", FOR "198.51.100.1, 192.0.2.7, 10.0.0.3,10.0.0.2\r\n", "192.0.2.7", false},
    {"10.0.0.1", FOR "192.0.2.7\r\n" FOR "10.0.0.3\r\n", "192.0.2.7", false},
    {"10.0.0.1", FOR "10.0.0.3, 10.0.0.2\r\n", "10.0.0.3", false},
    /* as far as it makes sense */
    {"10.0.0.1", FOR "192.0.2.7, unknown\r\n", "10.0.0.1", false},
    {"10.0.0.1", FOR "192.0.2.7, unknown, 10.0.0.2\r\n", "10.0.0.2", false},
    {"10.0.0.1", FOR "192.0.2.7\r\n" FOR "unknown\r\n", "10.0.0.1", false},
    {"10.0.0.1", FOR "192.0.2.7,\r\n", "10.0.0.1", false},
    {"10.0.0.1", FOR ",\r\n", "10.0.0.1", false},
    {"10.0.0.1", FOR "\r\n", "10.0.0.1", false},
};

Test(forwarded, believes_trusted_proxies_only)
{
    struct networks trusted;

    cr_assert_eq(networks_parse(TRUSTED, &trusted), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *head CLEANUP_FREE = xasprintf(HEAD "%s\r\n", rows[i].headers);
        struct client_address peer = {0};
        struct http_request req;
        char text[CLIENT_ADDRESS_TEXT];

        cr_assert_eq(http_parse(slice_str(head), &req), 0, "row %zu", i);
        if (strcmp(rows[i].peer, "unknown") != 0)
            cr_assert_eq(client_address_parse(slice_str(rows[i].peer), &peer), 0);
        struct client_address client = forwarded_client(&trusted, &peer, &req);
        cr_expect_str_eq(client_address_format(&client, text), rows[i].client, "row %zu: %s", i,
                         rows[i].headers);
        cr_expect_eq(client.is_secure, rows[i].is_secure, "row %zu: %s", i, rows[i].headers);
    }
    networks_done(&trusted);
}

/* Between the proxy and us there may be TLS, too: what it says of the client is what counts. */
Test(forwarded, without_a_word_the_peer_is_the_measure)
{
    struct networks trusted;
    struct client_address peer = {.is_secure = true};
    struct http_request req;

    cr_assert_eq(networks_parse(TRUSTED, &trusted), 0);
    cr_assert_eq(client_address_parse(slice_str("10.0.0.1"), &peer), 0);
    cr_assert_eq(http_parse(slice_str(HEAD "\r\n"), &req), 0);
    cr_expect(forwarded_client(&trusted, &peer, &req).is_secure);
    cr_assert_eq(http_parse(slice_str(HEAD PROTO "http\r\n\r\n"), &req), 0);
    cr_expect_not(forwarded_client(&trusted, &peer, &req).is_secure);
    networks_done(&trusted);
}
