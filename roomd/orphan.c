/*
 * A room without a supervisor. Its clients and its store have connections of their own and go on;
 * nobody new can join before the next supervisor has adopted it. So it knocks at that one's door
 * until it is let in, and ends if nobody needs it: without clients, and with everything stored or
 * nobody there to store it. The segment keeps what it has, and the next supervisor finds it.
 */
#include "roomd/room_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>

#define KNOCK_MIN_MS 20u
#define KNOCK_MAX_MS 1000u

static void knock_later(struct room *room)
{
    struct timeval delay = {.tv_sec = room->orphan.knock_ms / 1000,
                            .tv_usec = (suseconds_t)(room->orphan.knock_ms % 1000) * 1000};

    if (event_add(room->orphan.on_knock, &delay) < 0)
        log_panic("a timer cannot be set");
    room->orphan.knock_ms *= 2;
    if (room->orphan.knock_ms > KNOCK_MAX_MS)
        room->orphan.knock_ms = KNOCK_MAX_MS;
}

/* Says who this is. The segment proves it: its lock belongs to the open file, which only this room
 * has. */
static void introduce(struct room *room, int segment_fd)
{
    struct msg_room_adopt m = {.tenant = room->tenant,
                               .room = room->name,
                               .links = room->links_received,
                               .is_ready = room->state == ROOM_READY,
                               .has_store = room->store.ipc != NULL};

    ipc_send_fd(room->control, proto_encode_room_adopt(&m), segment_fd);
    replacement_resume(room);
}

static void on_knock(evutil_socket_t unused, short what, void *ctx)
{
    struct room *room = ctx;
    int segment_fd CLEANUP_FD = document_dup_segment(room->document);
    int fd = segment_fd < 0 ? segment_fd : ipc_connect(room->orphan.path);

    (void)unused;
    (void)what;
    if (fd < 0) {
        knock_later(room);
        return;
    }
    room->orphan.knocked_ms = mono_now_ms();
    room_set_control(room, fd);
    introduce(room, TAKE_FD(segment_fd));
}

void orphan_init(struct room *room, const char *path, uint32_t unused_ms)
{
    room->orphan.path = path;
    room->orphan.unused_ms = unused_ms;
    room->orphan.knock_ms = KNOCK_MIN_MS;
    room->orphan.on_knock = evtimer_new(loop_base(room->loop), on_knock, room);
    if (!room->orphan.on_knock)
        log_panic("no timer");
}

void orphan_done(struct room *room)
{
    event_free(room->orphan.on_knock);
}

bool orphan_begin(struct room *room)
{
    uint64_t now_ms = mono_now_ms();

    if (!room->orphan.path || room->is_shutting_down || !document_has_segment(room->document))
        return false;
    /* One that lets nobody in is not asked too often. */
    if (now_ms - room->orphan.knocked_ms > KNOCK_MAX_MS)
        room->orphan.knock_ms = KNOCK_MIN_MS;
    replacement_orphan(room);
    log_debug("the supervisor is gone; the room goes on and waits for the next one");
    room->orphan.since_ms = now_ms;
    knock_later(room);
    return true;
}

uint64_t orphan_check(struct room *room, uint64_t now_ms)
{
    uint64_t due_ms = room->orphan.since_ms;

    if (room->control || room->state == ROOM_ENDING || !TAILQ_EMPTY(&room->links))
        return 0;
    bool is_stored = document_stored_seq(room->document) == document_last_seq(room->document);
    if (room->store.ipc && !is_stored)
        return 0; /* that takes a turn of its own */
    if (room->unused_since_ms > due_ms)
        due_ms = room->unused_since_ms;
    due_ms += room->orphan.unused_ms;
    if (now_ms < due_ms)
        return due_ms - now_ms;
    log_info("no supervisor and no client came: the room ends");
    room_end_orphan(room, is_stored);
    return 0;
}
