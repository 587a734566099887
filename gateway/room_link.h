/*
 * room_link: this gateway's link to one room, shared by all its sessions there. A link lives while
 * it has sessions: the close protocol of rooms counts links.
 *
 *     OPENING → OPEN → LOST → OPENING         OPENING, LOST → GONE, OPEN → GONE
 *
 * OPENING  roomd was asked, or will be as soon as it can; after ROOM_OPEN_MS the room is refused
 * OPEN     messages flow
 * LOST     the room ended or sent nonsense; asked for again after a pause that grows with each loss
 * GONE     no session is left, or the room was refused; the memory goes at the end of the turn
 *
 * A room digests hostile documents, so what it sends is not trusted: a message that makes no sense
 * costs it the link and nothing else.
 */
#pragma once

#include "common/blob.h"
#include "common/loop.h"
#include "common/memory.h"

#include <sys/types.h>

struct access_cap;
struct auth;
struct config;
struct joins;
struct room_answers;
struct room_link;
struct room_links;
struct session;

#define ROOM_OPEN_MS      15000u
#define ROOM_RETRY_MS     50u /* after the second loss in a row, then doubled */
#define ROOM_RETRY_MAX_MS 2000u
#define ROOM_LOSSES_MAX   8u           /* in a row; then the room is refused */
#define ROOM_STEADY_MS    10000u       /* a link that held this long ends the row */
#define ROOM_QUEUE_MAX    (32u << 20)  /* queued bytes above which clients are not read */
#define ROOM_QUEUE_FULL   (256u << 20) /* above which no more sessions are taken */
#define ROOM_LEAVING_MAX  (128u << 20)
#define ROOM_KEPT_MAX     (512u << 20)

/* `config` and `auth` are borrowed. `on_ready` is called when the connection to roomd stands for
 * the first time. Registers a turn hook (joins.h). */
struct room_links *room_links_new(struct loop *loop, const struct config *config, struct auth *auth,
                                  loop_fn on_ready, void *ctx);
/* After all sessions have ended. */
void room_links_free(struct room_links *links);
/* Links that are not GONE. */
size_t room_links_count(const struct room_links *links);
struct loop *room_links_loop(const struct room_links *links);
struct joins *room_links_joins(const struct room_links *links);

/* Gives the session its number, by which rooms speak of it, until it is removed. */
void room_links_add_session(struct room_links *links, struct session *s);
void room_links_remove_session(struct room_links *links, struct session *s);
/* Counts bytes that are kept for clients that are gone, all rooms together. False, and nothing is
 * counted, if they would be over ROOM_LEAVING_MAX. */
bool room_links_count_leaving(struct room_links *links, ssize_t bytes);

/* Counts bytes that are kept until rooms answer or the store has them, for all clients together.
 * Returns whether they are over ROOM_KEPT_MAX. */
bool room_links_count_kept(struct room_links *links, ssize_t bytes);

/* Takes something away from a user, here at once and on every gateway of the host. -ENOTCONN: the
 * others will hear of it when roomd is back; -ENOSPC: too much was revoked, and nothing is done. */
WARN_UNUSED int room_links_cap_access(struct room_links *links, const struct access_cap *cap);

/* Puts the session into the room's link, which is made if need be. The session may be refused
 * before this returns. */
void room_link_join(struct room_links *links, struct session *s, struct slice tenant,
                    struct slice room);
/* Takes it out; the last one closes the link. */
void room_link_leave(struct session *s);

/* Sends to the room if the link is OPEN. */
void room_link_send(struct room_link *link, struct blob *message);
void room_link_send_new(struct room_link *link, struct blob *message); /* and consumes it */
/* Does so much wait for the room that its clients should not be read? */
bool room_link_is_full(const struct room_link *link);
/* Edits up to this sequence may be acknowledged. */
uint64_t room_link_acknowledged_seq(const struct room_link *link);
/* Was every edit broadcast to us that was appended since some moment, or will be when the room is
 * back? From then on questions about its document can be answered from the segment. */
bool room_link_is_subscribed(const struct room_link *link);
/* A client was given the document up to `seq`. */
void room_link_note_answer(struct room_link *link, uint64_t seq);
struct room_answers *room_link_answers(struct room_link *link);
/* The session has edits that wait for a later stored sequence. */
void room_link_watch_stored(struct session *s);
