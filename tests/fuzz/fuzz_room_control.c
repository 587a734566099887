/*
 * A hostile room: what it sends to its supervisor. That is a real one, in this process, which has a
 * segment that was left open to start a room from; but its rooms are played: spawn_room() is here.
 * Whatever comes, the supervisor goes on, and ends in order when it is asked to.
 *
 * Inputs are as fuzz_ipc.h says, but for the first octet: its bits 1 and 2 tell how the process of
 * the room ends.
 */
#include "fuzz_ipc.h"

#include "common/config.h"
#include "common/names.h"
#include "common/quarantine.h"
#include "common/segment.h"
#include "roomd/room.h"
#include "roomd/spawn.h"
#include "roomd/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#define LIFE_US 2000 /* of a supervisor: what the room says is read by then */

static struct {
    struct config config;
    char *rooms_dir;
    char hash[NAME_HASH_HEX + 1];
    char *segment_path;
    const uint8_t *data;
    size_t size;
    unsigned lives; /* of the room */
} world;

const bool spawn_can_bound_memory = true;

static _Noreturn void end_as(unsigned how)
{
    static const int statuses[] = {ROOM_EXIT_CLOSED, ROOM_EXIT_FAILED, ROOM_EXIT_DAMAGED};

    if (how < sizeof(statuses) / sizeof(statuses[0]))
        _exit(statuses[how]);
    (void)raise(SIGKILL);
    _exit(9);
}

/* The room has said all of the input and is gone. Nothing is left of it, so that it is not started
 * for that. */
int spawn_room(const struct spawn *spawn, struct spawned *ret_spawned)
{
    int control[2];

    struct itimerval life = {.it_value = {.tv_usec = LIFE_US}};

    (void)spawn;
    if (world.lives++ == 0)
        CHECK(setitimer(ITIMER_REAL, &life, NULL) == 0);
    (void)unlink(world.segment_path);
    CHECK(ipc_pair(control) == 0);
    CHECK(fcntl(control[1], F_SETFL, O_NONBLOCK) == 0);
    pid_t pid = _Fork();
    if (pid == 0)
        end_as(world.data[0] >> 1 & 3);
    CHECK(pid > 0);
    fuzz_send_input(NULL, control[1], world.data, world.size);
    (void)close(control[1]);
    *ret_spawned = (struct spawned){.pid = pid, .control_fd = control[0]};
    return 0;
}

static void make_segment(void)
{
    static const uint8_t nothing[] = {0, 0};
    struct segment *segment;
    int fd = open(world.segment_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    CHECK(fd >= 0 && segment_create(fd, slice_str("default"), slice_str("r"), 1,
                                    slice_of(nothing, sizeof(nothing)), &segment) == 0);
    segment_free(segment);
}

static void on_alarm(int sig)
{
    (void)sig;
    (void)kill(getpid(), SIGTERM);
}

static void make_world(void)
{
    int rest;

    fuzz_make_dir();
    char *argv[] = {"--run", fuzz_dir, "--data", fuzz_dir, "--log-level", "error"};
    CHECK(config_parse(&world.config, sizeof(argv) / sizeof(argv[0]), argv, &rest) == 0);
    log_init("roomd", world.config.log_level);
    CHECK(config_make_run(&world.config) == 0);
    name_hash(slice_str("default"), slice_str("r"), world.hash);
    world.rooms_dir = config_rooms_dir(&world.config);
    world.segment_path = xasprintf("%s/%s", world.rooms_dir, world.hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct itimerval before;
    struct sigaction alarm_before;

    if (size == 0)
        return 0;
    if (!world.segment_path)
        make_world();
    world.data = data;
    world.size = size;
    world.lives = 0;
    make_segment();
    (void)!quarantine_clear(world.rooms_dir, world.hash); /* what the last one has come to */
    CHECK(getitimer(ITIMER_REAL, &before) == 0);
    CHECK(sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, &alarm_before) == 0);
    CHECK(supervisor_run(&world.config) == 0);
    /* libFuzzer has a timer of its own. */
    CHECK(sigaction(SIGALRM, &alarm_before, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &before, NULL) == 0);
    CHECK(world.lives > 0);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    return 0;
}
