#include "ctl/doctor_all.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

/* A room to be examined. */
struct entry {
    char hash[NAME_HASH_HEX + 1];
    bool is_stored;
    char *tenant; /* of a stored room; the names follow each other */
    size_t tenant_len;
    size_t room_len;
};

struct entries {
    struct entry *list;
    size_t count;
};

static struct entry *add(struct entries *e)
{
    if (e->count % 64 == 0)
        e->list = xrealloc(e->list, (e->count + 64) * sizeof(*e->list));
    e->list[e->count] = (struct entry){0};
    return &e->list[e->count++];
}

/* ---- which rooms there are ---- */

/* Segments, and the marks of rooms that may have none. */
static bool is_room_file(const char *name)
{
    if (strspn(name, "0123456789abcdef") != NAME_HASH_HEX)
        return false;
    return name[NAME_HASH_HEX] == '\0' || strcmp(name + NAME_HASH_HEX, QUARANTINE_SUFFIX) == 0;
}

static int list_files(const char *rooms_dir, struct entries *e)
{
    DIR *dir = opendir(rooms_dir);
    struct dirent *d;

    if (!dir)
        return errno == ENOENT ? 0 : -errno; /* no server has run since the machine started */
    while ((d = readdir(dir))) {
        if (is_room_file(d->d_name))
            memcpy(add(e)->hash, d->d_name, NAME_HASH_HEX);
    }
    (void)closedir(dir);
    return 0;
}

static void on_stored_room(void *ctx, struct store_key key)
{
    struct entry *entry = add(ctx);

    name_hash(key.tenant, key.room, entry->hash);
    entry->is_stored = true;
    entry->tenant = xmalloc(key.tenant.len + key.room.len + 1);
    entry->tenant_len = key.tenant.len;
    entry->room_len = key.room.len;
    memcpy(entry->tenant, key.tenant.data, key.tenant.len);
    memcpy(entry->tenant + key.tenant.len, key.room.data, key.room.len);
}

/* By hash, the one that knows the names first. */
static int compare(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    int r = strcmp(a->hash, b->hash);

    return r != 0 ? r : (int)b->is_stored - (int)a->is_stored;
}

/* ---- examination ---- */

static void print_line(const struct patient *p, struct buffer *out)
{
    patient_print_name(p, out);
    buffer_append_str(out, ": ");
    for (size_t i = 0; i < p->findings.len; i++) {
        if (p->findings.data[i] == '\n')
            buffer_append_str(out, "; ");
        else
            buffer_append(out, p->findings.data + i, 1);
    }
    buffer_append_str(out, "\n");
}

static void examine(const struct entry *entry, const struct clinic *clinic, struct buffer *out,
                    struct doctor_count *count)
{
    struct store_key key = {.tenant = slice_of(entry->tenant, entry->tenant_len),
                            .room = slice_of(entry->tenant + entry->tenant_len, entry->room_len)};
    char *path CLEANUP_FREE = xasprintf("%s/%s", clinic->rooms_dir, entry->hash);
    int fd CLEANUP_FD = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool is_lost = fd < 0 && errno != ENOENT;
    struct patient p = {0};

    int r = is_lost ? -errno : patient_examine(&p, clinic, entry->hash, key, fd);
    if (r < 0) {
        (void)fprintf(stderr, "concordctl: %s: %s\n", path, store_strerror(r));
        count->unchecked++;
    } else if (p.finding_count > 0) {
        print_line(&p, out);
        count->sick++;
    }
    count->segments += fd >= 0;
    patient_done(&p);
}

int doctor_examine_all(const struct clinic *clinic, struct buffer *out,
                       struct doctor_count *ret_count)
{
    struct doctor_count count = {0};
    struct entries e = {0};
    int r = list_files(clinic->rooms_dir, &e);

    if (r == 0 && clinic->store)
        r = doctor_store_list(clinic->store, on_stored_room, &e);
    if (r == 0 && e.count > 0)
        qsort(e.list, e.count, sizeof(*e.list), compare);
    for (size_t i = 0; i < e.count && r == 0; i++) {
        count.stored += e.list[i].is_stored;
        if (i == 0 || strcmp(e.list[i].hash, e.list[i - 1].hash) != 0)
            examine(&e.list[i], clinic, out, &count);
    }
    for (size_t i = 0; i < e.count; i++)
        free(e.list[i].tenant);
    free(e.list);
    if (r == 0)
        *ret_count = count;
    return r;
}
