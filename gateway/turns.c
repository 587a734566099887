#include "gateway/turns.h"

#include "common/log.h"

#include <event2/event.h>

static size_t write_first(struct turns *turns, struct turn_list *list)
{
    struct turn *turn = STAILQ_FIRST(list);

    turns_remove(turns, turn);
    return turns->write(turn);
}

static void on_turn_end(void *ctx)
{
    struct turns *turns = ctx;
    size_t written = 0;

    /* Writing for one with little leaves him out, or makes it much. */
    while (!STAILQ_EMPTY(&turns->brief))
        (void)write_first(turns, &turns->brief);
    while (!STAILQ_EMPTY(&turns->longer) && written < TURNS_LONG_MAX)
        written += write_first(turns, &turns->longer);
    /* What came meanwhile has its turn first. The last piece of much is little. */
    if (turns->on_more && (!STAILQ_EMPTY(&turns->longer) || !STAILQ_EMPTY(&turns->brief)))
        event_active(turns->on_more, 0, 0);
}

static void on_more(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx; /* the turn that this makes writes at its end */
}

void turns_init(struct turns *turns, struct loop *loop, turn_fn write)
{
    STAILQ_INIT(&turns->brief);
    STAILQ_INIT(&turns->longer);
    turns->write = write;
    turns->on_more = event_new(loop_base(loop), -1, 0, on_more, NULL);
    if (!turns->on_more)
        log_panic("an event cannot be made");
    loop_add_turn_hook(loop, on_turn_end, turns);
}

void turns_done(struct turns *turns)
{
    event_free(turns->on_more);
    turns->on_more = NULL;
}

void turns_add(struct turns *turns, struct turn *turn, size_t bytes)
{
    if (turn->is_listed)
        return;
    turn->is_listed = true;
    turn->is_long = bytes > TURN_MAX;
    if (turn->is_long)
        STAILQ_INSERT_TAIL(&turns->longer, turn, entry);
    else
        STAILQ_INSERT_TAIL(&turns->brief, turn, entry);
}

void turns_remove(struct turns *turns, struct turn *turn)
{
    if (turn->is_listed)
        STAILQ_REMOVE(turn->is_long ? &turns->longer : &turns->brief, turn, turn, entry);
    turn->is_listed = false;
}
