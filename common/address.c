#include "common/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* The length of the socket address, or -EINVAL. */
static int parse(const char *host, uint32_t port, union address *ret)
{
    *ret = (union address){0};
    if (inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons((uint16_t)port);
        return sizeof(ret->v4);
    }
    if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons((uint16_t)port);
        return sizeof(ret->v6);
    }
    return -EINVAL;
}

bool address_is_loopback(const char *host)
{
    union address a;

    if (parse(host, 0, &a) < 0)
        return false;
    if (a.any.sa_family == AF_INET)
        return ntohl(a.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
}

/* A bound socket, or -errno. */
static int bind_socket(const union address *a, int len, int option)
{
    int on = 1;
    int fd CLEANUP_FD = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (option && setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on)) < 0) ||
        bind(fd, &a->any, (socklen_t)len) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int bound_port(int fd, uint32_t *ret_port)
{
    union address a;
    socklen_t len = sizeof(a);

    if (getsockname(fd, &a.any, &len) < 0)
        return -errno;
    *ret_port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    return 0;
}

int address_reserve(const char *host, uint32_t port, int *ret_fd, uint32_t *ret_port)
{
    union address a;
    int len = parse(host, port, &a);

    if (len < 0)
        return len;
    /* SO_REUSEPORT would share the port with another server of this user: one that listens there is
     * noticed only without it. */
    int probe CLEANUP_FD = port == 0 ? -1 : bind_socket(&a, len, 0);
    if (port != 0 && probe < 0) {
        int r = probe;
        probe = -1;
        return r;
    }
    if (probe >= 0)
        (void)close(TAKE_FD(probe));
    int fd CLEANUP_FD = bind_socket(&a, len, SO_REUSEPORT);
    if (fd < 0)
        return fd;
    int r = bound_port(fd, ret_port);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

char *address_url(const char *scheme, const char *host, uint32_t port)
{
    bool is_v6 = strchr(host, ':');

    return xasprintf("%s://%s%s%s:%u", scheme, is_v6 ? "[" : "", host, is_v6 ? "]" : "",
                     (unsigned)port);
}
