/*
 * room_state: what a room's document is, for clients that join: read from the room's segment, kept
 * as updates (v1) and never as a document. No socket, no clock; one for each room of a gateway.
 *
 *     base  nearly all of it; large, made seldom, one blob for all who join
 *     tail  what the room has appended since, merged; small beside the base, or empty
 *
 * Nobody asks the room and nobody waits for it. Its process digests hostile documents, so what it
 * writes is decoded as carefully as what clients send. The file is opened anew by each refresh:
 * nothing is held of a room that nobody joins, and a file that was replaced is found by its name.
 */
#pragma once

#include "common/blob.h"
#include "common/memory.h"

#define ROOM_STATE_MAX (192u << 20) /* bytes of an update that holds a document */

struct room_state;

/* `rooms_dir` is borrowed, the names are copied. Blobs made here count in `*memory`. */
struct room_state *room_state_new(const char *rooms_dir, struct slice tenant, struct slice room,
                                  size_t *memory);
void room_state_free(struct room_state *s);
/* Gives back all that is held; the next refresh begins anew. */
void room_state_forget(struct room_state *s);
bool room_state_is_held(const struct room_state *s);
struct slice room_state_room(const struct room_state *s); /* its name */

/* Takes in everything that the room has published by now. 0; -ENOENT, -ENODATA: there is no
 * segment; -EBADMSG: it is damaged or holds what does not decode; -E2BIG: over ROOM_STATE_MAX or a
 * limit of crdt.h; -ENOMEM and other -errno as they came. Nothing is held after a failure. */
WARN_UNUSED int room_state_refresh(struct room_state *s);

/* The rest is for a state that is held, and borrowed until the next refresh. */

/* Changes whenever the document does. Never 0. */
uint64_t room_state_version(const struct room_state *s);
uint64_t room_state_seq(const struct room_state *s); /* of the last edit in it */
struct blob *room_state_base(const struct room_state *s);
struct blob *room_state_tail(const struct room_state *s); /* NULL: empty */
/* The state vector: what base and tail have of each client without a hole, so that whoever has more
 * sends what is missing here. */
struct blob *room_state_vector(const struct room_state *s);

/* What a client with the state vector `sv` lacks, deletions whole, as one v1 update; a new blob.
 * `sv` was checked by room_state_check_vector(). -EBADMSG, -E2BIG, -ENOMEM. */
WARN_UNUSED int room_state_diff(struct room_state *s, struct slice sv, struct blob **ret_update);
/* Everything as one v1 update; a new reference. */
WARN_UNUSED int room_state_whole(struct room_state *s, struct blob **ret_update);
/* Everything as one v2 update, in a buffer for crdt_buf_done(). */
struct crdt_buf;
WARN_UNUSED int room_state_whole_v2(struct room_state *s, struct crdt_buf *ret_update);

/* Bytes that were put through a merge, a cut or a conversion since the last call: what the work
 * cost, at some 600 MB/s. */
size_t room_state_take_work(struct room_state *s);

/* Does a client's state vector decode? 0, -EBADMSG or -E2BIG. */
WARN_UNUSED int room_state_check_vector(struct slice sv);
/* Does it say that the client has nothing? */
bool room_state_is_nothing(struct slice sv);
