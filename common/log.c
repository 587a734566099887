#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1000

static char process_name[33] = "concord";
static enum log_level max_level = LOG_LEVEL_INFO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(const char *process, enum log_level level)
{
    (void)snprintf(process_name, sizeof(process_name), "%s", process);
    max_level = level;
}

int log_level_parse(const char *name, enum log_level *ret_level)
{
    for (int i = 0; i <= LOG_LEVEL_DEBUG; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* Copies `text` to `line`, escaping what would break a line or a terminal; UTF-8 passes. */
static size_t escape(const char *text, char *line, size_t cap)
{
    static const char hex[] = "0123456789abcdef";
    bool is_c1_rest = false; /* the second byte of a C1 control, U+0080 to U+009F */
    size_t n = 0;

    for (const unsigned char *p = (const unsigned char *)text; *p && n + 5 < cap; p++) {
        bool is_c1 = *p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;
        if (*p >= 0x20 && *p != 0x7f && !is_c1 && !is_c1_rest) {
            line[n++] = (char)*p;
            continue;
        }
        line[n++] = '\\';
        line[n++] = 'x';
        line[n++] = hex[*p >> 4];
        line[n++] = hex[*p & 15];
        is_c1_rest = is_c1;
    }
    return n;
}

__attribute__((format(printf, 2, 0))) static void write_line(enum log_level level, const char *fmt,
                                                             va_list args)
{
    char text[LINE_MAX_BYTES];
    char line[LINE_MAX_BYTES + 100];
    struct timespec now;
    struct tm tm;
    int saved_errno = errno;

    (void)vsnprintf(text, sizeof(text), fmt, args);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    int n = snprintf(line, 100, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %-5s %s[%d] ",
                     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     now.tv_nsec / 1000000, level_names[level], process_name, (int)getpid());
    size_t len = n < 0 ? 0 : (n < 100 ? (size_t)n : 99);
    len += escape(text, line + len, sizeof(line) - len - 1);
    line[len++] = '\n';
    /* One write a line: lines of several processes do not mix. Nobody is told when it fails. */
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written;
    errno = saved_errno;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    va_list args;

    if (level > max_level)
        return;
    va_start(args, fmt);
    write_line(level, fmt, args);
    va_end(args);
}

void log_fatal(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_line(LOG_LEVEL_ERROR, fmt, args);
    va_end(args);
    exit(1);
}

void log_panic(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_line(LOG_LEVEL_ERROR, fmt, args);
    va_end(args);
    abort();
}
