#include "roomd/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

/* A turn costs no system call: a timer ticks all the while, and a turn that sees too many ticks is
 * too long. So it may take up to a tick more than the limit. */
#define TICKS 4

static volatile sig_atomic_t ticks; /* in this turn */

static void on_tick(int signal_number)
{
    if (++ticks <= TICKS)
        return;
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number); /* ends the process when this returns */
}

static void on_turn_end(void *unused)
{
    (void)unused;
    ticks = 0;
}

int watchdog_start(struct loop *loop, uint32_t limit_ms)
{
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGXCPU};
    uint64_t tick_ns = (uint64_t)limit_ms * 1000000 / TICKS;
    struct timespec tick = {.tv_sec = (time_t)(tick_ns / 1000000000),
                            .tv_nsec = (long)(tick_ns % 1000000000)};
    struct itimerspec every_tick = {.it_interval = tick, .it_value = tick};
    timer_t timer;

    if (sigaction(SIGXCPU, &action, NULL) < 0 ||
        timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer) < 0 ||
        timer_settime(timer, 0, &every_tick, NULL) < 0)
        return -errno;
    loop_add_turn_hook(loop, on_turn_end, NULL);
    return 0;
}
