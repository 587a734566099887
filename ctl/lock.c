#include "ctl/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

static pid_t read_owner(int fd)
{
    char text[32] = {0};
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;

    return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static int write_owner(const char *path)
{
    /* The descriptor that holds the lock is inherited by others and cannot write. */
    int fd CLEANUP_FD = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    return fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0 ? -errno : 0;
}

static void on_alarm(int sig)
{
    (void)sig; /* interrupts flock() */
}

static int wait_for_lock(int fd)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct sigaction before;

    (void)sigaction(SIGALRM, &action, &before);
    (void)alarm(LOCK_WAIT_S);
    int r = flock(fd, LOCK_EX) < 0 ? -EBUSY : 0;
    (void)alarm(0);
    (void)sigaction(SIGALRM, &before, NULL);
    return r;
}

int lock_take(const char *dir, int *ret_fd, pid_t *ret_owner)
{
    char *path CLEANUP_FREE = xasprintf("%s/lock", dir);
    int fd CLEANUP_FD = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        pid_t owner = read_owner(fd);
        bool is_leaving = owner > 0 && kill(owner, 0) < 0 && errno == ESRCH;
        if (!is_leaving || wait_for_lock(fd) < 0) {
            *ret_owner = owner;
            return -EBUSY;
        }
    }
    int r = write_owner(path);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}
