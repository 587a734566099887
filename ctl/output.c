#include "ctl/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>

static int write_all(int fd, struct slice data)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.data, data.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data = slice_of(data.data + n, data.len - (size_t)n);
    }
    return 0;
}

static int write_in_place(const char *path, struct slice data)
{
    int fd CLEANUP_FD = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

    return fd < 0 ? -errno : write_all(fd, data);
}

static int fill(int fd, struct slice data)
{
    mode_t mask = umask(0);

    (void)umask(mask);
    if (fchmod(fd, 0666 & ~mask) < 0)
        return -errno;
    int r = write_all(fd, data);
    return r == 0 && fsync(fd) < 0 ? -errno : r;
}

/* The new name is durable after this. */
static int sync_folder(const char *path)
{
    char *copy CLEANUP_FREE = xstrdup(path);
    int fd CLEANUP_FD = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int replace(const char *path, struct slice data)
{
    char *temporary CLEANUP_FREE = xasprintf("%s.XXXXXX", path);
    int fd CLEANUP_FD = mkostemp(temporary, O_CLOEXEC);

    if (fd < 0)
        return -errno;
    int r = fill(fd, data);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0) {
        (void)unlink(temporary);
        return r;
    }
    return sync_folder(path);
}

int output_write(const char *path, struct slice data)
{
    struct stat st;

    if (!path || strcmp(path, "-") == 0)
        return write_all(STDOUT_FILENO, data);
    if (stat(path, &st) < 0)
        return errno == ENOENT ? replace(path, data) : -errno;
    if (!S_ISREG(st.st_mode))
        return write_in_place(path, data);
    /* A link stays one: what it points to is replaced. */
    char *target CLEANUP_FREE = realpath(path, NULL);
    return target ? replace(target, data) : -errno;
}
