/*
 * turns: who writes when. Whoever has something to write gets his turn once, at the end of the
 * loop's turn: first all those with little, then of those with much as many as TURNS_LONG_MAX bytes
 * allow, so that edits do not wait for documents. Who is left makes another turn of the loop.
 */
#pragma once

#include "common/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#define TURN_MAX       (64u << 10)  /* bytes that one may write in his turn */
#define TURNS_LONG_MAX (128u << 10) /* that all who have more than that write in a loop's turn */

struct turn {
    STAILQ_ENTRY(turn) entry;
    bool is_listed;
    bool is_long;
};

STAILQ_HEAD(turn_list, turn);

/* Writes at most TURN_MAX bytes, says how many, and may add the turn again. */
typedef size_t (*turn_fn)(struct turn *turn);

struct turns {
    struct turn_list brief;
    struct turn_list longer;
    struct event *on_more;
    turn_fn write;
};

/* Registers a turn hook: `turns` must live as long as the loop runs. */
void turns_init(struct turns *turns, struct loop *loop, turn_fn write);
/* No more turns are given; those that wait may still be removed. */
void turns_done(struct turns *turns);
/* `bytes`: how many he has to write. Nothing happens if he is listed already. */
void turns_add(struct turns *turns, struct turn *turn, size_t bytes);
void turns_remove(struct turns *turns, struct turn *turn);
