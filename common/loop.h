/*
 * The event loop of a daemon: a libevent base plus what libevent lacks, work at the end of a turn.
 * A turn is one wait and every callback that it made ready. After them the turn hooks run (batches
 * are applied and sent there), then the reap list: whatever callbacks touch is freed there and
 * nowhere else, so no callback ever runs on something that another one of the same turn freed.
 */
#pragma once

#include <stdint.h>

struct event;
struct event_base;
struct loop;

typedef void (*loop_fn)(void *ctx);

/* Aborts when libevent cannot start. SIGPIPE is ignored from here on. */
struct loop *loop_new(void);
/* Runs what is still on the reap list and frees. */
void loop_free(struct loop *loop);
struct event_base *loop_base(struct loop *loop);

/* Runs until loop_stop(); returns the status given there. */
int loop_run(struct loop *loop);
/* One turn that waits for nothing, for who has a loop of their own around this one. */
void loop_turn(struct loop *loop);
void loop_stop(struct loop *loop, int status);
/* SIGTERM and SIGINT call `fn`; NULL stops the loop with status 0. */
void loop_on_terminate(struct loop *loop, loop_fn fn, void *ctx);

/* SIGHUP calls `fn`; without this it ends the process. */
void loop_on_hangup(struct loop *loop, loop_fn fn, void *ctx);

/* Calls `fn` at the end of every turn, for the loop's life. At most 8 hooks. */
void loop_add_turn_hook(struct loop *loop, loop_fn fn, void *ctx);
/* Calls `fn` once at the end of this turn, after the hooks. */
void loop_reap(struct loop *loop, loop_fn fn, void *ctx);
/* Calls `fn` when the loop is freed: for what lives as long as it. */
void loop_on_free(struct loop *loop, loop_fn fn, void *ctx);

/* Sets a timer; the process ends if it cannot be set. */
void timer_arm(struct event *timer, uint64_t ms);

/* Monotonic milliseconds, and microseconds. */
uint64_t mono_now_ms(void);
uint64_t mono_now_us(void);
/* Wall clock, milliseconds since the epoch. */
uint64_t wall_now_ms(void);
