/*
 * tenants: how many rooms each tenant has open, and how fast it may start more. Pure: the time is
 * passed in.
 */
#pragma once

#include "common/client_limits.h"
#include "common/memory.h"
#include "common/slice.h"

#define TENANT_WAIT_MS 5000u /* a start that would have to wait longer is refused */

struct tenant;

struct tenants {
    const struct client_limits *limits; /* borrowed */
    struct tenant *by_name;
};

void tenants_done(struct tenants *t);

/* May a client have one more room of this tenant started? Returns in how many milliseconds, 0: now;
 * -EDQUOT: it has as many as it may; -EAGAIN: too many wait already. */
WARN_UNUSED int tenants_admit(struct tenants *t, struct slice name, uint64_t now_us);
/* Counts a room of this tenant until tenants_leave(). */
struct tenant *tenants_enter(struct tenants *t, struct slice name);
void tenants_leave(struct tenants *t, struct tenant *tenant, uint64_t now_us);
