/* gateway: the process as a whole, put together and taken apart in reverse. */
#pragma once

#include "common/config.h"
#include "common/loop.h"
#include "common/memory.h"

struct gateway;

#define GATEWAY_STOP_MS 1000u /* for clients and rooms to be told that we go */

/* Listens and connects to roomd; says that it is ready once both are done. On SIGTERM it closes its
 * clients and stops the loop. 0 or -errno, logged. `config` must live as long. */
WARN_UNUSED int gateway_new(struct loop *loop, const struct config *config, struct gateway **ret);
/* NULL is allowed. The loop must not run any more. */
void gateway_free(struct gateway *g);
