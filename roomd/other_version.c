#include "roomd/supervisor_internal.h"

#include "common/segment.h"

#include <errno.h>
#include <fcntl.h>

/* A room of that version may still run, and publish more before it ends. */
static bool is_locked(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &lock) < 0;
}

bool other_version_holds(const struct supervisor *s, const char *hash)
{
    char *path CLEANUP_FREE = xasprintf("%s/%s", s->rooms_dir, hash);
    int fd CLEANUP_FD = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    struct segment_foreign foreign;
    bool is_running;

    if (fd < 0)
        return false;
    is_running = is_locked(fd); /* before the file is read: from here on it does not change */
    if (segment_read_foreign(fd, &foreign) < 0)
        return false;
    if (!is_running && foreign.is_done) {
        log_info("%s is of format version %u, with everything stored, and is removed", path,
                 foreign.version);
        if (unlink(path) < 0)
            log_warn("%s: %s", path, strerror(errno));
        return false;
    }
    log_error("%s is of format version %u and may hold edits that are not stored; this is version "
              "%u, and the room is not started. Run the release that wrote it until it has stored "
              "them and stop it in order, or remove the file to go on without them",
              path, foreign.version, SEGMENT_VERSION);
    return true;
}
