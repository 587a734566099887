#include "gateway/turns.h"

#include <criterion/criterion.h>
#include <event2/event.h>

#define LONG_BYTES (5 * (size_t)TURN_MAX)

/* One who writes: as much as he may, until he has no more. */
struct writer {
    struct turn turn;
    char name;
    size_t bytes;
};

static struct loop *loop;
static struct turns turns;
static char order[64]; /* of the names */
static size_t count;
static size_t loop_turns;

static size_t write_some(struct turn *turn)
{
    struct writer *w = (struct writer *)turn; /* the first of it */
    size_t n = w->bytes < TURN_MAX ? w->bytes : TURN_MAX;

    cr_assert_lt(count, sizeof(order) - 1);
    order[count++] = w->name;
    w->bytes -= n;
    if (w->bytes > 0)
        turns_add(&turns, turn, w->bytes);
    return n;
}

static void start(void)
{
    loop = loop_new();
    turns_init(&turns, loop, write_some);
}

static void stop(void)
{
    turns_done(&turns);
    loop_free(loop);
}

TestSuite(turns, .init = start, .fini = stop, .timeout = 10);

static void add(struct writer *w)
{
    turns_add(&turns, &w->turn, w->bytes);
}

/* At the end of each turn of the loop, after the writers. */
static void stop_when_done(void *ctx)
{
    struct writer *last = ctx;

    order[count++] = '|';
    loop_turns++;
    if (last->bytes == 0)
        loop_stop(loop, 0);
}

static void on_begin(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
}

static void run_until(struct writer *last)
{
    struct event *begin = event_new(loop_base(loop), -1, 0, on_begin, NULL);

    loop_add_turn_hook(loop, stop_when_done, last);
    event_active(begin, 0, 0);
    cr_assert_eq(loop_run(loop), 0);
    event_free(begin);
}

Test(turns, who_has_little_writes_first)
{
    struct writer a = {.name = 'A', .bytes = LONG_BYTES};
    struct writer b = {.name = 'b', .bytes = 10};
    struct writer c = {.name = 'c', .bytes = TURN_MAX};

    add(&a);
    add(&b);
    add(&c);
    add(&b);
    run_until(&a);
    cr_expect_eq(strncmp(order, "bcAA|", 5), 0, "%s", order);
    cr_expect_eq(a.bytes + b.bytes + c.bytes, 0);
}

/* In each turn of the loop TURNS_LONG_MAX bytes, by whoever's turn it is. */
Test(turns, who_has_much_shares_what_a_loop_turn_allows)
{
    struct writer a = {.name = 'A', .bytes = LONG_BYTES};
    struct writer b = {.name = 'B', .bytes = LONG_BYTES};

    add(&a);
    add(&b);
    run_until(&b);
    cr_expect_str_eq(order, "AB|AB|AB|AB|AB|");
    cr_expect_eq(loop_turns, 5);
}

Test(turns, who_is_removed_does_not_write)
{
    struct writer a = {.name = 'A', .bytes = LONG_BYTES};
    struct writer b = {.name = 'b', .bytes = 1};
    struct writer c = {.name = 'c', .bytes = 1};

    add(&a);
    add(&b);
    add(&c);
    turns_remove(&turns, &a.turn);
    turns_remove(&turns, &b.turn);
    turns_remove(&turns, &b.turn);
    run_until(&c);
    cr_expect_str_eq(order, "c|");
}
