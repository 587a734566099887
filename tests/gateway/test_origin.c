#include "gateway/origin.h"

#include <criterion/criterion.h>
#include <errno.h>

/* A request with these headers; `origin` and `host` may be NULL. */
static struct http_request request(const char *origin, const char *host)
{
    struct http_request req = {0};

    if (host)
        req.headers[req.header_count++] = (struct http_header){slice_str("Host"), slice_str(host)};
    if (origin)
        req.headers[req.header_count++] =
            (struct http_header){slice_str("Origin"), slice_str(origin)};
    return req;
}

static struct origin_rules *make_rules(const char *list, bool is_required)
{
    struct origin_rules *rules = NULL;

    cr_assert_eq(origin_rules_new(list, is_required, &rules), 0, "%s", list);
    return rules;
}

static bool allows(const char *list, const char *origin, const char *host, bool has_keys)
{
    struct origin_rules *rules = make_rules(list, false);
    struct http_request req = request(origin, host);
    bool is_allowed = origin_is_allowed(rules, &req, has_keys);

    origin_rules_free(rules);
    return is_allowed;
}

Test(origin, with_a_list)
{
    static const char list[] = " https://app.example.com, http://dev.example.com:3000 ,"
                               "https://[2001:DB8::0:1]:8443,capacitor://localhost";
    static const struct {
        const char *origin;
        bool is_allowed;
    } rows[] = {
        {"https://app.example.com", true},
        {"https://APP.Example.COM", true},
        {"HTTPS://app.example.com", true},
        {"https://app.example.com:443", true},
        {"http://dev.example.com:3000", true},
        {"https://[2001:db8::1]:8443", true},
        {"https://[2001:db8:0:0:0:0:0:1]:8443", true},
        {"capacitor://localhost", true},
        {"https://evil.com", false},
        {"https://app.example.com.evil.com", false},
        {"https://evil.com/https://app.example.com", false},
        {"https://evilapp.example.com", false},
        {"https://example.com", false},
        {"https://sub.app.example.com", false},
        {"http://app.example.com", false},
        {"http://app.example.com:443", false},
        {"https://dev.example.com:3000", false},
        {"https://app.example.com:80", false},
        {"https://app.example.com:8443", false},
        {"http://dev.example.com", false},
        {"http://dev.example.com:30000", false},
        {"http://dev.example.com:03000", false},
        {"https://app.example.com:", false},
        {"https://app.example.com:0", false},
        {"https://app.example.com:-443", false},
        {"https://app.example.com:443:443", false},
        {"https://app.example.com:65979", false},
        {"https://app.example.com.", false},
        {"https://app.example.com/", false},
        {"https://app.example.com?x", false},
        {"https://app.example.com#x", false},
        {"https://user@app.example.com", false},
        {"https://user:pass@app.example.com", false},
        {"https://app.example.com@evil.com", false},
        {"https://app.example.com, https://evil.com", false},
        {"https://app.example.com https://evil.com", false},
        {"https:app.example.com", false},
        {"https:/app.example.com", false},
        {"//app.example.com", false},
        {"://app.example.com", false},
        {"app.example.com", false},
        {"https://", false},
        {"https", false},
        {"", false},
        {"null", false},
        {"NULL", false},
        {"*", false},
        {"https://*", false},
        {"https://app.ex\xc3\xa4mple.com", false},
        {"https://app.example.com%00", false},
        {"https://app%2eexample.com", false},
        {"https://[2001:db8::1]", false},
        {"https://[2001:db8::2]:8443", false},
        {"https://[2001:db8::1", false},
        {"https://[2001:db8::1]8443", false},
        {"https://[2001:db8::1%25eth0]:8443", false},
        {"https://2001:db8::1:8443", false},
        {"https://[]:8443", false},
        {"https://localhost", false},
        {"capacitor://localhost:80", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect(allows(list, rows[i].origin, "app.example.com", true) == rows[i].is_allowed, "%s",
                  rows[i].origin);
}

Test(origin, without_a_list_it_is_that_of_the_host)
{
    static const struct {
        const char *origin;
        const char *host;
        bool is_allowed;
    } rows[] = {
        {"https://example.com", "example.com", true},
        {"http://example.com", "example.com", true}, /* a proxy may speak TLS */
        {"https://example.com", "EXAMPLE.com:443", true},
        {"https://example.com:443", "example.com", true},
        {"http://example.com:8080", "example.com:8080", true},
        {"http://[::1]:8080", "[0::1]:8080", true},
        {"http://localhost:8080", "localhost:8080", true},
        {"https://example.com", "example.com:80", false},
        {"http://localhost:3000", "localhost:8080", false},
        {"https://evil.com", "example.com", false},
        {"https://example.com", NULL, false},
        {"https://example.com", "", false},
        {"https://example.com", "user@example.com", false},
        {"https://example.com.", "example.com", false},
        {"https://::1", "[::1]", false},
        {"null", "null", false},
        {"null", "example.com", false},
        {"x://example.com", "example.com", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect(allows("", rows[i].origin, rows[i].host, true) == rows[i].is_allowed, "%s at %s",
                  rows[i].origin, rows[i].host ? rows[i].host : "nothing");
}

Test(origin, without_keys_both_are_of_this_machine)
{
    static const struct {
        const char *list;
        const char *origin;
        const char *host;
        bool is_allowed;
    } rows[] = {
        {"", "http://localhost:3000", "localhost:8080", true},
        {"", "http://localhost:3000", "127.0.0.1:8080", true},
        {"", "https://app.localhost", "127.200.0.1", true},
        {"", "http://127.0.0.1:5173", "[::1]:8080", true},
        {"", "http://LOCALHOST", "Localhost", true},
        {"", NULL, "127.0.0.1:8080", true},
        {"", NULL, NULL, true},
        /* rebinding: the name of a stranger points here */
        {"", "http://evil.com:8080", "evil.com:8080", false},
        {"", NULL, "evil.com:8080", false},
        {"", "http://localhost:8080", "evil.com:8080", false},
        {"", "http://evil.com", "localhost:8080", false},
        {"", "http://localhost:3000", NULL, false},
        {"", "http://127.0.0.1.evil.com", "localhost", false},
        {"", "http://localhost.evil.com", "localhost", false},
        {"", "http://evillocalhost", "localhost", false},
        {"", "http://.localhost", "localhost", false},
        {"", "http://localhost.", "localhost", false},
        {"", "http://128.0.0.1", "localhost", false},
        {"", "http://127.1", "localhost", false},
        {"", "http://0.0.0.0", "localhost", false},
        {"", "http://0x7f.0.0.1", "localhost", false},
        {"", "http://[::ffff:127.0.0.1]", "localhost", false},
        {"", "http://[::2]", "localhost", false},
        {"", "null", "localhost", false},
        {"", NULL, "", false},
        {"", NULL, "local host", false},
        /* a list says what else there is */
        {"https://app.example.com", "https://app.example.com", "localhost", true},
        {"https://app.example.com", "https://app.example.com", "app.example.com", true},
        {"https://app.example.com", NULL, "app.example.com", true},
        {"https://app.example.com", NULL, "evil.com", false},
        {"https://app.example.com", "http://localhost:3000", "localhost", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect(allows(rows[i].list, rows[i].origin, rows[i].host, false) == rows[i].is_allowed,
                  "%s at %s", rows[i].origin ? rows[i].origin : "nothing",
                  rows[i].host ? rows[i].host : "nothing");
}

Test(origin, may_be_required)
{
    struct origin_rules *lax = make_rules("https://a.example", false);
    struct origin_rules *strict = make_rules("https://a.example", true);
    struct http_request without = request(NULL, "b.example");
    struct http_request with = request("https://a.example", "b.example");

    cr_expect(origin_is_allowed(lax, &without, true));
    cr_expect(!origin_is_allowed(strict, &without, true));
    cr_expect(origin_is_allowed(strict, &with, true));
    origin_rules_free(lax);
    origin_rules_free(strict);
}

Test(origin, twice_is_refused)
{
    static const char *const lists[] = {"", "https://a.example"};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct origin_rules *rules = make_rules(lists[i], false);
        struct http_request req = request("https://a.example", "a.example");
        cr_expect(origin_is_allowed(rules, &req, true));
        req.headers[req.header_count++] =
            (struct http_header){slice_str("origin"), slice_str("https://a.example")};
        cr_expect(!origin_is_allowed(rules, &req, true));
        origin_rules_free(rules);
    }
}

Test(origin, long_ones_are_refused)
{
    static char text[10 << 10];

    memset(text, 'a', sizeof(text) - 1);
    cr_expect(!allows("", text, "localhost", false));
    memcpy(text, "https://", 8);
    cr_expect(!allows("", text, text + 8, true));
    cr_expect(!allows("https://a.example", text, "a.example", true));
    text[8 + 255] = '\0';
    cr_expect(allows(text, text, "a.example", true));
    text[8 + 255] = 'a';
    text[8 + 256] = '\0';
    cr_expect(!allows("", text, text + 8, true));
}

Test(origin, bad_lists)
{
    static const char *const bad[] = {
        ",",
        "https://a.example,",
        ",https://a.example",
        "https://a.example,,https://b.example",
        "https://a.example https://b.example",
        "a.example",
        "null",
        "*",
        "https://*.example",
        "https://a.example/",
        "https://a.example:99999",
        "https://u@a.example",
        "https://\xc3\xa4.example",
        "1https://a.example",
        "https://a.example\n",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct origin_rules *rules = NULL;
        cr_expect_eq(origin_rules_new(bad[i], false, &rules), -EINVAL, "%s", bad[i]);
        cr_expect_null(rules);
    }
}
