/* access: what somebody may do in a room, in ascending order. */
#pragma once

enum access {
    ACCESS_NONE,
    ACCESS_READ,
    ACCESS_WRITE,
    ACCESS_ADMIN,
};
