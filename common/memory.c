#include "common/memory.h"

#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void *or_die(void *p)
{
    if (!p)
        log_panic("out of memory");
    return p;
}

void *xmalloc(size_t size)
{
    return or_die(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
    return or_die(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
    return or_die(realloc(p, size ? size : 1));
}

char *xstrdup(const char *s)
{
    return or_die(strdup(s));
}

char *xasprintf(const char *fmt, ...)
{
    va_list args;
    char *s = NULL;

    va_start(args, fmt);
    int n = vasprintf(&s, fmt, args);
    va_end(args);
    return or_die(n < 0 ? NULL : s);
}

void *try_alloc(size_t size)
{
    return malloc(size ? size : 1);
}
