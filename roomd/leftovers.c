#include "roomd/supervisor_internal.h"

#include "common/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#define ACTIVE_MAX 16u /* rooms that start from old segments at the same time */

static bool is_segment_name(const char *name)
{
    return strlen(name) == NAME_HASH_HEX && strspn(name, "0123456789abcdef") == NAME_HASH_HEX;
}

int leftovers_scan(struct supervisor *s)
{
    DIR *dir = opendir(s->rooms_dir);
    size_t cap = 0;
    struct dirent *d;

    if (!dir)
        return -errno;
    while ((d = readdir(dir))) {
        if (!is_segment_name(d->d_name))
            continue;
        if (s->leftover_count == cap) {
            cap = cap ? 2 * cap : 64;
            s->leftovers = xrealloc(s->leftovers, cap * sizeof(*s->leftovers));
        }
        memcpy(s->leftovers[s->leftover_count++], d->d_name, NAME_HASH_HEX + 1);
    }
    (void)closedir(dir);
    if (s->leftover_count > 0)
        log_info("%zu rooms were left open and are started", s->leftover_count);
    return 0;
}

/* A file that was never finished holds nothing. Whoever is just writing it has it locked. */
static void remove_unfinished(const char *path, int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
        return;
    log_warn("%s is unfinished, or of another boot and torn: what the store holds counts", path);
    if (unlink(path) < 0)
        log_warn("%s: %s", path, strerror(errno));
}

/* Starts the room that the segment names. -errno, and the file stays as it is. */
static int start_room(struct supervisor *s, const char *hash, const struct segment_header *h)
{
    struct slice tenant = slice_of(h->tenant, h->tenant_len);
    struct slice room = slice_of(h->room, h->room_len);
    char expected[NAME_HASH_HEX + 1];
    struct slot *slot;

    name_hash(tenant, room, expected);
    if (!name_is_valid(tenant) || !name_is_valid(room) || strcmp(expected, hash) != 0)
        return -EBADMSG;
    uint32_t refusal = slot_start(s, tenant, room, &slot);
    if (refusal)
        return refusal == REFUSAL_ROOM_QUARANTINED ? 0 : -EMFILE;
    /* It counts until it is open; if it could not even be started it is none any more. */
    if (slot->state == SLOT_STARTING) {
        slot->is_leftover = true;
        s->leftover_active++;
    }
    return 0;
}

static void start(struct supervisor *s, const char *hash)
{
    char *path CLEANUP_FREE = xasprintf("%s/%s", s->rooms_dir, hash);
    struct segment_view *v;

    if (slot_find(s, hash))
        return; /* a gateway was faster */
    int fd CLEANUP_FD = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    int r = fd < 0 ? -errno : segment_view_open(fd, &v);
    if (r == -ENODATA) {
        remove_unfinished(path, fd);
        return;
    }
    if (r == -ENOTSUP) {
        (void)other_version_holds(s, hash);
        return;
    }
    if (r == 0) {
        (void)TAKE_FD(fd);
        r = start_room(s, hash, segment_view_header(v));
        segment_view_free(v);
    }
    if (r == -EBADMSG)
        quarantine_segment(s, hash);
    else if (r < 0)
        log_error("%s is left as it is: %s", path, strerror(-r));
}

void leftovers_continue(struct supervisor *s)
{
    while (s->leftover_count > 0 && s->leftover_active < ACTIVE_MAX)
        start(s, s->leftovers[--s->leftover_count]);
}
