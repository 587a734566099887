#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define TEXT_BYTES 256
#define DEATH      (-1) /* in the place of an error */

struct rule {
    char function[16];
    char path[128];
    unsigned n;
    int error;
    bool is_lasting;
};

/* Shared by all processes that come from one. */
struct shared {
    atomic_flag lock;
    char text[TEXT_BYTES]; /* of the rule that is counted */
    unsigned calls;
    unsigned hits;
};

static struct shared *shared;
static char rule_file[PATH_MAX]; /* of FAULT=@FILE; empty: none */

static void __attribute__((constructor)) begin(void)
{
    const char *text = getenv("FAULT");

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort();
    if (text && text[0] == '@')
        (void)snprintf(rule_file, sizeof(rule_file), "%s", text + 1);
    else if (text)
        fault_set(text);
}

/* ---- the rule ---- */

static int error_of(const char *name)
{
    static const struct {
        const char *name;
        int error;
    } errors[] = {
        {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS}, {"KILL", DEATH}};

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strcmp(errors[i].name, name) == 0)
            return errors[i].error;
    }
    (void)fprintf(stderr, "fault: no error '%s'\n", name);
    abort();
}

static bool parse(const char *text, struct rule *ret)
{
    char copy[TEXT_BYTES];
    char *words[5];
    char *rest = copy;

    (void)snprintf(copy, sizeof(copy), "%s", text);
    copy[strcspn(copy, "\n")] = '\0';
    if (copy[0] == '\0')
        return false;
    for (size_t i = 0; i < 5; i++) {
        words[i] = strsep(&rest, ":");
        if (!words[i]) {
            (void)fprintf(stderr, "fault: '%s' is no rule\n", text);
            abort();
        }
    }
    (void)snprintf(ret->function, sizeof(ret->function), "%s", words[0]);
    (void)snprintf(ret->path, sizeof(ret->path), "%s", words[1]);
    ret->n = (unsigned)strtoul(words[2], NULL, 10);
    ret->error = error_of(words[3]);
    ret->is_lasting = strcmp(words[4], "on") == 0;
    return true;
}

/* The text that holds now; in `text` if it is in a file. */
static bool read_text(char text[TEXT_BYTES])
{
    text[0] = '\0';
    if (rule_file[0] == '\0') {
        memcpy(text, shared->text, TEXT_BYTES);
        return text[0] != '\0';
    }
    int fd = (int)syscall(SYS_openat, AT_FDCWD, rule_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = syscall(SYS_read, fd, text, TEXT_BYTES - 1);
    (void)syscall(SYS_close, fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static void note_hit(const char *function, const char *path)
{
    char file[PATH_MAX + 8];
    char line[PATH_MAX + 32];

    if (rule_file[0] == '\0')
        return;
    (void)snprintf(file, sizeof(file), "%s.hits", rule_file);
    int fd =
        (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int len = snprintf(line, sizeof(line), "%s %s\n", function, path);
    if (fd >= 0 && len > 0)
        (void)syscall(SYS_write, fd, line, (size_t)len);
    if (fd >= 0)
        (void)syscall(SYS_close, fd);
}

/* Counts a call that the rule is about. */
static bool count_call(const char *text, const struct rule *rule)
{
    while (atomic_flag_test_and_set(&shared->lock)) {
    }
    if (strcmp(shared->text, text) != 0) {
        (void)snprintf(shared->text, TEXT_BYTES, "%s", text);
        shared->calls = 0;
        shared->hits = 0;
    }
    shared->calls++;
    bool is_hit = shared->calls == rule->n || (rule->is_lasting && shared->calls > rule->n);
    shared->hits += is_hit;
    atomic_flag_clear(&shared->lock);
    return is_hit;
}

static bool fails(const char *function, const char *path)
{
    char text[TEXT_BYTES];
    struct rule rule;

    if (!shared || !read_text(text) || !parse(text, &rule))
        return false;
    if ((strcmp(rule.function, function) != 0 && strcmp(rule.function, "any") != 0) ||
        !strstr(path, rule.path) || !count_call(text, &rule))
        return false;
    note_hit(function, path);
    if (rule.error == DEATH)
        (void)kill(getpid(), SIGKILL);
    errno = rule.error;
    return true;
}

static bool fails_fd(const char *function, int fd)
{
    char link[64];
    char path[PATH_MAX] = "";
    int before = errno;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    errno = before;
    return fails(function, path);
}

void fault_set(const char *rule)
{
    (void)snprintf(shared->text, TEXT_BYTES, "%s", rule ? rule : "");
    shared->calls = 0;
    shared->hits = 0;
}

unsigned fault_hits(void)
{
    return shared->hits;
}

/* ---- the functions, under both names that the C library has for those with an offset ---- */

#define SAME_AS(name) __attribute__((alias(#name)))

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
    return fails_fd("pwrite", fd) ? -1 : syscall(SYS_pwrite64, fd, data, len, offset);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t offset)
{
    return fails_fd("pwritev", fd) ? -1 : syscall(SYS_pwritev, fd, iov, count, offset, 0);
}

ssize_t write(int fd, const void *data, size_t len)
{
    return fails_fd("write", fd) ? -1 : syscall(SYS_write, fd, data, len);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
    return fails_fd("fallocate", fd) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int ftruncate64(int fd, off64_t len)
{
    return fails_fd("ftruncate", fd) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

int rename(const char *from, const char *to)
{
    char both[2 * PATH_MAX];

    (void)snprintf(both, sizeof(both), "%s %s", from, to);
    return fails("rename", both) ? -1
                                 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int fdatasync(int fd)
{
    return fails_fd("fdatasync", fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return fails_fd("fsync", fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) SAME_AS(pwrite64);
ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset) SAME_AS(pwritev64);
int fallocate(int fd, int mode, off_t offset, off_t len) SAME_AS(fallocate64);
int ftruncate(int fd, off_t len) SAME_AS(ftruncate64);
