/*
 * The inside of a room process, shared by room.c, room_turn.c, link.c, session.c, store_link.c,
 * replacement.c and orphan.c. room.c owns the life of the room, room_turn.c the work at the end of
 * a turn, replacement.c the change to a new segment, orphan.c the time without a supervisor, the
 * others one kind of peer each.
 */
#pragma once

#include "common/ipc.h"
#include "proto/proto.h"
#include "proto/refusal.h"
#include "roomd/awareness.h"
#include "roomd/document.h"
#include "roomd/room.h"
#include "roomd/session.h"

#include <sys/queue.h>

/* WAITING for a connection to the store -> LOADING -> READY -> ENDING; back to WAITING if the
 * connection is lost on the way, from anywhere to ENDING when the room cannot be. With a segment a
 * room is READY after a while even if the store does not answer: the segment has all that it had.
 * Once READY the room stays so, with or without the store. While ENDING what still comes in this
 * turn is ignored.
 */
enum room_state {
    ROOM_WAITING,
    ROOM_LOADING,
    ROOM_READY,
    ROOM_ENDING,
};

/* A link is NEW until its gateway has said what it has seen; only then edits are sent to it. */
enum link_state {
    LINK_NEW,
    LINK_OPEN,
};

struct link {
    struct room *room;
    struct ipc *ipc;
    enum link_state state;
    bool is_paused;  /* its output queue is long: nothing is read from it */
    bool is_overrun; /* too long: it is closed at the end of the turn */
    uint32_t v2_sessions;
    uint32_t ops_sessions;
    struct session_list sessions;
    TAILQ_ENTRY(link) links;
};

TAILQ_HEAD(link_list, link);

/* The answer to a client's edit, held until the batch is in the segment. */
struct answer {
    struct link *link; /* NULL: gone meanwhile */
    uint64_t session;
    uint64_t op;
    uint64_t seq;
    uint32_t refusal; /* 0: applied at `seq` */
};

struct store_link {
    struct ipc *ipc;        /* NULL: none */
    uint64_t opened_seq;    /* of STORE_OPEN */
    uint64_t announced_seq; /* the last STORE_DIRTY */
};

enum replacement_state {
    REPLACEMENT_NONE,
    REPLACEMENT_ASKED,    /* the supervisor, for a file */
    REPLACEMENT_RENAMING, /* the next segment is written; the supervisor shall name it */
};

/* Of the segment by the next one. */
struct replacement {
    enum replacement_state state;
    uint64_t retry_ms; /* not before, after a failure */
    uint32_t pause_ms; /* the wait that it ended */
    uint64_t count;    /* replaced since the start */
    uint64_t failures; /* since the start */
};

struct orphan {
    const char *path;       /* where the next supervisor listens; NULL: nowhere */
    struct event *on_knock; /* time to try */
    uint32_t knock_ms;      /* the next wait */
    uint32_t unused_ms;     /* then it ends, if nobody needs it */
    uint64_t knocked_ms;    /* when it last found one, monotonic */
    uint64_t since_ms;      /* when it lost its supervisor */
};

struct room {
    struct loop *loop;
    struct slice tenant;
    struct slice name;
    struct ipc *control; /* NULL: it has no supervisor */
    struct orphan orphan;
    bool is_shutting_down; /* the host goes down */
    struct document *document;
    struct awareness *awareness;
    struct session_table sessions;
    uint32_t ops_sessions;
    struct link_list links;
    struct store_link store;
    struct replacement replacement;
    struct event *wake; /* ends a turn when time has something to do */
    enum room_state state;
    uint32_t links_received;

    struct answer *answers;
    size_t answer_count;
    size_t answer_cap;

    bool has_stored_news; /* the stored sequence moved in this turn */
    uint64_t updates;     /* accepted since the start */
    uint64_t stats_ms;    /* when the document's statistics were taken */
    uint64_t activity_ms; /* wall clock */

