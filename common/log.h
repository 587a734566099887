/*
 * The log: one line per event on stderr, `time level process[pid] text`. Control characters in the
 * text are escaped and a line is cut at 1,000 bytes, so a peer's bytes can neither forge lines nor
 * flood one. Secrets and document bytes are never passed here.
 */
#pragma once

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

/* `process` is copied (at most 32 bytes). May be called again, as after a fork. */
void log_init(const char *process, enum log_level level);
/* -EINVAL for an unknown name. */
int log_level_parse(const char *name, enum log_level *ret_level);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Logs and ends the process. log_fatal: the environment's fault, exit status 1. log_panic: ours,
 * abort(), also for bytes from our own processes that make no sense. */
void log_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void log_panic(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
