#include "ctl/room_list.h"

#include "common/segment.h"
#include "ctl/escape.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>

/* ---- reading ---- */

static bool process_is_alive(uint32_t pid)
{
    return pid > 0 && pid <= INT32_MAX && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* A room may write its header while it is read, and its process digests hostile documents: every
 * length is bounded again. */
static struct room_info read_header(const struct segment_header *h)
{
    struct room_info info = {
        .tenant_len = h->tenant_len,
        .room_len = h->room_len,
        .pid = atomic_load(&h->pid),
        .clients = atomic_load(&h->clients),
        .updates = atomic_load(&h->updates),
        .bytes = atomic_load(&h->committed),
        .stored_seq = atomic_load(&h->stored_seq),
        .last_seq = atomic_load(&h->last_seq),
        .structs = atomic_load(&h->structs),
        .pending_bytes = atomic_load(&h->pending_bytes),
        .started_ms = atomic_load(&h->started_ms),
        .last_activity_ms = atomic_load(&h->last_activity_ms),
    };

    if (info.tenant_len > sizeof(info.tenant))
        info.tenant_len = sizeof(info.tenant);
    if (info.room_len > sizeof(info.room))
        info.room_len = sizeof(info.room);
    memcpy(info.tenant, h->tenant, info.tenant_len);
    memcpy(info.room, h->room, info.room_len);
    info.is_alive = process_is_alive(info.pid);
    return info;
}

static void add(struct room_list *list, const struct room_info *info)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->rooms = xrealloc(list->rooms, list->cap * sizeof(list->rooms[0]));
    }
    list->rooms[list->count++] = *info;
}

static void read_segment(struct room_list *list, int dir, const char *name)
{
    struct segment_view *view;
    int fd CLEANUP_FD = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return; /* closed since the directory was read */
    int r = segment_view_open(fd, &view);
    if (r < 0) {
        list->damaged += r == -EBADMSG;
        return;
    }
    (void)TAKE_FD(fd);
    const struct segment_header *h = segment_view_header(view);
    if (!(atomic_load(&h->flags) & (SEGMENT_CLOSED | SEGMENT_SUPERSEDED))) {
        struct room_info info = read_header(h);
        memcpy(info.hash, name, NAME_HASH_HEX);
        add(list, &info);
    }
    segment_view_free(view);
}

static int compare_names(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int r = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return r != 0 ? r : (a_len > b_len) - (a_len < b_len);
}

static int compare_rooms(const void *left, const void *right)
{
    const struct room_info *a = left;
    const struct room_info *b = right;
    int r = compare_names(a->room, a->room_len, b->room, b->room_len);

    return r != 0 ? r : compare_names(a->tenant, a->tenant_len, b->tenant, b->tenant_len);
}

static bool is_hash(const char *name, const char *suffix)
{
    return strspn(name, "0123456789abcdef") == NAME_HASH_HEX &&
           strcmp(name + NAME_HASH_HEX, suffix) == 0;
}

static struct room_info *find(struct room_list *list, const char *hash)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->rooms[i].hash, hash) == 0)
            return &list->rooms[i];
    }
    return NULL;
}

/* A room whose segment tells nothing has the names that the mark tells. */
static struct room_info *find_marked(struct room_list *list, const char *hash,
                                     const struct quarantine *q)
{
    struct room_info info = {0};
    struct room_info *found = find(list, hash);

    if (found)
        return found;
    memcpy(info.hash, hash, NAME_HASH_HEX);
    info.tenant_len = (uint16_t)strnlen(q->tenant, sizeof(info.tenant));
    info.room_len = (uint16_t)strnlen(q->room, sizeof(info.room));
    memcpy(info.tenant, q->tenant, info.tenant_len);
    memcpy(info.room, q->room, info.room_len);
    info.started_ms = q->since_ms;
    info.last_activity_ms = q->since_ms;
    add(list, &info);
    return &list->rooms[list->count - 1];
}

static void read_mark(struct room_list *list, const char *rooms_dir, const char *name)
{
    char hash[NAME_HASH_HEX + 1] = "";
    struct quarantine q = {0};

    memcpy(hash, name, NAME_HASH_HEX);
    if (quarantine_read(rooms_dir, hash, &q) == -ENOENT)
        return; /* released since the directory was read */
    struct room_info *room = find_marked(list, hash, &q);
    room->is_quarantined = true;
    room->reason = q.reason;
    room->crashes = q.crashes;
    room->last_signal = q.last_signal;
    room->quarantined_ms = q.since_ms;
}

