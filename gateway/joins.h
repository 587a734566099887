/*
 * joins: answers sessions that ask what they lack of a document, from the segments of their rooms
 * (room_state.h). Questions are collected during a turn of the loop and answered at its end, in the
 * order in which they came: so many clients that join a room at once cost one reading of it, and
 * the same question gets the same answer, made once.
 *
 * A question is answered when its session hears of everything that the room appends from then on:
 * when the link was subscribed (room_link.h). What is in the answer and is broadcast too does no
 * harm.
 *
 * Nobody makes this expensive for others. After JOINS_TURN_BYTES of work the rest waits, for about
 * as long as the work took. A client has one question at a time, the latest; it is answered when
 * the client has read what it got before, and at JOINS_CLIENT_RATE of work and answers. All
 * documents and answers that are held, here or in the queues of clients, are at most JOINS_HELD_MAX
 * bytes and one document more. What was read of a room is dropped when nobody joined it for
 * JOINS_KEPT_MS.
 */
#pragma once

#include "common/loop.h"
#include "common/slice.h"

#define JOINS_TURN_BYTES  (16u << 20)
#define JOINS_WORK_RATE   (512u << 10) /* bytes a millisecond: an estimate of how fast work is */
#define JOINS_CLIENT_RATE (64u << 10)  /* bytes a millisecond */
#define JOINS_UNREAD_MAX  (64u << 10)  /* bytes that may wait for a client that gets an answer */
#define JOINS_HELD_MAX    ((size_t)512 << 20)
#define JOINS_KEPT_MS     5000u
#define JOINS_LOOK_MS     20u /* between two looks at those that are not ready for an answer */

struct joins;
struct room_answers;
struct session;

/* `rooms_dir` is copied. Registers a turn hook, which must run before output is written. */
struct joins *joins_new(struct loop *loop, const char *rooms_dir);
/* After all rooms and sessions; the memory goes at the end of the turn. */
void joins_free(struct joins *j);

/* What one room's clients are answered from: each link has one. Holds nothing until it is used. */
struct room_answers *room_answers_new(struct joins *j, struct slice tenant, struct slice room);
void room_answers_free(struct room_answers *a);

/* The session, whose link is subscribed, has a question: see session_question(). */
void joins_add(struct joins *j, struct session *s);
/* It has none any more; nothing happens if it had none. */
void joins_remove(struct joins *j, struct session *s);
