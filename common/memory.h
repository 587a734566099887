/*
 * Memory for what we size ourselves: these abort when there is none (the supervisor restarts the
 * process and the segment replays). A size that a peer chose goes through try_alloc() after it was
 * checked against a limit. And the cleanup attributes that make a single exit possible.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define WARN_UNUSED __attribute__((warn_unused_result))

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* NULL when there is no memory. */
void *try_alloc(size_t size) __attribute__((malloc));

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

/* char *path CLEANUP_FREE = NULL; int fd CLEANUP_FD = -1; */
#define CLEANUP_FREE __attribute__((cleanup(cleanup_free)))
#define CLEANUP_FD   __attribute__((cleanup(cleanup_fd)))

/* Hands a descriptor or pointer out of a cleanup variable. */
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int taken_fd_ = (fd);                                                                      \
        (fd) = -1;                                                                                 \
        taken_fd_;                                                                                 \
    })
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) taken_ptr_ = (p);                                                            \
        (p) = NULL;                                                                                \
        taken_ptr_;                                                                                \
    })
