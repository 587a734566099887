/*
 * room: the process of one open document. It is the only writer of its segment and the only one who
 * decides what is in the document; it talks to its supervisor, to snapshotd and, over one link
 * each, to the gateways. It runs on what it was given and opens no file and no socket, but to meet
 * the next supervisor when it has lost its own (orphan.c).
 *
 * Everything read in one turn of the loop is one batch: applied in order, written to the segment
 * with one append, then broadcast and answered.
 */
#pragma once

#include "common/log.h"
#include "common/slice.h"
#include "roomd/awareness.h"

#include <stdbool.h>
#include <stdint.h>

/* What a room is started with. The descriptors are the room's to close. */
struct room_boot {
    struct slice tenant;
    struct slice room;
    int control_fd; /* to the supervisor */
    int segment_fd; /* read and write; locked by the supervisor, so that there is one writer */
    /* Where the next supervisor listens, should this one be lost; must outlive the room. NULL: the
     * room ends with its supervisor. */
    const char *adopt_path;
    bool is_careful; /* an earlier process crashed: keep what kills this one (document.h) */
    uint32_t idle_ms;
    struct awareness_limits presence;
    uint32_t orphan_ms;   /* without a supervisor and clients it ends after this long */
    uint32_t turn_cpu_ms; /* processor time of one turn (watchdog.h); 0: no bound */
    enum log_level log_level;
};

/* Exit statuses of a room. */
enum room_exit {
    ROOM_EXIT_CLOSED = 0,
    ROOM_EXIT_FAILED = 1,  /* could not load, or lost its supervisor */
    ROOM_EXIT_DAMAGED = 3, /* the segment is damaged: starting again does not help */
};

/* Runs until the room closes; returns an enum room_exit. */
int room_run(const struct room_boot *boot);
