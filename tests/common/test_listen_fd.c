/* Each in a process of its own: descriptor 3 of this one may be in use. */
#include "common/listen_fd.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum kind { LISTENING, CONNECTING, DATAGRAM, NO_SOCKET };

static int make_fd(enum kind kind)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = kind == NO_SOCKET ? open("/dev/null", O_RDONLY)
                               : socket(AF_INET, kind == DATAGRAM ? SOCK_DGRAM : SOCK_STREAM, 0);

    if (kind == LISTENING &&
        (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0))
        return -1;
    return fd;
}

/* In a child: the negative result, 0 for a sound descriptor, 1 for what is none. */
static int take(enum kind kind, const char *fds, bool is_for_us)
{
    char pid[16];
    int fd = make_fd(kind);

    if (fd < 0 || dup2(fd, 3) != 3)
        return 1;
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid() + !is_for_us);
    (void)setenv("LISTEN_PID", pid, 1);
    if (fds)
        (void)setenv("LISTEN_FDS", fds, 1);
    int r = listen_fd_take();
    if (r < 0)
        return r;
    bool is_sound = r == 3 && fcntl(r, F_GETFD) == FD_CLOEXEC && fcntl(r, F_GETFL) & O_NONBLOCK;
    return is_sound && listen_fd_take() == -ENOENT ? 0 : 1;
}

Test(listen_fd, is_taken_if_it_is_ours_and_listens)
{
    static const struct {
        enum kind kind;
        const char *fds;
        bool is_for_us;
        int result;
    } rows[] = {
        {LISTENING, "1", true, 0},        {LISTENING, "1", false, -ENOENT},
        {LISTENING, NULL, true, -ENOENT}, {LISTENING, "2", true, -EINVAL},
        {LISTENING, "0", true, -EINVAL},  {LISTENING, "x", true, -EINVAL},
        {LISTENING, "", true, -EINVAL},   {CONNECTING, "1", true, -EINVAL},
        {DATAGRAM, "1", true, -EINVAL},   {NO_SOCKET, "1", true, -EINVAL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0)
            _exit(-take(rows[i].kind, rows[i].fds, rows[i].is_for_us) & 255);
        cr_assert(waitpid(pid, &status, 0) == pid);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == -rows[i].result, "row %zu: %x", i,
                  (unsigned)status);
    }
}
