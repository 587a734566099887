#include "roomd/room_internal.h"

#include <errno.h>

/*
 * NONE ─log is long─▶ ASKED ─file came, next is written─▶ RENAMING ─it has the name─▶ NONE
 *   ▲                   │                                     │
 *   └───── no file, no space, no name: again after a while ───┴
 */

#define RETRY_MIN_MS 1000u
#define RETRY_MAX_MS 30000u

/* The old segment goes on. Writing the document anew costs time, so it is tried ever less often. */
static void fail(struct room *room, const char *what, int error)
{
    struct replacement *r = &room->replacement;

    r->failures++;
    r->pause_ms = r->pause_ms == 0 ? RETRY_MIN_MS : 2 * r->pause_ms;
    if (r->pause_ms > RETRY_MAX_MS)
        r->pause_ms = RETRY_MAX_MS;
    r->retry_ms = mono_now_ms() + r->pause_ms;
    r->state = REPLACEMENT_NONE;
    log_warn("the segment is not replaced, %s: %s", what, strerror(-error));
}

static void succeed(struct room *room)
{
    struct replacement *r = &room->replacement;

    document_take_next(room->document);
    store_link_renew(room);
    *r = (struct replacement){.count = r->count + 1, .failures = r->failures};
    log_debug("the segment is replaced");
}

static void ask_for_name(struct room *room)
{
    struct msg_room_rename m = {};

    room->replacement.state = REPLACEMENT_RENAMING;
    room_tell(room, proto_encode_room_rename(&m));
}

uint64_t replacement_check(struct room *room, uint64_t now_ms)
{
    struct replacement *r = &room->replacement;
    struct msg_room_replace m = {};

    if (room->state != ROOM_READY || r->state != REPLACEMENT_NONE || !room->control ||
        !document_wants_next(room->document))
        return 0;
    if (now_ms < r->retry_ms)
        return r->retry_ms - now_ms;
    r->state = REPLACEMENT_ASKED;
    room_tell(room, proto_encode_room_replace(&m));
    return 0;
}

int replacement_handle_next(struct room *room, const struct msg_room_next *m)
{
    int fd CLEANUP_FD = m->has_file ? room_take_fd(room) : -ENOSPC;

    if (room->replacement.state != REPLACEMENT_ASKED)
        return -EBADMSG;
    if (fd < 0) {
        fail(room, "there is no file for the next", fd);
        return 0;
    }
    room_flush(room); /* the next one begins with what everybody may know */
    int r = document_begin_next(room->document, fd);
    if (r < 0) {
        fail(room, "the next one cannot be written", r);
        room_tell(room, proto_encode_room_replace_failed(&(struct msg_room_replace_failed){}));
        return 0;
    }
    (void)TAKE_FD(fd);
    ask_for_name(room);
    return 0;
}

int replacement_handle_renamed(struct room *room, const struct msg_room_renamed *m)
{
    if (room->replacement.state != REPLACEMENT_RENAMING)
        return -EBADMSG;
    if (m->is_done) {
        succeed(room);
        return 0;
    }
    document_drop_next(room->document);
    fail(room, "the next one does not get the name", -EIO);
    return 0;
}

void replacement_orphan(struct room *room)
{
    switch (room->replacement.state) {
    case REPLACEMENT_NONE:
        break;
    case REPLACEMENT_ASKED:
        room->replacement.state = REPLACEMENT_NONE;
        break;
    case REPLACEMENT_RENAMING:
        if (document_was_renamed(room->document))
            succeed(room);
        break;
    }
}

void replacement_resume(struct room *room)
{
    if (room->replacement.state == REPLACEMENT_RENAMING)
        ask_for_name(room);
}
