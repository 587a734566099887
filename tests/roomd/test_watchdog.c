#include "roomd/watchdog.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define LIMIT_MS 200u

/* What a turn costs, and how many there are. */
struct work {
    struct loop *loop;
    struct event *next;
    uint32_t turn_ms;
    uint32_t turns;
};

static uint64_t cpu_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void burn(uint32_t ms)
{
    uint64_t end_ms = cpu_ms() + ms;

    while (cpu_ms() < end_ms)
        ;
}

static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
    static const struct timeval at_once = {0};
    struct work *work = ctx;

    (void)fd;
    (void)what;
    burn(work->turn_ms);
    if (--work->turns == 0)
        loop_stop(work->loop, 0);
    else
        (void)event_add(work->next, &at_once);
}

/* How a process ends that does it under a watchdog. */
static int run(struct work work, uint32_t before_ms)
{
    int status;
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        work.loop = loop_new();
        if (watchdog_start(work.loop, LIMIT_MS) < 0)
            _exit(1);
        burn(before_ms);
        work.next = evtimer_new(loop_base(work.loop), on_turn, &work);
        event_active(work.next, EV_TIMEOUT, 0);
        _exit(loop_run(work.loop));
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static bool was_ended(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU;
}

/* A process that does not end must not hold the tests up. */
TestSuite(watchdog, .timeout = 60);

Test(watchdog, ends_a_turn_that_is_too_long)
{
    cr_assert(was_ended(run((struct work){.turn_ms = 20 * LIMIT_MS, .turns = 1}, 0)));
    /* also if it is a later one, or comes before the first */
    cr_assert(was_ended(run((struct work){.turn_ms = 20 * LIMIT_MS, .turns = 2}, 0)));
    cr_assert(was_ended(run((struct work){.turn_ms = 1, .turns = 1}, 20 * LIMIT_MS)));
}

Test(watchdog, lets_a_busy_process_be)
{
    cr_assert_eq(run((struct work){.turn_ms = LIMIT_MS / 10, .turns = 40}, 0), 0);
}
