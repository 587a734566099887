#include "gateway/origin.h"

#include "common/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <strings.h>

#define SCHEME_MAX 32u
#define HOST_MAX   255u

/* Comparable: lower case, the port spelled out where the scheme has one. */
struct origin {
    char scheme[SCHEME_MAX + 1];
    char host[HOST_MAX + 1]; /* IPv6 in its shortest form; no name has a colon */
    uint32_t port;           /* 0: none is written and the scheme has none */
};

struct origin_rules {
    struct origin *list;
    size_t count;
    bool is_required;
};

/* ---- reading ---- */

static bool is_alpha(uint8_t c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 32 : c;
}

/* Copies `s` in lower case if all of its characters are letters, digits or one of `others`. */
static int copy_name(struct slice s, const char *others, size_t max, char *ret)
{
    if (s.len == 0 || s.len > max)
        return -EINVAL;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        if (!is_alpha(c) && !is_digit(c) && (c == 0 || !strchr(others, c)))
            return -EINVAL;
        ret[i] = (char)lower(c);
    }
    ret[s.len] = '\0';
    return 0;
}

/* 1 to 65535 as a number is written: no sign, no zero in front. */
static int read_port(struct slice s, uint32_t *ret)
{
    uint32_t port = 0;

    if (s.len == 0 || s.len > 5 || s.data[0] == '0')
        return -EINVAL;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_digit(s.data[i]))
            return -EINVAL;
        port = port * 10 + (s.data[i] - '0');
    }
    if (port > 65535)
        return -EINVAL;
    *ret = port;
    return 0;
}

/* An address in brackets; the number of characters that it takes, or -EINVAL. */
static ssize_t read_ipv6(struct slice s, struct origin *o)
{
    const uint8_t *end = memchr(s.data, ']', s.len);
    struct in6_addr address;

    if (!end || copy_name(slice_of(s.data + 1, (size_t)(end - s.data - 1)), ":.", INET6_ADDRSTRLEN,
                          o->host) < 0)
        return -EINVAL;
    if (inet_pton(AF_INET6, o->host, &address) != 1 ||
        !inet_ntop(AF_INET6, &address, o->host, sizeof(o->host)))
        return -EINVAL;
    return end + 1 - s.data;
}

/* `host[:port]`; names beyond ASCII are written as xn--… by every browser. */
static int read_authority(struct slice s, struct origin *o)
{
    size_t host_len = 0;

    if (s.len > 0 && s.data[0] == '[') {
        ssize_t len = read_ipv6(s, o);
        if (len < 0)
            return -EINVAL;
        host_len = (size_t)len;
    } else {
        const uint8_t *colon = s.len > 0 ? memchr(s.data, ':', s.len) : NULL;
        host_len = colon ? (size_t)(colon - s.data) : s.len;
        if (copy_name(slice_of(s.data, host_len), "-._", HOST_MAX, o->host) < 0)
            return -EINVAL;
    }
    if (host_len == s.len)
        return 0;
    if (s.data[host_len] != ':')
        return -EINVAL;
    return read_port(slice_of(s.data + host_len + 1, s.len - host_len - 1), &o->port);
}

static uint32_t default_port(const char *scheme)
{
    return strcmp(scheme, "https") == 0 ? 443 : strcmp(scheme, "http") == 0 ? 80 : 0;
}

static int read_origin(struct slice s, struct origin *ret)
{
    const uint8_t *colon = s.len > 0 ? memchr(s.data, ':', s.len) : NULL;
    struct origin o = {0};

    if (!colon || s.data + s.len - colon < 3 || memcmp(colon, "://", 3) != 0 ||
        !is_alpha(s.data[0]) ||
        copy_name(slice_of(s.data, (size_t)(colon - s.data)), "+-.", SCHEME_MAX, o.scheme) < 0)
        return -EINVAL;
    const uint8_t *authority = colon + 3;
    if (read_authority(slice_of(authority, (size_t)(s.data + s.len - authority)), &o) < 0)
        return -EINVAL;
    o.port = o.port ? o.port : default_port(o.scheme);
    *ret = o;
    return 0;
}

/* ---- the list ---- */

int origin_rules_new(const char *list, bool is_required, struct origin_rules **ret)
{
    struct origin_rules *rules = xcalloc(1, sizeof(*rules));
    bool is_empty = slice_trim(slice_str(list)).len == 0;

    rules->is_required = is_required;
    for (const char *at = is_empty ? NULL : list, *end; at; at = *end ? end + 1 : NULL) {
        end = strchrnul(at, ',');
        struct slice entry = slice_trim(slice_of(at, (size_t)(end - at)));
        rules->list = xrealloc(rules->list, (rules->count + 1) * sizeof(*rules->list));
        if (read_origin(entry, &rules->list[rules->count++]) < 0) {
            log_error("origins: '%.*s' is no origin: scheme://host or scheme://host:port",
                      (int)entry.len, (const char *)entry.data);
            origin_rules_free(rules);
            return -EINVAL;
        }
    }
    *ret = rules;
    return 0;
}

void origin_rules_free(struct origin_rules *rules)
{
    if (!rules)
        return;
    free(rules->list);
    free(rules);
}

/* ---- deciding ---- */

static bool has_same_host(const struct origin *a, const struct origin *b)
{
    return strcmp(a->host, b->host) == 0;
}

static bool is_loopback(const struct origin *o)
{
    static const char domain[] = ".localhost";
    struct in_addr v4;
    size_t len = strlen(o->host);

    if (inet_pton(AF_INET, o->host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    return strcmp(o->host, "::1") == 0 || strcmp(o->host, domain + 1) == 0 ||
           (len > strlen(domain) && strcmp(o->host + len - strlen(domain), domain) == 0);
}

static bool is_listed(const struct origin_rules *rules, const struct origin *o)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct origin *listed = &rules->list[i];
        if (strcmp(listed->scheme, o->scheme) == 0 && has_same_host(listed, o) &&
            listed->port == o->port)
            return true;
    }
    return false;
}

static bool is_host_of_list(const struct origin_rules *rules, const struct origin *host)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (has_same_host(&rules->list[i], host))
            return true;
    }
    return false;
}

/* Without keys. HTTP/1.0 may be without `Host`; no browser speaks that. */
static bool is_host_allowed(const struct origin_rules *rules, struct slice header,
                            const struct origin *host, bool is_host_sound)
{
    return !header.data || (is_host_sound && (is_loopback(host) || is_host_of_list(rules, host)));
}

bool origin_is_allowed(const struct origin_rules *rules, const struct http_request *req,
                       bool has_keys)
{
    size_t count = http_header_count(req, "origin");
    struct slice header = http_header(req, "host");
    struct origin host = {0};
    struct origin origin;
    bool is_host_sound = header.data && read_authority(header, &host) == 0;

    if (!has_keys && !is_host_allowed(rules, header, &host, is_host_sound))
        return false;
    if (count == 0)
        return !rules->is_required;
    if (count > 1 || read_origin(http_header(req, "origin"), &origin) < 0)
        return false;
    if (rules->count > 0)
        return is_listed(rules, &origin);
    /* Pages of other schemes (those of an app, say) are none of this server's. */
    if (!is_host_sound || default_port(origin.scheme) == 0)
        return false;
    if (!has_keys)
        return is_loopback(&origin);
    host.port = host.port ? host.port : default_port(origin.scheme);
    return has_same_host(&host, &origin) && host.port == origin.port;
}