    uint64_t go_on_ms; /* when it no longer waits for the store */
    uint32_t idle_ms;
    uint64_t unused_since_ms; /* without a link since */
    uint64_t next_idle_ms;    /* when ROOM_IDLE may be said again */
};

/* ---- room.c ---- */

/* The store gave all it has: creates or extends the segment, and the room is ready. */
void room_loaded(struct room *room, uint64_t stored_seq);
/* Waits no longer for the store than it should. Returns in how many milliseconds to look again, 0:
 * when something comes. */
uint64_t room_check_load(struct room *room, uint64_t now_ms);
/* Tells the supervisor why this room cannot be, and ends it. Not once it is READY. `reason` is text
 * for people. */
void room_fail(struct room *room, enum refusal refusal, enum room_exit status, const char *reason);
/* The descriptor that came from the supervisor, for the caller to close. -EMFILE: none were left.
 */
WARN_UNUSED int room_take_fd(struct room *room);

/* Tells the supervisor, if there is one; takes `frame`. */
void room_tell(struct room *room, struct blob *frame);
/* From here on `fd` (taken) is the connection to the supervisor. */
void room_set_control(struct room *room, int fd);
/* Ends a room that nobody needs; in order if everything is stored. */
void room_end_orphan(struct room *room, bool is_stored);

/* ---- orphan.c ---- */

void orphan_init(struct room *room, const char *path, uint32_t unused_ms);
void orphan_done(struct room *room);
/* The supervisor is lost. False if the room should end: it was told to, or has nothing to keep. */
bool orphan_begin(struct room *room);
/* Ends the room when nobody has needed it for long. Returns in how many milliseconds to look again,
 * 0: when something comes. */
uint64_t orphan_check(struct room *room, uint64_t now_ms);

/* ---- replacement.c ---- */

/* Begins when the segment has grown too long. Returns in how many milliseconds to look again, 0:
 * when something comes. */
uint64_t replacement_check(struct room *room, uint64_t now_ms);
WARN_UNUSED int replacement_handle_next(struct room *room, const struct msg_room_next *m);
WARN_UNUSED int replacement_handle_renamed(struct room *room, const struct msg_room_renamed *m);
/* The supervisor is lost: what it was asked for is not coming, or has come to pass. */
void replacement_orphan(struct room *room);
/* There is one again, and it hears what the lost one was asked. */
void replacement_resume(struct room *room);

/* ---- room_turn.c ---- */

/* Runs at the end of every turn. */
void room_end_turn(void *room);
/* Writes the batch to the segment, broadcasts it and answers. May be called in the middle of a
 * turn. */
void room_flush(struct room *room);
/* Queues an answer behind the batch, in the order of the messages. */
void room_answer(struct room *room, const struct answer *answer);
/* The refusal for an error of document.h or awareness.h. */
enum refusal room_refusal(int error, enum refusal if_malformed);

/* ---- link.c ---- */

void link_open(struct room *room, int fd);
/* Its sessions leave. The memory goes at the end of the turn. */
void link_close(struct link *link);
/* Takes `frame`. A link that lets too much pile up is marked. */
void link_send(struct link *link, struct blob *frame);
/* To every open link. */
void links_broadcast(struct room *room, struct blob *frame);
void links_broadcast_edit(struct room *room, const struct edit *edit);
/* What an edit changed, to the links that have a client of the lens. */
void links_broadcast_change(struct room *room, const struct edit *edit);
/* The whole state, to each client of a lens. With an empty batch. */
void links_send_views(struct room *room);
/* Closes those that are overrun, resumes those that have drained. */
void links_check_queues(struct room *room);

/* ---- store_link.c ---- */

void store_link_attach(struct room *room, int fd);
void store_link_close(struct room *room);
/* Closes it and asks the supervisor for another. The room goes on from its segment; what it appends
 * is stored then. */
void store_link_detach(struct room *room);
/* Says how far the segment goes, if the store does not know. */
void store_link_announce(struct room *room);
/* The segment is another now: whoever reads it should look, and let go of the old one. */
void store_link_renew(struct room *room);
