/*
 * The file of a room's next segment. A room has no file system: its supervisor makes the file,
 * locked as the first one is, and gives it the room's name when the room asks for that. All names
 * are made here, so that no room can have anything renamed but its own next file to its own name.
 */
#include "roomd/supervisor_internal.h"

#include "common/metrics.h"
#include "common/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

/* Bytes that may wait for a room that does not read: above the first it gets no descriptor, above
 * the second it is no room of ours that asks on and on. */
#define QUEUE_FULL   320u
#define QUEUE_BROKEN 4096u

static char *path_of(const struct slot *slot, const char *suffix)
{
    return xasprintf("%s/%s%s", slot->supervisor->rooms_dir, slot->hash, suffix);
}

void next_file_remove(const struct slot *slot)
{
    char *path CLEANUP_FREE = path_of(slot, NEXT_FILE_SUFFIX);

    if (unlink(path) < 0 && errno != ENOENT)
        log_warn("%s: %s", path, strerror(errno));
}

/* A new file, which this open has locked; or -errno. */
static int make_file(const struct slot *slot)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *path CLEANUP_FREE = path_of(slot, NEXT_FILE_SUFFIX);

    next_file_remove(slot);
    int fd CLEANUP_FD = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* Whatever has the room's name must be a whole segment of the room. */
static int check_file(const struct slot *slot, const char *path)
{
    struct segment_view *v;
    int fd CLEANUP_FD = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    int r = segment_view_open(fd, &v);
    if (r < 0)
        return r;
    (void)TAKE_FD(fd);
    const struct segment_header *h = segment_view_header(v);
    if (!slice_equal(slice_of(h->tenant, h->tenant_len), blob_slice(slot->tenant)) ||
        !slice_equal(slice_of(h->room, h->room_len), blob_slice(slot->room)))
        r = -EBADMSG;
    segment_view_free(v);
    return r;
}

static int give_name(const struct slot *slot)
{
    char *from CLEANUP_FREE = path_of(slot, NEXT_FILE_SUFFIX);
    char *to CLEANUP_FREE = path_of(slot, "");
    int r = check_file(slot, from);

    if (r < 0)
        return r;
    return rename(from, to) < 0 ? -errno : 0;
}

int next_file_handle_replace(struct slot *slot, const struct msg_room_replace *m)
{
    size_t queued = ipc_queued_bytes(slot->control);
    struct msg_room_next answer = {0};
    int fd = -EAGAIN;

    (void)m;
    if (queued > QUEUE_BROKEN)
        return -EBADMSG;
    if (queued <= QUEUE_FULL)
        fd = make_file(slot);
    if (fd < 0) {
        metric_add(METRIC_SEGMENT_REPLACEMENT_FAILURES, 1);
        log_warn("room '%.*s' gets no file for its next segment: %s", (int)slot->room->len,
                 (const char *)slot->room->data, strerror(-fd));
        ipc_send_new(slot->control, proto_encode_room_next(&answer));
    } else {
        answer.has_file = true;
        ipc_send_fd(slot->control, proto_encode_room_next(&answer), fd);
    }
    return 0;
}

int next_file_handle_rename(struct slot *slot, const struct msg_room_rename *m)
{
    (void)m;
    if (ipc_queued_bytes(slot->control) > QUEUE_BROKEN)
        return -EBADMSG;
    int r = give_name(slot);
    metric_add(r < 0 ? METRIC_SEGMENT_REPLACEMENT_FAILURES : METRIC_SEGMENT_REPLACEMENTS, 1);
    if (r < 0)
        log_warn("the next segment of room '%.*s' does not get its name: %s", (int)slot->room->len,
                 (const char *)slot->room->data, strerror(-r));
    ipc_send_new(slot->control, proto_encode_room_renamed(&(struct msg_room_renamed){r == 0}));
    return 0;
}

int next_file_handle_failed(struct slot *slot, const struct msg_room_replace_failed *m)
{
    (void)slot;
    (void)m;
    metric_add(METRIC_SEGMENT_REPLACEMENT_FAILURES, 1); /* the room has logged it */
    return 0;
}
