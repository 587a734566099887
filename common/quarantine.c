#include "common/quarantine.h"

#include "common/names.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TEXT_MAX 4096 /* bytes of a marker; what is longer is not ours */

static const char *const reason_names[] = {
    [QUARANTINE_UNKNOWN] = "unknown",
    [QUARANTINE_CRASHES] = "crashes",
    [QUARANTINE_DAMAGE] = "damage",
    [QUARANTINE_REPAIR] = "repair",
};

const char *quarantine_reason_name(enum quarantine_reason reason)
{
    return reason_names[reason];
}

static char *marker_path(const char *rooms_dir, const char *hash)
{
    return xasprintf("%s/%s" QUARANTINE_SUFFIX, rooms_dir, hash);
}

static void escape(struct slice name, char *ret)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < name.len && i < NAME_MAX_BYTES; i++) {
        uint8_t c = name.data[i];
        if (c >= 0x20 && c != 0x7f && c != '%') {
            *ret++ = (char)c;
            continue;
        }
        *ret++ = '%';
        *ret++ = hex[c >> 4];
        *ret++ = hex[c & 15];
    }
    *ret = '\0';
}

void quarantine_set_names(struct quarantine *q, struct slice tenant, struct slice room)
{
    escape(tenant, q->tenant);
    escape(room, q->room);
}

void quarantine_set_detail(struct quarantine *q, struct slice detail)
{
    escape(detail, q->detail);
}

bool quarantine_is_set(const char *rooms_dir, const char *hash)
{
    char *path CLEANUP_FREE = marker_path(rooms_dir, hash);

    return access(path, F_OK) == 0 || errno != ENOENT;
}

int quarantine_clear(const char *rooms_dir, const char *hash)
{
    char *path CLEANUP_FREE = marker_path(rooms_dir, hash);

    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* ---- the text ---- */

static char *format_time(uint64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return xstrdup(text);
}

int quarantine_set(const char *rooms_dir, const char *hash, const struct quarantine *q)
{
    char *path CLEANUP_FREE = marker_path(rooms_dir, hash);
    char *since CLEANUP_FREE = format_time(q->since_ms);
    char *text CLEANUP_FREE = xasprintf(
        "reason = %s\nsince = %s\ncrashes = %" PRIu32 "\nlast_signal = %" PRIu32
        "\ndetail = %s\ntenant = %s\nroom = %s\n",
        reason_names[q->reason], since, q->crashes, q->last_signal, q->detail, q->tenant, q->room);
    int fd CLEANUP_FD = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return errno == EEXIST ? 0 : -errno;
    /* Without its text, as on a full file system, it still holds the room. */
    ssize_t n = write(fd, text, strlen(text));
    (void)n;
    return 0;
}

static uint64_t parse_time(const char *text)
{
    struct tm tm = {0};

    if (!strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm))
        return 0;
    time_t seconds = timegm(&tm);
    return seconds < 0 ? 0 : (uint64_t)seconds * 1000;
}

static enum quarantine_reason parse_reason(const char *text)
{
    enum quarantine_reason reason = QUARANTINE_REPAIR;

    while (reason != QUARANTINE_UNKNOWN && strcmp(text, reason_names[reason]) != 0)
        reason--;
    return reason;
}

static void set_field(struct quarantine *q, const char *name, const char *value)
{
    if (strcmp(name, "reason") == 0)
        q->reason = parse_reason(value);
    else if (strcmp(name, "since") == 0)
        q->since_ms = parse_time(value);
    else if (strcmp(name, "crashes") == 0)
        q->crashes = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "last_signal") == 0)
        q->last_signal = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "detail") == 0)
        (void)snprintf(q->detail, sizeof(q->detail), "%s", value);
    else if (strcmp(name, "tenant") == 0)
        (void)snprintf(q->tenant, sizeof(q->tenant), "%s", value);
    else if (strcmp(name, "room") == 0)
        (void)snprintf(q->room, sizeof(q->room), "%s", value);
}

static void parse_line(struct quarantine *q, char *line)
{
    static const char separator[] = " = ";
    char *end = strstr(line, separator);

    if (!end)
        return;
    *end = '\0';
    set_field(q, line, end + strlen(separator));
}

int quarantine_read(const char *rooms_dir, const char *hash, struct quarantine *ret)
{
    char *path CLEANUP_FREE = marker_path(rooms_dir, hash);
    int fd CLEANUP_FD = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    char text[TEXT_MAX + 1];
    char *rest;

    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, TEXT_MAX);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    *ret = (struct quarantine){0};
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        parse_line(ret, line);
    return 0;
}
