/* Examines every room of a server: those that are open and those that are stored. */
#pragma once

#include "ctl/doctor_room.h"

struct doctor_count {
    size_t segments;
    size_t stored;
    size_t sick;      /* rooms with findings */
    size_t unchecked; /* rooms that could not be examined; a message says why */
};

/* Appends a line for each room with findings. 0; -errno if the rooms cannot be listed. */
WARN_UNUSED int doctor_examine_all(const struct clinic *clinic, struct buffer *out,
                                   struct doctor_count *ret_count);
