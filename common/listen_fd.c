#include "common/listen_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define FIRST_FD 3

static bool env_is(const char *name, long want)
{
    const char *value = getenv(name);
    char *rest;

    if (!value || value[0] < '0' || value[0] > '9')
        return false;
    long n = strtol(value, &rest, 10);
    return *rest == '\0' && n == want;
}

static int check_socket(int fd)
{
    int is_listening = 0;
    int type = 0;
    socklen_t len = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || !is_listening ||
        type != SOCK_STREAM)
        return -EINVAL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    return fd;
}

int listen_fd_take(void)
{
    bool is_ours = getenv("LISTEN_FDS") && env_is("LISTEN_PID", (long)getpid());
    bool is_one = env_is("LISTEN_FDS", 1);

    if (!is_ours)
        return -ENOENT;
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return is_one ? check_socket(FIRST_FD) : -EINVAL;
}