int room_list_read(struct room_list *list, const char *rooms_dir)
{
    struct dirent *entry;
    DIR *dir = opendir(rooms_dir);

    if (!dir)
        return -errno;
    *list = (struct room_list){0};
    while ((entry = readdir(dir))) {
        if (is_hash(entry->d_name, ""))
            read_segment(list, dirfd(dir), entry->d_name);
    }
    rewinddir(dir);
    while ((entry = readdir(dir))) {
        if (is_hash(entry->d_name, QUARANTINE_SUFFIX))
            read_mark(list, rooms_dir, entry->d_name);
    }
    (void)closedir(dir);
    if (list->count > 0)
        qsort(list->rooms, list->count, sizeof(list->rooms[0]), compare_rooms);
    return 0;
}

void room_list_done(struct room_list *list)
{
    free(list->rooms);
    *list = (struct room_list){0};
}

/* ---- printing ---- */

static uint64_t difference(uint64_t more, uint64_t less)
{
    return more > less ? more - less : 0;
}

static void append_age(struct buffer *out, uint64_t ms)
{
    static const struct {
        uint64_t ms;
        char unit;
    } units[] = {{86400000, 'd'}, {3600000, 'h'}, {60000, 'm'}, {1000, 's'}};
    char text[32] = "0s";

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (ms >= units[i].ms) {
            (void)snprintf(text, sizeof(text), "%" PRIu64 "%c", ms / units[i].ms, units[i].unit);
            break;
        }
    }
    buffer_printf(out, " %6s", text);
}

static const char *state_name(const struct room_info *r)
{
    if (r->is_quarantined)
        return "quarantined";
    return r->is_alive ? "open" : "dead";
}

static void append_reason(struct buffer *out, const struct room_info *r)
{
    buffer_printf(out, "  (%s", quarantine_reason_name(r->reason));
    if (r->crashes > 0)
        buffer_printf(out, ", %" PRIu32 " in a minute", r->crashes);
    if (r->last_signal > 0)
        buffer_printf(out, ", signal %" PRIu32, r->last_signal);
    buffer_append_str(out, ")");
}

void room_list_print_table(const struct room_list *list, uint64_t now_ms, struct buffer *out)
{
    buffer_printf(out, "%-11s %8s %8s %10s %12s %8s %6s  %s\n", "STATE", "PID", "CLIENTS",
                  "UPDATES", "BYTES", "LAG", "AGE", "ROOM");
    for (size_t i = 0; i < list->count; i++) {
        const struct room_info *r = &list->rooms[i];
        buffer_printf(out, "%-11s %8" PRIu32 " %8" PRIu32 " %10" PRIu64 " %12" PRIu64 " %8" PRIu64,
                      state_name(r), r->pid, r->clients, r->updates, r->bytes,
                      difference(r->last_seq, r->stored_seq));
        append_age(out, difference(now_ms, r->started_ms));
        buffer_append_str(out, "  ");
        escape_append(out, slice_of(r->room, r->room_len));
        if (r->is_quarantined)
            append_reason(out, r);
        buffer_append_str(out, "\n");
    }
}

/* A name as JSON; one that is no UTF-8, as only a broken room has it, is escaped. */
static json_t *json_name(const char *name, size_t len)
{
    json_t *value = json_stringn(name, len);

    if (value)
        return value;
    struct buffer escaped = {0};
    escape_append(&escaped, slice_of(name, len));
    value = json_stringn((const char *)escaped.data, escaped.len);
    buffer_done(&escaped);
    return value;
}

static json_t *json_number(uint64_t n)
{
    return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *json_quarantine(const struct room_info *r)
{
    if (!r->is_quarantined)
        return json_null();
    return json_pack("{s:s, s:o, s:o, s:o}", "reason", quarantine_reason_name(r->reason),
                     "since_ms", json_number(r->quarantined_ms), "crashes", json_number(r->crashes),
                     "last_signal", json_number(r->last_signal));
}

static json_t *json_room(const struct room_info *r, uint64_t now_ms)
{
    return json_pack(
        "{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "tenant",
        json_name(r->tenant, r->tenant_len), "room", json_name(r->room, r->room_len), "state",
        state_name(r), "pid", json_number(r->pid), "clients", json_number(r->clients), "updates",
        json_number(r->updates), "bytes", json_number(r->bytes), "last_seq",
        json_number(r->last_seq), "stored_seq", json_number(r->stored_seq), "lag",
        json_number(difference(r->last_seq, r->stored_seq)), "structs", json_number(r->structs),
        "pending_bytes", json_number(r->pending_bytes), "age_ms",
        json_number(difference(now_ms, r->started_ms)), "idle_ms",
        json_number(difference(now_ms, r->last_activity_ms)), "quarantine", json_quarantine(r));
}

static int dump(const char *text, size_t len, void *ctx)
{
    buffer_append(ctx, text, len);
    return 0;
}

void room_list_print_json(const struct room_list *list, uint64_t now_ms, struct buffer *out)
{
    json_t *rooms = json_array();

    for (size_t i = 0; i < list->count; i++)
        (void)json_array_append_new(rooms, json_room(&list->rooms[i], now_ms));
    (void)json_dump_callback(rooms, dump, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    buffer_append_str(out, "\n");
    json_decref(rooms);
}
