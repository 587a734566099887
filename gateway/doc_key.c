#include "gateway/doc_key.h"

#include "common/config.h"
#include "common/log.h"
#include "gateway/doc_token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

/* The whole file, with nobody's but this user's bytes if it `is_private`. */
static int read_key(const char *path, bool is_private, struct blob **ret)
{
    int fd CLEANUP_FD =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (is_private ? O_NOFOLLOW : 0));
    uint8_t bytes[DOC_KEY_BYTES_MAX + 1];
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (is_private && (st.st_uid != geteuid() || (st.st_mode & 0077) != 0))
        return -EPERM;
    ssize_t len = read(fd, bytes, sizeof(bytes));
    if (len < 0)
        return -errno;
    if (len < (ssize_t)DOC_TOKEN_KEY_MIN || len > (ssize_t)DOC_KEY_BYTES_MAX)
        return -EINVAL;
    *ret = blob_copy(slice_of(bytes, (size_t)len));
    explicit_bzero(bytes, sizeof(bytes));
    return 0;
}

static int write_new(const char *path)
{
    uint8_t key[DOC_TOKEN_KEY_MIN];
    int fd CLEANUP_FD = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
        return -EIO;
    ssize_t n = write(fd, key, sizeof(key));
    explicit_bzero(key, sizeof(key));
    return n == (ssize_t)sizeof(key) ? 0 : n < 0 ? -errno : -EIO;
}

/* Makes the file unless it is there. It gets its name when it is whole, as others read it. */
static int make_key(const char *path)
{
    char *next CLEANUP_FREE = xasprintf("%s.%d", path, (int)getpid());

    (void)unlink(next); /* of a process of the same number that died here */
    int r = write_new(next);
    if (r == 0 && link(next, path) < 0 && errno != EEXIST)
        r = -errno;
    (void)unlink(next);
    return r;
}

static int load_own(const struct config *config, const char *path, struct blob **ret)
{
    int r = read_key(path, true, ret);

    if (r != -ENOENT)
        return r;
    r = config_make_run(config);
    if (r == 0)
        r = make_key(path);
    return r < 0 ? r : read_key(path, true, ret);
}

int doc_key_load(const struct config *config, struct blob **ret)
{
    bool is_own = config->doc_token_key[0] == '\0';
    char *path CLEANUP_FREE =
        is_own ? xasprintf("%s/token.key", config->run) : xstrdup(config->doc_token_key);
    int r = is_own ? load_own(config, path, ret) : read_key(path, false, ret);

    if (r == -EINVAL)
        log_error("%s is no key: a file of %u to %u bytes is needed", path, DOC_TOKEN_KEY_MIN,
                  DOC_KEY_BYTES_MAX);
    else if (r < 0)
        log_error("the key in %s cannot be read: %s", path, strerror(-r));
    return r;
}
