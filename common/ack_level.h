/*
 * ack_level: what an acknowledgement of an edit says, by room. Rules are `level` or `PATTERN=level`
 * with commas between them; the first that fits a room decides, and without one it is `stored`:
 *
 *     draft-*=room, scratch=room, stored
 *
 * Patterns are those of pattern.h, here without a comma and without white space at their ends. The
 * last `=` of a rule ends one.
 */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

enum ack_level {
    ACK_STORED, /* in a committed transaction */
    ACK_ROOM,   /* in the room's segment: survives any process, not the host */
};

/* The level of a room, whose name is valid (common/names.h). -EINVAL: the rules are malformed, at
 * whichever place. */
WARN_UNUSED int ack_level_of(const char *rules, struct slice room, enum ack_level *ret_level);
