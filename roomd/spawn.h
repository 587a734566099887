/*
 * spawn: starts the process of a room. A fork server: no exec, so a room starts in well under a
 * millisecond. The child keeps two descriptors, its control socket and its segment, and nothing
 * else of the supervisor; it outlives it.
 */
#pragma once

#include "common/log.h"
#include "common/memory.h"
#include "common/slice.h"
#include "roomd/awareness.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct spawn {
    const char *segment_path;
    struct slice tenant;
    struct slice room;
    const char *adopt_path; /* room.h */
    bool is_careful;        /* room.h */
    uint32_t idle_ms;
    struct awareness_limits presence;
    uint32_t memory_mib;  /* 0: no bound */
    uint32_t turn_cpu_ms; /* room.h */
    enum log_level log_level;
};

/* Whether rooms of this build can have a bound on memory: with AddressSanitizer, which reserves
 * address space without end, they cannot. */
extern const bool spawn_can_bound_memory;

struct spawned {
    pid_t pid;
    int control_fd; /* the supervisor's end, for the caller to close */
};

/* Opens (or makes) the segment, locks it and forks. The lock belongs to the open file, which only
 * the child keeps: it lasts exactly as long as the room. -EBUSY: a room that has the file still
 * lives; any other -errno: the environment's. Returns in the parent only. */
WARN_UNUSED int spawn_room(const struct spawn *spawn, struct spawned *ret_spawned);
