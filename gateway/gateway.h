/* gateway: the process as a whole, put together and taken apart in reverse. */
#pragma once

#include "common/config.h"
#include "common/loop.h"
#include "common/memory.h"

struct gateway;

#define GATEWAY_STOP_MS                                                                            \
    1000u /* for the last clients' answers, and for rooms to get the last edits */

/* Listens and connects to roomd; says that it is ready once both are done. On SIGTERM it listens no
 * more, takes leave of its clients (drain.h) and stops the loop; on SIGHUP it loads its certificate
 * anew. 0 or -errno, logged. `config` must live as long. */
WARN_UNUSED int gateway_new(struct loop *loop, const struct config *config, struct gateway **ret);
/* NULL is allowed. The loop must not run any more. */
void gateway_free(struct gateway *g);
